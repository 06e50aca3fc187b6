package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/reconcile/daily"
	"dcpos/lab/drill"
	"dcpos/pos"
)

// workers of the shared centre: the first reads the folder of segments, the second over HTTP, and the
// third comes and goes.
const workers = 3

// TestKilledReconciliation: an operator asks the serving centre for one date after the other, and
// centre and workers are killed at random moments. Every date ends, its files have the bytes of a run
// in one process, and each break is one case.
func TestKilledReconciliation(t *testing.T) {
	t.Logf("-seed %d", *seed)
	w := newWorld(t)
	k := &killer{world: w, span: 300 * time.Millisecond, r: rand.New(rand.NewPCG(*seed, 5))} //nolint:gosec // moments, not secrets
	k.begin()
	lines := rand.New(rand.NewPCG(*seed, 6)) //nolint:gosec // likewise
	day := time.Now().In(pos.Shanghai()).AddDate(0, 0, -200)
	var dates []pos.Date
	for k.total() < *kills || len(dates) < 2 || !k.helped() && len(dates) < 30 { // in peace at last, workers help
		date := pos.Date(day.AddDate(0, 0, len(dates)).Format(time.DateOnly))
		dates = append(dates, date)
		w.sell(lines, date)
		k.reconcile(date)
	}
	k.again(dates[0])
	k.end()
	t.Logf("%d dates; killed: centre %d, workers %d and %d times, %d of them while a date was due; the third worker came %d times; shards' steps done by workers %v",
		len(dates), k.killed[0], k.killed[1], k.killed[2], k.meanwhile, k.came, k.tasks[:workers])
	if k.tasks[0]+k.tasks[1]+k.tasks[2] == 0 {
		t.Error("no worker has done anything")
	}
	for _, date := range dates {
		if _, err := w.run(nil, "poscentral", "--config", w.single.config, "reconcile", string(date)); err == nil {
			t.Errorf("%s has no breaks", date)
		}
	}
	for _, date := range dates {
		if diff := cmp.Diff(w.results(w.single, date), w.results(w.shared, date)); diff != "" {
			t.Errorf("%s: other bytes:\n%.3000s", date, diff)
		}
		if diff := cmp.Diff(w.cases(w.single, date), w.cases(w.shared, date)); diff != "" {
			t.Errorf("%s: other cases:\n%.3000s", date, diff)
		}
	}
	w.balanced()
}

// killer starts, kills and starts again.
type killer struct {
	*world
	r         *rand.Rand
	span      time.Duration // the longest wait before a strike
	worker    [workers]*drill.Program
	barred    drill.Program // a worker that the centre knows, with a wrong token for the segments
	killed    [workers]int  // the centre, the first and the second worker
	meanwhile int
	came      int
	tasks     [workers + 1]int // that each worker, and the centre, has done
}

func (k *killer) total() int { return k.killed[0] + k.killed[1] + k.killed[2] }

func (k *killer) begin() {
	k.Helper()
	for i := range k.worker {
		at := []string{filepath.Join(k.shared.dir, "segments", "data"), "http://" + k.shared.address + "/segments"}[i%2]
		k.worker[i] = &drill.Program{
			Name: fmt.Sprint("worker", i), Path: filepath.Join(k.bin, "poscentral"), Log: filepath.Join(k.dir, fmt.Sprintf("worker%d.log", i)),
			Args: []string{"worker", "--key", k.key(i), "--url", "nats://" + k.shared.nats, "--segments", at, "--token-file", k.token, "--memory", "16777216", "--log", "debug"},
		}
	}
	wrong := filepath.Join(k.dir, "wrong")
	k.must(os.WriteFile(wrong, []byte("a token of another centre\n"), 0o600))
	k.barred = drill.Program{
		Name: "barred", Path: filepath.Join(k.bin, "poscentral"), Log: filepath.Join(k.dir, "barred.log"),
		Args: []string{"worker", "--key", k.key(workers), "--url", "nats://" + k.shared.nats, "--segments", "http://" + k.shared.address + "/segments", "--token-file", wrong, "--log", "debug"},
	}
	k.start(&k.shared.Program)
	k.start(k.worker[0])
	k.start(k.worker[1])
	k.start(&k.barred)
	k.Cleanup(func() {
		for _, p := range []*drill.Program{&k.shared.Program, k.worker[0], k.worker[1], k.worker[2], &k.barred} {
			if p.Running() {
				_ = p.Kill()
			}
		}
	})
}

// helped reports that a worker has done a step.
func (k *killer) helped() bool {
	for _, p := range k.worker {
		if strings.Contains(k.log(p), stepDone) {
			return true
		}
	}
	return false
}

// log is what the program has said so far.
func (k *killer) log(p *drill.Program) string {
	b, _ := os.ReadFile(p.Log) // nothing yet
	return string(b)
}

// stepDone is what a worker's log says of a step.
const stepDone = `"task is done"`

// reconcile asks for the date as an operator does, kills while it is due, a few times, and waits for the
// answer.
func (k *killer) reconcile(date pos.Date) {
	k.Helper()
	told := make(chan struct{})
	go func() { // who asks is told later than the run begins, or hears nothing and asks again
		defer close(told)
		for k.Context().Err() == nil {
			if _, err := k.posctl("reconcile", string(date)); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	k.until("the date is asked for", func() bool { _, found := k.asked(date); return found })
	const ofADate = 6
	for last := min(k.total()+ofADate, *kills); k.total() < last; {
		time.Sleep(time.Duration(k.r.Int64N(int64(k.span)))) // any moment of a run
		if k.answered(date) {
			k.span = max(k.span/2, time.Millisecond) // runs are faster here
			break
		}
		k.strike(date)
	}
	k.until("the operator is told", func() bool {
		select {
		case <-told:
			return true
		default:
			return false
		}
	})
	k.until("the date is reconciled", func() bool { return k.answered(date) })
}

func (k *killer) answered(date pos.Date) bool {
	k.Helper()
	a, found := k.asked(date)
	return found && a.Answered()
}

// strike kills one program and starts it again, and lets the third worker come or go.
func (k *killer) strike(date pos.Date) {
	k.Helper()
	victim := k.r.IntN(workers)
	p := []*drill.Program{&k.shared.Program, k.worker[0], k.worker[1]}[victim]
	k.must(p.Kill())
	k.killed[victim]++
	if !k.answered(date) {
		k.meanwhile++
	}
	k.start(p)
	switch third := k.worker[2]; {
	case third.Running():
		k.must(third.Kill())
	case k.r.IntN(2) == 0:
		k.start(third)
		k.came++
	}
}

// ask asks until the centre has heard it; asking twice is asking once.
func (k *killer) ask(date pos.Date) {
	k.Helper()
	k.until("the centre is asked", func() bool {
		_, err := k.posctl("reconcile", string(date))
		return err == nil
	})
}

func (k *killer) asked(date pos.Date) (daily.Ask, bool) {
	k.Helper()
	all, err := k.shared.store.Reconciliations().Asks(k.Context(), 1000)
	k.must(err)
	for _, a := range all {
		if a.Date == date {
			return a, true
		}
	}
	return daily.Ask{}, false
}

// again asks for a date whose inputs have not changed: nothing is done.
func (k *killer) again(date pos.Date) {
	k.Helper()
	before, _, err := k.shared.store.Reconciliations().Run(k.Context(), string(date))
	k.must(err)
	was, _ := k.asked(date)
	k.ask(date)
	k.until("it is answered again", func() bool {
		a, _ := k.asked(date)
		return a.Number > was.Number && a.Answered()
	})
	after, _, err := k.shared.store.Reconciliations().Run(k.Context(), string(date))
	k.must(err)
	if before.StartedMS != after.StartedMS || before.Inputs != after.Inputs {
		k.Errorf("the same inputs were reconciled again: %+v, %+v", before, after)
	}
}

// end stops everything as an operator does; nobody may have complained of a race or a panic.
func (k *killer) end() {
	k.Helper()
	k.until("the centre serves", func() bool {
		r, err := http.NewRequestWithContext(k.Context(), http.MethodGet, "http://"+k.shared.address+"/healthz", nil)
		k.must(err)
		res, err := http.DefaultClient.Do(r)
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	k.until("a worker without access is told so", func() bool { return strings.Contains(k.log(&k.barred), "refuses access") })
	k.must(k.barred.Stop())
	if strings.Contains(k.log(&k.barred), stepDone) || strings.Contains(k.log(&k.barred), "task is not done") {
		k.Error("it has taken a task")
	}
	for i, p := range []*drill.Program{k.worker[0], k.worker[1], k.worker[2], &k.shared.Program} {
		if p.Running() {
			k.must(p.Stop())
		}
		log, err := os.ReadFile(p.Log)
		if err != nil && (i != 2 || k.came > 0) {
			k.Error(err)
		}
		k.tasks[i] = strings.Count(string(log), stepDone)
		for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
			if _, after, bad := strings.Cut(string(log), sign); bad {
				k.Errorf("%s wrote %s%.2000s", p.Name, sign, after)
			}
		}
	}
}

// results are the bytes that do not depend on who made them.
func (w *world) results(c *centre, date pos.Date) map[string]string {
	w.Helper()
	folder := filepath.Join(c.dir, "reconcile", string(date))
	got := map[string]string{}
	for _, name := range []string{"breaks.csv", "totals.csv", "explained.csv", "ours-ICBC.csv", "ours-PSBC.csv", "summary.json"} {
		b, err := os.ReadFile(filepath.Join(folder, name))
		w.must(err)
		got[name] = string(b)
	}
	var s map[string]any
	w.must(json.Unmarshal([]byte(got["summary.json"]), &s))
	delete(s, "seconds")
	delete(s, "shards")
	b, err := json.Marshal(s)
	w.must(err)
	got["summary.json"] = string(b)
	return got
}

// cases are a date's breaks as work, without their moments, and what happened to each.
func (w *world) cases(c *centre, date pos.Date) map[string]any {
	w.Helper()
	list, err := c.store.Breaks().Cases(w.Context(), pos.BreakFilter{Date: date, Limit: 100_000})
	w.must(err)
	if len(list) == 0 {
		w.Fatalf("%s has no cases", date)
	}
	got := map[string]any{}
	for _, one := range list {
		one.OpenedMS, one.ChangedMS = 0, 0
		_, remedies, events, found, err := c.store.Breaks().Case(w.Context(), one.ID)
		w.must(err)
		opened, said := 0, []string{}
		for _, e := range events {
			said = append(said, e.Actor+" "+e.What+" "+string(e.State)+" "+e.Detail)
			if e.What == "opened" {
				opened++
			}
		}
		if !found || len(remedies) > 0 || opened != 1 {
			w.Errorf("%s of %s was opened %d times: %v", one.ID, date, opened, said)
		}
		got[one.ID] = []any{one, said}
	}
	return got
}

// balanced holds both ledgers against each other.
func (w *world) balanced() {
	w.Helper()
	var sums [2]map[string]pos.Money
	for i, c := range []*centre{w.single, w.shared} {
		trial, err := c.store.Ledger().Trial(context.WithoutCancel(w.Context()), "")
		w.must(err)
		if !trial.Balanced() {
			w.Errorf("the ledger of %s does not balance", c.Name)
		}
		sums[i] = map[string]pos.Money{}
		for _, b := range trial.Accounts {
			sums[i][b.Account] = b.Amount
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" {
		w.Errorf("the ledgers differ:\n%s", diff)
	}
}
