package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
)

// merge has all shards joined and puts everything together.
func (p *parts) merge(ctx context.Context) error {
	r, s := p.run, &p.spec
	r.breaks, r.rejects = spill.NewSorter(r.sortDir, r.tuning.sort), spill.NewSorter(r.sortDir, r.tuning.sort)
	r.totals = spill.NewSorter(r.sortDir, r.tuning.sort)
	r.store = spill.NewStore(r.sortDir, spill.MinPage, 0)
	indexes, err := p.read(ctx)
	if err != nil {
		return err
	}
	added := make(chan error, 1)
	go func() { added <- p.addTotals(ctx, indexes) }() // while others join
	outcomes, err := p.steps(ctx, doJoin, 1<<s.Shards, func(i int) (string, error) { return s.joinKey(i, indexes) })
	if err = errors.Join(err, <-added); err != nil {
		return err
	}
	for i, o := range outcomes {
		if o.Result == nil {
			return fmt.Errorf("shard %d has no result: %w", i, segment.ErrDamaged)
		}
	}
	return p.takeAll(ctx, outcomes, p.linesBefore(indexes))
}

// joinKey names the step that joins a shard by what all segments hold of it.
func (s *spec) joinKey(shard int, indexes []*segmentIndex) (string, error) {
	sum, b := sha256.New(), []byte(nil)
	for n := range s.Portions {
		for k := range indexes[n].Sheaves {
			sheaf := &indexes[n].Sheaves[k]
			if sheaf.shard(shard).Size == 0 {
				continue
			}
			b = append(b[:0], byte(s.Texts[s.Portions[n].Text].Side))
			b = binary.LittleEndian.AppendUint64(b, uint64(s.Portions[n].First)+sheaf.Before)
			_, _ = sum.Write(sheaf.named(b, shard, 1<<s.Shards)) // never fails
		}
	}
	return nameOf(kindStep, doJoin, secretID(s.Secret), s.Tolerance, s.Depth, s.Shards, s.Body, shard, sum.Sum(nil))
}

// takeAll adds the shards' results, many at a time, and tells the plan of them.
func (p *parts) takeAll(ctx context.Context, outcomes []*outcome, before []int64) error {
	rows := make([]int64, len(outcomes))
	var next atomic.Int64
	err := p.workers(func(int) error {
		sums := newLedgerTotals(p.tuning.totals, p.totals)
		for i := int(next.Add(1) - 1); i < len(outcomes); i = int(next.Add(1) - 1) {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if rows[i], err = p.take(ctx, *outcomes[i].Result, before, sums); err != nil {
				return err
			}
		}
		return sums.flush()
	})
	if err != nil {
		return err
	}
	root := p.plan.add(planNode{Parent: -1, Rule: "all lines", Expected: p.plan.Expected, Observed: p.plan.Observed, Outcome: outcomeSplit})
	why := whyf("expected rows need %d shards", "按预计行数需要 %d 个分片", 1<<p.spec.Shards)
	if p.pinned {
		why = whyf("the rules pin %d shards", "规则指定 %d 个分片", 1<<p.spec.Shards)
	}
	p.plan.settle(root, outcomeSplit, why)
	for i, observed := range rows {
		node := planNode{Parent: root, Rule: hashRule(uint64(i), p.spec.Shards), Expected: p.plan.Expected >> p.spec.Shards, Observed: observed}
		why := fits()
		if node.Outcome = outcomeJoined; observed == 0 {
			node.Outcome, why = outcomeEmpty, noLine()
		}
		node.Why, node.WhyZH = why.EN, why.ZH
		p.plan.add(node)
	}
	return nil
}

// read takes what the segments say about the inputs as a whole.
func (p *parts) read(ctx context.Context) ([]*segmentIndex, error) {
	s := &p.spec
	indexes := make([]*segmentIndex, len(s.Segments))
	err := p.each(len(indexes), func(n int) (err error) {
		indexes[n], err = s.readSegment(ctx, &p.depot, p.key, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	lines, rows := make([]int64, len(s.Texts)), int64(0)
	for n, x := range indexes {
		var t tally
		if !t.fromNumbers(x.Tally) {
			return nil, fmt.Errorf("read index of %s: %w", s.Segments[n].Object, segment.ErrDamaged)
		}
		p.tally.add(&t)
		p.plan.Observed += x.Rows
		lines[s.Portions[n].Text] += x.Lines - x.Aside
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

// take adds a shard's result, with the numbers of its lines, and says how many lines it had.
func (p *parts) take(ctx context.Context, ref segment.Ref, before []int64, sums *ledgerTotals) (rows int64, err error) {
	var x resultIndex
	if err := segment.ReadIndex(ctx, p.depot.Store, ref, &x); err != nil {
		return 0, err
	}
	var t tally
	if !t.fromNumbers(x.Tally) {
		return 0, fmt.Errorf("read index of %s: %w", ref.Object, segment.ErrDamaged)
	}
	p.addTally(&t)
	var value []byte
	err = p.pairs(ctx, ref, x.Breaks, func(key, v []byte) (err error) {
		if value, err = p.numbered(value[:0], key, v, before); err != nil {
			return err
		}
		return p.breaks.Add(key, value)
	})
	if err != nil {
		return 0, err
	}
	return x.Rows[ours] + x.Rows[theirs], p.pairs(ctx, ref, x.Totals, sums.take)
}

// numbered appends a break's value with the numbers of its lines.
func (p *parts) numbered(b, key, v []byte, before []int64) ([]byte, error) {
	const tail = 2 * 8
	if len(key) < tail+2 || int(key[0]) >= len(kindRanks()) {
		return nil, segment.ErrDamaged
	}
	for side, at := range [2]place{
		place(binary.BigEndian.Uint64(key[len(key)-tail:])), place(binary.BigEndian.Uint64(key[len(key)-tail/2:])),
	} {
		if at == 0 {
			continue
		}
		i := bytes.IndexByte(v, unnumbered[0])
		if i < 0 {
			return nil, segment.ErrDamaged
		}
		n := p.spec.portionOf(side, at)
		number := before[n] + int64(at-p.spec.Portions[n].First)
		b = append(append(b, v[:i]...), lineNumber(p.spec.Texts[p.spec.Portions[n].Text].Index, number, len(p.sides[side]))...)
		v = v[i+1:]
	}
	return append(b, v...), nil
}
