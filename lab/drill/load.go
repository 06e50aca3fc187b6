package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// Load is several clients that sell at every till, and a little bad weather: the link
// goes, institutions lose answers. Clients repeat what was interrupted, with the same
// keys, until every answer is final.
type Load struct {
	site    *Site
	book    *Notebook
	wallets []*wallet.Wallet
	closing atomic.Bool // no new sales
	offline atomic.Bool // the link is cut
	work    sync.WaitGroup
	weather sync.WaitGroup
	calm    context.CancelFunc
}

// walletBalance is more than any drill spends.
const walletBalance pos.Money = 100_000_000_00

// StartLoad opens two wallets at every institution and lets clients sell at each till.
func StartLoad(ctx context.Context, s *Site, book *Notebook, clients int) (*Load, error) {
	l := &Load{site: s, book: book}
	for _, i := range institution.Institutions() {
		for range 2 {
			w, err := s.Wallet(ctx, i.Code, walletBalance)
			if err != nil {
				return nil, fmt.Errorf("open wallet at %s: %w", i.Code, err)
			}
			l.wallets = append(l.wallets, w)
		}
	}
	stream := uint64(0)
	random := func() *rand.Rand {
		stream++
		return rand.New(rand.NewPCG(s.Options.Seed, stream)) //nolint:gosec // moments of a drill, repeated from the seed
	}
	for _, t := range s.Tills {
		for n := range clients {
			c := &client{load: l, till: t, dice: random(), name: fmt.Sprintf("%s-%d-%x", t.Name, n, s.Options.Seed)}
			l.work.Go(func() { c.sell(ctx) })
		}
	}
	sky, calm := context.WithCancel(ctx)
	l.calm = calm
	dice := random()
	l.weather.Go(func() { l.storm(sky, dice) })
	return l, nil
}

// Finish ends the weather, lets every client come to the end of its sale, and waits.
func (l *Load) Finish(ctx context.Context) error {
	l.closing.Store(true)
	l.calm()
	l.weather.Wait()
	if err := l.site.Link.Restore(); err != nil {
		return err
	}
	l.offline.Store(false)
	if err := l.site.ClearFaults(ctx); err != nil {
		return err
	}
	l.work.Wait()
	return nil
}

// storm cuts the link now and then and orders faults.
func (l *Load) storm(ctx context.Context, dice *rand.Rand) {
	for pause(ctx, between(dice, 400*time.Millisecond, 1500*time.Millisecond)) {
		switch dice.IntN(8) {
		case 0, 1, 2:
			l.breakLink(ctx, l.site.Link.Cut, between(dice, 300*time.Millisecond, 2*time.Second))
			continue
		case 3: // half-dead: what was sent arrives later
			l.breakLink(ctx, l.site.Link.Freeze, between(dice, 300*time.Millisecond, 3*time.Second))
			continue
		}
		faults := []api.Fault{
			{Op: api.OpPayments, Kind: api.LostAnswer},
			{Op: api.OpPayments, Kind: api.LostAnswer},
			{Op: api.OpPayments, Kind: api.Slow, DelayMS: 700},
			{Op: api.OpPayments, Kind: api.Decline},
			{Op: api.OpRefunds, Kind: api.LostAnswer},
			{Op: api.OpOrders, Kind: api.LostAnswer},
			{Op: api.OpEvidence, Kind: api.LostAnswer},
			{Op: api.OpQuery, Kind: api.Unavailable},
		}
		f := faults[dice.IntN(len(faults))]
		all := institution.Institutions()
		if err := l.site.Fault(ctx, all[dice.IntN(len(all))].Code, f); err != nil && ctx.Err() == nil {
			l.book.Find("order fault %+v: %v", f, err)
		}
	}
}

func (l *Load) breakLink(ctx context.Context, how func() error, d time.Duration) {
	if err := how(); err != nil {
		l.book.Find("break the link: %v", err)
		return
	}
	l.offline.Store(true)
	pause(ctx, d)
	l.offline.Store(false)
	if err := l.site.Link.Restore(); err != nil {
		l.book.Find("restore the link: %v", err)
	}
}

func between(dice *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(dice.Int64N(int64(high-low)))
}

// client is one till's customer after the other.
type client struct {
	load *Load
	till *Till
	dice *rand.Rand
	name string
	sold int
}

// maxFen bounds a sale: a wallet's ten offline payments stay below every limit.
const maxFen = 60_00

func (c *client) sell(ctx context.Context) {
	for !c.load.closing.Load() && ctx.Err() == nil {
		c.sale(ctx)
		pause(ctx, between(c.dice, 5*time.Millisecond, 150*time.Millisecond))
	}
}

// sale is one order from its name to its final word.
func (c *client) sale(ctx context.Context) {
	c.sold++
	key := fmt.Sprintf("%s-%d", c.name, c.sold)
	r := Start{Key: key, OrderID: "o-" + key, Amount: pos.Money(1 + c.dice.IntN(maxFen)), Mode: pos.BScanC}
	w := c.load.wallets[c.dice.IntN(len(c.load.wallets))]
	switch n := c.dice.IntN(10); {
	case c.load.offline.Load() && n < 7:
		r.Mode = pos.Evidence
	case n < 3:
		r.Mode, r.Institution = pos.CScanB, w.Institution()
	}
	p, ok := c.again(ctx, pos.PaymentID{}, func() (pos.Payment, error) { return c.till.Pay(ctx, r) })
	if !ok {
		return
	}
	if c.dice.IntN(5) == 0 { // the same key again is the same payment
		p, _ = c.again(ctx, p.ID, func() (pos.Payment, error) { return c.till.Pay(ctx, r) })
	}
	switch r.Mode {
	case pos.BScanC:
		p = c.byCode(ctx, p, w)
	case pos.CScanB:
		p = c.byQR(ctx, p, w)
	case pos.Evidence:
		p = c.byEvidence(ctx, p, w)
	}
	p = c.settle(ctx, p)
	if (p.State == pos.Paid || p.State == pos.Credited) && c.dice.IntN(4) == 0 {
		c.refund(ctx, p)
	}
}

// again calls until the till answers, notes the answer, and gives it; ok is false when
// the answer is a refusal that is final, or ctx ended. The payment is then as last heard.
func (c *client) again(ctx context.Context, id pos.PaymentID, f func() (pos.Payment, error)) (p pos.Payment, ok bool) {
	for ctx.Err() == nil {
		before := c.load.book.Last(id)
		p, err := f()
		if err == nil {
			c.load.book.Heard(c.till, before, p)
			return p, true
		}
		if code := CodeOf(err); code != "" {
			c.load.book.refuse(code)
			if !broken(code) {
				return before.Payment, false
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
	before := c.load.book.Last(id)
	return before.Payment, false
}

// broken reports the refusals of a till whose disk has just failed: the same question
// is for the till that starts again.
func broken(code pos.Code) bool {
	return code == pos.ErrStorage || code == pos.ErrInternal || code == pos.ErrChainBroken
}

// look reads the payment.
func (c *client) look(ctx context.Context, id pos.PaymentID) pos.Payment {
	p, ok := c.again(ctx, id, func() (pos.Payment, error) { return c.till.Payment(ctx, id) })
	if !ok && ctx.Err() == nil {
		c.load.book.Find("%s does not know payment %s, which it had named", c.till.Name, id)
	}
	return p
}

// codeLife is how long a payment code is offered; it is good for a minute.
const codeLife = 40 * time.Second

// byCode shows the wallet's payment code until the payment is no longer just named.
func (c *client) byCode(ctx context.Context, p pos.Payment, w *wallet.Wallet) pos.Payment {
	var code string
	var issued time.Time
	for p.State == pos.Created && ctx.Err() == nil {
		if time.Since(issued) > codeLife {
			var err error
			if code, err = w.Code(ctx); err != nil {
				pause(ctx, 50*time.Millisecond)
				continue
			}
			issued = time.Now()
		}
		answer, ok := c.once(ctx, p.ID, func() (pos.Payment, error) {
			return c.till.Do(ctx, p.ID, "code", map[string]string{"code": code})
		})
		if ok {
			return answer
		}
		if c.dice.IntN(20) == 0 {
			return c.cancel(ctx, p)
		}
		pause(ctx, 40*time.Millisecond)
		p = c.look(ctx, p.ID)
	}
	return p
}

// once calls once and notes the answer.
func (c *client) once(ctx context.Context, id pos.PaymentID, f func() (pos.Payment, error)) (pos.Payment, bool) {
	before := c.load.book.Last(id)
	p, err := f()
	if err == nil {
		c.load.book.Heard(c.till, before, p)
		return p, true
	}
	if code := CodeOf(err); code != "" && ctx.Err() == nil {
		c.load.book.refuse(code)
	}
	return before.Payment, false
}

func (c *client) cancel(ctx context.Context, p pos.Payment) pos.Payment {
	for !p.State.Final() && p.State != pos.Unknown && ctx.Err() == nil {
		if answer, ok := c.once(ctx, p.ID, func() (pos.Payment, error) { return c.till.Do(ctx, p.ID, "cancel", nil) }); ok {
			return answer
		}
		pause(ctx, 20*time.Millisecond)
		p = c.look(ctx, p.ID)
	}
	return p
}

// byQR lets the customer scan, or leave, or leave and pay all the same.
func (c *client) byQR(ctx context.Context, p pos.Payment, w *wallet.Wallet) pos.Payment {
	for p.QR == "" && (p.State == pos.Created || p.State == pos.Asking) && ctx.Err() == nil {
		answer, ok := c.once(ctx, p.ID, func() (pos.Payment, error) { return c.till.Do(ctx, p.ID, "present", nil) })
		if ok {
			p = answer
			continue
		}
		if c.dice.IntN(20) == 0 {
			return c.cancel(ctx, p)
		}
		pause(ctx, 40*time.Millisecond)
		p = c.look(ctx, p.ID)
	}
	if p.QR == "" {
		return p
	}
	qr, fate := p.QR, c.dice.IntN(10)
	if fate < 3 {
		c.load.book.left(p.ID)
		p = c.cancel(ctx, p)
	}
	if fate > 0 { // one customer in ten never pays
		for ctx.Err() == nil {
			if _, err := w.Scan(ctx, qr); err == nil {
				break
			}
			pause(ctx, 50*time.Millisecond)
		}
	}
	return p
}

// byEvidence takes the wallet's signature while the centre cannot be reached.
func (c *client) byEvidence(ctx context.Context, p pos.Payment, w *wallet.Wallet) pos.Payment {
	var answer string
	for p.State == pos.Created && ctx.Err() == nil {
		text, err := c.till.Challenge(ctx, p.ID)
		switch code := CodeOf(err); {
		case err == nil:
		case code == "" || broken(code):
			pause(ctx, 20*time.Millisecond)
			p = c.look(ctx, p.ID)
			continue
		default: // online again, or a guard
			c.load.book.refuse(code)
			return c.cancel(ctx, p)
		}
		if answer, err = w.Answer(text, time.Now()); err != nil {
			c.load.book.Find("wallet %s does not sign: %v", w.ID(), err)
			return c.cancel(ctx, p)
		}
		after, ok := c.once(ctx, p.ID, func() (pos.Payment, error) {
			return c.till.Do(ctx, p.ID, "evidence", map[string]string{"evidence": answer})
		})
		if ok {
			return after
		}
		p = c.look(ctx, p.ID)
		if p.State == pos.Created { // refused by a guard
			return c.cancel(ctx, p)
		}
	}
	return p
}

// settlePatience is how long a client waits for the final word; the end of the drill
// waits for the rest.
const settlePatience = 3 * time.Second

// settle waits for the final word. Evidence is left to be credited later.
func (c *client) settle(ctx context.Context, p pos.Payment) pos.Payment {
	began := time.Now()
	for wait := 30 * time.Millisecond; !p.State.Final() && p.State != pos.AcceptedEvidence && ctx.Err() == nil; {
		if time.Since(began) > settlePatience && p.State != pos.Created {
			return p
		}
		pause(ctx, wait)
		wait = min(2*wait, 300*time.Millisecond)
		p = c.look(ctx, p.ID)
	}
	return p
}

// refund gives a part or all of it back, under a key that is repeated until the word is final.
func (c *client) refund(ctx context.Context, p pos.Payment) {
	amount := p.Amount
	if c.dice.IntN(2) == 0 {
		amount = 1 + pos.Money(c.dice.Int64N(int64(amount)))
	}
	key := "r-" + p.Key
	var id pos.RefundID
	began := time.Now()
	for wait := 30 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 300*time.Millisecond) {
		r, err := c.till.Refund(ctx, p.ID, key, amount)
		if code := CodeOf(err); code != "" && !broken(code) {
			c.load.book.Find("%s refuses refund %s of %s: %v", c.till.Name, key, p.ID, err)
			return
		}
		if err == nil {
			if !id.IsZero() && id != r.ID {
				c.load.book.Find("%s: refund key %s names %s and %s", c.till.Name, key, id, r.ID)
			}
			id = r.ID
			p = c.look(ctx, p.ID)
			i := slices.IndexFunc(p.Refunds, func(o pos.Refund) bool { return o.ID == id })
			if i >= 0 && p.Refunds[i].State.Final() {
				return
			}
		}
		if time.Since(began) > settlePatience && !id.IsZero() {
			return
		}
		pause(ctx, wait)
	}
}
