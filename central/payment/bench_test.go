package payment_test

import (
	"testing"
	"time"

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
