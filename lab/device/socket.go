package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrPluggedIn is returned when something hangs in the socket already.
var ErrPluggedIn = errors.New("something is plugged in already")

// Socket is where a device is plugged in and pulled out: a path that leads to the serial
// line of the latest plug, as a link below /dev/serial does, and to nothing in between.
type Socket struct {
	// Path is the tty for the host's configuration.
	Path string

	mu    sync.Mutex
	bench *Bench
}

// Plug serves a device on a new line until ctx ends, the plug is pulled, or the device
// ends by itself. ErrPluggedIn while another one is served; os.ErrExist when the path is
// something else than a link, which is not replaced.
func (s *Socket) Plug(ctx context.Context, d Served) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in() {
		return fmt.Errorf("%s: %w", s.Path, ErrPluggedIn)
	}
	_ = s.pull() // of a line that the device ended itself
	if at, err := os.Lstat(s.Path); err == nil && at.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("%s: %w: it is no link", s.Path, os.ErrExist)
	}
	b, err := Start(ctx, d)
	if err != nil {
		return err
	}
	next := s.Path + ".next"
	_ = os.Remove(next) // of a program that was killed between the two
	if err := errors.Join(os.Symlink(b.Path, next), os.Rename(next, s.Path)); err != nil {
		return errors.Join(fmt.Errorf("plug in: %w", err), b.Unplug())
	}
	s.bench = b
	return nil
}

// Unplug ends the line and takes the path away. It returns what went wrong while the
// device was served; without a plug it does nothing.
func (s *Socket) Unplug() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pull()
}

func (s *Socket) pull() error {
	if s.bench == nil {
		return nil
	}
	b := s.bench
	s.bench = nil
	return errors.Join(os.Remove(s.Path), b.Unplug())
}

// Plugged reports whether a device is served.
func (s *Socket) Plugged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in()
}

func (s *Socket) in() bool {
	if s.bench == nil {
		return false
	}
	select {
	case <-s.bench.done:
		return false
	default:
		return true
	}
}

// Line is the tty of the latest plug; empty without one.
func (s *Socket) Line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.in() {
		return ""
	}
	return s.bench.Path
}
