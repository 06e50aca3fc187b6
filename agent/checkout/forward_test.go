package checkout_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// forwards makes a till that stores codes of ICBC's lab-pass for 24 hours: 3 payments, 30 yuan,
// for 12 hours.
func forwards(c *checkout.Config) {
	limits := pos.DefaultLimits()
	limits.Forward = pos.Forward{PerPayment: 2000, StoredTotal: 3000, StoredCount: 3, OldestStop: 12 * time.Hour}
	c.Forward, c.Limits = true, func() pos.Limits { return limits }
	cat := pos.Catalogue{IssuedMS: time.Now().UnixMilli(), Instruments: []pos.Instrument{
		{Institution: "ICBC", Name: "lab-pass", ValidMS: (24 * time.Hour).Milliseconds()},
	}}
	c.Catalogue = func() pos.Catalogue { return cat }
}

func pass() string { return dcep.NewForward("ICBC", "lab-pass").String() }

// amounts begins a payment of an amount of an order of its own.
func (b *bench) amounts(amount pos.Money) pos.Payment {
	b.Helper()
	r := b.request(pos.BScanC, "")
	r.OrderID, r.Amount, r.OrderAmount = "o-"+r.Key, amount, amount
	p, err := b.till.Start(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// store stores a payment of an amount while the centre is away.
func (b *bench) store(amount pos.Money, text string) (pos.Payment, error) {
	b.Helper()
	b.Host.Connect(false)
	return b.till.SubmitCode(b.Context(), b.amounts(amount).ID, text)
}

func (b *bench) stored(amount pos.Money, text string) pos.Payment {
	b.Helper()
	p, err := b.store(amount, text)
	if err != nil || p.State != pos.Stored || p.ExpiresMS == 0 || p.Institution != "ICBC" || p.Instrument != "lab-pass" {
		b.Fatalf("%+v %v", p, err)
	}
	return p
}

// decided waits until a payment is in a state.
func (b *bench) decided(id pos.PaymentID, state pos.State) pos.Payment {
	b.Helper()
	for range 7200 { // of the bubble's own time
		if p, err := b.till.Payment(b.Context(), id); err == nil && p.State == state {
			return p
		}
		time.Sleep(time.Second)
	}
	return b.want(id, state)
}

func (b *bench) notices() string {
	s, err := b.till.Status(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprint(s.Notices)
}

func TestStoredAndForwarded(t *testing.T) {
	run(t, "charged when the centre is back", func(b *bench) {
		text := pass()
		p := b.stored(1000, text)
		if q, err := b.till.SubmitCode(b.Context(), p.ID, text); err != nil || q.State != pos.Stored { // a double scan
			b.Fatalf("%+v %v", q, err)
		}
		if len(b.Journal.Secrets()) != 1 || bytes.Contains(b.Journal.Secrets()[p.ID], []byte(text[20:])) {
			b.Error("its code is not kept, or not sealed")
		}
		b.Host.Connect(true)
		b.decided(p.ID, pos.Paid)
		if n := b.Host.Asked("pay"); n != 1 {
			b.Errorf("asked %d times", n)
		}
		if len(b.Journal.Secrets()) != 0 || !strings.Contains(b.notices(), "were charged") {
			b.Errorf("%d codes are kept; %s", len(b.Journal.Secrets()), b.notices())
		}
		for _, e := range b.Journal.Entries() {
			if bytes.Contains(e.Body, []byte(text[len(text)-26:])) {
				b.Error("the journal holds the code")
			}
		}
	}, forwards)
	run(t, "not charged is the merchant's loss, told again after a restart", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.Denied, "pay"))
		p := b.stored(1000, pass())
		b.Host.Connect(true)
		if q := b.decided(p.ID, pos.Declined); !q.Lost() || q.Reason != pos.ErrInsufficient {
			b.Errorf("%+v", q)
		}
		if !strings.Contains(b.notices(), "merchant's loss") || len(b.Journal.Secrets()) != 0 {
			b.Error(b.notices())
		}
		b.again(forwards)
		if !strings.Contains(b.notices(), "merchant's loss") {
			b.Error("not told after the restart: ", b.notices())
		}
	}, forwards)
	run(t, "an answer that is lost is neither yes nor no", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.LostAfter, "pay"))
		p := b.stored(1000, pass())
		b.Host.Connect(true)
		time.Sleep(10 * time.Second)
		b.want(p.ID, pos.Stored)
		b.Host.SetFates(nil)
		b.decided(p.ID, pos.Paid)
	}, forwards)
	run(t, "a stop in the middle: it goes on where it was", func(b *bench) {
		p := b.stored(1000, pass())
		b.again(forwards)
		b.want(p.ID, pos.Stored)
		b.Host.Connect(true)
		b.decided(p.ID, pos.Paid)
	}, forwards)
	run(t, "after its validity nobody is asked for the money", func(b *bench) {
		p := b.stored(1000, pass())
		time.Sleep(24*time.Hour + time.Minute)
		b.Host.Connect(true)
		if !b.decided(p.ID, pos.Declined).Lost() || b.Host.Asked("pay") != 0 || b.Host.Asked("query") == 0 {
			b.Error("it was asked for")
		}
	}, forwards)
	run(t, "ended by a verdict", func(b *bench) {
		p := b.stored(1000, pass())
		for range 2 {
			if err := b.till.ApplyVerdict(b.Context(), pos.Verdict{Number: 1, Payment: p.ID, Moved: &pos.PaymentMoved{
				From: pos.Stored, To: pos.Declined, Reason: pos.ErrExpired, Source: "centre",
			}}); err != nil {
				b.Fatal(err)
			}
		}
		if !b.want(p.ID, pos.Declined).Lost() || strings.Count(b.notices(), "merchant's loss") != 1 || len(b.Journal.Secrets()) != 0 {
			b.Error(b.notices())
		}
	}, forwards)
	run(t, "a question that never left lets it be stored, with the same code", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.NotSent, "pay"))
		text := pass()
		p := b.start(pos.BScanC, "o1")
		if q, err := b.till.SubmitCode(b.Context(), p.ID, text); err != nil || q.State != pos.Declined || q.Reason != pos.ErrNotSent {
			b.Fatalf("%+v %v", q, err)
		}
		q := b.start(pos.BScanC, "o1")
		if q, err := b.till.SubmitCode(b.Context(), q.ID, text); err != nil || q.State != pos.Stored {
			b.Fatalf("%+v %v", q, err)
		}
	}, forwards)
	run(t, "online it is asked for at once", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		if q, err := b.till.SubmitCode(b.Context(), p.ID, pass()); err != nil || q.State != pos.Paid {
			b.Fatalf("%+v %v", q, err)
		}
	}, forwards)
}

// TestStoredIsRefused are the attacks on a till that stores: each is refused with its reason, and
// leaves the payment as it was.
func TestStoredIsRefused(t *testing.T) {
	refused := func(name string, text func(b *bench) string, amount pos.Money, want pos.Code, change ...func(*checkout.Config)) {
		t.Helper()
		run(t, name, func(b *bench) {
			s := text(b)
			b.Host.Connect(false)
			p := b.amounts(amount)
			_, err := b.till.SubmitCode(b.Context(), p.ID, s)
			code(b.T, err, want)
			b.want(p.ID, pos.Created)
			if _, kept := b.Journal.Secrets()[p.ID]; kept {
				b.Error("its code is kept")
			}
			if pos.AsError(err).Hint.EN == "" || strings.Contains(err.Error(), s) {
				b.Errorf("%v: no advice, or the code in it", err)
			}
		}, append([]func(*checkout.Config){forwards}, change...)...)
	}
	fresh := func(*bench) string { return pass() }
	refused("a payment code of one minute", func(*bench) string { return checkouttest.Code(1) }, 1000, pos.ErrOfflineCode)
	refused("another institution", func(*bench) string { return dcep.NewForward("ABC", "lab-pass").String() }, 1000, pos.ErrForwardUnknown)
	refused("another instrument", func(*bench) string { return dcep.NewForward("ICBC", "card").String() }, 1000, pos.ErrForwardUnknown)
	refused("not readable", func(*bench) string { return pass() + "A" }, 1000, pos.ErrBadCode)
	refused("replayed", func(b *bench) string {
		text := pass()
		b.stored(1, text)
		return text
	}, 1000, pos.ErrCodeUsed)
	refused("replayed when it was charged", func(b *bench) string {
		text := pass()
		p := b.stored(1, text)
		b.Host.Connect(true)
		b.decided(p.ID, pos.Paid)
		return text
	}, 1000, pos.ErrCodeUsed)
	refused("over the payment", fresh, 2001, pos.ErrLimitPayment)
	refused("over the total", func(b *bench) string { b.stored(2000, pass()); return pass() }, 1001, pos.ErrLimitTotal)
	refused("over the total that the centre has receipted", func(b *bench) string {
		b.stored(2000, pass())
		b.Journal.Acknowledge()
		return pass()
	}, 1001, pos.ErrLimitTotal)
	refused("over the count", func(b *bench) string {
		for range 3 {
			b.stored(1, pass())
		}
		return pass()
	}, 1, pos.ErrLimitCount)
	refused("beside one that is too old", func(b *bench) string {
		b.stored(1, pass())
		time.Sleep(12 * time.Hour)
		return pass()
	}, 1, pos.ErrLimitAge)
	refused("with an old catalogue", func(*bench) string { time.Sleep(73 * time.Hour); return pass() }, 1, pos.ErrForwardUnknown)
	refused("without a catalogue", fresh, 1, pos.ErrForwardUnknown, func(c *checkout.Config) { c.Catalogue = nil })
	refused("with a clock that was set", func(b *bench) string { b.SetClock(-time.Hour); return pass() }, 1, pos.ErrClock)
	refused("at a kiosk", fresh, 1, pos.ErrForwardOff, func(c *checkout.Config) { c.Forward = false })
	refused("by the policy that ships", fresh, 1, pos.ErrForwardOff, func(c *checkout.Config) { c.Limits = pos.DefaultLimits })
	run(t, "beside an unknown one", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.LostBefore, "pay"))
		p := b.start(pos.BScanC, "o1")
		if p, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil || p.State != pos.Unknown {
			b.Fatalf("%+v %v", p, err)
		}
		b.Host.Connect(false)
		r := b.request(pos.BScanC, "o1")
		r.ConfirmUnknown = true
		q, err := b.till.Start(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		_, err = b.till.SubmitCode(b.Context(), q.ID, pass())
		code(b.T, err, pos.ErrOrderUnknown)
		b.want(q.ID, pos.Created)
	}, forwards)
	run(t, "a stored payment is neither cancelled, refunded nor paid beside", func(b *bench) {
		p := b.stored(1000, pass())
		_, err := b.till.Cancel(b.Context(), p.ID)
		code(b.T, err, pos.ErrIllegalMove)
		_, _, err = b.till.Refund(b.Context(), checkout.RefundRequest{Caller: "screen", Key: "r1", Payment: p.ID, Amount: 1})
		code(b.T, err, pos.ErrNotRefundable)
		r := b.request(pos.BScanC, p.OrderID)
		_, err = b.till.Start(b.Context(), r)
		code(b.T, err, pos.ErrOrderOpen)
	}, forwards)
}

// TestCashierSeesTheEdgesOfWhatIsStored before anything is refused for them; they stop nothing else.
func TestCashierSeesTheEdgesOfWhatIsStored(t *testing.T) {
	run(t, "edges", func(b *bench) {
		look := func(edges int, stop bool) pos.Room {
			b.Helper()
			s, err := b.till.Status(b.Context())
			if err != nil || len(s.Room.ForwardEdges) != edges || s.Room.ForwardStop != stop || s.Room.Stop {
				b.Fatalf("%+v %v", s.Room, err)
			}
			return s.Room
		}
		if r := look(0, false); r.ForwardLeft != 3000 || r.ForwardCountLeft != 3 || r.ForwardMost != 2000 {
			b.Errorf("%+v", r)
		}
		b.stored(2000, pass())
		look(0, false)
		b.stored(400, pass()) // 80 % of 30 yuan
		if r := look(1, false); r.ForwardEdges[0].Code != pos.ErrLimitTotal || r.ForwardEdges[0].Text.ZH == "" {
			b.Errorf("%+v", r)
		}
		time.Sleep(10 * time.Hour)
		look(2, false)
		b.stored(600, pass())
		look(3, true) // nothing is left of total and count
		b.SetClock(0)
	}, forwards)
}

// TestStoredCodeIsInNoLog: neither at the scan, nor on the way, nor when it cannot be read any more.
func TestStoredCodeIsInNoLog(t *testing.T) {
	var log bytes.Buffer
	run(t, "log", func(b *bench) {
		text := pass()
		b.Host.Connect(false)
		p := b.amounts(1000)
		scan, err := b.till.Scan(b.Context(), text, "")
		if err != nil || strings.Contains(fmt.Sprintf("%+v", scan), text[len(text)-20:]) {
			b.Errorf("%+v %v", scan, err)
		}
		b.want(p.ID, pos.Stored)
		b.Journal.SpoilSecrets()
		b.Host.Connect(true)
		time.Sleep(time.Minute)
		b.want(p.ID, pos.Stored)
		if b.Host.Asked("pay") != 0 || !strings.Contains(log.String(), "stored code") {
			b.Errorf("a spoilt code was asked for, or nobody was told: %s", log.String())
		}
		if strings.Contains(log.String(), text[len(text)-20:]) {
			b.Error("the log holds the code")
		}
	}, forwards, func(c *checkout.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
}
