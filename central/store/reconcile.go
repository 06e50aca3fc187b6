package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dcpos/central/reconcile/daily"
	"dcpos/pos"
)

// Reconciliations is the store of the daily reconciliation.
func (s *Store) Reconciliations() daily.Store { return reconcileStore{s} }

type reconcileStore struct{ *Store }

// Lines implements daily.Store: what an institution has decided about payments and
// refunds of its settlement date. A refund belongs to the institution of its payment.
func (s reconcileStore) Lines(ctx context.Context, institution string, date pos.Date, yield func(daily.Line) error) error {
	return s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `
			SELECT id, merchant, terminal, amount, fee,
				CASE WHEN state IN ('paid', 'credited') OR late_paid <> 0 THEN 'S' ELSE 'F' END, updated_ms, ''
			FROM payments WHERE institution = ? AND settlement_date = ?
			UNION ALL
			SELECT r.id, r.merchant, r.terminal, r.amount, 0, 'R', r.updated_ms, r.payment
			FROM refunds r JOIN payments p ON p.id = r.payment
			WHERE p.institution = ? AND r.settlement_date = ? AND r.state = 'refunded'
			ORDER BY 1`, institution, date, institution, date)
		if err != nil {
			return fmt.Errorf("read lines of %s: %w", institution, err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			l := daily.Line{Institution: institution, Date: date}
			if err := rows.Scan(&l.TxnID, &l.Merchant, &l.Terminal, &l.Amount, &l.Fee, &l.Status, &l.AtMS, &l.Orig); err != nil {
				return fmt.Errorf("read line: %w", err)
			}
			if err := yield(l); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// PutFile implements daily.Store.
func (s reconcileStore) PutFile(ctx context.Context, f daily.File) error {
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `INSERT INTO statement_files (institution, date, hash, format, size, lines, verdict, reason_zh, reason_en, at_ms)
			VALUES `+rowsOf(10, 1)+` ON CONFLICT (institution, date, hash) DO NOTHING`,
			f.Institution, string(f.Date), f.File, f.Format, f.Size, f.Lines, string(f.Kind), detail(f.Reason.ZH), detail(f.Reason.EN), f.AtMS)
		if err != nil {
			return fmt.Errorf("save verdict on a statement of %s: %w", f.Institution, err)
		}
		return nil
	})
}

// StatementByHash implements daily.Store.
func (s reconcileStore) StatementByHash(ctx context.Context, hash string) (known string, err error) {
	err = s.view(ctx, func(t *Tx) error {
		var code, date string
		err := t.QueryRow(ctx, `SELECT institution, date FROM statement_files WHERE hash = ? AND verdict <> 'refused'
			ORDER BY at_ms LIMIT 1`, hash).Scan(&code, &date)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		known = code + " " + date
		return err
	})
	return known, err
}

const runColumns = `id, date, started_ms, millis, folder, waiting, ours, theirs, matched, breaks, closes,
	inputs, rules, verdicts`

// SaveRun implements daily.Store.
func (s reconcileStore) SaveRun(ctx context.Context, r daily.Run) error {
	verdicts, err := json.Marshal(r.Verdicts)
	if err != nil {
		return fmt.Errorf("save reconciliation %s: %w", r.ID, err)
	}
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `INSERT INTO reconcile_runs (`+runColumns+`) VALUES `+rowsOf(14, 1)+`
			ON CONFLICT (id) DO UPDATE SET started_ms = excluded.started_ms, millis = excluded.millis,
				folder = excluded.folder, waiting = excluded.waiting, ours = excluded.ours, theirs = excluded.theirs,
				matched = excluded.matched, breaks = excluded.breaks, closes = excluded.closes,
				inputs = excluded.inputs, rules = excluded.rules, verdicts = excluded.verdicts`,
			r.ID, r.Date, r.StartedMS, int64(r.Seconds*1000), r.Folder, strings.Join(r.Waiting, " "),
			r.Ours, r.Theirs, r.Matched, r.Breaks, flag(r.Closes), r.Inputs, r.Rules, validText(string(verdicts)))
		if err != nil {
			return fmt.Errorf("save reconciliation %s: %w", r.ID, err)
		}
		return nil
	})
}

// Runs implements daily.Store: the newest dates first.
func (s reconcileStore) Runs(ctx context.Context, limit int) ([]daily.Run, error) {
	return s.runs(ctx, `SELECT `+runColumns+` FROM reconcile_runs ORDER BY date DESC, started_ms DESC LIMIT ?`, limit)
}

// Run implements daily.Store.
func (s reconcileStore) Run(ctx context.Context, id string) (daily.Run, bool, error) {
	list, err := s.runs(ctx, `SELECT `+runColumns+` FROM reconcile_runs WHERE id = ?`, id)
	if err != nil || len(list) == 0 {
		return daily.Run{}, false, err
	}
	return list[0], true, nil
}

func (s reconcileStore) runs(ctx context.Context, query string, args ...any) (list []daily.Run, err error) {
	err = s.view(ctx, func(t *Tx) error {
		list = nil
		rows, err := t.Query(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("read reconciliations: %w", err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			var r daily.Run
			var millis, closes int64
			var waiting, verdicts string
			if err := rows.Scan(&r.ID, &r.Date, &r.StartedMS, &millis, &r.Folder, &waiting,
				&r.Ours, &r.Theirs, &r.Matched, &r.Breaks, &closes, &r.Inputs, &r.Rules, &verdicts); err != nil {
				return fmt.Errorf("read reconciliation: %w", err)
			}
			r.Seconds, r.Waiting, r.Closes = float64(millis)/1000, strings.Fields(waiting), closes != 0
			if err := json.Unmarshal([]byte(verdicts), &r.Verdicts); err != nil {
				return fmt.Errorf("read verdicts of %s: %w", r.ID, err)
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, err
}
