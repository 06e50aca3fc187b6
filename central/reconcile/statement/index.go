package statement

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// cellBits: lines are counted by cells of 4 KiB of text, so that the number of a line
// is found by counting line ends in one cell, which is read with the line. Costs 0.1 % of
// the text, or less where there is no room for that.
const cellBits = 12

// index counts how many lines begin in every cell of a file's text. When it has as many
// cells as its owner allows, cells become twice as large.
type index struct {
	mu    sync.Mutex
	shift uint // cells are 1<<(cellBits+shift) bytes
	most  int  // cells; 0 for no bound
	cells []uint32
	aside int64     // lines that say nothing of a payment
	once  sync.Once // makes sums, for the first number that is asked for
	sums  []int64   // lines before every 32nd cell
}

func (x *index) add(cell int64, counts []uint32, aside int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.aside += aside
	for i, n := range counts {
		for x.most > 0 && (cell+int64(i))>>x.shift >= int64(x.most) {
			x.halve()
		}
		at := int((cell + int64(i)) >> x.shift)
		for at >= len(x.cells) {
			x.cells = append(x.cells, 0)
		}
		x.cells[at] += n
	}
}

func (x *index) halve() {
	for i := range x.cells {
		n := x.cells[i]
		x.cells[i] = 0
		x.cells[i/2] += n
	}
	x.cells = x.cells[:(len(x.cells)+1)/2]
	x.shift++
}

// BoundIndex keeps the index of line numbers within so many bytes; before Next.
func (f *File) BoundIndex(memory int64) {
	const perCell, least = 4, 64
	x := &f.index
	if x.most = int(max(memory/perCell, least)); !f.Plain {
		x.most = max(x.most/2, least) // a slice that grows
		return
	}
	// What is known to come needs no growing.
	cells := f.Size>>cellBits + 1
	for ; cells > int64(x.most); cells = (cells + 1) / 2 {
		x.shift++
	}
	x.cells = make([]uint32, 0, cells)
}

// Rows is how many lines were read, bad ones among them, but neither titles nor trailers.
func (f *File) Rows() int64 { return f.index.rows() }

func (x *index) rows() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := -x.aside
	for _, c := range x.cells {
		n += int64(c)
	}
	return n
}

const sumEvery = 32

// before is the position at which the cell of at begins, and how many lines begin
// before it. Nothing may be added afterwards.
func (x *index) before(at int64) (begin, lines int64) {
	x.once.Do(x.sum)
	cell := at >> (cellBits + x.shift)
	from := cell / sumEvery
	lines = x.sums[from]
	for _, c := range x.cells[from*sumEvery : cell] {
		lines += int64(c)
	}
	return cell << (cellBits + x.shift), lines
}

func (x *index) sum() {
	x.mu.Lock()
	defer x.mu.Unlock()
	lines := int64(0)
	x.sums = make([]int64, 0, len(x.cells)/sumEvery+1)
	for i, c := range x.cells {
		if i%sumEvery == 0 {
			x.sums = append(x.sums, lines)
		}
		lines += int64(c)
	}
}

// Window is a window on the text in which lines are read again.
func (f *File) Window() *Window { return NewWindow(f.text) }

// Line is a line that is read again in the file's text: its number in the file, the header being
// 1, and its bytes, which are good until buf is used again.
func (f *File) Line(w *Window, at int64, buf *[]byte) (number int64, text []byte, err error) {
	begin, lines := f.index.before(at)
	from := max(begin, f.start) - 1 // the byte before tells whether a line begins
	const usual = 512
	size := int(at-from) + usual
	for {
		b := sized(buf, size)
		n, err := w.ReadAt(b, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, Unreadable(f.Path, err)
		}
		if int64(n) <= at-from {
			return 0, nil, changed(f.Path)
		}
		text := b[at-from : n]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[:i]
		} else if n == size && len(text) <= MaxLine+1 {
			size += MaxLine
			continue
		}
		number = lines + 2 + int64(bytes.Count(b[:at-from-1], []byte{'\n'}))
		return number, text, nil
	}
}

// Keep makes the lines of a file that cannot be read by position (packed, or a pipe)
// readable again: their text also goes to the given temporary file, which is closed
// with this one. A plain file needs none and is told so.
func (f *File) Keep(temporary func() (*os.File, error)) error {
	if f.Plain {
		return nil
	}
	kept, err := temporary()
	if err != nil {
		return err
	}
	f.text, f.kept = kept, kept
	f.closers = append(f.closers, func() { _ = kept.Close() })
	// Where a plain file has its header's line end.
	return f.keep([]byte{'\n'}, f.start-1)
}

func (f *File) keep(text []byte, at int64) error {
	if f.kept == nil || at < 0 {
		return nil
	}
	if _, err := f.kept.WriteAt(text, at); err != nil {
		if cause, ok := errors.AsType[*os.PathError](err); ok {
			err = cause.Err // the file has no name any more
		}
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}
