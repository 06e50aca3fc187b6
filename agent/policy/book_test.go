package policy_test

import (
	"context"
	"testing"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/health"
	"dcpos/agent/policy"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// memory is settings and the versions that the journal names.
type memory struct {
	meta    map[string]string
	version map[string]uint64
	broken  error
}

func (m *memory) Meta(_ context.Context, key string) (string, bool, error) {
	v, ok := m.meta[key]
	return v, ok, nil
}

func (m *memory) SetMeta(_ context.Context, key, value string) error {
	if m.broken == nil {
		m.meta[key] = value
	}
	return m.broken
}

func (m *memory) ConfigVersion(_ context.Context, what string) (uint64, error) {
	return m.version[what], nil
}

func (m *memory) Update(_ context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error) {
	drafts, err := decide(nil)
	if err != nil || m.broken != nil {
		return nil, m.broken
	}
	for _, d := range drafts {
		if c, ok := d.Body.(pos.ConfigChanged); ok && d.Operator == pos.OperatorSystem && len(c.Hash) == 64 {
			m.version[c.What] = max(m.version[c.What], c.Version)
		}
	}
	return nil, nil
}

// till is a till's book, its memory and its centre.
type till struct {
	*testing.T
	memory *memory
	centre dcep.Signer
	clock  *clock.Clock
	health *health.Tracker
	book   *policy.Book
}

func newTill(t *testing.T) *till {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c, err := clock.New(clock.Options{
		Wall: func() time.Time { return time.UnixMilli(1_000_000) }, Mono: func() time.Duration { return time.Hour }, BootID: "b",
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Heard(1_000_000)
	tl := &till{T: t, memory: &memory{meta: map[string]string{}, version: map[string]uint64{}}, centre: key, clock: c, health: health.New(nil)}
	tl.open()
	return tl
}

// open starts the program again.
func (t *till) open() {
	t.Helper()
	v, err := t.centre.Suite().Verifier(t.centre.Public())
	if err != nil {
		t.Fatal(err)
	}
	t.book, err = policy.Open(t.Context(), policy.Config{
		Memory: t.memory, Centre: v, Env: pos.Lab, Store: "S1", Terminal: "S1-001", Clock: t.clock, Health: t.health,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (t *till) seal(key dcep.Signer, version uint64, change ...func(*pos.Policy)) dcep.Sealed {
	t.Helper()
	p := pos.Policy{Env: pos.Lab, Version: version, Limits: pos.DefaultLimits()}
	for _, f := range change {
		f(&p)
	}
	s, err := dcep.SealPolicy(key, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (t *till) take(want pos.Code, list ...dcep.Sealed) {
	t.Helper()
	if err := t.book.Take(t.Context(), list); pos.CodeOf(err) != want {
		t.Fatalf("got %v, want %q", err, want)
	}
	if t.health.Holds(health.PolicyCondition()) != (want != "") {
		t.Fatalf("the refusal is told: %v", want == "")
	}
}

func (t *till) inForce(want uint64) {
	t.Helper()
	p, err := t.book.In(t.clock.Interval())
	if err != nil || p.Version != want {
		t.Fatalf("version %d is in force (%v), want %d", p.Version, err, want)
	}
}

func TestNothingIsTakenThatTheCentreDidNotSignForThisTill(t *testing.T) {
	for name, c := range map[string]struct {
		make func(t *till) dcep.Sealed
		want pos.Code
	}{
		"unsigned": {func(t *till) dcep.Sealed { return dcep.Sealed{Body: t.seal(t.centre, 2).Body} }, pos.ErrPolicyForged},
		"by another key": {func(t *till) dcep.Sealed {
			other, err := t.centre.Suite().Generate()
			if err != nil {
				t.Fatal(err)
			}
			return t.seal(other, 2)
		}, pos.ErrPolicyForged},
		"changed": {func(t *till) dcep.Sealed {
			s := t.seal(t.centre, 2)
			s.Body[len(s.Body)/2] ^= 1
			return s
		}, pos.ErrPolicyForged},
		"of another store":    {func(t *till) dcep.Sealed { return t.seal(t.centre, 2, func(p *pos.Policy) { p.Store = "S2" }) }, pos.ErrPolicyScope},
		"of another terminal": {func(t *till) dcep.Sealed { return t.seal(t.centre, 2, func(p *pos.Policy) { p.Terminal = "S1-002" }) }, pos.ErrPolicyScope},
		"of the live world":   {func(t *till) dcep.Sealed { return t.seal(t.centre, 2, func(p *pos.Policy) { p.Env = pos.Live }) }, pos.ErrEnvironment},
		"the same version, other words": {func(t *till) dcep.Sealed {
			return t.seal(t.centre, 1, func(p *pos.Policy) { p.Limits.PerPayment-- })
		}, pos.ErrPolicyOld},
	} {
		t.Run(name, func(t *testing.T) {
			tl := newTill(t)
			first := tl.seal(tl.centre, 1)
			tl.take("", first)
			tl.take(c.want, c.make(tl))
			tl.inForce(1)
			tl.take("", first) // a repeat is a success
			tl.take("", tl.seal(tl.centre, 3))
			tl.inForce(3)
			tl.open()
			tl.inForce(3)
		})
	}
}

func TestNoPolicyNothingIsAccepted(t *testing.T) {
	tl := newTill(t)
	if _, err := tl.book.In(tl.clock.Interval()); pos.CodeOf(err) != pos.ErrPolicyNone {
		t.Fatal(err)
	}
}

// A version that was taken never goes back: not by an old message, not by a restart, not
// when somebody puts an old copy of the settings in place, for the journal names it.
func TestRollback(t *testing.T) {
	tl := newTill(t)
	old := tl.seal(tl.centre, 5, func(p *pos.Policy) { p.Limits.StoredTotal = 9_999_00 })
	tl.take("", old)
	settings := tl.memory.meta["policy.held"]
	tl.take("", tl.seal(tl.centre, 6))
	tl.take(pos.ErrPolicyOld, old)
	tl.open()
	tl.take(pos.ErrPolicyOld, old)
	tl.inForce(6)
	for _, copied := range []string{settings, "null"} {
		tl.memory.meta["policy.held"] = copied
		tl.open()
		if _, err := tl.book.In(tl.clock.Interval()); pos.CodeOf(err) != pos.ErrPolicyNone {
			t.Fatalf("an old copy of the settings holds: %v", err)
		}
		if tl.book.Highest() != 6 {
			t.Fatalf("highest is %d", tl.book.Highest())
		}
		tl.take(pos.ErrPolicyOld, old)
	}
	tl.take("", tl.seal(tl.centre, 7))
	tl.inForce(7)
}

// What is taken is kept before it is used: a disk that is full changes nothing.
func TestADiskThatKeepsNothing(t *testing.T) {
	tl := newTill(t)
	tl.take("", tl.seal(tl.centre, 1))
	tl.memory.broken = pos.NewError(pos.ErrStorage, nil)
	if err := tl.book.Take(t.Context(), []dcep.Sealed{tl.seal(tl.centre, 2)}); pos.CodeOf(err) != pos.ErrStorage {
		t.Fatal(err)
	}
	tl.inForce(1)
	tl.memory.broken = nil
	tl.take("", tl.seal(tl.centre, 2))
	tl.inForce(2)
}

// The next policy waits for its instant beside the one in force, across restarts; a store's
// own is before the fleet's.
func TestNowAndNext(t *testing.T) {
	tl := newTill(t)
	tl.take("", tl.seal(tl.centre, 1), tl.seal(tl.centre, 2, func(p *pos.Policy) { p.FromMS = 1_000_001 }))
	tl.open()
	tl.inForce(1)
	if p, ms, ok := tl.book.Next(tl.clock.Interval()); !ok || p.Version != 2 || ms != 1_000_001 {
		t.Fatalf("next %d at %d", p.Version, ms)
	}
	if p, err := tl.book.In(pos.Interval{EarliestMS: 1_000_001, LatestMS: 1_000_001}); err != nil || p.Version != 2 {
		t.Fatal(p.Version, err)
	}
	tl.take("", tl.seal(tl.centre, 3, func(p *pos.Policy) { p.Store = "S1" }))
	tl.inForce(3)
	tl.take("", tl.seal(tl.centre, 4)) // the fleet's newer word leaves the store's alone
	tl.inForce(3)
	if tl.book.Highest() != 4 {
		t.Fatal(tl.book.Highest())
	}
}

// A policy that has expired on its way is never in force, and what it replaced is over: a
// message that was held back does not bring a generous past back. Of a narrower scope, the
// wider holds.
func TestExpiredOnItsWay(t *testing.T) {
	tl := newTill(t)
	late := func(p *pos.Policy) { p.ExpiresMS = 1_000_000 }
	tl.take("", tl.seal(tl.centre, 1))
	for _, s := range []dcep.Sealed{tl.seal(tl.centre, 2, late, func(p *pos.Policy) { p.Store = "S1" }), tl.seal(tl.centre, 3, late)} {
		if err := tl.book.Take(t.Context(), []dcep.Sealed{s}); pos.CodeOf(err) != pos.ErrPolicyExpired {
			t.Fatal(err)
		}
		p, err := tl.book.In(tl.clock.Interval())
		if fleet := tl.book.Highest() == 3; fleet != (pos.CodeOf(err) == pos.ErrPolicyExpired) || !fleet && p.Version != 1 {
			t.Fatalf("version %d is in force: %v", p.Version, err)
		}
	}
	tl.open()
	if _, err := tl.book.In(tl.clock.Interval()); pos.CodeOf(err) != pos.ErrPolicyExpired {
		t.Fatal(err)
	}
	tl.take("", tl.seal(tl.centre, 4))
	tl.inForce(4)
}

// The centre may still send what the till has let go, beside what took its place: that is
// no rollback. Alone it is one.
func TestWhatWasReplacedComesAlong(t *testing.T) {
	tl := newTill(t)
	one, two := tl.seal(tl.centre, 1), tl.seal(tl.centre, 2)
	tl.take("", one)
	tl.take("", one, two)
	tl.take("", one, two, tl.seal(tl.centre, 3, func(p *pos.Policy) { p.Store = "S1" }))
	tl.inForce(3)
	tl.take(pos.ErrPolicyOld, one)
	tl.inForce(3)
}

func TestCatalogue(t *testing.T) {
	tl := newTill(t)
	seal := func(key dcep.Signer, terminal string, issued int64) dcep.Sealed {
		s, err := dcep.SealCatalogue(key, pos.Catalogue{Env: pos.Lab, Terminal: terminal, IssuedMS: issued, Campaigns: []pos.CampaignScope{{Campaign: "c"}}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other, err := tl.centre.Suite().Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.book.TakeCatalogue(t.Context(), seal(other, "S1-001", 9)); err == nil {
		t.Error("another key's catalogue is taken")
	}
	if err := tl.book.TakeCatalogue(t.Context(), seal(tl.centre, "S1-002", 9)); pos.CodeOf(err) != pos.ErrPolicyScope {
		t.Error(err)
	}
	for _, issued := range []int64{5, 3} {
		if err := tl.book.TakeCatalogue(t.Context(), seal(tl.centre, "S1-001", issued)); err != nil {
			t.Fatal(err)
		}
	}
	tl.open()
	if c := tl.book.Catalogue(); c.IssuedMS != 5 || len(c.Campaigns) != 1 {
		t.Fatalf("%+v", c)
	}
}
