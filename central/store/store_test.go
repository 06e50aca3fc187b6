package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dcpos/internal/testpg"
	"dcpos/pos"
)

// engines runs a test body on both engines, each with a fresh database.
func engines(t *testing.T, body func(t *testing.T, s *Store)) {
	t.Helper()
	for _, engine := range []Engine{SQLite, Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			body(t, open(t, engine))
		})
	}
}

func open(tb testing.TB, engine Engine) *Store {
	tb.Helper()
	url := "sqlite:" + filepath.Join(tb.TempDir(), "centre ?#%.db")
	if engine == Postgres {
		url = testpg.Start(tb)
	}
	s, err := Open(tb.Context(), Config{URL: url, Env: pos.Lab})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestOpenAgainAppliesNothing(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		again, err := Open(t.Context(), Config{URL: s.url, Env: pos.Lab})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), Config{URL: s.url, Env: pos.Live})
		if pos.CodeOf(err) != pos.ErrEnvironment {
			t.Fatalf("a live centre opened a lab database: %v", err)
		}
	})
}

func TestOpenRefusesForeignSchema(t *testing.T) {
	for name, statement := range map[string]string{
		"newer":   `INSERT INTO migrations (number, name, hash, applied_ms) VALUES (9999, '9999_x.sql', '', 0)`,
		"changed": `UPDATE migrations SET hash = 'x' WHERE number = 1`,
	} {
		engines(t, func(t *testing.T, s *Store) {
			t.Helper()
			if err := s.tx(t.Context(), func(tx *Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), Config{URL: s.url}); pos.CodeOf(err) != pos.ErrSchema {
				t.Fatalf("%s: got %v, want %s", name, err, pos.ErrSchema)
			}
		})
	}
}

func TestAuditOnlyGrows(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		if err := s.tx(ctx, func(tx *Tx) error { return tx.Audit(ctx, "a", "b", "c", "d") }); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{`UPDATE audit SET actor = 'x'`, `DELETE FROM audit`} {
			err := s.tx(ctx, func(tx *Tx) error { _, err := tx.Exec(ctx, q); return err })
			if err == nil || !strings.Contains(err.Error(), "only grows") {
				t.Errorf("%s: %v", q, err)
			}
		}
	})
}

// TestConcurrentTransactions counts up from many goroutines: no step may be lost.
func TestConcurrentTransactions(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 20 {
					if err := s.tx(ctx, func(tx *Tx) error { return countUp(ctx, tx) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var got string
		if err := s.view(ctx, func(tx *Tx) (err error) { got, err = tx.meta(ctx, "n"); return err }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 160 {
			t.Fatalf("got %d steps, want 160", len(got))
		}
	})
}

func countUp(ctx context.Context, tx *Tx) error {
	v, err := tx.meta(ctx, "n")
	if err != nil {
		return err
	}
	return tx.setMeta(ctx, "n", v+"x")
}

func TestRollback(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		stop := errors.New("stop")
		err := s.tx(ctx, func(tx *Tx) error {
			if err := tx.setMeta(ctx, "k", "v"); err != nil {
				return err
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if err := s.view(ctx, func(tx *Tx) error {
			v, err := tx.meta(ctx, "k")
			if v != "" {
				t.Errorf("kept %q of a transaction that was given up", v)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
