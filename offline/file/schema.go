package file

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"

	"dcpos/pos"
)

// ApplicationID marks a till's journal ("dcps" in ASCII) in the header of the SQLite
// file (sqlite.org/pragma.html#pragma_application_id).
const ApplicationID = 0x64637073

//go:embed schema/*.sql
var embedded embed.FS

// ErrForeign is returned for a SQLite file that is no till's journal.
var ErrForeign = errors.New("not a journal of this program")

// Schema is the list of numbered migrations; the number of a file is the version it leads to.
type Schema struct{ steps []string }

// Current is the schema of this program.
func Current() (Schema, error) { return ReadSchema(embedded) }

// ReadSchema reads schema/0001.sql, 0002.sql and so on, without gaps.
func ReadSchema(files fs.FS) (Schema, error) {
	names, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return Schema{}, fmt.Errorf("list migrations: %w", err)
	}
	slices.Sort(names)
	var s Schema
	for i, name := range names {
		if want := fmt.Sprintf("schema/%04d.sql", i+1); name != want {
			return Schema{}, fmt.Errorf("migration %s: want %s", name, want)
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return Schema{}, fmt.Errorf("read migration: %w", err)
		}
		s.steps = append(s.steps, string(b))
	}
	return s, nil
}

// Version is the version that the program writes.
func (s Schema) Version() int { return len(s.steps) }

// Querier is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version reads the schema version of a file. A file of another program is
// ErrForeign; a file from a newer program is pos.ErrSchema. fresh is a file without a single table.
func (s Schema) version(ctx context.Context, db Querier) (version int, fresh bool, err error) {
	var id, tables int
	err = db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	if err != nil {
		return 0, false, fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case id == 0 && version == 0 && tables == 0:
		return 0, true, nil
	case id != ApplicationID:
		return 0, false, pos.NewError(pos.ErrSchema, fmt.Errorf("application id %#x: %w", id, ErrForeign))
	case version > s.Version():
		return 0, false, pos.NewError(pos.ErrSchema,
			fmt.Errorf("the file has schema version %d, this program knows up to %d", version, s.Version()))
	}
	return version, false, nil
}

// Migrate brings the file to the program's version, each step in a transaction of its
// own. create allows a file without tables.
func (s Schema) Migrate(ctx context.Context, conn *sql.Conn, create bool) error {
	version, fresh, err := s.version(ctx, conn)
	if err != nil {
		return err
	}
	if fresh && !create {
		return pos.NewError(pos.ErrSchema, fmt.Errorf("empty file: %w", ErrForeign))
	}
	for ; version < s.Version(); version++ {
		if err := s.step(ctx, conn, version); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version+1, err)
		}
	}
	return nil
}

func (s Schema) step(ctx context.Context, conn *sql.Conn, version int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stamp := "PRAGMA application_id = " + strconv.Itoa(ApplicationID) + "; PRAGMA user_version = " + strconv.Itoa(version+1)
	for _, q := range []string{s.steps[version], stamp} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Check compares the file's tables, indexes and triggers with what the migrations up to
// the file's version make in an empty file, and returns that version. A dropped
// trigger or an added column is found here.
func (s Schema) Check(ctx context.Context, db Querier) (int, error) {
	version, fresh, err := s.version(ctx, db)
	if err != nil {
		return 0, err
	}
	if fresh {
		return 0, pos.NewError(pos.ErrSchema, fmt.Errorf("empty file: %w", ErrForeign))
	}
	want, err := s.template(ctx, version)
	if err != nil {
		return 0, err
	}
	got, err := objects(ctx, db)
	if err != nil {
		return 0, err
	}
	for name, text := range want {
		if got[name] != text {
			return 0, pos.NewError(pos.ErrChainBroken, fmt.Errorf("schema: %s is not as this program made it", name))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return 0, pos.NewError(pos.ErrChainBroken, fmt.Errorf("schema: %s is not of this program", name))
		}
	}
	return version, nil
}

func (s Schema) template(ctx context.Context, version int) (objs map[string]string, err error) {
	db := sql.OpenDB(connector{dsn: ":memory:", driver: &sqlite3.SQLiteDriver{}})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, q := range s.steps[:version] {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return nil, fmt.Errorf("build schema template: %w", err)
		}
	}
	return objects(ctx, db)
}

func objects(ctx context.Context, db Querier) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	defer func() { _ = rows.Close() }()
	objs := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		objs[name] = strings.TrimSpace(text)
	}
	return objs, rows.Err()
}
