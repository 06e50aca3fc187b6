package store

import (
	"context"
	"fmt"

	"dcpos/central/reconcile/daily"
	"dcpos/pos"
)

const askColumns = `date, number, asked_by, at_ms, due_ms, tries, lacks_zh, lacks_en`

func scanAsk(row interface{ Scan(...any) error }) (a daily.Ask, err error) {
	err = row.Scan(&a.Date, &a.Number, &a.By, &a.AtMS, &a.DueMS, &a.Tries, &a.Lacks.ZH, &a.Lacks.EN)
	return a, err
}

// PutAsk implements daily.Store.
func (s reconcileStore) PutAsk(ctx context.Context, date pos.Date, by string, atMS int64) (a daily.Ask, err error) {
	err = s.tx(ctx, func(t *Tx) error {
		a, err = scanAsk(t.QueryRow(ctx, `INSERT INTO reconcile_asks (`+askColumns+`) VALUES (?, 1, ?, ?, ?, 0, '', '')
			ON CONFLICT (date) DO UPDATE SET number = reconcile_asks.number + 1, asked_by = excluded.asked_by, at_ms = excluded.at_ms,
				due_ms = excluded.due_ms, tries = CASE WHEN reconcile_asks.due_ms = 0 THEN 0 ELSE reconcile_asks.tries END,
				lacks_zh = '', lacks_en = ''
			RETURNING `+askColumns, string(date), by, atMS, atMS))
		if err != nil {
			return fmt.Errorf("ask for %s: %w", date, err)
		}
		return nil
	})
	return a, err
}

// maxLacks bounds what is kept of why a date is not reconciled: some words of every institution.
const maxLacks = 4000

// AnswerAsk implements daily.Store.
func (s reconcileStore) AnswerAsk(ctx context.Context, a daily.Ask) error {
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `UPDATE reconcile_asks SET due_ms = ?, tries = ?, lacks_zh = ?, lacks_en = ? WHERE date = ? AND number = ?`,
			a.DueMS, a.Tries, bounded(a.Lacks.ZH, maxLacks), bounded(a.Lacks.EN, maxLacks), string(a.Date), a.Number)
		if err != nil {
			return fmt.Errorf("answer who asked for %s: %w", a.Date, err)
		}
		return nil
	})
}

// DueAsks implements daily.Store.
func (s reconcileStore) DueAsks(ctx context.Context, atMS int64) ([]daily.Ask, error) {
	return s.asks(ctx, `SELECT `+askColumns+` FROM reconcile_asks WHERE due_ms > 0 AND due_ms <= ? ORDER BY date`, atMS)
}

// Asks implements daily.Store.
func (s reconcileStore) Asks(ctx context.Context, limit int) ([]daily.Ask, error) {
	return s.asks(ctx, `SELECT `+askColumns+` FROM reconcile_asks ORDER BY date DESC LIMIT ?`, limit)
}

func (s reconcileStore) asks(ctx context.Context, query string, args ...any) (all []daily.Ask, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, query, args...)
		all, err = list(rows, err, "dates that were asked for", scanAsk)
		return err
	})
	return all, err
}

// Lacking implements daily.Store.
func (s reconcileStore) Lacking(ctx context.Context, since pos.Date) (dates []pos.Date, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT date FROM reconcile_runs WHERE waiting <> '' AND date >= ?
			UNION SELECT date FROM settlements WHERE state = ? AND date >= ? ORDER BY 1`, string(since), string(pos.SettlementWaiting), string(since))
		dates, err = list(rows, err, "dates that lack something", func(row interface{ Scan(...any) error }) (d pos.Date, err error) {
			err = row.Scan(&d)
			return d, err
		})
		return err
	})
	return dates, err
}

// LastAsk implements daily.Store.
func (s reconcileStore) LastAsk(ctx context.Context, by string) (date pos.Date, err error) {
	err = s.view(ctx, func(t *Tx) error {
		return t.QueryRow(ctx, `SELECT COALESCE(MAX(date), '') FROM reconcile_asks WHERE asked_by = ?`, by).Scan(&date)
	})
	return date, err
}
