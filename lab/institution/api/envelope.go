package api

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"dcpos/pos"
)

// MaxOrders bounds a batch of orders or recalls and a page of claims.
const MaxOrders = 200

// ReasonEnvelope is the reason of evidence whose envelopes cannot be spent so.
const ReasonEnvelope = "envelope"

// Claimant is how an order names who may claim it: an institution that knows its
// customer's phone finds the order, and nobody else's.
func Claimant(campaign, phone string) string {
	sum := sha256.Sum256([]byte("claimant-v1\x00" + campaign + "\x00" + phone))
	return hex.EncodeToString(sum[:])
}

// Share is the part of a payment or a refund that an envelope bears.
type Share struct {
	Envelope string    `json:"envelope"`
	Amount   pos.Money `json:"amount_fen"`
}

// EnvelopeRules say where and when a campaign's envelopes can be spent.
type EnvelopeRules struct {
	Campaign   string   `json:"campaign"`
	Hash       string   `json:"hash"`
	Title      pos.Text `json:"title"`
	FromMS     int64    `json:"from_ms"`
	UntilMS    int64    `json:"until_ms"`
	Channels   []string `json:"channels"`
	Merchants  []string `json:"merchants"` // "*" alone: all
	Stores     []string `json:"stores"`
	Categories []string `json:"categories"`
}

// Check implements Checker.
func (r *EnvelopeRules) Check() error {
	if r.FromMS <= 0 || r.UntilMS <= r.FromMS {
		return bad("until_ms", "want a window")
	}
	if len(r.Channels) == 0 || len(r.Merchants) == 0 || len(r.Stores) == 0 || len(r.Categories) == 0 {
		return bad("channels", "want channels, merchants, stores and categories")
	}
	return checkLabel("campaign", r.Campaign)
}

// Allows reports that a payment at a place is in scope; a category that nobody told is
// in scope only where all are.
func (r *EnvelopeRules) Allows(merchant, store, channel, category string) bool {
	if channel == "" {
		channel = pos.ChannelInStore
	}
	return slices.Contains(r.Channels, channel) && listed(r.Merchants, merchant) && listed(r.Categories, category) &&
		(channel == pos.ChannelOnline || store == "" || listed(r.Stores, store))
}

func listed(list []string, name string) bool {
	return (len(list) == 1 && list[0] == "*") || slices.Contains(list, name)
}

// EnvelopeOrder asks to keep an envelope for a claimant; it is idempotent by the envelope.
type EnvelopeOrder struct {
	Envelope  string    `json:"envelope"`
	Campaign  string    `json:"campaign"`
	Claimant  string    `json:"claimant"`
	Amount    pos.Money `json:"amount_fen"`
	Threshold pos.Money `json:"threshold_fen"` // a coupon is taken whole, from so much on
}

// EnvelopeOrders are a batch.
type EnvelopeOrders struct {
	Orders []EnvelopeOrder `json:"orders"`
}

// Check implements Checker.
func (o *EnvelopeOrders) Check() error {
	if len(o.Orders) == 0 || len(o.Orders) > MaxOrders {
		return bad("orders", "want 1 to %d", MaxOrders)
	}
	for _, x := range o.Orders {
		if err := first(checkLabel("envelope", x.Envelope), checkLabel("campaign", x.Campaign), checkLabel("claimant", x.Claimant),
			checkAmount(x.Amount)); err != nil {
			return err
		}
		if x.Threshold < 0 || x.Threshold > pos.MaxAmount {
			return bad("threshold_fen", "%d fen", x.Threshold)
		}
	}
	return nil
}

// EnvelopeRecall takes envelopes back; Unclaimed leaves alone what is in a wallet.
type EnvelopeRecall struct {
	Envelopes []string `json:"envelopes"`
	Unclaimed bool     `json:"unclaimed"`
}

// Check implements Checker.
func (r *EnvelopeRecall) Check() error {
	if len(r.Envelopes) == 0 || len(r.Envelopes) > MaxOrders {
		return bad("envelopes", "want 1 to %d", MaxOrders)
	}
	return nil
}

// EnvelopeRestore puts money into an envelope that was recalled.
type EnvelopeRestore struct {
	Envelope string    `json:"envelope"`
	Payment  string    `json:"payment"`
	Amount   pos.Money `json:"amount_fen"`
}

// Check implements Checker.
func (r *EnvelopeRestore) Check() error {
	return first(checkLabel("envelope", r.Envelope), checkID("payment", r.Payment), checkAmount(r.Amount))
}

// EnvelopeWord answers for one envelope.
type EnvelopeWord struct {
	Envelope string    `json:"envelope"`
	Status   Status    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
	Claimed  bool      `json:"claimed,omitempty"`
	Left     pos.Money `json:"left_fen"`
}

// EnvelopeWords answer a batch.
type EnvelopeWords struct {
	Answers []EnvelopeWord `json:"answers"`
}

// EnvelopeClaim tells that an envelope came into a wallet.
type EnvelopeClaim struct {
	N        int64  `json:"n"`
	Envelope string `json:"envelope"`
	Wallet   string `json:"wallet"`
	AtMS     int64  `json:"at_ms"`
}

// EnvelopeClaims are a page of them.
type EnvelopeClaims struct {
	Claims []EnvelopeClaim `json:"claims"`
}

// HeldEnvelope is one that a wallet holds.
type HeldEnvelope struct {
	Envelope  string    `json:"envelope"`
	Campaign  string    `json:"campaign"`
	Hash      string    `json:"hash"`
	Amount    pos.Money `json:"amount_fen"`              // when it was claimed
	Threshold pos.Money `json:"threshold_fen,omitempty"` // of a coupon, which is paid whole or not at all
	Left      pos.Money `json:"left_fen"`
	FromMS    int64     `json:"from_ms"` // half-open
	UntilMS   int64     `json:"until_ms"`
}
