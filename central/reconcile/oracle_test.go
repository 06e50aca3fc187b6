package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// entry is one line of a file as the tests write it; the oracle reads these strings
// itself and shares no code with the engine.
type entry struct {
	id, merchant, terminal, bank, amount, fee, status, ts string
}

func (e entry) csv() string {
	return strings.Join([]string{e.id, e.merchant, e.terminal, e.bank, e.amount, e.fee, e.status, e.ts}, ",")
}

const header = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts"

func write(tb testing.TB, path string, body string) string {
	tb.Helper()
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func csvOf(lines []entry) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	for _, e := range lines {
		b.WriteString(e.csv() + "\n")
	}
	return b.String()
}

// verdict is what the oracle expects: the lines of breaks.csv, and counts.
type verdict struct {
	breaks  []string
	counts  map[string]int
	effects [3]int64 // ours, theirs, breaks
}

type seen struct {
	entry
	file, line int
}

// judge is the naive reconciler: maps of whole rows, files in order, classes by the
// words of the contract. Files are slices of lines.
func judge(oursFiles, theirsFiles [][]entry, tolerance int64) verdict {
	v := verdict{counts: map[string]int{}}
	type found struct {
		kind, id    string
		ours, their *seen
		field       [3]string
	}
	var all []found
	first := [2]map[string]*seen{{}, {}}
	var order []string
	for side, files := range [][][]entry{oursFiles, theirsFiles} {
		for f, lines := range files {
			for n, e := range lines {
				s := &seen{e, f + 1, n + 2}
				v.effects[side] += effectOf(s)
				if first[side][e.id] == nil {
					first[side][e.id] = s
					if side == 0 || first[0][e.id] == nil {
						order = append(order, e.id)
					}
					continue
				}
				if side == 0 {
					all = append(all, found{kind: "duplicate_ours", id: e.id, ours: s})
				} else {
					all = append(all, found{kind: "duplicate_theirs", id: e.id, their: s})
				}
			}
		}
	}
	for _, id := range order {
		a, b := first[0][id], first[1][id]
		d := found{id: id, ours: a, their: b}
		switch {
		case b == nil:
			d.kind = "missing_theirs"
		case a == nil:
			d.kind = "missing_ours"
		case abs(num(a.amount)-num(b.amount)) > tolerance:
			d.kind = "amount_mismatch"
		case a.status != b.status:
			d.kind = "status_mismatch"
		case a.bank != b.bank || a.merchant != b.merchant || num(a.fee) != num(b.fee):
			d.kind = "field_mismatch"
			differ := 0
			for _, c := range [][3]string{
				{"bank", a.bank, b.bank}, {"merchant_id", a.merchant, b.merchant}, {"fee_fen", a.fee, b.fee},
			} {
				if c[1] != c[2] {
					for i := range c {
						if differ > 0 {
							d.field[i] += ";"
						}
						d.field[i] += c[i]
					}
					differ++
				}
			}
		default:
			v.counts["matched"]++
			v.counts["matched "+a.status]++
			continue
		}
		all = append(all, d)
	}
	sort.Slice(all, func(i, k int) bool {
		a, b := all[i], all[k]
		if a.kind != b.kind {
			return a.kind < b.kind
		}
		if a.id != b.id {
			return a.id < b.id
		}
		return pos2(a.ours, a.their) < pos2(b.ours, b.their)
	})
	for _, d := range all {
		v.counts[d.kind]++
		shown := d.ours
		if shown == nil {
			shown = d.their
		}
		if d.ours != nil {
			v.effects[2] += effectOf(d.ours)
		}
		if d.their != nil {
			v.effects[2] -= effectOf(d.their)
		}
		part := func(s *seen, get func(*seen) string) string {
			if s == nil {
				return ""
			}
			return get(s)
		}
		amount := func(s *seen) string { return s.amount }
		status := func(s *seen) string { return s.status }
		line := func(files int) func(s *seen) string {
			return func(s *seen) string {
				if files > 1 {
					return fmt.Sprintf("%d:%d", s.file, s.line)
				}
				return strconv.Itoa(s.line)
			}
		}
		v.breaks = append(v.breaks, strings.Join([]string{
			d.kind, d.id, shown.bank, shown.merchant, part(d.ours, amount), part(d.their, amount),
			part(d.ours, status), part(d.their, status),
			part(d.ours, line(len(oursFiles))), part(d.their, line(len(theirsFiles))),
			d.field[0], d.field[1], d.field[2],
		}, ","))
	}
	return v
}

func pos2(a, b *seen) string {
	s := ""
	for _, x := range []*seen{a, b} {
		if x == nil {
			s += "-"
		} else {
			s += fmt.Sprintf("%09d.%09d", x.file, x.line)
		}
	}
	return s
}

func effectOf(s *seen) int64 {
	switch s.status {
	case "S":
		return num(s.amount)
	case "R":
		return -num(s.amount)
	}
	return 0
}

func num(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

func lines(tb testing.TB, path string) []string {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func read(tb testing.TB, dir, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}
