package daily_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/reconcile/daily"
	"dcpos/lab/institution/api"
	"dcpos/pos"
)

func (d *day) ask(date pos.Date, by string) daily.Ask {
	d.Helper()
	a, err := d.desk.Ask(d.Context(), date, by)
	if err != nil {
		d.Fatal(err)
	}
	return a
}

// serve answers in the background until the test ends.
func (d *day) serve() {
	ctx, stop := context.WithCancel(d.Context())
	served := make(chan error, 1)
	go func() { served <- d.desk.Serve(ctx) }()
	d.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			d.Error(err)
		}
	})
}

// when waits until the date's ask is as wanted.
func (d *day) when(date pos.Date, what string, wanted func(a daily.Ask) bool) daily.Ask {
	d.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := d.store.Reconciliations().Asks(d.Context(), 100)
		if err != nil {
			d.Fatal(err)
		}
		i := slices.IndexFunc(all, func(a daily.Ask) bool { return a.Date == date })
		if i >= 0 && wanted(all[i]) {
			return all[i]
		}
		if time.Now().After(deadline) {
			d.Fatalf("%s: not within a minute: %+v", what, all)
		}
	}
}

func answered(a daily.Ask) bool { return a.Answered() }

// TestAskedForUntilAnswered: a date that was asked for before anybody served is answered, twice asked is
// done once, and one that was answered may be asked for again.
func TestAskedForUntilAnswered(t *testing.T) {
	d := newDay(t, 0)
	if a := d.ask(today, "wang"); a.Number != 1 || a.By != "wang" || a.Answered() {
		t.Errorf("%+v", a)
	}
	if a := d.ask(today, "zhao"); a.Number != 2 || a.By != "zhao" || a.Answered() {
		t.Errorf("%+v", a)
	}
	d.serve()
	a := d.when(today, "the answer", answered)
	if a.Number != 2 || a.Tries != 1 || a.Lacks != (pos.Text{}) {
		t.Errorf("%+v", a)
	}
	run, _, err := d.store.Reconciliations().Run(t.Context(), string(today))
	if err != nil || run.Matched != 12 {
		t.Fatalf("%+v %v", run, err)
	}
	d.clock.Add(1000)
	if a := d.ask(today, "wang"); a.Number != 3 || a.Answered() || a.Tries != 0 {
		t.Errorf("%+v", a)
	}
	d.when(today, "the second answer", func(a daily.Ask) bool { return a.Number == 3 && a.Answered() })
	again, _, err := d.store.Reconciliations().Run(t.Context(), string(today))
	if err != nil || again.StartedMS != run.StartedMS {
		t.Errorf("the same inputs were done again: %+v %v", again, err)
	}
	for _, date := range []pos.Date{"", "2026-02-30", "2026-03-04", "tomorrow"} {
		if _, err := d.desk.Ask(t.Context(), date, "wang"); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Errorf("%q: %v", date, err)
		}
	}
}

// TestWhatLacksSomethingIsTriedAgain: a statement that is late and a run that fails.
func TestWhatLacksSomethingIsTriedAgain(t *testing.T) {
	d := newDay(t, 0)
	d.fault("ABC", api.Fault{Op: api.OpStatements, Kind: api.Late})
	d.ask(today, "wang")
	d.serve()
	a := d.when(today, "the first try", func(a daily.Ask) bool { return a.Tries == 1 })
	if want := d.clock.Load() + (30 * time.Minute).Milliseconds(); a.DueMS != want || a.Lacks.EN != "no statement of ABC" || a.Lacks.ZH == "" {
		t.Errorf("%+v, want it due at %d", a, want)
	}
	d.heal("ABC")
	d.clock.Add((31 * time.Minute).Milliseconds())
	if a = d.when(today, "the second try", answered); a.Tries != 2 || a.Lacks != (pos.Text{}) {
		t.Errorf("%+v", a)
	}
	d.fails.killed = true
	d.pay("ICBC", 3_00) // else there is nothing to do
	d.ask(today, "wang")
	if a = d.when(today, "the failure", func(a daily.Ask) bool { return a.Tries == 1 }); a.Answered() || a.Lacks.EN == "" || a.Lacks.ZH == "" {
		t.Errorf("%+v", a)
	}
	d.fails.killed = false
	d.ask(today, "wang") // at once
	d.when(today, "the answer", answered)
}

// TestARefusedStatementSaysWhy: where others can be used, and where none can, then of every institution.
func TestARefusedStatementSaysWhy(t *testing.T) {
	d := newDay(t, 0)
	spoil := func(codes ...string) {
		for _, code := range codes {
			d.fault(code, api.Fault{Op: api.OpStatements, Kind: api.Damaged, Reason: api.DamageCut})
		}
	}
	asked := func(what string) pos.Text {
		d.ask(today, "wang")
		return d.when(today, what, func(a daily.Ask) bool { return !a.Lacks.IsZero() }).Lacks
	}
	spoil(d.config.Institutions.Codes()...)
	d.serve()
	said := asked("none")
	for _, code := range d.config.Institutions.Codes() {
		if !strings.Contains(said.EN, code+" refused (has no trailer line") || !strings.Contains(said.ZH, code+" 已拒收(没有尾行") {
			t.Errorf("%s: %s\n%s", code, said.EN, said.ZH)
		}
	}
	spoil("ABC")
	said = asked("one")
	if said.EN != "no statement of ABC; ABC's statement was refused (has no trailer line (99…): it is cut off; ask for it again)" ||
		!strings.HasPrefix(said.ZH, "缺对账单:ABC;ABC 对账单已拒收(没有尾行") {
		t.Error(said)
	}
}

// gate holds the next run back after it has begun.
type gate struct {
	daily.Store
	once      sync.Once
	begun, on chan struct{}
}

func (g *gate) Lines(ctx context.Context, code string, date pos.Date, yield func(daily.Line) error) error {
	g.once.Do(func() {
		close(g.begun)
		<-g.on
	})
	return g.Store.Lines(ctx, code, date, yield)
}

// TestAskedForWhileItRuns: whoever asks while a date is under way is answered by another run.
func TestAskedForWhileItRuns(t *testing.T) {
	d := newDay(t, 0)
	g := &gate{Store: d.fails, begun: make(chan struct{}), on: make(chan struct{})}
	d.config.Store = g
	var err error
	if d.desk, err = daily.New(d.config); err != nil {
		t.Fatal(err)
	}
	d.ask(today, "wang")
	d.serve()
	<-g.begun
	d.ask(today, "zhao")
	close(g.on)
	if a := d.when(today, "the answer", answered); a.Number != 2 || a.By != "zhao" {
		t.Errorf("%+v", a)
	}
}

// TestTheHourCatchesUp: after an outage it asks for every date that it has missed, and again for those
// that still lack something; on its first day for the day before alone.
func TestTheHourCatchesUp(t *testing.T) {
	d := newDay(t, 0)
	due := func() (dates []pos.Date) {
		t.Helper()
		asks, err := d.store.Reconciliations().DueAsks(t.Context(), d.clock.Load())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range asks {
			dates = append(dates, a.Date)
			a.DueMS = 0
			if err := d.store.Reconciliations().AnswerAsk(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		return dates
	}
	catch := func(last pos.Date, begin bool, want ...pos.Date) {
		t.Helper()
		if err := d.desk.Catch(t.Context(), last, begin); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, due()); diff != "" {
			t.Error(diff)
		}
	}
	catch("2026-02-20", false)
	catch("2026-02-21", true, "2026-02-21")
	catch("2026-02-21", false)
	catch("2026-02-24", false, "2026-02-22", "2026-02-23", "2026-02-24")
	d.fault("ABC", api.Fault{Op: api.OpStatements, Kind: api.Late})
	d.run(today)
	catch("2026-03-04", true, "2026-02-25", "2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01", today, "2026-03-03", "2026-03-04")
	catch("2026-03-05", true, today, "2026-03-05")
	d.heal("ABC")
	d.run(today)
	catch("2026-03-06", true, "2026-03-06")
	if err := d.desk.Catch(t.Context(), "soon", true); err == nil || errors.Is(err, context.Canceled) {
		t.Error("a date that is none")
	}
}
