package institution_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// BenchmarkOrders measures bookings over HTTP on a real disk: 16 callers at a time,
// each answer after its fsync.
func BenchmarkOrders(b *testing.B) {
	l := benchLab(b)
	var n atomic.Uint32
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			o := api.Order{
				RequestID: pos.NewPaymentID(noon, [10]byte{6: byte(i >> 24), 7: byte(i >> 16), 8: byte(i >> 8), 9: byte(i)}).String(),
				Merchant:  "M1", Terminal: "T1", Amount: 1, ValidUntilMS: l.in(time.Hour),
			}
			if status, body, err := l.try(b.Context(), http.MethodPost, "ICBC", "/orders", o); err != nil || status != http.StatusOK {
				b.Errorf("%d %v %s", status, err, body)
			}
		}
	})
}

// BenchmarkEvidence measures one caller handing in offline evidence (sm2-sm3).
func BenchmarkEvidence(b *testing.B) {
	l := benchLab(b)
	w, err := wallet.Create(b.Context(), wallet.Client{Base: l.http.URL + "/ICBC/v1", Key: l.sim.Key("ICBC")},
		wallet.Opening{Institution: "ICBC", Name: "bench", Balance: pos.MaxAmount})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		e := l.signed(b, w.Answer, 1)
		b.StartTimer()
		status, body, err := l.try(b.Context(), http.MethodPost, "ICBC", "/evidence", e)
		if err != nil || status != http.StatusOK {
			b.Fatal(status, err, string(body))
		}
	}
}

func benchLab(b *testing.B) *lab {
	b.Helper()
	l := &lab{dir: b.TempDir()}
	l.ms.Store(noon.UnixMilli())
	l.start(b)
	b.Cleanup(func() { l.stop(b) })
	return l
}
