// Package daily reconciles one settlement date: our lines as the payment room keeps
// them against the institutions' statements, by the engine of central/reconcile. The
// same date can be run again; a run replaces the one before it.
package daily

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"dcpos/central/institution"
	"dcpos/central/reconcile"
	"dcpos/pos"
)

// Line is one of our lines: a payment or a refund that an institution has decided.
type Line struct {
	TxnID       string // the payment's or refund's id
	Merchant    string
	Terminal    string
	Institution string
	Amount      pos.Money
	Fee         pos.Money
	Status      string // S, F or R, as the reconciliation contract has them
	AtMS        int64
	Orig        string // of a refund: the payment's id
	Date        pos.Date
}

// Run is one reconciliation that was carried out.
type Run struct {
	ID        string
	Date      pos.Date
	StartedMS int64
	Seconds   float64
	Folder    string   // holds summary.json, breaks.csv, totals.csv, plan.json, ours.csv
	Waiting   []string // institutions whose statement was not ready: their lines take no part
	Ours      int64
	Theirs    int64
	Matched   int64
	Breaks    int64
	Closes    bool // the money proof
}

// Store is what a run needs of the database.
type Store interface {
	// Lines calls yield for each line of one institution (by code) and settlement date, in order of id.
	Lines(ctx context.Context, code string, date pos.Date, yield func(Line) error) error
	SaveRun(ctx context.Context, r Run) error
	Runs(ctx context.Context, limit int) ([]Run, error)
	Run(ctx context.Context, id string) (Run, bool, error)
}

// Config of a Desk.
type Config struct {
	Store        Store
	Institutions *institution.Set
	Folder       string // statements/ and reconcile/ are made below it
	Memory       int64  // bytes; 0 is 256 MiB
	Workers      int    // 0 is one per core
	// Engine is reconcile.Run unless it is set: one that shares the work, or keeps what is done.
	Engine func(context.Context, reconcile.Job) (reconcile.Summary, error)
	Log    *slog.Logger
	Now    func() time.Time
}

// Desk runs reconciliations, one at a time.
type Desk struct {
	c  Config
	mu sync.Mutex
}

// New returns a Desk.
func New(c Config) *Desk {
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Engine == nil {
		c.Engine = reconcile.Run
	}
	return &Desk{c: c}
}

// statementLimit bounds one statement: 50 million lines of 200 bytes.
const statementLimit = 10 << 30

// Reconcile runs one settlement date. What it wrote before the error stays out of
// sight: results appear whole, and the run is recorded last.
func (d *Desk) Reconcile(ctx context.Context, date pos.Date) (Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	started := d.c.Now()
	run := Run{
		ID: string(date), Date: date, StartedMS: started.UnixMilli(),
		Folder: filepath.Join(d.c.Folder, "reconcile", string(date)),
	}
	theirs, present, err := d.statements(ctx, &run)
	if err != nil {
		return run, err
	}
	if len(theirs) == 0 {
		return run, pos.NewError(pos.ErrInstitution, fmt.Errorf("no statement of %s is ready: %s", date, strings.Join(run.Waiting, ", ")))
	}
	ours := filepath.Join(d.c.Folder, "reconcile", ".ours-"+string(date)+".csv")
	if err := d.writeOurs(ctx, ours, date, present); err != nil {
		return run, err
	}
	summary, err := d.c.Engine(ctx, reconcile.Job{
		Ours: []reconcile.Source{{Path: ours}}, Theirs: theirs, Out: run.Folder,
		Memory: d.c.Memory, Workers: d.c.Workers, SettlementDate: string(date),
	})
	if err != nil {
		return run, fmt.Errorf("reconcile %s: %w", date, err)
	}
	if err := os.Rename(ours, filepath.Join(run.Folder, "ours.csv")); err != nil {
		return run, fmt.Errorf("keep our lines: %w", err)
	}
	run.take(summary, d.c.Now().Sub(started))
	return run, d.c.Store.SaveRun(ctx, run)
}

func (r *Run) take(s reconcile.Summary, took time.Duration) {
	r.Ours, r.Theirs, r.Matched, r.Closes = s.Ours, s.Theirs, s.Matched, s.Proof.Closes
	r.Breaks = s.MissingTheirs + s.MissingOurs + s.AmountMismatch + s.StatusMismatch + s.FieldMismatch +
		s.DuplicateOurs + s.DuplicateTheirs
	r.Seconds = took.Seconds()
}

// statements fetches the day's statement of every institution.
func (d *Desk) statements(ctx context.Context, run *Run) (theirs []reconcile.Source, present []string, err error) {
	for _, code := range d.c.Institutions.Codes() {
		path, err := d.fetch(ctx, code, run.Date)
		if err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			d.c.Log.WarnContext(ctx, "statement is not ready", "institution", code, "date", run.Date, "err", err)
			run.Waiting = append(run.Waiting, code)
			continue
		}
		theirs = append(theirs, reconcile.Source{Path: path})
		present = append(present, code)
	}
	return theirs, present, nil
}

func (d *Desk) fetch(ctx context.Context, code string, date pos.Date) (string, error) {
	member, ok := d.c.Institutions.Member(code)
	if !ok {
		return "", fmt.Errorf("institution %s is not connected", code)
	}
	path := filepath.Join(d.c.Folder, "statements", fmt.Sprintf("%s-%s.csv", code, date))
	return path, writeWhole(path, func(w io.Writer) error {
		return member.Adapter.Statement(ctx, date, &limited{w: w, left: statementLimit})
	})
}

const header = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date\n"

func (d *Desk) writeOurs(ctx context.Context, path string, date pos.Date, institutions []string) error {
	return writeWhole(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, header); err != nil {
			return err
		}
		var line []byte
		for _, code := range institutions {
			err := d.c.Store.Lines(ctx, code, date, func(l Line) error {
				line = l.append(line[:0])
				_, err := w.Write(line)
				return err
			})
			if err != nil {
				return fmt.Errorf("read our lines of %s: %w", code, err)
			}
		}
		return nil
	})
}

// append writes the line in the columns of header. None of the fields can hold a comma:
// ids, codes and terminal names are checked when they enter the house.
func (l Line) append(b []byte) []byte {
	for _, f := range []string{l.TxnID, l.Merchant, l.Terminal, l.Institution} {
		b = append(append(b, f...), ',')
	}
	b = append(strconv.AppendInt(b, int64(l.Amount), 10), ',')
	b = append(strconv.AppendInt(b, int64(l.Fee), 10), ',')
	b = append(append(b, l.Status...), ',')
	b = append(strconv.AppendInt(b, l.AtMS, 10), ',')
	b = append(append(b, l.Orig...), ",,"...)
	return append(append(b, l.Date...), '\n')
}

// writeWhole writes a file that appears whole or not at all.
func writeWhole(path string, fill func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	w := bufio.NewWriterSize(tmp, 1<<16)
	err = errors.Join(fill(w), w.Flush(), tmp.Sync())
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, pos.NewError(pos.ErrTooLarge, errors.New("statement is larger than any day's"))
	}
	return l.w.Write(b)
}
