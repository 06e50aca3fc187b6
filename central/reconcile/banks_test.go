package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/lab/statements"
	"dcpos/pos"
)

// TestSixStatementsAgainstOurLines: every institution's file in its own form, with one line
// missing on each side, one other amount and one other status per bank.
func TestSixStatementsAgainstOurLines(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	var mine []entry
	var sources []Source
	for _, bank := range statements.Banks() {
		var theirs []statements.BankLine
		for i := range 300 {
			l := statements.BankLine{
				TxnID:    fmt.Sprintf("%08x-0000-7000-8000-%012x", r.Uint32(), r.Uint32()),
				Merchant: fmt.Sprintf("8860%05d", r.IntN(50)), Name: "老誠号|小吃"[:len("老誠号")], Terminal: "T1", Batch: "B1",
				Amount: r.Int64N(1_000_000), Fee: r.Int64N(100), Status: "SSSSFPR"[r.IntN(7)],
				Day: 20261121, Date: 20261121, Clock: 80000 + i%60,
			}
			if i > 2 && i < 5 {
				l.Status = 'S'
			}
			e := entry{
				l.TxnID, l.Merchant, l.Terminal, bank, fmt.Sprint(l.Amount), fmt.Sprint(l.Fee), string(l.Status), "2026-11-21T00:00:00Z",
			}
			switch i {
			case 1:
				theirs = append(theirs, l)
				continue
			case 3:
				l.Amount++
			case 4:
				l.Status = 'F'
			}
			mine = append(mine, e)
			if i != 2 {
				theirs = append(theirs, l)
			}
		}
		b, err := statements.WriteBank(bank, 20261121, 20261121, theirs)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, bank+".txt")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, Source{Path: path, Format: strings.ToLower(bank)})
	}
	for _, workers := range []int{1, 3} {
		tuned := tune(minMemory, workers)
		tuned.block = 2000
		s, err := runTuned(t.Context(), Job{
			Ours: save(t, dir, "o", [][]entry{mine}), Theirs: sources, Out: filepath.Join(dir, "out"), Memory: minMemory,
			SettlementDate: "2026-11-21",
		}, tuned)
		if err != nil {
			t.Fatal(err)
		}
		for kind, want := range map[pos.BreakKind]int64{
			pos.MissingOurs: 6, pos.MissingTheirs: 6, pos.AmountMismatch: 6, pos.StatusMismatch: 6, pos.Matched: 6 * 296,
			pos.FieldMismatch: 0, pos.DuplicateOurs: 0, pos.DuplicateTheirs: 0,
		} {
			if got := s.Class(kind); got != want {
				t.Errorf("%d workers: %s %d, want %d", workers, kind, got, want)
			}
		}
	}
	b, err := os.ReadFile(sources[2].Path)
	if err != nil {
		t.Fatal(err)
	}
	again := write(t, filepath.Join(dir, "sent again.txt"), string(b))
	_, err = Run(t.Context(), Job{
		Ours: save(t, dir, "o", [][]entry{mine}), Theirs: append(sources, Source{Path: again, Format: "boc"}), Out: filepath.Join(dir, "no"),
	})
	if want := again + ": holds the same lines as " + sources[2].Path + ": give each statement once"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// Statements of other days alone are not what the date asks for: nothing against nothing would close.
	other := Job{
		Ours: save(t, dir, "o", [][]entry{mine}), Theirs: sources[:2], Out: filepath.Join(dir, "no"), SettlementDate: "2026-11-22", Memory: minMemory,
	}
	want := sources[0].Path + ": is the statement of 20261121 to 20261121, not of 2026-11-22"
	if _, err = Run(t.Context(), other); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = RunIn(t.Context(), filepath.Join(dir, "segments"), other); err == nil || err.Error() != want {
		t.Errorf("in parts: got %v, want %s", err, want)
	}
	bad, ok := errors.AsType[*InputError](err)
	if !ok || !strings.Contains(bad.Explain("zh"), "是 20261121 至 20261121 的对账单,而不是 2026-11-22 的") {
		t.Errorf("%v", err)
	}
	for b, err := range ReadBreaks(filepath.Join(dir, "out", breaksFile)) {
		if err != nil || b.Theirs != nil && !strings.Contains(b.Theirs.Line, ":") {
			t.Errorf("%+v %v", b, err)
		}
	}
}
