package reconcile

import (
	"context"
	"encoding/binary"
	"fmt"

	"dcpos/central/reconcile/segment"
)

// A brief is a record as segments have it, one word instead of two:
//
//	28 bits of the hash of its txn_id, behind those that number its list · 18 bits of the hash of all that is compared · 18 bits of its line
//
// Eighteen bits take two lines that differ for equal once in 262,144 times. That such a pair is there is told by the
// weights of a list, which are of whole hashes; the list is looked at again then (lookAgain).
type brief uint64

const (
	briefID    = 28
	briefBody  = 18
	briefPlace = 18
	briefSize  = 8
)

// bodyMask are the bits of a brief's body that are used; tests use fewer.
func bodyMask(used int) uint64 { return ^uint64(0) << (briefBody - used) }

func briefOf(depth int, mask, id, body, line uint64) brief {
	return brief(id<<(depth&63)>>(64-briefID)<<(briefBody+briefPlace) | (body>>(64-briefBody)&mask)<<briefPlace | line)
}

// record is what is known of the record. Bits of the id that its list does not share come last, and bits of
// the body first; what is not known is zero.
func (b brief) record(list uint64, before place) record {
	const rest = bodyHigh - briefBody
	return record{
		first:  (list<<briefID|uint64(b>>(briefBody+briefPlace)))<<bodyHigh | uint64(b>>briefPlace&(1<<briefBody-1))<<rest,
		second: uint64(before) + uint64(b&(1<<briefPlace-1)),
	}
}

func readBrief(b []byte) brief { return brief(binary.LittleEndian.Uint64(b)) }

// briefs are the records of a list in one sheaf.
type briefs struct {
	words  []byte
	before place // of the sheaf's lines
}

// proof shows that the lines of a shard which briefs take for equal are equal.
type proof struct {
	depth int
	mask  uint64
	list  uint64 // the first one of the shard
	// unexplained is, by list, what the lines of ours weigh more than those of theirs, less what the lines weigh
	// that were read again. Where it is zero, all that was not read again is equal on both sides.
	unexplained []uint64
	again       bool // lists are looked at a second time
}

// kept is what a segment keeps of a line.
func (p *proof) kept(id, body uint64, at place) record {
	r := briefOf(p.depth, p.mask, id, body, 0).record(id>>(64-p.depth), 0)
	r.second = uint64(at)
	return r
}

// explain takes the weight of a line that was read again away.
func (p *proof) explain(side int, id, weight uint64) {
	p.unexplained[id>>(64-p.depth)-p.list] -= signed(side, weight)
}

// signed is a weight as it counts: theirs is taken away.
func signed(side int, weight uint64) uint64 {
	if side == theirs {
		return -weight
	}
	return weight
}

// weighBriefs is weigh for the lists of segments. A brief weighs its product with itself, which is not linear.
func (j *shardJoin) weighBriefs(l *leaf) {
	const unplaced = ^uint64(1<<briefPlace - 1)
	cells, marks := j.weighed(l.rows())
	for _, run := range l.briefs[ours] {
		for words := run.words; len(words) >= briefSize; words = words[briefSize:] {
			b := readBrief(words)
			id := uint64(b >> (briefBody + briefPlace))
			j.sums[id&(cells-1)] += j.secret.balance(uint64(b)&unplaced, uint64(b)&unplaced)
			j.mark(id, cells, marks)
		}
	}
	for _, run := range l.briefs[theirs] {
		for words := run.words; len(words) >= briefSize; words = words[briefSize:] {
			b := readBrief(words)
			j.sums[uint64(b>>(briefBody+briefPlace))&(cells-1)] -= j.secret.balance(uint64(b)&unplaced, uint64(b)&unplaced)
		}
	}
	j.doubt()
}

// gatherBriefs finds the suspects of a list.
func (s *suspects) gatherBriefs(j *shardJoin, l *leaf) {
	mask, all := uint64(len(j.sums)-1), j.again()
	for side := range l.briefs {
		for _, run := range l.briefs[side] {
			for words := run.words; len(words) >= briefSize; words = words[briefSize:] {
				b := readBrief(words)
				if all || j.sums[uint64(b>>(briefBody+briefPlace))&mask] != 0 {
					s.all = append(s.all, suspect{b.record(l.prefix, run.before), side})
				}
			}
		}
	}
}

// eachBrief gives the records of a list that has to be parted or sorted.
func (l *leaf) eachBrief(side int, each func(records []byte) error) error {
	const atOnce = 16 << 10
	records := make([]byte, 0, atOnce)
	for _, run := range l.briefs[side] {
		for words := run.words; len(words) >= briefSize; words = words[briefSize:] {
			r := readBrief(words).record(l.prefix, run.before)
			records = binary.LittleEndian.AppendUint64(records, r.first)
			records = binary.LittleEndian.AppendUint64(records, r.second)
			if len(records) < atOnce {
				continue
			}
			if err := each(records); err != nil {
				return err
			}
			records = records[:0]
		}
	}
	return each(records)
}

func (j *shardJoin) again() bool { return j.proof != nil && j.proof.again }

// lookAgain settles what waits. Then it reads every line of a list in which something differs that briefs do not tell, but for
// those that were read before.
func (j *shardJoin) lookAgain(ctx context.Context, leaves []leaf) error {
	if err := j.settle(); err != nil {
		return err
	}
	j.proof.again = true
	for i, weight := range j.proof.unexplained {
		if weight == 0 {
			continue
		}
		if err := j.leaf(ctx, leaves[i], 0); err != nil {
			return err
		}
	}
	if err := j.settle(); err != nil {
		return err
	}
	for i, weight := range j.proof.unexplained {
		if weight != 0 {
			return fmt.Errorf("list %d: the lines do not weigh what their segments say: %w", leaves[i].prefix, segment.ErrDamaged)
		}
	}
	return nil
}
