package salvage

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Layout: Magic; records of a 4-byte big-endian length and that many canonical bytes (pos/dcep)
// of a pos.Entry, in order of (epoch, seq); a length of 0; one such record of an End; the
// SM3 hash (32 bytes) of everything before it. docs/PROTOCOL.md, "salvage".
const (
	Magic     = "dcpos-salvage-1\n"
	MaxRecord = 1 << 20
)

// ErrFormat is the parent of every finding about the file's form.
var ErrFormat = errors.New("not a whole salvage file")

// Gap names entries of an epoch that could not be read, From and To included.
type Gap struct {
	Epoch uint32 `json:"epoch"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
}

// End closes the file: how many entries stand in it and what is missing among them. What came after
// the last readable entry nobody can know.
type End struct {
	Entries uint64 `json:"entries"`
	Gaps    []Gap  `json:"gaps"`
	Problem string `json:"problem"` // why the journal was salvaged, in English
}

// After says where the file's first entry is expected: behind what the centre has, or what the till has
// forgotten behind a checkpoint. It is called before the first Add.
func (w *Writer) After(epoch uint32, seq uint64) { w.epoch, w.seq = epoch, seq }

// Writer writes one file. Entries must come in order of (epoch, seq).
type Writer struct {
	out io.Writer
	sum hash.Hash
	end End
	// last written place
	epoch uint32
	seq   uint64
}

// NewWriter writes the magic.
func NewWriter(w io.Writer) (*Writer, error) {
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		return nil, err
	}
	sum := suite.New()
	s := &Writer{out: io.MultiWriter(w, sum), sum: sum}
	if _, err := io.WriteString(s.out, Magic); err != nil {
		return nil, fmt.Errorf("write salvage: %w", err)
	}
	return s, nil
}

// Add writes one entry and notes the gap before it.
func (w *Writer) Add(e pos.Entry) error {
	if e.Epoch < w.epoch || (e.Epoch == w.epoch && e.Seq <= w.seq) {
		return fmt.Errorf("salvage entry %d of epoch %d: out of order", e.Seq, e.Epoch)
	}
	expected := w.seq + 1
	if e.Epoch != w.epoch {
		expected = 1
	}
	if e.Seq > expected {
		w.end.Gaps = append(w.end.Gaps, Gap{Epoch: e.Epoch, From: expected, To: e.Seq - 1})
	}
	w.epoch, w.seq = e.Epoch, e.Seq
	w.end.Entries++
	return w.record(e)
}

func (w *Writer) record(v any) error {
	b, err := dcep.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > MaxRecord {
		return fmt.Errorf("write salvage: record of %d bytes", len(b))
	}
	if _, err := w.out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		return fmt.Errorf("write salvage: %w", err)
	}
	return nil
}

// Close writes the end and the hash, and returns the end. It does not close the underlying writer.
func (w *Writer) Close(problem string) (End, error) {
	w.end.Problem = problem
	if _, err := w.out.Write(make([]byte, 4)); err != nil {
		return w.end, fmt.Errorf("write salvage: %w", err)
	}
	if err := w.record(w.end); err != nil {
		return w.end, err
	}
	if _, err := w.out.Write(w.sum.Sum(nil)); err != nil {
		return w.end, fmt.Errorf("write salvage: %w", err)
	}
	return w.end, nil
}

// Read reads a whole file and gives each entry to keep, in order. An entry is only as good as its own
// hash and signature, which are the caller's to verify. Entries are given before the file's hash is
// known to hold: on an error undo what keep did.
func Read(r io.Reader, keep func(pos.Entry) error) (End, error) {
	var end End
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		return end, err
	}
	sum := suite.New()
	buffered := bufio.NewReader(r)
	in := io.TeeReader(buffered, sum)
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != Magic {
		return end, fmt.Errorf("read salvage: magic: %w", ErrFormat)
	}
	var n uint64
	for {
		var e pos.Entry
		more, err := record(in, &e)
		if err != nil {
			return end, fmt.Errorf("read salvage: record %d: %w", n+1, err)
		}
		if !more {
			break
		}
		n++
		if err := keep(e); err != nil {
			return end, err
		}
	}
	if more, err := record(in, &end); err != nil || !more {
		return end, fmt.Errorf("read salvage: end: %w", errors.Join(ErrFormat, err))
	}
	want, got := sum.Sum(nil), make([]byte, dcep.HashSize)
	if _, err := io.ReadFull(buffered, got); err != nil || !bytes.Equal(got, want) {
		return end, fmt.Errorf("read salvage: hash: %w", ErrFormat)
	}
	if _, err := buffered.ReadByte(); !errors.Is(err, io.EOF) || end.Entries != n {
		return end, fmt.Errorf("read salvage: %d entries, the end says %d: %w", n, end.Entries, ErrFormat)
	}
	return end, nil
}

// record reads one record into v; false for the length 0.
func record(in io.Reader, v any) (bool, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return false, fmt.Errorf("length: %w", errors.Join(ErrFormat, err))
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 {
		return false, nil
	}
	if n > MaxRecord {
		return false, fmt.Errorf("%d bytes, at most %d: %w", n, MaxRecord, ErrFormat)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, in, int64(n)); err != nil {
		return false, fmt.Errorf("content: %w", errors.Join(ErrFormat, err))
	}
	if err := dcep.UnmarshalExact(b.Bytes(), v); err != nil {
		return false, errors.Join(ErrFormat, err)
	}
	return true, nil
}
