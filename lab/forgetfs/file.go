package forgetfs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// volatileFile is one inode as programs see it: the backing file, which is what a
// power cut leaves, under the pages and the size that nobody has synced yet.
// The caller serialises access.
type volatileFile struct {
	back *os.File
	// size is the length programs see, durable the length of the backing file.
	size, durable int64
	// floor is the shortest unsynced truncation: the backing file's bytes from
	// here on read as zeros although they are still on the medium.
	floor int64
	pages map[int64]*dirtyPage
	order uint64
	mtime time.Time
	opens int
}

type dirtyPage struct {
	data  [pageSize]byte
	order uint64
	stale bool // seen by programs, and no sync writes it any more
}

func newVolatileFile(back *os.File) (*volatileFile, error) {
	st, err := back.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat backing file: %w", err)
	}
	n := st.Size()
	return &volatileFile{back: back, size: n, durable: n, floor: n, pages: map[int64]*dirtyPage{}}, nil
}

func (f *volatileFile) dirty() bool {
	return len(f.pages) > 0 || f.size != f.durable || f.floor < f.durable
}

func (f *volatileFile) unsynced() int64 { return int64(len(f.pages)) * pageSize }

// readDurable fills p with the backing file's bytes below floor, zeros above.
func (f *volatileFile) readDurable(p []byte, off int64) error {
	clear(p)
	end := min(off+int64(len(p)), f.floor)
	if off >= end {
		return nil
	}
	_, err := f.back.ReadAt(p[:end-off], off)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readAt is a read as the kernel asks for it: short at the end of the file.
func (f *volatileFile) readAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), f.size-off)]
	if err := f.readDurable(p, off); err != nil {
		return 0, err
	}
	for at := off; at < off+int64(len(p)); {
		index, within := at/pageSize, at%pageSize
		next := (index + 1) * pageSize
		if page, ok := f.pages[index]; ok {
			copy(p[at-off:], page.data[within:])
		}
		at = next
	}
	return len(p), nil
}

func (f *volatileFile) writeAt(p []byte, off int64, now time.Time) error {
	for done := 0; done < len(p); {
		at := off + int64(done)
		index, within := at/pageSize, at%pageSize
		page, ok := f.pages[index]
		if !ok {
			page = &dirtyPage{}
			whole := within == 0 && len(p)-done >= pageSize
			if !whole {
				if err := f.readDurable(page.data[:], index*pageSize); err != nil {
					return err
				}
			}
			f.pages[index] = page
		}
		f.order++
		page.order, page.stale = f.order, false
		done += copy(page.data[within:], p[done:])
	}
	f.size = max(f.size, off+int64(len(p)))
	f.mtime = now
	return nil
}

func (f *volatileFile) resize(n int64, now time.Time) {
	if n < f.size {
		for index, page := range f.pages {
			start := index * pageSize
			if start >= n {
				delete(f.pages, index)
			} else if start+pageSize > n {
				clear(page.data[n-start:])
			}
		}
		f.floor = min(f.floor, n)
	}
	f.size = n
	f.mtime = now
}

// sync makes what programs see durable: the backing file becomes equal to it.
func (f *volatileFile) sync() error {
	if err := f.settleTruncation(); err != nil {
		return err
	}
	for _, index := range f.writable() {
		if err := f.flush(index, pageSize); err != nil {
			return err
		}
	}
	if f.durable != f.size {
		if err := f.back.Truncate(f.size); err != nil {
			return err
		}
		f.durable = f.size
	}
	f.floor = f.durable
	return nil
}

// syncRange is what a write through O_SYNC or O_DSYNC promises: these bytes and
// the length they imply, not the other dirty pages of the file.
func (f *volatileFile) syncRange(off, n int64) error {
	if n == 0 {
		return nil
	}
	if err := f.settleTruncation(); err != nil {
		return err
	}
	for index := off / pageSize; index <= (off+n-1)/pageSize; index++ {
		if page, ok := f.pages[index]; !ok || page.stale {
			continue
		}
		if err := f.flush(index, pageSize); err != nil {
			return err
		}
	}
	return nil
}

// settleTruncation cuts the backing file at floor; a file system never lets data
// written after a truncation reach the medium before the truncation itself.
func (f *volatileFile) settleTruncation() error {
	if f.floor >= f.durable {
		return nil
	}
	if err := f.back.Truncate(f.floor); err != nil {
		return err
	}
	f.durable = f.floor
	return nil
}

// flush writes the first limit bytes of one dirty page to the backing file and
// forgets that it was dirty.
func (f *volatileFile) flush(index, limit int64) error {
	page := f.pages[index]
	start := index * pageSize
	n := min(limit, f.size-start)
	if _, err := f.back.WriteAt(page.data[:n], start); err != nil {
		return err
	}
	f.durable = max(f.durable, start+n)
	f.floor = f.durable
	delete(f.pages, index)
	return nil
}

// writeBack lets one dirty page reach the medium unasked, as a kernel's flusher may.
func (f *volatileFile) writeBack(rng *rand.Rand) error {
	if len(f.pages) == 0 {
		return nil
	}
	if err := f.settleTruncation(); err != nil {
		return err
	}
	indexes := f.writable()
	if len(indexes) == 0 {
		return nil
	}
	return f.flush(indexes[rng.IntN(len(indexes))], pageSize)
}

// writable lists the dirty pages that may reach the medium.
func (f *volatileFile) writable() []int64 {
	var out []int64
	for index, page := range f.pages {
		if !page.stale {
			out = append(out, index)
		}
	}
	slices.Sort(out)
	return out
}

// launder marks every dirty page as written though it is not.
func (f *volatileFile) launder() {
	for _, page := range f.pages {
		page.stale = true
	}
}

// forget drops everything unsynced. Programs' view is the backing file again.
func (f *volatileFile) forget() {
	clear(f.pages)
	f.size, f.floor = f.durable, f.durable
}

// The four ways in which unsynced pages may meet a torn power cut.
const (
	tearNothing = iota // all forgotten
	tearPrefix         // those written before a random moment survive
	tearSubset         // any survive: the disk reordered them
	tearAll            // all survive, the last one perhaps half-written
	tearWays
)

// tear lets a random part of the unsynced state survive and drops the rest. One
// surviving page may be half-written at a sector boundary, a pending truncation
// and a pending extension survive or not by a toss of their own.
func (f *volatileFile) tear(rng *rand.Rand) error {
	if !f.dirty() {
		return nil
	}
	way := rng.IntN(tearWays)
	if way == tearNothing {
		f.forget()
		return nil
	}
	survivors := f.survivors(rng, way)
	if len(survivors) > 0 || rng.IntN(2) == 0 {
		if err := f.settleTruncation(); err != nil {
			return err
		}
	}
	half := f.half(rng, survivors)
	for i, index := range survivors {
		write := func() error { return f.flush(index, pageSize) }
		if i == half {
			write = func() error { return f.flushSectors(rng, index) }
		}
		if err := write(); err != nil {
			return err
		}
	}
	if f.size > f.durable && rng.IntN(4) == 0 {
		if err := f.back.Truncate(f.size); err != nil {
			return err
		}
		f.durable = f.size
	}
	f.forget()
	return nil
}

// half chooses the survivor that is torn: none, the file's last page, or any.
func (f *volatileFile) half(rng *rand.Rand, survivors []int64) int {
	n := len(survivors)
	if n == 0 || rng.IntN(2) == 0 {
		return -1
	}
	if rng.IntN(2) == 0 {
		return n - 1
	}
	return rng.IntN(n)
}

// flushSectors writes the first sectors of a page, or any of them: a disk promises no more
// than one sector at a time, and no order.
func (f *volatileFile) flushSectors(rng *rand.Rand, index int64) error {
	const sectors = pageSize / sectorSize
	if rng.IntN(2) == 0 {
		limit := sectorSize * int64(rng.IntN(sectors))
		if limit == 0 {
			return nil
		}
		return f.flush(index, limit)
	}
	page, start := f.pages[index], index*pageSize
	for at := int64(0); at < min(pageSize, f.size-start); at += sectorSize {
		if rng.IntN(2) == 0 {
			continue
		}
		end := min(at+sectorSize, f.size-start)
		if _, err := f.back.WriteAt(page.data[at:end], start+at); err != nil {
			return err
		}
		f.durable = max(f.durable, start+end)
	}
	f.floor = f.durable
	delete(f.pages, index)
	return nil
}

func (f *volatileFile) survivors(rng *rand.Rand, way int) []int64 {
	moment := f.order - uint64(rng.IntN(len(f.pages)+1))
	var out []int64
	for _, index := range f.writable() {
		survives := way == tearAll ||
			way == tearPrefix && f.pages[index].order <= moment ||
			way == tearSubset && rng.IntN(2) == 0
		if survives {
			out = append(out, index)
		}
	}
	return out
}
