package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"

	"dcpos/pos"
)

// Engine is the database behind a Store.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// minSQLite is the first version without the WAL-reset bug (3.7.0 to 3.51.2).
const minSQLite = 3_051_003

// connections is the size of a pool; a writing SQLite has one.
const connections = 16

func openSQLite(ctx context.Context, path string) (write, read *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	dsn := func(extra string) string {
		u := url.URL{Scheme: "file", OmitHost: true, Path: abs}
		// These pragmas are per connection, so they stand in the DSN; mattn's default is NORMAL.
		u.RawQuery = "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_foreign_keys=on&" + extra
		return u.String()
	}
	write = sql.OpenDB(writer{dsn("_txlock=immediate&_cache_size=" + writerCache)})
	write.SetMaxOpenConns(1)
	if err := assertSQLite(ctx, write); err != nil {
		return nil, nil, errors.Join(err, write.Close())
	}
	if read, err = sql.Open("sqlite3", dsn("_txlock=deferred&_query_only=on")); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(connections)
	return write, read, nil
}

// A registration touches four indexes at random places, and neighbours seldom share a page. With
// SQLite's own 2 MB and 1,000 pages, pages of a commit were read again from the file and most
// commits wrote the whole log back, with a flush of their own. The longer the log, the more often a page is in
// it before it is written back once: with a million entries 512 MB write a third less to the disk than 64 MB.
const (
	writerCache = "-65536"         // KiB of pages
	logPages    = 512 << 20 / 4096 // of the write-ahead log, before it is written back
)

// writer connects SQLite's one writer.
type writer struct{ dsn string }

// Driver implements driver.Connector.
func (writer) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec("PRAGMA wal_autocheckpoint = "+strconv.Itoa(logPages), nil)
		return err
	}}
}

// Connect implements driver.Connector.
func (w writer) Connect(context.Context) (driver.Conn, error) { return w.Driver().Open(w.dsn) }

func assertSQLite(ctx context.Context, db *sql.DB) error {
	if _, version, _ := sqlite3.Version(); version < minSQLite {
		return pos.NewError(pos.ErrConfig, fmt.Errorf("sqlite library is %d, want %d or newer", version, minSQLite))
	}
	for _, want := range []struct{ pragma, value string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"}, // FULL: NORMAL lost a fifth of the commits in simulated power cuts
		{"foreign_keys", "1"},
		{"wal_autocheckpoint", strconv.Itoa(logPages)},
	} {
		var have string
		if err := db.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&have); err != nil {
			return pos.NewError(pos.ErrStorage, fmt.Errorf("read pragma %s: %w", want.pragma, err))
		}
		if have != want.value {
			return pos.NewError(pos.ErrConfig, fmt.Errorf("sqlite %s is %s, want %s", want.pragma, have, want.value))
		}
	}
	return nil
}

func openPostgres(ctx context.Context, dsn string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, pos.NewError(pos.ErrConfig, fmt.Errorf("parse database url: %w", err))
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := assertPostgres(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// assertPostgres refuses a server that acknowledges before the disk has it.
func assertPostgres(ctx context.Context, db *sql.DB) error {
	for _, s := range []struct{ setting, bad string }{{"fsync", "off"}, {"synchronous_commit", "off"}} {
		var have string
		if err := db.QueryRowContext(ctx, "SHOW "+s.setting).Scan(&have); err != nil {
			return pos.NewError(pos.ErrStorage, fmt.Errorf("read setting %s: %w", s.setting, err))
		}
		if have == s.bad {
			return pos.NewError(pos.ErrConfig, fmt.Errorf("postgres %s is %s, want on", s.setting, have))
		}
	}
	return nil
}

// rebind turns ? into $1, $2…; no statement of ours has a ? in a literal.
func (e Engine) rebind(query string) string {
	if e != Postgres || !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// retryable reports that the same transaction may succeed when done again.
func retryable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return true
		case "23505": // unique_violation: another wrote what this one looked for and did not find
			return true
		}
		return false
	}
	if lite, ok := errors.AsType[sqlite3.Error](err); ok {
		return lite.Code == sqlite3.ErrBusy
	}
	return false
}

// ofDatabase reports an error of the database, after which PostgreSQL has nothing more of
// the transaction.
func ofDatabase(err error) bool {
	_, pg := errors.AsType[*pgconn.PgError](err)
	_, lite := errors.AsType[sqlite3.Error](err)
	return pg || lite || errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fatal reports an error after which nothing that this process has cached of the
// database can be believed.
func fatal(err error) bool {
	lite, ok := errors.AsType[sqlite3.Error](err)
	return ok && (lite.Code == sqlite3.ErrIoErr || lite.Code == sqlite3.ErrCorrupt || lite.Code == sqlite3.ErrNotADB)
}
