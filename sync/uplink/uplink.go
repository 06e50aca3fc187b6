// Package uplink carries the journal to the centre: consecutive entries in signed
// batches, in order, several on the way at once, at least once. It never decides that
// something may be forgotten: that is the receipt's word (package downlink).
//
// It asks the stream for no acknowledgement. What counts is the centre's receipt after
// its commit; so the window is counted against receipts, and what is not receipted in
// time is sent again, whoever lost it: line, stream or centre.
package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// Journal is what the uplink needs of the till's memory.
type Journal interface {
	// Cursor is the last position that the centre has receipted, and its restore generation.
	Cursor(ctx context.Context) (epoch uint32, seq, generation uint64, err error)
	// Unsent gives entries after a position in order of (epoch, seq).
	Unsent(ctx context.Context, afterEpoch uint32, afterSeq uint64, limit, maxBytes int) ([]pos.Entry, error)
}

// Config of an uplink.
type Config struct {
	Conn     *nats.Conn
	Terminal string
	Signer   dcep.Signer
	Journal  Journal
	Log      *slog.Logger
	Now      func() time.Time
	Window   int           // batches beyond the receipt at once; 0 means 16
	Stall    time.Duration // without a receipt for this long, what is not receipted is sent again; 0 means 10 s
}

// The stall doubles while nothing is receipted, so that a centre that is down is not flooded.
const longestStall = 2 * time.Minute

// Uplink is one till's road up. Run owns its state; the other methods only leave a
// word in its letter boxes.
type Uplink struct {
	c      Config
	kick   chan struct{}
	rewind chan position

	// Owned by Run.
	cursor, sent position
	batches      []position // the last position of each batch beyond the cursor
	moved        time.Time  // when the cursor last moved or everything was sent again
	stall        time.Duration
}

type position struct {
	epoch uint32
	seq   uint64
}

func (p position) before(q position) bool {
	return p.epoch < q.epoch || (p.epoch == q.epoch && p.seq < q.seq)
}

// New returns an uplink that Run starts.
func New(c Config) *Uplink {
	if c.Window == 0 {
		c.Window = 16
	}
	if c.Stall == 0 {
		c.Stall = 10 * time.Second
	}
	return &Uplink{c: c, stall: c.Stall, kick: make(chan struct{}, 1), rewind: make(chan position, 1)}
}

// Kick tells that there may be new entries, a receipt or a connection. It never blocks.
func (u *Uplink) Kick() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// ResendFrom tells that the centre lacks the entry (epoch, seq). It never blocks; of
// several requests the last counts.
func (u *Uplink) ResendFrom(epoch uint32, seq uint64) {
	p := position{epoch: epoch, seq: max(1, seq) - 1}
	for {
		select {
		case u.rewind <- p:
			u.Kick()
			return
		case <-u.rewind:
		}
	}
}

// Run sends until ctx ends. What goes wrong is logged and tried again.
func (u *Uplink) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	u.moved = time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.kick:
		case <-tick.C:
		}
		if err := u.step(ctx); err != nil && ctx.Err() == nil {
			u.c.Log.WarnContext(ctx, "uplink", "err", err)
		}
	}
}

// step looks at cursor and requests, then sends what the window allows.
func (u *Uplink) step(ctx context.Context) error {
	if !u.c.Conn.IsConnected() {
		u.restart(u.cursor) // what was on the way is lost or repeated: the centre knows repeats
		return nil
	}
	epoch, seq, _, err := u.c.Journal.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	u.advance(position{epoch, seq})
	select {
	case p := <-u.rewind:
		u.c.Log.InfoContext(ctx, "centre asks again", "epoch", p.epoch, "seq", p.seq+1)
		u.restart(p)
	default:
	}
	if u.cursor.before(u.sent) && time.Since(u.moved) > u.stall {
		u.c.Log.WarnContext(ctx, "no receipt, sending again", "epoch", u.cursor.epoch, "seq", u.cursor.seq)
		u.stall = min(longestStall, 2*u.stall)
		u.restart(u.cursor)
	}
	return u.fill(ctx)
}

// advance takes the receipted position, which after a restore of the centre may lie
// before the one known.
func (u *Uplink) advance(cursor position) {
	if cursor == u.cursor {
		return
	}
	if cursor.before(u.cursor) || u.sent.before(cursor) {
		u.sent, u.batches = cursor, nil
	}
	u.cursor, u.moved, u.stall = cursor, time.Now(), u.c.Stall
	for len(u.batches) > 0 && !cursor.before(u.batches[0]) {
		u.batches = u.batches[1:]
	}
}

func (u *Uplink) restart(from position) {
	u.sent, u.batches, u.moved = from, nil, time.Now()
}

// fill hands batches to the stream until the window is full or nothing is left.
func (u *Uplink) fill(ctx context.Context) error {
	for len(u.batches) < u.c.Window && ctx.Err() == nil {
		entries, err := u.c.Journal.Unsent(ctx, u.sent.epoch, u.sent.seq, wire.BatchEntries, wire.BatchBytes)
		if err != nil {
			return fmt.Errorf("read journal after %d/%d: %w", u.sent.epoch, u.sent.seq, err)
		}
		entries = oneEpoch(entries)
		if len(entries) == 0 {
			return nil
		}
		if err := u.publish(entries); err != nil {
			return err
		}
		if !u.cursor.before(u.sent) {
			u.moved = time.Now() // the clock of the stall starts with the first batch
		}
		last := entries[len(entries)-1]
		u.sent = position{last.Epoch, last.Seq}
		u.batches = append(u.batches, u.sent)
	}
	return nil
}

func (u *Uplink) publish(entries []pos.Entry) error {
	batch, err := wire.NewBatch(u.c.Signer, entries, u.c.Now().UnixMilli())
	if err != nil {
		return err
	}
	data, err := dcep.Marshal(batch)
	if err != nil {
		return err
	}
	// No message id: the centre knows repeats by (terminal, epoch, seq), and the stream's
	// own window would swallow what a restored centre asks for again.
	if err := u.c.Conn.Publish(wire.JournalSubject(u.c.Terminal), data); err != nil {
		return fmt.Errorf("publish entries %d to %d: %w", batch.First, batch.Last, err)
	}
	return nil
}

// oneEpoch cuts at the first change of epoch: a batch is of one.
func oneEpoch(entries []pos.Entry) []pos.Entry {
	for i, e := range entries {
		if e.Epoch != entries[0].Epoch {
			return entries[:i]
		}
	}
	return entries
}
