package checkout_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

func receiptOf(id pos.PaymentID) checkout.PrintRequest {
	return checkout.PrintRequest{Caller: "screen", Kind: pos.PrintPayment, Payment: id}
}

// print asks for a payment's receipt as the cashier's button does.
func (b *bench) print(id pos.PaymentID) (checkout.Print, error) {
	return b.till.Print(b.Context(), receiptOf(id))
}

func (b *bench) queue(key string, kind pos.PrintKind, id pos.PaymentID) (checkout.Print, error) {
	return b.till.QueuePrint(b.Context(), checkout.PrintRequest{Caller: "sdk", Key: key, Kind: kind, Payment: id})
}

func (b *bench) job(id string) checkout.Print {
	b.Helper()
	j, err := b.till.PrintJob(context.Background(), id)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

func noPaper() error {
	return drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrPaperEnd, nil)
}

func selfTest(c *checkout.Config) {
	c.SelfTest = func() receipt.Receipt { return receipt.New(receipt.Title("self-test"), receipt.Cut()) }
}

func TestAPrintIsIdempotentByItsKey(t *testing.T) {
	run(t, "the same key is one paper", func(b *bench) {
		p, q := b.paid("o1"), b.paid("o2")
		first, err := b.queue("k", pos.PrintPayment, p.ID)
		if err != nil || first.Duplicate || first.Text.ZH == "" { // the press may be done already
			b.Fatalf("%+v %v", first, err)
		}
		time.Sleep(time.Second)
		for range 3 {
			if again, err := b.queue("k", pos.PrintPayment, p.ID); err != nil || again.ID != first.ID || again.State != pos.PrintConfirmed {
				b.Fatalf("%+v %v", again, err)
			}
		}
		time.Sleep(time.Second)
		if n := len(b.Printer.Jobs()); n != 1 {
			b.Fatalf("%d papers", n)
		}
		_, err = b.queue("k", pos.PrintPayment, q.ID)
		code(b.T, err, pos.ErrKeyConflict)
		_, err = b.queue("k", pos.PrintSelfTest, pos.PaymentID{})
		code(b.T, err, pos.ErrKeyConflict)
		other := receiptOf(q.ID) // another caller's key is another one
		other.Key = "k"
		if j, err := b.till.Print(b.Context(), other); err != nil || j.ID == first.ID || j.State != pos.PrintConfirmed || j.Duplicate {
			b.Fatalf("%+v %v", j, err)
		}
		second, err := b.queue("k2", pos.PrintPayment, p.ID)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		if j := b.job(second.ID); j.State != pos.PrintConfirmed || !j.Duplicate {
			b.Fatalf("%+v", j)
		}
	}, selfTest)
	t.Run("the same key after a restart is one paper", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{T: t, Shop: checkouttest.NewShop(t)}
			var stop func()
			b.till, stop = b.Start(t)
			p := b.paid("o1")
			first, err := b.queue("k", pos.PrintPayment, p.ID)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			stop()
			b.till, stop = b.Start(t)
			defer stop()
			if j, err := b.queue("k", pos.PrintPayment, p.ID); err != nil || j.ID != first.ID || j.State != pos.PrintConfirmed {
				t.Fatalf("%+v %v", j, err)
			}
			if j, err := b.print(p.ID); err != nil || !j.Duplicate {
				t.Fatalf("the journal knows the first one: %+v %v", j, err)
			}
			if n := len(b.Printer.Jobs()); n != 2 {
				t.Fatalf("%d papers", n)
			}
		})
	})
	run(t, "what cannot be meant is refused", func(b *bench) {
		p := b.paid("o1")
		for want, r := range map[pos.Code][]checkout.PrintRequest{
			pos.ErrBadRequest: {
				{Kind: pos.PrintPayment, Payment: p.ID},
				{Caller: "c", Kind: "poem", Payment: p.ID},
				{Caller: "c", Kind: pos.PrintPayment},
				{Caller: "c", Kind: pos.PrintSelfTest, Payment: p.ID},
				{Caller: "c", Kind: pos.PrintSelfTest}, // none is configured
				{Caller: "c", Kind: pos.PrintPayment, Payment: p.ID, Key: string(make([]byte, pos.MaxKey+1))},
				{Caller: "c", Kind: pos.PrintPayment, Payment: p.ID, Key: "\n"},
			},
			pos.ErrNotFound: {{Caller: "c", Kind: pos.PrintPayment, Payment: pos.PaymentID{1}}},
		} {
			for _, r := range r {
				_, err := b.till.QueuePrint(b.Context(), r)
				code(b.T, err, want)
			}
		}
		_, err := b.till.PrintJob(b.Context(), "no such job")
		code(b.T, err, pos.ErrNotFound)
		_, err = b.till.CancelPrint(b.Context(), "c", "no such job")
		code(b.T, err, pos.ErrNotFound)
	})
}

func TestTheQueueOfPrints(t *testing.T) {
	always := func(c *checkout.Config) { c.Receipt = checkout.PrintAlways }
	run(t, "prints in its order when there is paper again, and nothing twice", func(b *bench) {
		b.Printer.Jam(noPaper())
		var want []pos.PaymentID
		for _, order := range []string{"o1", "o2", "o3"} {
			want = append(want, b.paid(order).ID)
			time.Sleep(time.Second)
		}
		s, err := b.till.Status(b.Context())
		if err != nil || len(s.Prints) != 3 || s.Prints[0].Reason != "paper" || s.Prints[0].Ask {
			b.Fatalf("%+v %v", s.Prints, err)
		}
		b.Printer.Jam(nil)
		time.Sleep(2 * time.Minute)
		jobs := b.Printer.Jobs()
		if len(jobs) != 3 {
			b.Fatalf("%d papers", len(jobs))
		}
		list, err := b.till.PrintJobs(b.Context(), false, 10)
		if err != nil || len(list) != 3 {
			b.Fatalf("%+v %v", list, err)
		}
		for i, id := range want {
			j := list[2-i]
			if jobs[i].ID != j.ID || jobs[i].Duplicate || j.Payment != id || j.State != pos.PrintConfirmed {
				b.Fatalf("%+v", j)
			}
		}
	}, always)
	run(t, "does not print by itself what nobody waits for", func(b *bench) {
		b.Printer.Jam(noPaper())
		p, q := b.paid("o1"), b.paid("o2")
		time.Sleep(time.Hour)
		b.Printer.Jam(nil)
		time.Sleep(time.Hour)
		list, err := b.till.PrintJobs(b.Context(), true, 0)
		if err != nil || len(list) != 2 || list[0].Reason != pos.ReasonOld || !list[0].Ask || list[0].Payment != p.ID {
			b.Fatalf("%+v %v", list, err)
		}
		if n := len(b.Printer.Jobs()); n != 0 {
			b.Fatalf("%d papers", n)
		}
		entries := len(b.Journal.Entries())
		time.Sleep(24 * time.Hour)
		if n := len(b.Journal.Entries()); n != entries {
			b.Fatalf("%d entries while nothing happens", n-entries)
		}
		_, err = b.till.AnswerPrint(b.Context(), "screen", list[0].ID, true)
		code(b.T, err, pos.ErrIllegalMove) // it never left
		if _, err := b.till.AnswerPrint(b.Context(), "screen", list[0].ID, false); err != nil {
			b.Fatal(err)
		}
		if j, err := b.till.CancelPrint(b.Context(), "screen", list[1].ID); err != nil || j.State != pos.PrintCancelled || j.Payment != q.ID {
			b.Fatalf("%+v %v", j, err)
		}
		time.Sleep(time.Second)
		if j := b.job(list[0].ID); j.State != pos.PrintConfirmed || j.Duplicate || len(b.Printer.Jobs()) != 1 {
			b.Fatalf("%+v", j)
		}
	}, always)
	run(t, "a receipt that waits shows the payment as it has become", func(b *bench) {
		b.Printer.Jam(noPaper())
		b.Host.SetFates(fate(checkouttest.LostAfter, "pay"))
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.want(p.ID, pos.Paid)
		b.Printer.Jam(nil)
		time.Sleep(2 * time.Minute)
		if jobs := b.Printer.Jobs(); len(jobs) != 1 || jobs[0].Duplicate || !strings.Contains(words(jobs[0].Receipt), "已支付") {
			b.Fatalf("%d papers", len(jobs))
		}
	}, always)
	run(t, "a job can be given up, but not while it prints", func(b *bench) {
		p := b.paid("o1")
		hold := b.Printer.Hold()
		j, err := b.queue("k", pos.PrintPayment, p.ID)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		_, err = b.till.CancelPrint(b.Context(), "screen", j.ID)
		code(b.T, err, pos.ErrIllegalMove)
		next, err := b.queue("k2", pos.PrintPayment, p.ID)
		if err != nil {
			b.Fatal(err)
		}
		for range 2 {
			if next, err = b.till.CancelPrint(b.Context(), "screen", next.ID); err != nil || next.State != pos.PrintCancelled {
				b.Fatalf("%+v %v", next, err)
			}
		}
		if _, err := b.till.AnswerPrint(b.Context(), "screen", next.ID, false); pos.CodeOf(err) != pos.ErrIllegalMove {
			b.Fatal(err)
		}
		if q := b.paid("o2"); q.State != pos.Paid { // a printer that hangs holds up no sale
			b.Fatal(q.State)
		}
		hold()
		time.Sleep(time.Second)
		if j := b.job(j.ID); j.State != pos.PrintConfirmed || len(b.Printer.Jobs()) != 1 {
			b.Fatalf("%+v", j)
		}
	})
	run(t, "the self-test ticket", func(b *bench) {
		j, err := b.till.Print(b.Context(), checkout.PrintRequest{Caller: "c", Kind: pos.PrintSelfTest})
		if err != nil || j.State != pos.PrintConfirmed || j.Duplicate {
			b.Fatalf("%+v %v", j, err)
		}
		if again, err := b.till.Print(b.Context(), checkout.PrintRequest{Caller: "c", Kind: pos.PrintSelfTest}); err != nil || again.ID == j.ID || again.Duplicate {
			b.Fatalf("%+v %v", again, err)
		}
	}, selfTest)
	run(t, "what can never be printed holds up nobody", func(b *bench) {
		p := b.paid("o1")
		b.Printer.Refuse(drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrTooBig, nil))
		j, err := b.print(p.ID)
		code(b.T, err, pos.ErrPrinter)
		if j.State != pos.PrintCancelled || j.Hint.ZH == "" {
			b.Fatalf("%+v", j)
		}
		b.Printer.Refuse(nil)
		if j, err := b.print(p.ID); err != nil || j.Duplicate {
			b.Fatalf("%+v %v", j, err)
		}
	})
}

func TestAPrinterThatSaysNothing(t *testing.T) {
	unknown := func(b *bench, want bool) {
		p := b.paid("o1")
		b.Printer.Mute(true)
		j, err := b.print(p.ID)
		if err != nil || j.State != pos.PrintUnknown || j.Ask != want || j.Text.ZH == "" {
			b.Fatalf("%+v %v", j, err)
		}
		if j, err = b.till.AnswerPrint(b.Context(), "screen", j.ID, true); err != nil || j.State != pos.PrintConfirmed {
			b.Fatalf("%+v %v", j, err)
		}
		if j, err := b.print(p.ID); err != nil || !j.Duplicate {
			b.Fatalf("%+v %v", j, err)
		}
	}
	run(t, "asks where it should have said", func(b *bench) { unknown(b, true) })
	run(t, "asks nothing where it never says", func(b *bench) { unknown(b, false) }, func(c *checkout.Config) { c.Unconfirmed = func() bool { return true } })
	run(t, "prints once more at a kiosk, and not for ever", func(b *bench) {
		p := b.paid("o1")
		b.Printer.Mute(true)
		if _, err := b.print(p.ID); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Hour)
		jobs := b.Printer.Jobs()
		if len(jobs) != 2 || jobs[0].Duplicate || !jobs[1].Duplicate {
			b.Fatalf("%d papers", len(jobs))
		}
		if list, err := b.till.PrintJobs(b.Context(), true, 0); err != nil || len(list) != 0 {
			b.Fatalf("%+v %v", list, err)
		}
	}, func(c *checkout.Config) { c.Reprint = checkout.ReprintAuto })
}

func TestAPrintNeedsWhoever(t *testing.T) {
	run(t, "nobody is signed in", func(b *bench) {
		_, err := b.till.QueuePrint(b.Context(), checkout.PrintRequest{Caller: "c", Kind: pos.PrintSelfTest})
		code(b.T, err, pos.ErrNoOperator)
	}, selfTest, func(c *checkout.Config) { c.SignIn = true })
	run(t, "no printer", func(b *bench) {
		p := b.paid("o1")
		_, err := b.print(p.ID)
		code(b.T, err, pos.ErrPrinter)
	}, func(c *checkout.Config) { c.Printer = nil })
}
