package checkout_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/pos"
)

// bench is a shop and a running till in a bubble of its own time.
type bench struct {
	*testing.T
	*checkouttest.Shop
	till *checkout.Till
	stop func()
	keys int
}

// again stops the till and starts it anew on the same journal.
func (b *bench) again(change ...func(*checkout.Config)) {
	b.Helper()
	b.stop()
	b.till, b.stop = b.Start(b.T, change...)
}

func run(t *testing.T, name string, test func(b *bench), change ...func(*checkout.Config)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{T: t, Shop: checkouttest.NewShop(t)}
			b.till, b.stop = b.Start(t, change...)
			defer func() { b.stop() }()
			test(b)
		})
	})
}

func (b *bench) request(mode pos.Mode, order string) checkout.Request {
	b.keys++
	return checkout.Request{
		Caller: "screen", Key: "k" + strconv.Itoa(b.keys), OrderID: order, OrderAmount: 1000, Amount: 1000, Mode: mode, Operator: "7",
	}
}

func (b *bench) start(mode pos.Mode, order string) pos.Payment {
	b.Helper()
	p, err := b.till.Start(b.Context(), b.request(mode, order))
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func (b *bench) want(id pos.PaymentID, state pos.State) pos.Payment {
	b.Helper()
	p, err := b.till.Payment(context.Background(), id)
	if err != nil {
		b.Fatal(err)
	}
	if p.State != state {
		b.Fatalf("payment is %s (%s), want %s", p.State, p.Reason, state)
	}
	return p
}

func code(t *testing.T, err error, want pos.Code) {
	t.Helper()
	if got := pos.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

func fate(f checkouttest.Fate, verb string) func(string) checkouttest.Fate {
	return func(v string) checkouttest.Fate {
		if v == verb {
			return f
		}
		return checkouttest.Answered
	}
}

func TestPaymentCode(t *testing.T) {
	for name, c := range map[string]struct {
		fate  checkouttest.Fate
		now   pos.State // what SubmitCode gives back
		later pos.State // after a minute
	}{
		"answered":            {checkouttest.Answered, pos.Paid, pos.Paid},
		"declined":            {checkouttest.Denied, pos.Declined, pos.Declined},
		"in process":          {checkouttest.InProcess, pos.Asking, pos.Paid},
		"answer lost":         {checkouttest.LostAfter, pos.Unknown, pos.Paid},
		"question lost":       {checkouttest.LostBefore, pos.Unknown, pos.Declined},
		"no answer in time":   {checkouttest.Hanging, pos.Unknown, pos.Paid},
		"provably never left": {checkouttest.NotSent, pos.Declined, pos.Declined},
	} {
		run(t, name, func(b *bench) {
			b.Host.SetFates(fate(c.fate, "pay"))
			p := b.start(pos.BScanC, "o1")
			got, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1))
			if err != nil {
				b.Fatal(err)
			}
			if got.State != c.now {
				b.Fatalf("got %s, want %s", got.State, c.now)
			}
			if c.fate == checkouttest.NotSent && got.Reason != pos.ErrNotSent {
				b.Fatalf("reason %q", got.Reason)
			}
			time.Sleep(time.Minute)
			b.want(p.ID, c.later)
			if b.Host.Asked("pay") != 1 {
				b.Fatalf("asked for money %d times", b.Host.Asked("pay"))
			}
		})
	}
}

func TestAWrongWallClockDoesNotExpireQuestions(t *testing.T) {
	for name, by := range map[string]time.Duration{"behind": -3 * time.Hour, "ahead": 3 * time.Hour} {
		run(t, name, func(b *bench) {
			b.SetClock(by)
			p := b.start(pos.BScanC, "o1")
			if q, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil || q.State != pos.Paid {
				b.Fatalf("%s %s %v", q.State, q.Reason, err)
			}
			shown := b.start(pos.CScanB, "o2")
			if _, err := b.till.Present(b.Context(), shown.ID); err != nil {
				b.Fatal(err)
			}
			time.Sleep(2*time.Minute + 50*time.Second)
			b.want(shown.ID, pos.Asking)
			time.Sleep(15 * time.Second)
			b.want(shown.ID, pos.Abandoned)
		})
	}
}

func TestQuestionIsJournaledBeforeItLeaves(t *testing.T) {
	run(t, "asking, with expiry and hash, never the code", func(b *bench) {
		b.Host.SetFates(func(string) checkouttest.Fate {
			all := b.Journal.All()
			if p := all[len(all)-1]; p.State != pos.Asking || p.ExpiresMS == 0 || len(p.CodeHash) != 32 {
				b.Errorf("when the question leaves the journal says %s, expires %d, hash %x", p.State, p.ExpiresMS, p.CodeHash)
			}
			return checkouttest.Answered
		})
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		for _, e := range b.Journal.Entries() {
			if string(e.Body) != "" && containsCode(e.Body, checkouttest.Code(1)) {
				b.Fatalf("entry %d holds the code", e.Seq)
			}
		}
	})
	run(t, "when the journal does not take it nothing is asked", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		b.Journal.Break(errors.New("disk full"))
		_, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1))
		code(b.T, err, pos.ErrStorage)
		if b.Host.Asked("pay") != 0 {
			b.Fatal("the centre was asked although nothing is journaled")
		}
		s, err := b.till.Status(b.Context())
		if err != nil || len(s.Findings) == 0 || s.Findings[0].Code != "storage" {
			b.Fatalf("findings %+v %v", s.Findings, err)
		}
	})
	run(t, "an answer that cannot be journaled is asked for again", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		b.Host.SetFates(func(verb string) checkouttest.Fate {
			if verb == "pay" {
				b.Journal.Break(errors.New("disk full"))
			}
			return checkouttest.Answered
		})
		got, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1))
		if err != nil || got.State != pos.Asking {
			b.Fatalf("got %s %v", got.State, err)
		}
		b.Journal.Break(nil)
		time.Sleep(10 * time.Second)
		b.want(p.ID, pos.Paid)
	})
}

func containsCode(body []byte, code string) bool {
	for i := range len(body) - len(code) + 1 {
		if string(body[i:i+len(code)]) == code {
			return true
		}
	}
	return false
}

func TestCodesThatAreRefused(t *testing.T) {
	run(t, "by kind", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		for _, c := range []string{
			"", "130000000000000000", "280000000000000000", "6200000000000000000", "010010000000000000",
			"6901234567892", "https://example.com", "dcpos:pay:x", "01001" + string(make([]byte, 200)),
		} {
			_, err := b.till.SubmitCode(b.Context(), p.ID, c)
			code(b.T, err, pos.ErrBadCode)
		}
		_, err := b.till.SubmitCode(b.Context(), p.ID, "130000000000000000")
		if e := pos.AsError(err); e.Text.EN != "this is a payment code of WeChat Pay, not of digital yuan" || e.Hint.ZH == "" {
			b.Fatalf("text %+v", e)
		}
		b.want(p.ID, pos.Created)
	})
	run(t, "used before", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		if again, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil || again.State != pos.Paid {
			b.Fatalf("the same code for the same payment: %s %v", again.State, err)
		}
		q := b.start(pos.BScanC, "o2")
		_, err := b.till.SubmitCode(b.Context(), q.ID, checkouttest.Code(1))
		code(b.T, err, pos.ErrCodeUsed)
		b.want(q.ID, pos.Created)
	})
	run(t, "offline, at once", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		b.Host.Connect(false)
		_, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1))
		code(b.T, err, pos.ErrOfflineCode)
		b.want(p.ID, pos.Created)
	})
	run(t, "for another way to pay", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		_, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1))
		code(b.T, err, pos.ErrIllegalMove)
	})
}

func TestIdempotency(t *testing.T) {
	run(t, "same key, same body: the same payment, whatever became of it", func(b *bench) {
		r := b.request(pos.BScanC, "o1")
		p, err := b.till.Start(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		for range 2 {
			again, err := b.till.Start(b.Context(), r)
			if err != nil || again.ID != p.ID {
				b.Fatalf("got %s %v, want %s", again.ID, err, p.ID)
			}
			if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
				b.Fatal(err)
			}
		}
		if n := len(b.Journal.All()); n != 1 {
			b.Fatalf("%d payments", n)
		}
	})
	run(t, "same key, other body", func(b *bench) {
		r := b.request(pos.BScanC, "o1")
		if _, err := b.till.Start(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		for _, other := range []func(*checkout.Request){
			func(r *checkout.Request) { r.Amount = 999 }, func(r *checkout.Request) { r.OrderAmount = 1001 },
			func(r *checkout.Request) { r.OrderID = "o2" }, func(r *checkout.Request) { r.Mode = pos.CScanB },
			func(r *checkout.Request) { r.Note = "x" },
		} {
			c := r
			other(&c)
			_, err := b.till.Start(b.Context(), c)
			code(b.T, err, pos.ErrKeyConflict)
		}
		r.Caller = "vendor"
		if _, err := b.till.Start(b.Context(), r); err != nil {
			b.Fatalf("the key of another caller: %v", err)
		}
	})
	run(t, "a key that was answered with the open QR stays with it", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		if _, err := b.till.Present(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		r := b.request(pos.CScanB, "o1")
		q, err := b.till.Start(b.Context(), r)
		if err != nil || q.ID != p.ID || q.QR == "" {
			b.Fatalf("got %s %q %v, want the open one %s", q.ID, q.QR, err, p.ID)
		}
		if _, err := b.till.Cancel(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		if q, err = b.till.Start(b.Context(), r); err != nil || q.ID != p.ID || q.State != pos.Abandoned {
			b.Fatalf("later: %s %s %v", q.ID, q.State, err)
		}
		r.Amount = 999
		_, err = b.till.Start(b.Context(), r)
		code(b.T, err, pos.ErrKeyConflict)
	})
}

func TestOrders(t *testing.T) {
	run(t, "one attempt at a time", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		_, err := b.till.Start(b.Context(), b.request(pos.BScanC, "o1"))
		code(b.T, err, pos.ErrOrderOpen)
		if _, err := b.till.Cancel(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		b.want(p.ID, pos.Cancelled)
		b.start(pos.BScanC, "o1")
	})
	run(t, "never more than the order", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		_, err := b.till.Start(b.Context(), b.request(pos.BScanC, "o1"))
		code(b.T, err, pos.ErrOrderPaid)
	})
	run(t, "beside an unknown one only when confirmed, and the confirmation is journaled first", func(b *bench) {
		b.Host.SetFates(func(string) checkouttest.Fate { return checkouttest.LostAfter })
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		b.want(p.ID, pos.Unknown)
		_, err := b.till.Cancel(b.Context(), p.ID)
		code(b.T, err, pos.ErrIllegalMove)
		r := b.request(pos.BScanC, "o1")
		_, err = b.till.Start(b.Context(), r)
		code(b.T, err, pos.ErrOrderUnknown)
		r.ConfirmUnknown = true
		q, err := b.till.Start(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		e := b.Journal.Entries()
		if e[len(e)-2].Kind != pos.KindOrderConfirmed || e[len(e)-1].Payment != q.ID {
			b.Fatalf("the last entries are %s, %s", e[len(e)-2].Kind, e[len(e)-1].Kind)
		}
		b.Host.SetFates(nil)
		if _, err := b.till.SubmitCode(b.Context(), q.ID, checkouttest.Code(2)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.want(p.ID, pos.Paid)
		s, err := b.till.Status(b.Context())
		if err != nil || len(s.Notices) != 1 {
			b.Fatalf("the cashier is not told of the second payment: %+v %v", s.Notices, err)
		}
	})
}

func TestUnknownIsQueriedUntilFinal(t *testing.T) {
	run(t, "at its pace, and at once when the centre is back", func(b *bench) {
		b.Host.SetFates(func(verb string) checkouttest.Fate { return checkouttest.LostBefore })
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(45 * time.Second)
		fast := b.Host.Asked("query")
		if fast < 12 || fast > 15 {
			b.Fatalf("%d queries in 45 s, want about 14", fast)
		}
		time.Sleep(2 * time.Hour)
		if slow := b.Host.Asked("query") - fast; slow < 4 || slow > 7 {
			b.Fatalf("%d queries in the next two hours", slow)
		}
		b.Host.Connect(false)
		time.Sleep(5 * time.Second)
		before := b.Host.Asked("query")
		b.Host.SetFates(nil)
		b.Host.Connect(true)
		time.Sleep(2 * time.Second)
		if b.Host.Asked("query") == before {
			b.Fatal("not asked at reconnection")
		}
		b.want(p.ID, pos.Declined)
	})
}

func TestQR(t *testing.T) {
	run(t, "shown, shown again, paid", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		shown, err := b.till.Present(b.Context(), p.ID)
		if err != nil || shown.QR == "" || shown.State != pos.Asking {
			b.Fatalf("got %s %q %v", shown.State, shown.QR, err)
		}
		again, err := b.till.Present(b.Context(), p.ID)
		if err != nil || again.QR != shown.QR || b.Host.Asked("present") != 1 {
			b.Fatalf("again: %q %v", again.QR, err)
		}
		b.Host.Settle(p.ID, pos.Paid)
		time.Sleep(4 * time.Second)
		b.want(p.ID, pos.Paid)
	})
	run(t, "not scanned in time: abandoned, and the centre is told", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		if _, err := b.till.Present(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2*time.Minute + 50*time.Second)
		b.want(p.ID, pos.Asking)
		time.Sleep(15 * time.Second)
		b.want(p.ID, pos.Abandoned)
		if !b.Host.Abandoned(p.ID) {
			b.Fatal("the centre was not told")
		}
		b.start(pos.BScanC, "o1")
	})
	run(t, "cancelled after it was shown: abandoned, never cancelled", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		if _, err := b.till.Present(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		for range 2 {
			if q, err := b.till.Cancel(b.Context(), p.ID); err != nil || q.State != pos.Abandoned {
				b.Fatalf("got %s %v", q.State, err)
			}
		}
		time.Sleep(time.Second)
		if b.Host.Asked("abandon") != 1 {
			b.Fatalf("told %d times", b.Host.Asked("abandon"))
		}
		b.Host.Settle(p.ID, pos.Paid)
		time.Sleep(time.Hour)
		b.want(p.ID, pos.Abandoned)
	})
	run(t, "offline none is offered", func(b *bench) {
		p := b.start(pos.CScanB, "o1")
		b.Host.Connect(false)
		_, err := b.till.Present(b.Context(), p.ID)
		code(b.T, err, pos.ErrOffline)
		b.want(p.ID, pos.Created)
	})
	run(t, "the answer is lost: asking, and the same QR can be had", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.LostAfter, "present"))
		p := b.start(pos.CScanB, "o1")
		q, err := b.till.Present(b.Context(), p.ID)
		code(b.T, err, pos.ErrOffline)
		if q.State != pos.Asking {
			b.Fatalf("state %s", q.State)
		}
		b.Host.SetFates(fate(checkouttest.NotSent, "present"))
		if q, _ = b.till.Present(b.Context(), p.ID); q.State != pos.Asking {
			b.Fatalf("a second question that never left says nothing of the first: %s", q.State)
		}
		b.Host.SetFates(nil)
		if q, err = b.till.Present(b.Context(), p.ID); err != nil || q.QR == "" {
			b.Fatalf("%q %v", q.QR, err)
		}
	})
	run(t, "provably never left: declined", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.NotSent, "present"))
		p := b.start(pos.CScanB, "o1")
		q, err := b.till.Present(b.Context(), p.ID)
		if err != nil || q.State != pos.Declined || q.Reason != pos.ErrNotSent {
			b.Fatalf("%s %s %v", q.State, q.Reason, err)
		}
	})
}

func TestIdlePaymentIsCancelled(t *testing.T) {
	run(t, "nobody was asked", func(b *bench) {
		p := b.start(pos.BScanC, "o1")
		time.Sleep(14 * time.Minute)
		b.want(p.ID, pos.Created)
		time.Sleep(2 * time.Minute)
		b.want(p.ID, pos.Cancelled)
	})
}

func TestCommandsNeedARunningTill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop := checkouttest.NewShop(t)
		till, stop := shop.Start(t)
		stop()
		_, err := till.Start(t.Context(), checkout.Request{
			Caller: "c", Key: "k", OrderID: "o", OrderAmount: 1, Amount: 1, Mode: pos.BScanC,
		})
		code(t, err, pos.ErrInternal)
		if n := len(shop.Journal.Entries()); n != 0 {
			t.Fatalf("%d entries", n)
		}
	})
}

func TestCallerGoesAway(t *testing.T) {
	run(t, "the question goes on and its answer is journaled", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.Hanging, "pay"))
		p := b.start(pos.BScanC, "o1")
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		got, err := b.till.SubmitCode(ctx, p.ID, checkouttest.Code(1))
		if err != nil || got.State != pos.Asking {
			b.Fatalf("%s %v", got.State, err)
		}
		time.Sleep(30 * time.Second)
		b.want(p.ID, pos.Paid)
	})
}
