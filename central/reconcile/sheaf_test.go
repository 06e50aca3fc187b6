package reconcile

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestAPortionOfMoreLinesThanASheaf: with the least memory a portion's records take several sheaves; the results are the same.
func TestAPortionOfMoreLinesThanASheaf(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(120_000, 13)
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: minMemory, Workers: 2}
	if per := tune(memoryPerWorker, 1).ram / bytesPerSheafed; int64(len(a)) <= per {
		t.Fatalf("%d lines fit memory for %d", len(a), per)
	}
	single := job
	single.Out, job.Out = filepath.Join(dir, "single"), filepath.Join(dir, "parts")
	want, err := Run(t.Context(), single)
	if err != nil {
		t.Fatal(err)
	}
	got, err := RunIn(t.Context(), filepath.Join(dir, "segments"), job)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results(t, single.Out, want), results(t, job.Out, got)); diff != "" {
		t.Error(diff)
	}
}

// TestListsThatAreLookedAtAgain: where briefs do not tell bodies apart, most lists are looked at again: also those over
// their budget, which are split, and an id of so many lines that it is sorted. Nothing is found twice or not at all.
func TestListsThatAreLookedAtAgain(t *testing.T) {
	dir := t.TempDir()
	a, b, _ := truth(12_000, 17)
	for i := range 6_000 { // one id, and ids that both sides have twice
		a = append(a, entry{"many", "M1", "T", "ICBC", strconv.Itoa(i % 7), "0", "S", "2021-02-10T13:00:00Z"})
		b = append(b, a[len(a)-1])
	}
	for i := range 200 {
		a, b = append(a, a[i]), append(b, a[i], a[i])
	}
	job := Job{Ours: save(t, dir, "o", [][]entry{a}), Theirs: save(t, dir, "t", [][]entry{b}), Memory: minMemory, Workers: 2, Out: filepath.Join(dir, "one")}
	s, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := results(t, job.Out, s)
	for _, blind := range []int{briefBody, briefBody - 4} {
		depot, crew := folderDepot(t, filepath.Join(dir, "depot", strconv.Itoa(blind)), true, 2)
		depot.depth, depot.shards, depot.blind = 1, 1, blind
		if budget := tune(memoryPerWorker, 1).leaf; int64(len(a)+len(b))/2*costPerRow < budget {
			t.Fatalf("a list of %d lines fits the budget of %d bytes", (len(a)+len(b))/2, budget)
		}
		job.Out = filepath.Join(dir, strconv.Itoa(blind))
		if s, err = RunInParts(t.Context(), job, depot, crew); err != nil {
			t.Fatal(blind, err)
		}
		if diff := cmp.Diff(want, results(t, job.Out, s)); diff != "" {
			t.Errorf("%d bits left out: other bytes:\n%s", blind, diff)
		}
	}
}

// TestLinesOfASheafAreCountedByEighteenBits: lines that take no part count, too.
func TestLinesOfASheafAreCountedByEighteenBits(t *testing.T) {
	const last = 1<<briefPlace - 1
	s := new(sheaf)
	s.reset(3, bodyMask(briefBody), 10, 1<<20)
	key := newSecret()
	s.add(key, []uint64{1 << 62}, []uint64{1}, []uint64{5}) // the line before is the fourth
	if s.full(1, 4+last) || !s.full(1, 4+last+1) {
		t.Error("a sheaf takes lines that its records have no bits for, or none that they have")
	}
	s.add(key, []uint64{1<<62 + 1}, []uint64{2}, []uint64{4 + last})
	words := s.sort()
	r := readBrief(words[briefSize:]).record(2, 100)
	if r.place() != 100+last || r.id() != 2<<briefID {
		t.Errorf("place %d, id %x", r.place(), r.id())
	}
}

// TestABriefSaysWhatARecordSays: what is read again is compared with the record that a brief stands for.
func TestABriefSaysWhatARecordSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		id, body := rapid.Uint64().Draw(rt, "id"), rapid.Uint64().Draw(rt, "body")
		line, before := rapid.Uint64Range(0, 1<<briefPlace-1).Draw(rt, "line"), place(rapid.Uint64Range(0, 1<<38).Draw(rt, "before"))
		p := proof{depth: rapid.IntRange(1, mostDepth).Draw(rt, "depth"), mask: bodyMask(rapid.IntRange(0, briefBody).Draw(rt, "body bits"))}
		got := briefOf(p.depth, p.mask, id, body, line).record(id>>(64-p.depth), before)
		if want := p.kept(id, body, before+place(line)); got != want || got.place() != before+place(line) {
			rt.Fatalf("%+v, want %+v", got, want)
		}
	})
}
