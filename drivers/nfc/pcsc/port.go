// Package pcsc speaks to contactless readers through the PC/SC daemon: what a driver of
// package nfc needs, on the calls of package transport/pcsc.
package pcsc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/pcsc"
)

// Daemon is a reader behind the PC/SC daemon; *transport/pcsc.Reader is one.
type Daemon interface {
	Check(ctx context.Context) error
	Wait(ctx context.Context) (pcsc.Visit, error)
	WaitRemoved(ctx context.Context, v pcsc.Visit) error
	Connect(ctx context.Context) error
	Transmit(ctx context.Context, command []byte) ([]byte, error)
	Control(ctx context.Context, command []byte) ([]byte, error)
	Disconnect(ctx context.Context) error
	Close() error
	String() string
}

// Dial makes a claimed reader of the daemon's.
func Dial(open func(ctx context.Context) (Daemon, error)) nfc.Dial {
	return func(ctx context.Context) (nfc.Port, error) {
		d, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return &port{daemon: d}, nil
	}
}

type port struct {
	daemon Daemon

	mu    sync.Mutex
	visit pcsc.Visit
}

// torn maps a card that left.
func torn(err error) error {
	if errors.Is(err, pcsc.ErrRemoved) {
		return fmt.Errorf("%w: %w", drivers.ErrTorn, err)
	}
	return err
}

// Hello implements nfc.Port. The daemon tells neither maker nor firmware but in the
// reader's name, and carries extended APDUs only where the reader does: they are not counted on.
func (p *port) Hello(ctx context.Context) (nfc.Identity, error) {
	return nfc.Identity{}, p.daemon.Check(ctx)
}

const (
	// noticed is how long the daemon may take to see that a card left, where it has to ask
	// the reader: it does so every 400 ms (pcsc-lite, PCSCLITE_STATUS_POLL_RATE).
	noticed = 600 * time.Millisecond
	// mostTries is how often a card that did not wake is tried before the tap counts as torn.
	mostTries = 3
)

// Activate implements nfc.Port.
func (p *port) Activate(ctx context.Context) (drivers.CardInfo, error) {
	if err := p.connect(ctx); err != nil {
		return drivers.CardInfo{}, torn(err)
	}
	info, err := nfc.AskIdentity(ctx, p.Exchange)
	if err != nil {
		return info, errors.Join(err, p.daemon.Disconnect(ctx))
	}
	return info, nil
}

// connect waits for a card and connects it. A card that cannot be connected has left, and
// the daemon will notice in a moment; or another program looks at it, as desktops do with
// every card that comes, and lets it go in a moment; or it does not wake.
func (p *port) connect(ctx context.Context) error {
	for try := 1; ; {
		visit, err := p.daemon.Wait(ctx)
		if err == nil {
			err = p.daemon.Connect(ctx)
		}
		if err == nil {
			p.mu.Lock()
			p.visit = visit
			p.mu.Unlock()
			return nil
		}
		if try == mostTries || !errors.Is(err, pcsc.ErrRemoved) && !errors.Is(err, transport.ErrInUse) {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, noticed)
		left := p.daemon.WaitRemoved(soon, visit)
		cancel()
		switch {
		case left == nil:
			try = 1
		case ctx.Err() == nil && errors.Is(left, context.DeadlineExceeded):
			try++
		default:
			return left
		}
	}
}

// Exchange implements nfc.Port.
func (p *port) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	response, err := p.daemon.Transmit(ctx, command)
	return response, torn(err)
}

// Removed implements nfc.Port.
func (p *port) Removed(ctx context.Context) error {
	p.mu.Lock()
	visit := p.visit
	p.mu.Unlock()
	return p.daemon.WaitRemoved(ctx, visit)
}

// Deselect implements nfc.Port.
func (p *port) Deselect(ctx context.Context) error { return p.daemon.Disconnect(ctx) }

// Control implements nfc.Port.
func (p *port) Control(ctx context.Context, command []byte) ([]byte, error) {
	return p.daemon.Control(ctx, command)
}

// Close implements nfc.Port.
func (p *port) Close() error { return p.daemon.Close() }

// String implements nfc.Port.
func (p *port) String() string { return p.daemon.String() }
