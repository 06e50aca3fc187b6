package statement

import (
	"bytes"
	"math/bits"
	"unicode/utf8"

	"dcpos/central/reconcile/separators"
)

// Block is a run of whole lines of one file.
type Block struct {
	At   int64  // where Data begins in the file's text
	Data []byte // the last line of the file may lack its LF
	// Raw is the text of the block's own range, whose lines Data holds to the end of the last
	// one; only of plain files.
	Raw []byte
}

// padding is how much memory behind a block's data may be read, so that whoever looks at
// many bytes at once needs no special end.
const padding = ViewBytes

// Lines walks through the lines of blocks. It finds the separators of a whole block at
// once and takes lines that are as usual apart by the hundred; every other line goes to the
// parser, so that only the parser says what is wrong with it. One worker uses it.
type Lines struct {
	parser Parser
	usual  *csvParser // nil: every line goes to the parser
	index  *index

	block  Block
	next   int   // byte at which the next line begins
	taken  int64 // lines of the block so far
	aside  int64 // lines that say nothing of a payment: of the block, or of all where they are marked
	cell   int64
	counts []uint32

	ordinal int64   // lines of all blocks so far
	marks   []int64 // where every MarkEvery-th line begins, if they are wanted
	mark    bool

	found separators.Found
	whole bool   // they are those of the block, and it holds no byte that a line must not
	end   int    // next of found.Ends
	sep   int    // next of found.All
	most  int    // lines of the next batch
	one   *Batch // for Next
}

// NewLines walks through blocks of the file.
func (f *File) NewLines() *Lines {
	l := &Lines{parser: f.layout.NewParser(), index: &f.index, most: BatchLines}
	if p, ok := l.parser.(*csvParser); ok {
		l.usual, l.one = p, new(Batch)
	}
	return l
}

// Reset begins a block; Done must have been called for the one before.
func (l *Lines) Reset(b Block) {
	l.block, l.next, l.taken = b, 0, 0
	l.cell = b.At >> cellBits
	n := int((b.At+int64(len(b.Data)))>>cellBits-l.cell) + 1
	if cap(l.counts) < n {
		l.counts = make([]uint32, n)
	}
	l.counts = l.counts[:n]
	clear(l.counts)
	l.whole = false
	if l.usual != nil && cap(b.Data)-len(b.Data) >= padding && len(b.Data) > 0 {
		l.found.Find(b.Data)
		l.whole, l.end, l.sep = usualBytes(b.Data, l.found.Odd(b.Data)), 0, 0
	}
}

// Done tells the file's index how many lines began where, unless they are marked.
func (l *Lines) Done() {
	if !l.mark {
		l.index.add(l.cell, l.counts, l.aside)
		l.aside = 0
	}
	if p, ok := l.parser.(*describedParser); ok {
		p.flush()
	}
}

// Batch takes the next lines as far as they are as usual; false leaves the next one to Next,
// which also knows whether there is one.
func (l *Lines) Batch(b *Batch) bool { return l.batch(b, l.most) }

func (l *Lines) batch(b *Batch, most int) bool {
	if !l.whole {
		return false
	}
	seps, ends, per := l.found.All, l.found.Ends, len(l.usual.columns)
	want := min(most, len(ends)-l.end, (len(seps)-l.sep)/per)
	if want <= 0 {
		return false
	}
	b.parser, b.at, b.seps, b.per = l.usual, l.block.At, seps[l.sep:], per
	b.data = l.block.Data[:len(l.block.Data)+padding]
	n := b.fill(ends[l.end:l.end+want], uint32(l.next))
	// Where many lines are not as usual, little is tried at a time and thrown away.
	const least = 8
	if l.most = min(2*l.most, BatchLines); n < want {
		l.most = max(n, least)
	}
	if n == 0 {
		return false
	}
	l.count(b)
	l.end += n
	l.sep += n * per
	l.next = int(ends[l.end-1]) + 1
	return true
}

// count counts the lines of a batch.
func (l *Lines) count(b *Batch) {
	begins := b.begin[:b.N]
	if l.mark {
		for _, begin := range begins {
			l.began(b.at + int64(begin))
		}
		return
	}
	before := b.at - l.cell<<cellBits
	for _, begin := range begins {
		l.counts[(before+int64(begin))>>cellBits]++
	}
	l.taken += int64(b.N)
	l.ordinal += int64(b.N)
}

// began counts a line.
func (l *Lines) began(at int64) {
	l.counts[at>>cellBits-l.cell]++
	l.taken++
	if l.ordinal++; l.mark && l.ordinal%MarkEvery == 1 {
		l.marks = append(l.marks, at)
	}
}

// Next gives the next line: where it begins in the file's text, its bytes, and what is
// wrong with it. Row is filled when nothing is. ok is false after the last line.
func (l *Lines) Next(row *Row) (at int64, text []byte, fault *Fault, ok bool) {
	for {
		row.Skip = false
		at, text, fault, ok = l.line(row)
		if !row.Skip || fault != nil || !ok {
			return at, text, fault, ok
		}
		l.aside++
	}
}

func (l *Lines) line(row *Row) (at int64, text []byte, fault *Fault, ok bool) {
	data, begin := l.block.Data, l.next
	if begin >= len(data) {
		return 0, nil, nil, false
	}
	at = l.block.At + int64(begin)
	if l.batch(l.one, 1) {
		l.one.Row(0, row)
		return at, data[begin : l.next-1], nil, true
	}
	l.began(at)
	end := len(data)
	l.next = end
	if i := bytes.IndexByte(data[begin:], '\n'); i >= 0 {
		end = begin + i
		l.next = end + 1
		l.pass(end)
	}
	row.At = at
	fault = l.parser.Parse(data[begin:end], row)
	if fault != nil && l.next == end && end-begin <= MaxLine { // of a longer line a block holds the beginning only
		fault = fault.atTheEnd()
	}
	return at, data[begin:end], fault, true
}

// pass steps over the separators of a line that ends at end.
func (l *Lines) pass(end int) {
	if !l.whole {
		return
	}
	l.end++
	for l.sep < len(l.found.All) && int(l.found.All[l.sep]) <= end {
		l.sep++
	}
}

// usualBytes accepts UTF-8 and CR before LF, but no NUL and no other CR.
func usualBytes(data []byte, odd []uint64) bool {
	wide := false
	for w, mask := range odd {
		for ; mask != 0; mask &= mask - 1 {
			at := w*64 + bits.TrailingZeros64(mask)
			switch b := data[at]; {
			case b == 0, b == '\r' && (at+1 >= len(data) || data[at+1] != '\n'):
				return false
			case b >= utf8.RuneSelf:
				wide = true
			}
		}
	}
	return !wide || utf8.Valid(data)
}
