package statement

import (
	"math"

	"dcpos/pos"
)

// BatchLines is how many lines a batch holds at most.
const BatchLines = 256

// Batch is a run of lines that are as usual, taken apart column by column: short loops
// keep the processor busier than one long one. Element i of every array belongs to line i.
// Texts lie in the block and are good until the next block is read; the memory behind them is
// readable for some bytes.
type Batch struct {
	N      int // lines
	Amount [BatchLines]pos.Money
	Fee    [BatchLines]pos.Money
	Day    [BatchLines]int32 // settlement date, as Row has it
	Status [BatchLines]byte

	parser *csvParser
	at     int64              // of the block in the file's text
	data   []byte             // the block and its padding
	seps   []uint32           // the block's commas and LFs
	first  [BatchLines]uint32 // a line's first one
	begin  [BatchLines]uint32 // where a line begins in the block
}

// At is where line i begins in the file's text.
func (b *Batch) At(i int) int64 { return b.at + int64(b.begin[i]) }

// TxnID is the id of line i.
func (b *Batch) TxnID(i int) []byte { return b.data[b.begin[i]:b.seps[b.first[i]]] }

// Merchant is the merchant of line i.
func (b *Batch) Merchant(i int) []byte { return b.field(i, colMerchant) }

// Bank is the institution of line i.
func (b *Batch) Bank(i int) []byte { return b.field(i, colBank) }

// field is any column but the first; the last one may end with a CR.
func (b *Batch) field(i, column int) []byte {
	at := int(b.first[i]) + column
	return b.data[b.seps[at-1]+1 : b.seps[at]]
}

// Row fills row with line i.
func (b *Batch) Row(i int, row *Row) {
	row.At, row.TxnID = b.At(i), b.TxnID(i)
	row.Merchant, row.Terminal, row.Bank = b.Merchant(i), b.field(i, colTerminal), b.Bank(i)
	row.Amount, row.Fee, row.Status, row.Day = b.Amount[i], b.Fee[i], b.Status[i], b.Day[i]
	row.Orig, row.Batch, row.stamp = nil, nil, b.last(i, colStamp)
	if b.parser.orig >= 0 {
		row.Orig = b.last(i, b.parser.orig)
	}
	if b.parser.batch >= 0 {
		row.Batch = b.last(i, b.parser.batch)
	}
}

// last is a column that may be the last one.
func (b *Batch) last(i, column int) []byte {
	text := b.field(i, column)
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return text
}

// Keep drops the lines of other settlement dates.
func (b *Batch) Keep(day int32) {
	kept := 0
	for i := range b.N {
		if b.Day[i] != day {
			continue
		}
		b.Amount[kept], b.Fee[kept], b.Day[kept], b.Status[kept] = b.Amount[i], b.Fee[i], b.Day[i], b.Status[i]
		b.first[kept], b.begin[kept] = b.first[i], b.begin[i]
		kept++
	}
	b.N = kept
}

// fill takes so many lines apart, of which separators and line ends are given; the first one
// begins at begin and has separator sep as its first. It stops before a line that is not as
// usual, and returns how many were.
func (b *Batch) fill(ends []uint32, begin, sep uint32) int {
	n := b.shape(ends, begin, sep)
	n = b.digits(colAmount, n, &b.Amount, 0)
	n = b.digits(colFee, n, &b.Fee, math.MinInt64)
	n = b.stamps(n)
	if b.parser.day >= 0 {
		n = b.dates(n)
	}
	b.N = n
	return n
}

// shape holds the lines to the number of their columns, the widths of texts, and a status.
func (b *Batch) shape(ends []uint32, begin, sep uint32) int {
	per := uint32(len(b.parser.columns))
	for i, end := range ends {
		line := b.seps[sep : sep+per]
		s := (*[requiredCount]uint32)(line)
		status := b.data[s[5]+1]
		// Widths are from 0 or 1 to a power of two: what is less or more has higher bits.
		const txnIDBits, fieldBits, lineBits = 6, 7, 16
		odd := (s[0]-begin-1)>>txnIDBits | (s[1]-s[0]-1)>>fieldBits | (s[2]-s[1]-1)>>fieldBits | (s[3]-s[2]-2)>>fieldBits |
			(end-begin)>>lineBits | (s[6] - s[5] - 2) | (line[per-1] ^ end)
		if odd != 0 || !isStatus(status) {
			return i
		}
		b.begin[i], b.first[i], b.Status[i] = begin, sep, status
		begin, sep = end+1, sep+per
	}
	return len(ends)
}

// digits reads a column of numbers, of which none is less than least.
func (b *Batch) digits(column, n int, out *[BatchLines]pos.Money, least pos.Money) int {
	for i := range out[:n] {
		at := int(b.first[i]) + column
		from, to := int(b.seps[at-1])+1, int(b.seps[at])
		v, ok := fewDigits(b.data, from, to)
		if !ok {
			if v, ok = parseFen(b.data[from:to]); !ok || v < least {
				return i
			}
		}
		out[i] = v
	}
	return n
}

// stamps reads the times, which give the settlement dates.
func (b *Batch) stamps(n int) int {
	p := b.parser
	for i := range b.Day[:n] {
		day, ok := p.stampDay(b.last(i, colStamp))
		if !ok {
			return i
		}
		b.Day[i] = day
	}
	return n
}

// dates reads the column of settlement dates, where there is one and it is not empty.
func (b *Batch) dates(n int) int {
	for i := range b.Day[:n] {
		text := b.last(i, b.parser.day)
		if len(text) == 0 {
			continue
		}
		day, ok := ParseDay(text)
		if !ok {
			return i
		}
		b.Day[i] = day
	}
	return n
}
