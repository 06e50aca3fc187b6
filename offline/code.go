package offline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/pos"
)

// maxSecret bounds a sealed code in bytes.
const maxSecret = 1 << 10

// conceal keeps the sealed code of a draft that moves a payment to stored. One without the
// other is a programmer's mistake, and is refused: what could not be charged must not be stored.
func conceal(ctx context.Context, tx *sql.Tx, d pos.Draft) error {
	m, _ := d.Body.(pos.PaymentMoved)
	stores := d.Kind == pos.KindPaymentMoved && m.To == pos.Stored
	switch {
	case !stores && len(d.Secret) == 0:
		return nil
	case !stores || len(d.Secret) == 0 || len(d.Secret) > maxSecret:
		return pos.FieldError(pos.ErrBadRequest, "secret", fmt.Errorf("%d bytes with a %s", len(d.Secret), d.Kind))
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO codes (payment, doc) VALUES (?, ?)`, d.Payment[:], d.Secret); err != nil {
		return fmt.Errorf("keep code: %w", err)
	}
	return nil
}

// erase removes the sealed code of a payment that has become final. It is overwritten first,
// for SQLite leaves the bytes of a deleted row where they are.
func erase(ctx context.Context, db execer, was, now folded) error {
	if was.State != pos.Stored || now.State == pos.Stored {
		return nil
	}
	for _, q := range []string{`UPDATE codes SET doc = zeroblob(length(doc)) WHERE payment = ?`, `DELETE FROM codes WHERE payment = ?`} {
		if _, err := db.ExecContext(ctx, q, now.ID[:]); err != nil {
			return fmt.Errorf("erase code of payment %s: %w", now.ID, err)
		}
	}
	return nil
}

func (v *view) Secret(id pos.PaymentID) ([]byte, bool, error) {
	var b []byte
	err := v.db.QueryRowContext(v.ctx, `SELECT doc FROM codes WHERE payment = ?`, id[:]).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return b, err == nil, storage(err)
}
