package file

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/mattn/go-sqlite3"

	"dcpos/pos"
)

// MinVersion is the oldest SQLite that may hold money: versions 3.7.0 to 3.51.2 can
// corrupt a database when a WAL is reset (sqlite.org/wal.html, "the WAL-reset bug").
const MinVersion = 3051003

// busyMS is how long a connection waits for another process's lock, in milliseconds.
const busyMS = 5000

// Access says what a connection may do.
type Access int

// The accesses.
const (
	Write     Access = iota // the single writer
	Read                    // reads beside the writer
	ReadAlone               // reads a file that nobody has open and that has no WAL: locks nothing, leaves nothing behind
)

// keptStatements is how many prepared statements a connection keeps: more than a till has
// queries. Preparing them anew was a third of a sale's time in SQLite.
const keptStatements = 100

// dsn names the file for go-sqlite3. Pragmas that SQLite keeps per connection are in
// it, so that a connection which database/sql opens by itself has them too.
func dsn(path string, access Access) string {
	q := url.Values{}
	q.Set("_foreign_keys", "on")
	q.Set("_busy_timeout", strconv.Itoa(busyMS))
	q.Set("_stmt_cache_size", strconv.Itoa(keptStatements))
	switch access {
	case Write:
		q.Set("mode", "rw")
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		q.Set("_txlock", "immediate")
	case Read:
		q.Set("mode", "ro")
		q.Set("_synchronous", "FULL")
		q.Set("_query_only", "on")
	case ReadAlone:
		q.Set("mode", "ro")
		q.Set("immutable", "1")
		q.Set("_query_only", "on")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

type connector struct {
	dsn    string
	driver *sqlite3.SQLiteDriver
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// Pool opens the file with the access; conns bounds the number of connections.
// Connections of Write and Read are asserted one by one as they open: a wrong
// pragma is an error of the first statement, never a silent loss.
func Pool(path string, access Access, conns int) *sql.DB {
	d := &sqlite3.SQLiteDriver{}
	if access != ReadAlone {
		d.ConnectHook = func(c *sqlite3.SQLiteConn) error { return AssertDurable(pragmas(c)) }
	}
	db := sql.OpenDB(connector{dsn: dsn(path, access), driver: d})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// pragmas reads one pragma of a live connection.
func pragmas(c *sqlite3.SQLiteConn) func(name string) (string, error) {
	return func(name string) (value string, err error) {
		rows, err := c.Query("PRAGMA "+name, nil)
		if err != nil {
			return "", fmt.Errorf("read pragma %s: %w", name, err)
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		v := make([]driver.Value, len(rows.Columns()))
		if err := rows.Next(v); err != nil {
			return "", fmt.Errorf("read pragma %s: %w", name, err)
		}
		if b, ok := v[0].([]byte); ok {
			return string(b), nil
		}
		return fmt.Sprint(v[0]), nil
	}
}

// AssertDurable refuses a connection on which a commit could return before it is on
// the disk, or that ignores a foreign key. pragma reads one pragma of the live
// connection. go-sqlite3 defaults to synchronous=NORMAL and ignores DSN parameters it
// does not know, so what the DSN says proves nothing.
func AssertDurable(pragma func(name string) (string, error)) error {
	if v, _, _ := sqlite3.Version(); versionNumber() < MinVersion {
		return pos.NewError(pos.ErrStorage, fmt.Errorf("SQLite %s: want at least %d", v, MinVersion))
	}
	for _, want := range [][2]string{
		{"journal_mode", "wal"}, {"synchronous", "2"}, {"foreign_keys", "1"}, {"busy_timeout", strconv.Itoa(busyMS)},
	} {
		got, err := pragma(want[0])
		if err != nil {
			return err
		}
		if got != want[1] {
			return pos.NewError(pos.ErrStorage, fmt.Errorf("connection has %s=%s: want %s", want[0], got, want[1]))
		}
	}
	return nil
}

func versionNumber() int {
	_, n, _ := sqlite3.Version()
	return n
}
