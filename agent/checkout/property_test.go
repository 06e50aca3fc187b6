package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/internal/testprop"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// op is one thing that happens to a till.
type op struct {
	What  string
	A, B  int
	Fates []byte
}

func (o op) String() string { return fmt.Sprintf("%s(%d,%d,%v)", o.What, o.A, o.B, o.Fates) }

func drawOps(t *rapid.T) []op {
	what := []string{
		"start", "start", "code", "present", "evidence", "cancel", "refund", "link", "sleep", "sleep", "restart",
		"crash", "scan_qr", "refresh", "again", "confirm", "verdicts", "sell", "sell", "show", "dual", "dual",
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
		return op{
			What: rapid.SampledFrom(what).Draw(t, "what"),
			A:    rapid.IntRange(0, 5).Draw(t, "a"), B: rapid.IntRange(0, 5).Draw(t, "b"),
			Fates: rapid.SliceOfN(rapid.ByteRange(0, byte(checkouttest.Hanging)), 0, 3).Draw(t, "fates"),
		}
	}), 20, 60).Draw(t, "ops")
}

// world is a shop under random ops, with what must hold all the time.
type world struct {
	*checkouttest.Shop
	tb      testing.TB
	till    *checkout.Till
	stop    func()
	wallet  *checkouttest.Wallet
	ids     []pos.PaymentID
	keys    map[string]checkout.Request
	byKey   map[string]pos.PaymentID
	link    bool
	verdict uint64
	yes     int // confirmations that were given
}

func (w *world) id(n int) pos.PaymentID {
	if len(w.ids) == 0 {
		return pos.PaymentID{1}
	}
	return w.ids[max(0, len(w.ids)-1-n)]
}

func (w *world) fates(list []byte) {
	w.Host.SetFates(func(string) checkouttest.Fate {
		if len(list) == 0 {
			return checkouttest.Answered
		}
		f := checkouttest.Fate(list[0])
		list = list[1:]
		return f
	})
}

func (w *world) begin(r checkout.Request) error {
	p, err := w.till.Start(context.Background(), r)
	if err != nil {
		return nil //nolint:nilerr // a refusal is what the till is for
	}
	full := r.Caller + "/" + r.Key
	if known, ok := w.byKey[full]; ok && known != p.ID {
		return fmt.Errorf("key %s gave %s, then %s", full, known, p.ID)
	}
	w.byKey[full], w.keys[full] = p.ID, r
	w.ids = append(w.ids, p.ID)
	return nil
}

func (w *world) do(n int, o op) error {
	ctx := context.Background()
	w.fates(o.Fates)
	switch o.What {
	case "start", "confirm":
		if o.What == "confirm" {
			w.yes++
		}
		modes := []pos.Mode{pos.BScanC, pos.CScanB, pos.Evidence}
		return w.begin(checkout.Request{
			Caller: "screen", Key: fmt.Sprint(n), OrderID: fmt.Sprint("o", o.A%3), OrderAmount: 1000,
			Amount: []pos.Money{1000, 400, 600}[o.B%3], Mode: modes[(o.A+o.B)%3], ConfirmUnknown: o.What == "confirm", Operator: "7",
		})
	case "sell", "show", "dual":
		return w.sale(n, o)
	case "again":
		for _, r := range w.keys {
			return w.begin(r)
		}
	case "code":
		_, _ = w.till.SubmitCode(ctx, w.id(o.A), checkouttest.Code(n/2))
	case "present":
		_, _ = w.till.Present(ctx, w.id(o.A))
	case "evidence":
		return w.evidence(w.id(o.A), o.B == 0)
	case "cancel":
		_, _ = w.till.Cancel(ctx, w.id(o.A))
	case "refund":
		_, _, _ = w.till.Refund(ctx, checkout.RefundRequest{
			Caller: "screen", Key: fmt.Sprint("r", n/3), Payment: w.id(o.A), Amount: 300, Operator: "7",
		})
	case "link":
		w.link = !w.link
		w.Host.Connect(w.link)
	case "sleep":
		time.Sleep([]time.Duration{time.Second, 4 * time.Second, time.Minute, 4 * time.Minute, 20 * time.Minute, 3 * time.Hour}[o.A])
	case "restart", "crash":
		if o.What == "crash" {
			go func() { _, _ = w.till.SubmitCode(ctx, w.id(o.A), checkouttest.Code(1000+n)) }()
			synctest.Wait()
			w.Journal.Break(errors.New("no power"))
		}
		w.stop()
		w.Journal.Break(nil)
		w.till, w.stop = w.Start(w.tb)
	case "scan_qr":
		w.Host.Settle(w.id(o.A), pos.Paid)
	case "refresh":
		_, _ = w.till.Refresh(ctx, w.id(o.A))
	case "verdicts":
		w.verdict++
		return w.till.ApplyVerdict(ctx, pos.Verdict{Number: w.verdict, Payment: w.id(o.A), Moved: &pos.PaymentMoved{
			From: pos.AcceptedEvidence, To: []pos.State{pos.Credited, pos.Refused, pos.Conflict}[o.B%3], Source: "centre",
		}})
	}
	return nil
}

// sale goes the whole way, so that the deeper states are reached often.
func (w *world) sale(n int, o op) error {
	mode := map[string]pos.Mode{"sell": pos.BScanC, "show": pos.CScanB, "dual": pos.Evidence}[o.What]
	if o.What == "dual" {
		w.link = false
		w.Host.Connect(false)
	}
	had := len(w.ids)
	err := w.begin(checkout.Request{
		Caller: "screen", Key: fmt.Sprint(n), OrderID: fmt.Sprint("o", o.A%3), OrderAmount: 1000,
		Amount: []pos.Money{1000, 400, 600}[o.B%3], Mode: mode, Operator: "7",
	})
	if err != nil || len(w.ids) == had {
		return err
	}
	switch mode {
	case pos.BScanC:
		_, _ = w.till.SubmitCode(context.Background(), w.id(0), checkouttest.Code(5000+n))
	case pos.CScanB:
		_, _ = w.till.Present(context.Background(), w.id(0))
	case pos.Evidence:
		return w.evidence(w.id(0), o.B == 0)
	}
	return nil
}

func (w *world) evidence(id pos.PaymentID, back bool) error {
	prompt, err := w.till.Challenge(context.Background(), id)
	if err != nil {
		return nil //nolint:nilerr // a refusal is what the till is for
	}
	answer, err := w.wallet.Sign(prompt.Text)
	if err != nil {
		return err
	}
	if back {
		w.Host.Connect(true)
	}
	_, _ = w.till.SubmitEvidence(context.Background(), id, answer)
	return nil
}

// holds says what of the rules of money is broken.
func (w *world) holds() error {
	if m := w.Journal.Misfits(); len(m) > 0 {
		return fmt.Errorf("the till wrote what does not fit: %w", m[0])
	}
	confirmed, yes := map[string]bool{}, 0
	states := map[pos.PaymentID]pos.Payment{}
	for _, e := range w.Journal.Entries() {
		if e.Operator == "" {
			return fmt.Errorf("entry %d names nobody", e.Seq)
		}
		body, err := dcep.Body(e)
		if err != nil {
			return err
		}
		if c, ok := body.(*pos.OrderConfirmed); ok {
			confirmed[c.OrderID] = true
			if yes++; yes > w.yes {
				return fmt.Errorf("entry %d confirms what nobody confirmed", e.Seq)
			}
		}
		before := states[e.Payment]
		p, changed, err := dcep.Apply(before, !before.ID.IsZero(), e)
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		states[e.Payment] = p
		if p.State == pos.AcceptedEvidence && before.State == pos.Created {
			for _, q := range states {
				if q.OrderID == p.OrderID && (q.State == pos.Asking || q.State == pos.Unknown) {
					return fmt.Errorf("entry %d takes evidence while %s is %s", e.Seq, q.ID, q.State)
				}
			}
		}
		if err := orderHolds(states, p.OrderID, confirmed[p.OrderID]); err != nil {
			return fmt.Errorf("after entry %d: %w", e.Seq, err)
		}
	}
	for id, p := range states {
		if w.Host.Pays(id) > 1 {
			return fmt.Errorf("payment %s was asked for money %d times", id, w.Host.Pays(id))
		}
		if p.State == pos.Declined && w.Host.State(id) == pos.Paid {
			return fmt.Errorf("payment %s is declined (%s) and debited", id, p.Reason)
		}
		if p.State == pos.Paid && w.Host.State(id) != pos.Paid {
			return fmt.Errorf("payment %s is paid here and %q in the books", id, w.Host.State(id))
		}
		if p.State == pos.Cancelled && w.Host.State(id) != "" {
			return fmt.Errorf("payment %s is cancelled although it was asked for", id)
		}
		if p.Refunded() > p.Amount || p.Reserved() > p.Amount {
			return fmt.Errorf("payment %s refunds %s of %s", id, p.Reserved(), p.Amount)
		}
	}
	return nil
}

func orderHolds(states map[pos.PaymentID]pos.Payment, order string, confirmed bool) error {
	open, held := 0, pos.Money(0)
	for _, p := range states {
		if p.OrderID != order {
			continue
		}
		if p.State.Open() && p.State != pos.Unknown {
			open++
		}
		if p.State.Holds() {
			held += p.Amount
		}
	}
	if open > 1 {
		return fmt.Errorf("order %s has %d open attempts", order, open)
	}
	if held > 1000 && !confirmed {
		return fmt.Errorf("order %s of 10.00 has taken %s", order, held)
	}
	return nil
}

// settles says what is still open after the centre has answered everything for long.
func (w *world) settles() error {
	w.fates(nil)
	w.Host.Connect(true)
	time.Sleep(3 * time.Hour)
	for _, p := range w.Journal.All() {
		if p.State.Open() {
			return fmt.Errorf("payment %s (%s) is still %s", p.ID, p.Mode, p.State)
		}
		if books := w.Host.State(p.ID); books == pos.Paid && p.State != pos.Paid && p.State != pos.Abandoned {
			return fmt.Errorf("payment %s is debited and %s", p.ID, p.State)
		}
		for _, r := range p.Refunds {
			if !r.State.Final() {
				return fmt.Errorf("refund %s of %s is still %s", r.ID, p.ID, r.State)
			}
		}
	}
	return w.holds()
}

func simulate(t *testing.T, ops []op) (failure error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			Shop: checkouttest.NewShop(t), tb: t, link: true,
			keys: map[string]checkout.Request{}, byKey: map[string]pos.PaymentID{},
		}
		w.wallet = w.NewWallet(t)
		w.till, w.stop = w.Start(t)
		defer func() { w.stop() }()
		for n, o := range ops {
			if failure = w.do(n, o); failure == nil {
				failure = w.holds()
			}
			if failure != nil {
				failure = fmt.Errorf("op %d %s: %w", n, o, failure)
				return
			}
		}
		failure = w.settles()
	})
	return failure
}

func TestMoneyHoldsWhateverHappens(t *testing.T) {
	testprop.Short(t, 40)
	rapid.Check(t, func(rt *rapid.T) {
		if err := simulate(t, drawOps(rt)); err != nil {
			rt.Fatal(err)
		}
	})
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		checkouttest.Code(1), "130000000000000000", "dcpos:pay:0195c1a0-0000-7000-8000-000000000000", "dcpos:ev1:AAAA",
		"6901234567892", "https://example.com", "", "\xff\x00", strings.Repeat("9", 5000),
	} {
		f.Add(s, "]Q1")
	}
	f.Fuzz(func(t *testing.T, text, symbology string) {
		synctest.Test(t, func(t *testing.T) {
			shop := checkouttest.NewShop(t)
			till, stop := shop.Start(t)
			defer stop()
			p, err := till.Start(t.Context(), checkout.Request{
				Caller: "c", Key: "k", OrderID: "o", OrderAmount: 1, Amount: 1, Mode: pos.BScanC,
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := till.Scan(t.Context(), text, symbology)
			if s.Text.ZH == "" || s.Text.EN == "" || !utf8.ValidString(s.Code) {
				t.Fatalf("%+v", s)
			}
			if q, _ := till.Payment(t.Context(), p.ID); err != nil && q.State != pos.Created {
				t.Fatalf("refused with %v, and yet %s", err, q.State)
			}
		})
	})
}
