// Package serial opens serial ports: real ones, USB bridges, CDC-ACM and ptys.
//
// Traps that are dealt with here: the library's Write has no deadline (transport.Stream
// waits for it beside the caller), a ctty's Close with output pending may wait for
// half a minute (output is drained for a moment, then thrown away), the library frees
// the file descriptor while a read still uses it (our Close ends the read first), modem
// lines answer ENOTTY on a pty (they are not asked for), and an unplugged port ends a
// read as its own Close does (transport.Stream keeps a flag).
package serial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.bug.st/serial"

	"dcpos/drivers/transport"
)

// Line is how a serial line is set. The zero values are 9600 8N1.
type Line struct {
	Baud   int
	Bits   int    // 7 or 8
	Parity string // none, even, odd
	Stop   int    // 1 or 2
}

const (
	readPoll  = 500 * time.Millisecond // how long Close waits for a read at most; each end of it wakes the processor
	drainWait = 250 * time.Millisecond // for the last bytes, when a port is closed
	flushTry  = 20 * time.Millisecond
	flushMost = 50 // tries until a stuck write has ended: one second
)

// Open opens the tty for this program alone. Errors: transport.ErrNotFound,
// ErrInUse, ErrAccess, or the system's.
func Open(ctx context.Context, path string, line Line) (transport.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	mode, err := line.mode()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	handle, err := serial.Open(path, mode)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, reason(err))
	}
	if err := handle.SetReadTimeout(readPoll); err != nil {
		_ = handle.Close() // the first error is the telling one
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return transport.NewStream(fmt.Sprintf("serial:%s@%d", path, mode.BaudRate), &port{handle: handle}), nil
}

func (l Line) mode() (*serial.Mode, error) {
	m := &serial.Mode{BaudRate: l.Baud, DataBits: l.Bits}
	if m.BaudRate == 0 {
		m.BaudRate = 9600
	}
	if m.DataBits == 0 {
		m.DataBits = 8
	}
	switch l.Parity {
	case "", "none":
	case "even":
		m.Parity = serial.EvenParity
	case "odd":
		m.Parity = serial.OddParity
	default:
		return nil, fmt.Errorf("parity %q: want none, even or odd", l.Parity)
	}
	if l.Stop == 2 {
		m.StopBits = serial.TwoStopBits
	}
	return m, nil
}

// reason puts the library's error under one of transport's.
func reason(err error) error {
	if p, ok := errors.AsType[*serial.PortError](err); ok {
		switch p.Code() { //nolint:exhaustive // the others are mistakes in the settings
		case serial.PortBusy:
			return fmt.Errorf("%w: %w", transport.ErrInUse, err)
		case serial.PortNotFound:
			return fmt.Errorf("%w: %w", transport.ErrNotFound, err)
		case serial.PermissionDenied:
			return fmt.Errorf("%w: %w", transport.ErrAccess, err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: %w", transport.ErrNotFound, err)
	}
	return err
}

// port closes the library's port in an order that is safe.
type port struct {
	handle  serial.Port
	closing atomic.Bool
	reading sync.Mutex
	writing sync.Mutex
}

// Read returns 0, nil when nothing came within readPoll.
func (p *port) Read(b []byte) (int, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.closing.Load() {
		return 0, transport.ErrClosed
	}
	return p.handle.Read(b)
}

func (p *port) Write(b []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	done := 0
	for done < len(b) {
		if p.closing.Load() {
			return done, transport.ErrClosed
		}
		n, err := p.handle.Write(b[done:])
		done += n
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return done, err
		}
	}
	return done, nil
}

func (p *port) Close() error {
	p.closing.Store(true)
	if !p.drain() || !p.idle() {
		p.flush()
	}
	p.reading.Lock() // at most readPoll
	defer p.reading.Unlock()
	return p.handle.Close()
}

// drain gives the last bytes a moment to leave and reports whether they have.
func (p *port) drain() bool {
	drained := make(chan struct{})
	go func() {
		_ = p.handle.Drain() // a port that is gone has nothing to drain
		close(drained)
	}()
	timer := time.NewTimer(drainWait)
	defer timer.Stop()
	select {
	case <-drained:
		return true
	case <-timer.C:
		return false
	}
}

// idle reports whether no write is under way.
func (p *port) idle() bool {
	if !p.writing.TryLock() {
		return false
	}
	p.writing.Unlock()
	return true
}

// flush throws away what is not sent, until no write is stuck.
func (p *port) flush() {
	ticker := time.NewTicker(flushTry)
	defer ticker.Stop()
	for range flushMost {
		_ = p.handle.ResetOutputBuffer() // a port that is gone has no output
		if p.idle() {
			return
		}
		<-ticker.C
	}
}
