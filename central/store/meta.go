package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"dcpos/pos"
)

// meta reads a word about the database itself; "" when it was never written.
func (t *Tx) meta(ctx context.Context, key string) (string, error) {
	var v string
	err := t.QueryRow(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read meta %s: %w", key, err)
	}
	return v, nil
}

func (t *Tx) setMeta(ctx context.Context, key, value string) error {
	_, err := t.Exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	if err != nil {
		return fmt.Errorf("write meta %s: %w", key, err)
	}
	return nil
}

// pinEnvironment writes the environment into a new database and refuses another's.
func (s *Store) pinEnvironment(ctx context.Context, env pos.Environment) error {
	if env == "" {
		return nil
	}
	return s.tx(ctx, func(t *Tx) error {
		have, err := t.meta(ctx, "env")
		if err != nil {
			return err
		}
		if have == "" {
			return t.setMeta(ctx, "env", string(env))
		}
		if have != string(env) {
			return pos.NewError(pos.ErrEnvironment, fmt.Errorf("database is %s, this centre is %s", have, env))
		}
		return nil
	})
}

// Audit notes who did what to which subject; the trail only grows.
func (t *Tx) Audit(ctx context.Context, actor, what, subject, detail string) error {
	_, err := t.Exec(ctx, `INSERT INTO audit (at_ms, actor, what, subject, detail) VALUES (?, ?, ?, ?, ?)`,
		t.NowMS(), validText(actor), what, validText(subject), validText(detail))
	if err != nil {
		return fmt.Errorf("audit %s: %w", what, err)
	}
	return nil
}

// validText makes text of any origin fit for a text column: PostgreSQL takes neither
// NUL nor what is not UTF-8.
func validText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "?"), "?")
}

// maxWord bounds what an indexed column takes of a till's text: an index of
// PostgreSQL refuses long values, and one till's text must not stop the others.
const maxWord = 64

// word makes a till's text fit for an indexed column. The entry itself keeps the whole.
func word(s string) string { return validText(s[:min(len(s), maxWord)]) }
