package issuance_test

import (
	"errors"
	"testing"
	"time"

	"dcpos/central/fleet"
	"dcpos/central/issuance"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/pos"
)

// till enrols a till that was last heard at the moment, with so many entries unsent.
func (h *house) till(at time.Time, unsent uint64) {
	h.Helper()
	err := h.db.Fleet().Write(h.Context(), func(tx fleet.Tx) error {
		ctx := h.Context()
		return errors.Join(tx.PutMerchant(ctx, fleet.Merchant{ID: "M"}), tx.PutShop(ctx, fleet.Shop{ID: "S", Merchant: "M"}),
			tx.PutTerminal(ctx, fleet.Terminal{ID: "S-001", Merchant: "M", Shop: "S", NATSKey: "U1", State: fleet.Active, Env: pos.Lab}))
	})
	if err == nil {
		err = h.db.Link().Write(h.Context(), func(tx link.Tx) error {
			return tx.PutContact(h.Context(), link.Contact{Terminal: "S-001", AtMS: at.UnixMilli(), Epoch: 1, Unsent: unsent})
		})
	}
	if err != nil {
		h.Fatal(err)
	}
}

// rounds does so many rounds, time passing between them.
func (h *house) rounds(n int) issuance.Progress {
	h.Helper()
	for range n {
		if _, err := h.desk.Round(h.Context()); err != nil {
			h.Fatal(err)
		}
		h.clock.Add(2000)
	}
	_, p, err := h.desk.Progress(h.Context(), "c")
	if err != nil {
		h.Fatal(err)
	}
	return p
}

// TestTheRecallWaitsForEveryTill: while a till may hold a payment from the window nothing
// goes back, until it has spoken after the end with nothing unsent, or the grace is over.
func TestTheRecallWaitsForEveryTill(t *testing.T) {
	for name, c := range map[string]struct {
		at     time.Time // when the till was last heard
		unsent uint64
		after  time.Duration // the end, now
		waits  bool
	}{
		"heard a millisecond before the end":    {until.Add(-time.Millisecond), 0, time.Hour, true},
		"heard at the end":                      {until, 0, time.Hour, false},
		"heard after the end, with more unsent": {until.Add(time.Minute), 3, time.Hour, true},
		"silent, a moment before the grace":     {until.Add(-time.Hour), 9, 96*time.Hour - time.Minute, true},
		"silent, the grace is over":             {until.Add(-time.Hour), 9, 96 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, 1, 0)
			h.plan.GraceMS = (96 * time.Hour).Milliseconds()
			h.begin()
			h.settle("told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 1 })
			h.bank.claim(h.id(0), from)
			h.settle("claimed", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 1 })
			h.till(c.at, c.unsent)
			h.clock.Store(until.Add(c.after).UnixMilli())
			p := h.rounds(6)
			if got := p.Counts[issuance.RecallPending] == 1; got != c.waits {
				t.Errorf("%+v", p)
			}
			if c.waits {
				h.want("fund, while the till may hold a payment", h.balance("fund:P"), 0)
				h.till(until.Add(c.after), 0) // it speaks, and has told everything
				h.rounds(6)
				h.want("fund, once the till has spoken", h.balance("fund:P"), 200_00)
				return
			}
			h.want("fund", h.balance("fund:P"), 200_00)
		})
	}
}

// TestThePaceOfAnInstitution: what it is sent in a round is shared by campaigns, and set by
// people; 0 stops it.
func TestThePaceOfAnInstitution(t *testing.T) {
	h := newHouse(t, 10, 0)
	ctx := t.Context()
	for _, n := range []int{-1, issuance.MaxPerSecond + 1} {
		if err := h.desk.Pace(ctx, "ICBC", n, "an"); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Errorf("%d: %v", n, err)
		}
	}
	if err := h.desk.Pace(ctx, "nobody", 3, "an"); pos.CodeOf(err) != pos.ErrNotFound {
		t.Errorf("an institution that is not described: %v", err)
	}
	if err := h.desk.Pace(ctx, "ICBC", 3, "an"); err != nil {
		t.Fatal(err)
	}
	h.begin()
	second := h.plan
	second.Campaign = "d"
	for _, tr := range []ledger.Transaction{
		ledger.Deposited("P", "ICBC", "r2", second.Budget, "2021-02-01"), ledger.Reserved("d", "P", second.Budget, "2021-02-01"),
	} {
		if _, err := h.db.Ledger().Post(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.desk.Begin(ctx, second, "an"); err != nil {
		t.Fatal(err)
	}
	orders := func(rounds, want int) {
		t.Helper()
		if p := h.rounds(rounds); len(h.bank.orders) != want || p.Banks["ICBC"].PerSecond > 3 {
			t.Errorf("%d orders, want %d; %+v", len(h.bank.orders), want, p.Banks["ICBC"])
		}
	}
	orders(1, 3)
	orders(1, 6)
	if err := h.desk.Pace(ctx, "ICBC", 0, "an"); err != nil {
		t.Fatal(err)
	}
	orders(3, 6)
	if busy, err := h.desk.Round(ctx); busy || err != nil {
		t.Errorf("where nothing may be sent nothing is to be done: busy %v, %v", busy, err)
	}
	if err := h.desk.Pace(ctx, "ICBC", 2, "an"); err != nil {
		t.Fatal(err)
	}
	orders(7, 20)
}
