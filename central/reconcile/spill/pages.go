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

// MinPage is the smallest page; a record must fit a page less its header.
const MinPage = 4 << 10

const pageHeader = 12 // previous page's reference + 1 (8), used bytes (4)

// List is a finished chain of records. Their order is not kept.
type List struct {
	heads []int64
	Bytes int64
	Rows  int64
}

// Join adds another list's records to this one.
func (l *List) Join(other List) {
	l.heads = append(l.heads, other.heads...)
	l.Bytes += other.Bytes
	l.Rows += other.Rows
}

// Store holds pages. It is safe for concurrent use.
type Store struct {
	pageSize int
	file     *os.File
	end      atomic.Int64

	mu   sync.Mutex
	left int64 // bytes of memory that pages may still take
	ram  map[int64][]byte
	next int64
	free [][]byte
}

// NewStore makes a store whose pages take at most memory bytes and then go to a
// file in dir.
func NewStore(dir string, pageSize int, memory int64) (*Store, error) {
	file, err := unlinked(dir)
	if err != nil {
		return nil, err
	}
	return &Store{pageSize: pageSize, file: file, left: memory, ram: map[int64][]byte{}}, nil
}

// Close frees the disk space.
func (s *Store) Close() error { return s.file.Close() }

// Spilled is how many bytes went to disk.
func (s *Store) Spilled() int64 { return s.end.Load() }

// put stores page[:used] and returns its reference: negative in memory, else a
// position in the file.
func (s *Store) put(page []byte, used int) (int64, error) {
	if ref, ok := s.putRAM(page[:used]); ok {
		return ref, nil
	}
	at := s.end.Add(int64(used)) - int64(used)
	if _, err := s.file.WriteAt(page[:used], at); err != nil {
		return 0, fmt.Errorf("write temporary file: %w", bare(err))
	}
	return at, nil
}

func (s *Store) putRAM(page []byte) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []byte
	if n := len(s.free); n > 0 {
		kept, s.free = s.free[n-1], s.free[:n-1]
	} else {
		const overhead = 64 // a map entry
		if s.left < int64(s.pageSize+overhead) {
			return 0, false
		}
		s.left -= int64(s.pageSize + overhead)
		kept = make([]byte, s.pageSize)
	}
	kept = kept[:copy(kept[:s.pageSize], page)]
	s.next--
	s.ram[s.next] = kept
	return s.next, true
}

// take reads a page into buf (of pageSize) and forgets it when it was in memory.
func (s *Store) take(ref int64, buf []byte) ([]byte, error) {
	if ref >= 0 {
		n, err := s.file.ReadAt(buf, ref)
		if err != nil && (!errors.Is(err, io.EOF) || n < pageHeader) {
			return nil, fmt.Errorf("read temporary file: %w", bare(err))
		}
		return buf[:n], nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.ram[ref]
	delete(s.ram, ref)
	s.free = append(s.free, kept)
	return buf[:copy(buf, kept)], nil
}

// Each gives the list's records page by page: the slice holds whole records and is
// good until the next call. It uses the list up.
func (s *Store) Each(l List, each func(records []byte) error) error {
	buf := make([]byte, s.pageSize)
	for _, head := range l.heads {
		for ref := head; ; {
			page, err := s.take(ref, buf)
			if err != nil {
				return err
			}
			previous := int64(binary.LittleEndian.Uint64(page))
			used := int(binary.LittleEndian.Uint32(page[8:]))
			if err := each(page[pageHeader:used]); err != nil {
				return err
			}
			if previous == 0 {
				break
			}
			ref = decodeRef(previous)
		}
	}
	return nil
}

// A reference may be 0 (the file's first page), so that links hold it shifted by
// one away from zero; 0 is the end of a chain.
func encodeRef(ref int64) int64 {
	if ref >= 0 {
		return ref + 1
	}
	return ref
}

func decodeRef(link int64) int64 {
	if link > 0 {
		return link - 1
	}
	return link
}

// Appender fills many lists at once, a page of memory each. One goroutine uses it.
type Appender struct {
	store *Store
	open  []openList
}

type openList struct {
	page []byte
	used int
	last int64 // link to the page before
	list List
}

// NewAppender makes an appender of n lists.
func (s *Store) NewAppender(n int) *Appender { return &Appender{store: s, open: make([]openList, n)} }

// Space returns n bytes of list i to write one record into.
func (a *Appender) Space(i, n int) ([]byte, error) {
	o := &a.open[i]
	if o.page == nil {
		o.page = make([]byte, a.store.pageSize)
		o.used = pageHeader
	}
	if o.used+n > len(o.page) {
		if err := a.flush(o); err != nil {
			return nil, err
		}
	}
	b := o.page[o.used : o.used+n]
	o.used += n
	o.list.Bytes += int64(n)
	o.list.Rows++
	return b, nil
}

func (a *Appender) flush(o *openList) error {
	binary.LittleEndian.PutUint64(o.page, uint64(o.last))
	binary.LittleEndian.PutUint32(o.page[8:], uint32(o.used))
	ref, err := a.store.put(o.page, o.used)
	if err != nil {
		return err
	}
	o.last = encodeRef(ref)
	o.used = pageHeader
	return nil
}

// Finish stores what is open and returns the lists; the appender is then used up.
func (a *Appender) Finish() ([]List, error) {
	lists := make([]List, len(a.open))
	for i := range a.open {
		o := &a.open[i]
		if o.list.Rows == 0 {
			continue
		}
		if o.used > pageHeader {
			if err := a.flush(o); err != nil {
				return nil, err
			}
		}
		o.page = nil
		o.list.heads = []int64{decodeRef(o.last)}
		lists[i] = o.list
	}
	a.open = nil
	return lists, nil
}

// unlinked makes a temporary file that has no name any more.
func unlinked(dir string) (*os.File, error) {
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
