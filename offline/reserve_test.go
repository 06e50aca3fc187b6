package offline_test

import (
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// TestAFullDiskIsToldBeforeAPaymentBegins: with less than the reserve nothing new is begun; what has begun ends, and
// the store needs no restart.
func TestAFullDiskIsToldBeforeAPaymentBegins(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	id, d := tl.create("begun", 100)
	tl.write(t, d)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.cfg.Reserve = 1 << 62 // no disk has that
	tl.reopen(t)
	_, d = tl.create("refused", 100)
	_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d}, nil })
	wantCode(t, err, pos.ErrStorage)
	if err := tl.Failed(); err != nil {
		t.Fatalf("the store stopped: %v", err)
	}
	tl.write(t, tl.move(id, pos.Created, pos.Asking, nil))
	tl.write(t, tl.move(id, pos.Asking, pos.Paid, func(m *pos.PaymentMoved) { m.Institution = "ICBC" }))
}
