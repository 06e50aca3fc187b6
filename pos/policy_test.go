package pos_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/pos"
)

func policy(version uint64, fromMS, expiresMS int64, perPayment pos.Money) pos.Policy {
	l := pos.DefaultLimits()
	l.PerPayment = perPayment
	return pos.Policy{Env: pos.Lab, Version: version, FromMS: fromMS, ExpiresMS: expiresMS, Limits: l}
}

func at(ms int64) pos.Interval { return pos.Interval{EarliestMS: ms, LatestMS: ms} }

func TestPoliciesChangeToTheMillisecond(t *testing.T) {
	store := policy(3, 2000, 3000, 30)
	store.Store = "S1"
	s := pos.Schedule{policy(1, 0, 0, 10), policy(2, 1000, 5000, 20), store}
	for ms, want := range map[int64]uint64{0: 1, 999: 1, 1000: 2, 1999: 2, 2000: 3, 2999: 3, 3000: 2, 4999: 2} {
		if p, err := s.In(at(ms)); err != nil || p.Version != want {
			t.Errorf("at %d: version %d %v, want %d", ms, p.Version, err, want)
		}
	}
	if _, err := s.In(at(5000)); pos.CodeOf(err) != pos.ErrPolicyExpired {
		t.Errorf("version 1 is back after 2 has expired: %v", err)
	}
	if _, err := s.In(at(-1)); pos.CodeOf(err) != pos.ErrPolicyNone {
		t.Errorf("before the first: %v", err)
	}
	if _, err := s.In(pos.Interval{EarliestMS: 4000, LatestMS: 5000}); err == nil {
		t.Error("it may have expired, and holds")
	}
	for _, iv := range []pos.Interval{{EarliestMS: 500, LatestMS: 1000}, {EarliestMS: 999, LatestMS: 2500}} {
		if p, err := s.In(iv); err != nil || p.Limits.PerPayment != 10 {
			t.Errorf("across a change %+v: %s %v", iv, p.Limits.PerPayment, err)
		}
	}
	if p, ms, ok := s.Next(at(1500)); !ok || p.Version != 3 || ms != 2000 {
		t.Errorf("next is %d at %d", p.Version, ms)
	}
	if p, ms, ok := s.Next(at(2500)); !ok || p.Version != 2 || ms != 3000 {
		t.Errorf("after the store's own comes %d at %d", p.Version, ms)
	}
}

func schedules() *rapid.Generator[pos.Schedule] {
	return rapid.Custom(func(t *rapid.T) pos.Schedule {
		var s pos.Schedule
		for v := range rapid.IntRange(1, 8).Draw(t, "n") {
			p := policy(uint64(v+1), rapid.Int64Range(0, 50).Draw(t, "from"), 0, pos.Money(v+1))
			if rapid.Bool().Draw(t, "expires") {
				p.ExpiresMS = p.FromMS + rapid.Int64Range(1, 50).Draw(t, "for")
			}
			switch rapid.IntRange(0, 2).Draw(t, "scope") {
			case 1:
				p.Store = "S1"
			case 2:
				p.Terminal = "T1"
			}
			s = append(s, p)
		}
		return s
	})
}

// Pruning changes nothing from its moment on; what holds in an interval holds at each of its
// moments; and of one scope no older version follows a newer one.
func TestSchedules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := schedules().Draw(t, "schedule")
		cut := rapid.Int64Range(0, 60).Draw(t, "cut")
		short := s.Prune(cut)
		highest := map[string]uint64{}
		for ms := int64(0); ms < 120; ms++ {
			p, err := s.In(at(ms))
			if q, errQ := short.In(at(ms)); ms >= cut && (pos.CodeOf(err) != pos.CodeOf(errQ) || p.Version != q.Version) {
				t.Fatalf("at %d version %d %v, pruned %d %v", ms, p.Version, err, q.Version, errQ)
			}
			if err != nil {
				continue
			}
			if p.Version < highest[p.Scope()] {
				t.Fatalf("at %d version %d of %s follows %d", ms, p.Version, p.Scope(), highest[p.Scope()])
			}
			highest[p.Scope()] = p.Version
		}
		iv := pos.Interval{EarliestMS: rapid.Int64Range(0, 60).Draw(t, "earliest")}
		iv.LatestMS = iv.EarliestMS + rapid.Int64Range(0, 60).Draw(t, "width")
		all, err := s.In(iv)
		for ms := iv.EarliestMS; ms <= iv.LatestMS; ms++ {
			p, e := s.In(at(ms))
			if err == nil && (e != nil || all.Limits.PerPayment > p.Limits.PerPayment) {
				t.Fatalf("in %+v %s, at %d %s %v", iv, all.Limits.PerPayment, ms, p.Limits.PerPayment, e)
			}
			if e != nil && err == nil {
				t.Fatalf("in %+v something, at %d nothing", iv, ms)
			}
		}
	})
}

func limits() *rapid.Generator[pos.Limits] {
	return rapid.Custom(func(t *rapid.T) pos.Limits {
		money := func(n string) pos.Money { return pos.Money(rapid.Int64Range(0, 20).Draw(t, n)) }
		l := pos.Limits{
			PerPayment: money("payment"), StoredTotal: money("total"), StoredCount: rapid.IntRange(0, 3).Draw(t, "count"),
			OldestStop: time.Duration(rapid.IntRange(0, 5).Draw(t, "stop")) * time.Millisecond, WalletTotal: money("wallet"),
			WalletCount: rapid.IntRange(0, 3).Draw(t, "wallets"), SplitTotal: money("split"), NearPercent: 80,
		}
		for class := 1; class <= 4; class++ {
			if rapid.Bool().Draw(t, "tier") {
				l.Tiers = append(l.Tiers, pos.Tier{Class: class, Single: money("single"), Day: money("day"), Year: money("year")})
			}
		}
		return l
	})
}

// What the strictest of two admits, both admit; and more money is never admitted where less
// is not.
func TestStrictest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := limits().Draw(t, "a"), limits().Draw(t, "b")
		some := func(n string) pos.StoredMoney {
			return pos.StoredMoney{Total: pos.Money(rapid.Int64Range(0, 20).Draw(t, n)), Count: rapid.IntRange(0, 3).Draw(t, n)}
		}
		c := pos.Claim{
			Amount: pos.Money(rapid.Int64Range(1, 20).Draw(t, "amount")), At: at(rapid.Int64Range(0, 8).Draw(t, "at")),
			Stored: some("stored"), Wallet: some("wallet"), Recent: some("recent"), Order: some("order").Total, Today: some("today").Total,
			Year: some("year").Total, Tier: rapid.IntRange(1, 4).Draw(t, "class"),
		}
		if a.Strictest(b).Admit(c) == nil && (a.Admit(c) != nil || b.Admit(c) != nil) {
			t.Fatalf("%v %v", a.Admit(c), b.Admit(c))
		}
		less := c
		if less.Amount--; less.Amount > 0 && a.Admit(c) == nil && a.Admit(less) != nil {
			t.Fatalf("less is refused: %v", a.Admit(less))
		}
	})
}

func TestSplitsAndTiersAtTheirEdges(t *testing.T) {
	l := pos.DefaultLimits()
	for name, c := range map[string]struct {
		claim pos.Claim
		want  pos.Code
	}{
		"fills the window":        {pos.Claim{Amount: 200_00, Recent: pos.StoredMoney{Total: 300_00, Count: 1}}, ""},
		"a fen over the window":   {pos.Claim{Amount: 200_01, Recent: pos.StoredMoney{Total: 300_00, Count: 1}}, pos.ErrLimitSplit},
		"fills the order":         {pos.Claim{Amount: 1_00, Order: 499_00}, ""},
		"a fen over the order":    {pos.Claim{Amount: 1_01, Order: 499_00}, pos.ErrLimitSplit},
		"the day of class 4":      {pos.Claim{Amount: 500_00, Tier: 4, Today: 4_500_00}, ""},
		"a fen over the day of 4": {pos.Claim{Amount: 500_00, Tier: 4, Today: 4_500_01}, pos.ErrLimitTier},
		"no class is the lowest":  {pos.Claim{Amount: 500_00, Today: 4_500_01}, pos.ErrLimitTier},
		"the same day of class 2": {pos.Claim{Amount: 500_00, Tier: 2, Today: 4_500_01}, ""},
		"class 1 has no cap":      {pos.Claim{Amount: 500_00, Tier: 1, Today: 1_000_000_00}, ""},
	} {
		if got := pos.CodeOf(l.Admit(c.claim)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	low := l
	low.Tiers = []pos.Tier{{Class: 4, Single: 100}}
	for amount, want := range map[pos.Money]pos.Code{100: "", 101: pos.ErrLimitTier} {
		if got := pos.CodeOf(low.Admit(pos.Claim{Amount: amount, Tier: 4})); got != want {
			t.Errorf("%s of a single cap of 1.00: %q, want %q", amount, got, want)
		}
	}
}

// Store-and-forward has totals of its own, and takes nothing unless the policy says so.
func TestForwardHasItsOwnTotals(t *testing.T) {
	l := pos.DefaultLimits()
	if err := l.AdmitForward(1, pos.StoredMoney{}, at(0)); err == nil {
		t.Fatal("the defaults forward")
	}
	l.Forward = pos.Forward{PerPayment: 100, StoredTotal: 150, StoredCount: 2, OldestStop: time.Hour}
	for name, c := range map[string]struct {
		amount pos.Money
		stored pos.StoredMoney
		at     int64
		want   pos.Code
	}{
		"at the limit": {100, pos.StoredMoney{}, 0, ""}, "a fen over": {101, pos.StoredMoney{}, 0, pos.ErrLimitPayment},
		"fills": {50, pos.StoredMoney{Total: 100, Count: 1}, 0, ""}, "overfills": {51, pos.StoredMoney{Total: 100, Count: 1}, 0, pos.ErrLimitTotal},
		"third":                 {1, pos.StoredMoney{Total: 2, Count: 2}, 0, pos.ErrLimitCount},
		"old":                   {1, pos.StoredMoney{Total: 1, Count: 1}, time.Hour.Milliseconds(), pos.ErrLimitAge},
		"a millisecond younger": {1, pos.StoredMoney{Total: 1, Count: 1}, time.Hour.Milliseconds() - 1, ""},
	} {
		if got := pos.CodeOf(l.AdmitForward(c.amount, c.stored, at(c.at))); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	full := pos.StoredMoney{Total: l.StoredTotal, Count: 1}
	if err := l.AdmitForward(100, pos.StoredMoney{}, at(0)); err != nil {
		t.Error(err)
	}
	if r := l.Room(pos.Holds{Forward: full}); r.Stop || r.TotalLeft != l.StoredTotal {
		t.Errorf("what is forwarded takes the room of evidence: %+v", r)
	}
}

// Every edge is told before a payment is refused for it, in both languages, and the last
// payment that is admitted was told to be near.
func TestEdgesAreToldBefore(t *testing.T) {
	l := pos.DefaultLimits()
	now := int64(1_800_000_000_000)
	told := func(h pos.Holds, code pos.Code) (near, stop bool) {
		for _, e := range l.Room(h).Edges {
			if e.Text.ZH == "" || e.Text.EN == "" || e.Hint.ZH == "" || e.Hint.EN == "" {
				t.Errorf("%s is not told in two languages", e.Code)
			}
			if e.Code == code {
				return true, e.Stop
			}
		}
		return false, false
	}
	fresh := func(stored pos.StoredMoney) pos.Holds { return pos.Holds{Stored: stored, TrustMS: now, At: at(now)} }
	old := func(d time.Duration) int64 { return now - d.Milliseconds() }
	for name, c := range map[string]struct {
		holds      pos.Holds
		code       pos.Code
		near, stop bool
	}{
		"a fen below 80 %":  {fresh(pos.StoredMoney{Total: 3999_99, Count: 1, OldestMS: now}), pos.ErrLimitTotal, false, false},
		"80 %":              {fresh(pos.StoredMoney{Total: 4000_00, Count: 1, OldestMS: now}), pos.ErrLimitTotal, true, false},
		"a fen is left":     {fresh(pos.StoredMoney{Total: 4999_99, Count: 1, OldestMS: now}), pos.ErrLimitTotal, true, false},
		"nothing is left":   {fresh(pos.StoredMoney{Total: 5000_00, Count: 1, OldestMS: now}), pos.ErrLimitTotal, true, true},
		"399 records":       {fresh(pos.StoredMoney{Total: 399, Count: 399, OldestMS: now}), pos.ErrLimitCount, false, false},
		"499 records":       {fresh(pos.StoredMoney{Total: 499, Count: 499, OldestMS: now}), pos.ErrLimitCount, true, false},
		"500 records":       {fresh(pos.StoredMoney{Total: 500, Count: 500, OldestMS: now}), pos.ErrLimitCount, true, true},
		"younger than 12 h": {fresh(pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(12*time.Hour) + 1}), pos.ErrLimitAge, false, false},
		"12 h":              {fresh(pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(12 * time.Hour)}), pos.ErrLimitAge, true, false},
		"24 h less 1 ms":    {fresh(pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(24*time.Hour) + 1}), pos.ErrLimitAge, true, false},
		"24 h":              {fresh(pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(24 * time.Hour)}), pos.ErrLimitAge, true, true},
		"list of a day":     {pos.Holds{TrustMS: old(24 * time.Hour), At: at(now)}, pos.ErrRevocationOld, false, false},
		"and 1 ms":          {pos.Holds{TrustMS: old(24*time.Hour) - 1, At: at(now)}, pos.ErrRevocationOld, true, false},
		"of three days":     {pos.Holds{TrustMS: old(72 * time.Hour), At: at(now)}, pos.ErrRevocationOld, true, false},
		"and 1 ms more":     {pos.Holds{TrustMS: old(72*time.Hour) - 1, At: at(now)}, pos.ErrRevocationOld, true, true},
	} {
		if near, stop := told(c.holds, c.code); near != c.near || stop != c.stop {
			t.Errorf("%s: near %v stop %v, want %v %v", name, near, stop, c.near, c.stop)
		}
	}
	p := policy(1, 0, now+25*time.Hour.Milliseconds(), 1)
	if _, soon := p.Soon(at(now)); soon {
		t.Error("25 h before its end is soon")
	}
	if e, soon := p.Soon(at(now + time.Hour.Milliseconds())); !soon || e.Stop || e.Text.ZH == "" {
		t.Error("24 h before its end is not soon")
	}
}

func TestEnvelopesAtTheirEdges(t *testing.T) {
	hash := []byte("0123456789abcdef0123456789abcdef")
	in := pos.CampaignScope{Campaign: "c", Hash: hash, Merchant: true, Store: true, Channels: []string{"in_store"}, Categories: []string{"books"}, FromMS: 1000, UntilMS: 2000}
	but := func(change func(*pos.CampaignScope)) pos.Catalogue {
		s := in
		change(&s)
		return pos.Catalogue{Campaigns: []pos.CampaignScope{s}}
	}
	same := func(*pos.CampaignScope) {}
	use := pos.EnvelopeUse{Envelope: "e1", Campaign: "c", Hash: hash, Amount: 1}
	for name, c := range map[string]struct {
		catalogue pos.Catalogue
		use       pos.EnvelopeUse
		category  string
		at        pos.Interval
		want      pos.Code
		field     string
	}{
		"first moment":     {but(same), use, "books", at(1000), "", ""},
		"last moment":      {but(same), use, "books", at(1999), "", ""},
		"before":           {but(same), use, "books", at(999), pos.ErrEnvelopeWindow, ""},
		"after":            {but(same), use, "books", at(2000), pos.ErrEnvelopeWindow, ""},
		"perhaps before":   {but(same), use, "books", pos.Interval{EarliestMS: 999, LatestMS: 1500}, pos.ErrEnvelopeWindow, ""},
		"perhaps after":    {but(same), use, "books", pos.Interval{EarliestMS: 1500, LatestMS: 2000}, pos.ErrEnvelopeWindow, ""},
		"other goods":      {but(same), use, "wine", at(1500), pos.ErrEnvelopeScope, "category"},
		"all goods":        {but(func(s *pos.CampaignScope) { s.Categories = []string{"*"} }), use, "wine", at(1500), "", ""},
		"other merchant":   {but(func(s *pos.CampaignScope) { s.Merchant = false }), use, "books", at(1500), pos.ErrEnvelopeScope, "merchant"},
		"other store":      {but(func(s *pos.CampaignScope) { s.Store = false }), use, "books", at(1500), pos.ErrEnvelopeScope, "store"},
		"online only":      {but(func(s *pos.CampaignScope) { s.Channels = []string{"online"} }), use, "books", at(1500), pos.ErrEnvelopeScope, "channel"},
		"unknown campaign": {but(func(s *pos.CampaignScope) { s.Campaign = "d" }), use, "books", at(1500), pos.ErrEnvelopeUnknown, ""},
		"another version":  {but(func(s *pos.CampaignScope) { s.Hash = hash[1:] }), use, "books", at(1500), pos.ErrEnvelopeUnknown, ""},
		"no catalogue":     {pos.Catalogue{}, use, "books", at(1500), pos.ErrEnvelopeUnknown, ""},
	} {
		err := c.catalogue.Admit(c.use, c.category, c.at)
		if pos.CodeOf(err) != c.want || err != nil && pos.AsError(err).Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := use
	other.Envelope, other.Amount = "e2", 99
	for name, c := range map[string]struct {
		uses []pos.EnvelopeUse
		want pos.Code
	}{
		"none": {nil, ""}, "whole": {[]pos.EnvelopeUse{use, other}, ""}, "twice": {[]pos.EnvelopeUse{use, use}, pos.ErrEnvelopeSum},
		"more than the payment": {[]pos.EnvelopeUse{other, {Envelope: "e3", Amount: 2}}, pos.ErrEnvelopeSum},
		"nothing":               {[]pos.EnvelopeUse{{Envelope: "e3"}}, pos.ErrEnvelopeSum},
		"overflow":              {[]pos.EnvelopeUse{use, {Envelope: "e3", Amount: 1<<63 - 1}}, pos.ErrEnvelopeSum},
		"nameless":              {[]pos.EnvelopeUse{{Amount: 1}}, pos.ErrEnvelopeSum},
		"five":                  {[]pos.EnvelopeUse{{Envelope: "a", Amount: 1}, {Envelope: "b", Amount: 1}, {Envelope: "c", Amount: 1}, {Envelope: "d", Amount: 1}, {Envelope: "e", Amount: 1}}, pos.ErrEnvelopeSum},
	} {
		if _, err := pos.CheckEnvelopes(c.uses, 100); pos.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
