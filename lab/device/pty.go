package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Served is a modelled device.
type Served interface {
	// Serve talks to one host on rw until the context ends or the host hangs up.
	Serve(ctx context.Context, rw io.ReadWriteCloser) error
}

// PTY is one end of a serial line in the kernel; the host opens Path.
type PTY struct {
	// Path is the tty for the host's configuration.
	Path string

	master *os.File
	slave  *os.File // kept open, so that the line outlives hosts that come and go
	once   sync.Once
	err    error
}

// NewPTY makes a serial line.
func NewPTY() (*PTY, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("make pty: %w", err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		return nil, errors.Join(fmt.Errorf("make pty raw: %w", err), master.Close(), slave.Close())
	}
	line, err := polled(master)
	if err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	return &PTY{Path: slave.Name(), master: line, slave: slave}, nil
}

// polled takes a file's descriptor over into a file that the runtime polls: only then
// does Close interrupt a Read, which on a blocking pty waits as long as a host holds it.
func polled(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pty polled: %w", err), f.Close())
	}
	if err := errors.Join(f.Close(), syscall.SetNonblock(fd, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("make pty polled: %w", err), syscall.Close(fd))
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name()), nil //nolint:gosec // a descriptor is not negative
}

// Read implements io.Reader on the device's side.
func (p *PTY) Read(b []byte) (int, error) { return p.master.Read(b) }

// Write implements io.Writer on the device's side.
func (p *PTY) Write(b []byte) (int, error) { return p.master.Write(b) }

// Close unplugs: the host's reads and writes fail.
func (p *PTY) Close() error {
	p.once.Do(func() { p.err = errors.Join(p.slave.Close(), p.master.Close()) })
	return p.err
}

// Pipe makes a line in memory: the host's end and the device's.
func Pipe() (host, device io.ReadWriteCloser) {
	a, b := net.Pipe()
	return a, b
}

// Bench is a device that is being served on a pty.
type Bench struct {
	// Path is the tty for the host's configuration.
	Path string

	line *PTY
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// Start serves a device on a new pty until ctx ends or the bench is unplugged.
func Start(ctx context.Context, d Served) (*Bench, error) {
	line, err := NewPTY()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	b := &Bench{Path: line.Path, line: line, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.err = d.Serve(ctx, line)
	}()
	return b, nil
}

// Unplug ends the bench and returns what went wrong while it served.
func (b *Bench) Unplug() error {
	b.stop()
	<-b.done
	return errors.Join(b.err, b.line.Close())
}
