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
	views  []*[chunkSize]byte // the chunks' memory
	fresh  int                // pages of the last chunk that were never used
	free   []int64
	spare  []int64 // pages beyond the allowance that are not in use
}

// mostMemory is what 32 bits can number in records, and some room.
const mostMemory = 48 << 30

// NewStore makes a store whose pages take at most memory bytes, beside one open page of every
// list, and then go to a file in dir. The size of a page is a power of two from MinPage on.
func NewStore(dir string, pageSize int, memory int64) *Store {
	return &Store{pageSize: pageSize, dir: dir, left: min(memory, mostMemory)}
}

// Close frees memory and disk space.
func (s *Store) Close() error {
	for _, c := range s.chunks {
		c.release()
	}
	s.chunks, s.views, s.free, s.spare = nil, nil, nil, nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Spilled is how many bytes went to disk, or are kept free there for the pages that follow.
func (s *Store) Spilled() int64 { return s.end.Load() }

// page is page number i of the memory.
func (s *Store) page(i int64) []byte {
	per := int64(chunkSize / s.pageSize)
	at := i % per * int64(s.pageSize)
	return s.views[i/per][at : at+int64(s.pageSize) : at+int64(s.pageSize)]
}

// take gives a page of memory. None is left when the allowance is used up, unless it is for
// a list that has none at all.
func (s *Store) take(none bool) (number int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pages := &s.free; len(*pages) > 0 {
		return pop(pages), true
	}
	if s.left >= int64(s.pageSize) {
		s.left -= int64(s.pageSize)
		return s.another(), true
	}
	switch {
	case !none:
		return -1, false
	case len(s.spare) > 0:
		return pop(&s.spare), false
	}
	return s.another(), false
}

func pop(pages *[]int64) int64 {
	n := len(*pages) - 1
	number := (*pages)[n]
	*pages = (*pages)[:n]
	return number
}

// another gives a page that was never used.
func (s *Store) another() int64 {
	per := chunkSize / s.pageSize
	if s.fresh == 0 {
		c := newChunk(chunkSize)
		s.chunks, s.views = append(s.chunks, c), append(s.views, (*[chunkSize]byte)(c.memory))
		s.fresh = per
	}
	number := int64(len(s.chunks)*per - s.fresh)
	s.fresh--
	return number
}

// batchPages is how many pages are written at once: what a write costs is mostly not its bytes.
const batchPages = 16

// batch is pages on their way to the file, whose positions there are known already.
type batch struct {
	at    int64
	pages []byte
}

// write puts a page into the file, soon, and returns its position.
func (b *batch) write(s *Store, page []byte) (int64, error) {
	size := batchPages * s.pageSize
	if b.pages == nil {
		b.pages = make([]byte, 0, size)
	}
	if len(b.pages) == 0 {
		b.at = s.end.Add(int64(size)) - int64(size)
	}
	from := len(b.pages)
	b.pages = b.pages[:from+s.pageSize]
	copy(b.pages[from:], page)
	if len(b.pages) < size {
		return b.at + int64(from), nil
	}
	return b.at + int64(from), b.flush(s)
}

// flush writes what waits. A page that is not there yet cannot be read.
func (b *batch) flush(s *Store) error {
	if len(b.pages) == 0 {
		return nil
	}
	file, err := s.temporary()
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(b.pages, b.at); err != nil {
		return fmt.Errorf("write temporary file: %w", bare(err))
	}
	b.pages = b.pages[:0]
	return nil
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
//
// Lists are filled in turn and at random, by the thousand, so that what every record needs has
// to be small: one number says where the next one goes.
type Appender struct {
	store  *Store
	chunks []*[chunkSize]byte // those of the store that pages of this appender lie in
	next   []uint32           // of every list, in records from the first chunk on; at the end of a page there is none
	last   uint32             // record of a page
	state  []listState
	batch  batch
}

// listState is what is needed once a page.
type listState struct {
	number int64 // of the open page, -1 before the first
	own    bool  // the page is the appender's own: it goes to the file and is filled again
	before int64 // link to the page before
	rows   int64 // in finished pages
}

// NewAppender makes an appender of n lists.
func (s *Store) NewAppender(n int) *Appender {
	a := &Appender{store: s, next: make([]uint32, n), last: uint32(s.pageSize/RecordSize - 1), state: make([]listState, n)}
	for i := range a.state {
		a.state[i].number = -1
	}
	return a
}

// Add puts a record of two words into list i.
func (a *Appender) Add(i int, first, second uint64) error {
	return a.Scatter([]uint32{uint32(i)}, []uint64{first}, []uint64{second})
}

// Scatter puts records of two words into the lists given.
func (a *Appender) Scatter(lists []uint32, first, second []uint64) error {
	next, chunks, last := a.next, a.chunks, a.last
	first, second = first[:len(lists)], second[:len(lists)]
	for i, list := range lists {
		at := next[list]
		if at&last == 0 {
			if err := a.turn(int(list)); err != nil {
				return err
			}
			at, chunks = next[list], a.chunks
		}
		next[list] = at + 1
		record := chunks[at/perChunk][at%perChunk*RecordSize:][:RecordSize]
		binary.LittleEndian.PutUint64(record, first[i])
		binary.LittleEndian.PutUint64(record[8:], second[i])
	}
	return nil
}

// perChunk is how many records a chunk holds.
const perChunk = chunkSize / RecordSize

// turn opens the next page of a list. Without memory for it the full one goes to the file and
// is filled again.
func (a *Appender) turn(i int) error {
	st := &a.state[i]
	full := st.number >= 0
	number, ok := st.number, false
	if !st.own {
		number, ok = a.store.take(!full)
	}
	switch {
	case full && ok:
		a.seal(st, a.store.pageSize)
		st.before = inMemory(st.number)
	case full:
		number = st.number
		if err := a.spill(st, a.store.pageSize); err != nil {
			return err
		}
	default:
		st.own = !ok
	}
	st.number = number
	a.chunks = a.store.memory()
	a.next[i] = uint32(number)*(a.last+1) + pageHeader/RecordSize
	return nil
}

// memory gives the chunks that there are.
func (s *Store) memory() []*[chunkSize]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views
}

// seal writes the head of a list's open page, of which so many bytes are used.
func (a *Appender) seal(st *listState, used int) []byte {
	page := a.page(st.number)
	binary.LittleEndian.PutUint64(page, uint64(st.before))
	binary.LittleEndian.PutUint64(page[8:], uint64(used))
	st.rows += int64(used-pageHeader) / RecordSize
	return page[:used]
}

func (a *Appender) page(number int64) []byte {
	at := int(number) * a.store.pageSize
	return a.chunks[at/chunkSize][at%chunkSize:][:a.store.pageSize]
}

func (a *Appender) spill(st *listState, used int) error {
	at, err := a.batch.write(a.store, a.seal(st, used))
	st.before = inFile(at)
	return err
}

// Finish returns the lists; the appender is then used up.
func (a *Appender) Finish() ([]List, error) {
	lists := make([]List, len(a.state))
	var spare []int64
	for i := range a.state {
		st := &a.state[i]
		if st.number < 0 {
			continue
		}
		used := int(a.next[i]&a.last) * RecordSize
		if used == 0 {
			used = a.store.pageSize
		}
		if st.own {
			if err := a.spill(st, used); err != nil {
				return nil, err
			}
			spare = append(spare, st.number)
		} else {
			a.seal(st, used)
			st.before = inMemory(st.number)
		}
		lists[i] = List{heads: []int64{st.before}, Rows: st.rows}
	}
	if err := a.batch.flush(a.store); err != nil {
		return nil, err
	}
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	a.store.spare = append(a.store.spare, spare...)
	a.next, a.state = nil, nil
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
