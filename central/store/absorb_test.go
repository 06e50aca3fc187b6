package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/reconcile/breaks"
	"dcpos/pos"
)

// dying is the store of a process that is killed before its n-th commit.
type dying struct {
	breaks.Store
	left int
	then func() // what happens instead of the death; nil: it dies
}

func (d *dying) BreakTx(ctx context.Context, fn func(tx breaks.Tx) error) error {
	if d.left--; d.left < 0 {
		if d.then == nil {
			return errors.New("killed")
		}
		d.then()
		d.left = 1 << 30
	}
	return d.Store.BreakTx(ctx, fn)
}

// line is an id of this site's alone: a case is known by date and id.
func (x *site) line(n int) string { return fmt.Sprintf("%s-t%d", x.bank, n) }

// ends are the cases without what differs from site to site.
func (x *site) ends() (all []string) {
	x.tb.Helper()
	for _, date := range []pos.Date{"2026-11-21", "2026-11-22"} {
		for n := range 6 {
			c := x.of(x.line(n), date)
			all = append(all, fmt.Sprintf("%d %s %s %s %s %s %d", n, c.Date, c.State, c.Outcome, c.Rule, c.Outstanding(), c.Revision))
		}
	}
	return all
}

// TestADayIsAbsorbedInParts: a day is written in transactions of bounded size. Killed before any of them, with the
// books sound each time, and done again, it comes to the same as in one go.
func TestADayIsAbsorbedInParts(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		days := func(x *site) (first, second []string) {
			for n := range 6 {
				first = append(first, x.missTheirs(x.line(n), 100+n))
				second = append(second, x.missOurs(x.line(n), 100+n%4)) // two of them differ
			}
			return first, second
		}
		straight := newSite(t.Context(), t, s, t.TempDir())
		first, second := days(straight)
		straight.absorb("2026-11-21", first...)
		straight.absorb("2026-11-22", second...)

		x := newSite(t.Context(), t, s, t.TempDir())
		first, second = days(x)
		whole, mortal := x.desk, &dying{Store: s.Breaks()}
		x.desk = breaks.New(breaks.Config{Store: mortal, Payments: x.wallets, FourEyes: fourEyes, Part: 2, Now: func() time.Time { return x.now }})
		deaths := x.absorbDying(mortal, "2026-11-21", first)
		deaths += x.absorbDying(mortal, "2026-11-22", second)
		if diff := cmp.Diff(straight.ends(), x.ends()); diff != "" {
			t.Error(diff)
		}
		if deaths < 4 {
			t.Errorf("only %d deaths: it was written in one go", deaths)
		}

		mortal.left = 1 << 30
		// A person who takes up a case between thinking and writing loses nothing.
		x.absorb("2026-11-23", x.missTheirs("p", 5))
		c := x.of("p", "2026-11-23")
		mortal.left, mortal.then = 0, func() {
			if _, err := whole.Assign(x.ctx, c.ID, "wang", person("wang")); err != nil {
				t.Fatal(err)
			}
		}
		x.absorb("2026-11-23", x.missTheirs("p", 7))
		if c = x.of("p", "2026-11-23"); c.Assignee != "wang" || c.Outstanding() != 7 {
			t.Errorf("%+v", c)
		}
		x.sound()
	})
}

// absorbDying absorbs a day with a death before each commit, in turn, until none comes any more.
func (x *site) absorbDying(d *dying, date pos.Date, lines []string) (deaths int) {
	x.tb.Helper()
	for n := 0; ; n = 1 {
		d.left = n // at first before anything is written, then with a part of it more each time
		err := x.tryAbsorb(date, lines...)
		x.sound()
		if err == nil {
			return deaths
		}
		if deaths++; deaths > 100 {
			x.tb.Fatal(err)
		}
	}
}
