package checkout_test

import (
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// offline cuts the link and starts an evidence payment.
func (b *bench) offline(order string) pos.Payment {
	b.Helper()
	b.Host.Connect(false)
	return b.start(pos.Evidence, order)
}

// promise lets the wallet answer the payment's challenge.
func (b *bench) promise(w *checkouttest.Wallet, id pos.PaymentID) string {
	b.Helper()
	prompt, err := b.till.Challenge(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	answer, err := w.Sign(prompt.Text)
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

func TestEvidence(t *testing.T) {
	run(t, "accepted once, then credited by verdict", func(b *bench) {
		w := b.NewWallet(b)
		p := b.offline("o1")
		answer := b.promise(w, p.ID)
		for range 2 {
			q, err := b.till.SubmitEvidence(b.Context(), p.ID, answer)
			if err != nil || q.State != pos.AcceptedEvidence || q.Wallet != w.Serial || q.Institution != "ICBC" {
				b.Fatalf("%+v %v", q, err)
			}
		}
		_, _, err := b.till.Refund(b.Context(), checkout.RefundRequest{Caller: "screen", Key: "r1", Payment: p.ID, Amount: 1})
		code(b.T, err, pos.ErrNotRefundable)
		for range 2 {
			if err := b.till.ApplyVerdict(b.Context(), pos.Verdict{Number: 1, Payment: p.ID, Moved: &pos.PaymentMoved{
				From: pos.AcceptedEvidence, To: pos.Credited, Source: "centre",
			}}); err != nil {
				b.Fatal(err)
			}
		}
		b.want(p.ID, pos.Credited)
		moves := 0
		for _, e := range b.Journal.Entries() {
			if e.Kind == pos.KindPaymentMoved {
				moves++
			}
		}
		if moves != 2 {
			b.Fatalf("%d moves, want accepted and credited", moves)
		}
	})
	run(t, "the same challenge until it expires", func(b *bench) {
		p := b.offline("o1")
		one, err := b.till.Challenge(b.Context(), p.ID)
		if err != nil {
			b.Fatal(err)
		}
		two, _ := b.till.Challenge(b.Context(), p.ID)
		if two.Text != one.Text {
			b.Fatal("another challenge while the first is open")
		}
		answer, err := b.NewWallet(b).Sign(one.Text)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		_, err = b.till.SubmitEvidence(b.Context(), p.ID, answer)
		code(b.T, err, pos.ErrEvidenceLate)
		b.want(p.ID, pos.Created)
	})
	run(t, "refused", func(b *bench) {
		w := b.NewWallet(b)
		p, q := b.offline("o1"), b.offline("o2")
		forP := b.promise(w, p.ID)
		b.promise(w, q.ID)
		_, err := b.till.SubmitEvidence(b.Context(), q.ID, forP)
		code(b.T, err, pos.ErrEvidenceReplay)
		for _, text := range []string{"", "dcpos:ev1:", "dcpos:ev1:AAAA", forP[:len(forP)-4], forP + "A"} {
			_, err := b.till.SubmitEvidence(b.Context(), p.ID, text)
			code(b.T, err, pos.ErrEvidence)
		}
		b.Trust.Revoked = []string{w.Serial}
		_, err = b.till.SubmitEvidence(b.Context(), p.ID, forP)
		code(b.T, err, pos.ErrWalletRevoked)
		b.want(p.ID, pos.Created)
	})
	run(t, "a counter that was seen", func(b *bench) {
		w := b.NewWallet(b)
		p := b.offline("o1")
		if _, err := b.till.SubmitEvidence(b.Context(), p.ID, b.promise(w, p.ID)); err != nil {
			b.Fatal(err)
		}
		q := b.offline("o2")
		w.Counter--
		_, err := b.till.SubmitEvidence(b.Context(), q.ID, b.promise(w, q.ID))
		code(b.T, err, pos.ErrEvidenceSeen)
		b.want(q.ID, pos.Created)
	})
}

func TestEvidenceIsNotTaken(t *testing.T) {
	run(t, "while the centre can be asked", func(b *bench) {
		_, err := b.till.Start(b.Context(), b.request(pos.Evidence, "o1"))
		code(b.T, err, pos.ErrIllegalMove)
	})
	run(t, "unless the order's question provably never left", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.NotSent, "pay"))
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		q := b.start(pos.Evidence, "o1")
		if q, err := b.till.SubmitEvidence(b.Context(), q.ID, b.promise(b.NewWallet(b), q.ID)); err != nil || q.State != pos.AcceptedEvidence {
			b.Fatalf("%s %v", q.State, err)
		}
	})
	run(t, "for an order that has an unknown payment, confirmed or not", func(b *bench) {
		b.Host.SetFates(fate(checkouttest.LostAfter, "pay"))
		p := b.start(pos.BScanC, "o1")
		if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
			b.Fatal(err)
		}
		b.Host.Connect(false)
		r := b.request(pos.Evidence, "o1")
		r.ConfirmUnknown = true
		_, err := b.till.Start(b.Context(), r)
		code(b.T, err, pos.ErrOrderUnknown)
		_, err = b.till.Challenge(b.Context(), p.ID)
		code(b.T, err, pos.ErrIllegalMove)
	})
	run(t, "with a clock that cannot be trusted", func(b *bench) {
		w := b.NewWallet(b)
		p := b.offline("o1")
		answer := b.promise(w, p.ID)
		b.SetClock(-10 * time.Minute)
		_, err := b.till.SubmitEvidence(b.Context(), p.ID, answer)
		code(b.T, err, pos.ErrClock)
		_, err = b.till.Challenge(b.Context(), p.ID)
		code(b.T, err, pos.ErrClock)
		time.Sleep(2 * time.Second)
		jumps := 0
		for _, e := range b.Journal.Entries() {
			if e.Kind == pos.KindClockJump {
				jumps++
			}
		}
		if jumps != 1 {
			b.Fatalf("%d clock jumps are journaled", jumps)
		}
	})
	run(t, "with a list of revoked wallets that is too old", func(b *bench) {
		b.Trust.IssuedMS = time.Now().Add(-73 * time.Hour).UnixMilli()
		p := b.offline("o1")
		_, err := b.till.Challenge(b.Context(), p.ID)
		code(b.T, err, pos.ErrRevocationOld)
	})
	run(t, "by a kernel of another environment", func(b *bench) {
		b.Trust.Env = pos.Live
		p := b.offline("o1")
		_, err := b.till.Challenge(b.Context(), p.ID)
		code(b.T, err, pos.ErrEnvironment)
	})
}

func TestGuards(t *testing.T) {
	limits := pos.DefaultLimits()
	limits.PerPayment, limits.StoredTotal, limits.StoredCount = 2000, 5000, 4
	limits.WalletTotal, limits.WalletCount, limits.SplitWindow, limits.SplitTotal = 2000, 2, 0, 2000
	change := func(c *checkout.Config) { c.Limits = func() pos.Limits { return limits } }
	pay := func(b *bench, w *checkouttest.Wallet, amount pos.Money) error {
		b.Helper()
		r := b.request(pos.Evidence, "")
		r.OrderID, r.Amount, r.OrderAmount = "o-"+r.Key, amount, amount
		b.Host.Connect(false)
		p, err := b.till.Start(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		prompt, err := b.till.Challenge(b.Context(), p.ID)
		if err != nil {
			return err
		}
		answer, err := w.Sign(prompt.Text)
		if err != nil {
			b.Fatal(err)
		}
		_, err = b.till.SubmitEvidence(b.Context(), p.ID, answer)
		return err
	}
	run(t, "per payment", func(b *bench) {
		w := b.NewWallet(b)
		code(b.T, pay(b, w, 2001), pos.ErrLimitPayment)
		code(b.T, pay(b, w, 2000), "")
	}, change)
	run(t, "per wallet", func(b *bench) {
		w := b.NewWallet(b)
		code(b.T, pay(b, w, 500), "")
		code(b.T, pay(b, w, 1501), pos.ErrLimitWallet)
		code(b.T, pay(b, w, 1500), "")
		code(b.T, pay(b, w, 1), pos.ErrLimitWallet)
		code(b.T, pay(b, b.NewWallet(b), 1), "")
	}, change)
	run(t, "total and count, free again when the centre keeps them", func(b *bench) {
		for range 2 {
			code(b.T, pay(b, b.NewWallet(b), 2000), "")
		}
		code(b.T, pay(b, b.NewWallet(b), 1001), pos.ErrLimitTotal)
		code(b.T, pay(b, b.NewWallet(b), 1), "")
		code(b.T, pay(b, b.NewWallet(b), 1), "")
		code(b.T, pay(b, b.NewWallet(b), 1), pos.ErrLimitCount)
		s, err := b.till.Status(b.Context())
		if err != nil || !s.Room.Stop || s.Room.CountLeft != 0 {
			b.Fatalf("room %+v %v", s.Room, err)
		}
		b.Journal.Acknowledge()
		code(b.T, pay(b, b.NewWallet(b), 2000), "")
	}, change)
	run(t, "age", func(b *bench) {
		code(b.T, pay(b, b.NewWallet(b), 1), "")
		time.Sleep(24 * time.Hour)
		code(b.T, pay(b, b.NewWallet(b), 1), pos.ErrLimitAge)
	}, change)
}

func TestEvidenceIsKeptWhole(t *testing.T) {
	run(t, "what the journal keeps verifies by itself", func(b *bench) {
		w := b.NewWallet(b)
		p := b.offline("o1")
		if _, err := b.till.SubmitEvidence(b.Context(), p.ID, b.promise(w, p.ID)); err != nil {
			b.Fatal(err)
		}
		all := b.Journal.Entries()
		body, err := dcep.Body(all[len(all)-1])
		if err != nil {
			b.Fatal(err)
		}
		moved, ok := body.(*pos.PaymentMoved)
		if !ok || moved.Source != "wallet" {
			b.Fatalf("%+v", body)
		}
		e, err := dcep.ParseEvidence(moved.Evidence)
		if err != nil || e.Challenge.Payment != p.ID || e.Challenge.Amount != p.Amount {
			b.Fatalf("%+v %v", e.Challenge, err)
		}
		if _, err := dcep.VerifyEvidence(b.Trust, e, time.Now()); err != nil {
			b.Fatal(err)
		}
	})
}
