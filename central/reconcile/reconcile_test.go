package reconcile

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/pos"
)

// tiny squeezes every rare path out of a few lines: blocks of some lines, shards that
// must split, ids that cannot be split, pages on disk.
func tiny(workers, block, depth int, leafBytes, ram int64) tuning {
	return tuning{
		block: block, page: 4096, depth: depth, pinned: true, leaf: leafBytes, ram: ram,
		sort: 1, totals: 1, splitBits: 2, maxDepth: 12, workers: workers, windowSize: 1 << 20,
	}
}

func roomy() tuning { return tune(64<<20, 1) }

func genEntry(ids int) *rapid.Generator[entry] {
	return rapid.Custom(func(t *rapid.T) entry {
		return entry{
			id:       "T" + strconv.Itoa(rapid.IntRange(0, ids).Draw(t, "id")),
			merchant: rapid.SampledFrom([]string{"M1", "M2", "", `"q"`}).Draw(t, "merchant"),
			terminal: "till",
			bank:     rapid.SampledFrom([]string{"ICBC", "ABC"}).Draw(t, "bank"),
			amount:   strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "amount")),
			fee:      strconv.Itoa(rapid.IntRange(-1, 1).Draw(t, "fee")),
			status:   rapid.SampledFrom([]string{"S", "F", "P", "R"}).Draw(t, "status"),
			ts:       "20210210210000",
		}
	})
}

// genSides makes both sides: mostly the same lines, some changed, doubled or dropped.
func genSides(t *rapid.T) (a, b [][]entry) {
	ids := rapid.SampledFrom([]int{0, 5, 40, 1000}).Draw(t, "ids")
	mine := rapid.SliceOfN(genEntry(ids), 0, 80).Draw(t, "ours")
	var their []entry
	for _, e := range mine {
		switch rapid.IntRange(0, 9).Draw(t, "fate") {
		case 0:
			continue
		case 1:
			their = append(their, e, e)
		case 2:
			e.amount = "77"
		case 3:
			e.bank = "PSBC"
		}
		their = append(their, e)
	}
	their = append(their, rapid.SliceOfN(genEntry(ids), 0, 10).Draw(t, "theirs")...)
	their = rapid.Permutation(their).Draw(t, "order")
	return cut(t, mine), cut(t, their)
}

func cut(t *rapid.T, lines []entry) [][]entry {
	if n := rapid.IntRange(0, len(lines)).Draw(t, "cut"); rapid.Bool().Draw(t, "two files") {
		return [][]entry{lines[:n], lines[n:]}
	}
	return [][]entry{lines}
}

func save(tb testing.TB, dir, name string, files [][]entry) []Source {
	tb.Helper()
	var out []Source
	for i, lines := range files {
		out = append(out, Source{Path: write(tb, filepath.Join(dir, fmt.Sprintf("%s%d.csv", name, i)), csvOf(lines))})
	}
	return out
}

func TestEngineAgreesWithTheOracle(t *testing.T) {
	base, round := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, strconv.Itoa(round))
		if err := os.Mkdir(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		a, b := genSides(rt)
		tolerance := rapid.SampledFrom([]int64{0, 0, 1}).Draw(rt, "tolerance")
		want := judge(a, b, tolerance)
		job := Job{
			Ours: save(t, dir, "ours", a), Theirs: save(t, dir, "theirs", b), Memory: minMemory,
			Rules: &Rules{Version: 1, AmountToleranceFen: pos.Money(tolerance)},
		}
		split := rapid.SampledFrom([][]Split{
			nil,
			{{By: SplitByBank}},
			{{By: SplitByMerchant, Values: []string{"M1"}}, {By: SplitByBank, Values: []string{"ABC"}}},
			{{By: SplitByDate}, {By: SplitByIDHash, Bits: 3}},
		}).Draw(rt, "splits")
		var files []map[string]string
		for i, tuned := range []tuning{
			roomy(),
			tiny(rapid.IntRange(1, 4).Draw(rt, "workers"), rapid.IntRange(1, 400).Draw(rt, "block"),
				rapid.IntRange(0, 5).Draw(rt, "depth"), rapid.Int64Range(1, 4000).Draw(rt, "leaf"),
				rapid.SampledFrom([]int64{0, 20_000, 1 << 20}).Draw(rt, "ram")),
		} {
			job.Out = filepath.Join(dir, "out"+strconv.Itoa(i))
			if i > 0 {
				job.Rules.Splits = split
				tuned.sort = rapid.SampledFrom([]int64{1, 40, 1 << 16}).Draw(rt, "sort")
			}
			s, err := runTuned(t.Context(), job, tuned)
			if err != nil {
				rt.Fatal(err)
			}
			checkVerdict(rt, want, s, lines(t, filepath.Join(job.Out, breaksFile)))
			s.Seconds, s.Shards = 0, Shards{}
			js, _ := json.Marshal(s)
			files = append(files, map[string]string{
				"breaks": read(t, job.Out, breaksFile), "totals": read(t, job.Out, totalsFile), "summary": string(js),
			})
		}
		if !maps.Equal(files[0], files[1]) {
			rt.Fatal("bytes depend on workers, memory or blocks:\n" + cmp.Diff(files[0], files[1]))
		}
	})
}

func checkVerdict(t *rapid.T, want verdict, s Summary, breaks []string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{breaksHeader}, want.breaks...), breaks); diff != "" {
		t.Fatal("breaks.csv (-want +got):\n" + diff)
	}
	for _, kind := range classes() {
		if got := s.Class(kind); got != int64(want.counts[string(kind)]) {
			t.Fatalf("%s = %d, want %d", kind, got, want.counts[string(kind)])
		}
	}
	for status, n := range s.MatchedByStatus {
		if n != int64(want.counts["matched "+status]) {
			t.Fatalf("matched %s = %d, want %d", status, n, want.counts["matched "+status])
		}
	}
	got := [3]int64{int64(s.Proof.Ours), int64(s.Proof.Theirs), int64(s.Proof.Breaks)}
	if got != want.effects || !s.Proof.Closes {
		t.Fatalf("proof %v closes %v, want %v", got, s.Proof.Closes, want.effects)
	}
	ours := s.Matched + s.MissingTheirs + s.AmountMismatch + s.StatusMismatch + s.FieldMismatch + s.DuplicateOurs
	theirs := s.Matched + s.MissingOurs + s.AmountMismatch + s.StatusMismatch + s.FieldMismatch + s.DuplicateTheirs
	if ours != s.Ours || theirs != s.Theirs {
		t.Fatalf("classes hold %d/%d lines of %d/%d", ours, theirs, s.Ours, s.Theirs)
	}
}

// truth makes n pairs with breaks of every kind at known counts.
func truth(n int, seed uint64) (a, b []entry, want map[pos.BreakKind]int64) {
	r := rand.New(rand.NewPCG(seed, 1))
	banks := []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}
	want = map[pos.BreakKind]int64{}
	for i := range n {
		e := entry{
			id:       fmt.Sprintf("%016x%016x", r.Uint64(), i),
			merchant: "M" + strconv.Itoa(r.IntN(2000)), terminal: "T" + strconv.Itoa(r.IntN(50)),
			bank: banks[r.IntN(6)], amount: strconv.Itoa(r.IntN(200_000)), fee: strconv.Itoa(r.IntN(50)),
			status: "S", ts: "2021-02-10T13:00:00Z",
		}
		if r.IntN(10) == 0 {
			e.merchant = "M0"
		}
		if r.IntN(50) == 0 {
			e.status = []string{"F", "P", "R"}[r.IntN(3)]
		}
		o := e
		switch r.IntN(400) {
		case 0:
			a, want[pos.MissingTheirs] = append(a, e), want[pos.MissingTheirs]+1
			continue
		case 1:
			b, want[pos.MissingOurs] = append(b, o), want[pos.MissingOurs]+1
			continue
		case 2: // missing on our side and doubled at the bank: one miss, one duplicate
			b = append(b, o, o)
			want[pos.MissingOurs]++
			want[pos.DuplicateTheirs]++
			continue
		case 3: // amount AND status differ: amount comes first
			o.amount, o.status, want[pos.AmountMismatch] = o.amount+"1", "X", want[pos.AmountMismatch]+1
			o.status = map[string]string{"S": "F", "F": "S", "P": "S", "R": "S"}[e.status]
		case 4:
			o.status = map[string]string{"S": "F", "F": "S", "P": "S", "R": "S"}[e.status]
			want[pos.StatusMismatch]++
		case 5:
			o.merchant, want[pos.FieldMismatch] = "remapped", want[pos.FieldMismatch]+1
		case 6:
			o.bank, want[pos.FieldMismatch] = "BANK7", want[pos.FieldMismatch]+1
		case 7: // a duplicate with another amount stays a duplicate
			twice := e
			twice.amount = "1"
			a = append(a, e, twice)
			b, want[pos.DuplicateOurs], want[pos.Matched] = append(b, o), want[pos.DuplicateOurs]+1, want[pos.Matched]+1
			continue
		default:
			want[pos.Matched]++
		}
		a, b = append(a, e), append(b, o)
	}
	r.Shuffle(len(b), func(i, k int) {
		// Lines of doubled ids keep their order because they are equal.
		b[i], b[k] = b[k], b[i]
	})
	return a, b, want
}

func TestInjectedBreaksAreFoundAndOnlyThose(t *testing.T) {
	dir := t.TempDir()
	a, b, want := truth(20_000, 7)
	s, err := Run(t.Context(), Job{
		Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}),
		Out: filepath.Join(dir, "out"), Memory: minMemory, Workers: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[pos.BreakKind]int64{}
	for _, kind := range classes() {
		got[kind] = s.Class(kind)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("classes (-want +got):\n" + diff)
	}
	v := judge([][]entry{a}, [][]entry{b}, 0)
	if diff := cmp.Diff(v.breaks, lines(t, filepath.Join(dir, "out", breaksFile))[1:]); diff != "" {
		t.Error("breaks (-want +got):\n" + diff)
	}
	if len(s.ByBank) != 7 || s.Shards.Count < 2 {
		t.Errorf("banks %d, shards %+v", len(s.ByBank), s.Shards)
	}
}

func TestOneHotIDIsSortedNotSplitForEver(t *testing.T) {
	dir := t.TempDir()
	a := make([]entry, 4000)
	for i := range a {
		a[i] = entry{"hot", "M", "T", "ICBC", strconv.Itoa(i), "0", "S", "1612962000000"}
	}
	b := a[10:12]
	tuned := tiny(2, 4096, 2, 8192, 10_000)
	job := Job{
		Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}),
		Out: filepath.Join(dir, "out"), Memory: minMemory,
	}
	s, err := runTuned(t.Context(), job, tuned)
	if err != nil {
		t.Fatal(err)
	}
	if s.DuplicateOurs != 3999 || s.DuplicateTheirs != 1 || s.AmountMismatch != 1 || !s.Proof.Closes {
		t.Errorf("%+v", s)
	}
	if plan := read(t, job.Out, planFile); !strings.Contains(plan, outcomeSorted) || !strings.Contains(plan, outcomeSplit) {
		t.Error("the plan tells neither of splitting nor of sorting:\n" + plan)
	}
	v := judge([][]entry{a}, [][]entry{b}, 0)
	if diff := cmp.Diff(v.breaks, lines(t, filepath.Join(job.Out, breaksFile))[1:]); diff != "" {
		t.Error(diff)
	}
}

func TestSplitsByFieldsMakeNoFalseBreaks(t *testing.T) {
	dir := t.TempDir()
	a, b, want := truth(10_000, 9)
	for i := range b {
		if i%50 == 0 && b[i].status == "S" {
			b[i].merchant = "M0" // remapped at the bank: another branch there than with us
		}
	}
	v := judge([][]entry{a}, [][]entry{b}, 0)
	for _, limit := range []int64{1 << 20, 8} {
		tuned := tune(minMemory, 2)
		tuned.sort, tuned.leaf = limit, 100_000
		out := filepath.Join(dir, strconv.FormatInt(limit, 10))
		s, err := runTuned(t.Context(), Job{
			Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Out: out, Memory: minMemory,
			Rules: &Rules{Version: 1, Splits: []Split{{By: SplitByBank}, {By: SplitByMerchant, Values: []string{"M0"}}}},
		}, tuned)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v.breaks, lines(t, filepath.Join(out, breaksFile))[1:]); diff != "" {
			t.Error(diff)
		}
		if s.MissingOurs != want[pos.MissingOurs] || s.MissingTheirs != want[pos.MissingTheirs] {
			t.Errorf("false misses: %+v", s)
		}
		var p plan
		if err := json.Unmarshal([]byte(read(t, out, planFile)), &p); err != nil {
			t.Fatal(err)
		}
		var leaves int64
		rules := map[string]int64{}
		for _, n := range p.Tree {
			rules[n.Rule] = n.Observed
			if n.Outcome == outcomeJoined || n.Outcome == outcomeSorted {
				leaves += n.Observed
			}
		}
		if leaves != s.Ours+s.Theirs || p.Observed != leaves {
			t.Errorf("the plan's shards hold %d lines of %d", leaves, s.Ours+s.Theirs)
		}
		residual := rules["residual: ids found under more than one branch"]
		if residual == 0 || (limit == 8) != (residual == leaves) {
			t.Errorf("%d of %d lines are residual, limit %d", residual, leaves, limit)
		}
		if _, ok := rules["bank = ICBC, merchant_id = M0"]; !ok {
			t.Errorf("no branch by bank and merchant in %v", rules)
		}
	}
}

func TestPermutingLinesChangesOnlyLineNumbers(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(3000, 3)
	strip := func(out string) []string {
		var rows []string
		for _, row := range lines(t, filepath.Join(out, breaksFile)) {
			f := strings.Split(row, ",")
			f[8], f[9] = "", ""
			rows = append(rows, strings.Join(f, ","))
		}
		return rows
	}
	var got [2][]string
	a, b = withoutDoubles(a), withoutDoubles(b)
	for i := range got {
		out := filepath.Join(dir, "out"+strconv.Itoa(i))
		_, err := Run(t.Context(), Job{
			Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Out: out,
		})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = strip(out)
		rand.Shuffle(len(a), func(i, k int) { a[i], a[k] = a[k], a[i] })
		rand.Shuffle(len(b), func(i, k int) { b[i], b[k] = b[k], b[i] })
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Error(diff)
	}
}

func withoutDoubles(in []entry) []entry {
	had := map[string]bool{}
	var out []entry
	for _, e := range in {
		if !had[e.id] {
			out = append(out, e)
		}
		had[e.id] = true
	}
	return out
}

func TestAmountsUpToTheEdgeAndOverflow(t *testing.T) {
	dir := t.TempDir()
	most := strconv.FormatInt(math.MaxInt64, 10)
	one := entry{"a", "M", "T", "ICBC", most, "0", "S", "1"}
	back := entry{"b", "M", "T", "ICBC", most, "0", "R", "1"}
	job := Job{Out: filepath.Join(dir, "out"), Theirs: save(t, dir, "t", [][]entry{{one}})}
	job.Ours = save(t, dir, "o", [][]entry{{one}})
	s, err := Run(t.Context(), job)
	if err != nil || s.Amount[pos.Matched].Ours != math.MaxInt64 || s.Proof.Ours != math.MaxInt64 {
		t.Errorf("%+v %v", s, err)
	}
	before := read(t, job.Out, summaryFile)
	job.Ours = save(t, dir, "p", [][]entry{{one, back}})
	job.Theirs = save(t, dir, "q", [][]entry{{one, back}})
	_, err = Run(t.Context(), job)
	want := "the sum of amount_fen of class matched (ours) does not fit int64 fen: amount does not fit int64 fen\n" +
		"the sum of amount_fen of class matched (theirs) does not fit int64 fen: amount does not fit int64 fen"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if after := read(t, job.Out, summaryFile); after != before {
		t.Error("a failed run changed the results")
	}
}

func TestReadBreaksGivesBackWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(2000, 5)
	out := filepath.Join(dir, "out")
	s, err := Run(t.Context(), Job{
		Ours: save(t, dir, "o", [][]entry{a, a[:3]}), Theirs: save(t, dir, "t", [][]entry{b}), Out: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for br, err := range ReadBreaks(filepath.Join(out, breaksFile)) {
		if err != nil {
			t.Fatal(err)
		}
		if br.Kind == pos.DuplicateOurs && !strings.Contains(br.Ours.Line, ":") {
			t.Errorf("line %q of a side with two files", br.Ours.Line)
		}
		if br.Kind == pos.FieldMismatch && (br.Field == "" || br.Values[0] == br.Values[1]) {
			t.Errorf("field mismatch without a field: %+v", br)
		}
		n++
	}
	if n != s.Breaks() {
		t.Errorf("read %d breaks of %d", n, s.Breaks())
	}
	for _, err := range ReadBreaks(filepath.Join(out, totalsFile)) {
		if err == nil {
			t.Error("totals.csv was read as breaks")
		}
	}
}
