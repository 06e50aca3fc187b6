package reconcile

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"testing"
)

// pairFiles writes n lines for each side in different orders, 0.3 % of them breaks, a
// third of them of one merchant.
func pairFiles(tb testing.TB, n int) (a, b string) {
	tb.Helper()
	dir := tb.TempDir()
	banks := []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}
	for side, name := range []string{"ours.csv", "theirs.csv"} {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			tb.Fatal(err)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		_, _ = w.WriteString(header + "\n")
		for i := range n {
			k := uint64(i)
			if side == theirs {
				k = uint64((i*7919 + 13) % n) // a permutation as long as n has no factor 7919
			}
			r := rand.New(rand.NewPCG(k, 42))
			amount := r.IntN(200_000)
			x, y := r.Uint64(), r.Uint64()
			merchant := r.IntN(20_000)
			if merchant < 6_000 {
				merchant = 0
			}
			fee, bank, till := r.IntN(500), banks[r.IntN(6)], r.IntN(9)
			switch fate := r.IntN(1000); {
			case fate == side:
				continue
			case fate == 2 && side == theirs:
				amount++
			}
			_, _ = fmt.Fprintf(w, "%016x%016x,8860%05d,T%d,%s,%d,%d,S,2021-02-10T13:00:00Z\n", x, y, merchant, till, bank, amount, fee)
		}
		if err := w.Flush(); err != nil {
			tb.Fatal(err)
		}
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
		if side == ours {
			a = path
		} else {
			b = path
		}
	}
	return a, b
}

// heapInUse is the memory of live objects and not yet collected ones.
func heapInUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// BenchmarkReconcile reports lines of both sides a second. DCPOS_BENCH_LINES sets
// how many lines a side has; a million by default.
func BenchmarkReconcile(b *testing.B) {
	n := 1_000_000
	if v, err := strconv.Atoi(os.Getenv("DCPOS_BENCH_LINES")); err == nil {
		n = v
	}
	oursPath, theirsPath := pairFiles(b, n)
	for _, memory := range []int64{1 << 30, 16 << 20} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("memory=%dMiB/workers=%d", memory>>20, workers), func(b *testing.B) {
				runtime.GC()
				before := heapInUse()
				var peak atomic.Uint64
				for b.Loop() {
					_, err := Run(b.Context(), Job{
						Ours: []Source{{Path: oursPath}}, Theirs: []Source{{Path: theirsPath}},
						Out: filepath.Join(b.TempDir(), "out"), Memory: memory, Workers: workers,
						Progress: func(int64, int64) { peak.Store(max(peak.Load(), heapInUse())) },
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(2*n*b.N)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(peak.Load()-before)/(1<<20), "peak-MiB")
			})
		}
	}
}

// TestMemoryStaysWithinItsBudget has far more lines, breaks, merchants and rejects
// than 8 MiB hold.
func TestMemoryStaysWithinItsBudget(t *testing.T) {
	dir := t.TempDir()
	const n = 100_000
	var paths [2]string
	for side := range paths {
		paths[side] = filepath.Join(dir, strconv.Itoa(side)+".csv")
		f, err := os.Create(paths[side])
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		_, _ = w.WriteString(header + "\n")
		for i := range n {
			// Every line is a break, of a merchant of its own; every tenth is no line at all.
			id := strconv.Itoa(i*2 + side)
			if i%10 == 0 {
				id = ""
			}
			_, _ = fmt.Fprintf(w, "%s,merchant-%d-%d,T,ICBC,1,0,S,1612962000000\n", id, side, i)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	before := heapInUse()
	var peak atomic.Uint64
	s, err := Run(t.Context(), Job{
		Ours: []Source{{Path: paths[0]}}, Theirs: []Source{{Path: paths[1]}}, Out: filepath.Join(dir, "out"),
		Memory: minMemory, Workers: 2, RejectFile: filepath.Join(dir, "rejects"),
		Progress: func(int64, int64) { peak.Store(max(peak.Load(), heapInUse())) },
	})
	if err != nil || s.MissingOurs != n/10*9 || s.MissingTheirs != n/10*9 || s.Rejected() != n/5 {
		t.Fatalf("%+v %v", s, err)
	}
	used := int64(peak.Load() - before)
	t.Logf("peak heap %.1f MiB of %d MiB, garbage included", float64(used)/(1<<20), minMemory>>20)
	if used > 2*minMemory { // the collector lets garbage grow to the size of what lives
		t.Errorf("peak heap is %d bytes with a budget of %d", used, minMemory)
	}
}

// BenchmarkParts measures the run after our side was prepared. DCPOS_BENCH_LINES as above.
func BenchmarkParts(b *testing.B) {
	n := 1_000_000
	if v, err := strconv.Atoi(os.Getenv("DCPOS_BENCH_LINES")); err == nil {
		n = v
	}
	oursPath, theirsPath := pairFiles(b, n)
	job := Job{Ours: []Source{{Path: oursPath}}, Theirs: []Source{{Path: theirsPath}}, Workers: 1}
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		if err := PrepareIn(b.Context(), filepath.Join(dir, "segments"), job); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		job.Out = filepath.Join(dir, "out")
		if _, err := RunIn(b.Context(), filepath.Join(dir, "segments"), job); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(2*n*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBreaks measures two sides of which every pair is a break.
func BenchmarkBreaks(b *testing.B) {
	n := 500_000
	if v, err := strconv.Atoi(os.Getenv("DCPOS_BENCH_LINES")); err == nil {
		n = v
	}
	oursPath, theirsPath := pairFiles(b, n)
	text, err := os.ReadFile(theirsPath)
	if err == nil {
		err = os.WriteFile(theirsPath, bytes.ReplaceAll(text, []byte(",S,"), []byte(",F,")), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	job := Job{Ours: []Source{{Path: oursPath}}, Theirs: []Source{{Path: theirsPath}}, Workers: 1}
	var breaks int64
	for b.Loop() {
		job.Out = filepath.Join(b.TempDir(), "out")
		s, err := Run(b.Context(), job)
		if err != nil {
			b.Fatal(err)
		}
		breaks = s.Breaks()
	}
	b.ReportMetric(float64(breaks)*float64(b.N)/b.Elapsed().Seconds(), "breaks/s")
}
