package statement

import (
	"bytes"
	"math/bits"
	"unicode/utf8"
)

// Block is a run of whole lines of one file.
type Block struct {
	At   int64  // where Data begins in the file's text
	Data []byte // the last line of the file may lack its LF
	// Raw is the text of the block's own range, whose lines Data holds to the end of the last
	// one; only of plain files.
	Raw []byte
}

// padding is how much memory behind a block's data may be read, so that the fast
// splitter needs no special end.
const padding = 64

// Lines walks through the lines of blocks. It finds the separators of a whole block at
// once, and falls back to the parser for every line that is not as usual, so that
// only the parser says what is wrong with a line. One worker uses it.
type Lines struct {
	parser Parser
	usual  *csvParser // nil: every line goes to the parser
	index  *index

	block  Block
	next   int   // byte at which the next line begins
	taken  int64 // lines of the block so far
	cell   int64
	counts []uint32

	ordinal int64   // lines of all blocks so far
	marks   []int64 // where every MarkEvery-th line begins, if they are wanted
	mark    bool

	whole  bool     // the separators below are those of the block
	ends   []uint32 // bytes after the line's last
	commas []uint32
	end    int // next of ends
	comma  int // next of commas
	masks  []uint64
}

// NewLines walks through blocks of the file.
func (f *File) NewLines() *Lines {
	l := &Lines{parser: f.layout.NewParser(), index: &f.index}
	l.usual, _ = l.parser.(*csvParser)
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
	l.whole = l.usual != nil && cap(b.Data)-len(b.Data) >= padding && len(b.Data) > 0 && l.separate()
}

// Done tells the file's index how many lines began where.
func (l *Lines) Done() {
	l.index.add(l.cell, l.counts)
	if p, ok := l.parser.(*describedParser); ok {
		p.flush()
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
	}
}

func (l *Lines) line(row *Row) (at int64, text []byte, fault *Fault, ok bool) {
	begin := l.next
	if begin >= len(l.block.Data) {
		return 0, nil, nil, false
	}
	at = l.block.At + int64(begin)
	l.counts[at>>cellBits-l.cell]++
	l.taken++
	if l.ordinal++; l.mark && l.ordinal%MarkEvery == 1 {
		l.marks = append(l.marks, at)
	}
	if l.whole && l.end < len(l.ends) {
		end := int(l.ends[l.end])
		l.end++
		l.next = end + 1
		text = l.block.Data[begin:end]
		if l.usually(begin, end, row) {
			return at, text, nil, true
		}
	} else if i := bytes.IndexByte(l.block.Data[begin:], '\n'); i >= 0 {
		text, l.next = l.block.Data[begin:begin+i], begin+i+1
	} else {
		text, l.next = l.block.Data[begin:], len(l.block.Data)
	}
	row.At = at
	return at, text, l.parser.Parse(text, row), true
}

// usually takes a line apart at the separators that are known already; false sends it
// to the parser. It also steps over the line's commas.
func (l *Lines) usually(begin, end int, row *Row) bool {
	want := len(l.usual.columns) - 1
	at := l.comma
	if at+want >= len(l.commas) || end-begin > MaxLine ||
		int(l.commas[at]) < begin || int(l.commas[at+want-1]) >= end || int(l.commas[at+want]) < end {
		for l.comma < len(l.commas)-1 && int(l.commas[l.comma]) < end {
			l.comma++
		}
		return false
	}
	l.comma += want
	if l.block.Data[end-1] == '\r' {
		end--
	}
	return l.usual.usual(l.block.Data[:end], begin, l.commas[at:at+want], row)
}

// separate finds all commas and line ends of the block. It declines a block with bytes
// that a line must not hold: the parser names them.
func (l *Lines) separate() bool {
	data := l.block.Data
	words := (len(data) + 63) / 64
	if cap(l.masks) < 3*words {
		l.masks = make([]uint64, 3*words)
		l.commas = make([]uint32, 0, words*64+80)
		l.ends = make([]uint32, 0, words*64+16)
	}
	commas, ends, odd := l.masks[:words], l.masks[words:2*words], l.masks[2*words:3*words]
	separators(&data[0], words, &commas[0], &ends[0], &odd[0])
	if rest := len(data) % 64; rest != 0 {
		keep := uint64(1)<<rest - 1
		commas[words-1] &= keep
		ends[words-1] &= keep
		odd[words-1] &= keep
	}
	if !usualBytes(data, odd) {
		return false
	}
	l.commas, l.ends = positions(l.commas[:0], commas), fewPositions(l.ends[:0], ends)
	l.commas = append(l.commas, ^uint32(0)>>1) // so that the last line has a comma behind it
	l.comma, l.end = 0, 0
	return true
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

// fewPositions appends where bits are set, when a word has one at most, mostly.
func fewPositions(dst []uint32, masks []uint64) []uint32 {
	for w, mask := range masks {
		for ; mask != 0; mask &= mask - 1 {
			dst = append(dst, uint32(w*64+bits.TrailingZeros64(mask)))
		}
	}
	return dst
}

// positions appends where bits are set. It writes eight at a time, because how many
// there are in a word cannot be guessed; dst has room for that.
func positions(dst []uint32, masks []uint64) []uint32 {
	n := len(dst)
	dst = dst[:cap(dst)]
	for w, mask := range masks {
		base, count := uint32(w*64), bits.OnesCount64(mask)
		for at := n; ; at += 8 {
			eight := dst[at : at+8 : at+8]
			for i := range eight {
				eight[i] = base + uint32(bits.TrailingZeros64(mask))
				mask &= mask - 1
			}
			if mask == 0 {
				break
			}
		}
		n += count
	}
	return dst[:n]
}
