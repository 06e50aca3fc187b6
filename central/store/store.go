package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/central/issuance"
	"dcpos/pos"
)

// Config says where the centre's database is.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://…" (also "postgresql://…").
	URL string
	// Env is written into a new database and must agree with an old one; empty
	// accepts what is there.
	Env pos.Environment
	Log *slog.Logger
	// Now is the clock of what is stored; nil is time.Now.
	Now func() time.Time
}

// Store is the centre's database. It is safe for concurrent use.
type Store struct {
	engine Engine
	url    string
	path   string // of the SQLite file
	write  *sql.DB
	read   *sql.DB // the same pool as write on PostgreSQL
	log    *slog.Logger
	now    func() time.Time
	broken atomic.Pointer[error]
	intake int // the part of accounts that the taking in of journals moves

	entrants [lanes]batch[change]     // of registrations
	answers  batch[func(t *Tx) error] // what tills ask, and what institutions answer

	mu      sync.Mutex
	stmts   map[string]*sql.Stmt // of SQLite's one writer
	lookUps map[string]*sql.Stmt // of the reading pool
}

// Open opens the database, refuses one that would acknowledge before the disk has
// the data, and applies the migrations that it lacks.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{url: cfg.URL, log: cfg.Log, now: cfg.Now, stmts: make(map[string]*sql.Stmt), lookUps: make(map[string]*sql.Stmt)}
	s.answers.work = writes
	for lane := range s.entrants {
		s.entrants[lane] = batch[change]{work: changesOf(lane), locks: true}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	path, isSQLite := strings.CutPrefix(cfg.URL, "sqlite:")
	switch {
	case isSQLite && path != "":
		s.engine, s.path = SQLite, path
		s.write, s.read, err = openSQLite(ctx, path)
	case strings.HasPrefix(cfg.URL, "postgres://"), strings.HasPrefix(cfg.URL, "postgresql://"):
		s.engine = Postgres
		s.write, err = openPostgres(ctx, cfg.URL)
		s.read = s.write
		s.intake = rand.IntN(parts / 2) //nolint:gosec // centres that share a database differ, mostly
	default:
		return nil, pos.FieldError(pos.ErrConfig, "store",
			errors.New("want sqlite:PATH or postgres://USER@HOST/DATABASE"))
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.pinEnvironment(ctx, cfg.Env); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Engine tells which database this is.
func (s *Store) Engine() Engine { return s.engine }

// Close closes the database; a SQLite file is whole by itself afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, kept := range []map[string]*sql.Stmt{s.stmts, s.lookUps} {
		for _, stmt := range kept {
			errs = append(errs, stmt.Close())
		}
	}
	s.stmts, s.lookUps = nil, nil
	if s.read != nil && s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	return errors.Join(append(errs, s.write.Close())...)
}

// Tx is one transaction. Statements are written with ? and in the SQL that both
// engines speak.
type Tx struct {
	tx     *sql.Tx
	store  *Store
	caches bool
	fresh  []string // statements that are not kept prepared yet
	// balances are moves of ledger accounts that are written before the commit.
	balances map[string]pos.Money
	// issuances that were read in this transaction: the payments of a batch are of few campaigns.
	issuances map[string]issuance.Issuance
	changed   bool // something was written, or may have been
	part      int  // of the accounts that this transaction moves
}

// attempts bounds the repeats of a transaction that lost a race.
const attempts = 30

// tx runs fn in a writing transaction and commits when it returns nil. SQLite has one
// writer (BEGIN IMMEDIATE), PostgreSQL runs SERIALIZABLE; fn is run again when it lost
// a race, so it must have no effect but through t.
func (s *Store) tx(ctx context.Context, fn func(t *Tx) error) error {
	return s.txAt(ctx, sql.LevelSerializable, fn)
}

// txAt is tx at another level of isolation on PostgreSQL, for an fn that begins by locking what
// it reads: each statement sees what was committed before it.
func (s *Store) txAt(ctx context.Context, level sql.IsolationLevel, fn func(t *Tx) error) error {
	var err error
	for try := range attempts {
		if broken := s.broken.Load(); broken != nil {
			return pos.NewError(pos.ErrStorage, *broken)
		}
		if err = s.once(ctx, level, fn); err == nil {
			return nil
		}
		if fatal(err) {
			s.broken.CompareAndSwap(nil, &err)
			return pos.NewError(pos.ErrStorage, err)
		}
		if !retryable(err) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return fmt.Errorf("transaction lost %d races: %w", attempts, err)
}

// pause waits a random time that doubles up to a quarter of a second.
func pause(ctx context.Context, try int) error {
	limit := min(250*time.Millisecond, time.Millisecond<<min(try, 8))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(limit) + time.Millisecond):
		return nil
	}
}

func (s *Store) once(ctx context.Context, level sql.IsolationLevel, fn func(t *Tx) error) error {
	options := &sql.TxOptions{}
	if s.engine == Postgres {
		options.Isolation = level
	}
	tx, err := s.write.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	t := &Tx{tx: tx, store: s, caches: s.engine == SQLite}
	if s.engine == Postgres {
		t.part = parts/2 + rand.IntN(parts/2) //nolint:gosec // it spreads load, it is no secret
	}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.moveBalances(ctx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.keep(ctx, t.fresh)
	return nil
}

// view runs fn in a reading transaction: one snapshot, no writing.
func (s *Store) view(ctx context.Context, fn func(t *Tx) error) error {
	options := &sql.TxOptions{}
	if s.engine == Postgres {
		options.Isolation, options.ReadOnly = sql.LevelRepeatableRead, true
	}
	tx, err := s.read.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // nothing to keep
	return fn(&Tx{tx: tx, store: s})
}

// lookUp runs a query of one row outside of any transaction; the statement is prepared once.
func (s *Store) lookUp(ctx context.Context, query string, args ...any) (*sql.Row, error) {
	stmt, err := s.lookUpOf(ctx, query) //nolint:sqlclosecheck // Close closes what is kept
	if err != nil {
		return nil, err
	}
	return stmt.QueryRowContext(ctx, args...), nil // outside of the lock: look-ups run side by side
}

func (s *Store) lookUpOf(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lookUps == nil {
		return nil, sql.ErrConnDone
	}
	if stmt := s.lookUps[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.read.PrepareContext(ctx, s.engine.rebind(query)) //nolint:sqlclosecheck // likewise
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	s.lookUps[query] = stmt
	return stmt, nil
}

// Exec runs a statement and tells how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	t.changed = true
	var res sql.Result
	var err error
	//nolint:sqlclosecheck // the end of the transaction closes it
	if stmt := t.prepared(ctx, query); stmt != nil {
		res, err = stmt.ExecContext(ctx, args...)
	} else {
		res, err = t.tx.ExecContext(ctx, t.store.engine.rebind(query), args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Query runs a statement that returns rows. The caller closes them and asks rows.Err.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.changed = t.changed || !reads(query)
	//nolint:sqlclosecheck // the end of the transaction closes it
	if stmt := t.prepared(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.tx.QueryContext(ctx, t.store.engine.rebind(query), args...)
}

// QueryRow runs a statement that returns one row at most.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	t.changed = t.changed || !reads(query)
	//nolint:sqlclosecheck // the end of the transaction closes it
	if stmt := t.prepared(ctx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return t.tx.QueryRowContext(ctx, t.store.engine.rebind(query), args...)
}

// reads reports a statement that changes nothing.
func reads(query string) bool { return strings.HasPrefix(query, "SELECT ") }

// NowMS is the store's clock in Unix milliseconds.
func (t *Tx) NowMS() int64 { return t.store.now().UnixMilli() }

// maxStatements bounds the statements that SQLite's writer keeps prepared.
const maxStatements = 256

// prepared gives the statement as SQLite's one writer keeps it; nil elsewhere (pgx
// keeps prepared statements by itself) and at a statement's first use.
func (t *Tx) prepared(ctx context.Context, query string) *sql.Stmt {
	if !t.caches {
		return nil
	}
	t.store.mu.Lock()
	stmt := t.store.stmts[query]
	t.store.mu.Unlock()
	if stmt == nil {
		t.fresh = append(t.fresh, query)
		return nil
	}
	return t.tx.StmtContext(ctx, stmt)
}

// keep prepares what a transaction used for the first time, now that it has given
// the one connection back. It only saves time: an error here is no one's loss.
func (s *Store) keep(ctx context.Context, queries []string) {
	for _, query := range queries {
		s.mu.Lock()
		full := len(s.stmts) >= maxStatements || s.stmts == nil || s.stmts[query] != nil
		s.mu.Unlock()
		if full {
			continue
		}
		stmt, err := s.write.PrepareContext(ctx, query)
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.stmts == nil || s.stmts[query] != nil {
			_ = stmt.Close() //nolint:sqlclosecheck // another was faster: only this one is not kept
		} else {
			s.stmts[query] = stmt
		}
		s.mu.Unlock()
	}
}
