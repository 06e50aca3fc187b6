// Package roadtest gives tests of the road a journal in memory and a real nats-server.
package roadtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Journal is a chain in memory with a cursor, as the road sees it.
type Journal struct {
	Signer dcep.Signer

	mu      sync.Mutex
	entries []pos.Entry
	epoch   uint32
	seq     uint64
	gen     uint64
}

// Append adds n entries of the kind "shift" to the epoch.
func (j *Journal) Append(tb testing.TB, epoch uint32, n int) {
	tb.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for range n {
		e := pos.Entry{
			Position: pos.Position{Terminal: "T1", Epoch: epoch, Seq: 1}, Env: pos.Lab, Kind: pos.KindShift,
			Operator: "1001", At: pos.Instant{WallMS: time.Now().UnixMilli()}, BusinessDate: "2026-01-02",
		}
		var prev []byte
		if k := len(j.entries); k > 0 && j.entries[k-1].Epoch == epoch {
			e.Seq, prev = j.entries[k-1].Seq+1, j.entries[k-1].Hash
		}
		body, err := dcep.Marshal(pos.Shift{Operator: fmt.Sprint(e.Seq), In: true})
		if err != nil {
			tb.Fatal(err)
		}
		e.Body = body
		if err := dcep.Seal(j.Signer, prev, &e); err != nil {
			tb.Fatal(err)
		}
		j.entries = append(j.entries, e)
	}
}

// Cursor is the last receipted position and the restore generation.
func (j *Journal) Cursor(context.Context) (epoch uint32, seq, generation uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.epoch, j.seq, j.gen, nil
}

// Unsent gives entries after a position; maxBytes is not weighed here.
func (j *Journal) Unsent(_ context.Context, epoch uint32, seq uint64, limit, _ int) ([]pos.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []pos.Entry
	for _, e := range j.entries {
		if (e.Epoch > epoch || (e.Epoch == epoch && e.Seq > seq)) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// Outbox counts what is not receipted.
func (j *Journal) Outbox(context.Context) (pos.Outbox, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := pos.Outbox{Receipted: j.seq}
	for _, e := range j.entries {
		o.Epoch, o.Seq, o.Head = e.Epoch, e.Seq, e.Hash
		if e.Epoch > j.epoch || (e.Epoch == j.epoch && e.Seq > j.seq) {
			o.Unsent++
		}
	}
	return o, nil
}

// Acknowledge moves the cursor as the till's own does: forward, or back with a new generation.
func (j *Journal) Acknowledge(_ context.Context, r dcep.Receipt, centre dcep.Verifier) error {
	if err := r.Verify(centre); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	forward := r.Epoch > j.epoch || (r.Epoch == j.epoch && r.Seq > j.seq)
	if forward || r.Generation > j.gen {
		j.epoch, j.seq, j.gen = r.Epoch, r.Seq, r.Generation
	}
	return nil
}
