package breaks

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"dcpos/central/reconcile/match"
	"dcpos/pos"
)

// group is the cases of one institution and date that a credit may put together. All of their money
// lies in one account of suspense, so that cancelling them against each other moves none.
type group struct {
	*turn
	bank  string
	date  pos.Date
	cases map[string]*pos.BreakCase
}

// keep holds a case that may be written; one that is held already stays as it is.
func (g *group) keep(c pos.BreakCase) *pos.BreakCase {
	if g.cases[c.ID] == nil {
		g.cases[c.ID] = &c
	}
	return g.cases[c.ID]
}

// dissolve takes back what was cancelled together with c: all of it is for people again.
func (g *group) dissolve(c *pos.BreakCase) error {
	if c.Matched == 0 {
		return nil
	}
	all, err := g.tx.CasesOfParty(g.ctx, c.Party)
	if err != nil {
		return err
	}
	for i := range all {
		m := g.keep(all[i])
		m.Booked -= m.Matched
		m.Matched, m.Party, m.Outcome, m.File = 0, "", match.Broken, ""
		m.Revision++
		g.touched[m.ID] = true
		if m != c {
			g.reopen(m, "与之核销的到账已变化 the net credit that it was matched with has changed")
		}
	}
	return nil
}

// combine looks for the breaks of the statement that the credit shows to be the statement's own errors:
// what it leaves out, or has twice, was credited as it should be. Together they then come to nothing.
// Only if exactly one combination fits are they closed; two or more are shown. While somebody has a
// remedy under way for one of them, they wait.
func (g *group) combine(c *pos.BreakCase, l *Leg) error {
	others, err := g.others(c)
	if err != nil || len(others) == 0 || len(others) > l.MostLines {
		return err
	}
	live, err := g.tx.LiveRemedies(g.ctx)
	if err != nil || slices.ContainsFunc(append(slices.Clone(others), c), func(o *pos.BreakCase) bool { return live[o.ID] != nil }) {
		return err
	}
	sets := combinations(others, -c.Outstanding())
	switch {
	case len(sets) == 1 && l.Resolve:
		g.cancel(append(chosen(others, sets[0]), c), l)
	case len(sets) == 1:
		g.show(c, l, match.Suggested, "对账单中合计相同的差异 breaks of the statement that come to the same: "+named(others, sets))
	case len(sets) > 1:
		g.show(c, l, match.Ambiguous, fmt.Sprintf("有 %d 种组合合计相同 combinations of the statement's breaks come to the same: %s", len(sets), named(others, sets)))
	default:
		g.show(c, l, match.Broken, "对账单中没有合计相同的差异 no breaks of the statement come to the same")
	}
	return nil
}

// others are the institution's breaks of the date that keep money in suspense and that nobody has booked in part.
func (g *group) others(c *pos.BreakCase) ([]*pos.BreakCase, error) {
	all, err := g.tx.CasesOf(g.ctx, g.date)
	if err != nil {
		return nil, err
	}
	var list []*pos.BreakCase
	for i := range all {
		if all[i].Bank != g.bank || all[i].ID == c.ID {
			continue
		}
		o := &all[i]
		if held := g.cases[o.ID]; held != nil {
			o = held
		}
		if o.Kind != pos.CreditMismatch && !o.State.Final() && o.Booked == 0 && o.Outstanding() != 0 {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *pos.BreakCase) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// combinations lists the sets of cases, as bits, whose money comes to sum. There are at most 16 cases.
func combinations(list []*pos.BreakCase, sum pos.Money) (found []uint32) {
	sums := make([]pos.Money, 1<<len(list))
	for s := uint32(1); s < uint32(len(sums)); s++ { //nolint:gosec // 2 to the 16th at most
		low := s & -s
		if sums[s] = sums[s^low] + list[bits.TrailingZeros32(low)].Outstanding(); sums[s] == sum {
			found = append(found, s)
		}
	}
	return found
}

func chosen(list []*pos.BreakCase, set uint32) (out []*pos.BreakCase) {
	for i, c := range list {
		if set>>i&1 == 1 {
			out = append(out, c)
		}
	}
	return out
}

// named names the first combinations for a person.
func named(list []*pos.BreakCase, sets []uint32) string {
	const most = 3
	var all []string
	for _, s := range sets[:min(len(sets), most)] {
		var ids []string
		for _, c := range chosen(list, s) {
			ids = append(ids, c.Txn)
		}
		all = append(all, strings.Join(ids, " + "))
	}
	return strings.Join(all, "; ")
}

// show notes for people what fits.
func (g *group) show(c *pos.BreakCase, l *Leg, outcome match.Outcome, detail string) {
	if c.Outcome == outcome {
		return
	}
	c.Rule, c.Outcome = l.Rule, outcome
	g.note(c, RuleActor, string(outcome), detail)
}

// cancel closes cases that come to nothing together.
func (g *group) cancel(all []*pos.BreakCase, l *Leg) {
	ids := make([]string, len(all))
	txns := make([]string, len(all))
	for i, c := range all {
		ids[i], txns[i] = c.ID, c.Txn
	}
	party := partyOf(ids)
	for _, c := range all {
		held := g.keep(*c)
		held.Matched = held.Outstanding()
		held.Booked += held.Matched
		held.Revision++
		held.Rule, held.Outcome, held.Party, held.File = l.Rule, match.Matched, party, l.File
		g.move(held, RuleActor, "resolved", pos.BreakResolved, fmt.Sprintf("%s: 到账表明对账单有误 the credit shows that the statement was wrong (%s)", l.Rule, strings.Join(txns, ", ")))
	}
}

// write writes what changed.
func (g *group) write() error {
	var list []pos.BreakCase
	for _, id := range slices.Sorted(maps.Keys(g.cases)) {
		list = append(list, *g.cases[id])
	}
	if err := g.tx.PutCases(g.ctx, list); err != nil {
		return err
	}
	return g.tx.AppendEvents(g.ctx, g.events)
}
