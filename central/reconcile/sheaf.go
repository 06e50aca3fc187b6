package reconcile

import (
	"encoding/binary"
	"slices"

	"dcpos/central/reconcile/statement"
)

// sheaf is the records of one portion on their way into its segment: first as they come, and, when
// all are there, list after list. A portion is small enough to be sorted at once, which needs no pages
// and no second look at them; its memory is used for one portion after the other.
type sheaf struct {
	depth         int // of the lists, which the ids' hashes number
	first, second []uint64
	sorted        []byte
	ends          []uint32 // of every list in sorted, in records; how many there are until then
}

// bytesPerSheafed is what one record takes, sorted and not.
const bytesPerSheafed = 8 + 8 + recordSize

// reset makes room for some records of lists so deep.
func (s *sheaf) reset(expected, depth int) {
	s.depth = depth
	s.first, s.second = slices.Grow(s.first[:0], expected), slices.Grow(s.second[:0], expected)
	s.ends = slices.Grow(s.ends[:0], 1<<depth)[:1<<depth]
	clear(s.ends)
}

// add takes records and says whether there is room for more.
func (s *sheaf) add(first, second []uint64, most int) bool {
	for _, word := range first {
		s.ends[word>>(64-s.depth)]++
	}
	s.first, s.second = append(s.first, first...), append(s.second, second...)
	return len(s.first) < most
}

// sort puts the records of a list next to each other, in the order in which they came.
func (s *sheaf) sort() []byte {
	at := uint32(0)
	for i, count := range s.ends {
		s.ends[i] = at
		at += count
	}
	n := len(s.first)
	s.sorted = slices.Grow(s.sorted[:0], n*recordSize)[:n*recordSize]
	second := s.second[:n]
	for i, first := range s.first {
		end := &s.ends[first>>(64-s.depth)]
		record := s.sorted[int(*end)*recordSize:][:recordSize]
		binary.LittleEndian.PutUint64(record, first)
		binary.LittleEndian.PutUint64(record[8:], second[i])
		*end++
	}
	return s.sorted
}

// gather keeps records for the portion's segment. What memory has no room for goes to the lists
// in pages.
func (p *partitioner) gather(first, second []uint64) error {
	most := int(min(p.tuning.ram/bytesPerSheafed, 1<<30))
	if p.sheaf.add(first, second, most) {
		return nil
	}
	return p.overflow()
}

// overflow puts what was gathered into pages.
func (p *partitioner) overflow() error {
	s := p.sheaf
	if p.pages == nil {
		p.pages = p.store.NewAppender(len(s.ends))
	}
	var lists [statement.BatchLines]uint32
	for from := 0; from < len(s.first); from += len(lists) {
		first := s.first[from:min(from+len(lists), len(s.first))]
		for i, word := range first {
			lists[i] = uint32(word >> (64 - s.depth))
		}
		if err := p.pages.Scatter(lists[:len(first)], first, s.second[from:]); err != nil {
			return err
		}
	}
	s.first, s.second = s.first[:0], s.second[:0]
	clear(s.ends)
	return nil
}
