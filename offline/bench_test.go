package offline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// BenchmarkAppend is one decision of one entry: transaction, signature, projection, fsync.
func BenchmarkAppend(b *testing.B) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		b.Run(suite, func(b *testing.B) {
			tl := newTill(b, suite)
			n := 0
			for b.Loop() {
				n++
				_, d := tl.create(fmt.Sprintf("k%d", n), 100)
				tl.write(b, d)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkFsyncFloor is what the disk alone takes for one entry's bytes: the floor of BenchmarkAppend.
func BenchmarkFsyncFloor(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4*4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fsyncs/s")
}

// filled is a closed journal of about the number of entries, made in large decisions.
func filled(b *testing.B, suite string, entries int) *till {
	b.Helper()
	tl := newTill(b, suite)
	for done := 1; done < entries; {
		var drafts []pos.Draft
		for range 250 {
			id, d := tl.create(fmt.Sprintf("k%d", tl.n), 100)
			drafts = append(drafts, d, tl.move(id, pos.Created, pos.Asking, nil), tl.move(id, pos.Asking, pos.Paid, nil))
		}
		tl.write(b, drafts...)
		done += len(drafts)
	}
	if err := tl.Close(); err != nil {
		b.Fatal(err)
	}
	return tl
}

// BenchmarkVerify checks every row with its signature.
func BenchmarkVerify(b *testing.B) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		b.Run(suite, func(b *testing.B) {
			tl := filled(b, suite, 10_000)
			rows := 0
			for b.Loop() {
				r, err := offline.Verify(b.Context(), tl.cfg.Path, offline.VerifyOptions{})
				if err != nil {
					b.Fatal(err)
				}
				rows += r.Entries
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkOpen100k is the start of a till that holds 100,000 entries, none receipted.
func BenchmarkOpen100k(b *testing.B) {
	tl := filled(b, dcep.SM2SM3, 100_000)
	for b.Loop() {
		s, err := offline.Open(b.Context(), tl.cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
}
