package payment

import (
	"context"
	"errors"
	"time"

	"dcpos/central/institution"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Place is where and for what a payment is.
type Place struct {
	Channel string     `json:"channel,omitempty"` // empty: in_store
	Lines   []pos.Line `json:"lines,omitempty"`   // by category; none: not told
	Store   string     `json:"store,omitempty"`   // where its till stood when it asked; none online
}

// EnvelopeUse is what an institution says of a payment's envelopes, or a wallet's evidence
// before the institution is asked.
type EnvelopeUse struct {
	Payment     pos.PaymentID
	Institution string
	Wallet      string // the end of its name, as the institution hints; empty: not told
	Merchant    string
	Store       string
	Channel     string
	Lines       []pos.Line
	Price       pos.Money
	FromMS      int64 // it was made at a moment between, both included
	UntilMS     int64
	WalletMS    int64 // of evidence: the wallet's own clock
	AtMS        int64
	Date        pos.Date
	Shares      []institution.Share
}

// EnvelopeBack is what an institution says of a refund's envelopes.
type EnvelopeBack struct {
	Refund      pos.RefundID
	Payment     pos.PaymentID
	Institution string
	Amount      pos.Money
	Before      pos.Money // of the payment was refunded before
	AtMS        int64
	Date        pos.Date
	Shares      []institution.Share
}

// GivenBack is what of a refund went to envelopes.
type GivenBack struct {
	Envelope pos.Money
	Recalled pos.Money // of it, what the fund takes back: the envelope is over
}

// use is a payment as its envelopes see it.
func (d *Desk) use(ctx context.Context, t *turn, r Record) (EnvelopeUse, error) {
	u := EnvelopeUse{
		Payment: r.ID, Institution: r.Institution, Merchant: r.Merchant, Store: r.Place.Store, Channel: r.Place.Channel, Lines: r.Place.Lines,
		Price: r.Amount, FromMS: r.CreatedMS, UntilMS: t.now, AtMS: t.now, Date: day(r, t.now),
	}
	if u.Merchant != "" && (u.Store != "" || u.Channel == pos.ChannelOnline) {
		return u, nil
	}
	is, _, err := t.Terminal(ctx, r.Terminal)
	if u.Merchant == "" {
		u.Merchant = is.Merchant
	}
	if u.Store == "" && u.Channel != pos.ChannelOnline {
		u.Store = is.Shop
	}
	return u, err
}

// day is the settlement date, or today where an institution gave none.
func day(r Record, nowMS int64) pos.Date {
	if r.SettlementDate != "" {
		return r.SettlementDate
	}
	return pos.DateOf(time.UnixMilli(nowMS), 0)
}

// envelopes books the shares that an institution has named: its answer alone decides the
// split.
func (d *Desk) envelopes(ctx context.Context, t *turn, r Record, h heard) error {
	if len(h.Envelopes) == 0 {
		return nil
	}
	u, err := d.use(ctx, t, r)
	if err != nil {
		return err
	}
	u.Shares, u.Wallet = h.Envelopes, h.WalletHint
	if len(r.Evidence) > 0 {
		said, err := dcep.ParseEvidence(r.Evidence)
		if err != nil {
			return err
		}
		u = u.signed(said)
	}
	return t.BookEnvelopes(ctx, u)
}

// signed is the use as its wallet has signed it.
func (u EnvelopeUse) signed(e dcep.Evidence) EnvelopeUse {
	u.FromMS, u.UntilMS, u.WalletMS = e.Challenge.AtMS, e.Challenge.AtMS, e.WalletMS
	if e.Challenge.Category != "" {
		u.Lines = []pos.Line{{Category: e.Challenge.Category, Amount: e.Challenge.Amount}}
	}
	return u
}

// judgeEnvelopes looks at the envelopes that evidence names, before anybody is asked for
// their money: what is outside of the published rules ends in conflict; what would be right,
// but came after the recall, waits for two people.
func (d *Desk) judgeEnvelopes(ctx context.Context, t *turn, r Record, e pos.Entry, m *pos.PaymentMoved) (Record, error) {
	said, err := dcep.ParseEvidence(m.Evidence)
	if err != nil || len(said.Envelopes) == 0 {
		return r, nil //nolint:nilerr // what is no evidence at all is the institution's to refuse
	}
	u, err := d.use(ctx, t, r)
	if err != nil {
		return r, err
	}
	u = u.signed(said)
	if m.Time != nil { // where the true time lay, as the till could prove it
		u.FromMS, u.UntilMS = m.Time.EarliestMS, m.Time.LatestMS
	}
	u.FromMS = max(u.FromMS, e.At.CentreMS) // it was not before the last time that the centre had signed
	u.Price = said.Challenge.Amount
	for _, x := range said.Envelopes {
		u.Shares = append(u.Shares, institution.Share{Envelope: x.Envelope, Amount: x.Amount})
	}
	held, err := t.JudgeEnvelopes(ctx, r.Terminal, u)
	switch code := pos.CodeOf(err); {
	case err == nil && held:
		r.NextMS, r.Detail = 0, "its envelopes were recalled: two people decide"
	case code == pos.ErrEnvelopeUnknown || code == pos.ErrEnvelopeScope || code == pos.ErrEnvelopeWindow:
		d.cfg.Log.WarnContext(ctx, "evidence names envelopes against the rules", "terminal", e.Terminal, "payment", r.ID.String(), "err", err)
		return d.dispute(ctx, t, r, err)
	case err != nil:
		return r, err
	}
	return r, nil
}

// givenUp ends a late payment that two people have refused.
func (d *Desk) givenUp(ctx context.Context, r Record) (out Record, err error) {
	err = d.turn(ctx, func(t *turn) error {
		now, found, err := t.Payment(ctx, r.ID)
		if out = now; err != nil || !found || now.State != pos.AcceptedEvidence || now.Reason == "" {
			return err
		}
		if out, err = d.dispute(ctx, t, now, pos.NewError(now.Reason, errors.New("two people decided"))); err != nil {
			return err
		}
		out.UpdatedMS = t.now
		if err := t.PutPayment(ctx, out); err != nil {
			return err
		}
		return d.ended(ctx, t, out) // what waits behind it under the wallet's counter
	})
	return out, err
}

// giveBack books the envelopes' part of a refund that is done, and says on it how much that
// is: what the institution has named, or what the published rule says where it names nothing.
func (d *Desk) giveBack(ctx context.Context, t *turn, p Record, r Refund, h heard) (Refund, error) {
	all, err := t.RefundsOf(ctx, p.ID)
	if err != nil {
		return r, err
	}
	b := EnvelopeBack{
		Refund: r.ID, Payment: p.ID, Institution: p.Institution, Amount: r.Amount, AtMS: t.now, Date: r.Date, Shares: h.Envelopes,
	}
	if b.Date == "" {
		b.Date = day(p, t.now)
	}
	for _, other := range all {
		if other.ID != r.ID && other.State == pos.RefundRefunded {
			b.Before += other.Amount // bounded: the payment at most
		}
	}
	given, err := t.GiveBackEnvelopes(ctx, b)
	r.Envelope, r.Recalled = min(r.Amount, max(h.Envelope, given.Envelope)), given.Recalled
	return r, err
}
