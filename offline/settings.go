package offline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/offline/file"
	"dcpos/pos"
)

// Meta reads a small setting that is no money: the downlink's cursor, the last centre time.
func (s *Store) Meta(ctx context.Context, key string) (value string, ok bool, err error) {
	defer s.reword(&err)
	return meta(ctx, s.reader, key)
}

// SetMeta keeps a small setting; durable when it returns.
func (s *Store) SetMeta(ctx context.Context, key, value string) error {
	if key == metaProjection {
		return pos.FieldError(pos.ErrBadRequest, "key", fmt.Errorf("%q is the store's own", key))
	}
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return setMeta(ctx, tx, key, value) })
}

func meta(ctx context.Context, db file.Querier, key string) (value string, ok bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, storage(err)
	}
	return value, true, nil
}

func setMeta(ctx context.Context, tx *sql.Tx, key, value string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	if err != nil {
		return fmt.Errorf("set meta %s: %w", key, err)
	}
	return nil
}

// Operator is a person who may sign in at this till. PINHash is the caller's business; the store
// keeps it as it is.
type Operator struct {
	Number        string
	Name          string
	Role          string
	PINHash       string
	Active        bool
	Failures      int   // wrong PINs since the last right one
	LockedUntilMS int64 // Unix milliseconds; 0 when not locked
}

// AddOperator adds an operator, or gives an existing one a new name, role and PIN and unlocks it.
func (s *Store) AddOperator(ctx context.Context, number, name, role, pinHash string) error {
	if number == "" || number == pos.OperatorSystem || pinHash == "" {
		return pos.FieldError(pos.ErrBadRequest, "number", fmt.Errorf("operator %q: want a number of its own and a PIN", number))
	}
	return s.exec(ctx, "add operator", `INSERT INTO operators (number, name, role, pin_hash, active, failures, locked_until_ms)
		VALUES (?, ?, ?, ?, 1, 0, 0) ON CONFLICT (number) DO UPDATE SET name = excluded.name, role = excluded.role,
		pin_hash = excluded.pin_hash, active = 1, failures = 0, locked_until_ms = 0`, number, name, role, pinHash)
}

// RemoveOperator bars an operator from signing in; the row stays, since entries name it. An
// unknown number is no error.
func (s *Store) RemoveOperator(ctx context.Context, number string) error {
	return s.exec(ctx, "remove operator", `UPDATE operators SET active = 0 WHERE number = ?`, number)
}

// RecordSignInFailure counts a wrong PIN, locks the operator until the moment (0 leaves the
// lock as it is) and returns the count since the last right PIN. pos.ErrNotFound for an unknown number.
func (s *Store) RecordSignInFailure(ctx context.Context, number string, lockedUntilMS int64) (failures int, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE operators SET failures = failures + 1, locked_until_ms = max(locked_until_ms, ?)
			WHERE number = ? RETURNING failures`, lockedUntilMS, number).Scan(&failures)
		if errors.Is(err, sql.ErrNoRows) {
			return pos.NewError(pos.ErrNotFound, fmt.Errorf("operator %q", number))
		}
		return err
	})
	return failures, err
}

// ClearSignInFailures forgets wrong PINs and the lock after a right one.
func (s *Store) ClearSignInFailures(ctx context.Context, number string) error {
	return s.exec(ctx, "clear sign-in failures", `UPDATE operators SET failures = 0, locked_until_ms = 0
		WHERE number = ? AND (failures > 0 OR locked_until_ms > 0)`, number)
}

func (s *Store) exec(ctx context.Context, what, query string, args ...any) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// Operator finds an operator, barred ones included.
func (s *Store) Operator(ctx context.Context, number string) (Operator, bool, error) {
	list, err := s.operators(ctx, `WHERE number = ?`, number)
	if err != nil || len(list) == 0 {
		return Operator{}, false, err
	}
	return list[0], true, nil
}

// Operators lists all operators by number, barred ones included.
func (s *Store) Operators(ctx context.Context) ([]Operator, error) {
	return s.operators(ctx, `ORDER BY number`)
}

func (s *Store) operators(ctx context.Context, clause string, args ...any) (list []Operator, err error) {
	defer s.reword(&err)
	rows, err := s.reader.QueryContext(ctx, `SELECT number, name, role, pin_hash, active, failures, locked_until_ms
		FROM operators `+clause, args...)
	if err != nil {
		return nil, storage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var o Operator
		if err := rows.Scan(&o.Number, &o.Name, &o.Role, &o.PINHash, &o.Active, &o.Failures, &o.LockedUntilMS); err != nil {
			return nil, storage(err)
		}
		list = append(list, o)
	}
	if err := rows.Err(); err != nil {
		return nil, storage(err)
	}
	return list, nil
}
