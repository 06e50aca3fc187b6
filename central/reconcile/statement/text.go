package statement

import (
	"bytes"
	"errors"
	"io"
)

// OpenText opens a statement of which the first line is known and the text is kept elsewhere:
// unpacked, size bytes of it. The source's path stands for it in messages. The text must not
// change; it is not closed.
func OpenText(src Source, head string, text io.ReaderAt, size int64, opts Options) (*File, error) {
	format, err := src.format()
	if err != nil {
		return nil, err
	}
	f := &File{Path: src.Path, Size: size, Plain: true, block: opts.Block, text: text, head: head, to: size}
	var fault *Fault
	if f.layout, fault = format.Header([]byte(head)); fault != nil {
		return nil, fault.At(src.Path, 1)
	}
	return f, nil
}

// Head is the first line; lines are read by what it says.
func (f *File) Head() string { return f.head }

// Start is where the first line after the header begins.
func (f *File) Start() int64 { return f.start }

// Whole reports whether the file must be read by one reader, because its header and trailer
// promise what its lines come to.
func (f *File) Whole() bool {
	_, ok := f.layout.(*statementFile)
	return ok
}

// Part lets Next give only the lines that begin from begin (where a line begins) and before
// end; before Next is called. The file is a plain one.
func (f *File) Part(begin, end int64) { f.from, f.to = begin, end }

// Unpack copies the text of a packed file to w, in blocks of whole lines and without what a
// line has above MaxLine; the header is not among it. Next must not be called besides.
func (f *File) Unpack(w io.Writer) error {
	var buf []byte
	for {
		b, done, err := f.nextStream(&buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(b.Data); err != nil || done {
			return err
		}
	}
}

// MarkEvery is how many lines lie between marks.
const MarkEvery = 32

// Mark lets the walk remember where every MarkEvery-th line begins. It is for one reader of
// blocks in their order.
func (l *Lines) Mark() { l.mark = true }

// Marks are the remembered positions, the first line's first.
func (l *Lines) Marks() []int64 { return l.marks }

// Ordinal counts the lines of all blocks so far, titles and bad ones among them: after Next
// it is the number of the line that was given, from 1.
func (l *Lines) Ordinal() int64 { return l.ordinal }

// Aside counts those of them that are titles or trailers.
func (l *Lines) Aside() int64 { return l.aside }

// Nth reads line n (from 0) of the text from a mark at begin to end. The bytes are good until
// buf is used again.
func Nth(text io.ReaderAt, begin, end int64, n int, buf *[]byte) ([]byte, error) {
	b := sized(buf, int(end-begin))
	if got, err := text.ReadAt(b, begin); got < len(b) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	for ; n > 0; n-- {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil, io.ErrUnexpectedEOF
		}
		b = b[i+1:]
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return b, nil
}
