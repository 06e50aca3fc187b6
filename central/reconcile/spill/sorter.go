package spill

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

const (
	fanIn    = 32       // runs merged at a time
	runBlock = 16 << 10 // buffer of one run while merging
	itemSize = 24       // bytes of an item in memory
)

// Sorter sorts records (key, value) by the bytes of the key, within a budget of
// memory, through temporary files. Records with equal keys come next to each other
// in no particular order. Add may be called by many goroutines.
type Sorter struct {
	dir    string
	budget int

	mu    sync.Mutex
	arena []byte
	items []item
	runs  []run
}

// item is a record in the arena. The first bytes of its key lie beside it: most comparisons
// need no more, and looking into the arena is what sorting waits for.
type item struct {
	prefix         uint64
	at, key, value uint32
}

func prefixOf(key []byte) uint64 {
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

type run struct {
	file  *os.File
	level int
}

// NewSorter makes a sorter that uses about budget bytes of memory (64 KiB to 1 GiB).
func NewSorter(dir string, budget int64) *Sorter {
	return &Sorter{dir: dir, budget: int(min(max(budget, 64<<10), 1<<30))}
}

// Add takes a record; key and value are copied.
func (s *Sorter) Add(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := len(key) + len(value)
	if len(s.items) > 0 && len(s.arena)+need+itemSize*(len(s.items)+1) > s.budget {
		if err := s.flush(); err != nil {
			return err
		}
	}
	at := len(s.arena)
	s.arena = append(append(s.grown(need), key...), value...)
	s.items = append(s.items, item{prefixOf(key), uint32(at), uint32(len(key)), uint32(len(value))})
	return nil
}

// grown doubles the arena up to the budget and not beyond, as append might.
func (s *Sorter) grown(need int) []byte {
	if len(s.arena)+need <= cap(s.arena) {
		return s.arena
	}
	size := max(min(2*cap(s.arena), s.budget), len(s.arena)+need, 32<<10)
	return append(make([]byte, 0, size), s.arena...)
}

func (s *Sorter) key(i item) []byte { return s.arena[i.at : i.at+i.key] }

func (s *Sorter) sort() {
	slices.SortFunc(s.items, func(a, b item) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(s.key(a), s.key(b))
	})
}

func (s *Sorter) flush() error {
	s.sort()
	w, err := newRunWriter(s.dir)
	if err != nil {
		return err
	}
	for _, i := range s.items {
		if err := w.write(s.key(i), s.arena[i.at+i.key:i.at+i.key+i.value]); err != nil {
			_ = w.file.Close()
			return err
		}
	}
	if err := w.finish(); err != nil {
		return err
	}
	s.arena, s.items = s.arena[:0], s.items[:0]
	s.runs = append(s.runs, run{file: w.file})
	return s.compact()
}

// compact merges the last fanIn runs of one level into one of the next, so that
// the number of open runs grows with the logarithm of the input.
func (s *Sorter) compact() error {
	for len(s.runs) >= fanIn {
		tail := s.runs[len(s.runs)-fanIn:]
		level := tail[0].level
		if slices.ContainsFunc(tail, func(r run) bool { return r.level != level }) {
			return nil
		}
		w, err := newRunWriter(s.dir)
		if err != nil {
			return err
		}
		if err := mergeRuns(tail, w.write); err != nil {
			_ = w.file.Close()
			return err
		}
		if err := w.finish(); err != nil {
			return err
		}
		s.runs = append(s.runs[:len(s.runs)-fanIn], run{file: w.file, level: level + 1})
	}
	return nil
}

// Sorted gives every record in order; the slices are good until the next call. It
// uses the sorter up.
func (s *Sorter) Sorted(each func(key, value []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) == 0 {
		s.sort()
		for _, i := range s.items {
			if err := each(s.key(i), s.arena[i.at+i.key:i.at+i.key+i.value]); err != nil {
				return err
			}
		}
		s.arena, s.items = nil, nil
		return nil
	}
	if len(s.items) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.arena, s.items = nil, nil
	runs := s.runs
	s.runs = nil
	return mergeRuns(runs, each)
}

// Close frees what is left after an error.
func (s *Sorter) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		_ = r.file.Close()
	}
	s.runs, s.arena, s.items = nil, nil, nil
}

type runWriter struct {
	file *os.File
	w    *bufio.Writer
}

func newRunWriter(dir string) (*runWriter, error) {
	file, err := Unlinked(dir)
	if err != nil {
		return nil, err
	}
	return &runWriter{file: file, w: bufio.NewWriterSize(file, runBlock)}, nil
}

func (w *runWriter) write(key, value []byte) error {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(key)))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(value)))
	_, err := w.w.Write(head[:])
	if err == nil {
		_, err = w.w.Write(key)
	}
	if err == nil {
		_, err = w.w.Write(value)
	}
	if err != nil {
		return fmt.Errorf("write temporary file: %w", bare(err))
	}
	return nil
}

func (w *runWriter) finish() error {
	err := w.w.Flush()
	if err == nil {
		_, err = w.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = w.file.Close()
		return fmt.Errorf("write temporary file: %w", bare(err))
	}
	return nil
}

type runReader struct {
	r          *bufio.Reader
	record     []byte
	key, value []byte
}

// next reads the next record; io.EOF at the end.
func (r *runReader) next() error {
	var head [8]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return err
	}
	key := int(binary.LittleEndian.Uint32(head[:]))
	n := key + int(binary.LittleEndian.Uint32(head[4:]))
	if cap(r.record) < n {
		r.record = make([]byte, n)
	}
	r.record = r.record[:n]
	if _, err := io.ReadFull(r.r, r.record); err != nil {
		return errors.New("temporary file is cut off")
	}
	r.key, r.value = r.record[:key], r.record[key:]
	return nil
}

// mergeRuns merges sorted runs and closes them.
func mergeRuns(runs []run, each func(key, value []byte) error) error {
	heap := make([]*runReader, 0, len(runs))
	defer func() {
		for _, r := range runs {
			_ = r.file.Close()
		}
	}()
	for _, r := range runs {
		reader := &runReader{r: bufio.NewReaderSize(r.file, runBlock)}
		if err := reader.next(); err != nil {
			return fmt.Errorf("read temporary file: %w", bare(err))
		}
		heap = append(heap, reader)
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	for len(heap) > 0 {
		if err := each(heap[0].key, heap[0].value); err != nil {
			return err
		}
		err := heap[0].next()
		if errors.Is(err, io.EOF) {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		} else if err != nil {
			return fmt.Errorf("read temporary file: %w", bare(err))
		}
		siftDown(heap, 0)
	}
	return nil
}

func siftDown(heap []*runReader, i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if bytes.Compare(heap[child].key, heap[least].key) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
}
