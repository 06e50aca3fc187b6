package reconcile

import (
	"context"
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
	x, err := o.readSegment(ctx, &o.worker.depot, o.key, n)
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
	each := 1 << (o.Depth - o.Shards)
	proof := &proof{depth: o.Depth, mask: bodyMask(o.Body), list: uint64(shard * each), unexplained: make([]uint64, each)}
	leaves, err := o.leaves(ctx, shard, proof, &memory.records)
	if err != nil {
		return outcome{}, err
	}
	j := r.newShardJoin()
	j.joinMemory, j.proof = memory, proof
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
	if err := j.lookAgain(ctx, leaves); err != nil {
		return outcome{}, err
	}
	if err := j.totals.flush(); err != nil {
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
func (o *opened) leaves(ctx context.Context, shard int, p *proof, memory *[]byte) ([]leaf, error) {
	size, err := o.shardSize(ctx, shard)
	if err != nil {
		return nil, err
	}
	if int64(cap(*memory)) < size {
		*memory = make([]byte, size+size/4) // the next shard is about as large
	}
	rest := (*memory)[:size]
	leaves := make([]leaf, len(p.unexplained))
	for i := range leaves {
		l := &leaves[i]
		l.prefix, l.depth, l.brief = p.list+uint64(i), o.Depth, true
	}
	for n := range o.Portions {
		x, err := o.index(ctx, n)
		if err != nil {
			return nil, err
		}
		portion := &o.Portions[n]
		side := o.Texts[portion.Text].Side
		for k := range x.Sheaves {
			s := &x.Sheaves[k]
			section := s.shard(shard)
			words := rest[:section.Size:section.Size]
			rest = rest[section.Size:]
			if err := section.ReadInto(ctx, o.worker.depot.Store, o.Segments[n], o.key, words); err != nil {
				return nil, err
			}
			for i := range leaves {
				list := int(p.list) + i
				size := s.rowsOf(list) * briefSize
				leaves[i].take(side, briefs{words[:size:size], portion.First + place(s.Before)})
				words = words[size:]
				p.unexplained[i] += signed(side, s.weightOf(list))
			}
		}
	}
	return leaves, nil
}

// take adds records of a side.
func (l *leaf) take(side int, b briefs) {
	if len(b.words) > 0 {
		l.sides[side].Rows += int64(len(b.words) / briefSize)
		l.briefs[side] = append(l.briefs[side], b)
	}
}

// shardSize is how many bytes of records a shard has.
func (o *opened) shardSize(ctx context.Context, shard int) (size int64, err error) {
	for n := range o.Portions {
		x, err := o.index(ctx, n)
		if err != nil {
			return 0, err
		}
		for k := range x.Sheaves {
			size += x.Sheaves[k].shard(shard).Size
		}
	}
	if size > segment.MaxSection {
		return 0, fmt.Errorf("shard %d has %d bytes of records: %w", shard, size, segment.ErrDamaged)
	}
	return size, nil
}
