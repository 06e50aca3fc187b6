package statement

import (
	"dcpos/central/reconcile/separators"
	"dcpos/pos"
)

// BatchLines is how many lines a batch holds at most.
const BatchLines = 128

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
	seps   []uint32           // commas and LFs of the lines, as many of each as there are columns
	per    int                // how many that is
	begin  [BatchLines]uint32 // where a line begins in the block
}

// At is where line i begins in the file's text.
func (b *Batch) At(i int) int64 { return b.at + int64(b.begin[i]) }

// TxnID is the id of line i.
func (b *Batch) TxnID(i int) []byte { return b.data[b.begin[i]:b.seps[i*b.per]] }

// Merchant is the merchant of line i.
func (b *Batch) Merchant(i int) []byte { return b.field(i, colMerchant) }

// Bank is the institution of line i.
func (b *Batch) Bank(i int) []byte { return b.field(i, colBank) }

// View is a line as so many bytes from its beginning on, whatever it holds: whoever knows where
// things are looks at them by positions below 512, without slices and their checks.
type View = [ViewBytes]byte

// ViewBytes is longer than the columns up to the time, of a line as it is usually, and what
// is read of the memory behind a block at most.
const (
	ViewBytes = viewMask + 1 + separators.Padding
	viewMask  = 511
)

// View is line i, and where its first columns end in it: commas follow there.
func (b *Batch) View(i int) (line *View, begin uint32, ends *[requiredCount]uint32) {
	begin = b.begin[i&(BatchLines-1)]
	return (*View)(b.data[begin:]), begin, (*[requiredCount]uint32)(b.seps[i*b.per:])
}

// field is any column but the first; the last one may end with a CR.
func (b *Batch) field(i, column int) []byte {
	at := i*b.per + column
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

// Keep drops the lines of other settlement dates, and with each what beside holds for it.
func (b *Batch) Keep(day int32, beside []uint64) {
	kept := 0
	for i := range b.N {
		if b.Day[i] != day {
			continue
		}
		b.Amount[kept], b.Fee[kept], b.Day[kept], b.Status[kept] = b.Amount[i], b.Fee[i], b.Day[i], b.Status[i]
		b.begin[kept], beside[kept] = b.begin[i], beside[i]
		copy(b.seps[kept*b.per:(kept+1)*b.per], b.seps[i*b.per:])
		kept++
	}
	b.N = kept
}

// fill takes the lines apart of which separators and line ends are given; the first one begins
// at begin. It stops before a line that is not as usual, and returns how many were.
func (b *Batch) fill(ends []uint32, begin uint32) int {
	p, per := b.parser, b.per
	n := 0
	for seps := b.seps; n < len(ends); seps = seps[per:] {
		i, end := n&(BatchLines-1), ends[n]
		s := (*[requiredCount]uint32)(seps)
		b.begin[i] = begin
		if seps[per-1] != end || !b.plain(i, (*View)(b.data[begin:]), begin, s, p) && !b.rare(i, begin, end, s) {
			break
		}
		begin = end + 1
		n++
	}
	if p.day >= 0 {
		n = b.dates(n)
	}
	b.N = n
	return n
}

// plain takes a line apart that is as nearly all are: numbers of one to eight digits, and a time in
// UTC of the date that the line before had.
func (b *Batch) plain(i int, line *View, begin uint32, ends *[requiredCount]uint32, p *csvParser) bool {
	id, merchant, terminal, bank := ends[0]-begin, ends[1]-begin, ends[2]-begin, ends[3]-begin
	amount, fee, status, stamp := ends[4]-begin, ends[5]-begin, ends[6]-begin, ends[7]-begin
	// Widths are from 0 or 1 to a power of two: what is less or more has higher bits.
	if (id-1)>>txnIDBits|(merchant-id-1)>>fieldBits|(terminal-merchant-1)>>fieldBits|(bank-terminal-2)>>fieldBits|
		(amount-bank-2)>>3|(fee-amount-2)>>3|(amount-wordBytes)>>9|(status-fee-2) != 0 {
		return false
	}
	fen, ok1 := eightDigits(word(line[(amount-wordBytes)&viewMask:]), amount-bank-1)
	feeFen, ok2 := eightDigits(word(line[(fee-wordBytes)&viewMask:]), fee-amount-1)
	c := line[(fee+1)&viewMask]
	t := line[(status+1)&viewMask:][:utcStamp+1]
	width := stamp - status - 1
	if t[utcStamp] == '\r' {
		width--
	}
	if !ok1 || !ok2 || !isStatus(c) || width != uint32(utcStamp) || word(t) != p.date[0] || word(t[3:]) != p.date[1] || t[19] != 'Z' || !dayTime(word(t[11:])) {
		return false
	}
	b.Amount[i&(BatchLines-1)], b.Fee[i&(BatchLines-1)] = fen, feeFen
	b.Status[i&(BatchLines-1)], b.Day[i&(BatchLines-1)] = c, p.dateDay
	return true
}

const txnIDBits, fieldBits, lineBits = 6, 7, 16

// rare takes a line apart whose numbers are longer or negative, or whose time has another form.
func (b *Batch) rare(i int, begin, end uint32, s *[requiredCount]uint32) bool {
	status := b.data[s[5]+1]
	if (s[0]-begin-1)>>txnIDBits|(s[1]-s[0]-1)>>fieldBits|(s[2]-s[1]-1)>>fieldBits|(s[3]-s[2]-2)>>fieldBits|
		(end-begin)>>lineBits|(s[6]-s[5]-2) != 0 || !isStatus(status) {
		return false
	}
	amount, ok1 := parseFen(b.data[s[3]+1 : s[4]])
	fee, ok2 := parseFen(b.data[s[4]+1 : s[5]])
	day, ok3 := b.parser.stampDay(b.last(i, colStamp))
	b.Amount[i], b.Fee[i], b.Status[i], b.Day[i] = amount, fee, status, day
	return ok1 && ok2 && ok3 && amount >= 0
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
