package reconcile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// maxBanks bounds by_bank, which is held in memory and written into summary.json.
// More institutions than this mean that another column was taken for the bank.
const maxBanks = 4096

// total is the control total of one bank or one merchant.
type total struct {
	lines  [2]int64
	fen    [2]sum
	fee    [2]sum
	effect [2]sum
	breaks int64
}

func (t *total) add(o *total) {
	for side := range t.lines {
		t.lines[side] += o.lines[side]
		t.fen[side].addSum(o.fen[side])
		t.fee[side].addSum(o.fee[side])
		t.effect[side].addSum(o.effect[side])
	}
	t.breaks += o.breaks
}

func (t *total) append(b []byte) []byte {
	for side := range t.lines {
		b = binary.LittleEndian.AppendUint64(b, uint64(t.lines[side]))
		b = t.fen[side].append(b)
		b = t.fee[side].append(b)
		b = t.effect[side].append(b)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(t.breaks))
}

func decodeTotal(b []byte) (t total) {
	for side := range t.lines {
		t.lines[side] = int64(binary.LittleEndian.Uint64(b))
		t.fen[side] = readSum(b[8:])
		t.fee[side] = readSum(b[8+sumBytes:])
		t.effect[side] = readSum(b[8+2*sumBytes:])
		b = b[8+3*sumBytes:]
	}
	t.breaks = int64(binary.LittleEndian.Uint64(b))
	return t
}

// Levels of control totals, in the order of totals.csv.
const (
	byBank     = 'b'
	byMerchant = 'm'

	levelNames = string(byBank) + string(byMerchant)
)

// ledgerTotals is one worker's control totals while it joins, which counts breaks. When there are more keys than its
// share of memory allows, it hands them to the sorter and starts again; nothing but
// the keys is then allocated anew.
type ledgerTotals struct {
	most   int
	sorter *spill.Sorter
	levels [2]map[string]int32 // key to index in sums
	sums   []total
	record []byte
}

// bytesPerTotal is what one key costs: sums, key, entry of the map.
const bytesPerTotal = 256

func newLedgerTotals(memory int64, sorter *spill.Sorter) *ledgerTotals {
	return &ledgerTotals{
		most: int(min(max(memory/bytesPerTotal, 16), math.MaxInt32)), sorter: sorter,
		levels: [2]map[string]int32{{}, {}},
	}
}

// of returns the totals of a bank and of a merchant, to be added to at once.
func (l *ledgerTotals) of(bank, merchant []byte) (atBank, atMerchant *total, err error) {
	var found [2]int32
	for i, key := range [2][]byte{bank, merchant} {
		at, ok := l.levels[i][string(key)]
		if !ok {
			if len(l.sums) >= l.most {
				if err := l.flush(); err != nil {
					return nil, nil, err
				}
				return l.of(bank, merchant) // what was found before is no longer counted on
			}
			at = int32(len(l.sums))
			l.sums = append(l.sums, total{})
			l.levels[i][string(key)] = at
		}
		found[i] = at
	}
	return &l.sums[found[0]], &l.sums[found[1]], nil
}

// flush hands everything to the sorter.
func (l *ledgerTotals) flush() error {
	for i, level := range []byte(levelNames) {
		for key, at := range l.levels[i] {
			l.record = append(append(l.record[:0], level), key...)
			n := len(l.record)
			l.record = l.sums[at].append(l.record)
			if err := l.sorter.Add(l.record[:n], l.record[n:]); err != nil {
				return err
			}
		}
		clear(l.levels[i])
	}
	l.sums = l.sums[:0]
	return nil
}

// sideTotals is one worker's control totals while it reads. Banks and merchants are known
// by the keyed hash of their names: two of a million merchants share one with a chance
// of 3·10⁻⁸.
type sideTotals struct {
	ledger *ledgerTotals
	tables [2][2]slots // by side; banks, merchants
	kept   int
}

// slots is a table by open addressing, at most half full.
type slots struct {
	sums  []slotSum
	names [][]byte
	used  int
}

// slotSum fills a cache line.
type slotSum struct {
	hash             uint64
	lines            int64
	fen, fee, effect sum
}

func newSideTotals(memory int64, sorter *spill.Sorter) *sideTotals {
	return &sideTotals{ledger: newLedgerTotals(memory, sorter)}
}

// count adds a line to its bank's and its merchant's totals.
func (t *sideTotals) count(side int, bank, merchant uint64, row *statement.Row) error {
	if t.kept >= t.ledger.most {
		if err := t.flush(); err != nil {
			return err
		}
	}
	tables := &t.tables[side]
	effect := effective(row.Status, row.Amount)
	for _, s := range [2]*slotSum{t.at(&tables[0], bank, row.Bank), t.at(&tables[1], merchant, row.Merchant)} {
		s.lines++
		s.fen.add(row.Amount)
		s.fee.add(row.Fee)
		s.effect.add(effect)
	}
	return nil
}

// at finds a key's sums or makes them.
func (t *sideTotals) at(table *slots, hash uint64, name []byte) *slotSum {
	for {
		mask := uint64(len(table.sums) - 1)
		for i := hash & mask; table.sums != nil; i = (i + 1) & mask {
			s := &table.sums[i]
			if s.hash == hash && s.lines > 0 {
				return s
			}
			if s.lines == 0 && table.used*2 >= len(table.sums) {
				break // grow first
			}
			if s.lines == 0 {
				s.hash = hash
				table.names[i] = append(table.names[i][:0], name...)
				table.used++
				t.kept++
				return s
			}
		}
		table.grow()
	}
}

func (s *slots) grow() {
	const least = 64
	old := *s
	s.sums = make([]slotSum, max(2*len(old.sums), least))
	s.names = make([][]byte, len(s.sums))
	mask := uint64(len(s.sums) - 1)
	for i := range old.sums {
		if old.sums[i].lines == 0 {
			continue
		}
		at := old.sums[i].hash & mask
		for s.sums[at].lines > 0 {
			at = (at + 1) & mask
		}
		s.sums[at], s.names[at] = old.sums[i], old.names[i]
	}
}

// flush hands everything to the sorter.
func (t *sideTotals) flush() error {
	for side := range t.tables {
		for level := range t.tables[side] {
			table := &t.tables[side][level]
			for i := range table.sums {
				if table.sums[i].lines == 0 {
					continue
				}
				if err := t.ledger.put(level, table.names[i], side, &table.sums[i]); err != nil {
					return err
				}
			}
			clear(table.sums)
			table.used = 0
		}
	}
	t.kept = 0
	return nil
}

// put hands one side's sums of one key to the sorter.
func (l *ledgerTotals) put(level int, name []byte, side int, s *slotSum) error {
	l.record = append(append(l.record[:0], levelNames[level]), name...)
	n := len(l.record)
	var t total
	t.lines[side], t.fen[side], t.fee[side], t.effect[side] = s.lines, s.fen, s.fee, s.effect
	l.record = t.append(l.record)
	return l.sorter.Add(l.record[:n], l.record[n:])
}

const totalsHeader = "level,key,ours,theirs,ours_fen,theirs_fen,ours_fee_fen,theirs_fee_fen," +
	"ours_effective_fen,theirs_effective_fen,breaks\n"

// writeTotals writes totals.csv and returns by_bank.
func writeTotals(w *bufio.Writer, sorter *spill.Sorter) (map[string]BankTotal, error) {
	banks := map[string]BankTotal{}
	if _, err := w.WriteString(totalsHeader); err != nil {
		return nil, err
	}
	var key []byte
	var current total
	emit := func() error {
		if len(key) == 0 { // before the first one: every key has its level
			return nil
		}
		return emitTotal(w, key, &current, banks)
	}
	err := sorter.Sorted(func(k, v []byte) error {
		next := decodeTotal(v)
		if bytes.Equal(k, key) {
			current.add(&next)
			return nil
		}
		if err := emit(); err != nil {
			return err
		}
		key, current = append(key[:0], k...), next
		return nil
	})
	if err == nil {
		err = emit()
	}
	return banks, err
}

func emitTotal(w *bufio.Writer, key []byte, t *total, banks map[string]BankTotal) error {
	level := "bank"
	if key[0] == byMerchant {
		level = "merchant"
	}
	name := string(key[1:])
	b := append(append([]byte(level), ','), name...)
	for _, n := range t.lines {
		b = strconv.AppendInt(append(b, ','), n, 10)
	}
	var fen [2]pos.Money
	for i, sums := range [3]*[2]sum{&t.fen, &t.fee, &t.effect} {
		for side := range sums {
			m, err := sums[side].money(level + " " + name)
			if err != nil {
				return err
			}
			b = strconv.AppendInt(append(b, ','), int64(m), 10)
			if i == 0 {
				fen[side] = m
			}
		}
	}
	b = append(strconv.AppendInt(append(b, ','), t.breaks, 10), '\n')
	if level == "bank" {
		if len(banks) >= maxBanks {
			return &statement.InputError{Column: "bank", Why: pos.Text{
				EN: fmt.Sprintf("more than %d different banks: is another column in the bank's place?", maxBanks),
				ZH: fmt.Sprintf("银行代码超过 %d 种:银行列是否错位?", maxBanks),
			}}
		}
		banks[name] = BankTotal{t.lines[ours], t.lines[theirs], fen[ours], fen[theirs], t.breaks}
	}
	_, err := w.Write(b)
	return err
}
