// Package downlink brings the centre's word to the till: receipts, the only licence to
// forget; verdicts, in order; limits and trust; a request to send again.
//
// It asks for a mark on connecting and now and then, and listens for nudges that carry
// one. Both are signed by the centre's key; a mark that is not is dropped and logged.
package downlink

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
	// PolicyVersion is that of the limits in force, TrustIssued when the trust in force
	// was issued (Unix ms): what is newer comes with the next mark.
	PolicyVersion() uint64
	TrustIssued() int64
	// SetPolicy keeps newer limits and trust; either may be nil.
	SetPolicy(ctx context.Context, l *pos.Limits, t *dcep.Trust) error
	// SetQuarantine tells that the centre has put this terminal aside, or taken it back.
	SetQuarantine(on bool)
	// SetCentreTime keeps the last signed time of the centre.
	SetCentreTime(ctx context.Context, ms int64)
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
			d.take(ctx, msg.Data)
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
		request, err := d.request(ctx)
		if err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, askWait)
		msg, err := d.c.Conn.RequestWithContext(asking, wire.MarkSubject(d.c.Terminal), request)
		cancel()
		if err != nil {
			return err
		}
		if more := d.take(ctx, msg.Data); !more {
			return nil
		}
	}
	return nil
}

func (d *Downlink) request(ctx context.Context) ([]byte, error) {
	epoch, receipted, _, err := d.c.Journal.Cursor(ctx)
	if err != nil {
		return nil, err
	}
	o, err := d.c.Journal.Outbox(ctx)
	if err != nil {
		return nil, err
	}
	verdict, err := d.c.Till.Verdicts(ctx)
	if err != nil {
		return nil, err
	}
	r := wire.MarkRequest{
		Env: d.c.Env, Epoch: o.Epoch, Seq: o.Seq, Receipt: receipted, ReceiptEpoch: epoch, Verdict: verdict,
		SentMS: d.c.Now().UnixMilli(), BootID: d.c.BootID, Version: d.c.Version, Policies: d.c.Till.PolicyVersion(),
		TrustMS: d.c.Till.TrustIssued(),
		Unsent:  o.Unsent,
	}
	return dcep.Marshal(r)
}

// take applies one mark, in an order in which each step may be lost and repeated. It
// reports whether a full page of verdicts came, so that there may be more.
func (d *Downlink) take(ctx context.Context, data []byte) (more bool) {
	m, err := wire.OpenMark(d.c.Centre, data)
	if err == nil && (m.Terminal != d.c.Terminal || m.Env != d.c.Env) {
		err = fmt.Errorf("mark is for %s %s", m.Terminal, m.Env)
	}
	if err != nil {
		d.c.Log.ErrorContext(ctx, "drop a mark", "err", err)
		return false
	}
	d.c.Till.SetCentreTime(ctx, m.CentreMS)
	d.c.Till.SetQuarantine(m.Quarantine)
	if m.Limits != nil || m.Trust != nil {
		if err := d.c.Till.SetPolicy(ctx, m.Limits, m.Trust); err != nil {
			d.c.Log.ErrorContext(ctx, "keep policy", "err", err)
		}
	}
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
