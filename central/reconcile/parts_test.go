package reconcile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/reconcile/segment"
	"dcpos/lab/statements"
)

// results are the bytes that a run must give whoever does it.
func results(tb testing.TB, out string, s Summary) map[string]string {
	tb.Helper()
	s.Seconds, s.Shards = 0, Shards{}
	js, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]string{"breaks": read(tb, out, breaksFile), "totals": read(tb, out, totalsFile), "summary": string(js)}
}

// folderDepot is a depot in a folder, with a crew of so many goroutines.
func folderDepot(tb testing.TB, dir string, inPlace bool, atOnce int) (Depot, Local) {
	tb.Helper()
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		tb.Fatal(err)
	}
	d := Depot{Store: segment.Folder(filepath.Join(dir, "data")), Notes: segment.Notes(filepath.Join(dir, "notes")), InPlace: inPlace}
	w := NewWorker(d, tmp, minMemory, atOnce)
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d, Local{Worker: w, AtOnce: atOnce}
}

func TestPartsAgreeWithTheOracleAndTheSingleProcess(t *testing.T) {
	base, round := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, strconv.Itoa(round))
		if err := os.Mkdir(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		a, b := genSides(rt)
		want := judge(a, b, 0)
		job := Job{Ours: save(t, dir, "ours", a), Theirs: save(t, dir, "theirs", b), Memory: minMemory, Out: filepath.Join(dir, "one")}
		s, err := runTuned(t.Context(), job, roomy())
		if err != nil {
			rt.Fatal(err)
		}
		one := results(t, job.Out, s)
		depot, crew := folderDepot(t, filepath.Join(dir, "depot"), rapid.Bool().Draw(rt, "in place"), rapid.IntRange(1, 3).Draw(rt, "workers"))
		depot.portion = rapid.Int64Range(1, 3000).Draw(rt, "portion")
		depot.shards = rapid.IntRange(1, 4).Draw(rt, "shards")
		depot.depth = depot.shards + rapid.IntRange(0, 2).Draw(rt, "lists")
		depot.blind = rapid.IntRange(0, briefBody).Draw(rt, "blind")
		job.Out = filepath.Join(dir, "parts")
		if s, err = RunInParts(t.Context(), job, depot, crew); err != nil {
			rt.Fatal(err)
		}
		checkVerdict(rt, want, s, lines(t, filepath.Join(job.Out, breaksFile)))
		if parts := results(t, job.Out, s); !maps.Equal(one, parts) {
			rt.Fatal("a run in parts gives other bytes:\n" + cmp.Diff(one, parts))
		}
	})
}

// stepsOf is what a run did, as its plan tells.
func stepsOf(tb testing.TB, out string) (run string, done map[string]int) {
	tb.Helper()
	var p plan
	if err := json.Unmarshal([]byte(read(tb, out, planFile)), &p); err != nil {
		tb.Fatal(err)
	}
	done = map[string]int{}
	for _, s := range p.Steps {
		done[s.Do] = s.Done
	}
	return p.Run, done
}

func TestNothingIsDoneTwice(t *testing.T) {
	for _, blind := range []int{0, briefBody} { // the weights of lists alone tell that a line was corrected
		t.Run(strconv.Itoa(blind), func(t *testing.T) { nothingIsDoneTwice(t, blind) })
	}
}

func nothingIsDoneTwice(t *testing.T, blind int) {
	t.Helper()
	dir := t.TempDir()
	a, b, _ := truth(20_000, 11)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: 16 << 20}
	depot, crew := folderDepot(t, filepath.Join(dir, "depot"), true, 2)
	depot.portion, depot.depth, depot.shards, depot.blind = 200_000, 7, 6, blind
	run := func(name string) (string, map[string]int, map[string]string) {
		t.Helper()
		job.Out = filepath.Join(dir, name)
		s, err := RunInParts(t.Context(), job, depot, crew)
		if err != nil {
			t.Fatal(err)
		}
		single := job
		single.Out += "-single"
		want, err := Run(t.Context(), single)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(results(t, single.Out, want), results(t, job.Out, s)); diff != "" {
			t.Fatal(name + ": a run in parts gives other bytes:\n" + diff)
		}
		id, done := stepsOf(t, job.Out)
		return id, done, results(t, job.Out, s)
	}
	if err := Prepare(t.Context(), job, depot, crew); err != nil {
		t.Fatal(err)
	}
	first, done, _ := run("first")
	portions := len(csvOf(b))/200_000 + 1
	if done[doPartition] != portions || done[doJoin] != 64 {
		t.Errorf("after our side was prepared %v was done, want theirs' %d portions and all shards", done, portions)
	}
	again, done, _ := run("again")
	if again != first || done[doPartition] != 0 || done[doJoin] != 0 {
		t.Errorf("the same inputs: run %s (was %s) did %v", again, first, done)
	}
	before, err := os.Stat(filepath.Join(dir, "again", summaryFile))
	if err != nil {
		t.Fatal(err)
	}
	run2 := func() {
		job.Out = filepath.Join(dir, "again")
		if _, err := RunInParts(t.Context(), job, depot, crew); err != nil {
			t.Fatal(err)
		}
	}
	run2()
	if after, err := os.Stat(filepath.Join(dir, "again", summaryFile)); err != nil || !os.SameFile(before, after) {
		t.Errorf("results that stood were written again: %v", err)
	}
	// A corrected file: one line of it is another one.
	b[15_000].amount += "0"
	job.Theirs = save(t, dir, "t", [][]entry{b})
	corrected, done, _ := run("corrected")
	if corrected == first || done[doPartition] != 1 || done[doJoin] < 1 || done[doJoin] > 2 {
		t.Errorf("one corrected line: run %s did %v, want one portion and one or two shards", corrected, done)
	}
	// Late lines at the end.
	b = append(b, entry{"late", "M1", "T", "ICBC", "1", "0", "S", "2021-02-10T13:00:00Z"})
	job.Theirs = save(t, dir, "t", [][]entry{b})
	if _, done, _ = run("late"); done[doPartition] != 1 || done[doJoin] != 1 {
		t.Errorf("one late line: %v was done, want one portion and one shard", done)
	}
	// A late file of another institution.
	job.Theirs = append(job.Theirs, save(t, dir, "other", [][]entry{{{"x", "M1", "T", "ABC", "1", "0", "S", "2021-02-10T13:00:00Z"}}})...)
	if _, done, _ = run("other"); done[doPartition] != 1 || done[doJoin] != 1 {
		t.Errorf("one late file: %v was done, want one portion and one shard", done)
	}
}

func TestPackedAndDescribedFilesInParts(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	var mine []entry
	var theirs []statements.BankLine
	for i := range 3000 {
		l := statements.BankLine{
			TxnID: fmt.Sprintf("%08x-0000-7000-8000-%012x", i, r.Uint32()), Merchant: "886000001", Name: "老", Terminal: "T1", Batch: "B1",
			Amount: r.Int64N(1_000_000), Fee: 1, Status: 'S', Day: 20261121, Date: 20261121, Clock: 80000,
		}
		if i%100 != 0 {
			mine = append(mine, entry{l.TxnID, l.Merchant, "T1", "BOC", fmt.Sprint(l.Amount), "1", "S", "2026-11-21T00:00:00Z"})
		}
		theirs = append(theirs, l)
	}
	text, err := statements.WriteBank("BOC", 20261121, 20261121, theirs)
	if err != nil {
		t.Fatal(err)
	}
	boc := write(t, filepath.Join(dir, "boc.txt"), string(text))
	job := Job{
		Ours:   []Source{{Path: packed(t, filepath.Join(dir, "ours.csv.gz"), csvOf(mine))}},
		Theirs: []Source{{Path: boc, Format: "boc"}}, Memory: 16 << 20, SettlementDate: "2026-11-21",
	}
	depot, crew := folderDepot(t, filepath.Join(dir, "depot"), true, 2)
	depot.portion, depot.depth, depot.shards = 50_000, 4, 3
	single := job
	single.Out, job.Out = filepath.Join(dir, "single"), filepath.Join(dir, "parts")
	want, err := Run(t.Context(), single)
	if err != nil {
		t.Fatal(err)
	}
	got, err := RunInParts(t.Context(), job, depot, crew)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results(t, single.Out, want), results(t, job.Out, got)); diff != "" || got.MissingOurs != 30 {
		t.Error(diff)
	}
	for _, out := range []string{single.Out, job.Out} { // neither titles nor trailers are rows
		var p plan
		if err := json.Unmarshal([]byte(read(t, out, planFile)), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Inputs) != 2 || p.Inputs[0].Observed != 2970 || p.Inputs[1].Observed != 3000 {
			t.Errorf("%s: %+v", out, p.Inputs)
		}
	}
	for name, spoil := range map[string]func() []Source{
		"bad line": func() []Source {
			return []Source{{Path: write(t, filepath.Join(dir, "bad.csv"), csvOf(mine[:2500])+"x,y\n"+csvOf(mine[2500:])[len(header)+1:])}}
		},
		"wrong trailer": func() []Source {
			cut := strings.Replace(string(text), "\n", "\n", 1)
			at := strings.LastIndex(strings.TrimSpace(cut), "\n")
			before := strings.LastIndex(cut[:at], "\n")
			return []Source{{Path: write(t, filepath.Join(dir, "cut.txt"), cut[:before]+cut[at:]), Format: "boc"}}
		},
		"repeated": func() []Source {
			return []Source{{Path: boc, Format: "boc"}, {Path: write(t, filepath.Join(dir, "again.txt"), string(text)), Format: "boc"}}
		},
		"no trailer": func() []Source {
			return []Source{{Path: write(t, filepath.Join(dir, "head.txt"), string(text[:strings.IndexByte(string(text), '\n')+1])), Format: "boc"}}
		},
	} {
		single, parts := job, job
		single.Theirs = spoil()
		parts.Theirs = single.Theirs
		single.Out, parts.Out = filepath.Join(dir, "no"), filepath.Join(dir, "neither")
		_, want := Run(t.Context(), single)
		_, got := RunInParts(t.Context(), parts, depot, crew)
		bad, ok := errors.AsType[*InputError](got)
		if want == nil || !ok || want.Error() != bad.Error() {
			t.Errorf("%s: got %v\nwant %v", name, got, want)
		}
		if _, err := os.Stat(parts.Out); err == nil {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestDamageIsSeenWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(2000, 5)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: minMemory}
	job.Out = filepath.Join(dir, "want")
	s, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := results(t, job.Out, s)
	depotDir := filepath.Join(dir, "depot")
	depot, crew := folderDepot(t, depotDir, false, 1)
	depot.portion, depot.depth, depot.shards = 40_000, 4, 3
	job.Out = filepath.Join(dir, "first")
	if _, err := RunInParts(t.Context(), job, depot, crew); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{kindText, kindSegment, kindResult, kindSpec} {
		files, err := filepath.Glob(filepath.Join(depotDir, "data", kind, "*", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", kind, err)
		}
		for i, path := range files[:min(len(files), 4)] {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			broken := append([]byte(nil), whole...)
			broken[(i+1)*len(broken)/6] ^= 0x10
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			notes := Depot{Store: depot.Store, Notes: segment.Notes(filepath.Join(depotDir, "notes")), portion: depot.portion, depth: depot.depth, shards: depot.shards}
			if kind != kindResult { // let every shard be joined again
				if err := os.RemoveAll(filepath.Join(depotDir, "notes", kindStep)); err != nil {
					t.Fatal(err)
				}
			}
			w := NewWorker(notes, filepath.Join(depotDir, "tmp"), minMemory, 1)
			job.Out = filepath.Join(dir, kind+strconv.Itoa(i))
			s, err := RunInParts(t.Context(), job, notes, Local{Worker: w, AtOnce: 1})
			if err != nil && errors.Is(err, segment.ErrDamaged) && !strings.Contains(err.Error(), "delete the object that is named") {
				t.Errorf("a damaged %s is refused without saying what to do: %v", kind, err)
			}
			if err == nil { // the damaged bytes were not asked for, or made again
				if diff := cmp.Diff(want, results(t, job.Out, s)); diff != "" {
					t.Errorf("a damaged %s was taken for good:\n%s", kind, diff)
				}
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestThePreparedSideIsCheckedNotTrusted: records of ours that were changed where they lie are refused, a
// segment that is deleted is made again, and one of a file that has changed since is not used.
func TestThePreparedSideIsCheckedNotTrusted(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(5000, 9)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: 16 << 20, Workers: 2}
	folder := filepath.Join(dir, "segments")
	// A file that was just written may be written to again, and so is always read.
	if err := os.Chtimes(job.Ours[0].Path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := PrepareIn(t.Context(), folder, job); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(folder, "data", kindSegment, "*", "*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("segments of ours: %v, %v", made, err)
	}
	text := []byte(read(t, filepath.Dir(made[0]), filepath.Base(made[0])))
	text[100] ^= 1 // of a record: they come first
	write(t, made[0], string(text))
	job.Out = filepath.Join(dir, "out")
	_, err = RunIn(t.Context(), folder, job)
	if bad, ok := errors.AsType[*InputError](err); !ok || !errors.Is(err, segment.ErrDamaged) || bad.Why.ZH == "" || !strings.Contains(err.Error(), filepath.Base(made[0])) {
		t.Errorf("a changed record of ours: %v", err)
	}
	if _, err := os.Stat(job.Out); err == nil {
		t.Error("something was written")
	}
	same := func(name string) {
		t.Helper()
		single := job
		single.Out, job.Out = filepath.Join(dir, name+"-single"), filepath.Join(dir, name)
		want, err := Run(t.Context(), single)
		if err != nil {
			t.Fatal(err)
		}
		got, err := RunIn(t.Context(), folder, job)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(results(t, single.Out, want), results(t, job.Out, got)); diff != "" {
			t.Error(name, diff)
		}
	}
	if err := os.Remove(made[0]); err != nil {
		t.Fatal(err)
	}
	same("deleted")
	a[17].amount += "0"
	job.Ours = save(t, dir, "o", [][]entry{a})
	same("stale")
}

func TestATextThatChangesIsToldAndNothingIsWritten(t *testing.T) {
	for _, before := range []string{doPartition, doJoin} { // what is read again then is not what its record says
		t.Run(before, func(t *testing.T) { aTextThatChanges(t, before) })
	}
}

func aTextThatChanges(t *testing.T, before string) {
	t.Helper()
	dir := t.TempDir()
	a, b, _ := truth(2000, 6)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: minMemory, Out: filepath.Join(dir, "out")}
	depot, crew := folderDepot(t, filepath.Join(dir, "depot"), true, 1)
	depot.portion, depot.depth, depot.shards = 40_000, 4, 3
	changing := crewFunc(func(tasks []Task) error {
		if tasks[0].Do == before {
			text := read(t, dir, "t0.csv")
			write(t, job.Theirs[0].Path, strings.Replace(text, ",S,", ",F,", 300))
			if err := os.Chtimes(job.Theirs[0].Path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
				return err
			}
		}
		return crew.Do(t.Context(), tasks)
	})
	_, err := RunInParts(t.Context(), job, depot, changing)
	if want := job.Theirs[0].Path + ": changed while it was read"; err == nil || strings.Count(err.Error(), want) != 1 {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := os.Stat(job.Out); err == nil {
		t.Error("something was written")
	}
}

type crewFunc func(tasks []Task) error

func (f crewFunc) Do(_ context.Context, tasks []Task) error { return f(tasks) }

func packed(tb testing.TB, path, text string) string {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil {
		tb.Fatal(err)
	}
	return write(tb, path, b.String())
}

// TestPinnedShardsInParts: an operator may ask for more shards, by bits or by lines a shard; the results are the same.
func TestPinnedShardsInParts(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(3000, 3)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: minMemory, Out: filepath.Join(dir, "one")}
	s, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := results(t, job.Out, s)
	depot, crew := folderDepot(t, filepath.Join(dir, "depot"), true, 2)
	for name, c := range map[string]struct {
		rules  Rules
		shards int
		why    string
	}{
		"nothing": {Rules{Version: 1}, 4, "expected rows need 4 shards"},
		"bits":    {Rules{Version: 1, Splits: []Split{{By: SplitByIDHash, Bits: 5}}}, 32, "the rules pin 32 shards"},
		"lines":   {Rules{Version: 1, ShardRows: 500}, 16, "the rules pin 16 shards"},
	} {
		job.Rules, job.Out = &c.rules, filepath.Join(dir, name)
		if s, err = RunInParts(t.Context(), job, depot, crew); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, results(t, job.Out, s)); diff != "" {
			t.Errorf("%s: other bytes:\n%s", name, diff)
		}
		var p plan
		if err := json.Unmarshal([]byte(read(t, job.Out, planFile)), &p); err != nil {
			t.Fatal(err)
		}
		var rows int64
		for _, n := range p.Tree[1:] {
			rows += n.Observed
			if n.Why == "" || n.WhyZH == "" || n.Expected == 0 {
				t.Errorf("%s: %+v", name, n)
			}
		}
		if len(p.Tree) != 1+c.shards || p.Tree[0].Why != c.why || rows != s.Ours+s.Theirs {
			t.Errorf("%s: %d nodes, %d rows, %s", name, len(p.Tree), rows, p.Tree[0].Why)
		}
	}
}
