package reconcile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
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

const totalBytes = 3*8 + 6*sumBytes

func (t *total) add(o *total) {
	for side := range t.lines {
		t.lines[side] += o.lines[side]
		t.fen[side].addSum(o.fen[side])
		t.fee[side].addSum(o.fee[side])
		t.effect[side].addSum(o.effect[side])
	}
	t.breaks += o.breaks
}

func (t *total) encode() []byte {
	b := make([]byte, 0, totalBytes)
	for side := range t.lines {
		b = binary.LittleEndian.AppendUint64(b, uint64(t.lines[side]))
		b = t.fen[side].append(b)
		b = t.fee[side].append(b)
		b = t.effect[side].append(b)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(t.breaks))
}

func decodeTotal(b []byte) *total {
	t := &total{}
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
)

// ledgerTotals is one worker's control totals. When there are more keys than its
// share of memory allows, it hands them to the sorter and starts again.
type ledgerTotals struct {
	most   int
	sorter *spill.Sorter
	levels [2]map[string]*total
}

// bytesPerTotal is what one key costs in a map: struct, key, entry.
const bytesPerTotal = 256

func newLedgerTotals(memory int64, sorter *spill.Sorter) *ledgerTotals {
	return &ledgerTotals{
		most: int(max(memory/bytesPerTotal, 16)), sorter: sorter,
		levels: [2]map[string]*total{{}, {}},
	}
}

// of returns the totals of a bank and of a merchant, to be added to at once.
func (l *ledgerTotals) of(bank, merchant []byte) (atBank, atMerchant *total, err error) {
	keys := [2][]byte{bank, merchant}
	var found [2]*total
	for i, key := range keys {
		t := l.levels[i][string(key)]
		if t == nil {
			if len(l.levels[0])+len(l.levels[1]) >= l.most {
				if err := l.flush(); err != nil {
					return nil, nil, err
				}
				return l.of(bank, merchant) // what was found before is no longer counted on
			}
			t = &total{}
			l.levels[i][string(key)] = t
		}
		found[i] = t
	}
	return found[0], found[1], nil
}

func (l *ledgerTotals) flushLevel(i int) error {
	for key, t := range l.levels[i] {
		level := byte(byBank)
		if i == 1 {
			level = byMerchant
		}
		if err := l.sorter.Add(append([]byte{level}, key...), t.encode()); err != nil {
			return err
		}
	}
	clear(l.levels[i])
	return nil
}

func (l *ledgerTotals) flush() error {
	if err := l.flushLevel(0); err != nil {
		return err
	}
	return l.flushLevel(1)
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
	var current *total
	emit := func() error {
		if current == nil {
			return nil
		}
		return emitTotal(w, key, current, banks)
	}
	err := sorter.Sorted(func(k, v []byte) error {
		if current != nil && bytes.Equal(k, key) {
			current.add(decodeTotal(v))
			return nil
		}
		if err := emit(); err != nil {
			return err
		}
		key, current = append(key[:0], k...), decodeTotal(v)
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
