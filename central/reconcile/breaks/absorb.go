package breaks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dcpos/central/ledger"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/central/reconcile/match"
	"dcpos/pos"
)

// Says answers for every break of a day's breaks.csv, in its order, what became of it.
func (d *Desk) Says(ctx context.Context, date pos.Date) (func(b *reconcile.Break) match.Said, error) {
	at := map[string]pos.BreakCase{}
	err := d.cfg.Store.BreakTx(ctx, func(tx Tx) error {
		clear(at)
		all, err := tx.CasesOf(ctx, date)
		for i := range all {
			at[all[i].ID] = all[i]
		}
		return err
	})
	n := names{date: date}
	return func(b *reconcile.Break) match.Said {
		c := at[n.of(b)]
		return match.Said{Rule: c.Rule, Outcome: c.Outcome, Group: c.Party}
	}, err
}

// mostCases bounds what one day may make work of.
const mostCases = 200_000

// ErrTooMany says that no person can work on so many breaks.
var ErrTooMany = errors.New("more than 200,000 breaks: were files of different days compared?")

// Day is what a run found, for Absorb.
type Day struct {
	Date  pos.Date
	Files map[string]string // SHA-256 of the statement, by institution: those that took part
	Rules *match.RuleSet
	// Breaks is the run's breaks.csv.
	Breaks string
	// Misses are match.Misses of the run.
	Misses []match.Line
}

// Absorb makes cases of a day's breaks and lets the rules close what they can. It thinks over one
// snapshot and writes in transactions of bounded size; a case goes with all that it posts and with the
// cases that it was matched with, so that the books hold at every commit. Cut off, it is done again and
// goes on; what a person did meanwhile makes it think again. Work that was done stays: a break that is still there keeps its case, one that
// is gone from a corrected file resolves it, one that a person has remedied and whose money is
// no longer right is opened again. The same day again changes nothing.
func (d *Desk) Absorb(ctx context.Context, day Day) error {
	found, err := day.breaks()
	if err != nil {
		return err
	}
	for range thoughts {
		if err = d.absorb(ctx, day, found); !errors.Is(err, errStale) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("make cases of %s: %w", day.Date, err)
	}
	return nil
}

// thoughts bounds how often Absorb begins anew because people work on the same cases.
const thoughts = 20

func (d *Desk) absorb(ctx context.Context, day Day, found []reconcile.Break) error {
	var t *absorb
	err := d.cfg.Store.BreakView(ctx, func(tx Tx) error {
		t = &absorb{
			turn: d.turn(ctx, tx), day: day, cases: map[string]*pos.BreakCase{}, read: map[string]pos.BreakCase{}, bound: map[string]string{},
		}
		if err := t.load(found); err != nil {
			return err
		}
		lines, err := t.lines()
		if err != nil {
			return err
		}
		result, err := day.Rules.Apply(lines, string(day.Date))
		if err != nil {
			return err
		}
		return t.apply(result)
	})
	if err != nil {
		return err
	}
	for _, part := range t.parts(d.cfg.Part) {
		if err := d.cfg.Store.BreakTx(ctx, func(tx Tx) error { return t.write(tx, part) }); err != nil {
			return err
		}
	}
	return nil
}

func (day *Day) breaks() ([]reconcile.Break, error) {
	var found []reconcile.Break
	for b, err := range reconcile.ReadBreaks(day.Breaks) {
		if err != nil {
			return nil, err
		}
		if found = append(found, b); len(found) > mostCases {
			return nil, ErrTooMany
		}
	}
	return found, nil
}

// absorb is one day on its way into the store.
type absorb struct {
	turn
	day      Day
	order    []string
	cases    map[string]*pos.BreakCase
	read     map[string]pos.BreakCase // as they were read; none of a fresh case
	bound    map[string]string        // a case to one that is written with it
	live     map[string]*pos.Remedy   // by case: proposed or executing
	items    []posting
	remedies []pos.Remedy // that were withdrawn
	met      []string     // cases whose claims were met
}

// posting is what a case moves.
type posting struct {
	owner string
	ledger.Item
}

// load reads the day's cases, writes the breaks into them, and brings suspense to what they say.
func (t *absorb) load(found []reconcile.Break) error {
	have, err := t.tx.CasesOf(t.ctx, t.day.Date)
	if err != nil {
		return err
	}
	for i := range have {
		t.known(&have[i])
	}
	if t.live, err = t.tx.LiveRemedies(t.ctx); err != nil {
		return err
	}
	n := names{date: t.day.Date}
	present := make(map[string]bool, len(found))
	misses := make(map[string]*match.Line, len(t.day.Misses))
	for i := range t.day.Misses {
		misses[t.day.Misses[i].Side+t.day.Misses[i].TxnID] = &t.day.Misses[i]
	}
	for i := range found {
		id := n.of(&found[i])
		present[id] = true
		if err := t.found(id, &found[i], misses); err != nil {
			return err
		}
	}
	for _, id := range slices.Clone(t.order) {
		c := t.cases[id]
		if _, part := t.day.Files[c.Bank]; part && !present[id] && c.Kind != pos.CreditMismatch && c.Outcome != pos.OutcomeGone {
			if err := t.gone(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// known keeps a case that was read.
func (t *absorb) known(c *pos.BreakCase) {
	if _, ok := t.read[c.ID]; !ok {
		t.read[c.ID] = *c
	}
	t.keep(c)
}

func (t *absorb) keep(c *pos.BreakCase) {
	if t.cases[c.ID] == nil {
		t.order = append(t.order, c.ID)
		t.cases[c.ID] = c
	}
}

func (t *absorb) found(id string, b *reconcile.Break, misses map[string]*match.Line) error {
	c := t.cases[id]
	fresh := c == nil
	if fresh {
		c = &pos.BreakCase{ID: id, Date: t.day.Date, State: pos.BreakOpen, OpenedMS: t.now, Rule: t.day.Rules.Made(b.Kind), Outcome: match.Broken}
		t.keep(c)
	}
	before := *c
	describe(c, b)
	if fresh {
		t.note(c, RuleActor, "opened", c.Rule)
	} else {
		c.Bank = before.Bank // its suspense lies there
	}
	if line := misses[sideOf(b.Kind)+b.TxnID]; line != nil {
		c.Batch, c.Orig, c.Clock = line.Batch, line.Orig, line.Clock
	}
	changed := before.Kind != c.Kind || before.Difference != c.Difference || before.Fees != c.Fees
	if changed && !fresh {
		t.note(c, RuleActor, "changed", fmt.Sprintf("%s ¥%s → %s ¥%s", before.Kind.Text().Both(), before.Difference+before.Fees,
			c.Kind.Text().Both(), c.Difference+c.Fees))
		if err := t.dissolve(c); err != nil {
			return err
		}
		t.withdraw(c, "差异已变化 the break has changed")
		c.Rule, c.Outcome = t.day.Rules.Made(b.Kind), match.Broken
	}
	t.suspend(c, before.Difference, before.Fees)
	if c.State.Final() && (c.Outstanding() != 0 || before.Outcome == pos.OutcomeGone) {
		c.Outcome = match.Broken
		t.reopen(c, "差异再次出现 the break is there again")
	}
	return nil
}

// sideOf is the side of the line that a miss is about; "" where both have one.
func sideOf(kind pos.BreakKind) string {
	switch kind {
	case pos.MissingTheirs:
		return carry.Ours
	case pos.MissingOurs:
		return carry.Theirs
	case pos.AmountMismatch, pos.StatusMismatch, pos.FieldMismatch, pos.DuplicateOurs, pos.DuplicateTheirs, pos.Matched, pos.CreditMismatch:
	}
	return ""
}

// dissolve takes back what a group has cancelled, because a line of it has changed: its other
// lines wait for a partner again.
func (t *absorb) dissolve(c *pos.BreakCase) error {
	if c.Matched == 0 {
		return nil
	}
	party := c.Party
	all, err := t.tx.CasesOfParty(t.ctx, party)
	if err != nil {
		return err
	}
	tr := ledger.Transaction{Date: t.today}
	var sum pos.Money
	revisions := 0
	for i := range all {
		t.known(&all[i])
		m := t.cases[all[i].ID]
		t.bind(c.ID, m.ID)
		tr.Postings = append(tr.Postings, ledger.Posting{Account: ledger.SuspenseBreaks(m.Bank, m.Date), Amount: m.Matched})
		sum += m.Matched
		m.Booked -= m.Matched
		m.Matched, m.Party, m.Outcome, m.File = 0, "", match.Broken, ""
		m.Revision++
		revisions += m.Revision
		t.touched[m.ID] = true
		if m != c {
			t.reopen(m, "与之核销的明细已变化 a line that it was matched with has changed")
		}
	}
	tr.Key = fmt.Sprintf("unmatch:%s:%d", party, revisions)
	tr.Postings = append(tr.Postings, ledger.Posting{Account: ledger.Rounding(c.Bank), Amount: -sum})
	return t.postShort(c.ID, tr)
}

// postShort posts what may name an account many times.
func (t *absorb) postShort(owner string, tr ledger.Transaction) error {
	normal, err := tr.Normal()
	if err != nil || len(normal.Postings) == 0 { // within one institution and date nothing moves
		return err
	}
	t.post(owner, normal)
	return nil
}

// suspend posts what the case's differences moved by since they were so much.
func (t *absorb) suspend(c *pos.BreakCase, difference, fees pos.Money) {
	if c.Difference == difference && c.Fees == fees {
		return
	}
	c.Revision++
	t.touched[c.ID] = true
	t.post(c.ID, ledger.Broken(fmt.Sprintf("break:%s:%d", c.ID, c.Revision), c.Bank, c.Date, c.Difference-difference, c.Fees-fees))
}

func (t *absorb) post(owner string, tr ledger.Transaction) {
	t.items = append(t.items, posting{owner, ledger.Item{Transaction: tr}})
}

// bind has two cases written in one transaction.
func (t *absorb) bind(a, b string) {
	if a, b = t.root(a), t.root(b); a != b {
		t.bound[b] = a
	}
}

// root is the case that stands for all that are bound together.
func (t *absorb) root(id string) string {
	for t.bound[id] != "" {
		id = t.bound[id]
	}
	return id
}

// gone resolves a case whose break a later statement no longer shows.
func (t *absorb) gone(c *pos.BreakCase) error {
	if err := t.dissolve(c); err != nil {
		return err
	}
	difference, fees := c.Difference, c.Fees
	c.Difference, c.Fees = 0, 0
	t.suspend(c, difference, fees)
	t.unclaim(c)
	c.File, c.Outcome, c.ChangedMS = t.day.Files[c.Bank], pos.OutcomeGone, t.now
	t.touched[c.ID] = true
	if c.Outstanding() != 0 {
		t.reopen(c, "处理之后对账单已更正,入账过多 the statement was corrected after the remedy: what was booked is too much now")
		return nil
	}
	t.withdraw(c, "差异已消失 the break is gone")
	t.move(c, RuleActor, "resolved", pos.BreakResolved, "对账单中已无此差异 the break is gone from the statement")
	return nil
}

// withdraw ends a proposal that has lost its object.
func (t *absorb) withdraw(c *pos.BreakCase, why string) {
	if r := t.live[c.ID]; r != nil && r.State == pos.RemedyProposed {
		r.State, r.Detail, r.ChangedMS = pos.RemedyRejected, why, t.now
		t.remedies = append(t.remedies, *r)
		t.note(c, RuleActor, "remedy_withdrawn", why)
		delete(t.live, c.ID)
	}
}

// unclaim takes a claim back that the institution has met.
func (t *absorb) unclaim(c *pos.BreakCase) {
	if c.Claimed == 0 {
		return
	}
	c.Revision++
	t.post(c.ID, ledger.Adjusted(fmt.Sprintf("break:%s:%d", c.ID, c.Revision), c.Bank, c.Date, ledger.Claim(c.Bank), -c.Claimed, t.today))
	c.Booked -= c.Claimed
	t.note(c, RuleActor, "claim_met", "¥"+c.Claimed.String())
	c.Claimed = 0
	t.met = append(t.met, c.ID)
}

// lines are what the rules look at: the day's misses that nobody has closed, and the open
// ones of days before. A claim still waits for its partner.
func (t *absorb) lines() ([]match.Line, error) {
	var lines []match.Line
	add := func(c *pos.BreakCase) {
		line, ok := lineOf(c)
		if _, part := t.day.Files[c.Bank]; ok && part && c.Date <= t.day.Date && (!c.State.Final() || c.Claimed != 0) {
			lines = append(lines, line)
		}
	}
	for _, id := range t.order {
		add(t.cases[id])
	}
	before, err := t.tx.OpenBefore(t.ctx, t.day.Date, mostCases)
	if err != nil {
		return nil, err
	}
	for i := range before {
		t.known(&before[i])
		add(&before[i])
	}
	return lines, nil
}

// apply does what the rules say.
func (t *absorb) apply(r *match.Result) error {
	for i := range r.Groups {
		g := &r.Groups[i]
		party := t.party(g)
		if g.Outcome == match.Matched {
			if err := t.cancel(g, party); err != nil {
				return err
			}
			continue
		}
		for _, l := range g.Lines {
			c := t.cases[l.Ref]
			if c.Party != party || c.Outcome != g.Outcome {
				c.Rule, c.Outcome, c.Party = g.Rule, g.Outcome, party
				t.note(c, RuleActor, string(g.Outcome), g.String())
			}
			t.overdue(c)
		}
	}
	for _, l := range r.Carried {
		if c := t.cases[l.Ref]; c.State == pos.BreakOpen {
			c.Rule, c.Outcome = r.CarryRule(), match.Carried
			t.move(c, RuleActor, "carried", pos.BreakCarried, c.Rule)
		}
	}
	for _, l := range r.Broken {
		if c := t.cases[l.Ref]; t.overdue(c) && c.Outcome == match.Carried {
			c.Outcome = match.Broken
		}
	}
	return nil
}

// overdue opens a carried case whose time is over, or whose partner came otherwise.
func (t *absorb) overdue(c *pos.BreakCase) bool {
	if c.State != pos.BreakCarried || c.Until != "" && c.Until >= t.day.Date {
		return false
	}
	t.move(c, RuleActor, "overdue", pos.BreakOpen, "逾期未到 nothing came in time")
	return true
}

// party names a group by its members.
func (t *absorb) party(g *match.Group) string {
	refs := make([]string, len(g.Lines))
	for i, l := range g.Lines {
		refs[i] = l.Ref
	}
	return partyOf(refs)
}

func partyOf(ids []string) string {
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(strings.Join(ids, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// cancel takes the money of a group out of suspense, line against line; what a tolerance let
// pass goes to rounding. A group with a line on which something is under way, or that a
// person has booked in part, waits.
func (t *absorb) cancel(g *match.Group, party string) error {
	for _, l := range g.Lines {
		c := t.cases[l.Ref]
		if r := t.live[c.ID]; c.Booked != c.Claimed || r != nil && r.State == pos.RemedyExecuting {
			return nil
		}
	}
	tr := ledger.Transaction{Date: t.today}
	var sum pos.Money
	revisions := 0
	for _, l := range g.Lines {
		c := t.cases[l.Ref]
		t.bind(g.Lines[0].Ref, c.ID)
		t.unclaim(c)
		t.withdraw(c, "对应已到 the partner came")
		c.Matched = c.Outstanding()
		tr.Postings = append(tr.Postings, ledger.Posting{Account: ledger.SuspenseBreaks(c.Bank, c.Date), Amount: -c.Matched})
		sum += c.Matched
		c.Booked += c.Matched
		c.Revision++
		revisions += c.Revision
		c.Rule, c.Outcome, c.Party, c.File = g.Rule, match.Matched, party, t.day.Files[c.Bank]
		t.move(c, RuleActor, "resolved", pos.BreakResolved, g.String())
	}
	tr.Key = fmt.Sprintf("match:%s:%d", party, revisions)
	tr.Postings = append(tr.Postings, ledger.Posting{Account: ledger.Rounding(g.Lines[0].Bank), Amount: sum})
	return t.postShort(g.Lines[0].Ref, tr)
}

// part is what one transaction writes.
type part struct {
	cases    []string
	items    []ledger.Item
	remedies []pos.Remedy
	met      []string
	events   []pos.BreakEvent
}

// parts divides what changed into transactions of about size cases; what is bound together stays together.
func (t *absorb) parts(size int) []*part {
	var all []*part
	of := map[string]*part{} // by root
	at := func(id string) *part {
		root := t.root(id)
		if of[root] == nil {
			if len(all) == 0 || len(all[len(all)-1].cases) >= size {
				all = append(all, new(part))
			}
			of[root] = all[len(all)-1]
		}
		return of[root]
	}
	for _, id := range t.order {
		if t.touched[id] {
			p := at(id)
			p.cases = append(p.cases, id)
		}
	}
	for _, i := range t.items {
		p := at(i.owner)
		p.items = append(p.items, i.Item)
	}
	for _, r := range t.remedies {
		p := at(r.Case)
		p.remedies = append(p.remedies, r)
	}
	for _, id := range t.met {
		p := at(id)
		p.met = append(p.met, id)
	}
	for _, e := range t.events {
		p := at(e.Case)
		p.events = append(p.events, e)
	}
	return all
}

// errStale says that a case is no longer what was thought about.
var errStale = errors.New("a case was changed meanwhile")

// write writes a part: postings first, then the cases that changed, and their history.
func (t *absorb) write(tx Tx, p *part) error {
	for _, id := range p.cases {
		now, found, err := tx.CaseRow(t.ctx, id)
		if err != nil {
			return err
		}
		if before, known := t.read[id]; found != known || found && now != before {
			return errStale
		}
	}
	refused, err := ledger.PostAll(t.ctx, tx, p.items)
	if err != nil {
		return err
	}
	if err := errors.Join(refused...); err != nil {
		return err
	}
	changed := make([]pos.BreakCase, 0, len(p.cases))
	for _, id := range p.cases {
		changed = append(changed, *t.cases[id])
	}
	if err := tx.PutCases(t.ctx, changed); err != nil {
		return err
	}
	for _, r := range p.remedies {
		if err := tx.PutRemedy(t.ctx, r); err != nil {
			return err
		}
	}
	if err := t.claimsMet(tx, p.met); err != nil {
		return err
	}
	return tx.AppendEvents(t.ctx, p.events)
}

// claimsMet marks the claims that institutions have met.
func (t *absorb) claimsMet(tx Tx, met []string) error {
	for _, id := range met {
		all, err := tx.Remedies(t.ctx, id)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Kind != pos.RemedyClaim || r.State != pos.RemedyDone {
				continue
			}
			r.State, r.ChangedMS = pos.RemedyReversed, t.now
			if err := tx.PutRemedy(t.ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}
