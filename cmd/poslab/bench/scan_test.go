package bench

import (
	"os"
	"path/filepath"
	"testing"

	"dcpos/lab/statements"
)

func TestScanSeesEveryLineOnce(t *testing.T) {
	dir := t.TempDir()
	var files []string
	var out [2]*os.File
	for i, name := range []string{"ours.csv", "theirs.csv"} {
		files = append(files, filepath.Join(dir, name))
		f, err := os.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		out[i] = f
	}
	truth, err := statements.Plan{Pairs: 20_000, Seed: 3, HotPercent: 30}.Write(t.Context(), out[0], out[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range out {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, goroutines := range []int{1, 3} {
		lines, fen, err := scan(files, goroutines)
		if err != nil || lines != truth.Ours+truth.Theirs || fen != truth.OursFen+truth.TheirsFen {
			t.Errorf("%d goroutines: %d lines, %d fen, %v; want %+v", goroutines, lines, fen, err, truth)
		}
	}
}
