package reconcile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// maxBanks bounds by_bank, which is held in memory and written into summary.json.
// More institutions than this mean that another column was taken for the bank.
const maxBanks = 4096

// total is the control total of one bank or one merchant. Lines of ours are counted while they
// are read. Of theirs only what they have more than ours is kept until the totals are written:
// an ordinary pair adds the same to both sides, and every other line is read again.
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

// differ notes a line that was read again: theirs have one more, or of ours one less.
func (t *total) differ(side int, l *line) {
	if side == theirs {
		t.lines[theirs]++
		t.fen[theirs].add(l.amount)
		t.fee[theirs].add(l.fee)
		t.effect[theirs].add(effective(l.status, l.amount))
		return
	}
	t.lines[theirs]--
	t.fen[theirs].subMoney(l.amount)
	t.fee[theirs].subMoney(l.fee)
	t.effect[theirs].subMoney(effective(l.status, l.amount))
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

// totalBytes is how long a total is.
const totalBytes = 2*(8+3*sumBytes) + 8

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
	sorter taker               // of what is flushed
	levels [2]map[string]int32 // key to index in sums
	sums   []total
	record []byte
}

// taker takes encoded totals by level and key.
type taker interface {
	Add(key, value []byte) error
}

// bytesPerTotal is what one key costs: sums, key, entry of the map.
const bytesPerTotal = 256

func newLedgerTotals(memory int64, sorter taker) *ledgerTotals {
	return &ledgerTotals{
		most: int(min(max(memory/bytesPerTotal, 16), mostKeys)), sorter: sorter,
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

// take adds a total as flush has encoded it.
func (l *ledgerTotals) take(key, value []byte) error {
	if len(key) == 0 || len(value) != totalBytes || key[0] != byBank && key[0] != byMerchant {
		return errors.New("a control total is damaged")
	}
	level := strings.IndexByte(levelNames, key[0])
	at, ok := l.levels[level][string(key[1:])]
	if !ok {
		if len(l.sums) >= l.most {
			if err := l.flush(); err != nil {
				return err
			}
		}
		at = int32(len(l.sums))
		l.sums = append(l.sums, total{})
		l.levels[level][string(key[1:])] = at
	}
	more := decodeTotal(value)
	l.sums[at].add(&more)
	return nil
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

// sideTotals is one worker's control totals of our side while it reads. Banks and merchants are
// known by the keyed hash of their names: two of a million merchants share one with a chance
// of 3·10⁻⁸. Lines are counted some hundred at a time, first all look-ups, then all
// additions: what takes time is memory, and so its answers overlap.
type sideTotals struct {
	ledger *ledgerTotals
	tables [2]table // banks, merchants
	found  [statement.BatchLines]uint64
	kept   int
	lines  int64 // since the last flush
}

// sideLines are lines of our side that are counted at once, column by column.
type sideLines struct {
	hashes [2][statement.BatchLines]uint64 // of banks, of merchants
	amount [statement.BatchLines]int64
	fee    [statement.BatchLines]int64
	effect [statement.BatchLines]int64
	big    bool // there may be values that keySum does not take
}

// names are asked for when a bank or merchant is met for the first time.
type names interface {
	Bank(i int) []byte
	Merchant(i int) []byte
}

// set takes the values of a batch, whose names are hashed already.
func (l *sideLines) set(b *statement.Batch) {
	all := int64(0)
	for i, amount := range b.Amount[:b.N] {
		fee := int64(b.Fee[i])
		l.amount[i], l.fee[i], l.effect[i] = int64(amount), fee, int64(effective(b.Status[i], amount))
		all |= int64(amount) | (fee ^ fee>>63)
	}
	l.big = all >= mostSmall
}

// one takes a single row.
func (l *sideLines) one(bank, merchant uint64, row *statement.Row) {
	l.hashes[0][0], l.hashes[1][0] = bank, merchant
	l.amount[0], l.fee[0], l.effect[0] = int64(row.Amount), int64(row.Fee), int64(effective(row.Status, row.Amount))
	l.big = true
}

// table finds sums by hash: open addressing, at most half full.
type table struct {
	index []uint64 // 40 high bits of the hash, position in sums plus one
	sums  []keySum
	rest  []keyRest
}

// keySum adds up what is small enough that mostSmall lines of it fit. It is half a line of the
// processor's cache, and so never lies in two.
type keySum struct {
	low              uint32 // half of the hash
	lines            uint32
	fen, fee, effect int64
}

// keyRest is what is seldom asked for.
type keyRest struct {
	name []byte
	big  *[3]sum // lines whose values are not small
}

const (
	slotBits  = 24
	mostKeys  = 1<<slotBits - 2
	mostSmall = 1 << 31
)

func newSideTotals(memory int64, sorter taker) *sideTotals {
	return &sideTotals{ledger: newLedgerTotals(memory, sorter)}
}

// count adds n lines to their banks' and their merchants' totals.
func (t *sideTotals) count(n int, lines *sideLines, of names) error {
	if t.lines += int64(n); t.kept+2*n > t.ledger.most || t.lines >= mostSmall {
		if err := t.flush(); err != nil {
			return err
		}
		t.lines = int64(n)
	}
	found := t.found[:n]
	for level := range t.tables {
		table, hashes := &t.tables[level], lines.hashes[level][:n]
		amount, fee, effect := lines.amount[:n], lines.fee[:n], lines.effect[:n]
		table.guess(hashes, found)
		sums := table.sums
		for i, hash := range hashes {
			at := uint32(found[i]&(1<<slotBits-1)) - 1
			if (found[i]^hash)>>slotBits != 0 || at >= uint32(len(sums)) || sums[at].low != uint32(hash) {
				at = t.meet(level, hash, i, of)
				sums = table.sums
			}
			s := &sums[at]
			s.lines++
			if lines.big && (amount[i] >= mostSmall || uint64(fee[i]+mostSmall) >= 2*mostSmall) {
				table.rest[at].add([3]int64{amount[i], fee[i], effect[i]})
				continue
			}
			s.fen += amount[i]
			s.fee += fee[i]
			s.effect += effect[i]
		}
	}
	return nil
}

// meet finds the sums of a hash that is at neither of the first places where it can be, or makes them.
func (t *sideTotals) meet(level int, hash uint64, i int, of names) uint32 {
	name := of.Bank
	if levelNames[level] == byMerchant {
		name = of.Merchant
	}
	at, made := t.tables[level].at(hash, name(i))
	if made {
		t.kept++
	}
	return at
}

func (r *keyRest) add(values [3]int64) {
	if r.big == nil {
		r.big = new([3]sum)
	}
	for i, v := range values {
		r.big[i].add(pos.Money(v))
	}
}

// guess looks all hashes up at the first two places where they can be: one that is at neither is seldom,
// and one that is at the second costs no branch that a processor would guess wrong.
func (t *table) guess(hashes, found []uint64) {
	if len(t.index) == 0 {
		t.grow()
	}
	mask := uint64(len(t.index) - 1)
	index, found := t.index, found[:len(hashes)]
	for i, hash := range hashes {
		entry, next := index[hash&mask], index[(hash+1)&mask]
		if (entry^hash)>>slotBits != 0 {
			entry = next
		}
		found[i] = entry
	}
}

// at finds a hash's sums or makes them.
func (t *table) at(hash uint64, name []byte) (at uint32, made bool) {
	if 2*len(t.sums) >= len(t.index) {
		t.grow()
	}
	mask := uint64(len(t.index) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		entry := t.index[i]
		if entry == 0 {
			t.sums = append(t.sums, keySum{low: uint32(hash)})
			t.rest = append(t.rest, keyRest{name: append([]byte(nil), name...)})
			t.index[i] = hash>>slotBits<<slotBits | uint64(len(t.sums))
			return uint32(len(t.sums) - 1), true
		}
		if at := uint32(entry&(1<<slotBits-1)) - 1; entry>>slotBits == hash>>slotBits && t.sums[at].low == uint32(hash) {
			return at, false
		}
	}
}

func (t *table) grow() {
	const least = 64
	old := t.index
	t.index = make([]uint64, max(4*len(old), least))
	mask := uint64(len(t.index) - 1)
	for _, entry := range old {
		if entry == 0 {
			continue
		}
		low := t.sums[entry&(1<<slotBits-1)-1].low
		i := (entry>>slotBits<<slotBits | uint64(low)&(1<<slotBits-1)) & mask
		for t.index[i] != 0 {
			i = (i + 1) & mask
		}
		t.index[i] = entry
	}
}

// flush hands everything to the sorter.
func (t *sideTotals) flush() error {
	for level := range t.tables {
		table := &t.tables[level]
		for i := range table.sums {
			if err := t.ledger.put(level, &table.sums[i], &table.rest[i]); err != nil {
				return err
			}
		}
		clear(table.index)
		table.sums, table.rest = table.sums[:0], table.rest[:0]
	}
	t.kept, t.lines = 0, 0
	return nil
}

// put hands our sums of one key to the sorter.
func (l *ledgerTotals) put(level int, s *keySum, rest *keyRest) error {
	l.record = append(append(l.record[:0], levelNames[level]), rest.name...)
	n := len(l.record)
	var t total
	t.lines[ours] = int64(s.lines)
	for i, part := range [3]*sum{&t.fen[ours], &t.fee[ours], &t.effect[ours]} {
		part.add(pos.Money([3]int64{s.fen, s.fee, s.effect}[i]))
		if rest.big != nil {
			part.addSum(rest.big[i])
		}
	}
	l.record = t.append(l.record)
	return l.sorter.Add(l.record[:n], l.record[n:])
}

const totalsHeader = "level,key,ours,theirs,ours_fen,theirs_fen,ours_fee_fen,theirs_fee_fen," +
	"ours_effective_fen,theirs_effective_fen,breaks\n"

// writeTotals writes totals.csv and returns by_bank and the total of all banks.
func writeTotals(w *bufio.Writer, sorter *spill.Sorter) (banks map[string]BankTotal, all total, err error) {
	banks = map[string]BankTotal{}
	if _, err := w.WriteString(totalsHeader); err != nil {
		return nil, all, err
	}
	var key []byte
	var current total
	emit := func() error {
		if len(key) == 0 { // before the first one: every key has its level
			return nil
		}
		current.complete()
		if key[0] == byBank {
			all.add(&current)
		}
		return emitTotal(w, key, &current, banks)
	}
	err = sorter.Sorted(func(k, v []byte) error {
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
	return banks, all, err
}

// complete makes theirs whole: what ours have, and what theirs have more.
func (t *total) complete() {
	t.lines[theirs] += t.lines[ours]
	t.fen[theirs].addSum(t.fen[ours])
	t.fee[theirs].addSum(t.fee[ours])
	t.effect[theirs].addSum(t.effect[ours])
}

// proves compares the totals of all banks with what was counted while reading. Theirs went
// another way than the count did: by our lines and by those that were read again.
func (t *total) proves(read *[2]sideTally) error {
	for side := range read {
		lines, fen, effect := read[side].sums()
		if t.lines[side] != lines || t.fen[side] != fen || t.effect[side] != effect {
			return fmt.Errorf("%w: control totals of %s have %d lines, read were %d", ErrProof, sideName(side), t.lines[side], lines)
		}
	}
	return nil
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
