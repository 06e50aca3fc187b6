// Package daily reconciles one settlement date: our lines as the payment room keeps
// them against the institutions' statements, each in its own form, by the engine of
// central/reconcile. What the rules cannot explain becomes work (package breaks), and the
// net credits on the settlement accounts are the second leg. The same date can be run again;
// a run replaces the one before it.
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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dcpos/central/institution"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/breaks"
	"dcpos/central/reconcile/match"
	"dcpos/central/reconcile/statement"
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
	Folder    string   // holds summary.json, breaks.csv, totals.csv, plan.json, ours-CODE.csv, explained.csv
	Waiting   []string // institutions without an accepted statement: their lines take no part
	Ours      int64
	Theirs    int64
	Matched   int64
	Breaks    int64
	Closes    bool // the money proof
	// Inputs is a hash of everything that the result depends on: the same inputs need no work.
	Inputs   string
	Rules    string // id/version of the matching rules
	Verdicts []Verdict
	// Same says that nothing had changed since the run before, and nothing was done.
	Same bool
	// Settlements are the second leg of the date, by institution.
	Settlements []pos.Settlement
}

// File is a statement that came, with its verdict.
type File struct {
	Verdict
	Date pos.Date
	AtMS int64
}

// Store is what a run needs of the database.
type Store interface {
	// Lines calls yield for each line of one institution (by code) and settlement date, in order of id.
	Lines(ctx context.Context, code string, date pos.Date, yield func(Line) error) error
	// PutFile remembers a statement that came. The same again changes nothing.
	PutFile(ctx context.Context, f File) error
	// StatementByHash tells as what the bytes were accepted before: "CODE DATE", or "".
	StatementByHash(ctx context.Context, hash string) (string, error)
	SaveRun(ctx context.Context, r Run) error
	Runs(ctx context.Context, limit int) ([]Run, error)
	Run(ctx context.Context, id string) (Run, bool, error)

	// PutAsk makes the date due now, under the next number; one that is due keeps its tries.
	PutAsk(ctx context.Context, date pos.Date, by string, atMS int64) (Ask, error)
	// AnswerAsk writes what a try came to, unless the date was asked for again meanwhile.
	AnswerAsk(ctx context.Context, a Ask) error
	// DueAsks lists what is due at a moment, the oldest date first.
	DueAsks(ctx context.Context, atMS int64) ([]Ask, error)
	// Asks lists the newest dates that were asked for.
	Asks(ctx context.Context, limit int) ([]Ask, error)
	// Lacking lists the dates since one whose runs still lack a statement or a credit.
	Lacking(ctx context.Context, since pos.Date) ([]pos.Date, error)
	// LastAsk is the newest date that somebody has asked for; "" for none.
	LastAsk(ctx context.Context, by string) (pos.Date, error)
}

// Config of a Desk.
type Config struct {
	Store        Store
	Breaks       *breaks.Desk
	Institutions *institution.Set
	Rules        *match.RuleSet // nil: those that ship
	// Splits say how the lines of a date are split into shards; nil leaves it to the engine. The results
	// do not depend on them. Its amount tolerance is not looked at: Rules say it.
	Splits  *reconcile.Rules
	Folder  string // statements/ and reconcile/ are made below it
	Memory  int64  // bytes; 0 is 256 MiB
	Workers int    // 0 is one per core
	// Engine is reconcile.Run unless it is set: one that shares the work, or keeps what is done.
	Engine func(context.Context, reconcile.Job) (reconcile.Summary, error)
	// Partition does for Engine what can be done before a statement is there; nil: nothing.
	Partition func(context.Context, reconcile.Job) error
	Log       *slog.Logger
	Now       func() time.Time
}

// Desk runs reconciliations, one at a time.
type Desk struct {
	c     Config
	mu    sync.Mutex
	asked chan struct{} // a nudge for Serve
}

// New returns a Desk. An institution whose statement format is not known is pos.ErrConfig.
func New(c Config) (*Desk, error) {
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Engine == nil {
		c.Engine = reconcile.Run
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rules == nil {
		var err error
		if c.Rules, err = match.Standard(); err != nil {
			return nil, err
		}
	}
	formats, err := statement.Shipped()
	if err != nil {
		return nil, err
	}
	for _, code := range c.Institutions.Codes() {
		member, _ := c.Institutions.Member(code)
		if !slices.ContainsFunc(formats, func(f statement.Format) bool { return f.Name() == member.Statement.Format }) {
			return nil, pos.FieldError(pos.ErrConfig, "statement.format",
				fmt.Errorf("institution %s: format %q is not known; posctl statement formats lists them", code, member.Statement.Format))
		}
	}
	return &Desk{c: c, asked: make(chan struct{}, 1)}, nil
}

// statementLimit bounds one statement: 50 million lines of 200 bytes.
const statementLimit = 10 << 30

// Reconcile runs one settlement date: statements are fetched and judged, the engine compares,
// the rules explain, breaks become cases, and the net credits are compared. Every step can be
// done again; results appear whole, and the run is recorded behind them. Inputs that are the
// same as before give the run that is there.
func (d *Desk) Reconcile(ctx context.Context, date pos.Date) (Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	started := d.c.Now()
	run := Run{
		ID: string(date), Date: date, StartedMS: started.UnixMilli(), Rules: fmt.Sprintf("%s/%d", d.c.Rules.ID, d.c.Rules.Version),
		Folder: filepath.Join(d.c.Folder, "reconcile", string(date)),
	}
	if err := d.statements(ctx, &run); err != nil {
		return run, err
	}
	if len(run.Waiting) == len(run.Verdicts) {
		return run, noStatement(&run)
	}
	ours, err := d.ours(ctx, &run)
	if err != nil {
		return run, err
	}
	before, found, err := d.c.Store.Run(ctx, run.ID)
	if err != nil {
		return run, err
	}
	if found && before.Inputs == run.Inputs && complete(run.Folder) {
		before.Same, before.Verdicts, before.Waiting = true, run.Verdicts, run.Waiting
		return before, d.settleAgain(ctx, &before)
	}
	if err := d.compare(ctx, ours, &run); err != nil {
		return run, err
	}
	if err := d.settle(ctx, &run); err != nil {
		return run, err
	}
	if err := d.explain(ctx, &run); err != nil {
		return run, err
	}
	run.Seconds = d.c.Now().Sub(started).Seconds()
	return run, d.c.Store.SaveRun(ctx, run)
}

// noStatement says of every institution why there is nothing to compare with.
func noStatement(run *Run) error {
	var zh, en []string
	for _, v := range run.Verdicts {
		zh = append(zh, v.Institution+" "+v.Kind.Text().ZH+"("+v.Reason.ZH+")")
		en = append(en, v.Institution+" "+v.Kind.Text().EN+" ("+v.Reason.EN+")")
	}
	why := strings.Join(en, "; ")
	e := pos.NewError(pos.ErrInstitution, fmt.Errorf("no statement of %s can be used: %s", run.Date, why))
	e.Hint = pos.Text{ZH: "没有可用的对账单:" + strings.Join(zh, ";"), EN: "No statement can be used: " + why}
	return e
}

// complete reports that a folder holds a whole result: the summary is written last.
func complete(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "summary.json"))
	_, explained := os.Stat(filepath.Join(folder, match.ExplainedFile))
	return err == nil && explained == nil
}

// statements fetches and judges the day's statement of every institution.
func (d *Desk) statements(ctx context.Context, run *Run) error {
	for _, code := range d.c.Institutions.Codes() {
		v, err := d.ingest(ctx, code, run.Date)
		if err != nil {
			return fmt.Errorf("statement of %s: %w", code, err)
		}
		run.Verdicts = append(run.Verdicts, v)
		if !v.InUse {
			run.Waiting = append(run.Waiting, code)
		}
		if v.File != "" {
			if err := d.c.Store.PutFile(ctx, File{Verdict: v, Date: run.Date, AtMS: d.c.Now().UnixMilli()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare runs the engine and the rules, and makes cases of what they found.
func (d *Desk) compare(ctx context.Context, ours []reconcile.Source, run *Run) error {
	var theirs []reconcile.Source
	files := map[string]string{}
	for _, v := range run.Verdicts {
		if v.InUse {
			theirs = append(theirs, v.source)
			files[v.Institution] = v.inUse
		}
	}
	job := d.job(ours, run.Date)
	job.Theirs, job.Out = theirs, run.Folder
	// Without it the folder is not complete, whatever the run before was recorded as.
	if err := os.Remove(filepath.Join(run.Folder, match.ExplainedFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("begin anew: %w", err)
	}
	summary, err := d.c.Engine(ctx, job)
	if err != nil {
		return fmt.Errorf("reconcile %s: %w", run.Date, err)
	}
	run.take(summary)
	kept, err := keepOurs(ours, run.Folder)
	if err != nil {
		return err
	}
	list := filepath.Join(run.Folder, "breaks.csv")
	misses, err := match.Misses(ctx, list, kept, theirs, string(run.Date))
	if err != nil {
		return err
	}
	return d.c.Breaks.Absorb(ctx, breaks.Day{Date: run.Date, Files: files, Rules: d.c.Rules, Breaks: list, Misses: misses})
}

// explain writes beside the breaks what has become of each.
func (d *Desk) explain(ctx context.Context, run *Run) error {
	says, err := d.c.Breaks.Says(ctx, run.Date)
	if err != nil {
		return err
	}
	return match.WriteExplained(run.Folder, filepath.Join(run.Folder, "breaks.csv"), says)
}

func (r *Run) take(s reconcile.Summary) {
	r.Ours, r.Theirs, r.Matched, r.Closes, r.Breaks = s.Ours, s.Theirs, s.Matched, s.Proof.Closes, s.Breaks()
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
