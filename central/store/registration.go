package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/central/campaign/register"
)

// Registrations is the store of campaigns' registrations.
func (s *Store) Registrations() register.Store { return registrationStore{s} }

type registrationStore struct{ *Store }

// Write implements register.Store.
func (s registrationStore) Write(ctx context.Context, fn func(tx register.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(registrationTx{t}) })
}

// Read implements register.Store.
func (s registrationStore) Read(ctx context.Context, fn func(tx register.Tx) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(registrationTx{t}) })
}

// Change implements register.Store. Changes that come at once share reads, writes and a commit.
func (s registrationStore) Change(ctx context.Context, campaign string, ref [32]byte, fn func(register.Sheet) (*register.Record, error)) error {
	return s.entrants[s.laneOf(ref)].do(ctx, s.Store, change{campaign, ref, fn})
}

// Record implements register.Store.
func (s registrationStore) Record(ctx context.Context, campaign string, ref [32]byte) (register.Record, bool, error) {
	return s.record(ctx, byRef, ref[:prefix], ref[:], campaign)
}

// ByQuery implements register.Store.
func (s registrationStore) ByQuery(ctx context.Context, campaign string, query [32]byte) (register.Record, bool, error) {
	return s.record(ctx, byQuery, query[:prefix], query[:], campaign)
}

// prefix is how many bytes of a hash registrations are found by; of two entrants no two hashes
// begin with the same, because they hang on keys that nobody has, and differ from campaign to campaign.
const prefix = 16

// What finds a record: a hash's prefix, the hash, and the campaign.
const (
	byRef   = `substr(ref, 1, 16) = ? AND ref = ? AND campaign = ?`
	byQuery = `substr(query, 1, 16) = ? AND query = ? AND campaign = ? AND confirmed_ms > 0`
)

func (s registrationStore) record(ctx context.Context, where string, args ...any) (register.Record, bool, error) {
	row, err := s.lookUp(ctx, selectRegistrations+where, args...)
	if err != nil {
		return register.Record{}, false, err
	}
	return oneRegistration(row)
}

type registrationTx struct{ *Tx }

// Key implements register.Tx.
func (t registrationTx) Key(ctx context.Context, campaign string) (wrapped []byte, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT wrapped FROM registration_keys WHERE campaign = ?`, campaign), &wrapped)
	return wrapped, found, err
}

// PutKey implements register.Tx.
func (t registrationTx) PutKey(ctx context.Context, campaign string, wrapped []byte) error {
	_, err := t.Exec(ctx, `INSERT INTO registration_keys (campaign, wrapped) VALUES (?, ?)`, campaign, wrapped)
	return err
}

// DropKey implements register.Tx. The key is written over before its row goes: SQLite
// leaves the bytes of a deleted row in the file, but overwrites one of the same length.
func (t registrationTx) DropKey(ctx context.Context, campaign string) error {
	var wrapped []byte
	found, err := one(t.QueryRow(ctx, `SELECT wrapped FROM registration_keys WHERE campaign = ?`, campaign), &wrapped)
	if err != nil || !found {
		return err
	}
	_, err0 := t.Exec(ctx, `UPDATE registration_keys SET wrapped = ? WHERE campaign = ?`, make([]byte, len(wrapped)), campaign)
	_, err1 := t.Exec(ctx, `DELETE FROM registration_keys WHERE campaign = ?`, campaign)
	_, err2 := t.Exec(ctx, `UPDATE registrations SET sealed = ?, last_fix = ? WHERE campaign = ?`, []byte{}, []byte{}, campaign)
	return errors.Join(err0, err1, err2)
}

// FrozenMS implements register.Tx.
func (t registrationTx) FrozenMS(ctx context.Context, campaign string) (ms int64, err error) {
	_, err = one(t.QueryRow(ctx, `SELECT frozen_ms FROM registration_ends WHERE campaign = ?`, campaign), &ms)
	return ms, err
}

// PutFrozen implements register.Tx. Changes that found the list open have been committed before.
func (t registrationTx) PutFrozen(ctx context.Context, campaign string, ms int64) error {
	for lane := range lanes {
		if err := t.lock(ctx, lane); err != nil {
			return err
		}
	}
	_, err := t.Exec(ctx, `INSERT INTO registration_ends (campaign, frozen_ms) VALUES (?, ?)`, campaign, ms)
	return err
}

const registrationColumns = `campaign, ref, person, phone, institution, stratum, place, last_fix, fix_ms, score, doubts, sealed,
	code, code_until_ms, sent_ms, sends, tries, created_ms, confirmed_ms, placed_ms, salt, ticket, query`

const selectRegistrations = `SELECT ` + registrationColumns + ` FROM registrations WHERE `

func oneRegistration(row *sql.Row) (r register.Record, found bool, err error) {
	r, err = scanRegistration(row)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

// scanRegistration reads registrationColumns and what follows them.
func scanRegistration(row interface{ Scan(...any) error }, more ...any) (r register.Record, err error) {
	var ref, person, phone, code, salt, ticket, query []byte
	into := []any{
		&r.Campaign, &ref, &person, &phone, &r.Institution, &r.Stratum, &r.Place, &r.LastFix, &r.FixMS, &r.Score, &r.Doubts, &r.Sealed,
		&code, &r.CodeUntilMS, &r.SentMS, &r.Sends, &r.Tries, &r.CreatedMS, &r.ConfirmedMS, &r.PlacedMS, &salt, &ticket, &query,
	}
	err = row.Scan(append(into, more...)...)
	if err != nil {
		return r, err
	}
	for _, f := range []struct {
		into *[32]byte
		from []byte
	}{{&r.Ref, ref}, {&r.Person, person}, {&r.Phone, phone}, {&r.Code, code}, {&r.Salt, salt}, {(*[32]byte)(&r.Ticket), ticket}, {&r.Query, query}} {
		if len(f.from) != len(f.into) {
			return r, fmt.Errorf("registration: a hash of %d bytes", len(f.from))
		}
		copy(f.into[:], f.from)
	}
	return r, nil
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
