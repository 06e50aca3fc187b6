package reconcile

import (
	"encoding/binary"
	"slices"
)

// sheaf is the records of one portion on their way into its segment: first as they come, and, when
// all are there, list after list. A portion is small enough to be sorted at once, which needs no pages
// and no second look at them; its memory is used for one portion after the other.
type sheaf struct {
	lists         []uint32
	first, second []uint64
	sorted        []byte
	ends          []uint32 // of every list in sorted, in records
}

// bytesPerSheafed is what one record takes, sorted and not.
const bytesPerSheafed = 4 + 8 + 8 + recordSize

// reset makes room for some records of so many lists.
func (s *sheaf) reset(expected, lists int) {
	s.lists = slices.Grow(s.lists[:0], expected)
	s.first, s.second = slices.Grow(s.first[:0], expected), slices.Grow(s.second[:0], expected)
	s.ends = slices.Grow(s.ends[:0], lists)[:lists]
	clear(s.ends)
}

// add takes records and says whether there is room for more.
func (s *sheaf) add(lists []uint32, first, second []uint64, most int) bool {
	s.lists = append(s.lists, lists...)
	s.first, s.second = append(s.first, first...), append(s.second, second...)
	return len(s.lists) < most
}

// sort puts the records of a list next to each other, in the order in which they came.
func (s *sheaf) sort() []byte {
	n := len(s.lists)
	for _, list := range s.lists {
		s.ends[list/2]++
	}
	at := uint32(0)
	for i, count := range s.ends {
		s.ends[i] = at
		at += count
	}
	s.sorted = slices.Grow(s.sorted[:0], n*recordSize)[:n*recordSize]
	first, second := s.first[:n], s.second[:n]
	for i, list := range s.lists {
		at := s.ends[list/2]
		s.ends[list/2] = at + 1
		record := s.sorted[int(at)*recordSize:][:recordSize]
		binary.LittleEndian.PutUint64(record, first[i])
		binary.LittleEndian.PutUint64(record[8:], second[i])
	}
	return s.sorted
}

// gather keeps records for the portion's segment. What memory has no room for goes to the lists
// in pages.
func (p *partitioner) gather(lists []uint32, first, second []uint64) error {
	most := int(min(p.tuning.ram/bytesPerSheafed, 1<<30))
	if p.sheaf.add(lists, first, second, most) {
		return nil
	}
	return p.overflow()
}

// overflow puts what was gathered into pages.
func (p *partitioner) overflow() error {
	if p.pages == nil {
		p.pages = p.store.NewAppender(2 * len(p.sheaf.ends))
	}
	s := p.sheaf
	err := p.pages.Scatter(s.lists, s.first, s.second)
	s.lists, s.first, s.second = s.lists[:0], s.first[:0], s.second[:0]
	return err
}
