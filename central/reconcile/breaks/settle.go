package breaks

import (
	"context"
	"fmt"

	"dcpos/central/ledger"
	"dcpos/central/reconcile/match"
	"dcpos/pos"
)

// SettledID is the case of an institution's net credit of a date.
func SettledID(bank string, date pos.Date) string {
	return identity(date, bank, string(pos.CreditMismatch), 1)
}

// Leg is what the second leg of a settlement date compares.
type Leg struct {
	Bank    string
	Date    pos.Date
	Matched pos.Money // effective value of the lines that agree
	Gross   pos.Money // of all lines of the accepted statement
	Fees    pos.Money
	Apart   pos.Money // of both: what the institution settles by itself, not in the credit
	Credit  pos.Money // what the settlement account shows for the date
	Arrived bool      // false: the account's statement is not there
	File    string    // SHA-256 of the account's statement
	Rule    string    // its name
	// MostLines and Resolve are the rule's: how many breaks of the statement are tried against a credit
	// that differs, and whether the only combination that fits closes them. 0: none is tried.
	MostLines int
	Resolve   bool
}

// Settle posts a day's net credit and compares it with what the statement's lines come to,
// less fees: Σ matched − fees, and the lines in breaks, each of which is a case. Where they agree
// the date's lines are settled; else the rest is a case of its own (CreditMismatch), which the
// statement's own breaks may explain (see combine). The same leg again changes nothing; another one
// posts what has changed.
func (d *Desk) Settle(ctx context.Context, l Leg) (pos.Settlement, error) {
	var out pos.Settlement
	err := d.cfg.Store.BreakTx(ctx, func(tx Tx) error {
		t := d.turn(ctx, tx)
		s, _, err := tx.Settlement(ctx, l.Bank, l.Date)
		if err != nil {
			return err
		}
		before := s
		s.Bank, s.Date, s.Matched = l.Bank, l.Date, l.Matched
		if !l.Arrived {
			if s.State == "" { // what has arrived once stays
				s.State, s.Gross, s.Fees, s.Apart, s.ChangedMS = pos.SettlementWaiting, l.Gross, l.Fees, l.Apart, t.now
			}
			out = s
			return tx.PutSettlement(ctx, s)
		}
		s.Gross, s.Fees, s.Apart, s.Credit, s.File = l.Gross, l.Fees, l.Apart, l.Credit, l.File
		if err := t.settled(&s, before); err != nil {
			return err
		}
		if s.State, err = t.credited(&s, &l); err != nil {
			return err
		}
		out = s
		return tx.PutSettlement(ctx, s)
	})
	if err != nil {
		return out, fmt.Errorf("settle %s of %s: %w", l.Bank, l.Date, err)
	}
	return out, nil
}

// settled posts what the settlement moved by since it was before.
func (t *turn) settled(s *pos.Settlement, before pos.Settlement) error {
	if before.State == pos.SettlementWaiting || before.State == "" { // nothing was posted for it
		before.Gross, before.Fees, before.Apart, before.Credit, before.State = 0, 0, 0, 0, ""
	}
	if before.State != "" && before.Gross == s.Gross && before.Fees == s.Fees && before.Apart == s.Apart && before.Credit == s.Credit {
		return nil
	}
	s.Revision, s.ChangedMS = before.Revision+1, t.now
	_, err := ledger.Post(t.ctx, t.tx, ledger.Settled(fmt.Sprintf("settled:%s:%s:%d", s.Bank, s.Date, s.Revision), s.Bank, s.Date, ledger.NetCredit{
		Gross: s.Gross - before.Gross, Fees: s.Fees - before.Fees, Apart: s.Apart - before.Apart, Credit: s.Credit - before.Credit,
	}))
	return err
}

// Settlements are the second legs of a date.
func (d *Desk) Settlements(ctx context.Context, date pos.Date) ([]pos.Settlement, error) {
	const institutions = 1000
	return d.cfg.Store.Settlements(ctx, date, institutions)
}

// arrived says what came, for a case's history.
func arrived(s *pos.Settlement) string {
	return fmt.Sprintf("应到账 expected ¥%s, 实际到账 credited ¥%s", s.Expected(), s.Credit)
}

// credited brings the case of the net credit to what the settlement says.
func (t *turn) credited(s *pos.Settlement, l *Leg) (pos.SettlementState, error) {
	id := SettledID(s.Bank, s.Date)
	row, found, err := t.tx.CaseRow(t.ctx, id)
	if err != nil {
		return "", err
	}
	missing := s.Expected() - s.Credit
	if !found && missing == 0 {
		return pos.SettlementSettled, nil
	}
	g := group{turn: t, bank: s.Bank, date: s.Date, cases: map[string]*pos.BreakCase{}}
	if !found {
		row = pos.BreakCase{
			ID: id, Date: s.Date, Kind: pos.CreditMismatch, Txn: "credit:" + s.Bank, Bank: s.Bank, State: pos.BreakOpen, Rule: l.Rule,
			Outcome: match.Broken, OursStatus: "S", TheirStatus: "S", OpenedMS: t.now,
		}
	}
	c := g.keep(row)
	if !found {
		t.note(c, RuleActor, "opened", arrived(s))
	}
	if found && (c.Difference != missing || c.Ours != s.Expected()) {
		t.note(c, RuleActor, "changed", arrived(s))
		if err := g.dissolve(c); err != nil {
			return "", err
		}
	}
	c.Ours, c.Theirs, c.Difference, c.File = s.Expected(), s.Credit, missing, s.File
	switch {
	case c.Outstanding() == 0 && !c.State.Final():
		t.move(c, RuleActor, "resolved", pos.BreakResolved, "到账已相符 the credit is right now")
	case c.Outstanding() != 0:
		t.reopen(c, "到账不符 the credit differs")
	}
	if !c.State.Final() {
		if err := g.combine(c, l); err != nil {
			return "", err
		}
	}
	if err := g.write(); err != nil {
		return "", err
	}
	if c.State.Final() {
		return pos.SettlementSettled, nil
	}
	return pos.SettlementDiffers, nil
}
