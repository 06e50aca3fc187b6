package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// A bare scan is the floor under every reconciler that reads the same text: it reads the
// files, takes every line apart, converts its numbers and adds them up per bank and
// merchant, on as many goroutines as the reconciler has workers. It checks nothing,
// remembers no line and pairs none. It shares no code with the reconciler, and it knows that
// the files' ids have one width each.
type scanSum struct {
	key                         uint64
	lines, fen, fee, successful int64
}

const (
	scanBlock  = 128 << 10
	scanFields = 8
	scanStamp  = len("2006-01-02T15:04:05Z")
	scanTable  = 1 << 16
)

type scanner struct {
	widths    [3]int // of the ids, which are all as wide as the first one
	fields    [scanFields][]byte
	banks     [256]scanSum
	merchants []scanSum
	lines     int64
	fen       int64
}

// scan returns how many lines the files hold and the sum of their amounts.
func scan(files []string, goroutines int) (lines, fen int64, err error) {
	workers := make([]scanner, goroutines)
	errs := make([]error, goroutines)
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return 0, 0, err
		}
		var next atomic.Int64
		var group sync.WaitGroup
		for i := range workers {
			group.Go(func() {
				for errs[i] == nil {
					more, err := workers[i].block(f, next.Add(1)-1)
					if errs[i] = err; !more {
						return
					}
				}
			})
		}
		group.Wait()
		if err := errors.Join(errors.Join(errs...), f.Close()); err != nil {
			return 0, 0, fmt.Errorf("scan %s: %w", path, err)
		}
	}
	for i := range workers {
		lines += workers[i].lines
		fen += workers[i].fen
	}
	return lines, fen, nil
}

var scanBuffers = sync.Pool{New: func() any { return new([scanBlock + 1024]byte) }}

// block scans the lines that begin in block n, the header not among them.
func (s *scanner) block(f *os.File, n int64) (bool, error) {
	memory, _ := scanBuffers.Get().(*[scanBlock + 1024]byte)
	defer scanBuffers.Put(memory)
	got, err := f.ReadAt(memory[:], n*scanBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	b := memory[:got]
	at := 0
	if skip := bytes.IndexByte(b, '\n'); skip >= 0 {
		at = skip + 1 // the header, or a line of the block before
	}
	for at < len(b) && at <= scanBlock {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			break
		}
		s.line(b[at : at+end])
		at += end + 1
	}
	return got == len(memory), nil
}

func (s *scanner) line(b []byte) {
	for i := range s.widths {
		w := s.widths[i]
		if w >= len(b) || b[w] != ',' {
			w = bytes.IndexByte(b, ',')
			s.widths[i] = w
		}
		s.fields[i], b = b[:w], b[w+1:]
	}
	from, i := 0, len(s.widths)
	for at, c := range b[:len(b)-scanStamp] {
		if c == ',' {
			s.fields[i], from = b[from:at], at+1
			i++
		}
	}
	s.fields[i] = b[from:]
	amount, fee, status := whole(s.fields[4]), whole(s.fields[5]), s.fields[6][0]
	var stamp int64
	for _, c := range s.fields[7] {
		if d := c - '0'; d <= 9 {
			stamp = stamp*10 + int64(d)
		}
	}
	bank, merchant := s.fields[3], s.fields[1]
	for _, t := range [2]*scanSum{
		&s.banks[(bank[0]*31+bank[len(bank)-1])&255],
		s.merchant(binary.LittleEndian.Uint64(merchant[max(len(merchant)-8, 0):])),
	} {
		t.lines++
		t.fen += amount
		t.fee += fee
		if status == 'S' && stamp > 0 {
			t.successful += amount
		}
	}
	s.lines++
	s.fen += amount
}

func (s *scanner) merchant(key uint64) *scanSum {
	if s.merchants == nil {
		s.merchants = make([]scanSum, scanTable)
	}
	for i := key * 0x9E3779B97F4A7C15 >> 48; ; i = (i + 1) % scanTable {
		if t := &s.merchants[i]; t.key == key || t.lines == 0 {
			t.key = key
			return t
		}
	}
}

func whole(b []byte) (n int64) {
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	return n
}
