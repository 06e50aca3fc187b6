package offline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// foldedPrint is a print job with the places of its first and last entry.
type foldedPrint struct {
	pos.PrintJob
	first, last place
}

// printFolds are print jobs as the entries so far say.
type printFolds map[string]foldedPrint

// then is the job after an entry.
func (p foldedPrint) then(next pos.PrintJob, e pos.Entry) foldedPrint {
	now := foldedPrint{PrintJob: next, first: p.first, last: placeOf(e)}
	if p.ID == "" {
		now.first = now.last
	}
	return now
}

// apply folds one entry.
func (f printFolds) apply(e pos.Entry) error {
	next, changed, err := dcep.ApplyPrint(e, func(id string) (pos.PrintJob, error) { return f[id].PrintJob, nil })
	if err == nil && changed {
		f[next.ID] = f[next.ID].then(next, e)
	}
	return err
}

// printRow is one row of table prints; its fields are comparable.
type printRow struct {
	id, text     string
	first, last  place
	caller, key  sql.NullString
	payment      pos.PaymentID
	open         bool
	paymentWrong bool // the stored column is neither NULL nor an id
}

func (p foldedPrint) row() (printRow, error) {
	text, err := json.Marshal(p.PrintJob)
	if err != nil {
		return printRow{}, fmt.Errorf("encode print job %s: %w", p.ID, err)
	}
	r := printRow{id: p.ID, text: string(text), first: p.first, last: p.last, payment: p.Payment, open: p.Open()}
	if p.Key != "" {
		r.caller, r.key = sql.NullString{String: p.Caller, Valid: true}, sql.NullString{String: p.Key, Valid: true}
	}
	return r, nil
}

const printColumns = `id, first_epoch, first_seq, last_epoch, last_seq, caller, key, payment, open, doc`

const upsertPrint = `INSERT INTO prints (` + printColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?)
	ON CONFLICT (id) DO UPDATE SET last_epoch = excluded.last_epoch, last_seq = excluded.last_seq,
	payment = excluded.payment, open = excluded.open, doc = excluded.doc`

// foldPrint applies one entry to the stored print jobs.
func foldPrint(ctx context.Context, db execer, e pos.Entry) error {
	var was foldedPrint
	next, changed, err := dcep.ApplyPrint(e, func(id string) (pos.PrintJob, error) {
		var err error
		was, _, err = printJob(ctx, db, "id = ?", id)
		return was.PrintJob, err
	})
	if err != nil || !changed {
		return err
	}
	return storePrint(ctx, db, was.then(next, e))
}

func storePrint(ctx context.Context, db execer, now foldedPrint) error {
	r, err := now.row()
	if err != nil {
		return err
	}
	var payment any
	if !r.payment.IsZero() {
		payment = r.payment[:]
	}
	_, err = db.ExecContext(ctx, upsertPrint, r.id, r.first.epoch, int64(r.first.seq), r.last.epoch, int64(r.last.seq),
		r.caller, r.key, payment, r.open, r.text)
	if file.Constrained(err) {
		return pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("print job %s: %w", now.ID, err))
	}
	if err != nil {
		return fmt.Errorf("store print job %s: %w", now.ID, err)
	}
	return nil
}

// printJob reads the one print job that the condition names.
func printJob(ctx context.Context, db file.Querier, where string, args ...any) (foldedPrint, bool, error) {
	var p foldedPrint
	var text string
	err := db.QueryRowContext(ctx, `SELECT first_epoch, first_seq, last_epoch, last_seq, doc FROM prints WHERE `+where, args...).
		Scan(&p.first.epoch, &p.first.seq, &p.last.epoch, &p.last.seq, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return foldedPrint{}, false, nil
	}
	if err != nil {
		return foldedPrint{}, false, storage(err)
	}
	if err := json.Unmarshal([]byte(text), &p.PrintJob); err != nil {
		return foldedPrint{}, false, pos.NewError(pos.ErrChainBroken, fmt.Errorf("read print job: %w", err))
	}
	return p, true, nil
}

// compare finds the first stored print job that differs from a rebuild.
func (f printFolds) compare(ctx context.Context, db file.Querier, head place, bad *finding) error {
	rest := maps.Clone(f)
	rows, err := db.QueryContext(ctx, `SELECT `+printColumns+` FROM prints`)
	if err != nil {
		return storage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		got, err := scanPrint(rows)
		if err != nil {
			bad.note(head, fmt.Errorf("prints: %w", err))
			continue
		}
		p, known := rest[got.id]
		delete(rest, got.id)
		want, err := p.row()
		switch {
		case err != nil:
			return err
		case head.before(got.last):
			bad.note(place{head.epoch, head.seq + 1}, fmt.Errorf("print job %s tells of entry %d: the journal ends before it", got.id, got.last.seq))
		case !known:
			bad.note(got.first, fmt.Errorf("print job %s is in no entry", got.id))
		case got != want:
			bad.note(want.last, fmt.Errorf("print job %s differs from its entries", got.id))
		}
	}
	if err := rows.Err(); err != nil {
		return storage(err)
	}
	for id, p := range rest {
		bad.note(p.first, fmt.Errorf("print job %s is missing in the projection", id))
	}
	return nil
}

func scanPrint(row scanner) (printRow, error) {
	var r printRow
	var payment []byte
	err := row.Scan(&r.id, &r.first.epoch, &r.first.seq, &r.last.epoch, &r.last.seq, &r.caller, &r.key, &payment, &r.open, &r.text)
	copy(r.payment[:], payment)
	r.paymentWrong = payment != nil && (len(payment) != len(r.payment) || r.payment.IsZero())
	return r, err
}

func printJobs(ctx context.Context, db file.Querier, clause string, args ...any) ([]pos.PrintJob, error) {
	rows, err := db.QueryContext(ctx, `SELECT doc FROM prints `+clause, args...)
	if err != nil {
		return nil, storage(err)
	}
	defer func() { _ = rows.Close() }()
	var list []pos.PrintJob
	for rows.Next() {
		var text string
		var j pos.PrintJob
		if err := rows.Scan(&text); err != nil {
			return nil, storage(err)
		}
		if err := json.Unmarshal([]byte(text), &j); err != nil {
			return nil, pos.NewError(pos.ErrChainBroken, fmt.Errorf("read print job: %w", err))
		}
		list = append(list, j)
	}
	if err := rows.Err(); err != nil {
		return nil, storage(err)
	}
	return list, nil
}

func (v *view) PrintJob(id string) (pos.PrintJob, bool, error) {
	p, ok, err := printJob(v.ctx, v.db, "id = ?", id)
	return p.PrintJob, ok, err
}

func (v *view) PrintJobByKey(caller, key string) (pos.PrintJob, bool, error) {
	p, ok, err := printJob(v.ctx, v.db, "caller = ? AND key = ?", caller, key)
	return p.PrintJob, ok, err
}

func (v *view) PrintJobsOf(id pos.PaymentID) ([]pos.PrintJob, error) {
	return printJobs(v.ctx, v.db, "WHERE payment = ? ORDER BY first_epoch, first_seq", id[:])
}

func (v *view) OpenPrintJobs() ([]pos.PrintJob, error) {
	return printJobs(v.ctx, v.db, "WHERE open = 1 ORDER BY first_epoch, first_seq")
}

// MaxPrintJobs bounds a list of print jobs.
const MaxPrintJobs = 1000

func (v *view) PrintJobs(limit int) ([]pos.PrintJob, error) {
	if limit < 1 || limit > MaxPrintJobs {
		limit = MaxPrintJobs
	}
	return printJobs(v.ctx, v.db, "ORDER BY first_epoch DESC, first_seq DESC LIMIT ?", limit)
}
