package payment_test

import (
	"testing"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Late money whose refund its institution declines waits for two people: they ask once more, or give it back otherwise.
func TestLateMoneyThatIsNotGivenBackWaitsForTwoPeople(t *testing.T) {
	for _, decision := range []ledger.Decision{ledger.DecideRetry, ledger.DecidePayOut} {
		t.Run(string(decision), func(t *testing.T) {
			h := newHouse(t)
			ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
			h.desk.Present(t.Context(), till, ask)
			h.desk.Abandon(t.Context(), till, pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment})
			h.bank.fail("refunds", "decline")
			h.bank.scan(ask.Payment.String())
			h.later(time.Minute)
			h.holds(700, 0, 700)
			s := h.store.Suspense()
			waiting := func(n int) ledger.Held {
				t.Helper()
				held, err := s.Waiting(t.Context(), 10)
				if err != nil || len(held) != n {
					t.Fatalf("waiting are %+v %v, want %d", held, err, n)
				}
				if n == 0 {
					return ledger.Held{}
				}
				return held[0]
			}
			held := waiting(1)
			if !held.Late() || held.Amount != 700 || held.Terminal != till || held.Merchant != shop || held.Payment() != ask.Payment.String() {
				t.Fatalf("%+v", held)
			}
			if err := ledger.Propose(t.Context(), s, held.Key, ledger.DecideCredit, "no", "wang"); pos.CodeOf(err) != pos.ErrBadRequest {
				t.Errorf("late money was to be credited: %v", err)
			}
			decide := func(by string) error {
				return ledger.Confirm(t.Context(), s, held.Key, by, "2021-02-11")
			}
			if err := ledger.Propose(t.Context(), s, held.Key, decision, "the customer called", "wang"); err != nil {
				t.Fatal(err)
			}
			if err := decide("wang"); pos.CodeOf(err) != pos.ErrForbidden {
				t.Errorf("one person alone: %v", err)
			}
			if decision == ledger.DecideRetry { // declined again: it waits again
				h.bank.fail("refunds", "decline")
				if err := decide("li"); err != nil {
					t.Fatal(err)
				}
				waiting(0)
				h.later(time.Minute)
				waiting(1)
				if err := ledger.Propose(t.Context(), s, held.Key, decision, "once more", "li"); err != nil {
					t.Fatal(err)
				}
				h.bank.fail("refunds", "lost")
			}
			if err := decide("zhao"); err != nil {
				t.Fatal(err)
			}
			if err := decide("zhao"); pos.CodeOf(err) != pos.ErrNotFound {
				t.Errorf("twice: %v", err)
			}
			h.desk = h.newDesk(h.store)
			h.later(3 * time.Minute)
			waiting(0)
			if decision == ledger.DecideRetry {
				h.holds(0, 0, 0)
			} else {
				h.holds(700, 0, 0)
				if got := h.balances()[ledger.PaidOut(shop)]; got != -700 {
					t.Errorf("paid out is %s", got)
				}
			}
			if v := h.verdicts(); len(v) != 3 { // late, its refund, declined: the till hears nothing of the rest
				t.Errorf("verdicts are %+v", v)
			}
		})
	}
}
