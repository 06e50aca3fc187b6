// Package host asks the centre while the customer waits, by request and reply.
//
// Its one hard promise: an error with code pos.ErrNotSent means that the question
// provably never reached the centre. Every other error may have left, and its payment
// is unknown until a query is answered.
package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// Host asks for one terminal. It is safe for concurrent use.
type Host struct {
	nc       *nats.Conn
	terminal string
	limit    time.Duration
}

// New returns a Host over the connection; limit bounds every question whose context has no nearer deadline.
func New(nc *nats.Conn, terminal string, limit time.Duration) *Host {
	return &Host{nc: nc, terminal: terminal, limit: limit}
}

// Connected reports that a question could be sent now.
func (h *Host) Connected() bool { return h.nc.IsConnected() }

// Pay asks to take money from a payment code.
func (h *Host) Pay(ctx context.Context, q pos.AskPay) (pos.Answer, error) {
	return h.ask(ctx, wire.VerbPay, q.Payment, q)
}

// Present asks for a QR that the customer scans.
func (h *Host) Present(ctx context.Context, q pos.AskPresent) (pos.Answer, error) {
	return h.ask(ctx, wire.VerbPresent, q.Payment, q)
}

// Query asks what became of a payment or a refund.
func (h *Host) Query(ctx context.Context, q pos.AskQuery) (pos.Answer, error) {
	return h.ask(ctx, wire.VerbQuery, q.Payment, q)
}

// Abandon tells that the till gave up on a payment.
func (h *Host) Abandon(ctx context.Context, q pos.AskAbandon) (pos.Answer, error) {
	return h.ask(ctx, wire.VerbAbandon, q.Payment, q)
}

// Refund asks for an authorized refund.
func (h *Host) Refund(ctx context.Context, q pos.AskRefund) (pos.Answer, error) {
	return h.ask(ctx, wire.VerbRefund, q.Payment, q)
}

func (h *Host) ask(ctx context.Context, v wire.Verb, id pos.PaymentID, question any) (pos.Answer, error) {
	data, err := dcep.Marshal(question)
	if err != nil {
		return pos.Answer{}, notSent(err)
	}
	if !h.nc.IsConnected() {
		return pos.Answer{}, notSent(errors.New("no connection"))
	}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	msg, err := h.nc.RequestWithContext(ctx, wire.AskSubject(h.terminal, v), data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return pos.Answer{}, notSent(err) // the server answered that nobody listens
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return pos.Answer{}, notSent(err) // refused before it was written: the buffer is off
	case err != nil:
		return pos.Answer{}, fmt.Errorf("ask %s for %s: %w", v, id, err)
	}
	var a pos.Answer
	if err := dcep.Unmarshal(msg.Data, &a); err != nil {
		return pos.Answer{}, fmt.Errorf("answer to %s for %s: %w", v, id, err)
	}
	if a.Payment != id {
		return pos.Answer{}, fmt.Errorf("answer to %s for %s names payment %s", v, id, a.Payment)
	}
	return a, nil
}

func notSent(err error) error { return pos.NewError(pos.ErrNotSent, err) }
