package books

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// Envelope is an order of a campaign, and what became of it.
type Envelope struct {
	api.EnvelopeOrder
	Wallet   string // empty: not claimed
	N        int64  // of the claim
	Left     pos.Money
	Recalled bool // or withdrawn
	restored map[string]bool
}

// The events of envelopes.
type (
	claimed struct {
		Wallet    string   `json:"wallet"`
		Envelopes []string `json:"envelopes"`
		AtMS      int64    `json:"at_ms"`
	}
	restored struct {
		Envelope string    `json:"envelope"`
		Payment  string    `json:"payment"`
		Amount   pos.Money `json:"amount_fen"`
	}
)

// campaigns are what the books keep of envelopes.
type campaigns struct {
	rules     map[string]*api.EnvelopeRules
	envelopes map[string]*Envelope
	claimants map[string][]string // → envelopes
	held      map[string][]string // by wallet, in the order of claims
	claims    []api.EnvelopeClaim
}

func newCampaigns() campaigns {
	return campaigns{
		rules: map[string]*api.EnvelopeRules{}, envelopes: map[string]*Envelope{}, claimants: map[string][]string{}, held: map[string][]string{},
	}
}

// Rules keeps a campaign's rules; the newest are in force.
func (b *Books) Rules(r api.EnvelopeRules) error {
	b.mu.Lock()
	err := b.commit(event{Rules: &r})
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

// OrderEnvelopes keeps orders, each by itself.
func (b *Books) OrderEnvelopes(orders []api.EnvelopeOrder) (words []api.EnvelopeWord, err error) {
	b.mu.Lock()
	var fresh []api.EnvelopeOrder
	for _, o := range orders {
		w := api.EnvelopeWord{Envelope: o.Envelope, Status: api.Success}
		e, known := b.envelopes[o.Envelope]
		switch {
		case b.rules[o.Campaign] == nil:
			w.Status, w.Reason = api.Failed, "unknown_campaign"
		case known && e.EnvelopeOrder != o:
			w.Status, w.Reason = api.Failed, string(pos.ErrKeyConflict)
		case !known:
			fresh = append(fresh, o)
		}
		words = append(words, w)
	}
	if len(fresh) > 0 {
		err = b.commit(event{Ordered: fresh})
	}
	b.mu.Unlock()
	return words, errors.Join(err, b.journal.sync())
}

// Claim puts what was ordered for the wallet's phone into the wallet.
func (b *Books) Claim(wallet string) error {
	b.mu.Lock()
	err := b.claim(wallet)
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

func (b *Books) claim(wallet string) error {
	w, ok := b.wallets[wallet]
	if !ok {
		return noWallet(wallet)
	}
	if w.Phone == "" {
		return nil
	}
	c := claimed{Wallet: wallet, AtMS: b.cfg.Now().UnixMilli()}
	for campaign, r := range b.rules {
		for _, id := range b.claimants[api.Claimant(campaign, w.Phone)] {
			if e := b.envelopes[id]; e.Wallet == "" && !e.Recalled && c.AtMS < r.UntilMS {
				c.Envelopes = append(c.Envelopes, id)
			}
		}
	}
	if len(c.Envelopes) == 0 {
		return nil
	}
	slices.Sort(c.Envelopes)
	return b.commit(event{Claimed: &c})
}

// RecallEnvelopes takes back what is left, or withdraws what nobody claimed. A repeat
// gives the same word.
func (b *Books) RecallEnvelopes(q api.EnvelopeRecall) (words []api.EnvelopeWord, err error) {
	b.mu.Lock()
	var gone []string
	for _, id := range q.Envelopes {
		w := api.EnvelopeWord{Envelope: id, Status: api.Success}
		e, ok := b.envelopes[id]
		switch {
		case !ok: // nothing can be claimed of it, and later orders come with its campaign's
			w.Reason = string(pos.ErrNotFound)
		case e.Wallet != "" && q.Unclaimed:
			w.Status, w.Reason, w.Claimed = api.Failed, "claimed", true
		default:
			w.Claimed, w.Left = e.Wallet != "", e.Left
			if !e.Recalled {
				gone = append(gone, id)
			}
		}
		words = append(words, w)
	}
	if len(gone) > 0 {
		err = b.commit(event{Recalled: gone})
	}
	b.mu.Unlock()
	return words, errors.Join(err, b.journal.sync())
}

// RestoreEnvelope puts an amount into a recalled envelope, once per payment.
func (b *Books) RestoreEnvelope(q api.EnvelopeRestore) error {
	b.mu.Lock()
	e, ok := b.envelopes[q.Envelope]
	var err error
	switch {
	case !ok || e.Wallet == "":
		err = pos.FieldError(pos.ErrNotFound, "envelope", errors.New("is in no wallet here"))
	case !e.restored[q.Payment]:
		err = b.commit(event{Restored: &restored{q.Envelope, q.Payment, q.Amount}})
	}
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

// EnvelopeClaims are a page of the claims.
func (b *Books) EnvelopeClaims(after int64, limit int) ([]api.EnvelopeClaim, error) {
	b.mu.Lock()
	after = min(max(after, 0), int64(len(b.claims)))
	page := slices.Clone(b.claims[after:min(len(b.claims), int(after)+limit)])
	b.mu.Unlock()
	return page, b.journal.sync() // what is told must stay true after a kill
}

// Held lists the envelopes in a wallet that have money, in the order of spending.
func (b *Books) Held(wallet string) []api.HeldEnvelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []api.HeldEnvelope
	for _, e := range b.inWallet(wallet) {
		r := b.rules[e.Campaign]
		all = append(all, api.HeldEnvelope{
			Envelope: e.Envelope, Campaign: e.Campaign, Hash: r.Hash, Amount: e.Amount, Threshold: e.Threshold, Left: e.Left,
			FromMS: r.FromMS, UntilMS: r.UntilMS,
		})
	}
	return all
}

// inWallet lists a wallet's envelopes with money: the one that ends first is spent first.
func (b *Books) inWallet(wallet string) []*Envelope {
	var all []*Envelope
	for _, id := range b.held[wallet] {
		if e := b.envelopes[id]; e.Left > 0 && !e.Recalled {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(x, y *Envelope) int {
		return cmp.Or(cmp.Compare(b.rules[x.Campaign].UntilMS, b.rules[y.Campaign].UntilMS), cmp.Compare(x.N, y.N))
	})
	return all
}

// shares divides what envelopes bear of a payment now.
func (b *Books) shares(r *Record, now time.Time) (shares []api.Share, sum pos.Money) {
	goods := basketOf(r)
	for _, e := range b.inWallet(r.Wallet) {
		rules := b.rules[e.Campaign]
		if ms := now.UnixMilli(); ms < rules.FromMS || ms >= rules.UntilMS {
			continue
		}
		good := func(category string) bool { return rules.Allows(r.Merchant, r.Store, r.Channel, category) }
		if take := goods.takes(e, good); take > 0 {
			shares, sum = append(shares, api.Share{Envelope: e.Envelope, Amount: take}), sum+take
			goods.pay(take, good)
		}
	}
	return shares, sum
}

// basket is what a payment is for, and what of each line nothing pays yet.
type basket struct {
	lines []pos.Line
	open  []pos.Money
}

// basketOf makes one line of a payment that told none.
func basketOf(r *Record) basket {
	g := basket{lines: r.Lines}
	if len(g.lines) == 0 {
		g.lines = []pos.Line{{Amount: r.Amount}}
	}
	for _, l := range g.lines {
		g.open = append(g.open, l.Amount)
	}
	return g
}

// takes is what an envelope pays of the goods that it is good for; a coupon pays all of
// itself or nothing, from its threshold on.
func (g basket) takes(e *Envelope, good func(category string) bool) pos.Money {
	var whole, open pos.Money
	for i, l := range g.lines {
		if good(l.Category) {
			whole, open = whole+l.Amount, open+g.open[i]
		}
	}
	if e.Threshold > 0 && (whole < e.Threshold || open < e.Amount || e.Left < e.Amount) {
		return 0
	}
	return min(open, e.Left)
}

func (g basket) pay(amount pos.Money, good func(category string) bool) {
	for i, l := range g.lines {
		if good(l.Category) {
			part := min(amount, g.open[i])
			g.open[i] -= part
			amount -= part
		}
	}
}

// signed are the shares that a wallet has named in evidence; the moment is the one that
// it signed. ok is false when one cannot be spent so.
func (b *Books) signed(r *Record, uses []pos.EnvelopeUse, category string, atMS int64) (shares []api.Share, sum pos.Money, ok bool) {
	for _, u := range uses {
		e, known := b.envelopes[u.Envelope]
		if !known || e.Wallet != r.Wallet || e.Recalled || e.Campaign != u.Campaign || u.Amount > e.Left {
			return nil, 0, false
		}
		rules := b.rules[e.Campaign]
		coupon := e.Threshold > 0 && (r.Amount < e.Threshold || u.Amount != e.Amount)
		if atMS < rules.FromMS || atMS >= rules.UntilMS || coupon || !rules.Allows(r.Merchant, "", pos.ChannelInStore, category) {
			return nil, 0, false
		}
		shares, sum = append(shares, api.Share{Envelope: u.Envelope, Amount: u.Amount}), sum+u.Amount
	}
	return shares, sum, true
}

// splitRefund divides a refund: own money first, then the nameless envelope money, then
// the envelopes, the one spent last first; what was refunded before is taken off in the
// same order.
func splitRefund(orig *Record, before, amount pos.Money) (shares []api.Share, envelope pos.Money) {
	take := func(part pos.Money) pos.Money {
		gone := min(before, part)
		before -= gone
		now := min(amount, part-gone)
		amount -= now
		return now
	}
	take(orig.Amount - orig.Envelope)
	envelope = take(orig.Envelope - sumOf(orig.Shares))
	for _, s := range slices.Backward(orig.Shares) {
		if now := take(s.Amount); now > 0 {
			shares, envelope = append(shares, api.Share{Envelope: s.Envelope, Amount: now}), envelope+now
		}
	}
	return shares, envelope
}

func sumOf(shares []api.Share) (sum pos.Money) {
	for _, s := range shares {
		sum += s.Amount
	}
	return sum
}

// moveShares takes a payment's shares out of envelopes (back false), or gives a refund's
// back; what comes back into a recalled one is taken out at once.
func (b *Books) moveShares(wallet string, shares []api.Share, back bool) error {
	for _, s := range shares {
		e, ok := b.envelopes[s.Envelope]
		if !ok || e.Wallet != wallet || s.Amount <= 0 || (!back && s.Amount > e.Left) || (back && s.Amount > e.Amount-e.Left) {
			return fmt.Errorf("envelope %q of wallet %q cannot move %s", s.Envelope, wallet, s.Amount)
		}
		switch {
		case !back:
			e.Left -= s.Amount
		case e.Recalled:
			b.totals.Issued -= s.Amount
		default:
			e.Left += s.Amount
		}
	}
	return nil
}

// applyEnvelope applies an event of envelopes; done is false for another.
func (b *Books) applyEnvelope(e event) (done bool, err error) {
	switch {
	case e.Rules != nil:
		r := *e.Rules
		b.rules[r.Campaign] = &r
	case e.Ordered != nil:
		for _, o := range e.Ordered {
			if b.envelopes[o.Envelope] != nil || b.rules[o.Campaign] == nil || o.Amount <= 0 {
				return true, fmt.Errorf("envelope %q: ordered twice or of no campaign", o.Envelope)
			}
			b.envelopes[o.Envelope] = &Envelope{EnvelopeOrder: o}
			b.claimants[o.Claimant] = append(b.claimants[o.Claimant], o.Envelope)
		}
	case e.Claimed != nil:
		return true, b.applyClaimed(*e.Claimed)
	case e.Recalled != nil:
		for _, id := range e.Recalled {
			x, ok := b.envelopes[id]
			if !ok || x.Recalled {
				return true, fmt.Errorf("envelope %q: not here, or recalled before", id)
			}
			x.Recalled = true
			b.totals.Issued -= x.Left // Left stays as what was taken back
		}
	case e.Restored != nil:
		x, ok := b.envelopes[e.Restored.Envelope]
		if !ok || x.Wallet == "" || e.Restored.Amount <= 0 {
			return true, fmt.Errorf("envelope %q: is in no wallet", e.Restored.Envelope)
		}
		if x.restored == nil {
			x.restored = map[string]bool{}
		}
		if x.Recalled {
			x.Left, x.Recalled = 0, false
		}
		x.restored[e.Restored.Payment] = true
		x.Left += e.Restored.Amount
		b.totals.Issued += e.Restored.Amount
	default:
		return false, nil
	}
	return true, nil
}

func (b *Books) applyClaimed(c claimed) error {
	if b.wallets[c.Wallet] == nil {
		return fmt.Errorf("claim of wallet %q: not in the books", c.Wallet)
	}
	for _, id := range c.Envelopes {
		e, ok := b.envelopes[id]
		if !ok || e.Wallet != "" || e.Recalled {
			return fmt.Errorf("envelope %q: not to be claimed", id)
		}
		n := int64(len(b.claims)) + 1
		e.Wallet, e.Left, e.N = c.Wallet, e.Amount, n
		b.held[c.Wallet] = append(b.held[c.Wallet], id)
		b.claims = append(b.claims, api.EnvelopeClaim{N: n, Envelope: id, Wallet: c.Wallet, AtMS: c.AtMS})
		b.totals.Issued += e.Amount
	}
	return nil
}
