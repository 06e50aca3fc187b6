package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"dcpos/pos"
)

// The files of a backup. The manifest is written last: without it there is no backup.
const (
	manifestFile = "manifest.json"
	sqliteFile   = "centre.db"
	postgresFile = "centre.dump"
)

// Manifest describes a backup.
type Manifest struct {
	Engine     Engine          `json:"engine"`
	Env        pos.Environment `json:"env"`
	AtMS       int64           `json:"at_ms"`
	Generation uint64          `json:"generation"`
	File       string          `json:"file"`
	SHA256     string          `json:"sha256"`
	Size       int64           `json:"size"`
}

// Backup writes a consistent copy of the database, as of one moment, into dir, which
// must be absent or empty. The centre goes on meanwhile. PostgreSQL needs pg_dump
// (Debian package postgresql-client).
func (s *Store) Backup(ctx context.Context, dir string) (Manifest, error) {
	m := Manifest{Engine: s.engine, AtMS: s.now().UnixMilli(), File: sqliteFile}
	if s.engine == Postgres {
		m.File = postgresFile
	}
	if err := emptyDir(dir); err != nil {
		return m, err
	}
	if err := s.view(ctx, func(t *Tx) error {
		env, err := t.meta(ctx, "env")
		if err != nil {
			return err
		}
		m.Env = pos.Environment(env)
		m.Generation, err = t.generation(ctx)
		return err
	}); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	path := filepath.Join(dir, m.File)
	copyTo := s.copySQLite
	if s.engine == Postgres {
		copyTo = s.copyPostgres
	}
	if err := copyTo(ctx, path); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	var err error
	if m.SHA256, m.Size, err = digest(path); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	return m, m.write(dir)
}

func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	if len(names) > 0 {
		return pos.FieldError(pos.ErrBadRequest, "dir", fmt.Errorf("%s is not empty", dir))
	}
	return nil
}

// copySQLite copies by VACUUM INTO, which reads one snapshot; the file is flushed here,
// since SQLite does not do it for the copy.
func (s *Store) copySQLite(ctx context.Context, path string) error {
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	from := url.URL{Scheme: "file", OmitHost: true, Path: abs, RawQuery: "_busy_timeout=10000"}
	db, err := sql.Open("sqlite3", from.String())
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, path)
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	return flush(path)
}

func (s *Store) copyPostgres(ctx context.Context, path string) error {
	if err := runTool(ctx, s.url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file="+path); err != nil {
		return err
	}
	return flush(path)
}

// runTool runs a program of PostgreSQL on the database of dsn. Debian keeps them beside
// the server, too. The password goes by the environment: arguments can be read by
// every user of the machine.
func runTool(ctx context.Context, dsn, name string, args ...string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return pos.NewError(pos.ErrConfig, errors.New("the database url is not readable"))
	}
	env := os.Environ()
	if password, ok := u.User.Password(); ok {
		env = append(env, "PGPASSWORD="+password)
		u.User = url.User(u.User.Username())
	}
	path, err := exec.LookPath(name)
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		if len(found) == 0 {
			return pos.NewError(pos.ErrConfig, fmt.Errorf("%s is not there: install the package postgresql-client", name))
		}
		slices.Sort(found)
		path = found[len(found)-1]
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, append([]string{"--dbname=" + u.String()}, args...)...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(out.String())
		return fmt.Errorf("%s: %w: %s", name, err, text[:min(len(text), 500)])
	}
	return nil
}

// flush brings a file and its name to the disk.
func flush(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(p)
		if err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("flush %s: %w", p, err)
		}
	}
	return nil
}

func digest(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

func (m Manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	path := filepath.Join(dir, manifestFile)
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return flush(path)
}

func readManifest(dir string) (Manifest, error) {
	var m Manifest
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, pos.FieldError(pos.ErrBadRequest, "dir", fmt.Errorf("no whole backup: %w", err))
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, pos.FieldError(pos.ErrBadRequest, "dir", fmt.Errorf("read manifest: %w", err))
	}
	if m.File != sqliteFile && m.File != postgresFile {
		return m, pos.FieldError(pos.ErrBadRequest, "dir", fmt.Errorf("manifest names file %.40q", m.File))
	}
	sum, size, err := digest(filepath.Join(dir, m.File))
	if err != nil {
		return m, pos.FieldError(pos.ErrBadRequest, "dir", err)
	}
	if sum != m.SHA256 || size != m.Size {
		return m, pos.FieldError(pos.ErrBadRequest, "dir", fmt.Errorf("%s is not what the manifest says", m.File))
	}
	return m, nil
}

// Restore makes the database of cfg from a backup and begins a new restore generation,
// which it returns: receipts carry it, marks are as old as the backup, and tills that
// see it send again what the centre lacks. The database must be absent (a SQLite file)
// or empty, and of the backup's engine: what is there is never overwritten.
// Enrolments made after the backup are to be made again.
func Restore(ctx context.Context, cfg Config, dir, note string) (generation uint64, err error) {
	m, err := readManifest(dir)
	if err != nil {
		return 0, err
	}
	if cfg.Env != "" && m.Env != cfg.Env {
		return 0, pos.NewError(pos.ErrEnvironment, fmt.Errorf("backup is %s, this centre is %s", m.Env, cfg.Env))
	}
	from := filepath.Join(dir, m.File)
	path, isSQLite := strings.CutPrefix(cfg.URL, "sqlite:")
	switch {
	case isSQLite != (m.Engine == SQLite):
		err = pos.FieldError(pos.ErrBadRequest, "store", fmt.Errorf("the backup is of %s", m.Engine))
	case isSQLite:
		err = placeSQLite(from, path)
	default:
		err = placePostgres(ctx, from, cfg.URL)
	}
	if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	s, err := Open(ctx, cfg)
	if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	generation, err = s.beginGeneration(ctx, m, note)
	return generation, errors.Join(err, s.Close())
}

func placeSQLite(from, path string) error {
	for _, p := range []string{path, path + "-wal", path + "-journal"} {
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
			return pos.FieldError(pos.ErrBadRequest, "store", fmt.Errorf("%s is there: move it away first", p))
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	// A name of its own until it is whole: a half-written database must not be opened.
	half := path + ".restoring"
	out, err := os.OpenFile(half, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close(), in.Close()); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	if err := os.Rename(half, path); err != nil {
		return err
	}
	return flush(path)
}

func placePostgres(ctx context.Context, from, dsn string) error {
	db, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	var tables int
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public'`).Scan(&tables)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if tables > 0 {
		return pos.FieldError(pos.ErrBadRequest, "store", fmt.Errorf("the database has %d tables: restore into an empty one", tables))
	}
	return runTool(ctx, dsn, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", from)
}

// beginGeneration numbers the restore by the clock, so that two restores of one backup
// differ, and always above what the backup knows.
func (s *Store) beginGeneration(ctx context.Context, m Manifest, note string) (generation uint64, err error) {
	err = s.tx(ctx, func(t *Tx) error {
		have, err := t.generation(ctx)
		if err != nil {
			return err
		}
		generation = max(have+1, uint64(max(0, t.NowMS())))
		if _, err := t.Exec(ctx, `INSERT INTO restores (generation, at_ms, note) VALUES (?, ?, ?)`,
			int64(generation), t.NowMS(), note); err != nil {
			return fmt.Errorf("begin restore generation: %w", err)
		}
		if _, err := t.Exec(ctx, `INSERT INTO verdict_heads (terminal, number, restored)
			SELECT id, 0, 0 FROM terminals WHERE true
			ON CONFLICT (terminal) DO UPDATE SET restored = verdict_heads.number`); err != nil {
			return fmt.Errorf("begin restore generation: %w", err)
		}
		if _, err := t.Exec(ctx, `DELETE FROM gaps`); err != nil {
			return fmt.Errorf("begin restore generation: %w", err)
		}
		return t.Audit(ctx, pos.OperatorSystem, "restored", "database", fmt.Sprintf("backup of %d, generation %d: %s", m.AtMS, generation, note))
	})
	return generation, err
}
