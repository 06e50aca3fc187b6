package reconcile

import (
	"bytes"
	"slices"

	"dcpos/central/reconcile/spill"
)

// unsettled are lines that have to be read again, by ids that may be equal. They wait until
// there are as many as memory has room for, and are then read in the order of their files: where
// very many lines break, this comes to reading the files once more, not to a read for each of them.
type unsettled struct {
	lines  []suspect
	groups []uint32 // where each ends
	order  []uint64 // side, place, index of a line
	at     []uint32 // where each line's bytes begin in text
	text   []byte   // lines as line.encode has them
}

const (
	bytesPerUnsettled = 256 // what one of them costs, mostly its text
	unsettledBits     = 22  // of an index beside side and place
	leastUnsettled    = 4 * fewSuspects
)

// fewSuspects is how many lines of one id are compared in memory.
const fewSuspects = 16

// resolve takes the lines of one hash of ids, which are no ordinary pair; settle looks at them.
func (j *shardJoin) resolve(group []suspect) error {
	if len(group) > fewSuspects {
		return j.resolveMany(group)
	}
	u := &j.unsettled
	u.lines = append(u.lines, group...)
	u.groups = append(u.groups, uint32(len(u.lines)))
	if most := min(max(j.tuning.again/bytesPerUnsettled, leastUnsettled), 1<<unsettledBits); int64(len(u.lines)) < most-fewSuspects {
		return nil
	}
	return j.settle()
}

// resolveMany sorts the lines on disk: one id may have any number of them.
func (j *shardJoin) resolveMany(group []suspect) error {
	sorter := spill.NewSorter(j.sortDir, j.tuning.leaf)
	defer sorter.Close()
	for _, s := range group {
		if err := j.sortLine(sorter, s.side, s.record); err != nil {
			return err
		}
	}
	return j.walk(sorter)
}

// settle reads the lines that wait and classes them by their full ids.
func (j *shardJoin) settle() error {
	u := &j.unsettled
	if err := u.read(j); err != nil {
		return err
	}
	begin := uint32(0)
	for _, end := range u.groups {
		if err := j.classify(u.lines[begin:end], u.at[begin:end]); err != nil {
			return err
		}
		begin = end
	}
	u.forget()
	return nil
}

func (u *unsettled) forget() { u.lines, u.groups, u.text = u.lines[:0], u.groups[:0], u.text[:0] }

// read reads all lines again, in the order of their places.
func (u *unsettled) read(j *shardJoin) error {
	u.order = u.order[:0]
	for i, s := range u.lines {
		u.order = append(u.order, uint64(s.side)<<(placeBits+unsettledBits)|uint64(s.place())<<unsettledBits|uint64(i))
	}
	slices.Sort(u.order)
	const usual = 80 // bytes of a line
	u.at, u.text = slices.Grow(u.at[:0], len(u.lines))[:len(u.lines)], slices.Grow(u.text[:0], usual*len(u.lines))
	for _, o := range u.order {
		i := o & (1<<unsettledBits - 1)
		var l line
		if err := j.reread(u.lines[i].side, u.lines[i].record, &l); err != nil {
			return err
		}
		u.at[i] = uint32(len(u.text))
		u.text = l.encode(u.text)
	}
	return nil
}

// classify gives the lines of one hash of ids their classes, by their full ids.
func (j *shardJoin) classify(group []suspect, at []uint32) error {
	lines := j.lines[:0]
	for _, from := range at {
		lines = append(lines, line{})
		lines[len(lines)-1].decode(j.unsettled.text[from:])
	}
	j.lines = lines
	done := [fewSuspects]bool{}
	for i := range lines {
		if done[i] {
			continue
		}
		var first [2]*line
		for k := i; k < len(lines); k++ {
			if !bytes.Equal(lines[i].txnID, lines[k].txnID) {
				continue
			}
			done[k] = true
			if err := j.foremost(&first[group[k].side], &lines[k], group[k].side); err != nil {
				return err
			}
		}
		if err := j.pair(first[ours], first[theirs]); err != nil {
			return err
		}
	}
	return nil
}
