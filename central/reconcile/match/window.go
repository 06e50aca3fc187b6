package match

import (
	"fmt"
	"time"

	"dcpos/central/reconcile/carry"
)

// window puts a line to the one of the other side that has its merchant, status and amount under
// another id, when both were made within so many minutes of one another. Statements may have one date
// only, the settlement's, so clocks are compared, over midnight too, and settlement dates may be a day
// apart. Lines without a time take no part. Of more candidates than the rule allows nothing is said.
func (p *pool) window() {
	for _, list := range by(p.lines, func(l *Line) string {
		if l.Clock == "" || l.Difference() == 0 {
			return ""
		}
		return fmt.Sprintf("%s\x00%s\x00%s\x00%d", l.Bank, l.Merchant, l.Status, l.Amount)
	}) {
		if ours, theirs := sides(list); len(ours) > 0 && len(theirs) > 0 && len(list) <= p.rule.MostLines {
			p.pairs(list)
		}
	}
}

// pairs takes what hangs together by nearness: two lines are a pair, more are shown.
func (p *pool) pairs(list []Line) {
	seen := make([]bool, len(list))
	for i := range list {
		if seen[i] {
			continue
		}
		seen[i] = true
		together := []Line{list[i]}
		for reached := []int{i}; len(reached) > 0; reached = reached[1:] {
			for j := range list {
				if !seen[j] && p.near(&list[reached[0]], &list[j]) {
					seen[j] = true
					together, reached = append(together, list[j]), append(reached, j)
				}
			}
		}
		switch {
		case len(together) == 1:
		case len(together) > 2:
			p.take(Ambiguous, together)
		case p.rule.Resolve:
			p.take(Matched, together)
		default:
			p.take(Suggested, together)
		}
	}
}

// near reports that two lines of different sides may be one trade.
func (p *pool) near(a, b *Line) bool {
	if a.Side == b.Side {
		return false
	}
	atA, err1 := time.Parse(time.TimeOnly, a.Clock)
	atB, err2 := time.Parse(time.TimeOnly, b.Clock)
	if err1 != nil || err2 != nil {
		return false
	}
	apart := atA.Sub(atB).Abs()
	apart = min(apart, 24*time.Hour-apart)
	days := (&carry.Item{Since: a.Since}).Age(b.Since)
	return apart <= time.Duration(p.rule.Minutes)*time.Minute && max(days, -days) <= 1
}
