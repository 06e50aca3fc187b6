package match

import (
	"math/bits"
	"slices"

	"dcpos/central/reconcile/carry"
	"dcpos/pos"
)

// residual searches what is left of each merchant for sets of lines that cancel. Of a
// merchant with more lines than the rule allows nothing is said.
func (p *pool) residual() {
	for _, list := range by(p.lines, func(l *Line) string {
		if l.Difference() == 0 {
			return ""
		}
		return l.Bank + "\x00" + l.Merchant
	}) {
		if len(list) <= p.rule.MostLines {
			p.sums(list)
		}
	}
}

// sums takes the smallest sets that cancel; where two of them share a line, all of their
// lines are shown as ambiguous.
func (p *pool) sums(list []Line) {
	sets := minimal(list)
	for len(sets) > 0 {
		joined, shared := sets[0], false
		rest := slices.Clone(sets[1:])
		for grown := true; grown; {
			grown = false
			rest = slices.DeleteFunc(rest, func(s uint32) bool {
				if s&joined == 0 {
					return false
				}
				joined, shared, grown = joined|s, true, true
				return true
			})
		}
		outcome := Suggested
		switch {
		case shared:
			outcome = Ambiguous
		case p.rule.Resolve:
			outcome = Matched
		}
		p.take(outcome, members(list, joined))
		sets = rest
	}
}

// minimal lists the sets with lines of both sides that cancel and hold no smaller one, as
// bits, in the order of their size and then their number. list has at most maxResidual lines.
func minimal(list []Line) []uint32 {
	var ours uint32
	sums := make([]pos.Money, 1<<len(list))
	for i := range list {
		if list[i].Side == carry.Ours {
			ours |= 1 << i
		}
	}
	var found []uint32
	for s := uint32(1); s < uint32(len(sums)); s++ { //nolint:gosec // 2 to the 16th at most
		low := s & -s
		sums[s] = sums[s^low] + list[bits.TrailingZeros32(low)].Difference()
		if sums[s] == 0 && s&ours != 0 && s&^ours != 0 {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b uint32) int { return bits.OnesCount32(a) - bits.OnesCount32(b) })
	var least []uint32
	for _, s := range found {
		if !slices.ContainsFunc(least, func(m uint32) bool { return m&s == m }) {
			least = append(least, s)
		}
	}
	return least
}

func members(list []Line, set uint32) []Line {
	var out []Line
	for i := range list {
		if set>>i&1 == 1 {
			out = append(out, list[i])
		}
	}
	return out
}
