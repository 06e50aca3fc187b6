package draw

import (
	"encoding/binary"
	"errors"
	"io"
)

var errNotFont = errors.New("not a TrueType or OpenType font or collection")

// The OpenType specification, organisation of a font and of a collection.
const (
	headBytes   = 12 // version, number of tables, three search hints
	recordBytes = 16 // tag, checksum, offset, length
	maxTables   = 64
	maxFonts    = 64
)

// piece is a part of a file at a place of its own.
type piece struct {
	at, from, length int64
}

// aligned shows one font of a file with its tables on boundaries of four bytes. The
// specification demands them there; collections of WenQuanYi have them anywhere, and
// the library refuses those. Nothing but the directory is kept in memory.
type aligned struct {
	file   io.ReaderAt
	head   []byte
	tables []piece
}

// fontsIn finds the fonts of a file: one, or those of a collection.
func fontsIn(file io.ReaderAt) ([]*aligned, error) {
	head := make([]byte, headBytes)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, errNotFont
	}
	starts := []int64{0}
	if string(head[:4]) == "ttcf" {
		n := int(binary.BigEndian.Uint32(head[8:]))
		if n < 1 || n > maxFonts {
			return nil, errNotFont
		}
		list := make([]byte, 4*n)
		if _, err := file.ReadAt(list, headBytes); err != nil {
			return nil, errNotFont
		}
		starts = starts[:0]
		for i := range n {
			starts = append(starts, int64(binary.BigEndian.Uint32(list[4*i:])))
		}
	}
	fonts := make([]*aligned, 0, len(starts))
	for _, start := range starts {
		f, err := fontAt(file, start)
		if err != nil {
			return nil, err
		}
		fonts = append(fonts, f)
	}
	return fonts, nil
}

func fontAt(file io.ReaderAt, start int64) (*aligned, error) {
	head := make([]byte, headBytes)
	if _, err := file.ReadAt(head, start); err != nil {
		return nil, errNotFont
	}
	n := int(binary.BigEndian.Uint16(head[4:]))
	if n < 1 || n > maxTables {
		return nil, errNotFont
	}
	f := &aligned{file: file, head: make([]byte, headBytes+n*recordBytes)}
	if _, err := file.ReadAt(f.head, start); err != nil {
		return nil, errNotFont
	}
	end := int64(len(f.head))
	for i := range n {
		record := f.head[headBytes+i*recordBytes:]
		t := piece{
			at:   (end + 3) &^ 3,
			from: int64(binary.BigEndian.Uint32(record[8:])), length: int64(binary.BigEndian.Uint32(record[12:])),
		}
		if end = t.at + t.length; end >= 1<<31 {
			return nil, errNotFont
		}
		if !ends(file, t.from+t.length) { // else a few bytes would have half a gigabyte made ready
			return nil, errNotFont
		}
		binary.BigEndian.PutUint32(record[8:], uint32(t.at)) //nolint:gosec // below 1<<31, checked above
		f.tables = append(f.tables, t)
	}
	return f, nil
}

// ends reports whether a file is so long.
func ends(file io.ReaderAt, at int64) bool {
	n, _ := file.ReadAt(make([]byte, 1), max(at-1, 0)) // a byte at the end comes with io.EOF
	return n == 1
}

// ReadAt implements io.ReaderAt: the directory, then the tables with zeros between.
func (f *aligned) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	n := 0
	if off < int64(len(f.head)) {
		n = copy(p, f.head[off:])
	}
	for _, t := range f.tables {
		from, to := max(t.at, off), min(t.at+t.length, off+int64(len(p)))
		if from >= to {
			continue
		}
		part := p[from-off : to-off]
		if k, err := f.file.ReadAt(part, t.from+from-t.at); k < len(part) {
			return n, err
		}
		n = max(n, int(to-off))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
