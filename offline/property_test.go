package offline_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// model is what a reader of the decisions would expect, without SQL and without the fold of the store.
type model struct {
	till
	states  map[pos.PaymentID]pos.State
	amounts map[pos.PaymentID]pos.Money
	refunds map[pos.PaymentID][]pos.RefundID
	keys    map[string]pos.PaymentID
	order   []pos.PaymentID
	jobs    []pos.PrintJob
	counter uint64
	seq     uint64
	epoch   uint32
}

func (m *model) write(t *rapid.T, drafts ...pos.Draft) {
	entries, err := m.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return drafts, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if m.seq++; e.Seq != m.seq || e.Epoch != m.epoch {
			t.Fatalf("entry (%d, %d): want (%d, %d)", e.Epoch, e.Seq, m.epoch, m.seq)
		}
	}
}

func (m *model) create(t *rapid.T) {
	key := fmt.Sprintf("k%d", len(m.order))
	amount := pos.Money(rapid.Int64Range(1, 50000).Draw(t, "amount"))
	id, d := m.till.create(key, amount)
	m.write(t, d)
	m.states[id], m.amounts[id], m.keys[key] = pos.Created, amount, id
	m.order = append(m.order, id)
}

func (m *model) move(t *rapid.T) {
	if len(m.order) == 0 {
		return
	}
	id := rapid.SampledFrom(m.order).Draw(t, "payment")
	next := m.states[id].Next()
	if len(next) == 0 {
		return
	}
	to := rapid.SampledFrom(next).Draw(t, "to")
	m.counter++
	m.write(t, m.till.move(id, m.states[id], to, func(p *pos.PaymentMoved) {
		if to == pos.AcceptedEvidence {
			p.Wallet, p.Counter, p.Evidence = "w"+rapid.StringMatching(`[0-9]`).Draw(t, "wallet"), m.counter, []byte{1}
		}
		if rapid.Bool().Draw(t, "code") {
			p.CodeHash = []byte{byte(m.counter), 1}
		}
	}))
	m.states[id] = to
}

func (m *model) refund(t *rapid.T) {
	for _, id := range m.order {
		if (m.states[id] != pos.Paid && m.states[id] != pos.Credited) || len(m.refunds[id]) > 0 {
			continue
		}
		amount := pos.Money(rapid.Int64Range(1, int64(m.amounts[id])).Draw(t, "refund"))
		r := pos.RefundMoved{RefundID: m.id(), To: pos.RefundIntent, Amount: amount, Caller: "screen", Key: "r" + id.String()}
		first := m.draft(pos.KindRefundMoved, id, r)
		r.From, r.To = pos.RefundIntent, pos.RefundAsking
		m.write(t, first, m.draft(pos.KindRefundMoved, id, r))
		m.refunds[id] = append(m.refunds[id], r.RefundID)
		return
	}
}

func (m *model) other(t *rapid.T) {
	m.write(t, m.draft(pos.KindPrint, pos.PaymentID{}, pos.Printed{Job: "j", Result: "CONFIRMED"}),
		m.draft(pos.KindShift, pos.PaymentID{}, pos.Shift{Operator: "1001", In: true}))
}

func (m *model) newEpoch(t *rapid.T) {
	m.epoch += rapid.Uint32Range(1, 3).Draw(t, "step")
	if err := m.OpenEpoch(t.Context(), m.cfg.Signer, m.epoch, pos.EpochOpened{Reason: pos.EpochForked}, m.now(), today, "1001"); err != nil {
		t.Fatal(err)
	}
	m.seq = 1
}

func (m *model) reopen(t *rapid.T) {
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := offline.Open(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Store = s
}

// check compares the store with the model. Verify rebuilds the projections from the journal and compares them.
func (m *model) check(t *rapid.T) {
	report, err := offline.Verify(t.Context(), m.cfg.Path, offline.VerifyOptions{})
	if err != nil || !report.Projections || report.LastSeq != m.seq || report.Epoch != m.epoch || report.Payments != len(m.order) {
		t.Fatalf("%+v %v: want (%d, %d) and %d payments", report, err, m.epoch, m.seq, len(m.order))
	}
	list, err := m.Payments(t.Context(), offline.Query{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[pos.PaymentID]pos.State{}
	for i, p := range list {
		if got[p.ID] = p.State; m.order[len(m.order)-1-i] != p.ID {
			t.Fatalf("payment %d of the list is %s: newest first", i, p.ID)
		}
	}
	if d := cmp.Diff(m.states, got); d != "" {
		t.Fatal(d)
	}
	for _, check := range []func(pos.JournalView) error{m.checkKeys, m.checkPrints} {
		if err := m.View(t.Context(), check); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) checkKeys(v pos.JournalView) error {
	for key, id := range m.keys {
		if p, ok, err := v.PaymentByKey("screen", key); err != nil || !ok || p.ID != id {
			return fmt.Errorf("key %s gives %s %t: %w", key, p.ID, ok, err)
		}
	}
	for id, refunds := range m.refunds {
		p, refund, ok, err := v.RefundByKey("screen", "r"+id.String())
		if err != nil || !ok || p.ID != id || refund != refunds[0] {
			return fmt.Errorf("refund of %s gives %s %t: %w", id, refund, ok, err)
		}
	}
	return nil
}

func TestAnyLegalHistoryVerifiesAndItsProjectionIsARebuild(t *testing.T) {
	dir := t.TempDir()
	rounds := 0
	signer := generate(t, dcep.Ed25519SHA256)
	rapid.Check(t, func(t *rapid.T) {
		rounds++
		m := &model{
			till:   till{cfg: offline.Config{Path: filepath.Join(dir, fmt.Sprintf("%d.db", rounds)), Signer: signer, Env: pos.Lab, Terminal: terminal}},
			states: map[pos.PaymentID]pos.State{}, amounts: map[pos.PaymentID]pos.Money{},
			refunds: map[pos.PaymentID][]pos.RefundID{}, keys: map[string]pos.PaymentID{}, epoch: 1, seq: 1,
		}
		s, err := offline.Create(t.Context(), m.cfg, pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, m.now(), today)
		if err != nil {
			t.Fatal(err)
		}
		m.Store = s
		defer func() { _ = m.Close() }()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 14).Draw(t, "step") {
			case 0, 1, 2:
				m.create(t)
			case 3, 4, 5, 6, 7:
				m.move(t)
			case 8:
				m.refund(t)
			case 9:
				m.other(t)
			case 10:
				m.newEpoch(t)
			case 11:
				m.reopen(t)
			case 12, 13, 14:
				m.printStep(t)
			}
		}
		m.check(t)
		m.reopen(t)
		m.check(t)
	})
}
