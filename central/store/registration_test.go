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
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	return s.Registrations().Write(ctx, func(tx register.Tx) error {
		for _, r := range all {
			if err := tx.Put(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
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
		err := s.Registrations().Read(ctx, func(tx register.Tx) error {
			for name, find := range map[string]func() (register.Record, bool, error){
				"ref":    func() (register.Record, bool, error) { return tx.Record(ctx, "c", want.Ref) },
				"query":  func() (register.Record, bool, error) { return tx.ByQuery(ctx, "c", want.Query) },
				"ticket": func() (register.Record, bool, error) { return tx.ByTicket(ctx, "c", want.Ticket) },
			} {
				got, found, err := find()
				if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
					t.Error(name, diff, found, err)
				}
			}
			if _, found, err := tx.ByQuery(ctx, "c", pending.Query); found || err != nil {
				t.Error("what is not confirmed has a query", err)
			}
			if _, found, err := tx.Record(ctx, "other", want.Ref); found || err != nil {
				t.Error("found in another campaign", err)
			}
			if _, found, err := tx.Entrant(ctx, "c", pending.Person, pending.Phone); found || err != nil {
				t.Error("what is not confirmed takes a person", err)
			}
			for _, r := range []register.Record{{Person: want.Person}, {Phone: want.Phone}} {
				if ref, found, err := tx.Entrant(ctx, "c", r.Person, r.Phone); !found || ref != want.Ref || err != nil {
					t.Error(ref, found, err)
				}
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
		if err := putRegistrations(ctx, s, sampleRegistration(1)); err != nil {
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
			r, _, err := tx.Record(ctx, "c", hash(1))
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

var submissions = goflag.Int("submissions", 6_400, "how often one person submits at once; 100000 is the long form")

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
		for w := range refs {
			group.Go(func() {
				for range *submissions / len(refs) {
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
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		stop := errors.New("stop")
		var group sync.WaitGroup
		const writers = 100
		for n := range uint32(writers) {
			group.Go(func() {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				err := s.Registrations().Write(ctx, func(tx register.Tx) error {
					if err := tx.Put(ctx, sampleRegistration(n*10_000)); err != nil {
						return err
					}
					switch n % 5 {
					case 1:
						return stop
					case 2: // an error of the database itself
						own, ok := tx.(registrationTx)
						if !ok {
							return stop
						}
						_, err := own.Exec(ctx, `SELECT nothing FROM nowhere`)
						return err
					case 3:
						if n%25 == 3 {
							cancel()
							return tx.Put(ctx, sampleRegistration(n*10_000+2))
						}
					}
					return nil
				})
				bad := n%5 == 1 || n%5 == 2 || n%25 == 3
				if (err != nil) != bad || (n%5 == 1 && !errors.Is(err, stop)) {
					t.Errorf("write %d: %v", n, err)
				}
			})
		}
		group.Wait()
		err := s.Registrations().Read(ctx, func(tx register.Tx) error {
			for n := range uint32(writers) {
				_, found, err := tx.Record(ctx, "c", hash(n*10_000))
				if err != nil {
					return err
				}
				if bad := n%5 == 1 || n%5 == 2 || n%25 == 3; found == bad {
					t.Errorf("write %d: kept %t", n, found)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
