package reconcile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"dcpos/central/reconcile/spill"
)

// maxStuck is how many times a shard may be split while nearly everything stays
// together, which one id with very many lines does.
const maxStuck = 2

// split parts a shard that is over budget by further bits of the hash.
func (j *shardJoin) split(ctx context.Context, l leaf, stuck int) error {
	n := 1 // bits that bring the parts within the budget, if ids are spread evenly
	for n < j.tuning.splitBits && l.cost()>>n > j.tuning.leaf*2/3 {
		n++
	}
	shift := uint(64 - l.depth - n)
	mask := uint64(1)<<n - 1
	pages := j.store.NewAppender(2 << n)
	for side := range l.sides {
		err := j.each(&l, side, func(records []byte) error {
			for len(records) > 0 {
				rec := record(records)
				space, err := pages.Space(int(rec.hash()>>shift&mask)*2+side, rec.size())
				if err != nil {
					return err
				}
				records = records[copy(space, records):]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	lists, err := pages.Finish()
	if err != nil {
		return err
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	j.plan.settle(l.node, outcomeSplit, fmt.Sprintf("needs %d bytes, more than the budget of a shard", l.cost()))
	for i := range uint64(1) << n {
		child := leaf{
			sides:  [2]spill.List{lists[2*i], lists[2*i+1]},
			prefix: l.prefix<<n | i, depth: l.depth + n,
		}
		child.node = j.plan.add(planNode{
			Parent: l.node, Rule: hashRule(child.prefix, child.depth), Expected: l.rows() >> n,
			Observed: child.rows(), Outcome: outcomeEmpty, Why: "no line has such an id",
		})
		again := 0
		if child.rows() > l.rows()/2 {
			again = stuck + 1
		}
		if err := j.leaf(ctx, child, again); err != nil {
			return err
		}
	}
	return nil
}

// sortJoin handles what cannot be split: it sorts the lines by (id, side, place) on
// disk and walks through them, so that its memory does not depend on their number.
func (j *shardJoin) sortJoin(l leaf) error {
	sorter := spill.NewSorter(j.sortDir, j.tuning.leaf)
	defer sorter.Close()
	var key []byte
	for side := range l.sides {
		err := j.each(&l, side, func(records []byte) error {
			for len(records) > 0 {
				rec := record(records)
				key = append(append(key[:0], rec.txnID()...), 0, byte(side))
				key = binary.BigEndian.AppendUint64(key, uint64(rec.place()))
				if err := sorter.Add(key, records[:rec.size()]); err != nil {
					return err
				}
				records = records[rec.size():]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	return j.walk(sorter)
}

// walk pairs the first line of each side of an id; the rest are duplicates.
func (j *shardJoin) walk(sorter *spill.Sorter) error {
	var first [2]record
	var id []byte
	flush := func() error {
		if first[ours] == nil && first[theirs] == nil {
			return nil
		}
		err := j.pair(first[ours], first[theirs])
		first = [2]record{}
		return err
	}
	err := sorter.Sorted(func(key, value []byte) error {
		const placeBytes = 8
		side := int(key[len(key)-placeBytes-1])
		if !bytes.Equal(record(value).txnID(), id) {
			if err := flush(); err != nil {
				return err
			}
			id = append(id[:0], record(value).txnID()...)
		}
		if first[side] != nil {
			return j.duplicate(side, value)
		}
		first[side] = bytes.Clone(value)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
