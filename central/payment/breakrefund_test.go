package payment_test

import (
	"testing"
	"time"

	"dcpos/central/payment"
	"dcpos/pos"
)

func TestARefundThatABreakBears(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 100)
	h.desk.Pay(t.Context(), till, ask)
	const suspense = "suspense:break:ICBC:2021-02-10"
	b := payment.BreakRefund{ID: h.id(), Payment: ask.Payment, Amount: 30, Taken: 130, Source: suspense, Operator: "wang"}
	h.bank.fail("refunds", "lost")
	if r, err := h.desk.RefundBreak(t.Context(), b); err != nil || r.State != pos.RefundUnknown {
		t.Fatalf("%+v %v", r, err)
	}
	h.desk = h.newDesk(h.store) // the process was restarted
	h.later(2 * time.Minute)
	for range 2 {
		if r, err := h.desk.RefundBreak(t.Context(), b); err != nil || r.State != pos.RefundRefunded {
			t.Fatalf("%+v %v", r, err)
		}
	}
	if h.bank.net() != 70 || h.balances()[suspense] != 30 || h.balances()["merchant:M1"] != -100 {
		t.Errorf("the bank keeps %d, the ledger says %v", h.bank.net(), h.balances())
	}
	if len(h.verdicts()) != 0 {
		t.Error("the till was told of money that it does not know")
	}
	other, more, nobody := b, b, b
	other.Amount = 31
	more.ID, more.Amount = h.id(), 101
	nobody.ID, nobody.Payment = h.id(), h.id()
	for name, c := range map[string]struct {
		b    payment.BreakRefund
		code pos.Code
	}{
		"another content": {other, pos.ErrKeyConflict}, "more than was taken": {more, pos.ErrRefundTooMuch},
		"of a stranger": {nobody, pos.ErrNotFound}, "of nothing": {payment.BreakRefund{}, pos.ErrBadRequest},
	} {
		if _, err := h.desk.RefundBreak(t.Context(), c.b); pos.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}
