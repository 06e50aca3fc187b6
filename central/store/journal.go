package store

import (
	"context"
	"fmt"

	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Reject is a message that was no batch, as the console shows it.
type Reject struct {
	Terminal string `json:"terminal"`
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	Size     int64  `json:"size"`
	FirstMS  int64  `json:"first_ms"`
	LastMS   int64  `json:"last_ms"`
	Times    int64  `json:"times"`
}

// Rejects lists rejected messages, the latest first; terminal "" means all.
func (s *Store) Rejects(ctx context.Context, terminal string, limit int) (list []Reject, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT terminal, reason, detail, size, first_ms, last_ms, times FROM rejects
			WHERE ? = '' OR terminal = ? ORDER BY last_ms DESC LIMIT ?`, terminal, terminal, limit)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		for rows.Next() {
			var r Reject
			if err := rows.Scan(&r.Terminal, &r.Reason, &r.Detail, &r.Size, &r.FirstMS, &r.LastMS, &r.Times); err != nil {
				return err
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list rejects: %w", err)
	}
	return list, nil
}

// AuditLine is one line of the trail.
type AuditLine struct {
	AtMS    int64  `json:"at_ms"`
	Actor   string `json:"actor"`
	What    string `json:"what"`
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

// AuditOf lists the trail of a subject, the latest first; subject "" means all.
func (s *Store) AuditOf(ctx context.Context, subject string, limit int) (list []AuditLine, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT at_ms, actor, what, subject, detail FROM audit
			WHERE ? = '' OR subject = ? ORDER BY id DESC LIMIT ?`, subject, subject, limit)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		for rows.Next() {
			var a AuditLine
			if err := rows.Scan(&a.AtMS, &a.Actor, &a.What, &a.Subject, &a.Detail); err != nil {
				return err
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	return list, nil
}

// LateEntries counts a terminal's entries that came after their epoch was closed.
func (s *Store) LateEntries(ctx context.Context, terminal string) (n int, err error) {
	err = s.view(ctx, func(t *Tx) error {
		return t.QueryRow(ctx, `SELECT COUNT(*) FROM entries WHERE terminal = ? AND late = 1`, terminal).Scan(&n)
	})
	return n, err
}

// Entries lists what is kept of an epoch, all branches, after a sequence number.
func (s *Store) Entries(ctx context.Context, terminal string, epoch uint32, after uint64, limit int) (list []link.Kept, err error) {
	err = s.view(ctx, func(t *Tx) error {
		list, err = t.entries(ctx, `terminal = ? AND epoch = ? AND seq > ? ORDER BY seq, branch LIMIT ?`,
			terminal, epoch, int64(after), limit)
		return err
	})
	return list, err
}

// TillPayments lists payments, as the tills' journals say, that stand in a state and were
// created at or after a moment, oldest first: what a restarted payment room must go on with.
func (t *Tx) TillPayments(ctx context.Context, state pos.State, sinceMS int64, limit int) ([]pos.Payment, error) {
	list, err := t.payments(ctx, `state = ? AND created_ms >= ? AND branch = '' ORDER BY created_ms, id LIMIT ?`,
		string(state), sinceMS, limit)
	if err != nil {
		return nil, fmt.Errorf("list payments that are %s: %w", state, err)
	}
	return list, nil
}

// payments lists payments by a condition of ours.
func (t *Tx) payments(ctx context.Context, where string, args ...any) ([]pos.Payment, error) {
	rows, err := t.Query(ctx, `SELECT payment FROM till_payments WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []pos.Payment
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		var p pos.Payment
		if err := dcep.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("kept payment: %w", err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}
