package offline_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/offline"
	"dcpos/pos"
)

var update = flag.Bool("update", false, "write testdata anew (only for a new schema version, under a new name)")

// A file that the first version wrote must open in every later one with the same payments. If this
// fails after a change of pos.Payment, raise projectionVersion; if the journal itself does not verify, the
// change breaks every till in the field.
func TestAFileOfTheFirstVersionOpensWithItsPayments(t *testing.T) {
	const file, list = "testdata/journal-v1.db", "testdata/journal-v1.json"
	if *update {
		writeGolden(t, file, list)
	}
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var want []pos.Payment
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s, err := offline.Open(t.Context(), offline.Config{Path: copyFile(t, file), Env: pos.Lab, Terminal: terminal})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	got, err := s.Payments(t.Context(), offline.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, ok, err := s.Operator(t.Context(), "1001"); !ok || err != nil {
		t.Errorf("operator: %t %v", ok, err)
	}
}

func writeGolden(t *testing.T, file, list string) {
	t.Helper()
	tl := newTill(t, "sm2-sm3")
	id := tl.sell(t, "sold", 1234)
	refund := pos.RefundMoved{RefundID: tl.id(), To: pos.RefundIntent, Amount: 34, Caller: "screen", Key: "refund", BodyHash: "h"}
	tl.write(t, tl.draft(pos.KindRefundMoved, id, refund))
	tl.accept(t, "offline", 500, "w1", 1<<63+7)
	if err := tl.OpenEpoch(t.Context(), generate(t, "ed25519-sha256"), 2, pos.EpochOpened{Reason: pos.EpochKey}, tl.now(), today, "1001"); err != nil {
		t.Fatal(err)
	}
	tl.sell(t, "sold later", 99)
	if err := tl.AddOperator(t.Context(), "1001", "王", "cashier", "hash"); err != nil {
		t.Fatal(err)
	}
	payments, err := tl.Payments(t.Context(), offline.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(payments, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{list: b, file: whole} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPaymentsAreFoundByDateStateAndText(t *testing.T) {
	tl := newTill(t, "ed25519-sha256")
	a, b, c := tl.sell(t, "a", 100), tl.accept(t, "b", 200, "w1", 1), tl.sell(t, "ab%_", 300)
	for name, x := range map[string]struct {
		q    offline.Query
		want []pos.PaymentID
	}{
		"all, newest first":  {offline.Query{}, []pos.PaymentID{c, b, a}},
		"limit":              {offline.Query{Limit: 2}, []pos.PaymentID{c, b}},
		"date":               {offline.Query{Date: today}, []pos.PaymentID{c, b, a}},
		"another date":       {offline.Query{Date: "2026-11-20"}, nil},
		"state":              {offline.Query{States: []pos.State{pos.AcceptedEvidence}}, []pos.PaymentID{b}},
		"two states":         {offline.Query{States: []pos.State{pos.AcceptedEvidence, pos.Paid}, Limit: 1}, []pos.PaymentID{c}},
		"order":              {offline.Query{Text: "order-b"}, []pos.PaymentID{b}},
		"institution's txn":  {offline.Query{Text: "txn-a"}, []pos.PaymentID{c, a}},
		"payment id":         {offline.Query{Text: b.String()}, []pos.PaymentID{b}},
		"no wildcard":        {offline.Query{Text: "%_"}, []pos.PaymentID{c}},
		"not SQL":            {offline.Query{Text: "' OR 1 --"}, nil},
		"everything at once": {offline.Query{Date: today, States: []pos.State{pos.Paid}, Text: "order-a", Limit: 5}, []pos.PaymentID{c, a}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := tl.Payments(t.Context(), x.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []pos.PaymentID
			for _, p := range list {
				got = append(got, p.ID)
			}
			if d := cmp.Diff(x.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAnOrderGivesItsAttemptsOldestFirst(t *testing.T) {
	tl := newTill(t, "ed25519-sha256")
	var want []pos.PaymentID
	for i := range 3 {
		id, d := tl.create("k"+string(rune('0'+i)), 100)
		body, ok := d.Body.(pos.PaymentCreated)
		if !ok {
			t.Fatal("draft")
		}
		body.OrderID, body.Attempt, body.OrderAmount = "the order", i+1, 500
		d.Body = body
		tl.write(t, d)
		want = append(want, id)
	}
	tl.view(t, func(v pos.JournalView) error {
		o, err := v.Order("screen", today, "the order")
		if err != nil {
			return err
		}
		var got []pos.PaymentID
		for _, p := range o.Attempts {
			got = append(got, p.ID)
		}
		if d := cmp.Diff(want, got); d != "" || o.Amount != 500 {
			t.Errorf("amount %d %s", o.Amount, d)
		}
		for _, other := range [][2]string{{"sdk", string(today)}, {"screen", "2026-11-20"}} {
			if o, err := v.Order(other[0], pos.Date(other[1]), "the order"); err != nil || len(o.Attempts) != 0 {
				t.Errorf("order of %v: %d attempts %v", other, len(o.Attempts), err)
			}
		}
		if _, ok, err := v.CodeSeen([]byte("code-x")); ok || err != nil {
			t.Errorf("code never seen: %t %v", ok, err)
		}
		return nil
	})
	id := tl.sell(t, "x", 5)
	tl.view(t, func(v pos.JournalView) error {
		if got, ok, err := v.CodeSeen([]byte("code-x")); err != nil || !ok || got != id {
			t.Errorf("code gives %s %t %v", got, ok, err)
		}
		return nil
	})
}

func TestTwoStoresOnOneFileKeepOneChain(t *testing.T) {
	a := newTill(t, "ed25519-sha256")
	b := &till{cfg: a.cfg, at: a.at, n: 1 << 12}
	b.reopen(t)
	t.Cleanup(func() { _ = b.Close() })
	a.sell(t, "a1", 100)
	b.sell(t, "b1", 100)
	a.sell(t, "a2", 100)
	if r, err := offline.Verify(t.Context(), a.cfg.Path, offline.VerifyOptions{}); err != nil || r.LastSeq != 10 {
		t.Errorf("%+v %v: want 10 entries", r, err)
	}
}
