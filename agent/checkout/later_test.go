package checkout_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/health"
	"dcpos/agent/operator"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/drivers/scanner/router"
	"dcpos/pos"
)

func (b *bench) paid(order string) pos.Payment {
	b.Helper()
	p := b.start(pos.BScanC, order)
	b.keys++
	p, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1000+b.keys))
	if err != nil || p.State != pos.Paid {
		b.Fatalf("%s %v", p.State, err)
	}
	return p
}

func refund(p pos.Payment, key string, amount pos.Money) checkout.RefundRequest {
	return checkout.RefundRequest{Caller: "screen", Key: key, Payment: p.ID, Amount: amount, Operator: "7"}
}

func (b *bench) wantRefund(p pos.Payment, i int, want pos.RefundState) {
	b.Helper()
	q, err := b.till.Payment(b.Context(), p.ID)
	if err != nil || len(q.Refunds) <= i || q.Refunds[i].State != want {
		b.Fatalf("refunds %+v %v, want number %d %s", q.Refunds, err, i, want)
	}
}

func TestRefund(t *testing.T) {
	for name, c := range map[string]struct {
		fate  checkouttest.Fate
		now   pos.RefundState
		later pos.RefundState
	}{
		"answered":            {checkouttest.Answered, pos.RefundRefunded, pos.RefundRefunded},
		"declined":            {checkouttest.Denied, pos.RefundDeclined, pos.RefundDeclined},
		"answer lost":         {checkouttest.LostAfter, pos.RefundUnknown, pos.RefundRefunded},
		"no answer in time":   {checkouttest.Hanging, pos.RefundUnknown, pos.RefundRefunded},
		"provably never left": {checkouttest.NotSent, pos.RefundIntent, pos.RefundRefunded},
	} {
		run(t, name, func(b *bench) {
			p := b.paid("o1")
			b.Host.SetFates(once(c.fate, "refund"))
			_, r, err := b.till.Refund(b.Context(), refund(p, "r1", 400))
			if err != nil || r.State != c.now {
				b.Fatalf("%s %v, want %s", r.State, err, c.now)
			}
			time.Sleep(time.Minute)
			b.wantRefund(p, 0, c.later)
		})
	}
	run(t, "idempotent, and never more than was paid", func(b *bench) {
		p := b.paid("o1")
		_, r, err := b.till.Refund(b.Context(), refund(p, "r1", 600))
		if err != nil {
			b.Fatal(err)
		}
		_, again, err := b.till.Refund(b.Context(), refund(p, "r1", 600))
		if err != nil || again.ID != r.ID || b.Host.Asked("refund") != 1 {
			b.Fatalf("%s %v, asked %d times", again.ID, err, b.Host.Asked("refund"))
		}
		_, _, err = b.till.Refund(b.Context(), refund(p, "r1", 601))
		code(b.T, err, pos.ErrKeyConflict)
		_, _, err = b.till.Refund(b.Context(), refund(p, "r2", 401))
		code(b.T, err, pos.ErrRefundTooMuch)
		_, _, err = b.till.Refund(b.Context(), refund(p, "r3", 400))
		code(b.T, err, "")
		q := b.start(pos.BScanC, "o2")
		_, _, err = b.till.Refund(b.Context(), refund(q, "r4", 1))
		code(b.T, err, pos.ErrNotRefundable)
	})
	run(t, "offline an intent that is reserved and asked when the centre is back", func(b *bench) {
		p := b.paid("o1")
		b.Host.Connect(false)
		_, r, err := b.till.Refund(b.Context(), refund(p, "r1", 600))
		if err != nil || r.State != pos.RefundIntent {
			b.Fatalf("%s %v", r.State, err)
		}
		_, _, err = b.till.Refund(b.Context(), refund(p, "r2", 600))
		code(b.T, err, pos.ErrRefundTooMuch)
		time.Sleep(time.Hour)
		b.wantRefund(p, 0, pos.RefundIntent)
		if b.Host.Asked("refund") != 0 {
			b.Fatal("asked while offline")
		}
		b.Host.Connect(true)
		time.Sleep(2 * time.Second)
		b.wantRefund(p, 0, pos.RefundRefunded)
	})
}

func once(f checkouttest.Fate, verb string) func(string) checkouttest.Fate {
	done := false
	return func(v string) checkouttest.Fate {
		if v == verb && !done {
			done = true
			return f
		}
		return checkouttest.Answered
	}
}

func TestVerdicts(t *testing.T) {
	late := func(b *bench) (pos.Payment, pos.Verdict) {
		p := b.start(pos.CScanB, "o1")
		if _, err := b.till.Present(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		if _, err := b.till.Cancel(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
		id := pos.NewPaymentID(time.Now(), [10]byte{1})
		return p, pos.Verdict{
			Number: 1, Payment: p.ID,
			Late:   &pos.LatePaid{Institution: "ICBC", InstitutionTxn: "x", SettlementDate: "2000-01-01", RefundID: id},
			Refund: &pos.RefundMoved{RefundID: id, To: pos.RefundRefunded, Amount: p.Amount, Auto: true},
		}
	}
	run(t, "late money is journaled with its refund, and shown", func(b *bench) {
		p, v := late(b)
		for range 2 {
			if err := b.till.ApplyVerdict(b.Context(), v); err != nil {
				b.Fatal(err)
			}
		}
		q := b.want(p.ID, pos.Abandoned)
		if !q.LatePaid || len(q.Refunds) != 1 || q.Refunds[0].State != pos.RefundRefunded || !q.Refunds[0].Auto {
			b.Fatalf("%+v", q)
		}
		s, err := b.till.Status(b.Context())
		if err != nil || len(s.Notices) != 2 || s.Notices[0].Payment != p.ID {
			b.Fatalf("%+v %v", s.Notices, err)
		}
		if b.till.LastVerdict() != 1 {
			b.Fatal("number is not kept")
		}
	})
	run(t, "late money is told again after a restart", func(b *bench) {
		p, v := late(b)
		if err := b.till.ApplyVerdict(b.Context(), v); err != nil {
			b.Fatal(err)
		}
		again, stop := b.Start(b) // with the journal that the first has written
		defer stop()
		s, err := again.Status(b.Context())
		if err != nil || len(s.Notices) != 2 || s.Notices[0].Payment != p.ID || s.Notices[1].Payment != p.ID {
			b.Fatalf("%+v %v", s.Notices, err)
		}
	})
	run(t, "in steps", func(b *bench) {
		p, v := late(b)
		step := *v.Refund
		step.To = pos.RefundAsking
		for i, d := range []pos.Verdict{{Late: v.Late}, {Refund: &step}, {Refund: v.Refund}, {Refund: v.Refund}} {
			d.Number, d.Payment = uint64(i+1), p.ID
			if err := b.till.ApplyVerdict(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
		b.wantRefund(p, 0, pos.RefundRefunded)
	})
	run(t, "a gap is an error, a misfit is shown and passed over", func(b *bench) {
		p := b.paid("o1")
		if err := b.till.ApplyVerdict(b.Context(), pos.Verdict{Number: 2, Payment: p.ID}); err == nil {
			b.Fatal("a gap was passed over")
		}
		n := len(b.Journal.Entries())
		for i, d := range []pos.Verdict{
			{Payment: p.ID, Moved: &pos.PaymentMoved{From: pos.Unknown, To: pos.Declined}},
			{Payment: pos.NewPaymentID(time.Now(), [10]byte{}), Moved: &pos.PaymentMoved{From: pos.Unknown, To: pos.Paid}},
			{Payment: p.ID, Late: &pos.LatePaid{Institution: "X"}},
			{Payment: p.ID, Refund: &pos.RefundMoved{To: pos.RefundRefunded, Amount: 1001}},
		} {
			d.Number = uint64(i + 1)
			if err := b.till.ApplyVerdict(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
		if len(b.Journal.Entries()) != n {
			b.Fatal("a misfit was journaled")
		}
		s, _ := b.till.Status(b.Context())
		if len(s.Findings) != 1 || s.Findings[0].Code != "verdict" {
			b.Fatalf("%+v", s.Findings)
		}
	})
	run(t, "the end of unknown", func(b *bench) {
		b.Host.SetFates(func(string) checkouttest.Fate { return checkouttest.LostBefore })
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		if err := b.till.ApplyVerdict(b.Context(), pos.Verdict{Number: 1, Payment: p.ID, Moved: &pos.PaymentMoved{
			From: pos.Unknown, To: pos.Paid, Source: "centre", InstitutionTxn: "t", SettlementDate: "2000-01-02",
		}}); err != nil {
			b.Fatal(err)
		}
		if q := b.want(p.ID, pos.Paid); q.SettlementDate != "2000-01-02" {
			b.Fatalf("%+v", q)
		}
		asked := b.Host.Asked("query")
		time.Sleep(time.Hour)
		if n := b.Host.Asked("query") - asked; n > 1 {
			b.Fatalf("asked %d times more", n)
		}
	})
}

func TestRestartInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop := checkouttest.NewShop(t)
		till, stop := shop.Start(t)
		b := &bench{T: t, Shop: shop, till: till}
		created := b.start(pos.BScanC, "created")
		shown := b.start(pos.CScanB, "shown")
		if _, err := till.Present(t.Context(), shown.ID); err != nil {
			t.Fatal(err)
		}
		paid, intent := b.paid("paid"), b.paid("intent")
		b.Host.SetFates(once(checkouttest.LostAfter, "refund"))
		if _, r, _ := till.Refund(t.Context(), refund(paid, "r1", 100)); r.State != pos.RefundUnknown {
			t.Fatalf("refund is %s", r.State)
		}
		b.Host.SetFates(fate(checkouttest.Hanging, "pay"))
		asking := b.start(pos.BScanC, "asking")
		go func() { _, _ = till.SubmitCode(t.Context(), asking.ID, checkouttest.Code(1)) }()
		synctest.Wait()
		b.want(asking.ID, pos.Asking)
		b.Host.Connect(false)
		if _, r, _ := till.Refund(t.Context(), refund(intent, "r2", 100)); r.State != pos.RefundIntent {
			t.Fatalf("refund is %s", r.State)
		}
		// The stop cuts the answer off, as a power cut does: the journal stays as it is.
		shop.Journal.Break(errors.New("no power"))
		stop()
		shop.Journal.Break(nil)
		b.Host.SetFates(nil)

		b.till, stop = shop.Start(t)
		defer stop()
		b.want(created.ID, pos.Cancelled)
		b.want(asking.ID, pos.Unknown)
		if p := b.want(shown.ID, pos.Asking); p.QR == "" {
			t.Fatal("the QR is lost")
		}
		b.wantRefund(paid, 0, pos.RefundUnknown)
		b.wantRefund(intent, 0, pos.RefundIntent)
		b.Host.Connect(true)
		time.Sleep(5 * time.Second)
		b.want(asking.ID, pos.Paid)
		b.wantRefund(paid, 0, pos.RefundRefunded)
		b.wantRefund(intent, 0, pos.RefundRefunded)
		time.Sleep(5 * time.Minute)
		b.want(shown.ID, pos.Abandoned)
	})
}

func TestOperators(t *testing.T) {
	demand := func(c *checkout.Config) { c.SignIn = true }
	run(t, "nothing without one, every entry names one", func(b *bench) {
		b.Staff.Hire(b, "11", operator.Cashier, "1234")
		b.Staff.Hire(b, "99", operator.Supervisor, "9999")
		_, err := b.till.Start(b.Context(), b.request(pos.BScanC, "o1"))
		code(b.T, err, pos.ErrNoOperator)
		for _, c := range [][2]string{{"11", "1235"}, {"12", "1234"}, {"", ""}, {"11", ""}} {
			_, err := b.till.SignInOperator(b.Context(), c[0], c[1])
			code(b.T, err, pos.ErrBadPIN)
		}
		if _, err := b.till.SignInOperator(b.Context(), "11", "1234"); err != nil {
			b.Fatal(err)
		}
		p := b.paid("o1")
		if p.Operator != "11" {
			b.Fatalf("operator %q", p.Operator)
		}
		_, _, err = b.till.Refund(b.Context(), refund(p, "r1", 1))
		code(b.T, err, pos.ErrForbidden)
		if _, err := b.till.SignInOperator(b.Context(), "99", "9999"); err != nil {
			b.Fatal(err)
		}
		_, r, err := b.till.Refund(b.Context(), refund(p, "r1", 1))
		if err != nil || r.Operator != "99" {
			b.Fatalf("%+v %v", r, err)
		}
		if err := b.till.SignOutOperator(b.Context()); err != nil {
			b.Fatal(err)
		}
		_, err = b.till.Start(b.Context(), b.request(pos.BScanC, "o2"))
		code(b.T, err, pos.ErrNoOperator)
		shifts := 0
		for _, e := range b.Journal.Entries() {
			if e.Kind == pos.KindShift {
				shifts++
			}
			if e.Operator != "11" && e.Operator != "99" && e.Operator != pos.OperatorSystem {
				b.Fatalf("entry %d names %q", e.Seq, e.Operator)
			}
		}
		if shifts != 4 {
			b.Fatalf("%d shift entries, want in, out, in, out", shifts)
		}
	}, demand)
	run(t, "five wrong PINs lock the number, for longer each time", func(b *bench) {
		b.Staff.Hire(b, "11", operator.Cashier, "1234")
		for _, wait := range []time.Duration{30 * time.Second, time.Minute} {
			for range operator.Failures {
				_, err := b.till.SignInOperator(b.Context(), "11", "0000")
				code(b.T, err, pos.ErrBadPIN)
			}
			_, err := b.till.SignInOperator(b.Context(), "11", "1234")
			code(b.T, err, pos.ErrTooMany)
			time.Sleep(wait - time.Second)
			_, err = b.till.SignInOperator(b.Context(), "11", "1234")
			code(b.T, err, pos.ErrTooMany)
			time.Sleep(2 * time.Second)
		}
		if _, err := b.till.SignInOperator(b.Context(), "11", "1234"); err != nil {
			b.Fatal(err)
		}
	})
}

func words(r receipt.Receipt) string {
	var s strings.Builder
	for _, i := range r.Items {
		s.WriteString(i.Text + string(i.Data) + "\n")
		for _, c := range i.Cells {
			s.WriteString(c.Text + " ")
		}
	}
	return s.String()
}

func TestReceipts(t *testing.T) {
	always := func(c *checkout.Config) { c.Receipt = checkout.PrintAlways }
	run(t, "print by themselves, a second time as duplicate", func(b *bench) {
		p := b.paid("o1")
		time.Sleep(time.Second)
		jobs := b.Printer.Jobs()
		if len(jobs) != 1 || jobs[0].Duplicate {
			b.Fatalf("%d jobs", len(jobs))
		}
		for _, want := range []string{"测试 TEST", "王府井书店", "￥10.00", "已支付", "paid", "o1", p.ID.Short(), "dcpos:pay:" + p.ID.String(), "T1"} {
			if !strings.Contains(words(jobs[0].Receipt), want) {
				b.Errorf("the receipt lacks %q:\n%s", want, words(jobs[0].Receipt))
			}
		}
		if told, err := b.print(p.ID); err != nil || !told.Duplicate || told.State != pos.PrintConfirmed {
			b.Fatalf("%+v %v", told, err)
		}
		if jobs := b.Printer.Jobs(); !jobs[1].Duplicate {
			b.Fatal("the second is not marked")
		}
	}, always)
	run(t, "no paper never undoes money", func(b *bench) {
		b.Printer.Jam(drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrPaperEnd, nil))
		p := b.paid("o1")
		told, err := b.print(p.ID)
		code(b.T, err, pos.ErrPrinter)
		if told.State != pos.PrintPaused || told.Hint.ZH == "" {
			b.Fatalf("%+v", told)
		}
		b.want(p.ID, pos.Paid)
		synctest.Wait() // the press has given up for now
		b.Printer.Jam(nil)
		if told, err := b.print(p.ID); err != nil || told.Duplicate {
			b.Fatalf("nothing was on paper, yet it is a duplicate: %+v %v", told, err)
		}
		e := b.Journal.Entries()
		if e[len(e)-1].Kind != pos.KindPrint || e[len(e)-1].Operator == "" {
			b.Fatalf("last entry %+v", e[len(e)-1])
		}
	})
	run(t, "unknown and offline never say paid", func(b *bench) {
		b.Host.SetFates(func(string) checkouttest.Fate { return checkouttest.LostBefore })
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		q := b.offline("o2")
		if _, err := b.till.SubmitEvidence(b.Context(), q.ID, b.promise(b.NewWallet(b), q.ID)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		jobs := b.Printer.Jobs()
		if len(jobs) != 2 {
			b.Fatalf("%d jobs", len(jobs))
		}
		for i, want := range []string{"结果查询中,请勿重复支付", "已受理,待入账"} {
			if s := words(jobs[i].Receipt); !strings.Contains(s, want) || strings.Contains(s, "已支付") {
				b.Errorf("slip %d:\n%s", i, s)
			}
		}
	}, always)
	run(t, "nothing prints when the customer is long gone", func(b *bench) {
		b.Host.SetFates(func(string) checkouttest.Fate { return checkouttest.LostAfter })
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.Host.SetFates(nil)
		time.Sleep(2 * time.Hour)
		b.want(p.ID, pos.Paid)
		if n := len(b.Printer.Jobs()); n != 1 {
			b.Fatalf("%d slips, want the one of unknown", n)
		}
	}, always)
	run(t, "the drawer is journaled before it opens", func(b *bench) {
		if err := b.till.OpenDrawer(b.Context(), "screen", "change"); err != nil {
			b.Fatal(err)
		}
		e := b.Journal.Entries()
		if e[len(e)-1].Kind != pos.KindDrawer || b.Printer.Kicks() != 1 {
			b.Fatalf("%+v, %d kicks", e[len(e)-1], b.Printer.Kicks())
		}
		b.Journal.Break(errors.New("disk full"))
		if err := b.till.OpenDrawer(b.Context(), "screen", "change"); err == nil || b.Printer.Kicks() != 1 {
			b.Fatalf("opened without an entry: %v", err)
		}
	})
}

func TestScan(t *testing.T) {
	run(t, "each kind goes its way", func(b *bench) {
		scan := func(text, symbology string, kind router.Kind, want pos.Code) checkout.Scan {
			b.Helper()
			s, err := b.till.Scan(b.Context(), text, symbology)
			code(b.T, err, want)
			if s.Kind != kind || s.Text.ZH == "" || s.Text.EN == "" {
				b.Fatalf("%+v, want a %s with text", s, kind)
			}
			return s
		}
		scan(checkouttest.Code(1), "]Q1", router.KindECNY, pos.ErrIllegalMove)
		p := b.start(pos.BScanC, "o1")
		scan("130000000000000000", "", router.KindWeChat, pos.ErrBadCode)
		if s := scan("6901234567892", "]E0", router.KindGoods, ""); s.Code != "6901234567892" {
			b.Fatalf("goods code %q", s.Code)
		}
		const weighed = "0106901028075862310300125010LOT"
		if s := scan(weighed, "]C1", router.KindGS1, ""); s.Code != weighed {
			b.Fatalf("GS1 code %q", s.Code)
		}
		scan("https://example.com/x", "]Q1", router.KindLink, "")
		scan("https://pos.example.cn/campaigns/x", "]Q1", router.KindCampaign, "")
		scan("dcpos:campaign:wangfujing-2021", "]Q1", router.KindCampaign, "")
		s := scan(checkouttest.Code(1), "]Q1", router.KindECNY, "")
		if s.Payment == nil || s.Payment.ID != p.ID || s.Payment.State != pos.Paid || strings.Contains(s.Code, "0000") {
			b.Fatalf("%+v", s)
		}
		if s := scan("dcpos:pay:"+p.ID.String(), "]Q1", router.KindPayment, ""); s.Payment == nil || s.Payment.ID != p.ID {
			b.Fatalf("%+v", s)
		}
		scan("dcpos:pay:01900000-0000-7000-8000-000000000000", "", router.KindPayment, pos.ErrNotFound)
		scan("dcpos:pay:nonsense", "", router.KindPayment, pos.ErrBadCode)
		q := b.offline("o2")
		s = scan(b.promise(b.NewWallet(b), q.ID), "]Q1", router.KindEvidence, "")
		if s.Payment == nil || s.Payment.State != pos.AcceptedEvidence {
			b.Fatalf("%+v", s)
		}
		scan(checkouttest.Code(2), "", router.KindECNY, pos.ErrOfflineCode)
		scan("hello", "", router.KindUnknown, pos.ErrBadCode)
	}, func(c *checkout.Config) { c.CampaignHost = "pos.example.cn" })
}

func TestEvents(t *testing.T) {
	run(t, "in order, from where one left off, else reset", func(b *bench) {
		events, stop := b.till.Events("")
		defer stop()
		b.paid("o1")
		var last string
		var states []pos.State
		for range 3 {
			e := <-events
			if e.Payment == nil {
				b.Fatalf("%+v", e)
			}
			states = append(states, e.Payment.State)
			if last == "" {
				last = e.ID
			}
		}
		if states[0] != pos.Created || states[1] != pos.Asking || states[2] != pos.Paid {
			b.Fatalf("%v", states)
		}
		again, stopAgain := b.till.Events(last)
		defer stopAgain()
		if e := <-again; e.Payment.State != pos.Asking {
			b.Fatalf("after the first comes %s", e.Payment.State)
		}
		other, stopOther := b.till.Events("other-1")
		defer stopOther()
		if e := <-other; e.Kind != checkout.EventReset {
			b.Fatalf("got %s", e.Kind)
		}
		b.Host.Connect(false)
		time.Sleep(2 * time.Second)
		if e := <-events; e.Kind != checkout.EventLink || *e.Connected {
			b.Fatalf("%+v", e)
		}
	})
}

func TestQuarantinedTillSellsNothing(t *testing.T) {
	tracker := health.New(nil)
	run(t, "and says what to do", func(b *bench) {
		r := b.request(pos.BScanC, "o1")
		p, err := b.till.Start(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		tracker.Set(health.QuarantineCondition(), "fork")
		_, err = b.till.Start(b.Context(), b.request(pos.BScanC, "o2"))
		code(b.T, err, pos.ErrQuarantined)
		if q, err := b.till.Start(b.Context(), r); err != nil || q.ID != p.ID {
			b.Fatalf("a repeat is no new sale: %v", err)
		}
		tracker.Clear(health.QuarantineCondition())
		b.start(pos.BScanC, "o2")
	}, func(c *checkout.Config) { c.Health = tracker })
}
