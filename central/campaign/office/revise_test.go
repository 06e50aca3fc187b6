package office_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/pos"
)

// square is the area of a fence.
const square = `{"type":"Polygon","datum":"wgs84","coordinates":[[[116.30,39.80],[116.50,39.80],[116.50,40.00],[116.30,40.00],[116.30,39.80]]]}`

// change is a draft of the next version.
func change(t *testing.T, how func(d *office.Draft)) office.Draft {
	t.Helper()
	d := draft(t)
	d.By = "ann"
	how(&d)
	return d
}

// more gives one envelope more, and the budget for it.
func more(d *office.Draft) {
	d.Definition.Tiers = []campaign.Tier{{Face: 30000, Count: 1}, {Face: 20000, Count: 5}}
	d.Definition.Budget = 130000
}

// proposed proposes a draft and tells its number.
func (s *stage) proposed(t *testing.T, d office.Draft) int64 {
	t.Helper()
	if err := s.Propose(t.Context(), d, "because"); err != nil {
		t.Fatal(err)
	}
	all := must(s.Revisions(t.Context()))(t)
	if len(all) != 1 {
		t.Fatalf("%d revisions wait", len(all))
	}
	return all[0].Number
}

func (s *stage) holds(t *testing.T, account string, want pos.Money) {
	t.Helper()
	if b := must(s.db.Ledger().Balance(t.Context(), account))(t); -b.Amount != want {
		t.Errorf("%s holds %s, want %s", account, -b.Amount, want)
	}
}

// told wants a till to be told of this version, and of no other.
func (s *stage) told(t *testing.T, c office.Campaign) {
	t.Helper()
	ctx := t.Context()
	till := fleet.Terminal{ID: "S1-001", Merchant: "M1", Shop: "S1", Env: pos.Lab, NATSKey: "U1", Epoch: 1, State: fleet.Active}
	if err := s.db.Fleet().Write(ctx, func(tx fleet.Tx) error {
		return errors.Join(tx.PutMerchant(ctx, fleet.Merchant{ID: "M1"}), tx.PutShop(ctx, fleet.Shop{ID: "S1", Merchant: "M1"}), tx.PutTerminal(ctx, till))
	}); err != nil {
		t.Fatal(err)
	}
	var scopes []pos.CampaignScope
	if err := s.db.Link().Read(ctx, func(r link.Reader) (err error) {
		scopes, err = r.Campaigns(ctx, till.ID, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(scopes) != 1 || hex.EncodeToString(scopes[0].Hash) != c.Hash || scopes[0].UntilMS != c.Definition.Spend.Until.UnixMilli() {
		t.Errorf("a till is told %+v", scopes)
	}
}

// TestVersionsFollowOneAnother changes a campaign twice before its registration opens, and
// plays it by the last version: tills, entrants, draw and verifier know that one.
func TestVersionsFollowOneAnother(t *testing.T) {
	engines(t, func(t *testing.T, s *stage) {
		t.Helper()
		ctx := t.Context()
		d := definition(t)
		s.fund(t, 150000)
		first := must(s.Publish(ctx, draft(t)))(t)
		number := s.proposed(t, change(t, func(d *office.Draft) {
			more(d)
			d.Definition.Presence, d.Definition.Fence, d.Area = campaign.AtRegistration, "x.geojson", []byte(square)
			d.Definition.Spend.Until = d.Definition.Spend.Until.AddDate(0, 0, 1)
		}))
		if err := s.Decide(ctx, number, "ann", true); pos.CodeOf(err) != pos.ErrForbidden {
			t.Errorf("confirmed by who proposed it: %v", err)
		}
		if err := s.Decide(ctx, number, "bob", true); err != nil {
			t.Fatal(err)
		}
		c := must(s.Campaign(ctx, d.Name))(t)
		if c.Version != 2 || c.Hash == first.Hash || c.TermsSeen().IsZero() || len(c.Former) != 1 || c.Former[0].Hash != first.Hash || c.Definition.Envelopes() != 6 {
			t.Fatalf("version %d, %d before, seen %s", c.Version, len(c.Former), c.TermsSeen())
		}
		s.holds(t, ledger.Budget(d.Name), 130000)
		s.holds(t, ledger.Fund(d.Funding), 20000)
		if newest := must(s.db.Campaign(ctx, d.Name))(t); newest.Hash != c.Hash {
			t.Error("the newest version is another")
		}
		s.told(t, c)
		must(s.Publish(ctx, draft(t)))(t) // of the first version: a repeat, it changes nothing

		third := s.proposed(t, change(t, func(d *office.Draft) {
			d.Definition.Tiers = []campaign.Tier{{Face: 20000, Count: 4}}
			d.Definition.Budget, d.Definition.Waiting = 80000, 2
			d.Definition.Register.From = d.Definition.Register.From.Add(time.Hour)
		}))
		if err := s.Decide(ctx, third, "bob", true); err != nil {
			t.Fatal(err)
		}
		s.holds(t, ledger.Budget(d.Name), 80000)
		s.holds(t, ledger.Fund(d.Funding), 70000)
		s.again(t)
		s.set(d.Register.From)
		if s.state(t) != office.Published {
			t.Errorf("at the first version's opening it is %s", s.state(t))
		}
		s.set(d.Register.From.Add(time.Hour))
		for n := range 12 {
			s.enter(t, n)
		}
		s.set(d.Register.Until)
		c = must(s.Close(ctx, d.Name, "operator"))(t)
		s.set(c.RoundAt)
		must(s.Draw(ctx, d.Name, must(draw.PracticeRound(c.Terms.Beacon.Round))(t), "operator"))(t)
		v, err := draw.Verify(s.Dir(d.Name), &draw.Trust{Publisher: s.cfg.PublisherKey, Witness: s.cfg.Witness})
		if err != nil || v.Version != 3 || v.Winners != 4 || v.Entries != 12 {
			t.Errorf("%+v, %v", v, err)
		}
		for _, name := range []string{"terms.json", "terms-1.json", "terms-2.json", "checkpoint-5.txt"} {
			if _, err := os.Stat(filepath.Join(s.Dir(d.Name), name)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestTheLastMinute: a next version is refused from one minute before registration opens, by
// the version in force and by its own rules.
func TestTheLastMinute(t *testing.T) {
	opens := definition(t).Register.From
	for name, c := range map[string]struct {
		now   time.Time
		shift time.Duration // of its own opening
		field string
	}{
		"a millisecond before the minute": {opens.Add(-time.Minute - time.Millisecond), 0, ""},
		"at the minute":                   {opens.Add(-time.Minute), 0, "register"},
		"later than the minute":           {opens.Add(-time.Second), time.Hour, "register"},
		"its own minute":                  {opens.Add(-time.Hour - time.Minute), -time.Hour, "register.from"},
		"just before its own minute":      {opens.Add(-time.Hour - time.Minute - time.Millisecond), -time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
			s.fund(t, definition(t).Budget)
			must(s.Publish(t.Context(), draft(t)))(t)
			s.set(c.now)
			d := change(t, func(d *office.Draft) {
				d.Definition.Note = "another"
				d.Definition.Register.From = opens.Add(c.shift)
			})
			err := s.Propose(t.Context(), d, "because")
			if c.field == "" {
				if err == nil {
					err = s.Decide(t.Context(), s.proposed(t, d), "bob", true)
				}
				if err != nil || must(s.Campaign(t.Context(), d.Definition.Name))(t).Version != 2 {
					t.Errorf("in time: %v", err)
				}
				return
			}
			if e := pos.AsError(err); err == nil || e.Code != pos.ErrIllegalMove || e.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusedVersions(t *testing.T) {
	s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	s.fund(t, 129999)
	s.down.Store(true)
	if _, err := s.Publish(ctx, draft(t)); err == nil {
		t.Fatal("no witness, no error")
	}
	s.down.Store(false)
	refused := func(name string, err error, code pos.Code, field string) {
		t.Helper()
		if e := pos.AsError(err); err == nil || e.Code != code || e.Field != field || e.Hint.ZH == "" || e.Hint.EN == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("the first is not witnessed", s.Propose(ctx, change(t, more), "because"), pos.ErrIllegalMove, "witness")
	s.Tend(ctx)
	for name, c := range map[string]struct {
		how   func(*office.Draft)
		code  pos.Code
		field string
	}{
		"nothing differs":     {func(*office.Draft) {}, pos.ErrBadRequest, "definition"},
		"another provider":    {func(d *office.Draft) { d.Definition.Funding = "somebody" }, pos.ErrBadRequest, "funding"},
		"a real beacon":       {func(d *office.Draft) { d.Chain = draw.Quicknet }, pos.ErrBadRequest, "beacon"},
		"face 0":              {func(d *office.Draft) { d.Definition.Tiers = []campaign.Tier{{Face: 0, Count: 1}} }, pos.ErrConfig, "tiers[0].face_fen"},
		"a fen short":         {func(d *office.Draft) { more(d); d.Definition.Budget-- }, pos.ErrConfig, "budget_fen"},
		"overlapping windows": {func(d *office.Draft) { d.Definition.Spend.From = d.Definition.Register.From }, pos.ErrConfig, "spend"},
		"unknown store":       {func(d *office.Draft) { d.Definition.Scope.Stores = []string{"nowhere"} }, pos.ErrConfig, "scope.stores[0]"},
		"not published":       {func(d *office.Draft) { d.Definition.Name = "another" }, pos.ErrNotFound, "campaign"},
		"fence that crosses itself": {func(d *office.Draft) {
			d.Definition.Presence, d.Definition.Fence = campaign.AtRegistration, "x.geojson"
			d.Area = []byte(strings.Replace(square, "[116.50,39.80],[116.50,40.00]", "[116.50,40.00],[116.50,39.80]", 1))
		}, pos.ErrConfig, "fence"},
	} {
		refused(name, s.Propose(ctx, change(t, c.how), "because"), c.code, c.field)
	}
	refused("no reason", s.Propose(ctx, change(t, more), " "), pos.ErrBadRequest, "reason")
	number := s.proposed(t, change(t, more))
	if err := s.Propose(ctx, change(t, more), "again"); err != nil {
		t.Errorf("a repeat: %v", err)
	}
	refused("two at once", s.Propose(ctx, change(t, func(d *office.Draft) { d.Definition.Note = "x" }), "because"), pos.ErrKeyConflict, "campaign")
	refused("a fen short in the fund", s.Decide(ctx, number, "bob", true), pos.ErrInsufficient, "budget_fen")
	s.down.Store(true)
	refused("the witness is away", s.Decide(ctx, number, "bob", true), pos.ErrInstitution, "witness")
	s.down.Store(false)
	refused("an unknown number", s.Decide(ctx, number+1, "bob", true), pos.ErrNotFound, "number")
	if c := must(s.Campaign(ctx, "wangfujing-2021"))(t); c.Version != 1 || len(c.Log.Records) != 1 {
		t.Errorf("a refused version stands: %d", c.Version)
	}
	s.holds(t, ledger.Budget("wangfujing-2021"), 100000)
	if err := s.Decide(ctx, number, "bob", false); err != nil {
		t.Error(err)
	}
	refused("rejected before", s.Decide(ctx, number, "bob", true), pos.ErrNotFound, "number")
	s.fund(t, 1)
	if err := s.Decide(ctx, s.proposed(t, change(t, more)), "bob", true); err != nil {
		t.Error(err)
	}
	s.holds(t, ledger.Fund("dongcheng-district"), 0)
}

// mortal is the store of a process that dies at the commit of a new version: before it, or
// after it without learning that it stands.
type mortal struct {
	office.Store
	after bool
}

var errDead = errors.New("the process is dead")

func (m mortal) Revise(ctx context.Context, r office.Revision, change office.Change) error {
	if m.after {
		return errors.Join(m.Store.Revise(ctx, r, change), errDead)
	}
	return errDead
}

// TestADeathWhileAVersionIsPublished: log, definition and money are one commit, and the next
// process has it witnessed; the draw is by the version that the log tells of.
func TestADeathWhileAVersionIsPublished(t *testing.T) {
	for name, c := range map[string]struct {
		after, lose bool
		version     int
	}{
		"before the commit": {false, false, 1}, "after the commit": {true, false, 2}, "after the witness signed": {false, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
			ctx := t.Context()
			s.fund(t, 130000)
			must(s.Publish(ctx, draft(t)))(t)
			number := s.proposed(t, change(t, more))
			kept := s.cfg.Store
			if c.lose { // asked a second time: the first is the sign of life
				s.cfg.Store = losing{Store: kept, s: s}
			} else {
				s.cfg.Store = mortal{kept, c.after}
			}
			s.again(t)
			if err := s.Decide(ctx, number, "bob", true); err == nil {
				t.Fatal("it did not die")
			}
			s.lose.Store(false)
			s.cfg.Store = kept
			s.again(t)
			s.Tend(ctx)
			got := must(s.Campaign(ctx, "wangfujing-2021"))(t)
			if got.Version != c.version || got.TermsSeen().IsZero() || got.State(s.Now()) != office.Published || int(got.Log.Versions()) != c.version {
				t.Errorf("version %d, log of %d, seen %s", got.Version, got.Log.Versions(), got.TermsSeen())
			}
			want := pos.Money(100000)
			if c.version == 2 {
				want = 130000
			}
			s.holds(t, ledger.Budget("wangfujing-2021"), want)
			s.holds(t, ledger.Fund("dongcheng-district"), 130000-want)
			if c.version == 1 { // it still waits, and can be confirmed
				if err := s.Decide(ctx, number, "bob", true); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// losing has the witness's answers lost from the commit of the new version on.
type losing struct {
	office.Store
	s *stage
}

func (l losing) Revise(ctx context.Context, r office.Revision, change office.Change) error {
	l.s.lose.Store(true)
	return l.Store.Revise(ctx, r, change)
}

// TestAVersionThatNobodySaw makes the campaign void at its opening: no draw would verify.
func TestAVersionThatNobodySaw(t *testing.T) {
	s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	s.fund(t, 130000)
	must(s.Publish(ctx, draft(t)))(t)
	number := s.proposed(t, change(t, more))
	s.cfg.Store = losing{Store: s.cfg.Store, s: s}
	s.again(t)
	if err := s.Decide(ctx, number, "bob", true); pos.AsError(err).Field != "witness" {
		t.Fatalf("unseen, and %v", err)
	}
	s.set(definition(t).Register.From.Add(-time.Millisecond))
	if s.state(t) != office.Published {
		t.Errorf("before the opening it is %s", s.state(t))
	}
	s.set(definition(t).Register.From)
	s.again(t)
	s.Tend(ctx)
	if s.state(t) != office.Void {
		t.Errorf("at the opening it is %s", s.state(t))
	}
}

// TestMovesOfTheWaitingList: what another room has logged is announced once it is witnessed,
// by the room that waits for it or by Run, and the bundle is whole at every moment.
func TestMovesOfTheWaitingList(t *testing.T) {
	s := newStage(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	d := definition(t)
	c := s.closed(t, 10)
	if err := s.Announce(ctx, d.Name); pos.CodeOf(err) != pos.ErrIllegalMove {
		t.Errorf("announced before the draw: %v", err)
	}
	c = must(s.Draw(ctx, d.Name, must(draw.PracticeRound(c.Terms.Beacon.Round))(t), "operator"))(t)
	winners, waiting, err := s.Lists(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	verdict := func(advances int64) {
		t.Helper()
		if v, err := draw.Verify(s.Dir(d.Name), nil); err != nil || v.Advances != advances {
			t.Fatalf("%+v, %v, want %d moves", v, err, advances)
		}
	}
	log := func(out, in draw.Ticket) {
		t.Helper()
		line := must(draw.Record{Kind: draw.RecordAdvance, Out: out.String(), In: in.String(), Reason: "unclaimed"}.Line())(t)
		n := int64(len(must(s.Campaign(ctx, d.Name))(t).Log.Records)) + 1
		if err := s.cfg.Store.Append(ctx, d.Name, n, line, "centre"); err != nil {
			t.Fatal(err)
		}
		s.again(t)
	}
	log(winners[0].Ticket, waiting[0].Ticket)
	s.down.Store(true)
	s.Tend(ctx)
	if err := s.Announce(ctx, d.Name); pos.AsError(err).Field != "witness" {
		t.Errorf("announced without the witness: %v", err)
	}
	verdict(0)
	s.down.Store(false)
	s.lose.Store(true)
	s.Tend(ctx)
	s.lose.Store(false)
	log(winners[1].Ticket, waiting[1].Ticket) // the log grew while her answer was lost
	if err := s.Announce(ctx, d.Name); err != nil {
		t.Fatal(err)
	}
	verdict(2)
	moves := must(s.Moves(ctx, must(s.Campaign(ctx, d.Name))(t)))(t)
	if len(moves) != 4 || !moves[winners[0].Ticket].Passed || !moves[waiting[1].Ticket].Up || moves[waiting[1].Ticket].Face != 20000 {
		t.Errorf("%+v", moves)
	}
	log(winners[2].Ticket, waiting[2].Ticket)
	s.Tend(ctx) // by itself
	verdict(3)
	want := files(t, s.Dir(d.Name))
	for _, damage := range []string{draw.ManifestFile, draw.SignatureFile, draw.LogFile, draw.CheckpointFile(6)} {
		if err := os.Remove(filepath.Join(s.Dir(d.Name), damage)); err != nil { // killed in the middle of laying it
			t.Fatal(err)
		}
		if err := s.Announce(ctx, d.Name); err != nil {
			t.Fatal(err)
		}
		if got := files(t, s.Dir(d.Name)); len(got) != len(want) || got[draw.LogFile] != want[draw.LogFile] {
			t.Errorf("%s was lost: %d files, there were %d", damage, len(got), len(want))
		}
		verdict(3)
	}
}
