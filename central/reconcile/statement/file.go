package statement

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dcpos/pos"
)

// smallestWindow is the zstd window that is always allowed: every level up to 19
// of the reference program stays within it.
const smallestWindow = 8 << 20

// Options bound what reading a file may use.
type Options struct {
	Block  int   // bytes of a block, without the rest of its last line
	Memory int64 // what a decompressor's window may grow to, when above 8 MiB, and a Parquet page, when above 16 MiB
}

// File is one open input. Next may be called by many workers at once.
type File struct {
	Path  string
	Size  int64 // bytes on disk, 0 when not known (a pipe)
	Plain bool  // read by position: blocks can be read at the same time

	block int
	file  *os.File
	stat  os.FileInfo
	read  atomic.Int64 // bytes of the file consumed, for progress

	layout Layout
	head   string // the first line
	index  index
	text   io.ReaderAt // plain: the text; else where lines are read again
	kept   *os.File    // stream: its text

	start    int64 // where the first line after the header begins
	from, to int64 // plain: which lines are read, by where they begin
	seq      atomic.Int64

	mu       sync.Mutex // stream: everything below
	stream   *bufio.Reader
	closers  []func()
	streamed int64
	ended    bool
}

// Open opens a source and checks its header. Errors are *InputError.
func Open(src Source, opts Options) (*File, error) {
	format, err := src.format()
	if err != nil {
		return nil, err
	}
	f := &File{Path: src.Path, block: opts.Block}
	if f.file, err = os.Open(src.Path); err != nil {
		return nil, Unreadable(src.Path, err)
	}
	if err := f.begin(format, opts); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (f *File) begin(format Format, opts Options) error {
	var err error
	if f.stat, err = f.file.Stat(); err != nil {
		return Unreadable(f.Path, err)
	}
	if f.stat.IsDir() {
		return Unreadable(f.Path, errDirectory)
	}
	if f.stat.Mode().IsRegular() {
		f.Size = f.stat.Size()
	}
	if err := f.unpack(opts); err != nil {
		return Unreadable(f.Path, err)
	}
	head, skip, err := f.header()
	if err != nil {
		return Unreadable(f.Path, err)
	}
	f.start, f.from, f.to, f.head = skip, skip, f.Size, string(head[:min(len(head), MaxLine)])
	if skip == 0 {
		return &InputError{File: f.Path, Why: pos.Text{
			EN: "is empty, without even a header: a day without transactions still has its header",
			ZH: "是空文件,连首行都没有:没有交易的日子也应有首行",
		}}
	}
	var fault *Fault
	if len(head) > MaxLine {
		fault = lineFault("is longer than %d bytes", "超过 %d 字节", MaxLine)
	} else {
		f.layout, fault = format.Header(head)
	}
	if fault != nil {
		return fault.At(f.Path, 1)
	}
	return nil
}

func (f *File) unpack(opts Options) error {
	raw := &countingReader{r: f.file, n: &f.read}
	var stream io.Reader
	name := strings.ToLower(f.Path)
	switch {
	case strings.HasSuffix(name, ".gz"):
		z, err := gzip.NewReader(bufio.NewReaderSize(raw, 64<<10))
		if err != nil {
			return fmt.Errorf("gzip: %w", noBareEOF(err))
		}
		stream = &namedReader{r: z, name: "gzip"}
	case strings.HasSuffix(name, ".zst"), strings.HasSuffix(name, ".zstd"):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(max(opts.Memory, smallestWindow))))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		f.closers = append(f.closers, z.Close)
		stream = &namedReader{r: z, name: "zstd"}
	case strings.HasSuffix(name, ".parquet"):
		p, err := newParquetText(f.file, f.Size, opts.Memory, &f.read)
		if err != nil {
			return fmt.Errorf("parquet: %w", err)
		}
		stream = p
	case f.stat.Mode().IsRegular():
		f.Plain, f.text = true, f.file
		return nil
	default:
		stream = raw
	}
	f.stream = bufio.NewReaderSize(stream, MaxLine+4)
	return nil
}

// header returns the first line without BOM and line end, and where the next one begins.
func (f *File) header() ([]byte, int64, error) {
	var head []byte
	var err error
	if f.Plain {
		head = make([]byte, min(int64(MaxLine+4), f.Size))
		_, err = f.text.ReadAt(head, 0)
	} else {
		head, err = f.stream.Peek(MaxLine + 4)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	skip := len(head)
	line := head
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		skip, line = i+1, head[:i]
	}
	if !f.Plain {
		line = bytes.Clone(line)
		if _, err := f.stream.Discard(skip); err != nil {
			return nil, 0, err
		}
	}
	line = bytes.TrimSuffix(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), []byte("\r"))
	return line, int64(skip), nil
}

// NewParser makes a parser of this file's lines, for one worker.
func (f *File) NewParser() Parser { return f.layout.NewParser() }

// Next reads the next block into *buf (grown as needed). A block may hold no line at
// all. A line longer than MaxLine is cut to MaxLine+1 bytes or more, so that a parser
// sees it is too long. done is true after the last block. Even with an error the
// block says where it begins.
func (f *File) Next(buf *[]byte) (b Block, done bool, err error) {
	if f.Plain {
		return f.nextPlain(buf)
	}
	return f.nextStream(buf)
}

// nextPlain takes the lines that begin inside the block's range of positions.
func (f *File) nextPlain(buf *[]byte) (Block, bool, error) {
	seq := f.seq.Add(1) - 1
	start := f.from + seq*int64(f.block)
	if start >= f.to {
		return Block{}, true, nil
	}
	end := min(start+int64(f.block), f.to)
	from := start
	if start > f.start {
		from-- // the byte before tells whether a line begins at start
	}
	b := sized(buf, int(end-from)+MaxLine+2)
	// The end of the last line is mostly not far.
	const behind = 256
	n := int(min(end+behind, f.Size) - from)
	if err := f.readAt(b[:n], from); err != nil {
		return Block{At: start}, false, err
	}
	f.read.Add(end - start)
	data := b[:end-from]
	raw := data[start-from:]
	skip := 0
	if start > f.start {
		if skip = bytes.IndexByte(data, '\n') + 1; skip == 0 || skip == len(data) {
			return Block{At: start, Raw: raw}, false, nil
		}
	}
	var err error
	if data[len(data)-1] != '\n' {
		if i := bytes.IndexByte(b[len(data):n], '\n'); i >= 0 {
			data = b[:len(data)+i+1]
		} else {
			data, err = f.finishLine(b, b[:n], from+int64(n))
		}
	}
	return Block{At: from + int64(skip), Data: data[skip:], Raw: raw}, false, err
}

// finishLine extends data, which ends at position end within a line, to that line's end.
func (f *File) finishLine(b, data []byte, end int64) ([]byte, error) {
	for step := 4096; end < f.Size && len(data) < len(b); step *= 4 {
		n := int(min(int64(step), f.Size-end, int64(len(b)-len(data))))
		more := b[len(data) : len(data)+n]
		if err := f.readAt(more, end); err != nil {
			return nil, err
		}
		end += int64(n)
		if i := bytes.IndexByte(more, '\n'); i >= 0 {
			return b[:len(data)+i+1], nil
		}
		data = b[:len(data)+n]
	}
	return data, nil
}

func (f *File) readAt(b []byte, at int64) error {
	n, err := f.text.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return changed(f.Path)
	}
	return Unreadable(f.Path, err)
}

func (f *File) nextStream(buf *[]byte) (Block, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.start + f.streamed
	if f.ended {
		return Block{}, true, nil
	}
	data, err := f.readStream(sized(buf, f.block+MaxLine+2))
	if err == nil {
		err = f.keep(data, at)
	}
	if err != nil {
		f.ended = true
		return Block{At: at}, false, err
	}
	f.streamed += int64(len(data))
	return Block{At: at, Data: data}, len(data) == 0, nil
}

func (f *File) readStream(b []byte) ([]byte, error) {
	n, err := io.ReadFull(f.stream, b[:f.block])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errTruncated):
		f.ended = true
		return b[:n], nil
	case err != nil:
		return nil, Unreadable(f.Path, err)
	}
	data, err := f.finishStreamLine(b, n)
	if err != nil {
		return nil, Unreadable(f.Path, err)
	}
	return data, nil
}

// finishStreamLine extends b[:n] to the end of its last line; what a line has
// above MaxLine is read and dropped.
func (f *File) finishStreamLine(b []byte, n int) ([]byte, error) {
	if b[n-1] == '\n' {
		return b[:n], nil
	}
	for {
		part, err := f.stream.ReadSlice('\n')
		room := f.block + MaxLine + 1 - n
		ended := err == nil
		if ended && len(part) > room {
			copy(b[n:], part[:room])
			n += room
			b[n] = '\n'
			return b[:n+1], nil
		}
		n += copy(b[n:n+min(len(part), room)], part)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if ended || errors.Is(err, io.EOF) {
			return b[:n], nil
		}
		return nil, err
	}
}

// Read is how many bytes of the file have been consumed, for a progress bar.
func (f *File) Read() int64 { return f.read.Load() }

// Unchanged fails when a regular file was written to since it was opened.
func (f *File) Unchanged() error {
	if f.file == nil || !f.stat.Mode().IsRegular() {
		return nil
	}
	now, err := f.file.Stat()
	if err != nil {
		return Unreadable(f.Path, err)
	}
	if now.Size() != f.stat.Size() || !now.ModTime().Equal(f.stat.ModTime()) {
		return changed(f.Path)
	}
	return nil
}

// Verify says whether the file keeps what its header and trailer promise, after every
// block was read.
func (f *File) Verify() error {
	if fault := f.layout.Verify(); fault != nil {
		return fault.At(f.Path, 0)
	}
	return nil
}

// Days are those that the header of an institution's statement names, yyyymmdd; zeros where it names none.
func (f *File) Days() (from, to int32) {
	if s, ok := f.layout.(*statementFile); ok {
		return s.from, s.to
	}
	return 0, 0
}

// Digest stands for all lines of an institution's statement, whatever their order; equal
// ones are the same lines but for a chance of 2⁻⁶⁴. It differs from process to process.
type Digest struct {
	Lines int64
	sum   uint64
}

// Digest is zero for the house's own CSV; ask when every block was read.
func (f *File) Digest() Digest {
	s, ok := f.layout.(*statementFile)
	if !ok {
		return Digest{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Digest{s.got.count, s.got.digest}
}

// Close closes the file; blocks that were read stay good.
func (f *File) Close() error {
	for _, closer := range f.closers {
		closer()
	}
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

func changed(path string) *InputError {
	return &InputError{File: path, Why: pos.Text{EN: "changed while it was read", ZH: "读取期间被改动"}}
}

func sized(buf *[]byte, n int) []byte {
	if cap(*buf) < n+padding {
		*buf = make([]byte, n+padding)
	}
	return (*buf)[:n]
}

var errDirectory = errors.New("is a directory")

// errTruncated marks a compressed stream that ends too early: io.ReadFull reports
// its own io.ErrUnexpectedEOF for a short last block, which is no fault.
var errTruncated = errors.New("the file is cut off")

func noBareEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTruncated
	}
	return err
}

type namedReader struct {
	r    io.Reader
	name string
}

func (n *namedReader) Read(b []byte) (int, error) {
	c, err := n.r.Read(b)
	if err == nil || err == io.EOF {
		return c, err
	}
	return c, fmt.Errorf("%s: %w", n.name, noBareEOF(err))
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// TextSize guesses how many bytes of text the file holds. Statements of random ids
// shrink to roughly these shares; the guess only sets how work is first divided.
func (f *File) TextSize() int64 {
	name := strings.ToLower(f.Path)
	switch {
	case f.Plain:
		return f.Size
	case strings.HasSuffix(name, ".parquet"):
		return 2 * f.Size
	}
	return 3 * f.Size
}
