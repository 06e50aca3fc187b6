package pos

import (
	"fmt"
	"slices"
)

// EnvelopeUse is a part of an offline payment that a wallet pays from a red envelope. The
// campaign's hash is that of its published definition, and so of the envelope's scope.
type EnvelopeUse struct {
	Envelope string `json:"i"` // the institution's name of it
	Campaign string `json:"c"`
	Hash     []byte `json:"h"` // SHA-256 of the published definition
	Amount   Money  `json:"a"`
}

// MaxEnvelopes bounds the envelopes of one offline payment, so that it fits one QR.
const MaxEnvelopes = 4

// CheckEnvelopes refuses uses that are too many, twice the same, or more than the payment,
// and returns their sum.
func CheckEnvelopes(uses []EnvelopeUse, amount Money) (Money, error) {
	bad := func(format string, args ...any) (Money, error) {
		return 0, NewError(ErrEnvelopeSum, fmt.Errorf(format, args...))
	}
	if len(uses) > MaxEnvelopes {
		return bad("%d envelopes, at most %d", len(uses), MaxEnvelopes)
	}
	var sum Money
	seen := map[string]bool{}
	for _, u := range uses {
		if u.Amount <= 0 || u.Amount > amount-sum {
			return bad("%s of envelope %.64q on top of %s, the payment is %s", u.Amount, u.Envelope, sum, amount)
		}
		if u.Envelope == "" || len(u.Envelope) > 64 || seen[u.Envelope] {
			return bad("envelope %.64q is named twice or not rightly", u.Envelope)
		}
		sum += u.Amount
		seen[u.Envelope] = true
	}
	return sum, nil
}

// Catalogue is what a terminal must know to check envelopes offline: the published
// campaigns, seen from where it stands. The centre signs it (dcep.SealCatalogue) for one
// terminal; a newer one takes the place of an older, and only a newer one.
type Catalogue struct {
	Env       Environment     `json:"env"`
	Terminal  string          `json:"terminal"`
	IssuedMS  int64           `json:"issued_ms"`
	Campaigns []CampaignScope `json:"campaigns,omitempty"`
}

// CampaignScope is where and when the envelopes of one campaign can be spent.
type CampaignScope struct {
	Campaign   string   `json:"campaign"`
	Hash       []byte   `json:"hash"`               // SHA-256 of the published definition
	Merchant   bool     `json:"merchant,omitempty"` // this terminal's merchant is among its merchants
	Store      bool     `json:"store,omitempty"`    // and its store among its stores
	Channels   []string `json:"channels"`
	Categories []string `json:"categories"` // "*" alone: all
	FromMS     int64    `json:"from_ms"`    // the spend window, half-open
	UntilMS    int64    `json:"until_ms"`
}

// The channels: every till's, and that of merchants' web shops.
const (
	ChannelInStore = "in_store"
	ChannelOnline  = "online"
)

// Admit refuses the use of an envelope at this terminal for goods of the category, each
// with a reason of its own: ErrEnvelopeUnknown, ErrEnvelopeScope (Field says whether it is
// the merchant, the store, the channel or the category), ErrEnvelopeWindow. The window must
// certainly be open.
func (c Catalogue) Admit(u EnvelopeUse, category string, at Interval) error {
	i := slices.IndexFunc(c.Campaigns, func(s CampaignScope) bool {
		return s.Campaign == u.Campaign && string(s.Hash) == string(u.Hash)
	})
	if i < 0 {
		return NewError(ErrEnvelopeUnknown, fmt.Errorf("campaign %.64q of hash %.8x", u.Campaign, u.Hash))
	}
	s := c.Campaigns[i]
	outside := func(field string) error {
		return FieldError(ErrEnvelopeScope, field, fmt.Errorf("envelope of %s", s.Campaign))
	}
	switch {
	case !s.Merchant:
		return outside("merchant")
	case !s.Store:
		return outside("store")
	case !slices.Contains(s.Channels, ChannelInStore):
		return outside("channel")
	case !slices.Contains(s.Categories, category) && (len(s.Categories) != 1 || s.Categories[0] != "*"):
		return outside("category")
	case !at.Within(s.FromMS, s.UntilMS):
		return NewError(ErrEnvelopeWindow, fmt.Errorf("envelope of %s", s.Campaign))
	}
	return nil
}
