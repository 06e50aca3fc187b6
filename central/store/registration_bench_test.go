package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/campaign/register"
)

// BenchmarkRegister keeps a registration and its confirmation, each durable before the
// next, from so many writers at once. An entry is both; p99 is of one of the two answers.
// The hashes are spread as a campaign's are: each goes to a page of its own.
func BenchmarkRegister(b *testing.B) {
	for _, engine := range []Engine{SQLite, Postgres} {
		for _, writers := range []int{64, 256} {
			b.Run(fmt.Sprintf("%s/%d", engine, writers), func(b *testing.B) { benchRegister(b, engine, writers) })
		}
	}
}

func benchRegister(b *testing.B, engine Engine, writers int) {
	b.Helper()
	s := open(b, engine)
	var n atomic.Uint32
	var mu sync.Mutex
	var took []time.Duration
	b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var mine []time.Duration
		for pb.Next() {
			steps, err := enterOne(context.Background(), s, n.Add(1))
			if err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, steps[:]...)
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	}
}

// spread is the hash of a kind with the number n.
func spread(kind string, n uint32) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint32([]byte(kind), n))
}

func enterOne(ctx context.Context, s *Store, n uint32) (took [2]time.Duration, err error) {
	r := register.Record{
		Campaign: "c", Ref: spread("ref", n), Person: spread("person", n), Phone: spread("phone", n), Institution: "ICBC", Place: "inside",
		Sealed: make([]byte, 200), Ticket: spread("ticket", n), Query: spread("query", n),
	}
	for step, confirmed := range []int64{0, 1} {
		began := time.Now()
		err := s.Registrations().Change(ctx, "c", r.Ref, func(sheet register.Sheet) (*register.Record, error) {
			if sheet.Found != (confirmed > 0) || sheet.Taken {
				return nil, fmt.Errorf("record %d: found %t, taken %t", n, sheet.Found, sheet.Taken)
			}
			r := r
			r.ConfirmedMS = confirmed
			return &r, nil
		})
		if err != nil {
			return took, err
		}
		took[step] = time.Since(began)
	}
	return took, nil
}
