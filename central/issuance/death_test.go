package issuance_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"dcpos/central/institution"
	"dcpos/central/issuance"
	"dcpos/pos"
)

// mortal is the store of a process that dies at a commit: before it, so that nothing of it
// stands, or after it, so that the process never learns that it stands.
type mortal struct {
	issuance.Store
	commits int // that it still lives to see
	after   bool
	dead    bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) Write(ctx context.Context, fn func(tx issuance.Tx) error) error {
	if m.dead {
		return errDead
	}
	if m.commits == 0 {
		m.dead = true
		if !m.after {
			return errDead
		}
	}
	m.commits--
	if err := m.Store.Write(ctx, fn); err != nil {
		return err
	}
	if m.dead {
		return errDead
	}
	return nil
}

func (m *mortal) Read(ctx context.Context, fn func(tx issuance.Tx) error) error {
	if m.dead {
		return errDead
	}
	return m.Store.Read(ctx, fn)
}

// dying is the desk of a process that sees one commit, and dies at the next one.
func (h *house) dying(after bool) *mortal {
	h.Helper()
	m := &mortal{Store: h.db.Issuances(), commits: 1, after: after}
	if after {
		m.commits = 0
	}
	set, err := institution.Join(pos.Lab, institution.Member{Description: institution.Description{Code: "ICBC", Env: pos.Lab}, Adapter: h.bank})
	if err == nil {
		h.desk, err = issuance.New(issuance.Config{
			Store: m, Institutions: set, Source: h.draw, People: h.draw, SMS: h.draw, Now: func() time.Time { return time.UnixMilli(h.clock.Load()) },
		})
	}
	if err != nil {
		h.Fatal(err)
	}
	return m
}

// lives lets processes die one after the other until the condition holds, and counts them.
func (h *house) lives(what string, after bool, holds func(issuance.Issuance, issuance.Progress) bool) (deaths int) {
	h.Helper()
	for range 200 {
		m := h.dying(after)
		for range 20 { // rounds of one process
			busy, err := h.desk.Round(h.Context())
			h.clock.Add(500)
			if m.dead || (!busy && err == nil) {
				break
			}
		}
		if m.dead {
			deaths++
		}
		h.again()
		is, p, err := h.desk.Progress(h.Context(), "c")
		if err != nil {
			h.Fatal(err)
		}
		if holds(is, p) {
			return deaths
		}
		h.clock.Add(2000)
	}
	h.Fatalf("not in 200 lives: %s", what)
	return 0
}

// TestADeathAtEveryCommit: no winner has two envelopes or none, and no fen is lost or made,
// however the processes die between what institutions do and what is written.
func TestADeathAtEveryCommit(t *testing.T) {
	for name, after := range map[string]bool{"before it": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, 5, 2)
			h.plan.ClaimUntilMS = from.Add(time.Hour).UnixMilli()
			h.begin()
			deaths := h.lives("told", after, func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 5 })
			for i := range 3 {
				h.bank.claim(h.id(i), from)
			}
			deaths += h.lives("claimed", after, func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 3 })
			h.clock.Store(h.plan.ClaimUntilMS)
			deaths += h.lives("two follow", after, func(_ issuance.Issuance, p issuance.Progress) bool {
				return p.Counts[issuance.Recalled] == 2 && p.Counts[issuance.Offered] == 2
			})
			if len(h.bank.orders) != 7 {
				t.Errorf("%d orders, want one for each of five winners and two who followed", len(h.bank.orders))
			}
			h.want("envelopes", h.balance("envelopes:c:0"), 600_00)
			h.clock.Store(until.UnixMilli())
			deaths += h.lives("everything is back", after, func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed })
			h.want("fund", h.balance("fund:P"), 1000_00)
			h.want("envelopes at the end", h.balance("envelopes:c:0"), 0)
			h.want("budget at the end", h.balance("budget:c"), 0)
			trial, err := h.db.Ledger().Trial(t.Context(), "")
			if err != nil || !trial.Balanced() {
				t.Errorf("the ledger does not balance: %+v, %v", trial, err)
			}
			if deaths < 4 {
				t.Errorf("only %d processes died", deaths)
			}
			t.Logf("%d processes died", deaths)
		})
	}
}
