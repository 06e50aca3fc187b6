package linedisplay

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dcpos/drivers"
	"dcpos/drivers/transport"
)

// Router passes bytes on to what hangs on it: a printer with a display behind it.
type Router interface {
	// Route sends the bytes in one piece and does not mix them with others.
	Route(ctx context.Context, data []byte) error
}

// Through is a Dial for a display that hangs on a printer instead of a port of its own.
// The printer has to be enabled; it stays its owner's, closing the display leaves it open.
// The profile needs select, or the printer would print what is for the display.
func Through(name string, r Router) transport.Dial {
	return func(ctx context.Context) (transport.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reach display behind %s: %w", name, err)
		}
		return &routed{name: name, router: r, closed: make(chan struct{})}, nil
	}
}

// routed is the line to a display behind a printer. Nothing ever comes back.
type routed struct {
	name   string
	router Router
	once   sync.Once
	closed chan struct{}
}

// Read implements transport.Conn.
func (r *routed) Read(ctx context.Context, _ []byte) (int, error) {
	select {
	case <-ctx.Done():
		return 0, fmt.Errorf("read %s: %w", r, ctx.Err())
	case <-r.closed:
		return 0, fmt.Errorf("read %s: %w", r, transport.ErrClosed)
	}
}

// Write implements transport.Conn.
func (r *routed) Write(ctx context.Context, p []byte) (int, error) {
	select {
	case <-r.closed:
		return 0, fmt.Errorf("write %s: %w", r, transport.ErrClosed)
	default:
	}
	if err := r.router.Route(ctx, p); err != nil {
		if errors.Is(err, drivers.ErrNoHardware) || errors.Is(err, drivers.ErrNotClaimed) || errors.Is(err, drivers.ErrClosed) {
			err = fmt.Errorf("%w: %w", transport.ErrGone, err) // the printer has to come back first
		}
		return 0, fmt.Errorf("write %s: %w", r, err)
	}
	return len(p), nil
}

// Close implements transport.Conn.
func (r *routed) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// String implements transport.Conn.
func (r *routed) String() string { return "printer:" + r.name }
