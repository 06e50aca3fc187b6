package reconcile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
)

// merge has all shards joined and puts everything together.
func (p *parts) merge(ctx context.Context) error {
	r, s := p.run, &p.spec
	r.breaks, r.rejects = spill.NewSorter(r.sortDir, r.tuning.sort), spill.NewSorter(r.sortDir, r.tuning.sort)
	r.totals = spill.NewSorter(r.sortDir, r.tuning.sort)
	r.store = spill.NewStore(r.sortDir, spill.MinPage, 0)
	p.sums = newLedgerTotals(r.tuning.totals*int64(r.tuning.workers), r.totals)
	indexes, err := p.read(ctx)
	if err != nil {
		return err
	}
	added := make(chan error, 1)
	go func() { added <- p.addTotals(ctx, indexes) }() // while others join
	outcomes, err := p.steps(ctx, doJoin, 1<<s.Shards, func(i int) (string, error) {
		of := []any{doJoin, secretID(s.Secret), s.Tolerance, s.Depth, s.Shards, i}
		for n := range s.Portions {
			if lines := indexes[n].shards[i]; lines.Size > 0 {
				of = append(of, s.Texts[s.Portions[n].Text].Side, s.Portions[n].First, lines.Hash)
			}
		}
		return nameOf(kindStep, of...)
	})
	if err = errors.Join(err, <-added); err != nil {
		return err
	}
	before := p.linesBefore(indexes)
	root := p.plan.add(planNode{Parent: -1, Rule: "all lines", Expected: p.plan.Expected, Observed: p.plan.Observed, Outcome: outcomeSplit})
	why := whyf("expected rows need %d shards", "按预计行数需要 %d 个分片", 1<<s.Shards)
	if p.pinned {
		why = whyf("the rules pin %d shards", "规则指定 %d 个分片", 1<<s.Shards)
	}
	p.plan.settle(root, outcomeSplit, why)
	for i, o := range outcomes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Result == nil {
			return fmt.Errorf("shard %d has no result: %w", i, segment.ErrDamaged)
		}
		if err := p.take(ctx, i, *o.Result, before); err != nil {
			return err
		}
	}
	return p.sums.flush()
}

// read takes what the segments say about the inputs as a whole.
func (p *parts) read(ctx context.Context) ([]*segmentIndex, error) {
	s := &p.spec
	indexes := make([]*segmentIndex, len(s.Segments))
	for n := range s.Segments {
		x, err := s.readSegment(ctx, &p.depot, n)
		if err != nil {
			return nil, err
		}
		var t tally
		if !t.fromNumbers(x.Tally) {
			return nil, fmt.Errorf("read index of %s: %w", s.Segments[n].Object, segment.ErrDamaged)
		}
		p.tally.add(&t)
		p.plan.Observed += x.Rows
		indexes[n] = x
	}
	lines, rows := make([]int64, len(s.Texts)), int64(0)
	for n, x := range indexes {
		lines[s.Portions[n].Text] += x.Lines
	}
	for i := range s.Texts {
		in := p.inputs[i]
		rows += in.expected
		p.plan.Inputs = append(p.plan.Inputs, planInput{
			Side: sideName(in.side), File: in.Path, Bytes: s.Texts[i].Size, Expected: in.expected, Observed: lines[i],
		})
	}
	p.plan.Expected = rows
	return indexes, p.once(indexes)
}

// once refuses a statement that repeats another one.
func (p *parts) once(indexes []*segmentIndex) error {
	type known struct {
		side      int
		rows, sum uint64
	}
	seen := map[known]string{}
	for n, x := range indexes {
		t := &p.spec.Texts[p.spec.Portions[n].Text]
		if !t.Whole || x.Rows == 0 {
			continue
		}
		is := known{t.Side, uint64(x.Rows), x.Sum}
		if other, ok := seen[is]; ok {
			return repeated(t.Name, other)
		}
		seen[is] = t.Name
	}
	return nil
}

func (p *parts) pairs(ctx context.Context, ref segment.Ref, sections []segment.Section, each func(key, value []byte) error) error {
	for _, s := range sections {
		b, err := s.Read(ctx, p.depot.Store, ref, p.key)
		if err != nil {
			return err
		}
		if err := segment.Pairs(b, each); err != nil {
			return fmt.Errorf("read %s: %w", ref.Object, err)
		}
	}
	return nil
}

// linesBefore counts the lines of a portion's text before the portion, its header among them.
func (p *parts) linesBefore(indexes []*segmentIndex) []int64 {
	before := make([]int64, len(indexes))
	of := make([]int64, len(p.spec.Texts))
	for n, x := range indexes {
		text := p.spec.Portions[n].Text
		before[n] = 1 + of[text]
		of[text] += x.Lines
	}
	return before
}

// take adds a shard's result, with the numbers of its lines.
func (p *parts) take(ctx context.Context, shard int, ref segment.Ref, before []int64) error {
	var x resultIndex
	if err := segment.ReadIndex(ctx, p.depot.Store, ref, &x); err != nil {
		return err
	}
	var t tally
	if !t.fromNumbers(x.Tally) {
		return fmt.Errorf("read index of %s: %w", ref.Object, segment.ErrDamaged)
	}
	p.tally.add(&t)
	node := planNode{Parent: 0, Rule: hashRule(uint64(shard), p.spec.Shards), Expected: p.plan.Expected >> p.spec.Shards}
	why := fits()
	node.Observed, node.Outcome = x.Rows[ours]+x.Rows[theirs], outcomeJoined
	if node.Observed == 0 {
		node.Outcome, why = outcomeEmpty, noLine()
	}
	node.Why, node.WhyZH = why.EN, why.ZH
	p.plan.add(node)
	var value []byte
	err := p.pairs(ctx, ref, x.Breaks, func(key, v []byte) error {
		const tail = 2 * 8
		if len(key) < tail+2 || int(key[0]) >= len(kindRanks()) {
			return segment.ErrDamaged
		}
		value = value[:0]
		for side, at := range [2]place{
			place(binary.BigEndian.Uint64(key[len(key)-tail:])), place(binary.BigEndian.Uint64(key[len(key)-tail/2:])),
		} {
			if at == 0 {
				continue
			}
			i := bytes.IndexByte(v, unnumbered[0])
			if i < 0 {
				return segment.ErrDamaged
			}
			n := p.spec.portionOf(side, at)
			number := before[n] + int64(at-p.spec.Portions[n].First)
			value = append(append(value, v[:i]...), lineNumber(p.spec.Texts[p.spec.Portions[n].Text].Index, number, len(p.sides[side]))...)
			v = v[i+1:]
		}
		return p.breaks.Add(key, append(value, v...))
	})
	if err != nil {
		return err
	}
	return p.pairs(ctx, ref, x.Totals, p.sums.take)
}
