package offline

import (
	"context"
	"database/sql"
	"errors"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Slip gives the signed proof of how a payment stands, for its paper receipt; ok is false for a payment that is
// not there, whose last entry is forgotten, or without a key. It may be called within Update's decide: it reads what is
// committed.
func (s *Store) Slip(ctx context.Context, id pos.PaymentID) (slip dcep.Slip, ok bool, err error) {
	defer s.reword(&err)
	signer := s.key.Load()
	if signer == nil {
		return slip, false, nil
	}
	p, known, err := payment(ctx, s.reader, "id = ?", id[:])
	if err != nil || !known {
		return slip, false, err
	}
	slip = dcep.Slip{
		Env: s.cfg.Env, Terminal: s.cfg.Terminal, Epoch: p.last.epoch, Seq: p.last.seq,
		Payment: id, Amount: p.Amount, State: p.State,
	}
	err = s.reader.QueryRowContext(ctx, `SELECT hash, wall_ms FROM journal WHERE epoch = ? AND seq = ?`, p.last.epoch, int64(p.last.seq)).
		Scan(&slip.Head, &slip.AtMS)
	if errors.Is(err, sql.ErrNoRows) {
		return slip, false, nil
	}
	if err != nil {
		return slip, false, storage(err)
	}
	return slip, true, slip.Sign(*signer)
}

// Unfinished is the money that a till would take along when it was wiped.
type Unfinished struct {
	Terminal string    `json:"terminal"`
	Unsent   uint64    `json:"unsent"`   // entries that the centre has not receipted
	Payments int       `json:"payments"` // with money that moved or may have, among them
	Amount   pos.Money `json:"amount"`   // their sum
	Open     int       `json:"open"`     // payments, of all, whose outcome is not known
	OpenSum  pos.Money `json:"open_sum"`
	Refunds  int       `json:"refunds"` // refunds that are under way
}

// Clear reports that nothing would be lost.
func (u Unfinished) Clear() bool { return u.Unsent == 0 && u.Open == 0 && u.Refunds == 0 }

// Unfinished tells what is unsent or undecided.
func (s *Store) Unfinished(ctx context.Context) (Unfinished, error) {
	u := Unfinished{Terminal: s.cfg.Terminal}
	return u, s.snapshot(ctx, func(tx *sql.Tx) error {
		c, err := cursor(ctx, tx)
		if err != nil {
			return err
		}
		if u.Unsent, err = unsent(ctx, tx, c.place); err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(amount), 0) FROM payments
			WHERE (last_epoch, last_seq) > (?, ?) AND state NOT IN ('created', 'cancelled', 'declined', 'refused')`,
			c.epoch, int64(c.seq)).Scan(&u.Payments, &u.Amount)
		if err != nil {
			return storage(err)
		}
		err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(amount), 0) FROM payments
			WHERE state IN ('asking', 'unknown', 'stored')`).Scan(&u.Open, &u.OpenSum)
		if err != nil {
			return storage(err)
		}
		return storage(tx.QueryRowContext(ctx, `SELECT count(*) FROM payments WHERE EXISTS (
			SELECT 1 FROM json_each(doc, '$.refunds') AS r WHERE r.value->>'state' IN ('intent', 'asking', 'unknown'))`).Scan(&u.Refunds))
	})
}
