package file

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/mattn/go-sqlite3"

	"dcpos/pos"
)

func open(t *testing.T, dsn string) *sql.Conn {
	t.Helper()
	db := sql.OpenDB(connector{dsn: dsn, driver: &sqlite3.SQLiteDriver{}})
	t.Cleanup(func() { _ = db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b?c#d%41.db") // what a URI must escape
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func assert(ctx context.Context, c *sql.Conn) error {
	return AssertDurable(func(name string) (string, error) {
		var v string
		err := c.QueryRowContext(ctx, "PRAGMA "+name).Scan(&v)
		return v, err
	})
}

func TestAConnectionThatCouldForgetIsRefused(t *testing.T) {
	for name, query := range map[string]string{
		"driver's defaults":         "",
		"WAL, synchronous left out": "?_journal_mode=WAL&_foreign_keys=on",
		"synchronous NORMAL":        "?_journal_mode=WAL&_synchronous=NORMAL&_foreign_keys=on",
		"rollback journal":          "?_journal_mode=DELETE&_synchronous=FULL&_foreign_keys=on",
		"no foreign keys":           "?_journal_mode=WAL&_synchronous=FULL",
		"no wait for a lock":        "?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=0",
		"another driver's DSN":      "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)",
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, "file:"+filepath.Join(t.TempDir(), "x.db")+query)
			if err := assert(t.Context(), c); pos.CodeOf(err) != pos.ErrStorage {
				t.Errorf("error %v: want %s", err, pos.ErrStorage)
			}
		})
	}
}

func TestEveryConnectionOfBothPoolsIsDurable(t *testing.T) {
	path := emptyFile(t)
	w := Pool(path, Write, 1)
	defer func() { _ = w.Close() }()
	if err := w.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := Pool(path, Read, 3)
	defer func() { _ = r.Close() }()
	for range 3 {
		c, err := r.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := assert(t.Context(), c); err != nil {
			t.Error(err)
		}
		if _, err := c.ExecContext(t.Context(), "CREATE TABLE x (y)"); err == nil {
			t.Error("a reader wrote")
		}
	}
	c, err := w.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := assert(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestAReadPoolRefusesAFileThatIsNotInWAL(t *testing.T) {
	path := emptyFile(t)
	r := Pool(path, Read, 1)
	defer func() { _ = r.Close() }()
	if err := r.PingContext(t.Context()); pos.CodeOf(err) != pos.ErrStorage {
		t.Errorf("error %v: want %s", err, pos.ErrStorage)
	}
}

func schemaOf(t *testing.T, extra map[string]string) Schema {
	t.Helper()
	first, err := embedded.ReadFile("schema/0001.sql")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"schema/0001.sql": {Data: first}}
	for name := range maps.Keys(extra) {
		files[name] = &fstest.MapFile{Data: []byte(extra[name])}
	}
	s, err := ReadSchema(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAFileOfVersionOneIsBroughtToVersionTwo(t *testing.T) {
	path := emptyFile(t)
	w := Pool(path, Write, 1)
	defer func() { _ = w.Close() }()
	c, err := w.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	one := schemaOf(t, nil)
	if err := one.Migrate(t.Context(), c, false); !errors.Is(err, ErrForeign) {
		t.Errorf("empty file: %v", err)
	}
	if err := one.Migrate(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "INSERT INTO meta (key, value) VALUES ('k', 'v')"); err != nil {
		t.Fatal(err)
	}
	broken := schemaOf(t, map[string]string{"schema/0002.sql": "ALTER TABLE meta ADD COLUMN note TEXT; CREATE TABLE meta (x)"})
	if err := broken.Migrate(t.Context(), c, false); err == nil {
		t.Error("a migration that fails passed")
	}
	if v, err := one.Check(t.Context(), c); err != nil || v != 1 {
		t.Errorf("after a failed step: version %d %v, want 1 as it was", v, err)
	}
	two := schemaOf(t, map[string]string{"schema/0002.sql": "ALTER TABLE meta ADD COLUMN note TEXT"})
	for range 2 {
		if err := two.Migrate(t.Context(), c, false); err != nil {
			t.Fatal(err)
		}
	}
	var v string
	if err := c.QueryRowContext(t.Context(), "SELECT value FROM meta WHERE note IS NULL").Scan(&v); err != nil || v != "v" {
		t.Errorf("row after migration: %q %v", v, err)
	}
	if n, err := two.Check(t.Context(), c); err != nil || n != 2 {
		t.Errorf("version %d %v: want 2", n, err)
	}
	if err := one.Migrate(t.Context(), c, false); pos.CodeOf(err) != pos.ErrSchema {
		t.Errorf("older program: %v, want %s", err, pos.ErrSchema)
	}
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	if _, err := ReadSchema(fstest.MapFS{"schema/0002.sql": {Data: []byte("SELECT 1")}}); err == nil {
		t.Error("a gap passed")
	}
	if s, err := Current(); err != nil || s.Version() < 1 {
		t.Errorf("embedded schema: version %d %v", s.Version(), err)
	}
}
