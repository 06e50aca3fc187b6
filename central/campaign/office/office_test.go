package office_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/central/ledger"
	"dcpos/central/store"
	"dcpos/internal/testpg"
	"dcpos/lab/witness"
	"dcpos/pos"
)

// phones remembers the last message to each.
type phones struct {
	mu   sync.Mutex
	last map[string]string
}

func (p *phones) Send(_ context.Context, phone string, text pos.Text) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[phone] = text.ZH
	return nil
}

func (p *phones) code(phone string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return regexp.MustCompile(`[0-9]{6}`).FindString(p.last[phone])
}

// stage is an office, its store, a witness over HTTP and one clock for all.
type stage struct {
	*office.Office
	cfg     office.Config
	db      *store.Store
	phones  *phones
	now     atomic.Int64
	witness *witness.Witness
	down    atomic.Bool // the witness does not answer
	lose    atomic.Bool // she signs and her answer is lost
}

func (s *stage) set(t time.Time) { s.now.Store(t.UnixMilli()) }

func must[T any](v T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// engines plays on both databases.
func engines(t *testing.T, play func(t *testing.T, s *stage)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			url := "sqlite:" + filepath.Join(t.TempDir(), "c.db")
			if engine == "postgres" {
				url = testpg.Start(t)
			}
			play(t, newStage(t, url))
		})
	}
}

func newStage(t *testing.T, url string) *stage {
	t.Helper()
	s := &stage{phones: &phones{last: map[string]string{}}}
	clock := func() time.Time { return time.UnixMilli(s.now.Load()) }
	s.set(definition(t).Register.From.AddDate(0, 0, -1))
	s.db = must(store.Open(t.Context(), store.Config{URL: url, Env: pos.Lab}))(t)
	t.Cleanup(func() { _ = s.db.Close() })
	s.witness = must(witness.Open(filepath.Join(t.TempDir(), "witness.json"), "witness.example", clock))(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if s.lose.Load() {
			s.witness.Handler().ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		s.witness.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	secret, public, err := office.Publisher("publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.witness.Watch("dcpos/draw/wangfujing-2021", public); err != nil {
		t.Fatal(err)
	}
	s.cfg = office.Config{
		Env: pos.Lab, Store: s.db.Office(), PublisherKey: public, Witness: s.witness.VerifierKey(), Ask: draw.Ask{URL: server.URL},
		Institutions: []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}, Folder: t.TempDir(),
		Desk: register.Config{
			Store: s.db.Registrations(), Publisher: must(office.OpenPublisher(secret))(t), SMS: s.phones,
			Master: bytes.Repeat([]byte{7}, 32), Now: clock, PerSource: 1 << 30,
		},
	}
	s.again(t)
	return s
}

// again is the office of a process that was started anew.
func (s *stage) again(t *testing.T) { t.Helper(); s.Office = must(office.New(s.cfg))(t) }

func definition(t *testing.T) campaign.Definition {
	t.Helper()
	for _, d := range must(campaign.Shipped())(t) {
		if d.Name == "wangfujing-2021" {
			d.Presence, d.Fence = campaign.Anywhere, ""
			d.Tiers, d.Budget, d.Waiting = []campaign.Tier{{Face: 20000, Count: 5}}, 100000, 3
			d.Scope.Merchants, d.Scope.Stores = []string{"*"}, []string{"*"}
			return d
		}
	}
	t.Fatal("not shipped")
	return campaign.Definition{}
}

func draft(t *testing.T) office.Draft {
	t.Helper()
	return office.Draft{Definition: definition(t), Chain: draw.PracticeChain, By: "operator"}
}

// fund gives the provider an amount.
func (s *stage) fund(t *testing.T, amount pos.Money) {
	t.Helper()
	tx := ledger.Deposited("dongcheng-district", "ICBC", fmt.Sprint("transfer ", amount), amount, "2021-02-01")
	if _, err := s.db.Ledger().Post(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) enter(t *testing.T, n int) register.Entry {
	t.Helper()
	desk := must(s.Desk(t.Context(), "wangfujing-2021"))(t)
	r := register.Request{
		Name: "张三", Document: campaign.Passport, Country: "FRA", Number: fmt.Sprintf("P%07d", n), Phone: fmt.Sprintf("138%08d", n), Institution: "ICBC",
	}
	a := must(desk.Register(t.Context(), r))(t)
	return must(desk.Confirm(t.Context(), a.Ref, s.phones.code(r.Phone)))(t)
}

func (s *stage) state(t *testing.T) office.State {
	t.Helper()
	return must(s.Campaign(t.Context(), "wangfujing-2021"))(t).State(s.Now())
}

func TestFromPublishToDraw(t *testing.T) {
	engines(t, func(t *testing.T, s *stage) {
		t.Helper()
		ctx := t.Context()
		d := definition(t)
		s.fund(t, d.Budget)
		c := must(s.Publish(ctx, draft(t)))(t)
		if c.State(s.Now()) != office.Published || c.Seen[1].IsZero() {
			t.Fatalf("after publishing it is %s", c.State(s.Now()))
		}
		if b := must(s.db.Ledger().Balance(ctx, ledger.Budget("wangfujing-2021")))(t); b.Amount != -d.Budget {
			t.Errorf("the budget holds %s", b.Amount)
		}
		must(s.Publish(ctx, draft(t)))(t) // a repeat
		s.set(d.Register.From)
		if s.state(t) != office.Registering {
			t.Errorf("at the first moment it is %s", s.state(t))
		}
		var entries []register.Entry
		for n := range 30 {
			entries = append(entries, s.enter(t, n))
		}
		if _, err := s.Close(ctx, "wangfujing-2021", "operator"); pos.CodeOf(err) != pos.ErrIllegalMove {
			t.Errorf("closed while it is open: %v", err)
		}
		s.set(d.Register.Until)
		s.Tend(ctx) // by itself
		if c = must(s.Campaign(ctx, "wangfujing-2021"))(t); c.State(s.Now()) != office.Closed || c.Seen[2].IsZero() {
			t.Fatalf("after the close it is %s, list seen %s", c.State(s.Now()), c.Seen[2])
		}
		round := must(draw.PracticeRound(c.Terms.Beacon.Round))(t)
		if _, err := s.Draw(ctx, "wangfujing-2021", round, "operator"); pos.CodeOf(err) != pos.ErrIllegalMove {
			t.Errorf("drawn before the round can be known: %v", err)
		}
		s.set(c.RoundAt)
		c = must(s.Draw(ctx, "wangfujing-2021", round, "operator"))(t)
		s.proves(t, entries)
		if c.State(s.Now()) != office.Drawn {
			t.Errorf("after the draw it is %s", c.State(s.Now()))
		}
		s.destroyed(t, c, entries)
	})
}

// proves holds the published folder against the verifier and the receipts.
func (s *stage) proves(t *testing.T, entries []register.Entry) {
	t.Helper()
	dir := s.Dir("wangfujing-2021")
	v, err := draw.Verify(dir, &draw.Trust{Publisher: s.cfg.PublisherKey, Witness: s.cfg.Witness})
	if err != nil || v.Entries != int64(len(entries)) || !v.Practice || !v.Authenticated {
		t.Fatalf("verdict %+v, %v", v, err)
	}
	list := must(os.ReadFile(filepath.Join(dir, draw.EntriesFile)))(t)
	c := must(s.Campaign(t.Context(), "wangfujing-2021"))(t)
	results := must(s.Results(t.Context(), c))(t)
	won, waits := 0, 0
	for _, e := range entries {
		r := must(register.OpenReceipt(e.Signed, c.Terms))(t)
		if kept, err := r.Kept(bytes.NewReader(list)); !kept || err != nil {
			t.Errorf("a receipt is not kept: %v", err)
		}
		switch x := results[r.Entry.Ticket]; {
		case x.Rank > 0 && x.Face == 20000:
			won++
		case x.Place > 0:
			waits++
		}
	}
	if won != 5 || waits != 3 {
		t.Errorf("%d won, %d wait", won, waits)
	}
}

// destroyed lets the time of personal data run out.
func (s *stage) destroyed(t *testing.T, c office.Campaign, entries []register.Entry) {
	t.Helper()
	ctx := t.Context()
	desk := must(s.Desk(ctx, "wangfujing-2021"))(t)
	due := c.Definition.Spend.Until.AddDate(0, 0, c.Definition.Registration.KeepDays)
	s.set(due.Add(-time.Millisecond))
	s.Tend(ctx)
	must(desk.Reveal(ctx, []draw.Ticket{entries[0].Receipt.Entry.Ticket}, "operator"))(t)
	s.set(due)
	s.Tend(ctx)
	s.Tend(ctx)
	if _, err := desk.Reveal(ctx, []draw.Ticket{entries[0].Receipt.Entry.Ticket}, "operator"); pos.CodeOf(err) != pos.ErrNotFound {
		t.Errorf("revealed after its time: %v", err)
	}
	s.again(t)
	if err := os.RemoveAll(s.Dir("wangfujing-2021")); err != nil {
		t.Fatal(err)
	}
	must(s.Draw(ctx, "wangfujing-2021", *c.Round, "operator"))(t) // from what is left after the key is gone
	s.proves(t, entries)
}

func TestRefusedDrafts(t *testing.T) {
	engines(t, func(t *testing.T, s *stage) {
		t.Helper()
		budget := definition(t).Budget
		s.fund(t, budget-1)
		for name, c := range map[string]struct {
			change func(*office.Draft)
			code   pos.Code
			field  string
		}{
			"a fen short":          {func(*office.Draft) {}, pos.ErrInsufficient, "budget_fen"},
			"face 0":               {func(d *office.Draft) { d.Definition.Tiers = []campaign.Tier{{Face: 0, Count: 1}} }, pos.ErrConfig, "tiers[0].face_fen"},
			"overlapping windows":  {func(d *office.Draft) { d.Definition.Spend.From = d.Definition.Register.From }, pos.ErrConfig, "spend"},
			"unknown store":        {func(d *office.Draft) { d.Definition.Scope.Stores = []string{"nowhere"} }, pos.ErrConfig, "scope.stores[0]"},
			"unknown institution":  {func(d *office.Draft) { d.Definition.Institutions = []campaign.Institution{{Code: "XYZ"}} }, pos.ErrConfig, "institutions[0]"},
			"live campaign in lab": {func(d *office.Draft) { d.Definition.Env = pos.Live }, pos.ErrEnvironment, "env"},
			"draw before close":    {func(d *office.Draft) { d.DrawAt = d.Definition.Register.Until }, pos.ErrBadRequest, "draw_at"},
			"draw after expiry":    {func(d *office.Draft) { d.DrawAt = d.Definition.Spend.Until.Add(1) }, pos.ErrBadRequest, "draw_at"},
			"unknown beacon":       {func(d *office.Draft) { d.Chain = "dice" }, pos.ErrBadRequest, "beacon"},
			"a beacon of later":    {func(d *office.Draft) { d.Chain = draw.Quicknet }, pos.ErrBadRequest, "beacon"}, // its first round is of 2023
			"fence without area": {func(d *office.Draft) {
				d.Definition.Presence, d.Definition.Fence = campaign.AtRegistration, "x.geojson"
			}, pos.ErrConfig, "fence"},
			"nobody to ask who is a resident": {func(d *office.Draft) { d.Definition.Presence = campaign.Resident }, pos.ErrConfig, "authority"},
		} {
			d := draft(t)
			c.change(&d)
			_, err := s.Publish(t.Context(), d)
			if e := pos.AsError(err); err == nil || e.Code != c.code || e.Field != c.field || e.Hint.ZH == "" {
				t.Errorf("%s: %v", name, err)
			}
			_, _, checked := s.Check(t.Context(), d)
			if e := pos.AsError(checked); name != "a fen short" && (e.Code != c.code || e.Field != c.field) {
				t.Errorf("%s: refused, but the check says %v", name, checked)
			}
		}
		if all := must(s.Campaigns(t.Context()))(t); len(all) > 0 {
			t.Error("a refused draft was kept")
		}
		s.fund(t, 1)
		must(s.Publish(t.Context(), draft(t)))(t)
		other := draft(t)
		other.Definition.Note = "another"
		if _, err := s.Publish(t.Context(), other); pos.CodeOf(err) != pos.ErrKeyConflict {
			t.Errorf("what is published was changed: %v", err)
		}
		s.set(definition(t).Register.From)
		late := draft(t)
		late.Definition.Name = "too-late"
		if _, err := s.Publish(t.Context(), late); pos.CodeOf(err) != pos.ErrIllegalMove {
			t.Errorf("published when registration is open: %v", err)
		}
		must(s.Publish(t.Context(), draft(t)))(t)
	})
}

// TestAWitnessWhoIsAway: every step is kept, and taken again by itself; an answer that
// was lost is asked for again; what is not witnessed in time is void.
func TestAWitnessWhoIsAway(t *testing.T) {
	engines(t, func(t *testing.T, s *stage) {
		t.Helper()
		ctx := t.Context()
		d := definition(t)
		s.fund(t, d.Budget)
		s.down.Store(true)
		_, err := s.Publish(ctx, draft(t))
		if pos.CodeOf(err) != pos.ErrInstitution || pos.AsError(err).Field != "witness" {
			t.Fatalf("published without a witness: %v", err)
		}
		s.down.Store(false)
		s.lose.Store(true)
		s.again(t)
		s.Tend(ctx)
		if c := must(s.Campaign(ctx, "wangfujing-2021"))(t); !c.Seen[1].IsZero() {
			t.Fatal("a lost answer counts")
		}
		s.lose.Store(false)
		s.again(t)
		s.Tend(ctx)
		if c := must(s.Campaign(ctx, "wangfujing-2021"))(t); c.Seen[1].IsZero() {
			t.Fatal("the witness is back and was not asked")
		}
		s.set(d.Register.From)
		e := s.enter(t, 1)
		s.set(d.Register.Until)
		s.lose.Store(true)
		if _, err := s.Close(ctx, "wangfujing-2021", "operator"); pos.AsError(err).Field != "witness" {
			t.Fatalf("closed without an answer: %v", err)
		}
		s.lose.Store(false)
		s.again(t)
		c := must(s.Close(ctx, "wangfujing-2021", "operator"))(t)
		s.set(c.RoundAt)
		round := must(draw.PracticeRound(c.Terms.Beacon.Round))(t)
		s.lose.Store(true)
		if _, err := s.Draw(ctx, "wangfujing-2021", round, "operator"); pos.AsError(err).Field != "witness" {
			t.Fatalf("drawn without an answer: %v", err)
		}
		if s.state(t) != office.Closed {
			t.Errorf("a draw that was not witnessed is %s", s.state(t))
		}
		s.lose.Store(false)
		s.again(t)
		must(s.Draw(ctx, "wangfujing-2021", round, "operator"))(t)
		if v := must(draw.Verify(s.Dir("wangfujing-2021"), nil))(t); v.Entries != 1 || v.Winners != 1 {
			t.Errorf("verdict %+v of %s", v, e.Receipt.Entry.Ticket)
		}
	})
}

func TestWitnessedTooLate(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, s *stage, d campaign.Definition){
		"terms": func(t *testing.T, s *stage, d campaign.Definition) {
			t.Helper()
			s.down.Store(true)
			if _, err := s.Publish(t.Context(), draft(t)); err == nil {
				t.Fatal("no witness, no error")
			}
			s.down.Store(false)
			s.set(d.Register.From)
		},
		"list": func(t *testing.T, s *stage, d campaign.Definition) {
			t.Helper()
			c := must(s.Publish(t.Context(), draft(t)))(t)
			s.set(d.Register.Until)
			s.down.Store(true)
			s.Tend(t.Context())
			s.down.Store(false)
			s.set(c.RoundAt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
			d := definition(t)
			s.fund(t, d.Budget)
			play(t, s, d)
			s.again(t)
			s.Tend(t.Context())
			if s.state(t) != office.Void {
				t.Errorf("it is %s", s.state(t))
			}
			s.holds(t, ledger.Budget("wangfujing-2021"), d.Budget)
			s.set(s.Now().AddDate(0, 0, 2))
			s.Tend(t.Context())
			s.again(t)
			s.Tend(t.Context()) // a repeat
			s.holds(t, ledger.Budget("wangfujing-2021"), 0)
			s.holds(t, ledger.Fund(d.Funding), d.Budget)
			if _, err := s.Desk(t.Context(), "wangfujing-2021"); pos.CodeOf(err) != pos.ErrForbidden {
				t.Errorf("people may register for a void campaign: %v", err)
			}
			if _, err := s.Close(t.Context(), "wangfujing-2021", "operator"); pos.CodeOf(err) != pos.ErrIllegalMove {
				t.Errorf("a void campaign was closed: %v", err)
			}
		})
	}
}

// closed publishes, lets so many people enter and closes; it is the round's moment then.
func (s *stage) closed(t *testing.T, entrants int) office.Campaign {
	t.Helper()
	d := definition(t)
	s.fund(t, d.Budget)
	must(s.Publish(t.Context(), draft(t)))(t)
	s.set(d.Register.From)
	for n := range entrants {
		s.enter(t, n)
	}
	s.set(d.Register.Until)
	c := must(s.Close(t.Context(), d.Name, "operator"))(t)
	s.set(c.RoundAt)
	return c
}

// TestAFolderThatIsDamaged is made again from the database, byte for byte.
func TestAFolderThatIsDamaged(t *testing.T) {
	s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	c := s.closed(t, 8)
	round := must(draw.PracticeRound(c.Terms.Beacon.Round))(t)
	for _, wrong := range []draw.Round{{Round: round.Round + 1}, {Round: round.Round, Randomness: round.Randomness, Signature: strings.Repeat("00", 48)}} {
		if _, err := s.Draw(ctx, "wangfujing-2021", wrong, "operator"); pos.AsError(err).Field != "round" {
			t.Errorf("drawn with round %+v: %v", wrong, err)
		}
	}
	must(s.Draw(ctx, "wangfujing-2021", round, "operator"))(t)
	dir := s.Dir("wangfujing-2021")
	want := files(t, dir)
	for i, name := range slices.Sorted(maps.Keys(want)) {
		damage := []string{"", "damaged\n"}[i%2]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "."+name+"-123"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		must(s.Draw(ctx, "wangfujing-2021", round, "operator"))(t)
		if got := files(t, dir); !maps.Equal(got, want) {
			t.Errorf("%s damaged: the folder is another", name)
		}
	}
	if err := os.Remove(filepath.Join(dir, draw.WinnersFile)); err != nil {
		t.Fatal(err)
	}
	s.again(t)
	if r := must(s.Results(ctx, must(s.Campaign(ctx, "wangfujing-2021"))(t)))(t); len(r) != 8 {
		t.Errorf("%d results", len(r))
	}
}

// reads counts the records that are read of the logs.
type reads struct {
	office.Store
	records int
}

func (r *reads) Campaigns(ctx context.Context, known map[string]int64) ([]office.Kept, error) {
	all, err := r.Store.Campaigns(ctx, known)
	for _, k := range all {
		r.records += len(k.Records)
	}
	return all, err
}

// TestRoundsReadOnlyWhatIsNew: a round that finds everything as it was reads no record again,
// and no file; one whose time or size has changed is looked at, and mended.
func TestRoundsReadOnlyWhatIsNew(t *testing.T) {
	s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	counted := &reads{Store: s.cfg.Store}
	s.cfg.Store = counted
	s.again(t)
	c := s.closed(t, 6)
	must(s.Draw(ctx, "wangfujing-2021", must(draw.PracticeRound(c.Terms.Beacon.Round))(t), "operator"))(t)
	s.Tend(ctx)
	if counted.records != 3 {
		t.Errorf("%d records were read, the log has 3: terms, list, result", counted.records)
	}
	path := filepath.Join(s.Dir("wangfujing-2021"), draw.LogFile)
	right := must(os.ReadFile(path))(t)
	at := must(os.Stat(path))(t).ModTime()
	wrong := bytes.ToUpper(right)
	spoil := func(at time.Time) string {
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		s.Tend(ctx)
		return string(must(os.ReadFile(path))(t))
	}
	if got := spoil(at); got != string(wrong) {
		t.Error("a file of the same size and time was read again")
	}
	if got := spoil(at.Add(time.Second)); got != string(right) {
		t.Errorf("a file of another time was left as %q", got)
	}
	must(draw.Verify(s.Dir("wangfujing-2021"), nil))(t)
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range must(os.ReadDir(dir))(t) {
		all[e.Name()] = string(must(os.ReadFile(filepath.Join(dir, e.Name())))(t))
	}
	return all
}

// TestManyOfficesAtOnce: two centres close and draw at the same time and say the same.
func TestManyOfficesAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, s *stage) {
		t.Helper()
		ctx := t.Context()
		d := definition(t)
		s.fund(t, d.Budget)
		must(s.Publish(ctx, draft(t)))(t)
		s.set(d.Register.From)
		for n := range 10 {
			s.enter(t, n)
		}
		other := s.cfg
		other.Folder = t.TempDir()
		offices := []*office.Office{s.Office, must(office.New(other))(t)}
		s.set(d.Register.Until)
		together := func(step func(o *office.Office) error) {
			var group sync.WaitGroup
			errs := make([]error, len(offices))
			for i, o := range offices {
				group.Go(func() {
					for range 5 { // the witness answers one of two who ask at once
						if errs[i] = step(o); errs[i] == nil {
							return
						}
					}
				})
			}
			group.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		together(func(o *office.Office) error { _, err := o.Close(ctx, "wangfujing-2021", "operator"); return err })
		c := must(s.Campaign(ctx, "wangfujing-2021"))(t)
		s.set(c.RoundAt)
		round := must(draw.PracticeRound(c.Terms.Beacon.Round))(t)
		together(func(o *office.Office) error { _, err := o.Draw(ctx, "wangfujing-2021", round, "operator"); return err })
		for _, o := range offices {
			must(draw.Verify(o.Dir("wangfujing-2021"), nil))(t)
		}
		if a, b := files(t, s.Dir("wangfujing-2021")), files(t, offices[1].Dir("wangfujing-2021")); !maps.Equal(a, b) {
			t.Error("two centres published different files")
		}
	})
}
