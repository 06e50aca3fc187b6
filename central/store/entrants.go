package store

import (
	"bytes"
	"context"
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

// lanes is how many batches of registrations PostgreSQL has under way at once: while one waits for
// the disk or for this process, it works for another. SQLite has one writer, and one lane.
const lanes = 2

// laneOf is where all changes of the registration go, from whatever centre.
func (s *Store) laneOf(ref [32]byte) int {
	if s.engine == SQLite {
		return 0
	}
	return int(ref[31]) % lanes
}

// lock lets nobody else change the registrations of a lane until the transaction ends, so that
// what it reads of them holds. Persons and phones of other lanes are the unique indexes' matter.
func (t *Tx) lock(ctx context.Context, lane int) error {
	if t.store.engine == SQLite {
		return nil // the one writer
	}
	var got int
	if err := t.QueryRow(ctx, `SELECT lane FROM registration_lanes WHERE lane = ? FOR UPDATE`, lane).Scan(&got); err != nil {
		return fmt.Errorf("lock registrations: %w", err)
	}
	return nil
}

// changesOf is the work of a lane's batch of changes: everything that they may ask is read first,
// what they leave is written last, each in few statements, however many there are.
func changesOf(lane int) func(ctx context.Context, t *Tx, jobs []*job[change]) error {
	return func(ctx context.Context, t *Tx, jobs []*job[change]) error {
		if err := t.lock(ctx, lane); err != nil {
			return err
		}
		of := map[string][]*job[change]{}
		for _, j := range jobs {
			of[j.what.campaign] = append(of[j.what.campaign], j)
		}
		for _, campaign := range slices.Sorted(maps.Keys(of)) {
			if err := t.changes(ctx, campaign, of[campaign]); err != nil {
				return err
			}
		}
		return nil
	}
}

func (t *Tx) changes(ctx context.Context, campaign string, jobs []*job[change]) error {
	l, err := t.sheets(ctx, campaign, jobs)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.err = j.ctx.Err(); j.err == nil {
			j.err = l.change(j.what)
		}
	}
	return t.putRegistrations(ctx, l.changed())
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
		refs[i] = j.what.ref[:prefix]
	}
	from, args := t.registrationsOf(campaign, refs)
	rows, err := t.Query(ctx, `SELECT `+registrationColumns+`, `+takenColumns+` FROM `+from, args...)
	_, err = list(rows, err, "registrations", func(row interface{ Scan(...any) error }) (struct{}, error) {
		var person, phone bool
		r, err := scanRegistration(row, &person, &phone)
		l.records[r.Ref] = r
		if person {
			l.taken[r.Person] = true
		}
		if phone {
			l.taken[r.Phone] = true
		}
		return struct{}{}, err
	})
	return l, err
}

// takenColumns tell of a registration r that is no entry whether its person and its phone have one.
// A subquery with a limit is asked row by row: PostgreSQL would rather read all entries once.
const takenColumns = `confirmed_ms = 0 AND
	(SELECT 1 FROM registrations p WHERE substr(p.person, 1, 16) = substr(r.person, 1, 16) AND p.confirmed_ms > 0 LIMIT 1) IS NOT NULL,
	confirmed_ms = 0 AND
	(SELECT 1 FROM registrations p WHERE substr(p.phone, 1, 16) = substr(r.phone, 1, 16) AND p.confirmed_ms > 0 LIMIT 1) IS NOT NULL`

// registrationsOf are those whose refs begin so, as r. PostgreSQL is sent an array, one statement however
// many they are; the limit makes it look each up by itself, whatever it thinks of the table's size.
func (t *Tx) registrationsOf(campaign string, refs [][]byte) (from string, args []any) {
	if t.store.engine == Postgres {
		return `unnest(?::bytea[]) AS k (begins), LATERAL (SELECT * FROM registrations WHERE substr(ref, 1, 16) = k.begins AND campaign = ? LIMIT 1) r`,
			[]any{refs, campaign}
	}
	return `registrations r WHERE campaign = ? AND substr(ref, 1, 16) IN ` + listOf(len(refs)), append([]any{campaign}, padded(refs)...)
}

// putRegistrations writes records of different refs; a second entry of a person or phone is an error.
func (t *Tx) putRegistrations(ctx context.Context, all []register.Record) error {
	for len(all) > 0 {
		n, from, args := t.registrationRows(all)
		_, err := t.Exec(ctx, `INSERT INTO registrations (`+registrationColumns+`) `+from+`
			ON CONFLICT (substr(ref, 1, 16)) DO UPDATE SET institution = excluded.institution, stratum = excluded.stratum, place = excluded.place,
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

// registrationRows are the next n records as rows to insert. SQLite prepares statements of
// few sizes; PostgreSQL is sent a column as an array, all records at once.
func (t *Tx) registrationRows(all []register.Record) (n int, from string, args []any) {
	if t.store.engine == Postgres {
		return len(all), registrationArrays, registrationColumnsOf(all)
	}
	n = rowsAtOnce(len(all))
	for i := range all[:n] {
		args = append(args, registrationValues(&all[i])...)
	}
	return n, `VALUES ` + rowsOf(registrationWidth, n), args
}

// registrationWidth is how many registrationColumns there are.
const registrationWidth = 23

const registrationArrays = `SELECT * FROM unnest(?::text[], ?::bytea[], ?::bytea[], ?::bytea[], ?::text[], ?::text[], ?::text[], ?::bytea[],
	?::bigint[], ?::bigint[], ?::text[], ?::bytea[], ?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
	?::bigint[], ?::bigint[], ?::bytea[], ?::bytea[], ?::bytea[])`

// registrationValues are a record's, in the order of registrationColumns: texts, bytes and int64.
func registrationValues(r *register.Record) []any {
	return []any{
		r.Campaign, r.Ref[:], r.Person[:], r.Phone[:], r.Institution, r.Stratum, string(r.Place), blob(r.LastFix), r.FixMS, int64(r.Score), r.Doubts,
		blob(r.Sealed), r.Code[:], r.CodeUntilMS, r.SentMS, int64(r.Sends), int64(r.Tries), r.CreatedMS, r.ConfirmedMS, r.PlacedMS, r.Salt[:], r.Ticket[:],
		r.Query[:],
	}
}

// registrationColumnsOf turns records into columns.
func registrationColumnsOf(all []register.Record) []any {
	columns := make([]any, registrationWidth)
	for i := range all {
		for c, v := range registrationValues(&all[i]) {
			switch v := v.(type) {
			case string:
				columns[c] = appendTo(columns[c], v)
			case []byte:
				columns[c] = appendTo(columns[c], v)
			case int64:
				columns[c] = appendTo(columns[c], v)
			}
		}
	}
	return columns
}

func appendTo[T any](column any, v T) []T {
	have, _ := column.([]T) // nil at first
	return append(have, v)
}
