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

// conn is one claimed interface.
type conn struct {
	name   string
	usb    *gousb.Context
	device *gousb.Device
	config *gousb.Config
	intf   *gousb.Interface
	place  place
	in     *gousb.InEndpoint // nil: the device says nothing
	out    *gousb.OutEndpoint
	packet int

	interrupt *gousb.InEndpoint // nil: there is none

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error

	reading sync.Mutex
	left    []byte // guarded by reading
	writing sync.Mutex
	waiting sync.Mutex // on the interrupt endpoint
}

var (
	_ transport.Function = (*conn)(nil)
	_ transport.Resetter = (*conn)(nil)
)

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

// Interrupt implements transport.Function.
func (c *conn) Interrupt(ctx context.Context) ([]byte, error) {
	if c.interrupt == nil {
		return nil, fmt.Errorf("wait on %s: no interrupt endpoint: %w", c.name, errors.ErrUnsupported)
	}
	c.waiting.Lock()
	defer c.waiting.Unlock()
	both, cancel := c.until(ctx)
	defer cancel()
	buf := make([]byte, max(c.interrupt.Desc.MaxPacketSize, 8))
	for {
		if err := both.Err(); err != nil {
			return nil, fmt.Errorf("wait on %s: %w", c.name, c.why(ctx, err))
		}
		n, err := c.interrupt.ReadContext(both, buf)
		if n > 0 {
			return buf[:n], nil
		}
		if err != nil {
			return nil, fmt.Errorf("wait on %s: %w", c.name, c.why(ctx, err))
		}
	}
}

// Requests of chapter 9 (USB 2.0, tables 9-4 and 9-5), and how long a device may take.
const (
	getDescriptor       = 0x06
	configurationType   = 0x02
	maxConfiguration    = 4096
	mostConfigurations  = 8
	controlLimit        = 2 * time.Second
	configurationNumber = 5 // offset of bConfigurationValue
)

// Class implements transport.Function. The library keeps no class descriptors, so the
// device is asked for its configuration.
func (c *conn) Class(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("describe %s: %w", c.name, err)
	}
	c.writing.Lock() // Close waits until the question is answered
	defer c.writing.Unlock()
	select {
	case <-c.closing:
		return nil, fmt.Errorf("describe %s: %w", c.name, transport.ErrClosed)
	default:
	}
	c.device.ControlTimeout = controlLimit
	for index := range uint16(mostConfigurations) {
		buf := make([]byte, maxConfiguration)
		n, err := c.device.Control(gousb.ControlIn|gousb.ControlDevice, getDescriptor, configurationType<<8|index, 0, buf)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", c.name, c.why(ctx, err))
		}
		if buf = buf[:n]; n > configurationNumber && int(buf[configurationNumber]) == c.place.config {
			return classDescriptors(buf, c.place.number, c.place.alternate), nil
		}
	}
	return nil, fmt.Errorf("describe %s: %w: configuration %d", c.name, errors.ErrUnsupported, c.place.config)
}

// Reset implements transport.Resetter by a reset of the device's port (USB 2.0, 7.1.7.5).
func (c *conn) Reset(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.end(c.device.Reset) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("reset %s: %w", c.name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reset %s: %w", c.name, ctx.Err())
	}
}

// Close implements transport.Conn.
func (c *conn) Close() error { return c.end(func() error { return nil }) }

// end gives the interface back, does something with the free device, and closes it.
func (c *conn) end(do func() error) error {
	c.closeOnce.Do(func() {
		close(c.closing)
		c.reading.Lock() // transfers under way have ended when all three are free
		defer c.reading.Unlock()
		c.writing.Lock()
		defer c.writing.Unlock()
		c.waiting.Lock()
		defer c.waiting.Unlock()
		c.intf.Close()
		released := c.config.Close()
		done := do()
		if errors.Is(done, gousb.ErrorNotFound) || errors.Is(done, gousb.ErrorNoDevice) {
			done = nil // it comes back as a new device (libusb_reset_device)
		}
		c.closeErr = errors.Join(released, done, c.device.Close(), c.usb.Close())
	})
	return c.closeErr
}

// String implements transport.Conn.
func (c *conn) String() string { return c.name }
