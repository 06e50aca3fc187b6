package store

import (
	"context"
	"fmt"
)

// DoubtGroup is how many registrations of a campaign have the same score for the same
// reasons.
type DoubtGroup struct {
	Doubts    string // words of register.Doubt, with a space between; empty: none
	Score     int
	Count     int64 // registrations
	Confirmed int64 // of them, those that are entries
}

// Doubts counts a campaign's registrations by the reasons to doubt them. It reads every one.
func (s *Store) Doubts(ctx context.Context, campaign string) (all []DoubtGroup, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT doubts, score, COUNT(*), CAST(SUM(CASE WHEN confirmed_ms > 0 THEN 1 ELSE 0 END) AS BIGINT) FROM registrations
			WHERE campaign = ? GROUP BY doubts, score ORDER BY score, doubts`, campaign)
		all, err = list(rows, err, "doubts", func(row interface{ Scan(...any) error }) (g DoubtGroup, err error) {
			return g, row.Scan(&g.Doubts, &g.Score, &g.Count, &g.Confirmed)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count doubts: %w", err)
	}
	return all, nil
}
