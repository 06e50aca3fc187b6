package reconcile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dcpos/central/reconcile/statement"
)

// TestBatchesHashLikeRows holds the quick hashes of batches to those of single rows.
func TestBatchesHashLikeRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines.csv")
	rapid.Check(t, func(rt *rapid.T) {
		text := func(longest int, label string) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789abcdef")), 1, longest, -1).Draw(rt, label)
		}
		lines := []string{header}
		for range rapid.IntRange(1, 300).Draw(rt, "lines") {
			id, merchant, bank := strings.Repeat("a", 32), "886012345", "ICBC"
			if rapid.Bool().Draw(rt, "odd") {
				id, merchant, bank = text(64, "id"), text(128, "merchant"), text(40, "bank")
			}
			lines = append(lines, fmt.Sprintf("%s,%s,T,%s,%d,%d,%s,2021-02-10T13:00:00Z", id, merchant, bank,
				rapid.Int64Range(0, 1<<40).Draw(rt, "amount"), rapid.Int64Range(-9, 999).Draw(rt, "fee"), rapid.SampledFrom([]string{"S", "R"}).Draw(rt, "status")))
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			rt.Fatal(err)
		}
		f, err := statement.Open(Source{Path: path}, statement.Options{Block: 1 << 20})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		s, got := newSecret(), 0
		var buf []byte
		block, _, err := f.Next(&buf)
		if err != nil {
			rt.Fatal(err)
		}
		walk := f.NewLines()
		walk.Reset(block)
		b, h, row := new(statement.Batch), new(hashed), new(statement.Row)
		for walk.Batch(b) {
			for i := range b.N {
				h.places[i] = uint64(b.At(i))
			}
			const shift = 50
			h.of(b, s)
			h.records(b.N, shift, theirs)
			var names [2][statement.BatchLines]uint64
			h.names(b.N, s, &names)
			for i := range b.N {
				b.Row(i, row)
				clone := *row // without memory behind its texts
				clone.TxnID, clone.Merchant, clone.Bank = bytes.Clone(row.TxnID), bytes.Clone(row.Merchant), bytes.Clone(row.Bank)
				for _, r := range []*statement.Row{row, &clone} {
					want := recordIn(s, r, place(b.At(i)))
					if h.first[i] != want.first || h.second[i] != want.second || h.lists[i] != uint32(s.text(r.TxnID)>>shift)*2+theirs ||
						names[0][i] != s.text(r.Bank) || names[1][i] != s.text(r.Merchant) {
						rt.Fatalf("line %d: %s", got+i, lines[got+i+1])
					}
				}
			}
			got += b.N
		}
		if got != len(lines)-1 {
			rt.Fatalf("%d of %d lines", got, len(lines)-1)
		}
	})
}

// recordIn is the record of a line.
func recordIn(s *secret, row *statement.Row, at place) record {
	id, body := s.hashes(row)
	return recordOf(id, body, at)
}

// TestHashesDependOnEverything changes one thing of a line at a time.
func TestHashesDependOnEverything(t *testing.T) {
	s := newSecret()
	base := statement.Row{TxnID: []byte("id"), Merchant: []byte("merchant"), Bank: []byte("bank"), Amount: 1, Fee: 2, Status: 'S'}
	seen := map[record]string{recordIn(s, &base, 0): "the line itself"}
	for name, change := range map[string]func(*statement.Row){
		"id":              func(r *statement.Row) { r.TxnID = []byte("ie") },
		"longer id":       func(r *statement.Row) { r.TxnID = []byte("id0") },
		"id with zero":    func(r *statement.Row) { r.TxnID = []byte("id\x00") },
		"merchant":        func(r *statement.Row) { r.Merchant = []byte("merchanu") },
		"longer merchant": func(r *statement.Row) { r.Merchant = []byte("merchant\x00") },
		"no merchant":     func(r *statement.Row) { r.Merchant = nil },
		"bank":            func(r *statement.Row) { r.Bank = []byte("banl") },
		"moved border":    func(r *statement.Row) { r.Merchant, r.Bank = []byte("bank"), []byte("merchant") },
		"amount":          func(r *statement.Row) { r.Amount = 2 },
		"fee":             func(r *statement.Row) { r.Fee = -2 },
		"swapped money":   func(r *statement.Row) { r.Amount, r.Fee = 2, 1 },
		"status":          func(r *statement.Row) { r.Status = 'R' },
		"long merchant":   func(r *statement.Row) { r.Merchant = bytes.Repeat([]byte("m"), 17) },
		"long bank":       func(r *statement.Row) { r.Bank = bytes.Repeat([]byte("m"), 17) },
	} {
		row := base
		change(&row)
		r := recordIn(s, &row, 0)
		if other, ok := seen[r]; ok {
			t.Errorf("%s hashes like %s", name, other)
		}
		seen[r] = name
	}
}
