package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"dcpos/central/campaign/register"
)

// BenchmarkRegister keeps a registration and its confirmation, each durable before the
// next, from 64 writers at once.
func BenchmarkRegister(b *testing.B) {
	for _, engine := range []Engine{SQLite, Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			s := open(b, engine)
			var n atomic.Uint32
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := enterOne(context.Background(), s, n.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func enterOne(ctx context.Context, s *Store, n uint32) error {
	r := register.Record{
		Campaign: "c", Ref: hash(n), Person: hash(n), Phone: hash(n), Institution: "ICBC", Place: "inside", Sealed: make([]byte, 200),
		Ticket: hash(n), Query: hash(n),
	}
	for _, confirmed := range []int64{0, 1} {
		err := s.Registrations().Write(ctx, func(tx register.Tx) error {
			if _, err := tx.FrozenMS(ctx, "c"); err != nil {
				return err
			}
			if _, found, err := tx.Record(ctx, "c", r.Ref); err != nil || found != (confirmed > 0) {
				return fmt.Errorf("record %d: found %t, %w", n, found, err)
			}
			r := r
			r.ConfirmedMS = confirmed
			return tx.Put(ctx, r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
