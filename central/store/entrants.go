package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"dcpos/central/campaign/register"
)

// change is what a caller does to one registration.
type change struct {
	campaign string
	ref      [32]byte
	fn       func(register.Sheet) (*register.Record, error)
}

// changes is the work of a batch of changes: everything that they may ask is read first,
// what they leave is written last, each in few statements, however many there are.
func changes(ctx context.Context, t *Tx, jobs []*job[change]) error {
	of := map[string][]*job[change]{}
	for _, j := range jobs {
		of[j.what.campaign] = append(of[j.what.campaign], j)
	}
	for _, campaign := range slices.Sorted(maps.Keys(of)) {
		l, err := t.sheets(ctx, campaign, of[campaign])
		if err != nil {
			return err
		}
		for _, j := range of[campaign] {
			if j.err = j.ctx.Err(); j.err == nil {
				j.err = l.change(j.what)
			}
		}
		if err := t.putRegistrations(ctx, l.changed()); err != nil {
			return err
		}
	}
	return nil
}

// sheets is what changes of one campaign see: the database, and those before them.
type sheets struct {
	frozenMS int64
	records  map[[32]byte]register.Record // by ref
	dirty    map[[32]byte]bool
	taken    map[[32]byte]bool // persons and phones with an entry
}

func (l *sheets) change(c change) error {
	r, found := l.records[c.ref]
	put, err := c.fn(register.Sheet{FrozenMS: l.frozenMS, Record: r, Found: found, Taken: l.taken[r.Person] || l.taken[r.Phone]})
	if err != nil || put == nil {
		return err
	}
	l.records[c.ref], l.dirty[c.ref] = *put, true
	if put.ConfirmedMS > 0 {
		l.taken[put.Person], l.taken[put.Phone] = true, true
	}
	return nil
}

// changed is in order of ref, so that two transactions cannot wait for one another.
func (l *sheets) changed() []register.Record {
	all := make([]register.Record, 0, len(l.dirty))
	for ref := range l.dirty {
		all = append(all, l.records[ref])
	}
	slices.SortFunc(all, func(a, b register.Record) int { return bytes.Compare(a.Ref[:], b.Ref[:]) })
	return all
}

// sheets reads what the jobs may ask.
func (t *Tx) sheets(ctx context.Context, campaign string, jobs []*job[change]) (*sheets, error) {
	l := &sheets{records: map[[32]byte]register.Record{}, dirty: map[[32]byte]bool{}, taken: map[[32]byte]bool{}}
	var err error
	if l.frozenMS, err = (registrationTx{t}).FrozenMS(ctx, campaign); err != nil {
		return nil, err
	}
	refs := make([][]byte, len(jobs))
	for i, j := range jobs {
		refs[i] = j.what.ref[:]
	}
	rows, err := t.Query(ctx, selectRegistrations+`campaign = ? AND ref IN `+listOf(len(refs)), append([]any{campaign}, padded(refs)...)...)
	found, err := list(rows, err, "registrations", scanRegistration)
	if err != nil {
		return nil, err
	}
	var persons, numbers [][]byte // of those that may become entries
	for _, r := range found {
		l.records[r.Ref] = r
		if r.ConfirmedMS == 0 {
			persons, numbers = append(persons, r.Person[:]), append(numbers, r.Phone[:])
		}
	}
	return l, errors.Join(t.taken(ctx, campaign, "person", persons, l.taken), t.taken(ctx, campaign, "phone", numbers, l.taken))
}

// taken adds those hashes that an entry has in a column.
func (t *Tx) taken(ctx context.Context, campaign, column string, hashes [][]byte, into map[[32]byte]bool) error {
	if len(hashes) == 0 {
		return nil
	}
	rows, err := t.Query(ctx, `SELECT `+column+` FROM registrations WHERE campaign = ? AND confirmed_ms > 0 AND `+column+` IN `+listOf(len(hashes)),
		append([]any{campaign}, padded(hashes)...)...)
	all, err := list(rows, err, "entrants", func(row interface{ Scan(...any) error }) (hash []byte, err error) {
		return hash, row.Scan(&hash)
	})
	for _, hash := range all {
		into[[32]byte(hash)] = true
	}
	return err
}

// putRegistrations writes records of different refs; a second entry of a person or phone is an error.
func (t *Tx) putRegistrations(ctx context.Context, all []register.Record) error {
	const columns = 23
	for len(all) > 0 {
		n := rowsAtOnce(len(all))
		args := make([]any, 0, n*columns)
		for i := range all[:n] {
			r := &all[i]
			args = append(args,
				r.Campaign, r.Ref[:], r.Person[:], r.Phone[:], r.Institution, r.Stratum, string(r.Place), blob(r.LastFix), r.FixMS, r.Score, r.Doubts, blob(r.Sealed),
				r.Code[:], r.CodeUntilMS, r.SentMS, r.Sends, r.Tries, r.CreatedMS, r.ConfirmedMS, r.PlacedMS, r.Salt[:], r.Ticket[:], r.Query[:])
		}
		_, err := t.Exec(ctx, `INSERT INTO registrations (`+registrationColumns+`) VALUES `+rowsOf(columns, n)+`
			ON CONFLICT (campaign, ref) DO UPDATE SET institution = excluded.institution, stratum = excluded.stratum, place = excluded.place,
				last_fix = excluded.last_fix, fix_ms = excluded.fix_ms, score = excluded.score, doubts = excluded.doubts,
				sealed = excluded.sealed, code = excluded.code, code_until_ms = excluded.code_until_ms, sent_ms = excluded.sent_ms,
				sends = excluded.sends, tries = excluded.tries, confirmed_ms = excluded.confirmed_ms, placed_ms = excluded.placed_ms,
				salt = excluded.salt, ticket = excluded.ticket, query = excluded.query`, args...)
		if err != nil {
			return fmt.Errorf("put registrations: %w", err)
		}
		all = all[n:]
	}
	return nil
}
