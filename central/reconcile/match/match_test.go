package match

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/pos"
)

const today = "2026-11-22"

// line is "side id status amount[ orig[ batch[ since]]][ @HH:MM:SS]"; "-" is nothing.
func line(text string) Line {
	text, at, _ := strings.Cut(text, " @")
	f := append(strings.Fields(text), "-", "-", today)
	get := func(i int) string { return strings.ReplaceAll(f[i], "-", "") }
	l := Line{Item: carry.Item{Side: f[0], TxnID: f[1], Status: f[2], Bank: "ICBC", Merchant: "M1", Since: today, Line: "2"}, Ref: text}
	fen, _ := strconv.ParseInt(f[3], 10, 64) // written below
	l.Amount = pos.Money(fen)
	l.Orig, l.Batch, l.Clock = get(4), get(5), at
	if len(f) > 9 {
		l.Since = f[6]
	}
	return l
}

func apply(tb testing.TB, texts ...string) *Result {
	tb.Helper()
	set, err := Standard()
	if err != nil {
		tb.Fatal(err)
	}
	var lines []Line
	for _, t := range texts {
		lines = append(lines, line(t))
	}
	r, err := set.Apply(lines, today)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		lines   []string
		rule    string
		outcome Outcome
		members int
	}{
		"a refund under two ids":        {[]string{"ours r1 R 40 p1", "theirs r2 R 40 p1"}, "standard/2 refund-original", Matched, 2},
		"two refunds of one amount":     {[]string{"ours r1 R 40 p1", "theirs r2 R 40 p1", "theirs r3 R 40 p1"}, "standard/2 refund-original", Ambiguous, 3},
		"a reversal that netted out":    {[]string{"ours p1 S 40", "ours r1 R 40 p1"}, "standard/2 netted-reversal", Matched, 2},
		"netted by two refunds":         {[]string{"theirs p1 S 40", "theirs r1 R 15 p1", "theirs r2 R 25 p1"}, "standard/2 netted-reversal", Matched, 3},
		"over the cut-over":             {[]string{"ours p1 S 40 - - 2026-11-21", "theirs p1 S 40"}, "standard/2 carry", Matched, 2},
		"came otherwise":                {[]string{"ours p1 S 40 - - 2026-11-21", "theirs p1 S 41"}, "standard/2 carry", Differing, 2},
		"twice open":                    {[]string{"ours p1 S 40 - - 2026-11-20", "ours p1 S 40 - - 2026-11-21", "theirs p1 S 40"}, "standard/2 carry", Ambiguous, 3},
		"a batch against its total":     {[]string{"ours p1 S 40 - B7", "ours p2 S 30 - B7", "ours r1 R 5 x B7", "theirs B7 S 65"}, "standard/2 batch", Matched, 4},
		"one of ours, n of theirs":      {[]string{"ours t S 70 - B7", "theirs p1 S 40 - B7", "theirs p2 S 30 - B7"}, "standard/2 batch", Matched, 3},
		"n to m":                        {[]string{"ours p1 S 40", "ours p2 S 30", "theirs q1 S 25", "theirs q2 S 45"}, "standard/2 residual", Suggested, 4},
		"one sum in two ways":           {[]string{"ours p1 S 40", "theirs q1 S 40", "theirs q2 S 40"}, "standard/2 residual", Ambiguous, 3},
		"near in time":                  {[]string{"ours p1 S 40 @10:00:00", "theirs q1 S 40 @10:09:59"}, "standard/2 near", Suggested, 2},
		"over midnight":                 {[]string{"ours p1 S 40 - - 2026-11-21 @23:55:00", "theirs q1 S 40 @00:04:00"}, "standard/2 near", Suggested, 2},
		"two are near":                  {[]string{"ours p1 S 40 @10:00:00", "theirs q1 S 40 @09:55:00", "theirs q2 S 40 @10:05:00"}, "standard/2 near", Ambiguous, 3},
		"near by way of another":        {[]string{"ours p1 S 40 @10:00:00", "theirs q1 S 40 @10:09:00", "ours p2 S 40 @10:18:00"}, "standard/2 near", Ambiguous, 3},
		"too far apart in time":         {[]string{"ours p1 S 40 @10:00:00", "theirs q1 S 40 @10:10:01"}, "standard/2 residual", Suggested, 2},
		"too many days apart":           {[]string{"ours p1 S 40 - - 2026-11-20 @10:00:00", "theirs q1 S 40 @10:00:00"}, "standard/2 residual", Suggested, 2},
		"an id of theirs for an amount": {[]string{"ours p1 S 40", "theirs q1 S 40"}, "standard/2 residual", Suggested, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := apply(t, c.lines...)
			if len(r.Groups) != 1 || r.Groups[0].Rule != c.rule || r.Groups[0].Outcome != c.outcome || len(r.Groups[0].Lines) != c.members {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWhatNoRuleTakes(t *testing.T) {
	for name, lines := range map[string][]string{
		"a refund of another amount":     {"ours r1 R 40 p1", "theirs r2 R 41 p1"},
		"refunded in part":               {"ours p1 S 40", "ours r1 R 39 p1"},
		"two payments of one refund":     {"theirs p1 S 20", "theirs r1 R 40 p1"},
		"a batch that lacks a fen":       {"ours p1 S 40 - B7", "ours p2 S 30 - B7", "theirs B7 S 69"},
		"failed lines are worth nothing": {"ours p1 F 40", "theirs q1 F 40"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := apply(t, lines...); len(r.Groups) != 0 || len(r.Carried) != len(lines) {
				t.Errorf("%+v", r)
			}
		})
	}
	r := apply(t, "ours p1 S 40 - - 2026-11-20", "ours p2 S 41 - - 2026-11-21", "ours p3 S 42")
	if len(r.Broken) != 1 || r.Broken[0].TxnID != "p1" || len(r.Carried) != 2 {
		t.Errorf("by age: %+v", r)
	}
}

// TestEveryLineOnceWhateverTheOrder holds what must hold of any lines: each is said once,
// matched groups cancel, and the order of the lines does not matter.
func TestEveryLineOnceWhateverTheOrder(t *testing.T) {
	set, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var lines []Line
		for i := range rapid.IntRange(0, 24).Draw(rt, "lines") {
			id := fmt.Sprint("t", rapid.IntRange(0, 9).Draw(rt, "id"))
			l := Line{Item: carry.Item{
				Side: rapid.SampledFrom([]string{carry.Ours, carry.Theirs}).Draw(rt, "side"), TxnID: id, Bank: "ICBC", Line: fmt.Sprint(i),
				Merchant: rapid.SampledFrom([]string{"M1", "M2"}).Draw(rt, "merchant"), Status: rapid.SampledFrom([]string{"S", "R", "F"}).Draw(rt, "status"),
				Amount: pos.Money(rapid.IntRange(0, 5).Draw(rt, "fen")),
				Since:  rapid.SampledFrom([]string{"2026-11-19", "2026-11-21", today}).Draw(rt, "since"),
			}, Ref: fmt.Sprint(i)}
			l.Clock = rapid.SampledFrom([]string{"", "23:59:00", "00:02:00", "00:11:00"}).Draw(rt, "clock")
			l.Orig = rapid.SampledFrom([]string{"", "t1", "t2"}).Draw(rt, "orig")
			l.Batch = rapid.SampledFrom([]string{"", "t3", "B"}).Draw(rt, "batch")
			lines = append(lines, l)
		}
		r, err := set.Apply(lines, today)
		if err != nil {
			rt.Fatal(err)
		}
		seen := map[string]int{}
		note := func(list []Line) {
			for _, l := range list {
				seen[l.Ref]++
			}
		}
		for _, g := range r.Groups {
			note(g.Lines)
			if g.Outcome == Matched && g.Difference != 0 {
				rt.Fatalf("%+v does not cancel", g)
			}
			if !strings.HasPrefix(g.Rule, "standard/2 ") {
				rt.Fatalf("%q is no rule", g.Rule)
			}
		}
		note(r.Carried)
		note(r.Broken)
		for _, l := range lines {
			if seen[l.Ref] != 1 {
				rt.Fatalf("%+v was said %d times", l, seen[l.Ref])
			}
		}
		turned := slices.Clone(lines)
		slices.Reverse(turned)
		again, err := set.Apply(turned, today)
		if diff := cmp.Diff(r, again, cmp.AllowUnexported(Result{})); err != nil || diff != "" {
			rt.Fatal(err, diff)
		}
	})
}

func TestRuleSetsAreChecked(t *testing.T) {
	for name, change := range map[string][2]string{
		"unknown key":      {"version: 2", "version: 2\ncolour: red"},
		"no version":       {"version: 2", "version: 0"},
		"id of another":    {"id: batch", "id: carry"},
		"kind":             {"kind: batch", "kind: guess"},
		"carry for ever":   {"days: 1", "days: 32"},
		"too many lines":   {"most_lines: 12", "most_lines: 17"},
		"negative":         {"exact: {tolerance_fen: 0}", "exact: {tolerance_fen: -1}"},
		"misplaced key":    {"{id: batch, kind: batch,", "{id: batch, kind: batch, days: 1,"},
		"tolerant refunds": {"kind: refund}", "kind: refund, tolerance_fen: 1}"},
		"a whole day":      {"minutes: 10", "minutes: 1440"},
		"no minutes":       {"minutes: 10, ", ""},
		"many to a credit": {"kind: credit, most_lines: 12", "kind: credit, most_lines: 17"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(string(standard), change[0], change[1], 1)
			if bad == string(standard) {
				t.Fatal("nothing changed")
			}
			if _, err := Parse([]byte(bad)); pos.CodeOf(err) != pos.ErrConfig {
				t.Error(err)
			}
		})
	}
	one, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	two, err := Parse(append(slices.Clone(standard), '\n'))
	if err != nil || one.Hash == two.Hash {
		t.Error("another document has the same hash", err)
	}
}

func TestEveryBreakNamesItsRule(t *testing.T) {
	dir := t.TempDir()
	ours := filepath.Join(dir, "ours.csv")
	head := "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date\n"
	row := func(id string, fen int, status, orig, batch string) string {
		return fmt.Sprintf("%s,M1,T1,ICBC,%d,0,%s,1795305600000,%s,%s,2026-11-22\n", id, fen, status, orig, batch)
	}
	theirs := filepath.Join(dir, "theirs.csv")
	for path, body := range map[string]string{
		ours:   head + row("p1", 40, "S", "", "B7") + row("p2", 30, "S", "", "B7") + row("m", 5, "S", "", "") + row("lost", 9, "S", "", "") + row("r1", 3, "R", "x", ""),
		theirs: head + row("B7", 70, "S", "", "B7") + row("m", 6, "S", "", "") + row("m", 6, "S", "", "") + row("r2", 3, "R", "x", ""),
	} {
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	sides := [2][]reconcile.Source{{{Path: ours}}, {{Path: theirs}}}
	if _, err := reconcile.Run(t.Context(), reconcile.Job{Ours: sides[0], Theirs: sides[1], Out: out}); err != nil {
		t.Fatal(err)
	}
	set, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(out, "breaks.csv")
	lines, err := Misses(t.Context(), list, sides[0], sides[1], today)
	if err != nil {
		t.Fatal(err)
	}
	r, err := set.Apply(lines, today)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteExplained(out, list, set.Says(r, today)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, ExplainedFile))
	if err != nil {
		t.Fatal(err)
	}
	want := "kind,txn_id,bank,ours_line,theirs_line,rule,outcome,group\n" +
		"amount_mismatch,m,ICBC,4,3,standard/2 exact,break,\n" +
		"duplicate_theirs,m,ICBC,,4,standard/2 unique,break,\n" +
		"missing_ours,B7,ICBC,,2,standard/2 batch,matched,2\n" +
		"missing_ours,r2,ICBC,,5,standard/2 refund-original,matched,1\n" +
		"missing_theirs,lost,ICBC,5,,standard/2 carry,carried,\n" +
		"missing_theirs,p1,ICBC,2,,standard/2 batch,matched,2\n" +
		"missing_theirs,p2,ICBC,3,,standard/2 batch,matched,2\n" +
		"missing_theirs,r1,ICBC,6,,standard/2 refund-original,matched,1\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(standard)
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := Parse(b)
		if err != nil {
			return
		}
		if _, err := set.Apply([]Line{line("ours p1 S 40"), line("theirs p1 S 40")}, today); err != nil {
			t.Error(err)
		}
	})
}
