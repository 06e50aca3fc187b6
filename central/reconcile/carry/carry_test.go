package carry

import (
	"bytes"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/reconcile"
	"dcpos/pos"
)

func seq(breaks []reconcile.Break) iter.Seq2[reconcile.Break, error] {
	return func(yield func(reconcile.Break, error) bool) {
		for _, b := range breaks {
			if !yield(b, nil) {
				return
			}
		}
	}
}

func miss(kind pos.BreakKind, id string, amount int64) reconcile.Break {
	b := reconcile.Break{Kind: kind, TxnID: id, Bank: "CCB", MerchantID: "M"}
	l := &reconcile.BreakLine{Amount: pos.Money(amount), Status: "S", Line: "2"}
	if b.Theirs = l; kind == pos.MissingTheirs {
		b.Ours, b.Theirs = l, nil
	}
	return b
}

func TestTwoDaysMeetOverTheCutOver(t *testing.T) {
	rules := Rules{Days: 1, ToleranceFen: 1}
	one, err := Day(seq([]reconcile.Break{
		miss(pos.MissingTheirs, "late", 100), miss(pos.MissingTheirs, "lost", 200), miss(pos.MissingOurs, "early", 300),
		miss(pos.MissingTheirs, "changed", 400), miss(pos.MissingTheirs, "nearly", 500),
		{Kind: pos.AmountMismatch, TxnID: "other"},
	}), nil, "2026-11-20", rules)
	if err != nil || len(one.Open) != 5 || len(one.Resolved)+len(one.Overdue)+len(one.Ambiguous)+len(one.Differing) != 0 {
		t.Fatalf("%+v %v", one, err)
	}
	dir := t.TempDir()
	if err := one.Write(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, OpenFile))
	if err != nil {
		t.Fatal(err)
	}
	open, err := ReadOpen(bytes.NewReader(b))
	if diff := cmp.Diff(one.Open, open); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	two, err := Day(seq([]reconcile.Break{
		miss(pos.MissingOurs, "late", 100), miss(pos.MissingTheirs, "early", 300), miss(pos.MissingOurs, "changed", 444),
		miss(pos.MissingOurs, "nearly", 501), miss(pos.MissingTheirs, "lost", 200),
	}), open, "2026-11-21", rules)
	if err != nil {
		t.Fatal(err)
	}
	got := ids(two)
	want := "resolved early late nearly; differing changed; ambiguous lost lost; open ; overdue "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	three, err := Day(seq(nil), []Item{open[0], open[3]}, "2026-11-22", rules)
	if err != nil || len(three.Overdue) != 2 || three.Overdue[0].Age("2026-11-22") != 2 {
		t.Errorf("%+v %v", three, err)
	}
	if !strings.HasPrefix(two.Resolved[0].Rule, "carry/1 ") {
		t.Error(two.Resolved[0].Rule)
	}
	if err := two.Write(dir); err != nil {
		t.Fatal(err)
	}
	found := func(rows int, want string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, FoundFile))
		if err != nil || bytes.Count(b, []byte("\n")) != rows || !strings.Contains(string(b), want) {
			t.Errorf("%s %v", b, err)
		}
	}
	found(7, "ambiguous,carry/1 same txn_id within 1 days; 1 fen,lost,")
	if err := three.Write(dir); err != nil {
		t.Fatal(err)
	}
	found(3, "overdue,carry/1 ")
}

func ids(r *Result) string {
	var b strings.Builder
	for _, list := range []struct {
		name  string
		found []Found
	}{{"resolved", r.Resolved}, {"differing", r.Differing}} {
		var names []string
		for _, f := range list.found {
			names = append(names, f.Ours.TxnID)
		}
		if names == nil {
			names = []string{""}
		}
		slices.Sort(names)
		b.WriteString(list.name + " " + strings.Join(names, " ") + "; ")
	}
	for i, list := range [][]Item{r.Ambiguous, r.Open, r.Overdue} {
		b.WriteString([]string{"ambiguous", "; open", "; overdue"}[i] + " ")
		for k, item := range list {
			if k > 0 {
				b.WriteString(" ")
			}
			b.WriteString(item.TxnID)
		}
	}
	return b.String()
}

// TestNothingIsLostOrDecidedTwice: every line is in one list, whatever comes, and the order in which
// it comes does not matter.
func TestNothingIsLostOrDecidedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var breaks []reconcile.Break
		var open []Item
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "id")
			amount := rapid.Int64Range(0, 2).Draw(t, "amount")
			if rapid.Bool().Draw(t, "open") {
				side := rapid.SampledFrom([]string{Ours, Theirs}).Draw(t, "side")
				since := rapid.SampledFrom([]string{"2026-11-18", "2026-11-19", "2026-11-20"}).Draw(t, "since")
				open = append(open, Item{Side: side, TxnID: id, Bank: "CCB", Amount: pos.Money(amount), Status: "S", Since: since})
				continue
			}
			breaks = append(breaks, miss(rapid.SampledFrom([]pos.BreakKind{pos.MissingOurs, pos.MissingTheirs}).Draw(t, "kind"), id, amount))
		}
		r, err := Day(seq(breaks), open, "2026-11-21", Rules{Days: 2})
		if err != nil {
			t.Fatal(err)
		}
		n := 2*len(r.Resolved) + 2*len(r.Differing) + len(r.Ambiguous) + len(r.Open) + len(r.Overdue)
		if n != len(breaks)+len(open) {
			t.Fatalf("%d lines came, %d went: %+v", len(breaks)+len(open), n, r)
		}
		for _, f := range r.Resolved {
			if f.Ours.TxnID != f.Theirs.TxnID || f.Ours.Amount != f.Theirs.Amount || f.Ours.Side != Ours || f.Theirs.Side != Theirs {
				t.Fatalf("%+v", f)
			}
		}
		for _, i := range r.Open {
			if i.Age("2026-11-21") > 2 {
				t.Fatalf("%+v is overdue", i)
			}
		}
	})
}

func FuzzReadOpen(f *testing.F) {
	f.Add([]byte(openHeader + "\n2026-11-20,ours,a,CCB,M,100,S,2\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		items, err := ReadOpen(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, i := range items {
			if i.Amount < 0 || i.TxnID == "" || i.Side != Ours && i.Side != Theirs {
				t.Fatalf("%+v", i)
			}
		}
	})
}
