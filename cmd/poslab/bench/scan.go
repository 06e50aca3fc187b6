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

	"dcpos/central/reconcile/separators"
)

// A bare scan is the floor under every reconciler that reads the same text: it reads the
// files, takes every line apart, converts its numbers and adds them up per bank and
// merchant, on as many goroutines as the reconciler has workers. It checks nothing,
// remembers no line and pairs none. It finds commas and line ends by the same instructions as
// the reconciler does and shares no other code with it.
type scanSum struct {
	key                         uint64
	lines, fen, fee, successful int64
}

const (
	scanBlock  = 128 << 10
	scanFields = 8
	scanTable  = 1 << 16
	scanRest   = 1024 // of the last line of a block
)

type scanner struct {
	memory    [scanBlock + scanRest + separators.Padding]byte
	found     separators.Found
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

// block scans the lines that begin in block n, the header not among them.
func (s *scanner) block(f *os.File, n int64) (bool, error) {
	const most = scanBlock + scanRest
	got, err := f.ReadAt(s.memory[:most], n*scanBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	at := bytes.IndexByte(s.memory[:got], '\n') + 1 // behind the header, or a line of the block before
	text := s.memory[at:got]
	s.found.Find(text)
	begin := 0
	for line := s.found.All; len(line) >= scanFields && begin+at <= scanBlock; line = line[scanFields:] {
		fields := (*[scanFields]uint32)(line)
		s.line(s.memory[at:], fields)
		begin = int(fields[scanFields-1]) + 1
	}
	return got == most, nil
}

func (s *scanner) line(b []byte, ends *[scanFields]uint32) {
	amount, fee, status := whole(b, ends[3], ends[4]), whole(b, ends[4], ends[5]), b[ends[5]+1]
	stamp := b[ends[6]+1 : ends[7]]
	seconds := int64(0)
	for _, at := range [3]int{11, 14, 17} {
		seconds = seconds*60 + int64(stamp[at]-'0')*10 + int64(stamp[at+1]-'0')
	}
	for _, t := range [2]*scanSum{
		&s.banks[(b[ends[2]+1]*31+b[ends[3]-1])&255],
		s.merchant(binary.LittleEndian.Uint64(b[ends[1]-8:])),
	} {
		t.lines++
		t.fen += amount
		t.fee += fee
		if status == 'S' && seconds >= 0 {
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

// whole converts up to eight digits between two separators, all at once.
func whole(b []byte, before, end uint32) int64 {
	others := (64 - 8*(end-before-1)) & 63 // bits of what stands before the digits
	w := (binary.LittleEndian.Uint64(b[end-8:]) ^ 0x3030303030303030) >> others << others
	w = w*10 + w>>8
	return int64((w&0x000000FF000000FF*(100+1000000<<32) + w>>16&0x000000FF000000FF*(1+10000<<32)) >> 32)
}
