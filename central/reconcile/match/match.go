package match

import (
	"cmp"
	"fmt"
	"slices"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/pos"
)

// Line is one line that its other side lacks.
type Line struct {
	carry.Item
	Orig  string // of a refund: the payment's txn_id
	Batch string
	Clock string // HH:MM:SS in Asia/Shanghai; "" is not known
	Ref   string // the caller's own name for it
}

// Difference is what the line adds to ours − theirs.
func (l *Line) Difference() pos.Money {
	v := l.Amount
	switch l.Status {
	case "S":
	case "R":
		v = -v
	default:
		return 0
	}
	if l.Side == carry.Theirs {
		return -v
	}
	return v
}

// Outcome is what became of a line.
type Outcome = pos.MatchOutcome

// The outcomes; of Matched lines nothing is left to do.
const (
	Matched   Outcome = "matched"   // its partners were found and sum up
	Suggested Outcome = "suggested" // partners that may be: for a person
	Ambiguous Outcome = "ambiguous" // more than one way: shown, not resolved
	Differing Outcome = "differing" // its partner came with another amount or status
	Carried   Outcome = "carried"   // waits for the next day
	Broken    Outcome = "break"     // for a person
)

// Group is lines that a rule puts together.
type Group struct {
	Rule    string
	Outcome Outcome
	Lines   []Line
	// Difference is what the lines leave of ours − theirs; not zero only within a tolerance,
	// or where Outcome is Differing.
	Difference pos.Money
}

// Result is what the rules say. Every line is in exactly one list.
type Result struct {
	Groups  []Group
	Carried []Line // young enough to wait
	Broken  []Line
	carry   string // the rule that carries
}

// Open is the lines that the next day is to look at again: whatever has not met its partner, also
// what waits for a person.
func (r *Result) Open() []carry.Item {
	var items []carry.Item
	add := func(lines []Line) {
		for i := range lines {
			items = append(items, lines[i].Item)
		}
	}
	add(r.Carried)
	add(r.Broken)
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Outcome == Suggested || g.Outcome == Ambiguous {
			add(g.Lines)
		}
	}
	return items
}

// Overdue is the lines of days before that have waited for longer than the rules allow.
func (r *Result) Overdue(today string) []Line {
	return slices.DeleteFunc(slices.Clone(r.Broken), func(l Line) bool { return l.Since >= today })
}

// mostLines bounds what is held in memory.
const mostLines = 1_000_000

// Apply tries the rules on the lines of today and those that are open from days before. The
// same lines give the same result, whatever their order.
func (s *RuleSet) Apply(lines []Line, today string) (*Result, error) {
	if len(lines) > mostLines {
		return nil, carry.ErrTooMany
	}
	p := pool{set: s, today: today, lines: slices.Clone(lines)}
	slices.SortFunc(p.lines, order)
	for _, r := range s.Rules {
		p.rule, p.taken = r, map[Line]bool{}
		switch r.Kind {
		case Refund:
			p.refunds()
		case Netted:
			p.netted()
		case Carry:
			if err := p.carry(); err != nil {
				return nil, err
			}
		case Batch:
			p.batches()
		case Window:
			p.window()
		case Credit: // looks at whole days, when their lines have been said: package breaks does
		case Residual:
			p.residual()
		}
		p.lines = slices.DeleteFunc(p.lines, func(l Line) bool { return p.taken[l] })
	}
	return p.result()
}

func order(a, b Line) int {
	return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.TxnID, b.TxnID), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Ref, b.Ref))
}

// pool is the lines that no rule has taken yet.
type pool struct {
	set    *RuleSet
	rule   Rule
	today  string
	lines  []Line
	taken  map[Line]bool // by the present rule
	groups []Group
}

// take moves lines into a group of the present rule.
func (p *pool) take(outcome Outcome, lines []Line) {
	var sum pos.Money
	for i := range lines {
		sum += lines[i].Difference()
		p.taken[lines[i]] = true
	}
	p.groups = append(p.groups, Group{Rule: p.set.Name(p.rule.ID), Outcome: outcome, Lines: lines, Difference: sum})
}

// equal reports that the lines' differences cancel within the rule's tolerance.
func (p *pool) equal(lines ...[]Line) bool {
	var sum pos.Money
	for _, list := range lines {
		for i := range list {
			sum += list[i].Difference()
		}
	}
	return max(sum, -sum) <= p.rule.ToleranceFen
}

// by groups lines by a key, "" being none, in the order of the keys.
func by(lines []Line, key func(l *Line) string) [][]Line {
	keyed := map[string][]Line{}
	var keys []string
	for i := range lines {
		k := key(&lines[i])
		if k == "" {
			continue
		}
		if keyed[k] == nil {
			keys = append(keys, k)
		}
		keyed[k] = append(keyed[k], lines[i])
	}
	slices.Sort(keys)
	out := make([][]Line, 0, len(keys))
	for _, k := range keys {
		out = append(out, keyed[k])
	}
	return out
}

func sides(lines []Line) (ours, theirs []Line) {
	for _, l := range lines {
		if l.Side == carry.Ours {
			ours = append(ours, l)
		} else {
			theirs = append(theirs, l)
		}
	}
	return ours, theirs
}

// refunds puts refunds of one original and amount together that the sides call differently.
func (p *pool) refunds() {
	for _, list := range by(p.lines, func(l *Line) string {
		if l.Status != "R" || l.Orig == "" {
			return ""
		}
		return fmt.Sprintf("%s\x00%s\x00%d", l.Bank, l.Orig, l.Amount)
	}) {
		ours, theirs := sides(list)
		switch {
		case len(ours) == 0 || len(theirs) == 0:
		case len(ours) == 1 && len(theirs) == 1:
			p.take(Matched, list)
		default:
			p.take(Ambiguous, list)
		}
	}
}

// netted puts a payment to refunds that take all of it back, where the other side shows neither.
func (p *pool) netted() {
	for _, list := range by(p.lines, func(l *Line) string {
		original := l.TxnID
		if l.Status == "R" {
			original = l.Orig
		}
		if original == "" || l.Status != "S" && l.Status != "R" {
			return ""
		}
		return l.Bank + "\x00" + l.Side + "\x00" + original
	}) {
		payments := 0
		for _, l := range list {
			if l.Status == "S" {
				payments++
			}
		}
		if payments == 1 && len(list) > 1 && p.equal(list) {
			p.take(Matched, list)
		}
	}
}

// carry looks for the same id on another day.
func (p *pool) carry() error {
	at := make(map[[4]string]Line, len(p.lines))
	key := func(i *carry.Item) [4]string { return [4]string{i.Side, i.TxnID, i.Since, i.Line} }
	var open []carry.Item
	var today []reconcile.Break
	for _, l := range p.lines {
		at[key(&l.Item)] = l
		if l.Since == p.today {
			today = append(today, miss(&l.Item))
		} else {
			open = append(open, l.Item)
		}
	}
	breaks := func(yield func(reconcile.Break, error) bool) {
		for i := range today {
			if !yield(today[i], nil) {
				return
			}
		}
	}
	r, err := carry.Day(breaks, open, p.today, carry.Rules{Days: p.rule.Days, ToleranceFen: p.rule.ToleranceFen})
	if err != nil {
		return err
	}
	for _, found := range []struct {
		outcome Outcome
		list    []carry.Found
	}{{Matched, r.Resolved}, {Differing, r.Differing}} {
		for _, f := range found.list {
			p.take(found.outcome, []Line{at[key(&f.Ours)], at[key(&f.Theirs)]})
		}
	}
	var unclear []Line
	for i := range r.Ambiguous {
		unclear = append(unclear, at[key(&r.Ambiguous[i])])
	}
	for _, list := range by(unclear, func(l *Line) string { return l.TxnID }) {
		p.take(Ambiguous, list)
	}
	return nil
}

// miss is the break that the line was.
func miss(i *carry.Item) reconcile.Break {
	b := reconcile.Break{Kind: pos.MissingTheirs, TxnID: i.TxnID, Bank: i.Bank, MerchantID: i.Merchant}
	line := &reconcile.BreakLine{Amount: i.Amount, Status: i.Status, Line: i.Line}
	if b.Ours = line; i.Side == carry.Theirs {
		b.Kind, b.Ours, b.Theirs = pos.MissingOurs, nil, line
	}
	return b
}

// batches puts one line to the lines of its batch: a total that one side books where the
// other books each sale. The total carries the batch's number as its own id or as its batch.
func (p *pool) batches() {
	numbers := map[string]bool{}
	for _, l := range p.lines {
		if l.Batch != "" {
			numbers[l.Batch] = true
		}
	}
	for _, list := range by(p.lines, func(l *Line) string {
		number := l.Batch
		if numbers[l.TxnID] {
			number = l.TxnID
		}
		if number == "" || l.Difference() == 0 {
			return ""
		}
		return l.Bank + "\x00" + l.Merchant + "\x00" + number
	}) {
		ours, theirs := sides(list)
		if (len(ours) == 1) != (len(theirs) == 1) && len(ours) > 0 && len(theirs) > 0 && p.equal(ours, theirs) {
			p.take(Matched, list)
		}
	}
}

// result sorts what is left into what may wait and what may not.
func (p *pool) result() (*Result, error) {
	r := &Result{Groups: p.groups}
	days := 0
	for _, rule := range p.set.Rules {
		if rule.Kind == Carry {
			days, r.carry = rule.Days, p.set.Name(rule.ID)
		}
	}
	for _, l := range p.lines {
		if days > 0 && l.Age(p.today) <= days {
			r.Carried = append(r.Carried, l)
		} else {
			r.Broken = append(r.Broken, l)
		}
	}
	return r, nil
}

// CarryRule names the rule of Result.Carried.
func (r *Result) CarryRule() string { return r.carry }
