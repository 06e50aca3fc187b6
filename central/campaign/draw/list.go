package draw

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// blockLines is how many lines are worked on at once: a power of two, so that each whole
// block is one subtree of the list's tree.
const blockLines = 1 << 13

// block is some lines of the list, in its place.
type block struct {
	index int
	lines []byte // a byte that is free, then lines that each end by a line feed
}

// scanned is what one block came to.
type scanned struct {
	root        [32]byte
	count       int64
	first, last Ticket
}

// List is what a list of entries comes to.
type List struct {
	Size int64
	Root [32]byte // RFC 6962 over the lines
	// ByStratum and ByInstitution count the entries, in the order of the terms.
	ByStratum     []int64
	ByInstitution []int64
}

// ReadList reads entries.csv and computes its tree. Errors name the line. Memory does not
// grow with the list.
func ReadList(r io.Reader, t Terms) (List, error) {
	list, _, err := scan(r, t, nil)
	return list, err
}

// scan reads the list once, on all processors: the tree always, and where there is a
// seed, the best ranks.
func scan(r io.Reader, t Terms, seed *[32]byte) (List, *selection, error) {
	if len(t.Institutions) > 256 {
		return List{}, nil, fmt.Errorf("%d institutions, at most 256", len(t.Institutions))
	}
	workers := make([]*worker, runtime.GOMAXPROCS(0))
	blocks := make(chan block)
	spare := make(chan []byte, 2*len(workers))
	readErr := make(chan error, 1)
	stop := make(chan struct{})
	go func() { readErr <- readBlocks(r, blocks, spare, stop) }()

	var group sync.WaitGroup
	var once sync.Once
	for i := range workers {
		w := newWorker(t, seed)
		workers[i] = w
		group.Go(func() { w.drain(blocks, spare, func() { once.Do(func() { close(stop) }) }) })
	}
	group.Wait()
	err := <-readErr
	for _, w := range workers { // the first bad line counts, whoever met it
		if w.err != nil && (err == nil || errors.Is(err, errStopped) || less(w.err, err)) {
			err = w.err
		}
	}
	if err != nil {
		return List{}, nil, err
	}
	return gather(workers, t)
}

var errStopped = errors.New("stopped")

// lineError says where and what.
type lineError struct {
	line int64
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("%s:%d: %v", EntriesFile, e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func less(a, b error) bool {
	x, okX := errors.AsType[*lineError](a)
	y, okY := errors.AsType[*lineError](b)
	return okX && okY && x.line < y.line
}

// readBlocks cuts the file into blocks of whole lines. Buffers come back by spare.
func readBlocks(r io.Reader, blocks chan<- block, spare <-chan []byte, stop <-chan struct{}) error {
	defer close(blocks)
	head := make([]byte, len(listHead))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != listHead {
		return &lineError{1, fmt.Errorf("want the header %q", listHead)}
	}
	var rest []byte // of the block before, already read
	for index := 0; ; index++ {
		var buf []byte
		select {
		case buf = <-spare:
		default:
			buf = make([]byte, blockSize)
		}
		n, count, more, err := readBlock(r, buf, rest, int64(index)*blockLines+2)
		if err != nil || count == 0 {
			return err
		}
		if (index+1)*blockLines > MaxEntries+blockLines {
			return fmt.Errorf("%s: more than %d entries", EntriesFile, MaxEntries)
		}
		rest = append(rest[:0], more...)
		select {
		case blocks <- block{index, buf[:n]}:
		case <-stop:
			return errStopped
		}
		if count < blockLines {
			return nil
		}
	}
}

// blockSize holds a whole block of the longest lines, and one byte before the first.
const blockSize = 1 + blockLines*maxLine

// readBlock fills buf, from its second byte on, with rest and what follows it, and finds
// how far its first blockLines lines reach; more is what was read beyond them. line is the
// number of the first.
func readBlock(r io.Reader, buf, rest []byte, line int64) (end, count int, more []byte, err error) {
	n := 1 + copy(buf[1:], rest)
	got, err := io.ReadFull(r, buf[n:])
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !last {
		return 0, 0, nil, fmt.Errorf("%s: %w", EntriesFile, err)
	}
	n += got
	count, end = bytes.Count(buf[1:n], []byte{'\n'}), n
	if count < blockLines {
		if !last || buf[n-1] != '\n' && n > 1 {
			return 0, 0, nil, badLine(buf[1:n], line)
		}
		return n, count, nil, nil
	}
	for ; count >= blockLines; count-- { // the end of line number blockLines, from behind
		end = bytes.LastIndexByte(buf[1:end], '\n') + 1
	}
	return end + 1, blockLines, buf[end+1 : n], nil
}

// badLine names the first line that is too long, or else the last, which has no end.
func badLine(lines []byte, line int64) error {
	for ; ; line++ {
		end := bytes.IndexByte(lines, '\n')
		if end < 0 || end >= maxLine {
			return &lineError{line, errLength}
		}
		lines = lines[end+1:]
	}
}

var errLength = errors.New("too long, or without a line feed at its end")

// worker computes blocks.
type worker struct {
	terms     Terms
	names     names
	ranker    *ranker // nil: no ranking
	done      map[int]scanned
	strata    []int64
	codes     []int64
	selection *selection
	hashes    [][32]byte
	err       error
}

func newWorker(t Terms, seed *[32]byte) *worker {
	w := &worker{
		terms: t, names: namesOf(t), done: map[int]scanned{},
		strata: make([]int64, max(1, len(t.Strata))), codes: make([]int64, len(t.Institutions)),
		hashes: make([][32]byte, 0, blockLines),
	}
	if seed != nil {
		w.ranker = newRanker(t, *seed)
		w.selection = newSelection(t)
	}
	return w
}

// drain works on blocks until there are no more; after an error it only takes them.
func (w *worker) drain(blocks <-chan block, spare chan<- []byte, fail func()) {
	for b := range blocks {
		if w.err == nil {
			if w.err = w.work(b); w.err != nil {
				fail()
			}
		}
		select {
		case spare <- b.lines[:blockSize]:
		default:
		}
	}
}

func (w *worker) work(b block) error {
	s := scanned{}
	w.hashes = w.hashes[:0]
	for at := 1; at < len(b.lines); {
		end := at + bytes.IndexByte(b.lines[at:], '\n')
		ticket, stratum, code, err := w.names.parseLine(b.lines[at:end])
		if err == nil && s.count > 0 && bytes.Compare(s.last[:], ticket[:]) >= 0 {
			err = errOrder
		}
		if err != nil {
			return &lineError{int64(b.index)*blockLines + s.count + 2, err}
		}
		if s.count == 0 {
			s.first = ticket
		}
		s.last = ticket
		s.count++
		w.strata[stratum]++
		w.codes[code]++
		w.hashes = append(w.hashes, leafHashIn(b.lines[at-1:end]))
		if w.ranker != nil {
			w.selection.offer(w.ranker.key(ticket, stratum), ticket, stratum, code)
		}
		at = end + 1
	}
	s.root = treeHash(w.hashes)
	w.done[b.index] = s
	return nil
}

// gather puts the workers' blocks together in their order.
func gather(workers []*worker, t Terms) (List, *selection, error) {
	list := List{ByStratum: make([]int64, max(1, len(t.Strata))), ByInstitution: make([]int64, len(t.Institutions))}
	blocks := map[int]scanned{}
	var all *selection
	for _, w := range workers {
		for i, s := range w.done {
			blocks[i] = s
		}
		for i, n := range w.strata {
			list.ByStratum[i] += n
		}
		for i, n := range w.codes {
			list.ByInstitution[i] += n
		}
		if w.selection != nil {
			if all == nil {
				all = w.selection
			} else {
				all.merge(w.selection)
			}
		}
	}
	roots := make([][32]byte, len(blocks))
	for i := range roots {
		if i > 0 {
			before, now := blocks[i-1].last, blocks[i].first
			if bytes.Compare(before[:], now[:]) >= 0 {
				return List{}, nil, &lineError{int64(i)*blockLines + 2, errOrder}
			}
		}
		roots[i] = blocks[i].root
		list.Size += blocks[i].count
	}
	list.Root = treeHash(roots)
	return list, all, nil
}
