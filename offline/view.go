package offline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dcpos/offline/file"
	"dcpos/pos"
)

// View reads the journal as it stands at one moment, beside the writer.
func (s *Store) View(ctx context.Context, read func(pos.JournalView) error) (err error) {
	defer s.reword(&err)
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return storage(err)
	}
	defer tx.Rollback()
	return read(&view{ctx: ctx, db: tx})
}

// view implements pos.JournalView in one transaction; its context is the transaction's.
type view struct {
	ctx context.Context
	db  file.Querier
}

func (v *view) Payment(id pos.PaymentID) (pos.Payment, bool, error) {
	p, ok, err := payment(v.ctx, v.db, "id = ?", id[:])
	return p.Payment, ok, err
}

func (v *view) PaymentByKey(caller, key string) (pos.Payment, bool, error) {
	p, ok, err := payment(v.ctx, v.db, "caller = ? AND key = ?", caller, key)
	return p.Payment, ok, err
}

func (v *view) RefundByKey(caller, key string) (pos.Payment, pos.RefundID, bool, error) {
	var of, refund []byte
	var id pos.RefundID
	err := v.db.QueryRowContext(v.ctx, `SELECT payment, refund FROM refunds WHERE caller = ? AND key = ?`, caller, key).
		Scan(&of, &refund)
	if errors.Is(err, sql.ErrNoRows) {
		return pos.Payment{}, id, false, nil
	}
	if err != nil {
		return pos.Payment{}, id, false, storage(err)
	}
	copy(id[:], refund)
	p, ok, err := payment(v.ctx, v.db, "id = ?", of)
	if err == nil && !ok {
		err = pos.NewError(pos.ErrChainBroken, fmt.Errorf("refund %s points at no payment", id))
	}
	return p.Payment, id, ok, err
}

func (v *view) Order(caller string, date pos.Date, orderID string) (pos.Order, error) {
	o := pos.Order{ID: orderID}
	var err error
	o.Attempts, err = payments(v.ctx, v.db, `WHERE caller = ? AND business_date = ? AND order_id = ?
		ORDER BY first_epoch, first_seq`, caller, string(date), orderID)
	if len(o.Attempts) > 0 {
		o.Amount = o.Attempts[0].OrderAmount
	}
	return o, err
}

func (v *view) Stored() (pos.StoredMoney, error) { return storedMoney(v.ctx, v.db, "") }

func (v *view) WalletStored(wallet string) (pos.StoredMoney, error) {
	return storedMoney(v.ctx, v.db, " AND wallet = ?", wallet)
}

func (v *view) EvidenceSeen(wallet string, counter uint64) (pos.PaymentID, bool, error) {
	p, ok, err := payment(v.ctx, v.db, "wallet = ? AND counter = ?", wallet, int64(counter))
	return p.ID, ok, err
}

func (v *view) CodeSeen(hash []byte) (pos.PaymentID, bool, error) {
	p, ok, err := payment(v.ctx, v.db, "code_hash = ? ORDER BY first_epoch DESC, first_seq DESC LIMIT 1", hash)
	return p.ID, ok, err
}

// storedMoney sums the accepted evidence whose last entry the centre has not receipted.
func storedMoney(ctx context.Context, db file.Querier, and string, args ...any) (pos.StoredMoney, error) {
	var m pos.StoredMoney
	args = append([]any{string(pos.AcceptedEvidence)}, args...)
	err := db.QueryRowContext(ctx, `SELECT coalesce(sum(amount), 0), count(*), coalesce(min(updated_ms), 0)
		FROM payments WHERE state = ? AND (last_epoch, last_seq) > (SELECT epoch, seq FROM cursor)`+and, args...).
		Scan(&m.Total, &m.Count, &m.OldestMS)
	if err != nil {
		return m, storage(err)
	}
	return m, nil
}

// Query chooses payments for a list; a zero field chooses all.
type Query struct {
	Date   pos.Date // business date
	States []pos.State
	Text   string // part of the order id, the payment id or the institution's transaction number
	Limit  int    // 1 to MaxPayments; 0 is MaxPayments
}

// MaxPayments bounds a list of payments.
const MaxPayments = 1000

// Payments lists payments, newest first by their place in the journal.
func (s *Store) Payments(ctx context.Context, q Query) (list []pos.Payment, err error) {
	defer s.reword(&err)
	where, args := []string{"1"}, []any{}
	if q.Date != "" {
		where, args = append(where, "business_date = ?"), append(args, string(q.Date))
	}
	if len(q.States) > 0 {
		where = append(where, "state IN (?"+strings.Repeat(",?", len(q.States)-1)+")")
		for _, st := range q.States {
			args = append(args, string(st))
		}
	}
	if q.Text != "" {
		where = append(where, `(instr(order_id, ?) OR instr(doc->>'id', ?) OR instr(coalesce(doc->>'institution_txn', ''), ?))`)
		args = append(args, q.Text, strings.ToLower(q.Text), q.Text)
	}
	if q.Limit < 1 || q.Limit > MaxPayments {
		q.Limit = MaxPayments
	}
	args = append(args, q.Limit)
	return payments(ctx, s.reader, "WHERE "+strings.Join(where, " AND ")+" ORDER BY first_epoch DESC, first_seq DESC LIMIT ?", args...)
}

func payments(ctx context.Context, db file.Querier, clause string, args ...any) ([]pos.Payment, error) {
	rows, err := db.QueryContext(ctx, `SELECT doc FROM payments `+clause, args...)
	if err != nil {
		return nil, storage(err)
	}
	defer func() { _ = rows.Close() }()
	var list []pos.Payment
	for rows.Next() {
		var text string
		var p pos.Payment
		if err := rows.Scan(&text); err != nil {
			return nil, storage(err)
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, pos.NewError(pos.ErrChainBroken, fmt.Errorf("read payment: %w", err))
		}
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, storage(err)
	}
	return list, nil
}
