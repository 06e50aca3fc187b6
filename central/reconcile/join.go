package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"dcpos/central/reconcile/spill"
	"dcpos/pos"
)

// leaf is one shard: the lines of both sides whose id hashes begin with prefix.
type leaf struct {
	sides  [2]spill.List
	prefix uint64
	depth  int
	node   int      // in the plan
	branch bool     // of a pinned split by fields: wanderers have to be taken out
	moved  [2]int64 // lines taken out
}

func (l *leaf) rows() int64 { return l.sides[ours].Rows + l.sides[theirs].Rows }

// cost is the memory that joining the shard takes.
func (l *leaf) cost() int64 {
	return l.sides[ours].Bytes + l.sides[theirs].Bytes + slotBytes*slotsFor(l.rows())
}

const slotBytes = 12

// slotsFor keeps the table at most three quarters full even if no id has a partner.
func slotsFor(rows int64) int64 {
	slots := int64(16)
	for slots*3 < rows*4 {
		slots *= 2
	}
	return slots
}

// join joins every shard, and then the residual ones.
func (r *run) join(ctx context.Context) error {
	if err := r.joinAll(ctx, r.leaves); err != nil || r.branches == nil {
		return err
	}
	return r.joinAll(ctx, r.residue())
}

// joinAll joins shards, the largest first.
func (r *run) joinAll(ctx context.Context, leaves []leaf) error {
	order := make([]int, len(leaves))
	var rows int64
	for i := range order {
		order[i] = i
		rows += leaves[i].rows()
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(leaves[b].rows(), leaves[a].rows()) })
	var next, joined atomic.Int64
	return r.workers(func(int) error {
		j := r.newShardJoin()
		for {
			i := int(next.Add(1) - 1)
			if i >= len(order) {
				break
			}
			l := leaves[order[i]]
			if err := j.leaf(ctx, l, 0); err != nil {
				return err
			}
			done := joined.Add(l.rows())
			r.progress.set(r.size + int64(float64(r.size)*float64(done)/float64(max(rows, 1))))
		}
		r.addTally(&j.tally)
		if err := j.putAside(); err != nil {
			return err
		}
		return j.totals.flush()
	})
}

// shardJoin is one worker of the joining phase. Its memory is used again and again.
type shardJoin struct {
	*run
	tolerance pos.Money
	ranks     map[pos.BreakKind]byte
	indexes   map[pos.BreakKind]int
	totals    *ledgerTotals
	tally     tally
	arena     []byte
	slots     []slot
	key       []byte
	value     []byte
	residual  *spill.Appender
}

// slot holds the first line of one id on each side, as positions in the arena plus one.
type slot struct {
	tag  uint32
	line [2]uint32
}

func (r *run) newShardJoin() *shardJoin {
	j := &shardJoin{
		run: r, tolerance: r.job.Rules.AmountToleranceFen,
		ranks: map[pos.BreakKind]byte{}, indexes: map[pos.BreakKind]int{},
		totals: newLedgerTotals(r.tuning.totals, r.totals),
	}
	if r.branches != nil {
		j.residual = r.store.NewAppender(2 << residualBits)
	}
	for i, kind := range kindRanks() {
		j.ranks[kind] = byte(i)
	}
	for i, kind := range classes() {
		j.indexes[kind] = i
	}
	return j
}

// putAside hands over the lines for the residual shards.
func (j *shardJoin) putAside() error {
	if j.residual == nil {
		return nil
	}
	lists, err := j.residual.Finish()
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.residuals = append(j.residuals, lists)
	return nil
}

// leaf joins a shard, or splits it when it turned out larger than its budget.
func (j *shardJoin) leaf(ctx context.Context, l leaf, stuck int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case l.rows() == 0:
		return nil
	case l.cost() <= j.tuning.leaf:
		j.plan.settle(l.node, outcomeJoined, "fits the budget")
		return j.hashJoin(l)
	case stuck >= maxStuck || l.depth+j.tuning.splitBits > j.tuning.maxDepth:
		j.plan.settle(l.node, outcomeSorted, "over budget, and its lines share ids that no hash can part")
		return j.sortJoin(l)
	}
	return j.split(ctx, l, stuck)
}

// hashJoin reads the shard into memory and pairs its lines.
func (j *shardJoin) hashJoin(l leaf) error {
	if need := int(l.sides[ours].Bytes + l.sides[theirs].Bytes); cap(j.arena) < need {
		j.arena = make([]byte, 0, need)
	}
	j.arena = j.arena[:0]
	if slots := int(slotsFor(l.rows())); cap(j.slots) < slots {
		j.slots = make([]slot, slots)
	} else {
		j.slots = j.slots[:slots]
		clear(j.slots)
	}
	for side := range l.sides {
		begin := len(j.arena)
		err := j.each(&l, side, func(records []byte) error {
			j.arena = append(j.arena, records...)
			return nil
		})
		if err != nil {
			return err
		}
		for at := begin; at < len(j.arena); {
			rec := record(j.arena[at:])
			if err := j.insert(side, at, rec); err != nil {
				return err
			}
			at += rec.size()
		}
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	for i := range j.slots {
		s := &j.slots[i]
		if s.line[ours]|s.line[theirs] == 0 {
			continue
		}
		if err := j.pair(j.at(s.line[ours]), j.at(s.line[theirs])); err != nil {
			return err
		}
	}
	return nil
}

func (j *shardJoin) at(position uint32) record {
	if position == 0 {
		return nil
	}
	return record(j.arena[position-1:])
}

// insert finds the id's slot. Lines come in no order: the first of a side, by file and
// line, takes part; every other one is a duplicate.
func (j *shardJoin) insert(side, at int, rec record) error {
	hash := rec.hash()
	tag := uint32(hash)
	mask := uint64(len(j.slots) - 1)
	for i := hash >> 8 & mask; ; i = (i + 1) & mask {
		s := &j.slots[i]
		if s.line[ours]|s.line[theirs] == 0 {
			s.tag = tag
			s.line[side] = uint32(at) + 1
			return nil
		}
		if s.tag != tag || !bytes.Equal(j.at(max(s.line[ours], s.line[theirs])).txnID(), rec.txnID()) {
			continue
		}
		if s.line[side] == 0 {
			s.line[side] = uint32(at) + 1
			return nil
		}
		further := rec
		if first := j.at(s.line[side]); rec.place() < first.place() {
			further = first
			s.line[side] = uint32(at) + 1
		}
		return j.duplicate(side, further)
	}
}

func (j *shardJoin) duplicate(side int, rec record) error {
	l := rec.line()
	if side == ours {
		return j.found(&finding{kind: pos.DuplicateOurs, ours: &l})
	}
	return j.found(&finding{kind: pos.DuplicateTheirs, theirs: &l})
}

// pair gives the first lines of one id their class; a nil record is a line that is not there.
func (j *shardJoin) pair(a, b record) error {
	switch {
	case b == nil:
		l := a.line()
		return j.found(&finding{kind: pos.MissingTheirs, ours: &l})
	case a == nil:
		l := b.line()
		return j.found(&finding{kind: pos.MissingOurs, theirs: &l})
	}
	la := a.line()
	if bytes.Equal(a.rest(), b.rest()) {
		j.matched(&la, &la)
		return nil
	}
	lb := b.line()
	f := finding{ours: &la, theirs: &lb}
	switch {
	case distance(la.amount, lb.amount) > j.tolerance:
		f.kind = pos.AmountMismatch
	case la.status != lb.status:
		f.kind = pos.StatusMismatch
	default:
		f.kind = pos.FieldMismatch
		if f.differ(); f.field == "" {
			j.matched(&la, &lb)
			return nil
		}
	}
	return j.found(&f)
}

// distance is exact: amounts are never negative.
func distance(a, b pos.Money) pos.Money { return max(a, b) - min(a, b) }

// differ names every field that differs, in the order of the columns' precedence.
func (f *finding) differ() {
	var names, left, right []string
	note := func(name, a, b string) {
		if a != b {
			names, left, right = append(names, name), append(left, a), append(right, b)
		}
	}
	note("bank", string(f.ours.bank), string(f.theirs.bank))
	note("merchant_id", string(f.ours.merchant), string(f.theirs.merchant))
	note("fee_fen", strconv.FormatInt(int64(f.ours.fee), 10), strconv.FormatInt(int64(f.theirs.fee), 10))
	f.field = strings.Join(names, ";")
	f.values = [2]string{strings.Join(left, ";"), strings.Join(right, ";")}
}

// matchedIndex is Matched's place in classes(), which ends with it.
const matchedIndex = 7

func (j *shardJoin) matched(a, b *line) {
	t := &j.tally
	t.class[matchedIndex]++
	t.amount[matchedIndex][ours].add(a.amount)
	t.amount[matchedIndex][theirs].add(b.amount)
	t.matched[a.status]++
	t.tolerated.add(effective(a.status, a.amount) - effective(b.status, b.amount))
}

// found counts a break and keeps it.
func (j *shardJoin) found(f *finding) error {
	t := &j.tally
	class := j.indexes[f.kind]
	t.class[class]++
	var shown *line
	if l := f.theirs; l != nil {
		t.amount[class][theirs].add(l.amount)
		t.breaks.add(-effective(l.status, l.amount))
		shown = l
	}
	if l := f.ours; l != nil {
		t.amount[class][ours].add(l.amount)
		t.breaks.add(effective(l.status, l.amount))
		shown = l
	}
	bank, merchant, err := j.totals.of(shown.bank, shown.merchant)
	if err != nil {
		return err
	}
	bank.breaks++
	merchant.breaks++
	j.key, j.value = f.key(j.ranks[f.kind], j.key), f.value(j.value[:0])
	return j.breaks.Add(j.key, j.value)
}
