package segment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Ref finds an object that is made of sections. Its name is the hash of its index, which
// stands at the end and holds the fingerprint of every section.
type Ref struct {
	Object string `json:"object"`
	Size   int64  `json:"size"`
	Index  int64  `json:"index"` // where the index begins
	// Inline is the object itself where it is so small that a file of its own would cost more.
	Inline []byte `json:"inline,omitempty"`
}

// read fills b from position at of the object.
func (r Ref) read(ctx context.Context, s Store, b []byte, at int64) error {
	if r.Inline == nil {
		return s.ReadAt(ctx, r.Object, b, at)
	}
	if at < 0 || at > int64(len(r.Inline)) || copy(b, r.Inline[at:]) < len(b) {
		return fmt.Errorf("read %s: %w", r.Object, io.ErrUnexpectedEOF)
	}
	return nil
}

// Section is a part of an object that is read, and compared with its hash, as a whole.
type Section struct {
	At   int64  `json:"at"`
	Size int64  `json:"size"`
	Hash []byte `json:"hash"` // Print under the owner's key
}

// Limits of what an index may promise.
const (
	MaxIndex   = 16 << 20
	MaxSection = 1 << 30
)

// keeper is a store on this machine, which takes a file over instead of copying it.
type keeper interface {
	// Begin makes a file in the store that has no object's name yet.
	Begin() (*os.File, error)
	// Adopt gives it its name; the file is closed then.
	Adopt(name string, file *os.File) error
}

// Writer writes an object of sections: in memory while it is small, then into a file.
type Writer struct {
	store Store
	tmp   string
	key   Key
	b     []byte // what is not in the file yet
	file  *os.File
	at    int64
}

// NewWriter begins an object of a store; where that is not on this machine a large one is
// first written to a temporary file in tmp. The caller closes the writer.
func NewWriter(store Store, tmp string, key Key) *Writer {
	return &Writer{store: store, tmp: tmp, key: key}
}

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	const inMemory = 256 << 10
	if len(b) >= inMemory { // need not be copied
		return len(b), errors.Join(w.flush(), w.write(b))
	}
	if w.b = append(w.b, b...); len(w.b) < inMemory {
		return len(b), nil
	}
	return len(b), w.flush()
}

func (w *Writer) flush() error {
	err := w.write(w.b)
	w.b = w.b[:0]
	return err
}

func (w *Writer) write(b []byte) (err error) {
	if w.file == nil {
		if w.file, err = w.begin(); err != nil {
			return err
		}
	}
	_, err = w.file.Write(b)
	return err
}

func (w *Writer) begin() (*os.File, error) {
	if k, ok := w.store.(keeper); ok {
		return k.Begin()
	}
	return os.CreateTemp(w.tmp, "segment-*")
}

// Close removes a file that the store has not taken over.
func (w *Writer) Close() {
	if w.file != nil {
		_ = w.file.Close()
		_ = os.Remove(w.file.Name())
	}
}

// Section writes the next section.
func (w *Writer) Section(fill func(io.Writer) error) (Section, error) {
	sum := w.key.Print()
	s := Section{At: w.at}
	count := counter{w: io.MultiWriter(w, sum)}
	if err := fill(&count); err != nil {
		return s, fmt.Errorf("write segment: %w", err)
	}
	s.Size, s.Hash = count.n, sum.Sum()
	w.at += s.Size
	return s, nil
}

// Sections writes b as sections that end at ends.
func (w *Writer) Sections(b []byte, ends []int) ([]Section, error) {
	all, begin := make([]Section, 0, len(ends)), 0
	for _, end := range ends {
		all = append(all, Section{At: w.at + int64(begin), Size: int64(end - begin), Hash: w.key.Of(b[begin:end])})
		begin = end
	}
	w.at += int64(len(b))
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("write segment: %w", err)
	}
	return all, nil
}

// Finish writes the index and keeps the object in the store; one of at most inline bytes is
// in the Ref instead.
func (w *Writer) Finish(ctx context.Context, kind string, index any, inline int) (Ref, error) {
	b, err := json.Marshal(index)
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		return Ref{}, fmt.Errorf("write segment: %w", err)
	}
	sum := sha256.Sum256(b)
	ref := Ref{Object: Name(kind, sum[:]), Size: w.at + int64(len(b)), Index: w.at}
	switch {
	case w.file == nil && len(w.b) <= inline:
		ref.Inline = w.b
		return ref, nil
	case w.file == nil:
		return ref, w.store.Put(ctx, ref.Object, bytes.NewReader(w.b), ref.Size)
	}
	if err := w.flush(); err != nil {
		return ref, fmt.Errorf("write segment: %w", err)
	}
	if k, ok := w.store.(keeper); ok {
		file := w.file
		w.file = nil
		return ref, k.Adopt(ref.Object, file)
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return ref, fmt.Errorf("write segment: %w", err)
	}
	return ref, w.store.Put(ctx, ref.Object, w.file, ref.Size)
}

// ReadIndex reads an object's index.
func ReadIndex(ctx context.Context, s Store, ref Ref, index any) error {
	n := ref.Size - ref.Index
	if ref.Index < 0 || n <= 0 || n > MaxIndex {
		return fmt.Errorf("read %s: an index of %d bytes: %w", ref.Object, n, ErrDamaged)
	}
	b := make([]byte, n)
	if err := ref.read(ctx, s, b, ref.Index); err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	if len(ref.Object) < 2*len(sum) || ref.Object[len(ref.Object)-2*len(sum):] != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("read index of %s: %w", ref.Object, ErrDamaged)
	}
	if err := json.Unmarshal(b, index); err != nil {
		return fmt.Errorf("read index of %s: %w", ref.Object, errors.Join(err, ErrDamaged))
	}
	return nil
}

// Read reads a section; the bytes are new.
func (s Section) Read(ctx context.Context, store Store, ref Ref, key Key) ([]byte, error) {
	if s.Size < 0 || s.Size > MaxSection {
		return nil, fmt.Errorf("read %s: a section of %d bytes: %w", ref.Object, s.Size, ErrDamaged)
	}
	b := make([]byte, s.Size)
	return b, s.ReadInto(ctx, store, ref, key, b)
}

// ReadInto reads a section into b, which is as long as it is.
func (s Section) ReadInto(ctx context.Context, store Store, ref Ref, key Key, b []byte) error {
	if s.At < 0 || s.Size != int64(len(b)) || s.At+s.Size > ref.Index {
		return fmt.Errorf("read %s: section %d+%d: %w", ref.Object, s.At, s.Size, ErrDamaged)
	}
	if len(b) > 0 {
		if err := ref.read(ctx, store, b, s.At); err != nil {
			return err
		}
	}
	if !bytes.Equal(s.Hash, key.Of(b)) {
		return fmt.Errorf("read %s at %d: %w", ref.Object, s.At, ErrDamaged)
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// AppendPair appends a key and a value, each with its length before it.
func AppendPair(dst, key, value []byte) []byte {
	dst = appendBytes(dst, key)
	return appendBytes(dst, value)
}

func appendBytes(dst, b []byte) []byte {
	n := len(b)
	return append(append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), b...)
}

// Pairs gives what AppendPair appended, in that order.
func Pairs(b []byte, each func(key, value []byte) error) error {
	for len(b) > 0 {
		var key, value []byte
		var ok bool
		if key, b, ok = cutBytes(b); ok {
			value, b, ok = cutBytes(b)
		}
		if !ok {
			return fmt.Errorf("read pairs: %w", ErrDamaged)
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

func cutBytes(b []byte) (part, rest []byte, ok bool) {
	const head = 4
	if len(b) < head {
		return nil, nil, false
	}
	n := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16 | int64(b[3])<<24
	if n > int64(len(b)-head) {
		return nil, nil, false
	}
	return b[head : head+n : head+n], b[head+n:], true
}
