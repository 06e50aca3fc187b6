package draw_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"dcpos/central/campaign/draw"
)

var benched = flag.Int("entries", 100_000, "entries of BenchmarkDraw; 10000000 is the long form")

// ascending gives n entries in order without holding them.
func ascending(n int, t draw.Terms) iter.Seq2[draw.Entry, error] {
	step := math.MaxUint64 / uint64(n)
	return func(yield func(draw.Entry, error) bool) {
		for i := range uint64(n) {
			e := draw.Entry{Ticket: sha256.Sum256(binary.BigEndian.AppendUint64(nil, i)), Institution: t.Institutions[i%uint64(len(t.Institutions))].Code}
			binary.BigEndian.PutUint64(e.Ticket[:8], i*step+binary.BigEndian.Uint64(e.Ticket[:8])%step)
			if !yield(e, nil) {
				return
			}
		}
	}
}

// BenchmarkDraw draws from a list on disk and verifies the bundle, and tells the most
// memory that the process held meanwhile.
func BenchmarkDraw(b *testing.B) {
	s := newStage(b, func(t *draw.Terms) { t.Tiers, t.Waiting = []draw.Tier{{Face: 20000, Count: 50_000}}, 1000 })
	s.publishLong(b, *benched)
	debug.FreeOSMemory()
	must(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)) // the peak is measured from here on
	for b.Loop() {
		s.draw(b)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "draw-s")
	s.seal(b)
	began := time.Now()
	if _, err := draw.Verify(s.dir, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "verify-s")
	b.ReportMetric(peakMiB(b), "peak-MiB")
}

// publishLong is publish for lists that do not fit into memory comfortably.
func (s *stage) publishLong(tb testing.TB, n int) {
	tb.Helper()
	terms, err := s.terms.Encode()
	must(tb, err)
	s.write(tb, draw.TermsFile, terms)
	s.record(tb, draw.Record{Kind: draw.RecordTerms, SHA256: fmt.Sprintf("%x", sha256.Sum256(terms))}, s.terms.Register.From.Add(-time.Hour))
	path := filepath.Join(s.dir, draw.EntriesFile)
	f, err := os.Create(path)
	must(tb, err)
	must(tb, draw.WriteList(f, ascending(n, s.terms)))
	must(tb, f.Close())
	f, err = os.Open(path)
	must(tb, err)
	read, err := draw.ReadList(bufio.NewReader(f), s.terms)
	must(tb, err)
	must(tb, f.Close())
	s.record(tb, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size}, s.terms.Register.Until.Add(time.Hour))
}

// peakMiB is the most resident memory of this process, proc_pid_status(5) VmHWM.
func peakMiB(tb testing.TB) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(tb, err)
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib, err := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
	must(tb, err)
	return kib / 1024
}
