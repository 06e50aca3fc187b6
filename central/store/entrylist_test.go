package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/register"
)

// crowd is n registrations of a campaign, every fifth of them not confirmed.
func crowd(of string, n uint32) (all []register.Record) {
	for i := range n {
		r := sampleRegistration(i)
		r.Campaign = of
		for name, into := range map[string]*[32]byte{
			"ref": &r.Ref, "person": &r.Person, "phone": &r.Phone, "ticket": (*[32]byte)(&r.Ticket), "query": &r.Query,
		} {
			*into = spread(of+name, i)
		}
		if i%5 == 0 {
			r.ConfirmedMS, r.Ticket, r.Query = 0, draw.Ticket{}, [32]byte{}
		}
		all = append(all, r)
	}
	return all
}

// listed is the list that records make.
func listed(all []register.Record) (list []register.Listed) {
	for _, r := range all {
		if r.ConfirmedMS > 0 {
			list = append(list, register.Listed{Entry: draw.Entry{Ticket: r.Ticket, Stratum: r.Stratum, Institution: r.Institution}, Place: r.Place})
		}
	}
	slices.SortFunc(list, func(a, b register.Listed) int { return strings.Compare(a.Ticket.String(), b.Ticket.String()) })
	return list
}

// readList reads the whole list by pages.
func readList(ctx context.Context, s *Store, of string, page int) (list []register.Listed, err error) {
	err = s.Registrations().Read(ctx, func(tx register.Tx) error {
		list = nil
		var after *draw.Ticket
		for {
			part, err := tx.List(ctx, of, after, page)
			list = append(list, part...)
			if err != nil || len(part) < page {
				return err
			}
			after = &part[len(part)-1].Ticket
		}
	})
	return list, err
}

// holds compares the store with what was put in.
func holds(t *testing.T, s *Store, all []register.Record, kept bool) {
	t.Helper()
	ctx, store, of := t.Context(), s.Registrations(), all[0].Campaign
	for i, want := range all {
		got, found, err := store.Record(ctx, of, want.Ref)
		if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
			t.Fatal(diff, found, err)
		}
		got, found, err = store.ByQuery(ctx, of, want.Query)
		if entry := want.ConfirmedMS > 0; err != nil || found != entry || entry && got.Ref != want.Ref {
			t.Fatalf("record %d by its query: %t, %v", i, found, err)
		}
		err = store.Read(ctx, func(tx register.Tx) error {
			got, found, err := tx.ByTicket(ctx, of, want.Ticket)
			if entry := kept && want.ConfirmedMS > 0; found != entry || entry && got.Ref != want.Ref {
				t.Errorf("record %d by its ticket: %t", i, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var want []register.Listed
	if kept {
		want = listed(all)
	}
	got, err := readList(ctx, s, of, 17)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestFilledRegistrationsAreMigrated: by 0051, with one campaign frozen and one open, nothing is
// lost or let in that was not, and the list of each is the same.
func TestFilledRegistrationsAreMigrated(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		frozen, going := crowd("frozen", 300), crowd("open", 300)
		before(t, s, append(slices.Clone(frozen), going...))
		if err := s.migrate(ctx); err != nil {
			t.Fatal(err)
		}
		holds(t, s, frozen, true)
		holds(t, s, going, false)
		if err := s.Registrations().PutList(ctx, "open"); err != nil {
			t.Fatal(err)
		}
		holds(t, s, going, true)
		for name, rival := range map[string]func(r *register.Record){
			"person": func(r *register.Record) { r.Person = going[1].Person },
			"phone":  func(r *register.Record) { r.Phone = going[1].Phone },
		} {
			r := crowd("rivals", 2)[1]
			rival(&r)
			err := s.once(ctx, 0, func(tx *Tx) error { return tx.putRegistrations(ctx, []register.Record{r}) })
			if err == nil {
				t.Errorf("a second entry of one %s was kept", name)
			}
		}
	})
}

// before makes the tables what they were before 0051, with these rows, the campaign "frozen" frozen.
func before(t *testing.T, s *Store, rows []register.Record) {
	t.Helper()
	ctx := t.Context()
	statements := []string{`DROP TABLE registrations`, `DROP TABLE registration_list`, `DROP TABLE registration_lanes`, `DELETE FROM migrations WHERE number = 51`}
	for _, name := range []string{"0040_campaign", "0048_registration_hashes"} {
		body, err := migrations.ReadFile("migrations/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range s.engine.statements(string(body)) {
			if strings.Contains(statement, "registrations") {
				statements = append(statements, statement)
			}
		}
	}
	err := s.tx(ctx, func(tx *Tx) error {
		for _, statement := range statements {
			if _, err := tx.tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		for rest := rows; len(rest) > 0; {
			n, from, args := tx.registrationRows(rest)
			if _, err := tx.Exec(ctx, `INSERT INTO registrations (`+registrationColumns+`) `+from, args...); err != nil {
				return err
			}
			rest = rest[n:]
		}
		_, err := tx.Exec(ctx, `INSERT INTO registration_ends (campaign, frozen_ms) VALUES ('frozen', 5)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAListIsGoneOnWith: after one who ended in the middle, and by two at once.
func TestAListIsGoneOnWith(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		all := crowd("c", 400)
		if err := s.tx(ctx, func(tx *Tx) error { return tx.putRegistrations(ctx, all) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Registrations().PutList(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		half := listed(all)[150].Ticket
		if err := s.tx(ctx, func(tx *Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM registration_list WHERE ticket >= ?`, half[:])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		failed := make([]error, 2)
		for i := range failed {
			group.Go(func() { failed[i] = s.Registrations().PutList(ctx, "c") })
		}
		group.Wait()
		if err := errors.Join(failed...); err != nil {
			t.Fatal(err)
		}
		holds(t, s, all, true)
	})
}

// TestAFrozenListTakesNobody: changes and the freeze at once; whoever was told that she is in is in the list.
func TestAFrozenListTakesNobody(t *testing.T) {
	closed := errors.New("closed")
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		all := crowd("c", 600)
		told := make([]bool, len(all))
		half := make(chan struct{})
		var group sync.WaitGroup
		for w := range 24 {
			group.Go(func() {
				for n := w; n < len(all); n += 24 {
					if n == len(all)/2 {
						close(half)
					}
					err := s.Registrations().Change(ctx, "c", all[n].Ref, func(sheet register.Sheet) (*register.Record, error) {
						if sheet.FrozenMS > 0 {
							return nil, closed
						}
						return &all[n], nil
					})
					told[n] = err == nil
					if err != nil && !errors.Is(err, closed) {
						t.Error(err)
					}
				}
			})
		}
		<-half
		if err := s.Registrations().Write(ctx, func(tx register.Tx) error { return tx.PutFrozen(ctx, "c", 1) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Registrations().PutList(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		var in []register.Record
		for n, r := range all {
			if told[n] {
				in = append(in, r)
			}
		}
		got, err := readList(ctx, s, "c", 100)
		if diff := cmp.Diff(listed(in), got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
}
