package store

import (
	"context"
	"fmt"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// AppendVerdict gives the terminal's next verdict number to v and keeps it; numbers
// have no gaps, because a number is taken in the transaction that keeps the verdict.
func (t *Tx) AppendVerdict(ctx context.Context, terminal string, v pos.Verdict) (number uint64, err error) {
	if err := t.QueryRow(ctx, `INSERT INTO verdict_heads (terminal, number, restored) VALUES (?, 1, -1)
		ON CONFLICT (terminal) DO UPDATE SET number = verdict_heads.number + 1 RETURNING number`,
		terminal).Scan(&number); err != nil {
		return 0, fmt.Errorf("number verdict of %s: %w", terminal, err)
	}
	v.Number = number
	b, err := dcep.Marshal(v)
	if err != nil {
		return 0, err
	}
	if _, err := t.Exec(ctx, `INSERT INTO verdicts (terminal, number, payment, at_ms, verdict) VALUES (?, ?, ?, ?, ?)`,
		terminal, number, v.Payment.String(), t.NowMS(), b); err != nil {
		return 0, fmt.Errorf("keep verdict %d of %s: %w", number, terminal, err)
	}
	return number, nil
}

// Verdicts lists a terminal's verdicts with a number above after, in order.
func (t *Tx) Verdicts(ctx context.Context, terminal string, after uint64, limit int) ([]pos.Verdict, error) {
	rows, err := t.Query(ctx, `SELECT verdict FROM verdicts WHERE terminal = ? AND number > ? ORDER BY number LIMIT ?`,
		terminal, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list verdicts of %s: %w", terminal, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []pos.Verdict
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("list verdicts of %s: %w", terminal, err)
		}
		var v pos.Verdict
		if err := dcep.Unmarshal(b, &v); err != nil {
			return nil, fmt.Errorf("verdict of %s: %w", terminal, err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// VerdictsRestored implements link.Reader.
func (t linkTx) VerdictsRestored(ctx context.Context, terminal string) (bool, error) {
	var base int64
	found, err := one(t.QueryRow(ctx, `SELECT restored FROM verdict_heads WHERE terminal = ?`, terminal), &base)
	return found && base >= 0, err
}

// RenumberVerdicts implements link.Tx. What was decided since the restore under numbers
// that the till has seen with another meaning is said again under new ones.
func (t linkTx) RenumberVerdicts(ctx context.Context, terminal string, told uint64) error {
	var head uint64
	var base int64
	found, err := one(t.QueryRow(ctx, `SELECT number, restored FROM verdict_heads WHERE terminal = ?`, terminal), &head, &base)
	if err != nil || !found || base < 0 {
		return err
	}
	var unseen []pos.Verdict
	if told > uint64(base) {
		if unseen, err = t.Verdicts(ctx, terminal, uint64(base), int(min(told, head)-uint64(base))); err != nil {
			return err
		}
	}
	if _, err := t.Exec(ctx, `UPDATE verdict_heads SET number = ?, restored = -1 WHERE terminal = ?`,
		int64(max(head, told)), terminal); err != nil {
		return fmt.Errorf("renumber verdicts of %s: %w", terminal, err)
	}
	for _, v := range unseen {
		if _, err := t.AppendVerdict(ctx, terminal, v); err != nil {
			return err
		}
	}
	return nil
}

// AppendVerdict is Tx.AppendVerdict in a transaction of its own.
func (s *Store) AppendVerdict(ctx context.Context, terminal string, v pos.Verdict) (number uint64, err error) {
	err = s.tx(ctx, func(t *Tx) error {
		number, err = t.AppendVerdict(ctx, terminal, v)
		return err
	})
	return number, err
}
