package payment_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/pos"
)

// BenchmarkPay is one payment from question to answer: two transactions with an fsync
// each and one call of an institution on this machine.
func BenchmarkPay(b *testing.B) {
	h := newHouse(b)
	var asks []pos.AskPay
	for range b.N {
		asks = append(asks, h.pay(h.id(), 100))
	}
	next := make(chan pos.AskPay, b.N)
	for _, a := range asks {
		next <- a
	}
	b.ResetTimer()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := h.desk.Pay(b.Context(), till, <-next); a.Outcome != pos.OutcomePaid {
				b.Errorf("%+v", a)
			}
		}
	})
}

// BenchmarkEvidence is the way of one offline payment from the ingested journal to its
// credit and verdict.
func BenchmarkEvidence(b *testing.B) {
	h := newHouse(b)
	for range b.N {
		h.journal(h.id(), created(100, pos.Evidence), pos.PaymentMoved{
			From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC", Evidence: make([]byte, 700),
		})
	}
	b.ResetTimer()
	go func() { _ = h.desk.Run(b.Context()) }()
	for {
		open, err := h.store.Console().Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if open.Payments == 0 && h.told.Load() >= int32(b.N) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// BenchmarkEvidenceOfWallets is the same of genuine statements, 100 a wallet within two days, at tills of two stores: under a
// policy that caps nothing, under one that caps classes, and where the stores' places are told, too. The last two are what
// adding up over all tills and following a wallet from store to store cost each payment.
func BenchmarkEvidenceOfWallets(b *testing.B) {
	const each = 100
	bare, capped := pos.DefaultLimits(), pos.DefaultLimits()
	bare.Tiers, bare.Travel = nil, pos.Travel{}
	for _, c := range []struct {
		name   string
		limits pos.Limits
		places bool
	}{{"no caps", bare, false}, {"caps", capped, false}, {"caps and places", capped, true}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHouse(b)
			h.decree(c.limits)
			if c.places {
				h.place("shop-M1", shop, wangfujing)
				h.place("shop-M2", "M2", tongzhou)
			}
			now := time.UnixMilli(h.clock.Load())
			first := newSignatory(b, now)
			h.trusting(first.trust)
			w := first
			for n := range b.N {
				if n%each == 0 {
					w = first.sibling(b, now, 3)
				}
				at := now.UnixMilli() - int64(each-n%each)*30*60_000
				p := h.signAt(w, []string{till, "S2-001"}[n%2], uint64(n%each+1), 1_00, at)
				p.moved.Policy, p.moved.Time = 1, &pos.Interval{EarliestMS: at - 60_000, LatestMS: at + 60_000}
				h.arrive(p, 0)
			}
			before := spent(b)
			b.ResetTimer()
			go func() { _ = h.desk.Run(b.Context()) }()
			for {
				open, err := h.store.Console().Open(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if open.Payments == 0 && h.told.Load() >= int32(b.N) { //nolint:gosec // few
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			b.ReportMetric(float64((spent(b)-before).Microseconds())/float64(b.N), "cpu-µs/op") // means something on a busy machine, too
			if found := len(h.excesses()) + len(h.journeys()); found > 0 {
				b.Errorf("%d findings of honest wallets", found)
			}
		})
	}
}

// spent is the processor time of this process.
func spent(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
