package usb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/gousb"

	"dcpos/drivers/transport"
)

const (
	readPackets = 8                     // read in whole packets, as libusb wants it
	emptyPause  = 20 * time.Millisecond // printers that answer a read at once with nothing are not asked in a tight loop
)

// conn is one claimed printer interface.
type conn struct {
	name   string
	usb    *gousb.Context
	device *gousb.Device
	config *gousb.Config
	intf   *gousb.Interface
	in     *gousb.InEndpoint // nil: the printer says nothing
	out    *gousb.OutEndpoint
	packet int

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error

	reading sync.Mutex
	left    []byte // guarded by reading
	writing sync.Mutex
}

var _ transport.Conn = (*conn)(nil)

// until makes a context that also ends with Close. After Close it has ended at once:
// a transfer on a handle that is freed would never come back.
func (c *conn) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	select {
	case <-c.closing:
		cancel()
		return ctx, cancel
	default:
	}
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Read implements transport.Conn.
func (c *conn) Read(ctx context.Context, p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	both, cancel := c.until(ctx)
	defer cancel()
	for len(c.left) == 0 {
		n, err := c.readOnce(both)
		if n == 0 && err != nil {
			return 0, fmt.Errorf("read %s: %w", c.name, c.why(ctx, err))
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *conn) readOnce(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.in == nil {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	buf := make([]byte, readPackets*max(c.packet, 64))
	n, err := c.in.ReadContext(ctx, buf)
	c.left = buf[:max(n, 0)]
	if n > 0 || err != nil {
		return n, err
	}
	timer := time.NewTimer(emptyPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return 0, nil
}

// Write implements transport.Conn.
func (c *conn) Write(ctx context.Context, p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	both, cancel := c.until(ctx)
	defer cancel()
	if err := both.Err(); err != nil {
		return 0, fmt.Errorf("write %s: %w", c.name, c.why(ctx, err))
	}
	done := 0
	for done < len(p) {
		n, err := c.out.WriteContext(both, p[done:])
		done += max(n, 0)
		if err != nil {
			return done, fmt.Errorf("write %s: %w", c.name, c.why(ctx, err))
		}
	}
	return done, nil
}

// why maps the library's errors: see the package comment.
func (c *conn) why(ctx context.Context, err error) error {
	select {
	case <-c.closing:
		return transport.ErrClosed
	default:
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, gousb.TransferNoDevice), errors.Is(err, gousb.TransferError),
		errors.Is(err, gousb.ErrorNoDevice), errors.Is(err, gousb.ErrorIO):
		return fmt.Errorf("%w: %w", transport.ErrGone, err)
	case errors.Is(err, gousb.TransferTimedOut), errors.Is(err, gousb.ErrorTimeout):
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// Close implements transport.Conn.
func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		close(c.closing)
		c.reading.Lock() // transfers under way have ended when both are free
		defer c.reading.Unlock()
		c.writing.Lock()
		defer c.writing.Unlock()
		c.intf.Close()
		c.closeErr = errors.Join(c.config.Close(), c.device.Close(), c.usb.Close())
	})
	return c.closeErr
}

// String implements transport.Conn.
func (c *conn) String() string { return c.name }
