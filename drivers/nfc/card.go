package nfc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
	"dcpos/drivers/transport"
)

// card is one tap.
type card struct {
	reader   *Reader
	port     Port
	extended bool
	info     drivers.CardInfo

	torn   atomic.Bool // an exchange failed: nothing more is sent
	closed atomic.Bool
	stop   atomic.Pointer[context.CancelFunc] // ends the call under way
}

var _ drivers.Card = (*card)(nil)

// Info implements drivers.Card.
func (c *card) Info() drivers.CardInfo { return c.info }

// during makes a context for one call that Close can end.
func (c *card) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c.stop.Store(&cancel)
	if c.closed.Load() {
		cancel()
	}
	return ctx, cancel
}

// Transmit implements drivers.Card.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	const operation = "talk to the card at"
	r := c.reader
	if c.torn.Load() || c.closed.Load() {
		return nil, r.trouble(ctx, operation, fmt.Errorf("%w: the tap has ended", drivers.ErrTorn))
	}
	if err := ctx.Err(); err != nil {
		return nil, r.trouble(ctx, operation, err)
	}
	call, cancel := c.during(ctx)
	defer cancel()
	response, err := apdu.Exchange(call, c.carry, command, c.extended)
	switch {
	case err == nil:
		return response, nil
	case errors.Is(err, apdu.ErrTooLong), errors.Is(err, apdu.ErrMalformed) && !c.torn.Load():
		return nil, r.trouble(ctx, operation, fmt.Errorf("%w: %w", drivers.ErrIllegal, err))
	}
	c.torn.Store(true)
	r.counters.Add(drivers.FailedReadCount, 1)
	if dead(err) {
		r.failed(err)
		r.drop(c.port)
	}
	if c.closed.Load() && ctx.Err() == nil {
		err = fmt.Errorf("%w: closed while it talked: %w", drivers.ErrTorn, err)
	}
	return nil, r.trouble(ctx, operation, err)
}

// carry sends one APDU within the card's time. A card that takes longer is torn: what it
// did is not known.
func (c *card) carry(ctx context.Context, command []byte) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, c.reader.profile.Timing.Card())
	defer cancel()
	response, err := c.port.Exchange(limited, command)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, transport.ErrGone) {
		return nil, fmt.Errorf("%w: no answer in %v: %w", drivers.ErrTorn, c.reader.profile.Timing.Card(), err)
	}
	if err == nil && len(response) < 2 {
		c.torn.Store(true) // it is not the caller's command that is malformed
		return nil, fmt.Errorf("%w: an answer of %d bytes", drivers.ErrTorn, len(response))
	}
	return response, err
}

// WaitRemoved implements drivers.Card.
func (c *card) WaitRemoved(ctx context.Context) error {
	if c.closed.Load() {
		return c.reader.trouble(ctx, "wait for the end of the tap at", transport.ErrClosed)
	}
	call, cancel := c.during(ctx)
	defer cancel()
	err := c.port.Removed(call)
	if err == nil {
		c.torn.Store(true)
		return nil
	}
	if dead(err) {
		c.torn.Store(true)
		c.reader.failed(err)
		c.reader.drop(c.port)
	}
	return c.reader.trouble(ctx, "wait for the end of the tap at", err)
}

// Close implements drivers.Card.
func (c *card) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if stop := c.stop.Load(); stop != nil {
		(*stop)()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*c.reader.profile.Timing.Answer())
	defer cancel()
	err := c.port.Deselect(ctx)
	c.reader.forget(c)
	if dead(err) { // released, or unplugged: nothing holds the card
		return nil
	}
	if err != nil {
		c.reader.failed(err)
		return c.reader.trouble(ctx, "let the card go at", err)
	}
	return nil
}
