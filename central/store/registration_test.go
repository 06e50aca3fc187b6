package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// hash is a hash that begins with n.
func hash(n uint32) (h [32]byte) {
	binary.BigEndian.PutUint32(h[:], n)
	return h
}

func sampleRegistration(n uint32) register.Record {
	return register.Record{
		Campaign: "c", Ref: hash(n), Person: hash(n + 1000), Phone: hash(n + 2000), Institution: "ICBC", Stratum: "locals",
		Place: fence.Ambiguous, LastFix: []byte{1}, FixMS: 2, Score: 55, Doubts: "rooted", Sealed: []byte{3}, Code: hash(n + 3000),
		CodeUntilMS: 4, SentMS: 5, Sends: 6, Tries: 7, CreatedMS: 8, ConfirmedMS: 9, PlacedMS: 10, Salt: hash(n + 4000),
		Ticket: draw.Ticket(hash(n + 5000)), Query: hash(n + 6000),
	}
}

func putRegistrations(ctx context.Context, s *Store, all ...register.Record) error {
	for _, r := range all {
		err := s.Registrations().Change(ctx, r.Campaign, r.Ref, func(register.Sheet) (*register.Record, error) { return &r, nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// sheetOf is what a change of r would see.
func sheetOf(ctx context.Context, s *Store, of string, ref [32]byte) (sheet register.Sheet, err error) {
	err = s.Registrations().Change(ctx, of, ref, func(seen register.Sheet) (*register.Record, error) {
		sheet = seen
		return nil, nil //nolint:nilnil // nothing is to be kept
	})
	return sheet, err
}

func TestRegistrationRows(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		pending := sampleRegistration(7)
		pending.ConfirmedMS = 0
		if err := putRegistrations(ctx, s, sampleRegistration(2), sampleRegistration(1), pending); err != nil {
			t.Fatal(err)
		}
		want := sampleRegistration(1)
		if err := s.Registrations().PutList(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		err := s.Registrations().Read(ctx, func(tx register.Tx) error {
			for name, find := range map[string]func() (register.Record, bool, error){
				"ref":    func() (register.Record, bool, error) { return s.Registrations().Record(ctx, "c", want.Ref) },
				"query":  func() (register.Record, bool, error) { return s.Registrations().ByQuery(ctx, "c", want.Query) },
				"ticket": func() (register.Record, bool, error) { return tx.ByTicket(ctx, "c", want.Ticket) },
			} {
				got, found, err := find()
				if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
					t.Error(name, diff, found, err)
				}
			}
			if _, found, err := s.Registrations().ByQuery(ctx, "c", pending.Query); found || err != nil {
				t.Error("what is not confirmed has a query", err)
			}
			if _, found, err := s.Registrations().Record(ctx, "other", want.Ref); found || err != nil {
				t.Error("found in another campaign", err)
			}
			first, err := tx.List(ctx, "c", nil, 1)
			if err != nil || len(first) != 1 || first[0].Ticket != want.Ticket || first[0].Stratum != "locals" || first[0].Place != fence.Ambiguous {
				t.Errorf("first page %v, %v", first, err)
			}
			rest, err := tx.List(ctx, "c", &first[0].Ticket, 10)
			if err != nil || len(rest) != 1 || rest[0].Ticket != sampleRegistration(2).Ticket {
				t.Errorf("second page %v, %v", rest, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if sheet, err := sheetOf(ctx, s, "c", pending.Ref); err != nil || !sheet.Found || sheet.Taken || sheet.Record.Ref != pending.Ref {
			t.Errorf("what is not confirmed takes a person: %+v, %v", sheet, err)
		}
		if sheet, err := sheetOf(ctx, s, "c", hash(99)); err != nil || sheet.Found || sheet.Taken {
			t.Errorf("who has not registered: %+v, %v", sheet, err)
		}
		for name, rival := range map[string]func(r *register.Record){
			"person": func(r *register.Record) { r.Person = want.Person },
			"phone":  func(r *register.Record) { r.Phone = want.Phone },
		} {
			r := sampleRegistration(60)
			r.ConfirmedMS = 0
			rival(&r)
			if err := putRegistrations(ctx, s, r); err != nil {
				t.Fatal(err)
			}
			if sheet, err := sheetOf(ctx, s, "c", r.Ref); err != nil || !sheet.Taken {
				t.Errorf("a rival for one %s is not told so: %+v, %v", name, sheet, err)
			}
		}
		for name, r := range map[string]register.Record{
			"person": func() register.Record { r := sampleRegistration(50); r.Person = want.Person; return r }(),
			"phone":  func() register.Record { r := sampleRegistration(51); r.Phone = want.Phone; return r }(),
		} {
			short, cancel := context.WithTimeout(ctx, time.Second) // PostgreSQL would try again for long
			if err := putRegistrations(short, s, r); err == nil {
				t.Errorf("a second entry of one %s was kept", name)
			}
			cancel()
		}
	})
}

func TestRegistrationKeys(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		if err := errors.Join(putRegistrations(ctx, s, sampleRegistration(1)), s.Registrations().PutList(ctx, "c")); err != nil {
			t.Fatal(err)
		}
		err := s.Registrations().Write(ctx, func(tx register.Tx) error {
			if err := tx.PutKey(ctx, "c", []byte("wrapped")); err != nil {
				return err
			}
			if key, found, err := tx.Key(ctx, "c"); string(key) != "wrapped" || !found || err != nil {
				t.Error(key, found, err)
			}
			if err := tx.DropKey(ctx, "c"); err != nil {
				return err
			}
			own, ok := tx.(registrationTx)
			if !ok {
				t.Fatalf("%T", tx)
			}
			r, _, err := own.ByTicket(ctx, "c", sampleRegistration(1).Ticket)
			if len(r.Sealed) > 0 || len(r.LastFix) > 0 || r.Ticket != sampleRegistration(1).Ticket || err != nil {
				t.Errorf("after the key is gone: %+v, %v", r, err)
			}
			if _, found, err := tx.Key(ctx, "c"); found || err != nil {
				t.Error(found, err)
			}
			return tx.PutFrozen(ctx, "c", 77)
		})
		if err != nil {
			t.Fatal(err)
		}
		again := s.Registrations().Write(ctx, func(tx register.Tx) error {
			if ms, err := tx.FrozenMS(ctx, "c"); ms != 77 || err != nil {
				t.Error(ms, err)
			}
			return tx.PutFrozen(ctx, "c", 78)
		})
		if again == nil {
			t.Error("a list was frozen twice")
		}
	})
}

// TestADestroyedKeyLeavesTheFile: its bytes are in the file while it stands and not after.
func TestADestroyedKeyLeavesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	key := []byte("a wrapped key of sixty bytes that nobody has a second time..")
	step := func(do func(ctx context.Context, tx register.Tx) error) bool {
		t.Helper()
		s, err := Open(t.Context(), Config{URL: "sqlite:" + path, Env: pos.Lab})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Registrations().Write(t.Context(), func(tx register.Tx) error { return do(t.Context(), tx) })
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, key)
	}
	if !step(func(ctx context.Context, tx register.Tx) error { return tx.PutKey(ctx, "c", key) }) {
		t.Fatal("this test looks for the wrong bytes")
	}
	if step(func(ctx context.Context, tx register.Tx) error { return tx.DropKey(ctx, "c") }) {
		t.Error("the key is in the file")
	}
}

// lastMessage is an SMS adapter that keeps the last message.
type lastMessage struct {
	mu    sync.Mutex
	text  string
	count int
}

func (l *lastMessage) Send(_ context.Context, _ string, text pos.Text) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = text.ZH
	l.count++
	return nil
}

// desk opens a campaign without fence or authority.
func desk(t *testing.T, s *Store, now func() time.Time, sms register.SMS) (*register.Desk, campaign.Definition) {
	t.Helper()
	all, err := campaign.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var d campaign.Definition
	for _, c := range all {
		if c.Name == "changsha-2021-06" {
			d = c
		}
	}
	p, err := campaign.Publish(d, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	private, _, err := note.GenerateKey(nil, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := register.Open(register.Config{
		Campaign: p, Store: s.Registrations(), Publisher: signer, SMS: sms, Master: make([]byte, 32), Now: now, PerSource: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	return opened, d
}

var submissions = goflag.Int("submissions", 2_000, "how often one person submits at once; 100000 is the long form")

func TestDoubtsAreCounted(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		pending, plain := sampleRegistration(2), sampleRegistration(3)
		pending.ConfirmedMS, plain.Score, plain.Doubts = 0, 0, ""
		if err := putRegistrations(t.Context(), s, sampleRegistration(1), pending, plain); err != nil {
			t.Fatal(err)
		}
		got, err := s.Doubts(t.Context(), "c")
		want := []DoubtGroup{{"", 0, 1, 1}, {"rooted", 55, 2, 1}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if got, err := s.Doubts(t.Context(), "other"); len(got) != 0 || err != nil {
			t.Errorf("of another campaign: %v, %v", got, err)
		}
	})
}

// TestOnePersonOneEntry: one person submits and confirms again and again at once, on two
// desks of one database, and has one entry.
func TestOnePersonOneEntry(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		sms := new(lastMessage)
		now := time.Date(2021, 5, 23, 12, 0, 0, 0, pos.Shanghai())
		one, d := desk(t, s, func() time.Time { return now }, sms)
		two, _ := desk(t, s, func() time.Time { return now }, sms)
		r := register.Request{Name: "张三", Document: campaign.ResidentID, Number: "11010519491231002X", Phone: "13800138000", Institution: "ICBC"}
		const confirmations = 500
		var group sync.WaitGroup
		refs := make([]string, 64)
		begun := time.Now()
		for w := range refs {
			group.Go(func() {
				for n := w; n < *submissions; n += len(refs) {
					a, err := []*register.Desk{one, two}[w%2].Register(ctx, r)
					if err != nil {
						t.Error(err)
						return
					}
					refs[w] = a.Ref
				}
			})
		}
		group.Wait()
		if sms.count != 1 {
			t.Errorf("%d messages", sms.count)
		}
		code := regexp.MustCompile(`[0-9]{6}`).FindString(sms.text)
		t.Logf("%d submissions in %s", *submissions, time.Since(begun).Round(time.Millisecond))
		queries := make([]string, 64)
		for w := range queries {
			group.Go(func() {
				for range confirmations / len(queries) {
					e, err := []*register.Desk{one, two}[w%2].Confirm(ctx, refs[w], code)
					if err != nil {
						t.Error(err)
						return
					}
					queries[w] = e.Query
				}
			})
		}
		group.Wait()
		for w := range queries {
			if queries[w] != queries[0] || refs[w] != refs[0] {
				t.Fatal("one person has two entries")
			}
		}
		now = d.Register.Until
		var list bytes.Buffer
		if err := one.Freeze(ctx, &list, "operator"); err != nil || bytes.Count(list.Bytes(), []byte("\n")) != 2 {
			t.Errorf("the list is %s, %v", list.Bytes(), err)
		}
	})
}

// TestRivalsForOnePerson: one document, registered from many phones at once, enters once.
func TestRivalsForOnePerson(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		var mu sync.Mutex
		codes := map[string]string{}
		sms := smsFunc(func(phone, text string) {
			mu.Lock()
			defer mu.Unlock()
			codes[phone] = regexp.MustCompile(`[0-9]{6}`).FindString(text)
		})
		now := time.Date(2021, 5, 23, 12, 0, 0, 0, pos.Shanghai())
		d, _ := desk(t, s, func() time.Time { return now }, sms)
		var group sync.WaitGroup
		entered := 0
		for n := range 24 {
			group.Go(func() {
				phone := fmt.Sprintf("138%08d", n)
				a, err := d.Register(ctx, register.Request{Name: "张三", Document: campaign.ResidentID, Number: "11010519491231002X", Phone: phone, Institution: "ABC"})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				code := codes[phone]
				mu.Unlock()
				_, err = d.Confirm(ctx, a.Ref, code)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					entered++
				} else if pos.CodeOf(err) != pos.ErrKeyConflict {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if entered != 1 {
			t.Errorf("%d of 24 rivals entered, want 1", entered)
		}
	})
}

type smsFunc func(phone, text string)

func (f smsFunc) Send(_ context.Context, phone string, text pos.Text) error {
	f(phone, text.ZH)
	return nil
}

func TestPublishedCampaignsNeverChange(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		all, err := campaign.Shipped()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			var area []byte
			if d.Fence != "" {
				if area, err = campaign.ShippedArea(d.Fence); err != nil {
					t.Fatal(err)
				}
			}
			p, err := campaign.Publish(d, 1, area)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := s.PutCampaign(ctx, p); err != nil {
					t.Fatal(err)
				}
			}
			got, err := s.Campaign(ctx, d.Name)
			if err != nil || got.Hash != p.Hash || got.Version != 1 {
				t.Errorf("%s: %v", d.Name, err)
			}
			d.Note += " changed"
			for version, want := range map[int]pos.Code{1: pos.ErrKeyConflict, 3: pos.ErrIllegalMove} {
				other, err := campaign.Publish(d, version, area)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.PutCampaign(ctx, other); pos.CodeOf(err) != want {
					t.Errorf("%s version %d: %v, want %s", d.Name, version, err, want)
				}
			}
		}
		err = s.tx(ctx, func(tx *Tx) error { _, err := tx.Exec(ctx, `UPDATE campaigns SET version = 9`); return err })
		if err == nil {
			t.Error("a published campaign was changed")
		}
		if _, err := s.Campaign(ctx, "nobody"); pos.CodeOf(err) != pos.ErrNotFound {
			t.Error(err)
		}
	})
}

// TestABatchSharesOnlyTheCommit: of many writes at once, those that fail leave nothing,
// the others stand, and one with a cancelled context harms nobody.
func TestABatchSharesOnlyTheCommit(t *testing.T) {
	stop := errors.New("stop")
	put := func(ctx context.Context, tx *Tx, n uint32) error {
		_, err := tx.Exec(ctx, `INSERT INTO registration_keys (campaign, wrapped) VALUES (?, ?)`, fmt.Sprint(n), []byte{1})
		return err
	}
	ways := map[string]func(ctx context.Context, cancel func(), tx *Tx, n uint32) error{
		"stands":       func(ctx context.Context, _ func(), tx *Tx, n uint32) error { return put(ctx, tx, n) },
		"fails before": func(context.Context, func(), *Tx, uint32) error { return stop },
		"fails after":  func(ctx context.Context, _ func(), tx *Tx, n uint32) error { return errors.Join(put(ctx, tx, n), stop) },
		"fails after a query": func(ctx context.Context, _ func(), tx *Tx, n uint32) error {
			var got string
			return errors.Join(tx.QueryRow(ctx, `INSERT INTO registration_keys (campaign, wrapped) VALUES (?, ?) RETURNING campaign`, fmt.Sprint(n), []byte{1}).Scan(&got), stop)
		},
		"the database refuses": func(ctx context.Context, _ func(), tx *Tx, n uint32) error {
			_, err := tx.Exec(ctx, `SELECT nothing FROM nowhere`)
			return err
		},
		"the database refuses a question": func(ctx context.Context, _ func(), tx *Tx, n uint32) error {
			return tx.QueryRow(ctx, `SELECT nothing FROM nowhere`).Scan(new(string))
		},
		"its caller goes": func(ctx context.Context, cancel func(), tx *Tx, n uint32) error {
			if err := put(ctx, tx, n); err != nil {
				return err
			}
			cancel()
			return put(ctx, tx, n+1000)
		},
	}
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		from := uint32(0)
		for name, write := range ways {
			const writers = 60
			from += 10_000
			var group sync.WaitGroup
			for n := from; n < from+writers; n++ {
				group.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					bad := n%20 == 7 && name != "stands"
					err := s.answers.do(ctx, s, func(tx *Tx) error {
						if bad {
							return write(ctx, cancel, tx, n)
						}
						return put(ctx, tx, n)
					})
					if (err != nil) != bad || bad && strings.HasPrefix(name, "fails") && !errors.Is(err, stop) {
						t.Errorf("%s: write %d: %v", name, n, err)
					}
				})
			}
			group.Wait()
			var kept int
			if err := s.read.QueryRowContext(t.Context(), `SELECT count(*) FROM registration_keys`).Scan(&kept); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: writers, false: writers - 3}[name == "stands"]; kept != want {
				t.Errorf("%s: %d kept, want %d", name, kept, want)
			}
			if _, err := s.write.ExecContext(t.Context(), `DELETE FROM registration_keys`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestChangesShareReadsAndWrites: of many changes at once each sees those before it, and
// one that fails or whose caller has gone leaves nothing.
func TestChangesShareReadsAndWrites(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		stop := errors.New("stop")
		const refs, each = 40, 8
		for n := range uint32(refs) {
			r := sampleRegistration(n)
			r.Sends, r.ConfirmedMS, r.Person = 0, 0, hash(n/2) // two rivals for each person
			if err := putRegistrations(t.Context(), s, r); err != nil {
				t.Fatal(err)
			}
		}
		var entered atomic.Int64
		var group sync.WaitGroup
		for i := range uint32(refs * each) {
			group.Go(func() {
				n, failing := i%refs, i >= refs*(each-1)
				err := s.Registrations().Change(t.Context(), "c", hash(n), func(sheet register.Sheet) (*register.Record, error) {
					r := sheet.Record
					r.Sends++
					if !sheet.Taken && r.ConfirmedMS == 0 {
						r.ConfirmedMS = 1
					}
					if failing {
						return &r, stop
					}
					return &r, nil
				})
				if failing != errors.Is(err, stop) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for n := range uint32(refs) {
			r, found, err := s.Registrations().Record(t.Context(), "c", hash(n))
			if !found || err != nil || r.Sends != each-1 {
				t.Errorf("%d: %d changes of %d, %v", n, r.Sends, each-1, err)
			}
			entered.Add(r.ConfirmedMS)
		}
		if entered.Load() != refs/2 {
			t.Errorf("%d entries for %d persons", entered.Load(), refs/2)
		}
	})
}

// TestRegistrationsAreLookedUpByHash: also by the plan that PostgreSQL keeps from an empty table.
func TestRegistrationsAreLookedUpByHash(t *testing.T) {
	s := open(t, Postgres)
	err := s.tx(t.Context(), func(tx *Tx) error {
		from, _ := tx.registrationsOf("c", nil)
		for _, q := range []struct {
			query, kinds, values string
			conds                []string
		}{
			{`SELECT ` + registrationColumns + `, ` + takenColumns + ` FROM ` + from, `bytea[], text`, `'{}', 'c'`, []string{"ref", "person", "phone"}},
			{selectRegistrations + byRef, `bytea, bytea, text`, `'', '', ''`, []string{"ref"}},
			{selectRegistrations + byQuery, `bytea, bytea, text`, `'', '', ''`, []string{"query"}},
		} {
			plan, err := tx.plan(t.Context(), q.query, q.kinds, q.values)
			if err != nil {
				return err
			}
			for _, column := range q.conds {
				if want := "Index Cond: (substr(" + column + ", 1, 16) ="; !strings.Contains(plan, want) {
					t.Errorf("no %q in\n%s", want, plan)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// plan is how PostgreSQL runs a query when it keeps the plan.
func (t *Tx) plan(ctx context.Context, query, kinds, values string) (string, error) {
	for _, q := range []string{
		`SET LOCAL plan_cache_mode = force_generic_plan`, `DEALLOCATE ALL`, `PREPARE q (` + kinds + `) AS ` + t.store.engine.rebind(query),
	} {
		if _, err := t.tx.ExecContext(ctx, q, pgx.QueryExecModeSimpleProtocol); err != nil {
			return "", err
		}
	}
	rows, err := t.tx.QueryContext(ctx, `EXPLAIN EXECUTE q (`+values+`)`, pgx.QueryExecModeSimpleProtocol)
	lines, err := list(rows, err, "plan", func(row interface{ Scan(...any) error }) (line string, err error) { return line, row.Scan(&line) })
	return strings.Join(lines, "\n"), err
}
