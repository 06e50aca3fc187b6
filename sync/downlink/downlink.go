// Package downlink brings the centre's word to the till: receipts, the only licence to
// forget; verdicts, in order; policies, trust and the catalogue; a request to send again.
//
// It asks for a mark on connecting and now and then, and listens for nudges that carry
// one. Both are signed by the centre's key; a mark that is not is dropped and logged.
package downlink

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// Journal is what the downlink needs of the till's memory.
type Journal interface {
	// Cursor is the last position that the centre has receipted, and its restore generation.
	Cursor(ctx context.Context) (epoch uint32, seq, generation uint64, err error)
	Outbox(ctx context.Context) (pos.Outbox, error)
	// Acknowledge moves the cursor; it verifies the receipt itself.
	Acknowledge(ctx context.Context, r dcep.Receipt, centre dcep.Verifier) error
}

// Till is what the downlink tells the terminal.
type Till interface {
	// Verdicts is the number of the last verdict applied.
	Verdicts(ctx context.Context) (uint64, error)
	// ApplyVerdict journals a verdict and its number; a repeat changes nothing.
	ApplyVerdict(ctx context.Context, v pos.Verdict) error
	// PolicyVersion is the highest version of a policy that was taken; TrustIssued and
	// CatalogueIssued are when those in force were issued (Unix ms): what is newer comes
	// with the next mark.
	PolicyVersion() uint64
	TrustIssued() int64
	CatalogueIssued() int64
	// SetPolicies takes newer policies. It verifies them itself.
	SetPolicies(ctx context.Context, list []dcep.Sealed) error
	// SetTrust keeps a newer trust, SetCatalogue a newer catalogue, which it verifies itself.
	SetTrust(ctx context.Context, t dcep.Trust) error
	SetCatalogue(ctx context.Context, c dcep.Sealed) error
	// SetQuarantine tells that the centre has put this terminal aside, or taken it back.
	SetQuarantine(on bool)
	// SetCentreTime keeps the last signed time of the centre, which was underway for at most
	// trip; below 0 nobody knows how long.
	SetCentreTime(ctx context.Context, ms int64, trip time.Duration)
}

// Config of a downlink.
type Config struct {
	Conn     *nats.Conn
	Env      pos.Environment
	Terminal string
	Version  string
	BootID   string
	Centre   dcep.Verifier // the centre's key, pinned at enrolment
	Journal  Journal
	Till     Till
	Log      *slog.Logger
	Now      func() time.Time
	// OnProgress is called after the cursor moved; OnResend when the centre lacks an entry.
	OnProgress func()
	OnResend   func(epoch uint32, seq uint64)
	// Busy and Idle are how often a mark is asked for with and without unreceipted
	// entries; 0 means 2 s and 30 s.
	Busy, Idle time.Duration
}

// Downlink is one till's road down.
type Downlink struct {
	c    Config
	kick chan struct{}
}

// askWait bounds one question for a mark.
const askWait = 10 * time.Second

// New returns a downlink that Run starts.
func New(c Config) *Downlink {
	if c.Busy == 0 {
		c.Busy = 2 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	return &Downlink{c: c, kick: make(chan struct{}, 1)}
}

// Kick asks for a mark soon: on connecting, or when a person wants to know. It never blocks.
func (d *Downlink) Kick() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run listens and asks until ctx ends. What goes wrong is logged and tried again.
func (d *Downlink) Run(ctx context.Context) error {
	nudges := make(chan *nats.Msg, 64)
	sub, err := d.c.Conn.ChanSubscribe(wire.DownSubject(d.c.Terminal), nudges)
	if err != nil {
		return fmt.Errorf("listen for the centre: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg := <-nudges:
			d.take(ctx, msg.Data, question{})
			continue
		case <-d.kick:
		case <-timer.C:
		}
		if d.c.Conn.IsConnected() {
			if err := d.ask(ctx); err != nil && ctx.Err() == nil {
				d.c.Log.InfoContext(ctx, "ask for a mark", "err", err)
			}
		}
		timer.Reset(d.pause(ctx))
	}
}

func (d *Downlink) pause(ctx context.Context) time.Duration {
	o, err := d.c.Journal.Outbox(ctx)
	if err != nil || o.Unsent > 0 {
		return d.c.Busy
	}
	return d.c.Idle
}

// ask requests marks until the centre has no more verdicts for now.
func (d *Downlink) ask(ctx context.Context) error {
	for ctx.Err() == nil {
		request, q, err := d.request(ctx)
		if err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, askWait)
		msg, err := d.c.Conn.RequestWithContext(asking, wire.MarkSubject(d.c.Terminal), request)
		cancel()
		if err != nil {
			return err
		}
		if more := d.take(ctx, msg.Data, q); !more {
			return nil
		}
	}
	return nil
}

// question is what is remembered of a request until its answer comes.
type question struct {
	nonce []byte
	at    time.Time // by the monotonic clock
}

// trip is how long the mark can have been underway; below 0 when it answers no question.
func (q question) trip(m wire.Mark) time.Duration {
	if len(q.nonce) == 0 || !bytes.Equal(q.nonce, m.Nonce) {
		return -1
	}
	return time.Since(q.at)
}

func (d *Downlink) request(ctx context.Context) ([]byte, question, error) {
	none := question{}
	epoch, receipted, _, err := d.c.Journal.Cursor(ctx)
	if err != nil {
		return nil, none, err
	}
	o, err := d.c.Journal.Outbox(ctx)
	if err != nil {
		return nil, none, err
	}
	verdict, err := d.c.Till.Verdicts(ctx)
	if err != nil {
		return nil, none, err
	}
	q := question{nonce: make([]byte, wire.NonceSize), at: time.Now()}
	if _, err := rand.Read(q.nonce); err != nil {
		return nil, none, fmt.Errorf("draw nonce: %w", err)
	}
	r := wire.MarkRequest{
		Env: d.c.Env, Epoch: o.Epoch, Seq: o.Seq, Receipt: receipted, ReceiptEpoch: epoch, Verdict: verdict,
		SentMS: d.c.Now().UnixMilli(), BootID: d.c.BootID, Version: d.c.Version, Policies: d.c.Till.PolicyVersion(),
		TrustMS: d.c.Till.TrustIssued(), CatalogueMS: d.c.Till.CatalogueIssued(),
		Unsent: o.Unsent, Nonce: q.nonce,
	}
	b, err := dcep.Marshal(r)
	return b, q, err
}

// take applies one mark, in an order in which each step may be lost and repeated. It
// reports whether a full page of verdicts came, so that there may be more.
func (d *Downlink) take(ctx context.Context, data []byte, q question) (more bool) {
	m, err := wire.OpenMark(d.c.Centre, data)
	if err == nil && (m.Terminal != d.c.Terminal || m.Env != d.c.Env) {
		err = fmt.Errorf("mark is for %s %s", m.Terminal, m.Env)
	}
	if err != nil {
		d.c.Log.ErrorContext(ctx, "drop a mark", "err", err)
		return false
	}
	d.c.Till.SetCentreTime(ctx, m.CentreMS, q.trip(m))
	d.c.Till.SetQuarantine(m.Quarantine)
	d.takeOrders(ctx, m)
	if m.Receipt != nil {
		if err := d.c.Journal.Acknowledge(ctx, *m.Receipt, d.c.Centre); err != nil {
			d.c.Log.ErrorContext(ctx, "take receipt", "seq", m.Receipt.Seq, "err", err)
		} else if d.c.OnProgress != nil {
			d.c.OnProgress()
		}
	}
	if m.ResendFrom > 0 && d.c.OnResend != nil {
		d.c.OnResend(m.ResendEpoch, m.ResendFrom)
	}
	for _, v := range m.Verdicts {
		if err := d.c.Till.ApplyVerdict(ctx, v); err != nil {
			d.c.Log.ErrorContext(ctx, "apply verdict", "number", v.Number, "payment", v.Payment, "err", err)
			return false
		}
	}
	return len(m.Verdicts) == wire.MaxVerdicts
}

// takeOrders hands on what the till may do from now on. What is refused does not hold up
// the rest.
func (d *Downlink) takeOrders(ctx context.Context, m wire.Mark) {
	if len(m.Policies) > 0 {
		if err := d.c.Till.SetPolicies(ctx, m.Policies); err != nil {
			d.c.Log.ErrorContext(ctx, "take policies", "err", err)
		}
	}
	if m.Trust != nil {
		if err := d.c.Till.SetTrust(ctx, *m.Trust); err != nil {
			d.c.Log.ErrorContext(ctx, "keep trust", "err", err)
		}
	}
	if m.Catalogue != nil {
		if err := d.c.Till.SetCatalogue(ctx, *m.Catalogue); err != nil {
			d.c.Log.ErrorContext(ctx, "take catalogue", "err", err)
		}
	}
}
