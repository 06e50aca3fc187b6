package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"dcpos/central/fleet"
	"dcpos/central/issuance"
	"dcpos/central/payment"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Payments is the store of asked payments and refunds.
func (s *Store) Payments() payment.Store { return paymentStore{s} }

type paymentStore struct{ *Store }

type paymentTx struct{ *Tx }

// PaymentTx implements payment.Store.
func (s paymentStore) PaymentTx(ctx context.Context, fn func(tx payment.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(paymentTx{t}) })
}

// SharedTx implements payment.Store.
func (s paymentStore) SharedTx(ctx context.Context, fn func(tx payment.Tx) error) error {
	return s.answers.do(ctx, s.Store, func(t *Tx) error { return fn(paymentTx{t}) })
}

// FindPayment implements payment.Store.
func (s paymentStore) FindPayment(ctx context.Context, id pos.PaymentID) (payment.Record, bool, error) {
	row, err := s.lookUp(ctx, selectPayment, id.String())
	if err != nil {
		return payment.Record{}, false, err
	}
	r, err := scanPayment(row)
	return found(r, err, "payment", id)
}

// FindRefund implements payment.Store.
func (s paymentStore) FindRefund(ctx context.Context, id pos.RefundID) (payment.Refund, bool, error) {
	row, err := s.lookUp(ctx, selectRefund, id.String())
	if err != nil {
		return payment.Refund{}, false, err
	}
	r, err := scanRefund(row)
	return found(r, err, "refund", id)
}

const paymentColumns = `id, terminal, merchant, mode, amount, body, institution, state, reason, detail, txn,
	settlement_date, fee, envelope, qr, valid_until_ms, expires_ms, evidence, indexed, late_paid, told, step,
	next_ms, created_ms, updated_ms, until_ms, place`

const selectPayment = `SELECT ` + paymentColumns + ` FROM payments WHERE id = ?`

func scanPayment(row interface{ Scan(...any) error }) (r payment.Record, err error) {
	var id, place string
	if err = row.Scan(&id, &r.Terminal, &r.Merchant, &r.Mode, &r.Amount, &r.Body, &r.Institution, &r.State,
		&r.Reason, &r.Detail, &r.Txn, &r.SettlementDate, &r.Fee, &r.Envelope, &r.QR, &r.ValidUntilMS, &r.ExpiresMS,
		&r.Evidence, &r.Indexed, &r.LatePaid, &r.Told, &r.Step, &r.NextMS, &r.CreatedMS, &r.UpdatedMS, &r.UntilMS, &place); err != nil {
		return r, err
	}
	if place != "" {
		if err := json.Unmarshal([]byte(place), &r.Place); err != nil {
			return r, fmt.Errorf("place of payment %s: %w", id, err)
		}
	}
	r.ID, err = pos.ParsePaymentID(id)
	return r, err
}

// placeText is how a place is kept; empty where nothing was told.
func placeText(p payment.Place) (string, error) {
	if p.Channel == "" && len(p.Lines) == 0 {
		return "", nil
	}
	b, err := json.Marshal(p)
	return validText(string(b)), err
}

// Payment implements payment.Tx.
func (t paymentTx) Payment(ctx context.Context, id pos.PaymentID) (payment.Record, bool, error) {
	r, err := scanPayment(t.QueryRow(ctx, selectPayment, id.String()))
	return found(r, err, "payment", id)
}

// found tells an absent row from an error.
func found[T any](v T, err error, what string, id pos.PaymentID) (T, bool, error) {
	if err == nil {
		return v, true, nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, false, fmt.Errorf("read %s %s: %w", what, id, err)
}

// PutPayment implements payment.Tx.
func (t paymentTx) PutPayment(ctx context.Context, r payment.Record) error {
	place, err := placeText(r.Place)
	if err != nil {
		return fmt.Errorf("write payment %s: %w", r.ID, err)
	}
	_, err = t.Exec(ctx, `INSERT INTO payments (`+paymentColumns+`) VALUES `+rowsOf(27, 1)+`
		ON CONFLICT (id) DO UPDATE SET merchant = excluded.merchant, mode = excluded.mode, amount = excluded.amount, body = excluded.body,
			institution = excluded.institution, state = excluded.state, reason = excluded.reason,
			detail = excluded.detail, txn = excluded.txn, settlement_date = excluded.settlement_date,
			fee = excluded.fee, envelope = excluded.envelope, qr = excluded.qr,
			valid_until_ms = excluded.valid_until_ms, expires_ms = excluded.expires_ms, evidence = excluded.evidence,
			indexed = excluded.indexed, late_paid = excluded.late_paid, told = excluded.told, step = excluded.step, next_ms = excluded.next_ms,
			updated_ms = excluded.updated_ms, until_ms = excluded.until_ms`,
		r.ID.String(), r.Terminal, r.Merchant, string(r.Mode), int64(r.Amount), r.Body, word(r.Institution), string(r.State),
		string(r.Reason), detail(r.Detail), validText(r.Txn), string(r.SettlementDate), int64(r.Fee), int64(r.Envelope), validText(r.QR),
		r.ValidUntilMS, r.ExpiresMS, r.Evidence, flag(r.Indexed), flag(r.LatePaid), flag(r.Told), r.Step, r.NextMS,
		r.CreatedMS, r.UpdatedMS, r.UntilMS, place)
	if err != nil {
		return fmt.Errorf("write payment %s: %w", r.ID, err)
	}
	return nil
}

// maxDetail bounds what is kept of an institution's or a network's words.
const maxDetail = 300

func detail(s string) string { return bounded(s, maxDetail) }

func bounded(s string, most int) string { return validText(s[:min(len(s), most)]) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

const refundColumns = `id, payment, terminal, merchant, amount, state, auto, authorized, operator, reason, detail, txn,
	settlement_date, told, step, next_ms, created_ms, updated_ms, source, envelope, recalled`

const selectRefund = `SELECT ` + refundColumns + ` FROM refunds WHERE id = ?`

func scanRefund(row interface{ Scan(...any) error }) (r payment.Refund, err error) {
	var id, of string
	if err = row.Scan(&id, &of, &r.Terminal, &r.Merchant, &r.Amount, &r.State, &r.Auto, &r.Authorized, &r.Operator,
		&r.Reason, &r.Detail, &r.Txn, &r.Date, &r.Told, &r.Step, &r.NextMS, &r.CreatedMS, &r.UpdatedMS, &r.Source, &r.Envelope,
		&r.Recalled); err != nil {
		return r, err
	}
	if r.ID, err = pos.ParsePaymentID(id); err != nil {
		return r, err
	}
	r.Payment, err = pos.ParsePaymentID(of)
	return r, err
}

// Refund implements payment.Tx.
func (t paymentTx) Refund(ctx context.Context, id pos.RefundID) (payment.Refund, bool, error) {
	r, err := scanRefund(t.QueryRow(ctx, selectRefund, id.String()))
	return found(r, err, "refund", id)
}

// RefundsOf implements payment.Tx.
func (t paymentTx) RefundsOf(ctx context.Context, id pos.PaymentID) ([]payment.Refund, error) {
	rows, err := t.Query(ctx, `SELECT `+refundColumns+` FROM refunds WHERE payment = ? ORDER BY created_ms, id`, id.String())
	return list(rows, err, "refunds", scanRefund)
}

// list reads all rows and closes them.
func list[T any](rows *sql.Rows, err error, what string, scan func(interface{ Scan(...any) error }) (T, error)) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", what, err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return all, nil
}

// PutRefund implements payment.Tx.
func (t paymentTx) PutRefund(ctx context.Context, r payment.Refund) error {
	_, err := t.Exec(ctx, `INSERT INTO refunds (`+refundColumns+`) VALUES `+rowsOf(21, 1)+`
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason, detail = excluded.detail,
			txn = excluded.txn, settlement_date = excluded.settlement_date, told = excluded.told,
			step = excluded.step, next_ms = excluded.next_ms, updated_ms = excluded.updated_ms, envelope = excluded.envelope,
			recalled = excluded.recalled`,
		r.ID.String(), r.Payment.String(), r.Terminal, r.Merchant, int64(r.Amount), string(r.State), flag(r.Auto),
		flag(r.Authorized), word(r.Operator), string(r.Reason), detail(r.Detail), validText(r.Txn), string(r.Date), flag(r.Told),
		r.Step, r.NextMS, r.CreatedMS, r.UpdatedMS, r.Source, int64(r.Envelope), int64(r.Recalled))
	if err != nil {
		return fmt.Errorf("write refund %s: %w", r.ID, err)
	}
	return nil
}

// Terminal implements payment.Tx; a suspended terminal asks for no more money than a
// quarantined one.
func (t paymentTx) Terminal(ctx context.Context, name string) (payment.Terminal, bool, error) {
	if payment.Online(name) {
		return t.onlineTerminal(ctx, name)
	}
	v, found, err := fleetTx(t).Terminal(ctx, name)
	return payment.Terminal{Merchant: v.Merchant, Shop: v.Shop, Quarantine: v.State != fleet.Active}, found, err
}

// BookEnvelopes implements payment.Tx.
func (t paymentTx) BookEnvelopes(ctx context.Context, u payment.EnvelopeUse) error {
	return issuance.Book(ctx, issuanceTx(t), issuance.Use(u))
}

// GiveBackEnvelopes implements payment.Tx.
func (t paymentTx) GiveBackEnvelopes(ctx context.Context, b payment.EnvelopeBack) (payment.GivenBack, error) {
	given, err := issuance.GiveBack(ctx, issuanceTx(t), issuance.Back(b))
	return payment.GivenBack(given), err
}

// JudgeEnvelopes implements payment.Tx.
func (t paymentTx) JudgeEnvelopes(ctx context.Context, terminal string, u payment.EnvelopeUse) (bool, error) {
	held, err := issuance.Judge(ctx, issuanceTx(t), issuance.Use(u))
	if err != nil || !held {
		return held, err
	}
	e, _, err := issuanceTx(t).Envelope(ctx, u.Shares[0].Envelope)
	if err != nil {
		return held, err
	}
	return held, issuanceTx(t).PutLate(ctx, issuance.Late{
		Payment: u.Payment, Terminal: terminal, Campaign: e.Campaign, Shares: u.Shares, AtMS: u.AtMS,
	})
}

// Held implements payment.Tx.
func (t paymentTx) Held(ctx context.Context, id pos.PaymentID) (bool, error) {
	var n int64
	return one(t.QueryRow(ctx, `SELECT 1 FROM envelope_lates WHERE payment = ? AND decided = ''`, id.String()), &n)
}

// LetGo implements payment.Tx.
func (t paymentTx) LetGo(ctx context.Context, id pos.PaymentID) error {
	return t.decideLate(ctx, id, "conflict")
}

// Journaled implements payment.Tx.
func (t paymentTx) Journaled(ctx context.Context, terminal string, id pos.PaymentID) (p pos.Payment, known bool, err error) {
	var b []byte
	if known, err = one(t.QueryRow(ctx, `SELECT payment FROM till_payments WHERE id = ? AND terminal = ? AND branch = ''`,
		id.String(), terminal), &b); err != nil || !known {
		return p, known, err
	}
	return p, true, dcep.Unmarshal(b, &p)
}

// TerminalOf implements payment.Tx.
func (t paymentTx) TerminalOf(ctx context.Context, id pos.PaymentID) (terminal string, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT terminal FROM till_payments WHERE id = ? AND branch = '' ORDER BY terminal LIMIT 1`, id.String()), &terminal)
	return terminal, found, err
}

// DuePayments implements payment.Store.
func (s paymentStore) DuePayments(
	ctx context.Context, nowMS int64, skip []string, limit int,
) (due []payment.Record, err error) {
	var w where
	w.and("next_ms > 0 AND next_ms <= ?", nowMS)
	for _, code := range skip {
		w.and("institution <> ?", code)
	}
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT `+paymentColumns+` FROM payments WHERE `+w.String()+
			` ORDER BY next_ms LIMIT ?`, append(slices.Clone(w.args), limit)...)
		due, err = list(rows, err, "due payments", scanPayment)
		return err
	})
	return due, err
}

// DueRefunds implements payment.Store.
func (s paymentStore) DueRefunds(ctx context.Context, nowMS int64, limit int) (due []payment.Refund, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT `+refundColumns+` FROM refunds
			WHERE next_ms > 0 AND next_ms <= ? ORDER BY next_ms LIMIT ?`, nowMS, limit)
		due, err = list(rows, err, "due refunds", scanRefund)
		return err
	})
	return due, err
}

// cursor is how far one branch of an epoch was read.
type cursor struct {
	terminal string
	epoch    uint32
	branch   int
	seq      uint64
}

// UnreadEntries implements payment.Store. Entries that ask nothing of the centre come
// with position and kind only; the kind of one that changed no payment because it was
// at fault is empty.
func (s paymentStore) UnreadEntries(ctx context.Context, limit int) (unread []payment.Unread, err error) {
	err = s.view(ctx, func(t *Tx) error {
		unread = nil
		rows, err := t.Query(ctx, `SELECT h.terminal, h.epoch, h.branch, COALESCE(c.seq, b.seq, 0) FROM heads h
			LEFT JOIN payment_cursors c ON h.branch = 0 AND c.terminal = h.terminal AND c.epoch = h.epoch
			LEFT JOIN branch_cursors b ON h.branch > 0 AND b.terminal = h.terminal AND b.epoch = h.epoch AND b.branch = h.branch
			WHERE h.seq > COALESCE(c.seq, b.seq, 0) ORDER BY h.moved_ms LIMIT ?`, limit)
		behind, err := list(rows, err, "unread epochs", func(row interface{ Scan(...any) error }) (c cursor, err error) {
			err = row.Scan(&c.terminal, &c.epoch, &c.branch, &c.seq)
			return c, err
		})
		for _, c := range behind {
			if err != nil || len(unread) >= limit {
				break
			}
			var part []payment.Unread
			part, err = t.entriesAfter(ctx, c, limit-len(unread))
			unread = append(unread, part...)
		}
		return err
	})
	return unread, err
}

func (t *Tx) entriesAfter(ctx context.Context, c cursor, limit int) ([]payment.Unread, error) {
	rows, err := t.Query(ctx, `SELECT seq, kind, entry, fault FROM entries
		WHERE terminal = ? AND epoch = ? AND branch = ? AND seq > ? ORDER BY seq LIMIT ?`,
		c.terminal, c.epoch, c.branch, int64(c.seq), limit)
	return list(rows, err, "unread entries", func(row interface{ Scan(...any) error }) (u payment.Unread, err error) {
		var b []byte
		var fault string
		u.Terminal, u.Epoch, u.Branch = c.terminal, c.epoch, c.branch
		if err := row.Scan(&u.Seq, &u.Kind, &b, &fault); err != nil {
			return u, err
		}
		switch {
		case fault != "":
			u.Kind = "" // read, and nothing to follow
			return u, nil
		case u.Kind != pos.KindPaymentMoved && u.Kind != pos.KindRefundMoved:
			return u, nil // most of a journal: not worth decoding
		}
		return u, dcep.Unmarshal(b, &u.Entry)
	})
}

// Read implements payment.Tx.
func (t paymentTx) Read(ctx context.Context, at pos.Position, branch int) (bool, error) {
	query, args := `INSERT INTO payment_cursors (terminal, epoch, seq) VALUES (?, ?, ?)
		ON CONFLICT (terminal, epoch) DO UPDATE SET seq = excluded.seq WHERE payment_cursors.seq < excluded.seq`,
		[]any{at.Terminal, at.Epoch, int64(at.Seq)}
	if branch > 0 {
		query, args = `INSERT INTO branch_cursors (terminal, epoch, seq, branch) VALUES (?, ?, ?, ?)
			ON CONFLICT (terminal, epoch, branch) DO UPDATE SET seq = excluded.seq WHERE branch_cursors.seq < excluded.seq`,
			append(args, branch)
	}
	n, err := t.Exec(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("move cursor of %s: %w", at.Terminal, err)
	}
	return n > 0, nil
}

// VerdictsOf lists a terminal's verdicts with a number above after, in order.
func (s *Store) VerdictsOf(ctx context.Context, terminal string, after uint64, limit int) (all []pos.Verdict, err error) {
	err = s.view(ctx, func(t *Tx) error {
		all, err = t.Verdicts(ctx, terminal, after, limit)
		return err
	})
	return all, err
}
