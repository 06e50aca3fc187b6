package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	goflag "flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/campaign/register"
)

var entrants = goflag.Int("entrants", 0, "entries that a table of BenchmarkRegister has before")

// BenchmarkRegister keeps a registration and its confirmation, each durable before the
// next, from so many writers at once. An entry is both; p99 is of one of the two answers.
// The hashes are spread as a campaign's are: each goes to a page of its own.
func BenchmarkRegister(b *testing.B) {
	for _, engine := range []Engine{SQLite, Postgres} {
		for _, writers := range []int{64, 128, 256} {
			b.Run(fmt.Sprintf("%s/%d", engine, writers), func(b *testing.B) { benchRegister(b, engine, writers) })
		}
	}
}

func benchRegister(b *testing.B, engine Engine, writers int) {
	b.Helper()
	s := open(b, engine)
	began := time.Now()
	fill(b, s, *entrants)
	if *entrants > 0 {
		b.Logf("%d entries after %s", *entrants, time.Since(began).Round(time.Second))
	}
	var n atomic.Uint32
	n.Store(uint32(*entrants)) //nolint:gosec // millions
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
		b.ReportMetric(took[len(took)-1].Seconds()*1000, "longest-ms")
	}
}

// spread is the hash of a kind with the number n.
func spread(kind string, n uint32) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint32([]byte(kind), n))
}

// spreadRecord is the n-th registration.
func spreadRecord(n uint32) register.Record {
	return register.Record{
		Campaign: "c", Ref: spread("ref", n), Person: spread("person", n), Phone: spread("phone", n), Institution: "ICBC", Place: "inside",
		Sealed: make([]byte, 200), Ticket: spread("ticket", n), Query: spread("query", n),
	}
}

// fill puts the first n entries, in few transactions, and makes the indexes anew behind them: packed
// full, so that what comes next splits their pages.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	if n == 0 {
		return
	}
	var drop, create []string
	for _, statement := range registrationIndexes(b, s.engine) {
		drop = append(drop, "DROP INDEX "+strings.Fields(statement)[3])
		create = append(create, statement)
	}
	run := func(statements ...string) {
		err := s.tx(b.Context(), func(t *Tx) error {
			for _, statement := range statements {
				if _, err := t.tx.ExecContext(b.Context(), statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	run(drop...)
	for from := 0; from < n; from += 10_000 {
		var all []register.Record
		for i := from; i < min(n, from+10_000); i++ {
			r := spreadRecord(uint32(i + 1)) //nolint:gosec // millions
			r.ConfirmedMS = 1
			all = append(all, r)
		}
		err := s.tx(b.Context(), func(t *Tx) error {
			for len(all) > 0 {
				n, from, args := t.registrationRows(all)
				if _, err := t.Exec(b.Context(), `INSERT INTO registrations (`+registrationColumns+`) `+from, args...); err != nil {
					return err
				}
				all = all[n:]
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	run(create...)
}

// registrationIndexes are the statements that make them.
func registrationIndexes(b *testing.B, engine Engine) (all []string) {
	b.Helper()
	body, err := migrations.ReadFile("migrations/0051_registration_prefixes.sql")
	if err != nil {
		b.Fatal(err)
	}
	for _, statement := range engine.statements(string(body)) {
		if strings.HasPrefix(statement, "CREATE UNIQUE INDEX") {
			all = append(all, statement)
		}
	}
	return all
}

func enterOne(ctx context.Context, s *Store, n uint32) (took [2]time.Duration, err error) {
	r := spreadRecord(n)
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
