package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Console is what the operations pages read and what signing in needs.
func (s *Store) Console() console.Store { return consoleStore{s} }

type consoleStore struct{ *Store }

// sessionKept is how long a session's row is kept at most; the console ends it sooner.
const sessionKept = 7 * 24 * time.Hour

// InsertAccount implements console.Accounts.
func (s consoleStore) InsertAccount(ctx context.Context, a console.Account, by string) error {
	return s.tx(ctx, func(t *Tx) error {
		n, err := t.Exec(ctx, `INSERT INTO console_accounts (name, role, hash, disabled, created_ms) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (name) DO NOTHING`, a.Name, string(a.Role), a.Hash, flag(a.Disabled), t.NowMS())
		if err != nil {
			return fmt.Errorf("insert account %s: %w", a.Name, err)
		}
		if n == 0 {
			return pos.FieldError(pos.ErrKeyConflict, "name", fmt.Errorf("account %s exists", a.Name))
		}
		return t.Audit(ctx, by, "account_added", a.Name, string(a.Role))
	})
}

// UpdateAccount implements console.Accounts.
func (s consoleStore) UpdateAccount(ctx context.Context, a console.Account, by string) error {
	return s.tx(ctx, func(t *Tx) error {
		n, err := t.Exec(ctx, `UPDATE console_accounts SET role = ?, hash = ?, disabled = ? WHERE name = ?`,
			string(a.Role), a.Hash, flag(a.Disabled), a.Name)
		if err != nil {
			return fmt.Errorf("update account %s: %w", a.Name, err)
		}
		if n == 0 {
			return pos.FieldError(pos.ErrNotFound, "name", fmt.Errorf("no account %s", a.Name))
		}
		if _, err := t.Exec(ctx, `DELETE FROM console_sessions WHERE account = ?`, a.Name); err != nil {
			return fmt.Errorf("end sessions of %s: %w", a.Name, err)
		}
		return t.Audit(ctx, by, "account_changed", a.Name, fmt.Sprintf("role %s disabled %t", a.Role, a.Disabled))
	})
}

// Account implements console.Accounts.
func (s consoleStore) Account(ctx context.Context, name string) (a console.Account, found bool, err error) {
	err = s.view(ctx, func(t *Tx) error {
		a.Name = name
		found, err = one(t.QueryRow(ctx, `SELECT role, hash, disabled FROM console_accounts WHERE name = ?`, name),
			&a.Role, &a.Hash, &a.Disabled)
		return err
	})
	return a, found, err
}

// PutSession implements console.Sessions. Rows of long ended sessions go with it.
func (s consoleStore) PutSession(ctx context.Context, v console.Session) error {
	return s.tx(ctx, func(t *Tx) error {
		if _, err := t.Exec(ctx, `DELETE FROM console_sessions WHERE created_ms < ?`,
			t.NowMS()-sessionKept.Milliseconds()); err != nil {
			return fmt.Errorf("forget sessions: %w", err)
		}
		_, err := t.Exec(ctx, `INSERT INTO console_sessions (hash, account, csrf, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?)`,
			v.Hash, v.Account, v.CSRF, v.CreatedMS, v.SeenMS)
		return err
	})
}

// Session implements console.Sessions.
func (s consoleStore) Session(ctx context.Context, hash []byte) (v console.Session, found bool, err error) {
	err = s.view(ctx, func(t *Tx) error {
		v.Hash = hash
		found, err = one(t.QueryRow(ctx, `SELECT s.account, s.csrf, s.created_ms, s.seen_ms, a.role FROM console_sessions s
			JOIN console_accounts a ON a.name = s.account WHERE s.hash = ? AND a.disabled = 0`, hash),
			&v.Account, &v.CSRF, &v.CreatedMS, &v.SeenMS, &v.Role)
		return err
	})
	return v, found, err
}

// TouchSession implements console.Sessions.
func (s consoleStore) TouchSession(ctx context.Context, hash []byte, nowMS int64) error {
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `UPDATE console_sessions SET seen_ms = ? WHERE hash = ?`, nowMS, hash)
		return err
	})
}

// DropSession implements console.Sessions.
func (s consoleStore) DropSession(ctx context.Context, hash []byte) error {
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `DELETE FROM console_sessions WHERE hash = ?`, hash)
		return err
	})
}

// Audit implements console.Sessions.
func (s consoleStore) Audit(ctx context.Context, actor, what, subject, detail string) error {
	return s.tx(ctx, func(t *Tx) error { return t.Audit(ctx, actor, what, subject, detail) })
}

// AuditLog implements console.Store.
func (s consoleStore) AuditLog(ctx context.Context, before int64, limit int) (lines []console.AuditLine, err error) {
	if before <= 0 {
		before = 1<<62 - 1
	}
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT id, at_ms, actor, what, subject, detail FROM audit
			WHERE id < ? ORDER BY id DESC LIMIT ?`, before, limit)
		lines, err = list(rows, err, "audit", func(row interface{ Scan(...any) error }) (l console.AuditLine, err error) {
			err = row.Scan(&l.Number, &l.AtMS, &l.Actor, &l.What, &l.Subject, &l.Detail)
			return l, err
		})
		return err
	})
	return lines, err
}

// Tills implements console.Store.
func (s consoleStore) Tills(ctx context.Context, after string, limit int) (tills []console.Till, err error) {
	err = s.view(ctx, func(t *Tx) error {
		var all []fleet.Listing
		if all, err = (fleetTx{t}).Listings(ctx, after, limit); err != nil {
			return err
		}
		tills = make([]console.Till, 0, len(all))
		for _, l := range all {
			tills = append(tills, console.Till{
				ID: l.ID, Merchant: l.Merchant, Shop: l.Shop, Class: l.Class, State: string(l.State), Reason: l.Reason,
				Epoch: l.Epoch, ContactMS: l.Contact.AtMS, Kept: l.Kept, GapFrom: l.GapFrom, Unsent: l.Unsent,
				Version: l.Contact.Version,
			})
		}
		return nil
	})
	return tills, err
}

// Day implements console.Store.
func (s consoleStore) Day(ctx context.Context, date pos.Date) (totals []console.StateTotal, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT state, COUNT(*), CAST(SUM(amount) AS BIGINT) FROM till_payments
			WHERE business_date = ? AND branch = '' GROUP BY state ORDER BY state`, string(date))
		totals, err = list(rows, err, "day", func(row interface{ Scan(...any) error }) (v console.StateTotal, err error) {
			err = row.Scan(&v.State, &v.Count, &v.Amount)
			return v, err
		})
		return err
	})
	return totals, err
}

// Open implements console.Store.
func (s consoleStore) Open(ctx context.Context) (o console.Open, err error) {
	err = s.view(ctx, func(t *Tx) error {
		var payments, refunds int64
		if err := t.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(created_ms), 0) FROM payments WHERE next_ms > 0`).
			Scan(&o.Payments, &payments); err != nil {
			return fmt.Errorf("count open payments: %w", err)
		}
		if err := t.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(created_ms), 0) FROM refunds WHERE next_ms > 0`).
			Scan(&o.Refunds, &refunds); err != nil {
			return fmt.Errorf("count open refunds: %w", err)
		}
		o.OldestMS = payments
		if refunds > 0 && (payments == 0 || refunds < payments) {
			o.OldestMS = refunds
		}
		return nil
	})
	return o, err
}

// where builds a condition of its parts.
type where struct {
	parts []string
	args  []any
}

func (w *where) and(part string, args ...any) {
	w.parts = append(w.parts, part)
	w.args = append(w.args, args...)
}

func (w *where) String() string { return strings.Join(append([]string{"1 = 1"}, w.parts...), " AND ") }

// Payments implements console.Store. What tills have journaled comes with the centre's
// word on it; then what the centre knows and no journal has told yet.
func (s consoleStore) Payments(ctx context.Context, f console.Filter) (lines []console.PaymentLine, err error) {
	var till, centre where
	if f.Terminal != "" {
		till.and("t.terminal = ?", f.Terminal)
		centre.and("p.terminal = ?", f.Terminal)
	}
	if f.State != "" {
		till.and("(t.state = ? OR p.state = ?)", string(f.State), string(f.State))
		centre.and("p.state = ?", string(f.State))
	}
	if f.Date != "" {
		from, err := time.ParseInLocation(time.DateOnly, string(f.Date), pos.Shanghai())
		if err != nil {
			return nil, pos.FieldError(pos.ErrBadRequest, "date", err)
		}
		till.and("t.business_date = ?", string(f.Date))
		centre.and("p.created_ms >= ? AND p.created_ms < ?", from.UnixMilli(), from.AddDate(0, 0, 1).UnixMilli())
	}
	switch {
	case len(f.ID) == 36:
		till.and("t.id = ?", f.ID)
		centre.and("p.id = ?", f.ID)
	case f.ID != "":
		till.and("SUBSTR(t.id, 37 - ?) = ?", len(f.ID), f.ID)
		centre.and("SUBSTR(p.id, 37 - ?) = ?", len(f.ID), f.ID)
	}
	query := `SELECT * FROM (
		SELECT t.id AS id, t.terminal, t.merchant, t.amount, t.state, COALESCE(p.state, ''),
			COALESCE(NULLIF(p.institution, ''), t.institution), t.business_date,
			COALESCE(NULLIF(p.settlement_date, ''), t.settlement_date), t.created_ms AS created_ms
		FROM till_payments t LEFT JOIN payments p ON p.id = t.id AND p.terminal = t.terminal
		WHERE t.branch = '' AND ` + till.String() + `
		UNION ALL
		SELECT p.id, p.terminal, p.merchant, p.amount, '', p.state, p.institution, '', p.settlement_date, p.created_ms
		FROM payments p WHERE NOT EXISTS (SELECT 1 FROM till_payments t
			WHERE t.id = p.id AND t.terminal = p.terminal AND t.branch = '') AND ` + centre.String() + `
		) AS x ORDER BY created_ms DESC, id DESC LIMIT ?`
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, query, append(append(till.args, centre.args...), f.Limit)...)
		lines, err = list(rows, err, "payments", func(row interface{ Scan(...any) error }) (l console.PaymentLine, err error) {
			err = row.Scan(&l.ID, &l.Terminal, &l.Merchant, &l.Amount, &l.Till, &l.Centre, &l.Institution,
				&l.BusinessDate, &l.SettlementDate, &l.CreatedMS)
			return l, err
		})
		return err
	})
	return lines, err
}

// Payment implements console.Store.
func (s consoleStore) Payment(ctx context.Context, id pos.PaymentID) (d console.PaymentDetail, found bool, err error) {
	err = s.view(ctx, func(t *Tx) error {
		d = console.PaymentDetail{PaymentLine: console.PaymentLine{ID: id.String()}}
		inTill, err := t.tillDetail(ctx, id, &d)
		if err != nil {
			return err
		}
		inCentre, err := t.centreDetail(ctx, id, &d)
		if err != nil {
			return err
		}
		found = inTill || inCentre
		if err := t.settledDetail(ctx, id, &d); err != nil {
			return err
		}
		d.Entries, err = t.entryLines(ctx, d.Terminal, id)
		return err
	})
	return d, found, err
}

// settledDetail tells whether the payment's line was matched and the net credit of its date has arrived (the second
// leg). Lines in breaks that nobody has ended are not settled whatever the credit, nor are those that the statement
// does not show as paid, where their money was claimed or written off.
func (t *Tx) settledDetail(ctx context.Context, id pos.PaymentID, d *console.PaymentDetail) error {
	if d.SettlementDate == "" || (d.Centre != pos.Paid && d.Centre != pos.Credited && !d.LatePaid) {
		return nil
	}
	found, err := one(t.QueryRow(ctx, `SELECT state, changed_ms FROM settlements WHERE bank = ? AND date = ?`,
		d.Institution, string(d.SettlementDate)), &d.Settled, &d.SettledMS)
	if err != nil || !found {
		return err
	}
	var open int64
	if err := t.QueryRow(ctx, `SELECT COUNT(*) FROM break_cases WHERE txn = ? AND date = ?
		AND (state IN ('open', 'assigned', 'explained', 'carried') OR state IN ('adjusted', 'written_off') AND their_status <> 'S')`, id.String(), string(d.SettlementDate)).Scan(&open); err != nil {
		return fmt.Errorf("look for breaks of payment %s: %w", id, err)
	}
	switch {
	case open > 0:
		d.Settled, d.SettledMS = "", 0
	case d.Settled != pos.SettlementSettled: // the credit is missing or differs
		d.Settled, d.SettledMS = pos.SettlementWaiting, 0
	}
	return nil
}

func (t *Tx) tillDetail(ctx context.Context, id pos.PaymentID, d *console.PaymentDetail) (bool, error) {
	var b []byte
	found, err := one(t.QueryRow(ctx, `SELECT merchant, payment FROM till_payments WHERE id = ?
		ORDER BY branch, created_ms LIMIT 1`, id.String()), &d.Merchant, &b)
	if err != nil || !found {
		return false, err
	}
	var p pos.Payment
	if err := dcep.Unmarshal(b, &p); err != nil {
		return false, err
	}
	d.Terminal, d.Amount, d.Till, d.Institution, d.Txn = p.Terminal, p.Amount, p.State, p.Institution, p.InstitutionTxn
	d.BusinessDate, d.SettlementDate, d.CreatedMS, d.UpdatedMS = p.BusinessDate, p.SettlementDate, p.CreatedMS, p.UpdatedMS
	d.Mode, d.Reason, d.Envelope, d.LatePaid, d.Lost = p.Mode, p.Reason, p.EnvelopePart, p.LatePaid, p.Lost()
	d.OrderID, d.Operator = p.OrderID, p.Operator
	for _, r := range p.Refunds {
		d.Refunds = append(d.Refunds, console.RefundLine{
			ID: r.ID.String(), State: r.State, Amount: r.Amount, Auto: r.Auto, Operator: r.Operator, Reason: r.Reason,
			Txn: r.RefundTxn, Date: r.Date, Envelope: r.Envelope, Recalled: r.Recalled, UpdatedMS: r.UpdatedMS,
		})
	}
	return true, nil
}

// centreDetail overlays what the centre knows: it asked the institution itself.
func (t *Tx) centreDetail(ctx context.Context, id pos.PaymentID, d *console.PaymentDetail) (bool, error) {
	r, found, err := paymentTx{t}.Payment(ctx, id)
	if err != nil || !found {
		return false, err
	}
	if d.Till == "" {
		d.Terminal, d.Merchant, d.Amount, d.Mode, d.CreatedMS = r.Terminal, r.Merchant, r.Amount, r.Mode, r.CreatedMS
	}
	d.Centre, d.Detail, d.NextMS, d.Step, d.LatePaid = r.State, r.Detail, r.NextMS, r.Step, r.LatePaid || d.LatePaid
	if r.Reason != "" {
		d.Reason = r.Reason
	}
	if r.Institution != "" {
		d.Institution = r.Institution
	}
	if r.Txn != "" {
		d.Txn, d.SettlementDate, d.Envelope = r.Txn, r.SettlementDate, r.Envelope
	}
	d.UpdatedMS = max(d.UpdatedMS, r.UpdatedMS)
	refunds, err := paymentTx{t}.RefundsOf(ctx, id)
	if err != nil {
		return false, err
	}
	for _, f := range refunds {
		d.Refunds = overlay(d.Refunds, console.RefundLine{
			ID: f.ID.String(), State: f.State, Amount: f.Amount, Auto: f.Auto, Operator: f.Operator, Reason: f.Reason,
			Txn: f.Txn, Date: f.Date, Envelope: f.Envelope, Recalled: f.Recalled, UpdatedMS: f.UpdatedMS,
		})
	}
	return true, nil
}

func overlay(lines []console.RefundLine, l console.RefundLine) []console.RefundLine {
	for i := range lines {
		if lines[i].ID == l.ID {
			lines[i] = l
			return lines
		}
	}
	return append(lines, l)
}

func (t *Tx) entryLines(ctx context.Context, terminal string, id pos.PaymentID) ([]console.EntryLine, error) {
	rows, err := t.Query(ctx, `SELECT branch, late, fault, entry FROM entries WHERE terminal = ? AND payment = ?
		ORDER BY epoch, seq, branch`, terminal, id.String())
	return list(rows, err, "entries of a payment", func(row interface{ Scan(...any) error }) (l console.EntryLine, err error) {
		var b []byte
		if err := row.Scan(&l.Branch, &l.Late, &l.Fault, &b); err != nil {
			return l, err
		}
		var e pos.Entry
		if err := dcep.Unmarshal(b, &e); err != nil {
			return l, err
		}
		l.Position, l.Kind, l.Operator, l.WallMS, l.Text = e.Position, e.Kind, e.Operator, e.At.WallMS, says(e)
		return l, nil
	})
}

// says is one line of what an entry records.
func says(e pos.Entry) string {
	body, err := dcep.Body(e)
	if err != nil {
		return err.Error()
	}
	switch b := body.(type) {
	case *pos.PaymentCreated:
		return fmt.Sprintf("%s %s %s", b.OrderID, b.Amount, b.Mode)
	case *pos.PaymentMoved:
		return fmt.Sprintf("%s → %s %s", b.From, b.To, b.Reason)
	case *pos.LatePaid:
		return b.Institution + " " + b.InstitutionTxn
	case *pos.RefundMoved:
		return fmt.Sprintf("%s → %s %s %s", b.From, b.To, b.Amount, b.Reason)
	case *pos.Printed:
		return strings.TrimSpace(b.Result + " " + b.Reason)
	case *pos.DrawerOpened:
		return b.Reason
	}
	return ""
}
