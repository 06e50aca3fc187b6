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
	pages := j.store.NewAppender(2 << n)
	j.pages.Keep = false
	for side := range l.sides {
		err := j.each(&l, side, func(records []byte) error {
			for ; len(records) >= recordSize; records = records[recordSize:] {
				rec := readRecord(records)
				part := int(rec.late() << l.late >> (64 - n))
				if err := pages.Add(part*2+side, rec.first, rec.second); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		j.store.Release(l.sides[side])
	}
	lists, err := pages.Finish()
	if err != nil {
		return err
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	j.plan.settle(l.node, outcomeSplit, whyf("needs %d bytes, more than the budget of a shard", "需要 %d 字节,超出单个分片的预算", l.cost()))
	for i := range uint64(1) << n {
		child := leaf{
			sides:  [2]spill.List{lists[2*i], lists[2*i+1]},
			prefix: l.prefix<<n | i, depth: l.depth, late: l.late + n,
		}
		child.node = j.plan.add(planNode{
			Parent: l.node, Rule: fmt.Sprintf("id_hash: part %d of %d", i+1, 1<<n), Expected: l.rows() >> n,
			Observed: child.rows(), Outcome: outcomeEmpty, Why: noLine().EN, WhyZH: noLine().ZH,
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
	j.pages.Keep = false
	for side := range l.sides {
		err := j.each(&l, side, func(records []byte) error {
			for ; len(records) >= recordSize; records = records[recordSize:] {
				if err := j.sortLine(sorter, side, readRecord(records)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		j.store.Release(l.sides[side])
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	return j.walk(sorter)
}

// sortLine reads a line again and adds it to a sorter by (id, side, place).
func (j *shardJoin) sortLine(sorter *spill.Sorter, side int, rec record) error {
	var l line
	if err := j.reread(side, rec, &l); err != nil {
		return err
	}
	j.key = append(append(append(j.key[:0], l.txnID...), 0), byte(side))
	j.key = binary.BigEndian.AppendUint64(j.key, uint64(l.place))
	j.value = l.encode(j.value[:0])
	return sorter.Add(j.key, j.value)
}

// walk pairs the first line of each side of an id; the rest are duplicates.
func (j *shardJoin) walk(sorter *spill.Sorter) error {
	var first [2]*line
	var id []byte
	flush := func() error {
		if first[ours] == nil && first[theirs] == nil {
			return nil
		}
		err := j.pair(first[ours], first[theirs])
		first = [2]*line{}
		return err
	}
	err := sorter.Sorted(func(key, value []byte) error {
		const placeBytes = 8
		side := int(key[len(key)-placeBytes-1])
		l := new(line)
		l.decode(value)
		if !bytes.Equal(l.txnID, id) {
			if err := flush(); err != nil {
				return err
			}
			id = append(id[:0], l.txnID...)
		}
		if first[side] != nil {
			return j.duplicate(side, l)
		}
		l.decode(bytes.Clone(value))
		first[side] = l
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
