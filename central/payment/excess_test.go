package payment_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/central/payment"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// publish puts policies with these tiers in force, the first under version 1.
func (h *house) publish(all ...[]pos.Tier) {
	h.t.Helper()
	limits := make([]pos.Limits, len(all))
	for n, tiers := range all {
		limits[n] = pos.DefaultLimits()
		limits[n].Tiers = tiers
	}
	h.decree(limits...)
}

// decree puts policies with these limits in force, the first under version 1.
func (h *house) decree(all ...pos.Limits) {
	h.t.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.store.Fleet().Write(h.t.Context(), func(tx fleet.Tx) error {
		for n, limits := range all {
			p := pos.Policy{Env: pos.Lab, Version: uint64(n + 1), FromMS: 1, IssuedMS: 1, Limits: limits} //nolint:gosec // few
			sealed, err := dcep.SealPolicy(key, p)
			if err != nil {
				return err
			}
			if err := tx.AppendPolicy(h.t.Context(), fleet.PolicyRecord{Policy: p, Sealed: sealed, By: "test"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) excesses() []console.Excess {
	h.t.Helper()
	all, err := h.store.Console().Excesses(h.t.Context(), 0, 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func (h *house) trusting(trust dcep.Trust) {
	h.change = func(c *payment.Config) { c.Trust = func() dcep.Trust { return trust } }
	h.desk = h.newDesk(h.store)
}

// TestAWalletBeyondItsClassIsReportedAndPaid: each till takes what it may; the centre alone sees the sum.
func TestAWalletBeyondItsClassIsReportedAndPaid(t *testing.T) {
	tills := []string{till, "S1-002", "S2-001"}
	hours := func(n int64) int64 { return n * time.Hour.Milliseconds() }
	for name, c := range map[string]struct {
		class   int
		amounts []pos.Money
		apart   int64 // between two payments
		policy  uint64
		want    []string
	}{
		"a class 4 wallet at three tills on a day":  {4, []pos.Money{1800_00, 1800_00, 1800_00}, hours(1), 1, []string{"24 hours 5400.00 of 5000.00"}},
		"the same of class 3":                       {3, []pos.Money{1800_00, 1800_00, 1800_00}, hours(1), 1, nil},
		"class 1, which has no cap":                 {1, []pos.Money{99999_00, 99999_00}, hours(1), 1, nil},
		"one that tells no class":                   {0, []pos.Money{1800_00, 1800_00, 1800_00}, hours(1), 1, []string{"24 hours 5400.00 of 5000.00"}},
		"just the cap":                              {4, []pos.Money{2000_00, 2000_00, 1000_00}, hours(1), 1, nil},
		"one fen above the cap":                     {4, []pos.Money{2000_00, 2000_00, 1000_01}, hours(1), 1, []string{"24 hours 5000.01 of 5000.00"}},
		"more than a day apart":                     {4, []pos.Money{1800_00, 1800_00, 1800_00}, hours(12), 1, nil},
		"one payment above the class's":             {4, []pos.Money{2000_01}, 0, 1, []string{"single payment 2000.01 of 2000.00"}},
		"a year of small ones":                      {4, slices.Repeat([]pos.Money{1900_00}, 27), hours(25), 1, []string{"365 days 51300.00 of 50000.00"}},
		"a policy that nobody knows: the fleet's":   {4, []pos.Money{1800_00, 1800_00, 1800_00}, hours(1), 77, []string{"24 hours 5400.00 of 5000.00"}},
		"a policy that the till did not name":       {4, []pos.Money{1800_00, 1800_00, 1800_00}, hours(1), 0, []string{"24 hours 5400.00 of 5000.00"}},
		"reported once, however many more there be": {4, slices.Repeat([]pos.Money{1800_00}, 9), 60_000, 1, []string{"24 hours 5400.00 of 5000.00"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.publish(pos.DefaultLimits().Tiers)
			first := newSignatory(t, time.UnixMilli(h.clock.Load()))
			w := first.sibling(t, time.UnixMilli(h.clock.Load()), c.class)
			h.trusting(first.trust)
			start := h.clock.Load() - int64(len(c.amounts))*c.apart - hours(9)
			for n, amount := range c.amounts {
				p := h.signAt(w, tills[n%2], uint64(n+1), amount, start+int64(n)*c.apart) //nolint:gosec // few
				p.moved.Policy = c.policy
				h.arrive(p, 0)
			}
			h.later(5 * time.Second)
			var got []string
			for _, x := range h.excesses() {
				got = append(got, fmt.Sprintf("%s %s of %s", x.Cap.EN, x.Sum, x.Most))
				if x.Class != c.class || x.Count != len(x.Parts) && x.Count < 20 || x.Parts[len(x.Parts)-1].State != pos.Credited {
					t.Errorf("%+v", x)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got := h.books()["receivable"]; got != sum(c.amounts) {
				t.Errorf("%s is credited, %s was taken", got, sum(c.amounts))
			}
			lines, err := h.store.Console().AuditLog(t.Context(), 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			for _, l := range lines {
				if l.What == "wallet_excess" && strings.Contains(l.Detail, "ICBC, class") {
					told++
				}
			}
			if told != len(c.want) {
				t.Errorf("%d lines in the trail", told)
			}
		})
	}
}

func sum(all []pos.Money) (total pos.Money) {
	for _, m := range all {
		total += m
	}
	return total
}

// Whatever order a wallet's statements come in, by journal or by salvage file, and wherever the centre is killed: the
// findings are those of somebody who sees all statements at once, and all the money is credited.
func TestFindingsDoNotDependOnTheOrder(t *testing.T) {
	tiers := [][]pos.Tier{
		{{Class: 2, Single: 9000}, {Class: 3, Day: 6000}, {Class: 4, Single: 2500, Day: 5000, Year: 9000}},
		{{Class: 2, Single: 2000}, {Class: 3, Day: 4000}, {Class: 4, Single: 2000, Day: 4000, Year: 12000}},
	}
	for engine, c := range map[string]struct {
		url   string
		seeds int
	}{"sqlite": {"", max(1, *counterSeeds/4)}, "postgres": {testpg.Start(t), max(1, *counterSeeds/8)}} {
		t.Run(engine, func(t *testing.T) {
			h := newHouse(t)
			if c.url != "" {
				h = newHouseAt(t, c.url)
			}
			h.publish(tiers...)
			for n := range c.seeds {
				seed := *counterSeed + uint64(n) //nolint:gosec // not negative
				h.spree(t, seed, tiers)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// spree is a wallet of each class that goes from till to till for two years, mostly on a few days.
func (h *house) spree(t *testing.T, seed uint64, tiers [][]pos.Tier) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 27)) //nolint:gosec // a test's
	now := time.UnixMilli(h.clock.Load())
	first := newSignatory(t, now)
	h.trust = first.trust
	var all []promise
	for _, c := range []int{0, 2, 3, 4} {
		w := first.sibling(t, now, c)
		for n := range 12 {
			day := now.AddDate(0, 0, -rng.IntN(4)*rng.IntN(240))
			p := h.signAt(w, []string{till, "S1-002", "S2-001"}[rng.IntN(2)], uint64(n+1), pos.Money(500+rng.IntN(2200)), //nolint:gosec // few
				day.Add(-time.Duration(rng.IntN(30*3600))*time.Second).UnixMilli())
			p.moved.Policy = uint64(1 + rng.IntN(2)) //nolint:gosec // few
			p.wallet, p.journal, p.file = c, true, rng.IntN(4) == 0
			all = append(all, p)
		}
	}
	known, before := len(h.excesses()), h.books()
	live(h, rng, all)
	want, amount := map[string]bool{}, pos.Money(0)
	for _, x := range all {
		amount += x.amount
		caps := tiers[x.moved.Policy-1]
		i := slices.IndexFunc(caps, func(c pos.Tier) bool { return c.Class == x.wallet })
		if x.wallet == 0 {
			i = len(caps) - 1
		}
		var day, year pos.Money
		for _, y := range all {
			if y.wallet != x.wallet || y.atMS > x.atMS || y.atMS == x.atMS && y.id.String() > x.id.String() {
				continue
			}
			if y.atMS > x.atMS-24*3600_000 {
				day += y.amount
			}
			if y.atMS > x.atMS-365*24*3600_000 {
				year += y.amount
			}
		}
		at := time.UnixMilli(x.atMS).In(pos.Shanghai())
		for which, c := range map[string]struct{ sum, most pos.Money }{
			"single payment " + at.Format(time.DateOnly): {x.amount, caps[i].Single},
			"24 hours " + at.Format(time.DateOnly):       {day, caps[i].Day},
			"365 days " + at.Format("2006"):              {year, caps[i].Year},
		} {
			if c.most > 0 && c.sum > c.most {
				want[fmt.Sprint(x.wallet, " ", which)] = true
			}
		}
	}
	got := map[string]bool{}
	fresh := h.excesses()
	for _, x := range fresh[:len(fresh)-known] {
		got[fmt.Sprint(x.Class, " ", x.Cap.EN, " ", x.Period)] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]pos.Money{"merchant": -amount, "receivable": amount}, grown(before, h.books())); diff != "" {
		t.Error(diff)
	}
}
