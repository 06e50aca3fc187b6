package reconcile

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/statement"
)

// sheaf is the records of some hundred thousand lines of a portion on their way into its segment: first as they come,
// and then list after list. That is few enough to be sorted at once, in memory that is used for one sheaf after the other.
type sheaf struct {
	depth   int    // of the lists, which the ids' hashes number
	mask    uint64 // of bodies
	most    int    // records
	before  uint64 // the line before its first one
	lists   []uint16
	briefs  []uint64
	sorted  []byte
	ends    []uint32 // of every list in sorted, in records; how many there are until then
	weights []uint64 // of every list's lines
}

// bytesPerSheafed is what one record takes, sorted and not.
const bytesPerSheafed = 2 + 8 + briefSize

// reset makes room for the first of some expected records.
func (s *sheaf) reset(depth int, mask uint64, expected, most int64) {
	s.depth, s.mask = depth, mask
	s.most = int(max(min(most, 1<<briefPlace), statement.BatchLines))
	n := int(min(expected, int64(s.most)))
	s.lists, s.briefs = slices.Grow(s.lists[:0], n), slices.Grow(s.briefs[:0], n)
	s.ends = slices.Grow(s.ends[:0], 1<<depth)[:1<<depth]
	s.weights = slices.Grow(s.weights[:0], 1<<depth)[:1<<depth]
	s.empty()
}

func (s *sheaf) empty() {
	s.lists, s.briefs = s.lists[:0], s.briefs[:0]
	clear(s.ends)
	clear(s.weights)
}

// full says that records up to this line do not fit beside those that are there.
func (s *sheaf) full(more int, last uint64) bool {
	return len(s.briefs) > 0 && (len(s.briefs)+more > s.most || last-s.before >= 1<<briefPlace)
}

// add takes lines by the hashes of their ids and bodies.
func (s *sheaf) add(key *secret, ids, bodies, lines []uint64) {
	if len(s.briefs) == 0 {
		s.before = lines[0] - 1
	}
	at, n := len(s.briefs), len(s.briefs)+len(ids)
	s.lists, s.briefs = slices.Grow(s.lists, len(ids))[:n], slices.Grow(s.briefs, len(ids))[:n]
	lists, words := s.lists[at:n], s.briefs[at:n]
	bodies, lines, words = bodies[:len(lists)], lines[:len(lists)], words[:len(lists)]
	depth, before, mask := s.depth&63, s.before, s.mask
	for i, id := range ids[:len(lists)] {
		list := id >> ((64 - depth) & 63)
		lists[i] = uint16(list)
		words[i] = uint64(briefOf(depth, mask, id, bodies[i], lines[i]-before))
		s.ends[list]++
		s.weights[list] += key.balance(id, bodies[i])
	}
}

// sort puts the records of a list next to each other, in the order in which they came.
func (s *sheaf) sort() []byte {
	at := uint32(0)
	for i, count := range s.ends {
		s.ends[i] = at
		at += count
	}
	n := len(s.briefs)
	s.sorted = slices.Grow(s.sorted[:0], n*briefSize)[:n*briefSize]
	lists := s.lists[:n]
	for i, word := range s.briefs {
		end := &s.ends[lists[i]]
		binary.LittleEndian.PutUint64(s.sorted[int(*end)*briefSize:], word)
		*end++
	}
	return s.sorted
}

// segmentWriter writes a portion's sheaves.
type segmentWriter struct {
	out    *segment.Writer
	index  segmentIndex
	shards int // bits of lists
}

// gather keeps the records of lines for the portion's segment.
func (p *partitioner) gather(ids, bodies, lines []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	if p.sheaf.full(len(ids), lines[len(lines)-1]) {
		if err := p.bind(); err != nil {
			return err
		}
	}
	p.sheaf.add(p.secret, ids, bodies, lines)
	return nil
}

// bind writes the sheaf and begins another one.
func (p *partitioner) bind() error {
	s, x := p.sheaf, &p.segment.index
	if len(s.briefs) == 0 {
		return nil
	}
	words := s.sort()
	each := len(s.ends) >> p.segment.shards
	ends := make([]int, 0, len(s.ends)/each)
	heads := make([]byte, 0, headsSize(len(s.ends), len(s.ends)/each))
	before := uint32(0)
	for i, end := range s.ends {
		heads = binary.LittleEndian.AppendUint32(heads, end-before)
		if before = end; (i+1)%each == 0 {
			ends = append(ends, int(end)*briefSize)
		}
	}
	for _, weight := range s.weights {
		heads = binary.LittleEndian.AppendUint64(heads, weight)
		x.Sum += weight
	}
	sections, err := p.segment.out.Sections(words, ends)
	if err != nil {
		return err
	}
	for _, of := range sections {
		heads = append(heads, of.Hash...)
	}
	x.Rows += int64(len(s.briefs))
	bound := sheafIndex{Before: s.before, At: sections[0].At}
	bound.Heads, err = p.segment.out.Section(func(to io.Writer) error {
		_, err := to.Write(heads)
		return err
	})
	x.Sheaves = append(x.Sheaves, bound)
	s.empty()
	return err
}

// sheafIndex is a sheaf in a segment: its records, list after list, and before what they are read by.
type sheafIndex struct {
	Before uint64          `json:"before"` // the line of the portion before its first one
	At     int64           `json:"at"`     // where its records begin
	Heads  segment.Section `json:"heads"`

	counts  []byte // how many records a list has: 32 bits each
	weights []byte // of lists' lines, of whole hashes: 64 bits each
	prints  []byte // fingerprints of shards' records
	ends    []int64
}

const (
	countSize  = 4
	weightSize = 8
)

func headsSize(lists, shards int) int { return lists*(countSize+weightSize) + shards*segment.PrintSize }

func (s *sheafIndex) rowsOf(list int) int64 {
	return int64(binary.LittleEndian.Uint32(s.counts[countSize*list:]))
}

func (s *sheafIndex) weightOf(list int) uint64 {
	return binary.LittleEndian.Uint64(s.weights[weightSize*list:])
}

// shard is where a shard's records are.
func (s *sheafIndex) shard(i int) segment.Section {
	begin := int64(0)
	if i > 0 {
		begin = s.ends[i-1]
	}
	const size = segment.PrintSize
	return segment.Section{At: s.At + begin, Size: s.ends[i] - begin, Hash: s.prints[size*i : size*(i+1) : size*(i+1)]}
}

// named is what a shard's result follows from.
func (s *sheafIndex) named(b []byte, shard, shards int) []byte {
	each := len(s.weights) / shards
	return append(append(b, s.shard(shard).Hash...), s.weights[shard*each:(shard+1)*each]...)
}

// read reads what stands before the records.
func (s *sheafIndex) read(ctx context.Context, from segment.Store, ref segment.Ref, key segment.Key, lists, shards int) error {
	if s.Heads.Size != int64(headsSize(lists, shards)) || s.At < 0 {
		return fmt.Errorf("read index of %s: %w", ref.Object, segment.ErrDamaged)
	}
	b, err := s.Heads.Read(ctx, from, ref, key)
	if err != nil {
		return err
	}
	s.counts, b = b[:lists*countSize], b[lists*countSize:]
	s.weights, s.prints = b[:lists*weightSize], b[lists*weightSize:]
	at := int64(0)
	for list := range lists {
		if at += s.rowsOf(list) * briefSize; (list+1)%(lists/shards) == 0 {
			s.ends = append(s.ends, at)
		}
	}
	return nil
}
