package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/kernel"
	"dcpos/pos"
)

// Policies tells what may be accepted offline; agent/policy.Book does.
type Policies interface {
	// In is the policy in force throughout an interval; ErrPolicyNone, ErrPolicyExpired.
	In(at pos.Interval) (pos.Policy, error)
	// Next is the policy to come, and when.
	Next(at pos.Interval) (pos.Policy, int64, bool)
}

// fixed are limits that are always in force.
type fixed func() pos.Limits

func (f fixed) In(pos.Interval) (pos.Policy, error) { return pos.Policy{Limits: f()}, nil }

func (f fixed) Next(pos.Interval) (pos.Policy, int64, bool) { return pos.Policy{}, 0, false }

func (c Config) catalogue() pos.Catalogue {
	if c.Catalogue == nil {
		return pos.Catalogue{}
	}
	return c.Catalogue()
}

func (c Config) trustMS(at pos.Interval) int64 {
	if c.Trust == nil {
		return at.LatestMS // nobody said that there is a list
	}
	return c.Trust().IssuedMS
}

// now is the time by which challenges, certificates and lists expire: the latest moment
// that it can be, and no earlier than the wall clock says. It goes on when that is set back.
func (t *Till) now() time.Time {
	latest, wall := t.clock.Interval().Latest(), t.clock.Now()
	if wall.After(latest) {
		return wall
	}
	return latest
}

// policy is what is in force now, and the interval in which now lies; ErrClock when the
// wall clock must not date a payment.
func (t *Till) policy() (pos.Policy, pos.Interval, error) {
	at := t.clock.Interval()
	p, err := t.c.Policies.In(at)
	if err != nil {
		return p, at, err
	}
	return p, at, t.clock.Trusted(p.Limits.ClockMax)
}

// guards applies the policy in force to a payment of an order by this wallet; the zero
// wallet judges what does not depend on one.
func (t *Till) guards(v pos.JournalView, amount pos.Money, order pos.Order, w kernel.Wallet) (pos.Policy, pos.Interval, error) {
	policy, at, err := t.policy()
	if err != nil {
		return policy, at, err
	}
	claim := pos.Claim{Amount: amount, At: at, Tier: w.Tier}
	if claim.Stored, err = v.Stored(); err != nil {
		return policy, at, fmt.Errorf("read stored money: %w", err)
	}
	if w.Serial == "" {
		claim.Tier = pos.TierAny
	} else if err := ofWallet(v, policy.Limits, order, w.Serial, &claim); err != nil {
		return policy, at, fmt.Errorf("read money of wallet: %w", err)
	}
	return policy, at, policy.Limits.Admit(claim)
}

// ofWallet fills in what the till has of the wallet.
func ofWallet(v pos.JournalView, l pos.Limits, order pos.Order, wallet string, c *pos.Claim) (err error) {
	if c.Wallet, err = v.WalletStored(wallet); err != nil {
		return err
	}
	if l.SplitWindow > 0 {
		if c.Recent, err = v.WalletSince(wallet, c.At.EarliestMS-l.SplitWindow.Milliseconds()); err != nil {
			return err
		}
	}
	day, err := v.WalletSince(wallet, c.At.EarliestMS-(24*time.Hour).Milliseconds())
	if err != nil {
		return err
	}
	year, err := v.WalletSince(wallet, c.At.EarliestMS-(365*24*time.Hour).Milliseconds())
	c.Today, c.Year = day.Total, year.Total
	for _, a := range order.Attempts {
		if a.Wallet == wallet && a.State.Holds() {
			c.Order += a.Amount
		}
	}
	return err
}

// category is that of the goods sold here.
func (c Config) category() string {
	if c.Category == "" {
		return "general"
	}
	return c.Category
}

// lines tell what is bought, as far as this till knows: one category, or nothing.
func (c Config) lines(amount pos.Money) []pos.Line {
	if c.Category == "" {
		return nil
	}
	return []pos.Line{{Category: c.Category, Amount: amount}}
}

// offered is the category that a challenge names: none where no envelope could be spent here
// now, or where the wallet's envelopes were refused for this payment.
func (t *Till) offered(id pos.PaymentID, at pos.Interval) string {
	var plain bool
	t.with(id, func(s *sale) { plain = s.plain })
	if plain {
		return ""
	}
	for _, s := range t.c.catalogue().Campaigns {
		use := pos.EnvelopeUse{Campaign: s.Campaign, Hash: s.Hash}
		if t.c.catalogue().Admit(use, t.c.category(), at) == nil {
			return t.c.category()
		}
	}
	return ""
}

// admitEnvelopes judges the envelopes of a promise by the catalogue, and gives their sum.
func (t *Till) admitEnvelopes(uses []pos.EnvelopeUse, amount pos.Money, l pos.Limits, at pos.Interval) (pos.Money, error) {
	if len(uses) == 0 {
		return 0, nil
	}
	cat := t.c.catalogue()
	age := at.Age(cat.IssuedMS)
	if cat.IssuedMS == 0 || age > l.CatalogueMax && l.CatalogueStale != pos.StaleTake {
		return 0, pos.NewError(pos.ErrCatalogueOld, fmt.Errorf("it is %s old, at most %s", age.Round(time.Minute), l.CatalogueMax))
	}
	for _, u := range uses {
		if err := cat.Admit(u, t.c.category(), at); err != nil {
			return 0, err
		}
	}
	return pos.CheckEnvelopes(uses, amount)
}

// aboutEnvelopes reports that a promise was refused for its envelopes.
func aboutEnvelopes(err error) bool {
	return slices.Contains([]pos.Code{
		pos.ErrEnvelopeUnknown, pos.ErrEnvelopeScope, pos.ErrEnvelopeWindow, pos.ErrEnvelopeSum, pos.ErrCatalogueOld,
	}, pos.CodeOf(err))
}

// withoutEnvelopes voids the challenge of a payment: the next one offers no envelopes.
func (t *Till) withoutEnvelopes(id pos.PaymentID) {
	t.with(id, func(s *sale) { s.prompt, s.plain = kernel.Prompt{}, true })
}

// restoreClock takes up what the clock of an earlier run has kept, and that it cannot be
// long before the latest promise that lies in the journal.
func (t *Till) restoreClock(ctx context.Context) error {
	var kept clock.Kept
	text, ok, err := t.c.Journal.Meta(ctx, metaClock)
	if err != nil {
		return err
	}
	if ok {
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return fmt.Errorf("read clock: %w", err)
		}
	}
	if before, err := t.number(ctx, metaCentre); err != nil {
		return err
	} else if kept.CentreMS == 0 {
		kept.CentreMS = int64(before) // of a version that kept no more
	}
	t.clock.Restore(kept)
	list, err := t.c.Journal.Payments(ctx, Query{States: []pos.State{pos.AcceptedEvidence}, Limit: 1})
	if err != nil || len(list) == 0 {
		return err
	}
	policy, err := t.c.Policies.In(t.clock.Interval())
	if err == nil {
		t.clock.NotBefore(list[0].UpdatedMS - policy.Limits.ClockMax.Milliseconds())
	}
	return nil
}

// keepClock writes down what the clock knows.
func (t *Till) keepClock(ctx context.Context) error {
	text, err := json.Marshal(t.clock.Keep())
	if err == nil {
		err = t.c.Journal.SetMeta(ctx, metaClock, string(text))
	}
	if err != nil {
		return fmt.Errorf("keep clock: %w", err)
	}
	return nil
}

// room is how near the guards are. Where no policy is in force there is no room.
func (t *Till) room(out pos.Outbox) (pos.Room, Rules) {
	policy, at, err := t.policy()
	if !t.c.Forward {
		policy.Limits.Forward = pos.Forward{}
	}
	holds := pos.Holds{Stored: out.Money, Forward: out.Forwarded, TrustMS: t.c.trustMS(at), At: at}
	r := policy.Limits.Room(holds)
	rules := Rules{Version: policy.Version, Scope: policy.Scope(), ExpiresMS: policy.ExpiresMS, At: at, CatalogueMS: t.c.catalogue().IssuedMS}
	if next, from, ok := t.c.Policies.Next(at); ok {
		rules.NextVersion, rules.NextMS = next.Version, from
	}
	if e, soon := policy.Soon(at); soon && rules.NextMS == 0 {
		r.Tell(e)
	}
	var why *pos.Error
	if errors.As(err, &why) {
		if policy.Version == 0 && policy.Limits.PerPayment == 0 { // no policy: its empty limits say nothing
			r.Edges = []pos.Edge{}
		}
		r.Tell(pos.Edge{Code: why.Code, Stop: true, Text: why.Text, Hint: why.Hint})
		r.ForwardStop = true
	}
	return r, rules
}

// Rules are what decides about offline payments here, for who wants to see it.
type Rules struct {
	Version     uint64       `json:"version"`
	Scope       string       `json:"scope"`
	ExpiresMS   int64        `json:"expires_ms,omitempty"`
	NextVersion uint64       `json:"next_version,omitempty"`
	NextMS      int64        `json:"next_ms,omitempty"` // when the next policy comes in force
	CatalogueMS int64        `json:"catalogue_ms,omitempty"`
	At          pos.Interval `json:"at"` // where the true time lies
}
