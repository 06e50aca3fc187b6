package reconcile

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAPortionThatMemoryDoesNotHoldGoesToPages: with the least memory a portion's records overflow
// into pages; the results are the same.
func TestAPortionThatMemoryDoesNotHoldGoesToPages(t *testing.T) {
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
