package reconcile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/statement"
)

// resultIndex is the index of a result: what joining a shard found.
type resultIndex struct {
	Rows   [2]int64          `json:"rows"`
	Tally  []int64           `json:"tally"`
	Breaks []segment.Section `json:"breaks"` // pairs in the order of breaks.csv, lines without their numbers
	Totals []segment.Section `json:"totals"` // pairs: level and key, total with its breaks
}

// mostInline is how large a result may be that is kept in its note.
const mostInline = 64 << 10

// index gives a portion's index.
func (o *opened) index(ctx context.Context, n int) (*segmentIndex, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.indexes[n] != nil {
		return o.indexes[n], nil
	}
	x, err := o.readSegment(ctx, &o.worker.depot, n)
	o.indexes[n] = x
	return x, err
}

// mark gives where a portion's lines begin.
func (o *opened) mark(ctx context.Context, n int) (*marks, error) {
	x, err := o.index(ctx, n)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.marks[n] == nil {
		b, err := x.Marks.Read(ctx, o.worker.depot.Store, o.Segments[n], o.key)
		if err != nil {
			return nil, err
		}
		o.marks[n] = &marks{b, x.Wide}
	}
	return o.marks[n], nil
}

// partTexts reads lines again for one task.
type partTexts struct {
	*opened
	ctx context.Context //nolint:containedctx // of the task
}

// lineAt implements texts.
func (p partTexts) lineAt(side int, at place, v *view) (*input, int64, []byte, error) {
	n := p.portionOf(side, at)
	part := &p.Portions[n]
	m, err := p.mark(p.ctx, n)
	if err != nil {
		return nil, 0, nil, err
	}
	line := int(at - part.First - 1)
	i := line / statement.MarkEvery
	if i >= m.len() {
		return nil, 0, nil, fmt.Errorf("%s has no line %d: %w", p.Segments[n].Object, line+1, segment.ErrDamaged)
	}
	end := part.End
	if i+1 < m.len() {
		end = part.Begin + m.get(i+1)
	}
	in := p.inputs[part.Text]
	w := v.windows[in]
	if w == nil {
		reader, err := p.reader(p.ctx, part.Text)
		if err != nil {
			return nil, 0, nil, err
		}
		w = statement.NewWindow(reader)
		v.windows[in] = w
	}
	text, err := statement.Nth(w, part.Begin+m.get(i), end, line%statement.MarkEvery, &v.buf)
	return in, 0, text, err
}

// portionOf is the portion in which a place lies: portions are in the order of sides and places.
func (s *spec) portionOf(side int, at place) int {
	behind := sort.Search(len(s.Portions), func(i int) bool {
		of := s.Texts[s.Portions[i].Text].Side
		return of > side || of == side && s.Portions[i].First >= at
	})
	return max(behind-1, 0)
}

// join joins one shard of all segments.
func (w *Worker) join(ctx context.Context, o *opened, shard int) (outcome, error) {
	r, err := w.partRun(o)
	if err != nil {
		return outcome{}, err
	}
	defer r.close()
	r.texts = partTexts{o, ctx}
	memory, _ := w.joins.Get().(*joinMemory)
	if memory == nil {
		memory = new(joinMemory)
	}
	defer w.joins.Put(memory)
	memory.unsettled.forget() // a task that failed may have left some
	leaves, err := o.leaves(ctx, shard, &memory.records)
	if err != nil {
		return outcome{}, err
	}
	j := r.newShardJoin()
	j.joinMemory = memory
	x := resultIndex{}
	for i := range leaves {
		l := &leaves[i]
		l.node = r.plan.add(planNode{})
		for side := range l.sides {
			x.Rows[side] += l.sides[side].Rows
		}
		if err := j.leaf(ctx, *l, 0); err != nil {
			return outcome{}, err
		}
	}
	if err := errors.Join(j.settle(), j.totals.flush()); err != nil {
		return outcome{}, err
	}
	x.Tally = j.tally.numbers()
	out := segment.NewWriter(w.depot.Store, w.tmp, o.key)
	defer out.Close()
	if x.Breaks, err = writePairs(out, r.breaks); err != nil {
		return outcome{}, err
	}
	if x.Totals, err = writePairs(out, r.totals); err != nil {
		return outcome{}, err
	}
	inline := 0
	if w.depot.InPlace { // a bucket of notes is not for that
		inline = mostInline
	}
	ref, err := out.Finish(ctx, kindResult, &x, inline)
	return outcome{Result: &ref}, err
}

// joinMemory is what joining one shard after the other uses again.
type joinMemory struct {
	records   []byte // of a part's shard
	sums      []uint64
	seen      []uint64
	suspects  suspects
	unsettled unsettled
}

// leaves are the lists of a shard, with the records of all portions in memory.
func (o *opened) leaves(ctx context.Context, shard int, memory *[]byte) ([]leaf, error) {
	size, err := o.shardSize(ctx, shard)
	if err != nil {
		return nil, err
	}
	if int64(cap(*memory)) < size {
		*memory = make([]byte, size+size/4) // the next shard is about as large
	}
	rest := (*memory)[:size]
	each := 1 << (o.Depth - o.Shards)
	leaves := make([]leaf, each)
	for n := range o.Portions {
		x, err := o.index(ctx, n)
		if err != nil {
			return nil, err
		}
		section := &x.shards[shard]
		records := rest[:section.Size:section.Size]
		rest = rest[section.Size:]
		if err := section.ReadInto(ctx, o.worker.depot.Store, o.Segments[n], o.key, records); err != nil {
			return nil, err
		}
		part := &o.Portions[n]
		side := o.Texts[part.Text].Side
		for at := 0; at+recordSize <= len(records); at += recordSize {
			// Places are those of the side from here on; they have room, givePlacesTo saw to it.
			second := records[at+8 : at+recordSize]
			binary.LittleEndian.PutUint64(second, binary.LittleEndian.Uint64(second)+uint64(part.First))
		}
		for i := range leaves {
			l := &leaves[i]
			rows := x.rowsOf(shard*each + i)
			if rows*recordSize > int64(len(records)) {
				return nil, fmt.Errorf("read %s: shard %d: %w", o.Segments[n].Object, shard, segment.ErrDamaged)
			}
			l.sides[side].Rows += rows
			l.blocks[side] = append(l.blocks[side], records[:rows*recordSize:rows*recordSize])
			records = records[rows*recordSize:]
		}
	}
	for i := range leaves {
		l := &leaves[i]
		l.prefix, l.depth = uint64(shard*each+i), o.Depth
		for side := range l.blocks {
			if l.blocks[side] == nil {
				l.blocks[side] = [][]byte{}
			}
		}
	}
	return leaves, nil
}

// shardSize is how many bytes of records a shard has.
func (o *opened) shardSize(ctx context.Context, shard int) (size int64, err error) {
	for n := range o.Portions {
		x, err := o.index(ctx, n)
		if err != nil {
			return 0, err
		}
		s := x.shards[shard].Size
		if s < 0 || s > segment.MaxSection {
			return 0, fmt.Errorf("read %s: a section of %d bytes: %w", o.Segments[n].Object, s, segment.ErrDamaged)
		}
		size += s
	}
	return size, nil
}
