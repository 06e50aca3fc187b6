package segment

import (
	"bufio"
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
// stands at the end and holds the hash of every section.
type Ref struct {
	Object string `json:"object"`
	Size   int64  `json:"size"`
	Index  int64  `json:"index"` // where the index begins
}

// Section is a part of an object that is read, and compared with its hash, as a whole.
type Section struct {
	At   int64  `json:"at"`
	Size int64  `json:"size"`
	Hash string `json:"hash"` // SHA-256
}

// Limits of what an index may promise.
const (
	MaxIndex   = 16 << 20
	MaxSection = 1 << 30
)

// Writer writes an object of sections into a temporary file.
type Writer struct {
	file *os.File
	w    *bufio.Writer
	at   int64
}

// NewWriter begins an object; the caller closes the file.
func NewWriter(file *os.File) *Writer {
	return &Writer{file: file, w: bufio.NewWriterSize(file, 256<<10)}
}

// Section writes the next section.
func (w *Writer) Section(fill func(io.Writer) error) (Section, error) {
	sum := sha256.New()
	s := Section{At: w.at}
	count := counter{w: io.MultiWriter(w.w, sum)}
	if err := fill(&count); err != nil {
		return s, fmt.Errorf("write segment: %w", err)
	}
	s.Size, s.Hash = count.n, hex.EncodeToString(sum.Sum(nil))
	w.at += s.Size
	return s, nil
}

// Finish writes the index and keeps the object in the store.
func (w *Writer) Finish(ctx context.Context, s Store, kind string, index any) (Ref, error) {
	b, err := json.Marshal(index)
	if err != nil {
		return Ref{}, fmt.Errorf("write segment: %w", err)
	}
	if _, err = w.w.Write(b); err == nil {
		if err = w.w.Flush(); err == nil {
			_, err = w.file.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		return Ref{}, fmt.Errorf("write segment: %w", err)
	}
	sum := sha256.Sum256(b)
	ref := Ref{Object: Name(kind, sum[:]), Size: w.at + int64(len(b)), Index: w.at}
	return ref, s.Put(ctx, ref.Object, w.file, ref.Size)
}

// ReadIndex reads an object's index.
func ReadIndex(ctx context.Context, s Store, ref Ref, index any) error {
	n := ref.Size - ref.Index
	if ref.Index < 0 || n <= 0 || n > MaxIndex {
		return fmt.Errorf("read %s: an index of %d bytes: %w", ref.Object, n, ErrDamaged)
	}
	b := make([]byte, n)
	if err := s.ReadAt(ctx, ref.Object, b, ref.Index); err != nil {
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
func (s Section) Read(ctx context.Context, store Store, ref Ref) ([]byte, error) {
	if s.At < 0 || s.Size < 0 || s.Size > MaxSection || s.At+s.Size > ref.Index {
		return nil, fmt.Errorf("read %s: section %d+%d: %w", ref.Object, s.At, s.Size, ErrDamaged)
	}
	b := make([]byte, s.Size)
	if s.Size > 0 {
		if err := store.ReadAt(ctx, ref.Object, b, s.At); err != nil {
			return nil, err
		}
	}
	if sum := sha256.Sum256(b); s.Hash != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("read %s at %d: %w", ref.Object, s.At, ErrDamaged)
	}
	return b, nil
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
