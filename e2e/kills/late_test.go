package kills_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// refundedLate waits until the given-up payment was paid, refunded, and a person told.
func (s *shop) refundedLate(p pos.Payment) {
	s.t.Helper()
	s.eventually("late payment", func() error {
		now, err := s.till().Payment(s.t.Context(), p.ID)
		if err != nil {
			return err
		}
		s.book.Heard(s.till(), s.book.Last(p.ID), now)
		if now.State != pos.Abandoned || !now.LatePaid || len(now.Refunds) != 1 || now.Refunds[0].State != pos.RefundRefunded {
			return fmt.Errorf("payment is %s, late %t, refunds %+v", now.State, now.LatePaid, now.Refunds)
		}
		return s.told(p)
	})
}

// told is an error unless the till shows a notice about the payment, in two languages.
func (s *shop) told(p pos.Payment) error {
	st, err := s.till().Status(s.t.Context())
	if err != nil {
		return err
	}
	for _, n := range st.Notices {
		if n.Payment == p.ID && strings.Contains(n.Text.EN, "refunded") && n.Text.ZH != "" {
			return nil
		}
	}
	return fmt.Errorf("nobody is told of the late payment: %+v", st.Notices)
}

func TestAnAnswerAfterTheCustomerLeftIsRefundedAndTold(t *testing.T) {
	s := open(t)
	s.must(s.Fault(t.Context(), "ICBC", api.Fault{Op: api.OpPayments, Kind: api.Slow, DelayMS: 5000}))
	p := s.named(pos.BScanC, 12_34)
	asked := make(chan error, 1)
	body := s.code()
	go func() {
		_, err := s.till().Do(t.Context(), p.ID, "code", body)
		asked <- err
	}()
	s.eventually("question", func() error {
		now, err := s.till().Payment(t.Context(), p.ID)
		if err == nil && now.State != pos.Asking {
			err = fmt.Errorf("payment is %s", now.State)
		}
		return err
	})
	time.Sleep(300 * time.Millisecond) // the institution has debited by now, and says so later
	s.want(pos.Abandoned)(s.till().Do(t.Context(), p.ID, "cancel", nil))
	s.must(<-asked)
	s.refundedLate(p)
	s.judged()
}

func TestALostAnswerThenTheCustomerLeavesIsRefundedAndTold(t *testing.T) {
	s := open(t)
	// The centre learns what became of it by asking; until then it can not.
	s.must(s.Fault(t.Context(), "ICBC", api.Fault{Op: api.OpPayments, Kind: api.LostAnswer}))
	s.must(s.Fault(t.Context(), "ICBC", api.Fault{Op: api.OpQuery, Kind: api.Unavailable, Count: 3}))
	p := s.named(pos.BScanC, 43_21)
	now := s.heard(s.till().Do(t.Context(), p.ID, "code", s.code()))
	if now.State != pos.Unknown && now.State != pos.Asking {
		t.Fatalf("payment is %s: a lost answer is neither yes nor no", now.State)
	}
	if now.State == pos.Unknown { // being asked: it cannot be given up, the cashier waits or lets it be
		if _, err := s.till().Do(t.Context(), p.ID, "cancel", nil); err == nil {
			t.Error("a payment that may be paid was cancelled")
		}
	}
	s.judged()
	if last := s.book.Last(p.ID); last.Payment.State != pos.Paid {
		t.Errorf("payment is %s, the institution took the money", last.Payment.State)
	}
}

func TestAQRThatIsPaidAfterTheCashierGaveUpIsRefundedAlsoAcrossAKill(t *testing.T) {
	s := open(t)
	p := s.named(pos.CScanB, 5_00)
	p = s.want(pos.Asking)(s.till().Do(t.Context(), p.ID, "present", nil))
	s.want(pos.Abandoned)(s.till().Do(t.Context(), p.ID, "cancel", nil))
	s.must(s.till().Kill())
	if _, err := s.wallet.Scan(t.Context(), p.QR); err != nil {
		t.Fatal(err)
	}
	s.must(s.till().Restart(t.Context()))
	s.refundedLate(p)
	s.judged()
}

func TestACashierIsStillToldOfALatePaymentAfterAKill(t *testing.T) {
	s := open(t)
	p := s.named(pos.CScanB, 6_00)
	p = s.want(pos.Asking)(s.till().Do(t.Context(), p.ID, "present", nil))
	s.want(pos.Abandoned)(s.till().Do(t.Context(), p.ID, "cancel", nil))
	if _, err := s.wallet.Scan(t.Context(), p.QR); err != nil {
		t.Fatal(err)
	}
	s.refundedLate(p)
	s.must(s.till().Kill())
	s.must(s.till().Restart(t.Context()))
	s.must(s.told(p))
	s.judged()
}
