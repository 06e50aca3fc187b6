package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"dcpos/pos"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationName is NNNN_noun.sql. 0001 to 0009 are the base, each further noun has a
// range of its own (DESIGN.md).
var migrationName = regexp.MustCompile(`^([0-9]{4})_[a-z_]+\.sql$`)

type migration struct {
	number int
	name   string
	body   string
}

func (m migration) hash() string {
	sum := sha256.Sum256([]byte(m.body))
	return hex.EncodeToString(sum[:])
}

func loadMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql") // sorted by name, so by number
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var list []migration
	seen := make(map[int]string)
	for _, name := range names {
		found := migrationName.FindStringSubmatch(path.Base(name))
		if found == nil {
			return nil, fmt.Errorf("migration %s: want NNNN_noun.sql", name)
		}
		number, err := strconv.Atoi(found[1])
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		if other, twice := seen[number]; twice {
			return nil, fmt.Errorf("migrations %s and %s have one number", other, name)
		}
		seen[number] = name
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		list = append(list, migration{number, path.Base(name), string(body)})
	}
	return list, nil
}

// migrate applies what the database lacks, in order of number, each in its own
// transaction. A changed or unknown migration is pos.ErrSchema.
func (s *Store) migrate(ctx context.Context) error {
	list, err := loadMigrations(migrations)
	if err != nil {
		return err
	}
	if err := s.tx(ctx, func(t *Tx) error {
		if s.engine == Postgres { // two centres may start at once
			if _, err := t.Exec(ctx, `SELECT pg_advisory_xact_lock(7023115)`); err != nil {
				return fmt.Errorf("lock migrations: %w", err)
			}
		}
		_, err := t.Exec(ctx, `CREATE TABLE IF NOT EXISTS migrations (
			number BIGINT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, applied_ms BIGINT NOT NULL)`)
		return err
	}); err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if err := s.refuseUnknown(ctx, list); err != nil {
		return err
	}
	for _, m := range list {
		if err := s.tx(ctx, func(t *Tx) error { return t.apply(ctx, m) }); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

func (t *Tx) apply(ctx context.Context, m migration) error {
	if t.store.engine == Postgres {
		if _, err := t.Exec(ctx, `SELECT pg_advisory_xact_lock(7023115)`); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
	}
	var hash string
	switch err := t.QueryRow(ctx, `SELECT hash FROM migrations WHERE number = ?`, m.number).Scan(&hash); {
	case err == nil && hash == m.hash():
		return nil
	case err == nil:
		return pos.NewError(pos.ErrSchema, errors.New("was applied with other content"))
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	for _, statement := range t.store.engine.statements(m.body) {
		if _, err := t.tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", firstLine(statement), err)
		}
	}
	_, err := t.Exec(ctx, `INSERT INTO migrations (number, name, hash, applied_ms) VALUES (?, ?, ?, ?)`,
		m.number, m.name, m.hash(), t.NowMS())
	return err
}

func (s *Store) refuseUnknown(ctx context.Context, list []migration) error {
	known := make(map[int]bool)
	for _, m := range list {
		known[m.number] = true
	}
	return s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT number, name FROM migrations ORDER BY number`)
		if err != nil {
			return fmt.Errorf("list applied migrations: %w", err)
		}
		defer func() { _ = rows.Close() }() // rows.Err tells what matters
		for rows.Next() {
			var number int
			var name string
			if err := rows.Scan(&number, &name); err != nil {
				return fmt.Errorf("list applied migrations: %w", err)
			}
			if !known[number] {
				return pos.NewError(pos.ErrSchema, fmt.Errorf("the database has migration %s, this program does not", name))
			}
		}
		return rows.Err()
	})
}

var (
	blobType   = regexp.MustCompile(`\bBLOB\b`)
	identity   = regexp.MustCompile(`\bIDENTITY\b`)
	clustered  = regexp.MustCompile(`\) WITHOUT ROWID$`)
	appendOnly = regexp.MustCompile(`^APPEND ONLY ([a-z_]+)$`)
	comment    = regexp.MustCompile(`(?m)--.*$`)
)

// statements splits a migration at its semicolons and says it in the engine's words:
// BLOB, IDENTITY (a primary key that the database counts), WITHOUT ROWID (rows that lie in the
// order of the primary key, where the engine can) and "APPEND ONLY table".
// A migration has no semicolon inside a statement.
func (e Engine) statements(body string) []string {
	var out []string
	for part := range strings.SplitSeq(comment.ReplaceAllString(body, ""), ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if found := appendOnly.FindStringSubmatch(part); found != nil {
			out = append(out, e.refuseChange(found[1])...)
			continue
		}
		if e == Postgres {
			part = blobType.ReplaceAllString(part, "BYTEA")
			part = clustered.ReplaceAllString(part, ")")
			part = identity.ReplaceAllString(part, "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
		} else {
			part = identity.ReplaceAllString(part, "INTEGER PRIMARY KEY AUTOINCREMENT")
		}
		out = append(out, part)
	}
	return out
}

// refuseChange makes a table that only grows: what is written stays, mistakes are
// mended by reversing entries.
func (e Engine) refuseChange(table string) []string {
	if e == Postgres {
		return []string{
			`CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE EXCEPTION 'table % only grows', TG_TABLE_NAME; END $$`,
			`CREATE TRIGGER ` + table + `_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ` + table +
				` FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()`,
		}
	}
	return []string{
		`CREATE TRIGGER ` + table + `_no_update BEFORE UPDATE ON ` + table +
			` BEGIN SELECT RAISE(ABORT, 'table ` + table + ` only grows'); END`,
		`CREATE TRIGGER ` + table + `_no_delete BEFORE DELETE ON ` + table +
			` BEGIN SELECT RAISE(ABORT, 'table ` + table + ` only grows'); END`,
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
