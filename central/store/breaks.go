package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/central/payment"
	"dcpos/central/reconcile/breaks"
	"dcpos/pos"
)

// Breaks is the store of the work on breaks.
func (s *Store) Breaks() breaks.Store { return breakStore{s} }

type breakStore struct{ *Store }

type breakTx struct{ *Tx }

var _ breaks.Tx = breakTx{}

// BreakTx implements breaks.Store.
func (s breakStore) BreakTx(ctx context.Context, fn func(tx breaks.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(breakTx{t}) })
}

// BreakView implements breaks.Store.
func (s breakStore) BreakView(ctx context.Context, fn func(tx breaks.Tx) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(breakTx{t}) })
}

const caseColumns = `id, date, kind, txn, bank, merchant, ours, theirs, ours_status, their_status, field, ours_value,
	theirs_value, rule, outcome, batch, orig, party, difference, fees, booked, claimed, matched, state, assignee, cause,
	note, until, file, revision, opened_ms, changed_ms, clock`

const caseColumnCount = 33

func scanCase(row interface{ Scan(...any) error }) (c pos.BreakCase, err error) {
	err = row.Scan(&c.ID, &c.Date, &c.Kind, &c.Txn, &c.Bank, &c.Merchant, &c.Ours, &c.Theirs, &c.OursStatus, &c.TheirStatus,
		&c.Field, &c.OursValue, &c.TheirsValue, &c.Rule, &c.Outcome, &c.Batch, &c.Orig, &c.Party, &c.Difference, &c.Fees,
		&c.Booked, &c.Claimed, &c.Matched, &c.State, &c.Assignee, &c.Cause, &c.Note, &c.Until, &c.File, &c.Revision,
		&c.OpenedMS, &c.ChangedMS, &c.Clock)
	return c, err
}

// maybe reads a row that may not be there.
func maybe[T any](v T, err error) (T, bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}

// CaseRow implements breaks.Tx.
func (t breakTx) CaseRow(ctx context.Context, id string) (pos.BreakCase, bool, error) {
	return maybe(scanCase(t.QueryRow(ctx, `SELECT `+caseColumns+` FROM break_cases WHERE id = ?`, id)))
}

// CasesOf implements breaks.Tx.
func (t breakTx) CasesOf(ctx context.Context, date pos.Date) ([]pos.BreakCase, error) {
	rows, err := t.Query(ctx, `SELECT `+caseColumns+` FROM break_cases WHERE date = ? ORDER BY id`, string(date))
	return list(rows, err, "breaks", scanCase)
}

// CasesOfParty implements breaks.Tx.
func (t breakTx) CasesOfParty(ctx context.Context, party string) ([]pos.BreakCase, error) {
	rows, err := t.Query(ctx, `SELECT `+caseColumns+` FROM break_cases WHERE party = ? AND party <> '' ORDER BY id`, party)
	return list(rows, err, "breaks", scanCase)
}

// OpenBefore implements breaks.Tx.
func (t breakTx) OpenBefore(ctx context.Context, date pos.Date, limit int) ([]pos.BreakCase, error) {
	rows, err := t.Query(ctx, `SELECT `+caseColumns+` FROM break_cases
		WHERE date < ? AND kind IN ('missing_theirs', 'missing_ours')
			AND (state IN ('open', 'assigned', 'explained', 'carried') OR claimed <> 0)
		ORDER BY date, id LIMIT ?`, string(date), limit)
	return list(rows, err, "breaks", scanCase)
}

// PutCases implements breaks.Tx. Texts of statements are made fit for both engines.
func (t breakTx) PutCases(ctx context.Context, all []pos.BreakCase) error {
	for i := range all {
		c := &all[i]
		if _, err := t.Exec(ctx, `INSERT INTO break_cases (`+caseColumns+`) VALUES `+rowsOf(caseColumnCount, 1)+`
			ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, bank = excluded.bank, merchant = excluded.merchant,
				ours = excluded.ours, theirs = excluded.theirs, ours_status = excluded.ours_status,
				their_status = excluded.their_status, field = excluded.field, ours_value = excluded.ours_value,
				theirs_value = excluded.theirs_value, rule = excluded.rule, outcome = excluded.outcome,
				batch = excluded.batch, orig = excluded.orig, party = excluded.party, difference = excluded.difference,
				fees = excluded.fees, booked = excluded.booked, claimed = excluded.claimed, matched = excluded.matched,
				state = excluded.state, assignee = excluded.assignee, cause = excluded.cause, note = excluded.note,
				until = excluded.until, file = excluded.file, revision = excluded.revision, changed_ms = excluded.changed_ms,
				clock = excluded.clock`,
			c.ID, string(c.Date), string(c.Kind), validText(c.Txn), validText(c.Bank), validText(c.Merchant), int64(c.Ours), int64(c.Theirs),
			c.OursStatus, c.TheirStatus, c.Field, validText(c.OursValue), validText(c.TheirsValue), c.Rule, string(c.Outcome),
			validText(c.Batch), validText(c.Orig), c.Party, int64(c.Difference), int64(c.Fees), int64(c.Booked), int64(c.Claimed),
			int64(c.Matched), string(c.State), validText(c.Assignee), string(c.Cause), validText(c.Note), string(c.Until), c.File, c.Revision,
			c.OpenedMS, c.ChangedMS, c.Clock); err != nil {
			return fmt.Errorf("write break %s: %w", c.ID, err)
		}
	}
	return nil
}

const remedyColumns = `id, break_id, kind, state, amount, reason, proposed_by, decided_by, detail, at_ms, changed_ms`

func scanRemedy(row interface{ Scan(...any) error }) (r pos.Remedy, err error) {
	err = row.Scan(&r.ID, &r.Case, &r.Kind, &r.State, &r.Amount, &r.Reason, &r.ProposedBy, &r.DecidedBy, &r.Detail, &r.AtMS, &r.ChangedMS)
	return r, err
}

// Remedies implements breaks.Tx.
func (t breakTx) Remedies(ctx context.Context, of string) ([]pos.Remedy, error) {
	rows, err := t.Query(ctx, `SELECT `+remedyColumns+` FROM break_remedies WHERE break_id = ? ORDER BY LENGTH(id), id`, of)
	return list(rows, err, "remedies", scanRemedy)
}

// RemedyRow implements breaks.Tx.
func (t breakTx) RemedyRow(ctx context.Context, id string) (pos.Remedy, bool, error) {
	return maybe(scanRemedy(t.QueryRow(ctx, `SELECT `+remedyColumns+` FROM break_remedies WHERE id = ?`, id)))
}

// LiveRemedies implements breaks.Tx.
func (t breakTx) LiveRemedies(ctx context.Context) (map[string]*pos.Remedy, error) {
	rows, err := t.Query(ctx, `SELECT `+remedyColumns+` FROM break_remedies WHERE state IN ('proposed', 'executing')`)
	all, err := list(rows, err, "remedies", scanRemedy)
	live := make(map[string]*pos.Remedy, len(all))
	for i := range all {
		live[all[i].Case] = &all[i]
	}
	return live, err
}

// PutRemedy implements breaks.Tx.
func (t breakTx) PutRemedy(ctx context.Context, r pos.Remedy) error {
	if _, err := t.Exec(ctx, `INSERT INTO break_remedies (`+remedyColumns+`) VALUES `+rowsOf(11, 1)+`
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, decided_by = excluded.decided_by, detail = excluded.detail,
			changed_ms = excluded.changed_ms`,
		r.ID, r.Case, string(r.Kind), string(r.State), int64(r.Amount), validText(r.Reason), r.ProposedBy, r.DecidedBy,
		detail(r.Detail), r.AtMS, r.ChangedMS); err != nil {
		return fmt.Errorf("write remedy %s: %w", r.ID, err)
	}
	return nil
}

// AppendEvents implements breaks.Tx.
func (t breakTx) AppendEvents(ctx context.Context, all []pos.BreakEvent) error {
	for len(all) > 0 {
		n := rowsAtOnce(len(all))
		var args []any
		for _, e := range all[:n] {
			args = append(args, e.Case, e.AtMS, e.Actor, e.What, string(e.State), validText(e.Detail))
		}
		if _, err := t.Exec(ctx, `INSERT INTO break_events (break_id, at_ms, actor, what, state, detail) VALUES `+rowsOf(6, n), args...); err != nil {
			return fmt.Errorf("write history of breaks: %w", err)
		}
		all = all[n:]
	}
	return nil
}

const settlementColumns = `bank, date, state, matched, gross, fees, credit, file, revision, changed_ms, apart`

func scanSettlement(row interface{ Scan(...any) error }) (s pos.Settlement, err error) {
	err = row.Scan(&s.Bank, &s.Date, &s.State, &s.Matched, &s.Gross, &s.Fees, &s.Credit, &s.File, &s.Revision, &s.ChangedMS, &s.Apart)
	return s, err
}

// Settlement implements breaks.Tx.
func (t breakTx) Settlement(ctx context.Context, bank string, date pos.Date) (pos.Settlement, bool, error) {
	return maybe(scanSettlement(t.QueryRow(ctx, `SELECT `+settlementColumns+` FROM settlements WHERE bank = ? AND date = ?`, bank, string(date))))
}

// PutSettlement implements breaks.Tx.
func (t breakTx) PutSettlement(ctx context.Context, s pos.Settlement) error {
	if _, err := t.Exec(ctx, `INSERT INTO settlements (`+settlementColumns+`) VALUES `+rowsOf(11, 1)+`
		ON CONFLICT (bank, date) DO UPDATE SET state = excluded.state, matched = excluded.matched, gross = excluded.gross,
			fees = excluded.fees, credit = excluded.credit, file = excluded.file, revision = excluded.revision,
			changed_ms = excluded.changed_ms, apart = excluded.apart`,
		s.Bank, string(s.Date), string(s.State), int64(s.Matched), int64(s.Gross), int64(s.Fees), int64(s.Credit), s.File, s.Revision,
		s.ChangedMS, int64(s.Apart)); err != nil {
		return fmt.Errorf("write settlement of %s: %w", s.Bank, err)
	}
	return nil
}

// CompleteSale implements breaks.Tx.
func (t breakTx) CompleteSale(ctx context.Context, s breaks.Sale) (done bool, err error) {
	return payment.Complete(ctx, paymentTx(t), t.NowMS(), payment.Completion{
		Payment: s.Payment, Institution: s.Bank, Merchant: s.Merchant, Amount: s.Amount, Date: s.Date, Remedy: s.Remedy,
	})
}

// KnownMerchant implements breaks.Tx.
func (t breakTx) KnownMerchant(ctx context.Context, id string) (bool, error) {
	var n int
	err := t.QueryRow(ctx, `SELECT COUNT(*) FROM merchants WHERE id = ?`, id).Scan(&n)
	return n > 0, err
}

// Cases implements breaks.Store.
func (s breakStore) Cases(ctx context.Context, f pos.BreakFilter) (all []pos.BreakCase, err error) {
	query, args := `SELECT `+caseColumns+` FROM break_cases WHERE 1 = 1`, []any{}
	for _, c := range []struct {
		sql   string
		value string
	}{
		{"date = ?", string(f.Date)},
		{"bank = ?", f.Bank},
		{"kind = ?", string(f.Kind)},
		{"state = ?", string(f.State)},
		{"txn = ?", f.Txn},
		{"assignee = ?", f.Assignee},
	} {
		if c.value != "" {
			query, args = query+" AND "+c.sql, append(args, validText(c.value))
		}
	}
	if f.Unended {
		query += ` AND state IN ('open', 'assigned', 'explained', 'carried')`
	}
	if f.After != "" {
		query += ` AND (date < (SELECT date FROM break_cases WHERE id = ?) OR date = (SELECT date FROM break_cases WHERE id = ?) AND id > ?)`
		args = append(args, f.After, f.After, f.After)
	}
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, query+` ORDER BY date DESC, id LIMIT ?`, append(args, f.Limit)...)
		all, err = list(rows, err, "breaks", scanCase)
		return err
	})
	return all, err
}

// Case implements breaks.Store.
func (s breakStore) Case(ctx context.Context, id string) (c pos.BreakCase, remedies []pos.Remedy, events []pos.BreakEvent, found bool, err error) {
	err = s.view(ctx, func(tx *Tx) error {
		t := breakTx{tx}
		var err error
		if c, found, err = t.CaseRow(ctx, id); err != nil || !found {
			return err
		}
		if remedies, err = t.Remedies(ctx, id); err != nil {
			return err
		}
		rows, err := t.Query(ctx, `SELECT break_id, at_ms, actor, what, state, detail FROM break_events WHERE break_id = ? ORDER BY id LIMIT 1000`, id)
		events, err = list(rows, err, "history", func(row interface{ Scan(...any) error }) (e pos.BreakEvent, err error) {
			err = row.Scan(&e.Case, &e.AtMS, &e.Actor, &e.What, &e.State, &e.Detail)
			return e, err
		})
		return err
	})
	return c, remedies, events, found, err
}

// Proposals implements breaks.Store.
func (s breakStore) Proposals(ctx context.Context, state pos.RemedyState, limit int) (remedies []pos.Remedy, cases []pos.BreakCase, err error) {
	err = s.view(ctx, func(tx *Tx) error {
		t := breakTx{tx}
		rows, err := t.Query(ctx, `SELECT `+remedyColumns+` FROM break_remedies WHERE state = ? ORDER BY at_ms, id LIMIT ?`, string(state), limit)
		if remedies, err = list(rows, err, "remedies", scanRemedy); err != nil {
			return err
		}
		cases = nil
		for _, r := range remedies {
			c, _, err := t.CaseRow(ctx, r.Case)
			if err != nil {
				return err
			}
			cases = append(cases, c)
		}
		return nil
	})
	return remedies, cases, err
}

// Settlements implements breaks.Store.
func (s breakStore) Settlements(ctx context.Context, date pos.Date, limit int) (all []pos.Settlement, err error) {
	query, args := `SELECT `+settlementColumns+` FROM settlements`, []any{}
	if date != "" {
		query, args = query+` WHERE date = ?`, append(args, string(date))
	}
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, query+` ORDER BY date DESC, bank LIMIT ?`, append(args, limit)...)
		all, err = list(rows, err, "settlements", scanSettlement)
		return err
	})
	return all, err
}

// Aging implements breaks.Store.
func (s breakStore) Aging(ctx context.Context) (all []pos.BreakAge, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT bank, date, COUNT(*), CAST(SUM(difference + fees - booked) AS BIGINT) FROM break_cases
			WHERE state IN ('open', 'assigned', 'explained', 'carried') GROUP BY bank, date ORDER BY date, bank`)
		all, err = list(rows, err, "ages of breaks", func(row interface{ Scan(...any) error }) (a pos.BreakAge, err error) {
			err = row.Scan(&a.Bank, &a.Date, &a.Cases, &a.Outstanding)
			return a, err
		})
		return err
	})
	return all, err
}
