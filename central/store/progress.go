package store

import (
	"context"
	"fmt"

	"dcpos/central/issuance"
	"dcpos/pos"
)

// progressLine is what the envelopes of one institution, state and side of the claim come to.
type progressLine struct {
	bank, example               string
	state                       issuance.State
	claimed                     bool
	n, offered, failing, differ int64
	face, left, spent, recalled pos.Money
}

// Progress implements issuance.Tx.
func (t issuanceTx) Progress(ctx context.Context, campaign string) (p issuance.Progress, err error) {
	p = issuance.Progress{Counts: map[issuance.State]int64{}, Faces: map[issuance.State]pos.Money{}, Banks: map[string]issuance.BankProgress{}}
	rows, err := t.Query(ctx, `SELECT institution, state, CASE WHEN claimed_ms > 0 THEN 1 ELSE 0 END, COUNT(*), CAST(SUM(face) AS BIGINT),
			CAST(SUM(left_fen) AS BIGINT), CAST(SUM(spent) AS BIGINT), CAST(SUM(recalled) AS BIGINT),
			CAST(SUM(CASE WHEN tries > 0 THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM(CASE WHEN detail LIKE 'differs%' THEN 1 ELSE 0 END) AS BIGINT),
			COALESCE(MAX(CASE WHEN tries > 0 THEN detail END), ''), CAST(SUM(CASE WHEN offered_ms > 0 OR claimed_ms > 0 THEN 1 ELSE 0 END) AS BIGINT)
		FROM envelopes WHERE campaign = ? GROUP BY institution, state, CASE WHEN claimed_ms > 0 THEN 1 ELSE 0 END ORDER BY 1, 2, 3`, campaign)
	lines, err := list(rows, err, "progress", func(row interface{ Scan(...any) error }) (l progressLine, err error) {
		return l, row.Scan(&l.bank, &l.state, &l.claimed, &l.n, &l.face, &l.left, &l.spent, &l.recalled, &l.failing, &l.differ, &l.example, &l.offered)
	})
	if err != nil {
		return p, err
	}
	for _, l := range lines {
		p.Add(l.bank, l.state, l.part())
	}
	if err := t.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM envelope_spends WHERE campaign = ? AND reason <> ''),
		(SELECT COUNT(*) FROM envelope_lates WHERE campaign = ? AND decided = '')`, campaign, campaign).Scan(&p.Refused, &p.Held); err != nil {
		return p, fmt.Errorf("progress: %w", err)
	}
	return p, nil
}

// part is the line as issuance adds it up: money counts from the claim on.
func (l progressLine) part() issuance.BankProgress {
	b := issuance.BankProgress{
		Envelopes: l.n, Faces: l.face, Offered: l.offered, Spent: l.spent, Failing: l.failing, Differs: l.differ, Example: l.example,
	}
	if l.claimed {
		b.Claimed, b.Activated, b.Left, b.Recalled = l.n, l.face, l.left, l.recalled
	}
	return b
}

// Paces implements issuance.Tx.
func (t issuanceTx) Paces(ctx context.Context) (map[string]int, error) {
	type pace struct {
		bank string
		n    int
	}
	rows, err := t.Query(ctx, `SELECT institution, per_second FROM issuance_paces`)
	all, err := list(rows, err, "paces", func(row interface{ Scan(...any) error }) (p pace, err error) {
		return p, row.Scan(&p.bank, &p.n)
	})
	paces := map[string]int{}
	for _, p := range all {
		paces[p.bank] = p.n
	}
	return paces, err
}

// PutPace implements issuance.Tx.
func (t issuanceTx) PutPace(ctx context.Context, bank string, perSecond int) error {
	_, err := t.Exec(ctx, `INSERT INTO issuance_paces (institution, per_second) VALUES (?, ?)
		ON CONFLICT (institution) DO UPDATE SET per_second = excluded.per_second`, bank, perSecond)
	return err
}
