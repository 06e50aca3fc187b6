// Package spill keeps more records than memory holds: Store, chains of pages that
// go to one unlinked temporary file once their allowance of memory is used up, and
// Sorter, an external merge sort. Nothing here outlives the process: the files have
// no name, so a killed run leaves nothing behind.
package spill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// RecordSize is the size of a Store's records: two words.
const RecordSize = 16

// MinPage is the smallest page.
const MinPage = 1 << 10

const pageHeader = RecordSize // previous page's link (8), used bytes (8)

// List is a finished chain of pages. The order of its records is not kept.
type List struct {
	heads []int64
	Rows  int64
}

// Join adds another list's records to this one.
func (l *List) Join(other List) {
	l.heads = append(l.heads, other.heads...)
	l.Rows += other.Rows
}

// Store holds pages. It is safe for concurrent use.
type Store struct {
	pageSize int
	dir      string
	file     *os.File // nil until something goes there
	end      atomic.Int64

	mu     sync.Mutex
	left   int64 // bytes of memory that may still be taken
	chunks []chunk
	fresh  int // pages of the last chunk that were never used
	free   []int64
}

// NewStore makes a store whose pages take at most memory bytes and then go to a
// file in dir.
func NewStore(dir string, pageSize int, memory int64) *Store {
	return &Store{pageSize: pageSize, dir: dir, left: memory}
}

// Close frees memory and disk space.
func (s *Store) Close() error {
	for _, c := range s.chunks {
		c.release()
	}
	s.chunks, s.free = nil, nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Spilled is how many bytes went to disk.
func (s *Store) Spilled() int64 { return s.end.Load() }

func (s *Store) perChunk() int64 { return max(chunkSize/int64(s.pageSize), 1) }

// page is page number i of the memory.
func (s *Store) page(i int64) []byte {
	per := s.perChunk()
	at := i % per * int64(s.pageSize)
	return s.chunks[i/per].memory[at : at+int64(s.pageSize) : at+int64(s.pageSize)]
}

// take gives a page of memory, or none when the allowance is used up.
func (s *Store) take() (number int64, page []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		number, s.free = s.free[n-1], s.free[:n-1]
		return number, s.page(number)
	}
	if s.left < int64(s.pageSize) {
		return -1, nil
	}
	per := s.perChunk()
	if s.fresh == 0 {
		s.chunks = append(s.chunks, newChunk(int(per)*s.pageSize))
		s.fresh = int(per)
	}
	s.left -= int64(s.pageSize)
	number = int64(len(s.chunks))*per - int64(s.fresh)
	s.fresh--
	return number, s.page(number)
}

// write puts a page into the file and returns its position.
func (s *Store) write(page []byte) (int64, error) {
	file, err := s.temporary()
	if err != nil {
		return 0, err
	}
	at := s.end.Add(int64(len(page))) - int64(len(page))
	if _, err := file.WriteAt(page, at); err != nil {
		return 0, fmt.Errorf("write temporary file: %w", bare(err))
	}
	return at, nil
}

func (s *Store) temporary() (file *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		s.file, err = Unlinked(s.dir)
	}
	return s.file, err
}

// Links say where the page before is: 0 nowhere, n > 0 at n-1 in the file, n < 0 page
// -n-1 of the memory.
func inFile(at int64) int64       { return at + 1 }
func inMemory(number int64) int64 { return -number - 1 }

// Each gives the list's records page by page. The slices of pages in memory stay good
// until the list is released; those of pages in the file are read into buf, which has
// room for all of a list's records if they are to stay good too.
func (s *Store) Each(l List, buf *Buffer, each func(records []byte) error) error {
	for _, head := range l.heads {
		for link := head; link != 0; {
			page, err := s.open(link, buf)
			if err != nil {
				return err
			}
			used := binary.LittleEndian.Uint64(page[8:])
			if err := each(page[pageHeader:used]); err != nil {
				return err
			}
			link = int64(binary.LittleEndian.Uint64(page))
		}
	}
	return nil
}

func (s *Store) open(link int64, buf *Buffer) ([]byte, error) {
	if link < 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.page(-link - 1), nil
	}
	file, err := s.temporary()
	if err != nil {
		return nil, err
	}
	page := buf.next(s.pageSize)
	n, err := file.ReadAt(page, link-1)
	if err != nil && (!errors.Is(err, io.EOF) || n < pageHeader) {
		return nil, fmt.Errorf("read temporary file: %w", bare(err))
	}
	return page[:n], nil
}

// Release gives the list's memory back; the list must not be used again.
func (s *Store) Release(l List) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, head := range l.heads {
		for link := head; link < 0; {
			number := -link - 1
			link = int64(binary.LittleEndian.Uint64(s.page(number)))
			s.free = append(s.free, number)
		}
	}
}

// Buffer is memory for pages that are read from the file.
type Buffer struct {
	memory []byte
	used   int
	Keep   bool // pages stay good until Reset; otherwise each overwrites the last
}

// Reset forgets what was read, so that the memory is used again.
func (b *Buffer) Reset() { b.used = 0 }

func (b *Buffer) next(size int) []byte {
	if !b.Keep {
		b.used = 0
	}
	if b.used+size > len(b.memory) {
		const least = 256 << 10
		b.memory = make([]byte, max(size, least)) // pages in the old one stay good
		b.used = 0
	}
	b.used += size
	return b.memory[b.used-size : b.used : b.used]
}

// Appender fills many lists at once. One goroutine uses it.
type Appender struct {
	store *Store
	open  []openList
	state []listState
}

// openList is what every record needs; the rest is in listState, out of the way.
type openList struct {
	page []byte
	used int
}

type listState struct {
	number int64 // of the page in memory, -1 for a page of the appender's own
	last   int64 // link to the page before
	rows   int64 // in finished pages
}

// NewAppender makes an appender of n lists.
func (s *Store) NewAppender(n int) *Appender {
	return &Appender{store: s, open: make([]openList, n), state: make([]listState, n)}
}

// Add puts a record of two words into list i.
func (a *Appender) Add(i int, first, second uint64) error {
	o := &a.open[i]
	if o.used >= len(o.page) {
		if err := a.turn(i); err != nil {
			return err
		}
	}
	record := o.page[o.used : o.used+RecordSize]
	binary.LittleEndian.PutUint64(record, first)
	binary.LittleEndian.PutUint64(record[8:], second)
	o.used += RecordSize
	return nil
}

// turn opens the next page. Without memory for it the full one goes to the file and is
// filled again.
func (a *Appender) turn(i int) error {
	o, st := &a.open[i], &a.state[i]
	number, page := a.store.take()
	if o.page == nil {
		if page == nil {
			page = make([]byte, a.store.pageSize)
		}
		o.page, o.used, st.number = page, pageHeader, number
		return nil
	}
	if page == nil {
		return a.spill(o, st)
	}
	if st.number < 0 {
		if err := a.spill(o, st); err != nil {
			return err
		}
	} else {
		a.seal(o, st)
		st.last = inMemory(st.number)
	}
	o.page, o.used, st.number = page, pageHeader, number
	return nil
}

func (a *Appender) seal(o *openList, st *listState) {
	binary.LittleEndian.PutUint64(o.page, uint64(st.last))
	binary.LittleEndian.PutUint64(o.page[8:], uint64(o.used))
	st.rows += int64(o.used-pageHeader) / RecordSize
}

func (a *Appender) spill(o *openList, st *listState) error {
	a.seal(o, st)
	at, err := a.store.write(o.page[:o.used])
	if err != nil {
		return err
	}
	st.last, o.used = inFile(at), pageHeader
	return nil
}

// Finish returns the lists; the appender is then used up.
func (a *Appender) Finish() ([]List, error) {
	lists := make([]List, len(a.open))
	for i := range a.open {
		o, st := &a.open[i], &a.state[i]
		if o.page == nil {
			continue
		}
		if st.number < 0 {
			if err := a.spill(o, st); err != nil {
				return nil, err
			}
		} else {
			a.seal(o, st)
			st.last = inMemory(st.number)
		}
		o.page = nil
		lists[i] = List{heads: []int64{st.last}, Rows: st.rows}
	}
	a.open, a.state = nil, nil
	return lists, nil
}

// Unlinked makes a temporary file that has no name any more.
func Unlinked(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "spill-*")
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("unlink temporary file: %w", err)
	}
	return file, nil
}

// bare strips the name of an unlinked file, which would lead nobody anywhere.
func bare(err error) error {
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return cause.Err
	}
	return err
}
