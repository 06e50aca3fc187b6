package payment_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/internal/testprop"
	"dcpos/pos"
)

// TestWhateverFails draws shops' days in which everything fails and every process
// dies, and compares what we booked with what the bank did, once it is quiet.
func TestWhateverFails(t *testing.T) {
	faults := []string{"", "", "", "lost", "cut", "unavailable", "garbage", "decline", "pending", "unauthorized"}
	testprop.Short(t, 40)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t)
		var payments []pos.PaymentID
		draw := func(name string) pos.PaymentID {
			return payments[rapid.IntRange(0, len(payments)-1).Draw(rt, name)]
		}
		for range rapid.IntRange(3, 25).Draw(rt, "steps") {
			for _, op := range []string{"payments", "orders", "refunds", "query"} {
				kind := rapid.SampledFrom(faults).Draw(rt, op)
				if kind == "" || (op != "payments" && (kind == "pending" || kind == "decline")) {
					continue // a declined refund of a late payment stays in suspense: a person's case
				}
				h.bank.fail(op, kind)
			}
			amount := pos.Money(rapid.Int64Range(1, 1000).Draw(rt, "amount"))
			step := rapid.IntRange(0, 7).Draw(rt, "step")
			if len(payments) == 0 {
				step %= 2
			}
			switch step {
			case 0:
				payments = append(payments, h.id())
				ask := h.pay(payments[len(payments)-1], amount)
				h.desk.Pay(t.Context(), till, ask)
				h.desk.Pay(t.Context(), till, ask)
			case 1:
				payments = append(payments, h.id())
				h.desk.Present(t.Context(), till, pos.AskPresent{
					Env: pos.Lab, Payment: payments[len(payments)-1], Merchant: shop, Amount: amount, ValidMS: 60_000,
					ExpiresMS: h.clock.Load() + 9000,
				})
			case 2:
				h.bank.scan(draw("scan").String())
			case 3:
				h.desk.Abandon(t.Context(), till, pos.AskAbandon{Env: pos.Lab, Payment: draw("abandon")})
			case 4:
				h.desk.Refund(t.Context(), till, h.refund(h.id(), draw("refund"), amount))
			case 5:
				h.query(draw("query"))
			case 6:
				h.desk = h.newDesk(h.store) // killed and started anew
			case 7:
				h.later(time.Duration(rapid.IntRange(1, 20).Draw(rt, "seconds")) * time.Second)
			}
		}
		settle(h)
		m := h.balances()
		var waits pos.Money
		for name, amount := range m {
			if name != "receivable:ICBC" && name != "merchant:M1" {
				waits += amount
			}
		}
		if int64(m["receivable:ICBC"]) != h.bank.net() || m["receivable:ICBC"]+m["merchant:M1"] != 0 || waits != 0 {
			rt.Fatalf("the bank holds %d for us, our books say %v", h.bank.net(), m)
		}
		for key, n := range h.bank.asked { // orders and refunds are asked again under their id; payments never
			if strings.HasPrefix(key, "payments ") && n > 1 {
				rt.Fatalf("%s was asked %d times", key, n)
			}
		}
		_ = h.store.Close()
		h.bank.srv.Close()
	})
}

// settle lets the bank behave and all that is open become final.
func settle(h *house) {
	h.bank.mu.Lock()
	clear(h.bank.fault)
	for id, d := range h.bank.deals {
		if d.Status == "P" && d.ValidUntilMS == 0 {
			d.succeed(id)
		}
	}
	h.bank.mu.Unlock()
	h.desk = h.newDesk(h.store)
	for range 40 {
		h.clock.Add(10_000)
		if err := h.desk.Round(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}
