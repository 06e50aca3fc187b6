package payment_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/internal/testpg"
	"dcpos/pos"
)

var (
	wangfujing = [2]float64{39.9145, 116.4104}
	luohu      = [2]float64{22.5484, 114.1315} // 1,943 km away
	tongzhou   = [2]float64{39.9099, 116.6566} // 21 km
)

// place tells where a store is; the store's tills are where it is.
func (h *house) place(store, merchant string, at [2]float64) {
	h.t.Helper()
	p, err := pos.PointAt(at[0], at[1])
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.store.Fleet().Write(h.t.Context(), func(tx fleet.Tx) error {
		return tx.PutShop(h.t.Context(), fleet.Shop{ID: store, Merchant: merchant, Name: pos.Text{ZH: "店", EN: "store"}, At: &p})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) journeys() []console.Journey {
	h.t.Helper()
	all, err := h.store.Console().Journeys(h.t.Context(), 0, 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// TestAWalletAtTwoPlacesIsReportedAndPaid: threat T11. Whatever is found, every payment is credited.
func TestAWalletAtTwoPlacesIsReportedAndPaid(t *testing.T) {
	minutes := func(n int64) int64 { return n * time.Minute.Milliseconds() }
	untold := pos.DefaultLimits()
	untold.Travel = pos.Travel{}
	for name, c := range map[string]struct {
		first, second *[2]float64
		apart         int64 // between the two payments
		wide          int64 // each time is known to ± this; below 0: it is not told
		limits        pos.Limits
		want          bool
	}{
		"two cities within minutes":            {&wangfujing, &luohu, minutes(5), minutes(1), pos.DefaultLimits(), true},
		"two cities at the same moment":        {&wangfujing, &luohu, 0, minutes(2), pos.DefaultLimits(), true},
		"by plane":                             {&wangfujing, &luohu, minutes(240), minutes(1), pos.DefaultLimits(), false},
		"one city":                             {&wangfujing, &tongzhou, 0, 0, pos.DefaultLimits(), false},
		"one store":                            {&wangfujing, &wangfujing, 0, 0, pos.DefaultLimits(), false},
		"times that may be hours apart":        {&wangfujing, &luohu, minutes(5), minutes(90), pos.DefaultLimits(), false},
		"times that are not told":              {&wangfujing, &luohu, minutes(5), -1, pos.DefaultLimits(), false},
		"nobody knows where the first was":     {nil, &luohu, minutes(5), minutes(1), pos.DefaultLimits(), false},
		"nobody knows where the second was":    {&wangfujing, nil, minutes(5), minutes(1), pos.DefaultLimits(), false},
		"a policy that says nothing of travel": {&wangfujing, &luohu, minutes(5), minutes(1), untold, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.decree(c.limits)
			for i, at := range []*[2]float64{c.first, c.second} {
				if at != nil {
					h.place([]string{"shop-M1", "shop-M2"}[i], []string{shop, "M2"}[i], *at)
				}
			}
			w := newSignatory(t, time.UnixMilli(h.clock.Load()))
			h.trusting(w.trust)
			for i, at := range []int64{h.clock.Load() - c.apart, h.clock.Load()} {
				p := h.signAt(w, []string{till, "S2-001"}[i], uint64(i+1), 1000, at) //nolint:gosec // two
				p.moved.Policy = 1
				if c.wide >= 0 {
					p.moved.Time = &pos.Interval{EarliestMS: at - c.wide, LatestMS: at + c.wide}
				}
				h.arrive(p, 0)
			}
			h.later(5 * time.Second)
			got := h.journeys()
			if len(got) > 0 != c.want {
				t.Errorf("found %+v", got)
			}
			if paid := h.books()["receivable"]; paid != 2000 {
				t.Errorf("%s is credited of 20.00", paid)
			}
			told := 0
			lines, err := h.store.Console().AuditLog(t.Context(), 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				if l.What == "wallet_journey" {
					told++
				}
			}
			if told != len(got) {
				t.Errorf("%d lines in the trail", told)
			}
			for _, j := range got {
				a, b := j.Stops[0], j.Stops[1]
				if j.Metres/1000 != 1942 || j.Most.Milliseconds() != c.apart+2*c.wide || j.Travel != c.limits.Travel ||
					a.Terminal != till || b.Terminal != "S2-001" || a.At != "39.914500,116.410400" || a.State != pos.Credited ||
					b.State != pos.Credited || b.Time.LatestMS-b.Time.EarliestMS != 2*c.wide || a.Store.ZH == "" || a.Amount != 1000 {
					t.Errorf("%+v", j)
				}
			}
		})
	}
}

// A till may write any time into its journal: what makes no sense is no time.
func TestATimeThatMakesNoSenseFindsNothing(t *testing.T) {
	h := newHouse(t)
	h.decree(pos.DefaultLimits())
	h.place("shop-M1", shop, wangfujing)
	h.place("shop-M2", "M2", luohu)
	w := newSignatory(t, time.UnixMilli(h.clock.Load()))
	h.trusting(w.trust)
	for i, iv := range []pos.Interval{
		{EarliestMS: math.MinInt64, LatestMS: math.MaxInt64},
		{EarliestMS: math.MaxInt64, LatestMS: math.MaxInt64},
		{EarliestMS: 9, LatestMS: 8},
		{EarliestMS: -5, LatestMS: 5},
		{EarliestMS: 0, LatestMS: 0},
	} {
		p := h.signAt(w, []string{till, "S2-001"}[i%2], uint64(i+1), 1000, h.clock.Load()) //nolint:gosec // few
		p.moved.Policy, p.moved.Time = 1, &iv
		h.arrive(p, 0)
	}
	h.later(5 * time.Second)
	if got := h.journeys(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// Whatever order a wallet's statements come in, by journal or by salvage file, and wherever the centre is killed: the
// findings are those of somebody who sees all statements at once, and all the money is credited.
func TestJourneysDoNotDependOnTheOrder(t *testing.T) {
	for engine, c := range map[string]struct {
		url   string
		seeds int
	}{"sqlite": {"", max(1, *counterSeeds/8)}, "postgres": {testpg.Start(t), max(1, *counterSeeds/16)}} {
		t.Run(engine, func(t *testing.T) {
			h := newHouse(t)
			if c.url != "" {
				h = newHouseAt(t, c.url)
			}
			fast, slow := pos.DefaultLimits(), pos.DefaultLimits()
			slow.Travel = pos.Travel{SpeedKMH: 300, SlackKM: 10}
			h.decree(fast, slow)
			h.place("shop-M1", shop, wangfujing)
			h.place("shop-M2", "M2", luohu)
			for n := range c.seeds {
				seed := *counterSeed + uint64(n) //nolint:gosec // not negative
				h.wander(t, seed, []pos.Travel{fast.Travel, slow.Travel})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// wander is three wallets that go between two cities for a few days, faster than one can at times.
func (h *house) wander(t *testing.T, seed uint64, travels []pos.Travel) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 44)) //nolint:gosec // a test's
	now := time.UnixMilli(h.clock.Load())
	first := newSignatory(t, now)
	h.trust = first.trust
	known, before := len(h.journeys()), h.books()
	var all []promise
	var amount pos.Money
	for wallet := range 3 {
		w := first.sibling(t, now, 2)
		for n := range 8 {
			at := now.UnixMilli() - rng.Int64N(4*24*3600_000)
			p := h.signAt(w, []string{till, "S1-002", "S2-001"}[rng.IntN(3)], uint64(n+1), 100, at) //nolint:gosec // few
			p.wallet, p.journal, p.file = wallet, true, rng.IntN(4) == 0
			p.moved.Policy = uint64(1 + rng.IntN(2)) //nolint:gosec // few
			if rng.IntN(5) > 0 {
				p.moved.Time = &pos.Interval{EarliestMS: at - rng.Int64N(3600_000), LatestMS: at + rng.Int64N(3600_000)}
			}
			all, amount = append(all, p), amount+p.amount
		}
	}
	live(h, rng, all)
	want := map[string]bool{}
	for _, a := range all {
		for _, b := range all {
			later := b.atMS > a.atMS || b.atMS == a.atMS && b.id.String() > a.id.String()
			if a.wallet != b.wallet || !later || a.moved.Time == nil || b.moved.Time == nil || (a.till == "S2-001") == (b.till == "S2-001") {
				continue
			}
			policy := travels[b.moved.Policy-1]
			hours := float64(max(b.moved.Time.LatestMS-a.moved.Time.EarliestMS, a.moved.Time.LatestMS-b.moved.Time.EarliestMS)) / 3600_000
			if 1942.9-float64(policy.SlackKM) > hours*float64(policy.SpeedKMH) {
				want[fmt.Sprint(a.wallet, " ", time.UnixMilli(b.atMS).In(pos.Shanghai()).Format(time.DateOnly))] = true
			}
		}
	}
	got := map[string]bool{}
	owner := map[string]promise{}
	for _, p := range all {
		owner[p.id.String()] = p
	}
	fresh := h.journeys()
	for _, j := range fresh[:len(fresh)-known] {
		p := owner[j.Stops[1].Payment]
		got[fmt.Sprint(p.wallet, " ", time.UnixMilli(p.atMS).In(pos.Shanghai()).Format(time.DateOnly))] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]pos.Money{"merchant": -amount, "receivable": amount}, grown(before, h.books())); diff != "" {
		t.Error(diff)
	}
}
