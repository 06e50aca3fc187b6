// Package carry follows over the cut-over (日切) what one day's reconciliation left open. A
// line that one side books on T and the other on T+1 is a miss on both days; here the two
// meet. It reads breaks.csv and changes none of it: what it finds is a file of its own,
// and every line of it names the rule that made it.
//
// To add a rule, give it a name of its own and let Day try it after the ones before; a rule
// never touches what an earlier one has taken, and never decides between two candidates.
package carry

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"dcpos/central/reconcile"
	"dcpos/pos"
)

// RulesVersion is part of every rule's name.
const RulesVersion = 1

// Rules of the carry.
type Rules struct {
	Days         int       // how old an open line may grow before it is overdue; 1 or 2 is usual
	ToleranceFen pos.Money // |ours − theirs| up to this is the same amount
}

// The sides of a line.
const (
	Ours   = "ours"
	Theirs = "theirs"
)

// Item is a line whose partner is not there yet.
type Item struct {
	Side     string // who has it
	TxnID    string
	Bank     string
	Merchant string
	Amount   pos.Money
	Status   string // S, F, P or R
	Since    string // settlement date of the run that found it, yyyy-MM-dd
	Line     string // in that run's file
}

// Found is what a rule says about an open line and a line of today.
type Found struct {
	Rule         string
	Ours, Theirs Item
}

// Result of one day. Every miss of the day and every line that was open is in exactly one
// of the lists (a Found holds two).
type Result struct {
	Resolved  []Found // the partner came: no break any more
	Differing []Found // the partner came with another amount or status: for a person
	Ambiguous []Item  // more than one candidate: shown, not resolved
	Open      []Item  // to be carried to the next day
	Overdue   []Item  // older than the rules allow: for a person

	rule string // its name
}

// mostItems bounds what is held in memory: misses of a day and what is open. More means that
// two files of different days were compared.
const mostItems = 1_000_000

// ErrTooMany says that there are more open lines than a cut-over explains.
var ErrTooMany = errors.New("more than a million lines are open: were files of different days compared?")

// Day puts the misses of the day's breaks beside what was open. The same input gives the same
// result, in the order of (since, txn_id, side).
func Day(breaks iter.Seq2[reconcile.Break, error], open []Item, date string, rules Rules) (*Result, error) {
	today, err := time.Parse(time.DateOnly, date)
	if err != nil || rules.Days < 0 || rules.ToleranceFen < 0 {
		return nil, fmt.Errorf("carry: date %q, %d days, tolerance %d fen: want yyyy-MM-dd and nothing negative", date, rules.Days, rules.ToleranceFen)
	}
	items := slices.Clone(open)
	for i := range items {
		since, err := time.Parse(time.DateOnly, items[i].Since)
		if err != nil || !since.Before(today) || items[i].Side != Ours && items[i].Side != Theirs {
			return nil, fmt.Errorf("carry: open line %s of %q is not of a day before %s", items[i].TxnID, items[i].Since, date)
		}
	}
	for b, err := range breaks {
		if err != nil {
			return nil, err
		}
		if item, ok := missing(&b, date); ok {
			items = append(items, item)
		}
		if len(items) > mostItems {
			return nil, ErrTooMany
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.TxnID, b.TxnID), cmp.Compare(a.Since, b.Since), cmp.Compare(a.Side, b.Side))
	})
	r := Result{rule: fmt.Sprintf("carry/%d same txn_id within %d days, %d fen", RulesVersion, rules.Days, rules.ToleranceFen)}
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].TxnID == items[0].TxnID {
			n++
		}
		r.group(items[:n], today, rules)
		items = items[n:]
	}
	r.sort()
	return &r, nil
}

func missing(b *reconcile.Break, date string) (Item, bool) {
	item := Item{TxnID: b.TxnID, Bank: b.Bank, Merchant: b.MerchantID, Since: date}
	var l *reconcile.BreakLine
	switch b.Kind {
	case pos.MissingTheirs:
		item.Side, l = Ours, b.Ours
	case pos.MissingOurs:
		item.Side, l = Theirs, b.Theirs
	case pos.AmountMismatch, pos.StatusMismatch, pos.FieldMismatch, pos.DuplicateOurs, pos.DuplicateTheirs, pos.Matched, pos.CreditMismatch:
	}
	if l == nil {
		return item, false
	}
	item.Amount, item.Status, item.Line = l.Amount, l.Status, l.Line
	return item, true
}

// group decides about all lines of one id.
func (r *Result) group(items []Item, today time.Time, rules Rules) {
	sides := [2]int{}
	for i := range items {
		if items[i].Side == Theirs {
			sides[1]++
			continue
		}
		sides[0]++
	}
	switch {
	case sides[0] > 1 || sides[1] > 1:
		r.Ambiguous = append(r.Ambiguous, items...)
	case sides[0] == 1 && sides[1] == 1:
		r.meet(items[0], items[1], rules)
	case age(items[0].Since, today) > rules.Days:
		r.Overdue = append(r.Overdue, items[0])
	default:
		r.Open = append(r.Open, items[0])
	}
}

func (r *Result) meet(a, b Item, rules Rules) {
	f := Found{Rule: r.rule, Ours: a, Theirs: b}
	if a.Side == Theirs {
		f.Ours, f.Theirs = b, a
	}
	apart := max(a.Amount, b.Amount) - min(a.Amount, b.Amount)
	if apart > rules.ToleranceFen || a.Status != b.Status || a.Bank != b.Bank {
		r.Differing = append(r.Differing, f)
		return
	}
	r.Resolved = append(r.Resolved, f)
}

// age is in days; the dates were checked.
func age(since string, today time.Time) int {
	t, _ := time.Parse(time.DateOnly, since)
	return int(today.Sub(t) / (24 * time.Hour))
}

// Age of an open line on a date, in days.
func (i *Item) Age(date string) int {
	today, _ := time.Parse(time.DateOnly, date)
	return age(i.Since, today)
}

func (r *Result) sort() {
	order := func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.TxnID, b.TxnID), cmp.Compare(a.Side, b.Side))
	}
	for _, list := range [][]Item{r.Ambiguous, r.Open, r.Overdue} {
		slices.SortFunc(list, order)
	}
	for _, list := range [][]Found{r.Resolved, r.Differing} {
		slices.SortFunc(list, func(a, b Found) int { return order(a.Ours, b.Ours) })
	}
}
