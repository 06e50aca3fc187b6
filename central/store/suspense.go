package store

import (
	"context"
	"database/sql"
	"fmt"

	"dcpos/central/ledger"
	"dcpos/central/payment"
	"dcpos/pos"
)

// Suspense is what waits in suspense for a person.
func (s *Store) Suspense() ledger.Suspense { return suspenseStore{s} }

type suspenseStore struct{ *Store }

type suspenseTx struct{ *Tx }

// Write implements ledger.Suspense.
func (s suspenseStore) Write(ctx context.Context, fn func(tx ledger.SuspenseTx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(suspenseTx{t}) })
}

// heldQuery lists transactions in suspense that nothing has settled.
const heldQuery = `SELECT t.number, t.key, t.date, t.posted_ms, n.id AS terminal, p.amount, n.merchant,
		COALESCE(o.number, 0), COALESCE(o.decision, ''), COALESCE(o.reason, ''), COALESCE(o.proposed_by, ''), COALESCE(o.proposed_ms, 0)
	FROM postings p JOIN ledger_transactions t ON t.number = p.number
	JOIN terminals n ON n.id = SUBSTR(p.account, CASE WHEN SUBSTR(p.account, 10, 1) = 'c' THEN 19 ELSE 15 END)
	LEFT JOIN suspense_proposals o ON o.key = t.key AND o.state = 'open'
	WHERE (p.account >= 'suspense:fork:' AND p.account < 'suspense:fork;' AND t.key LIKE 'fork:%'
			OR p.account >= 'suspense:conflict:' AND p.account < 'suspense:conflict;' AND t.key LIKE 'refused:%')
		AND NOT EXISTS (SELECT 1 FROM ledger_transactions d WHERE d.key IN ('fork_credit:' || t.key, 'fork_off:' || t.key,
			'rejoined:' || t.key, 'conflict_credit:' || t.key, 'conflict_off:' || t.key))
	UNION ALL
	SELECT t.number, t.key, t.date, t.posted_ms, r.terminal, p.amount, r.merchant,
		COALESCE(o.number, 0), COALESCE(o.decision, ''), COALESCE(o.reason, ''), COALESCE(o.proposed_by, ''), COALESCE(o.proposed_ms, 0)
	FROM refunds r JOIN ledger_transactions t ON t.key = 'late:' || r.payment
	JOIN postings p ON p.number = t.number AND p.account = 'suspense:late:' || r.payment
	LEFT JOIN suspense_proposals o ON o.key = t.key AND o.state = 'open'
	WHERE r.auto = 1 AND r.state = 'declined'
		AND NOT EXISTS (SELECT 1 FROM refunds x WHERE x.payment = r.payment AND x.state <> 'declined')
		AND NOT EXISTS (SELECT 1 FROM ledger_transactions d WHERE d.key = 'late_out:' || r.payment)`

// Waiting implements ledger.Suspense.
func (s suspenseStore) Waiting(ctx context.Context, limit int) (all []ledger.Held, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT * FROM (`+heldQuery+`) AS h ORDER BY number LIMIT ?`, limit)
		all, err = heldRows(rows, err)
		return err
	})
	return all, err
}

// Held implements ledger.SuspenseTx.
func (t suspenseTx) Held(ctx context.Context, key string) (h ledger.Held, found bool, err error) {
	rows, err := t.Query(ctx, `SELECT * FROM (`+heldQuery+`) AS h WHERE key = ?`, key)
	all, err := heldRows(rows, err)
	if err != nil || len(all) == 0 {
		return h, false, err
	}
	whole, found, err := t.LedgerTransaction(ctx, key)
	all[0].Transaction = whole
	return all[0], found, err
}

func heldRows(rows *sql.Rows, err error) ([]ledger.Held, error) {
	return list(rows, err, "suspense", func(row interface{ Scan(...any) error }) (h ledger.Held, err error) {
		var p ledger.Proposal
		var number int64
		if err := row.Scan(&number, &h.Key, &h.Date, &h.PostedMS, &h.Terminal, &h.Amount, &h.Merchant,
			&p.Number, &p.Decision, &p.Reason, &p.By, &p.AtMS); err != nil {
			return h, err
		}
		h.Amount = -h.Amount
		if p.Number > 0 {
			p.Key = h.Key
			h.Proposal = &p
		}
		return h, nil
	})
}

// AppendProposal implements ledger.SuspenseTx.
func (t suspenseTx) AppendProposal(ctx context.Context, p ledger.Proposal) error {
	_, err := t.Exec(ctx, `INSERT INTO suspense_proposals (key, decision, reason, proposed_by, proposed_ms, state, closed_by, closed_ms)
		VALUES (?, ?, ?, ?, ?, 'open', '', 0)`, p.Key, string(p.Decision), validText(p.Reason), p.By, p.AtMS)
	return err
}

// RetryLate implements ledger.SuspenseTx.
func (t suspenseTx) RetryLate(ctx context.Context, h ledger.Held, by string) error {
	id, err := pos.ParsePaymentID(h.Payment())
	if err != nil {
		return err
	}
	return payment.RetryLate(ctx, paymentTx(t), t.NowMS(), id, by)
}

// CloseProposal implements ledger.SuspenseTx.
func (t suspenseTx) CloseProposal(ctx context.Context, number int64, by string, confirmed bool) error {
	state := "rejected"
	if confirmed {
		state = "confirmed"
	}
	n, err := t.Exec(ctx, `UPDATE suspense_proposals SET state = ?, closed_by = ?, closed_ms = ? WHERE number = ? AND state = 'open'`,
		state, by, t.NowMS(), number)
	if err == nil && n != 1 {
		err = fmt.Errorf("proposal %d is not open", number)
	}
	return err
}
