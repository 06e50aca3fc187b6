package offline

import (
	"context"
	"errors"
	"testing"

	"dcpos/pos"
)

var errIO = errors.New("input/output error")

// unreadable gives a store whose projections read as damaged, as a failing disk may give them.
func unreadable(t *testing.T) (*Store, pos.PaymentID) {
	t.Helper()
	s, id := newStore(t), pos.PaymentID{1}
	_, err := s.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{{Kind: pos.KindPaymentCreated, Payment: id, Operator: "1001", BusinessDate: "2026-11-21", Body: pos.PaymentCreated{
			OrderID: "o", OrderAmount: 1, Amount: 1, Mode: pos.BScanC, Caller: "screen", Key: "k", BodyHash: "h", Attempt: 1,
		}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`UPDATE payments SET doc = '{'`, `UPDATE cursor SET receipt = x'00'`} {
		if _, err := s.writer.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	return s, id
}

// reads are the ways to read a payment from a store.
func reads(ctx context.Context, s *Store, id pos.PaymentID) map[string]error {
	_, list := s.Payments(ctx, Query{})
	_, _, slip := s.Slip(ctx, id)
	view := s.View(ctx, func(v pos.JournalView) error {
		_, _, err := v.Payment(id)
		return err
	})
	return map[string]error{"list": list, "slip": slip, "view": view}
}

// TestAFailingDiskIsNotABrokenChain: what is read while the disk fails is told as a failure of the
// disk, by every way to read; without a failure the same bytes are damage, and told as such.
func TestAFailingDiskIsNotABrokenChain(t *testing.T) {
	s, id := unreadable(t)
	for name, err := range reads(t.Context(), s, id) {
		if pos.CodeOf(err) != pos.ErrChainBroken {
			t.Errorf("%s of a damaged file: %v", name, err)
		}
	}
	_ = s.fail(errIO)
	for name, err := range reads(t.Context(), s, id) {
		if pos.CodeOf(err) != pos.ErrStorage || !errors.Is(err, errIO) {
			t.Errorf("%s from a failing disk: %v", name, err)
		}
	}
	if _, _, err := s.LastReceipt(t.Context()); pos.CodeOf(err) == pos.ErrChainBroken {
		t.Errorf("receipt from a failing disk: %v", err)
	}
}

// TestADiskThatFailsWhileItIsReadIsNotABrokenChain: the write whose failure is not known yet is
// waited for.
func TestADiskThatFailsWhileItIsReadIsNotABrokenChain(t *testing.T) {
	s, id := unreadable(t)
	s.turn <- struct{}{} // a write is on its way
	reading, told := make(chan struct{}), make(chan error, 1)
	go func() {
		told <- s.View(context.WithoutCancel(t.Context()), func(v pos.JournalView) error {
			defer close(reading)
			_, _, err := v.Payment(id)
			return err
		})
	}()
	<-reading
	_ = s.fail(errIO)
	<-s.turn
	if err := <-told; pos.CodeOf(err) != pos.ErrStorage || !errors.Is(err, errIO) {
		t.Errorf("%v", err)
	}
}
