package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// readSize is the largest piece taken from a port at once; a receipt printer and
// a scanner both send far less.
const readSize = 4096

// Stream makes a Conn of a port that only knows blocking Read and Write (a tty
// has no write deadline). It owns the port: Close closes it.
type Stream struct {
	name string
	port io.ReadWriteCloser

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error

	chunks  chan []byte // from the reading goroutine; one at a time, so an idle reader pushes back
	failed  chan struct{}
	failure error // set before failed is closed

	reading sync.Mutex
	left    []byte // rest of the last chunk, guarded by reading

	writing chan struct{} // holds one token while a write is on its way
}

var _ Conn = (*Stream)(nil)

// NewStream starts reading from the port at once. A Read of the port that returns
// 0, nil is taken as its time-out and repeated; any error ends the stream as
// ErrGone, because an unplugged tty and a closed one report the same.
func NewStream(name string, port io.ReadWriteCloser) *Stream {
	s := &Stream{
		name:    name,
		port:    port,
		closing: make(chan struct{}),
		chunks:  make(chan []byte),
		failed:  make(chan struct{}),
		writing: make(chan struct{}, 1),
	}
	go s.pump()
	return s
}

func (s *Stream) pump() {
	defer close(s.failed)
	buf := make([]byte, readSize)
	for {
		n, err := s.port.Read(buf)
		if n > 0 {
			chunk := append([]byte(nil), buf[:n]...)
			select {
			case s.chunks <- chunk:
			case <-s.closing:
				s.failure = ErrClosed
				return
			}
		}
		if err != nil {
			s.failure = s.lost(err)
			return
		}
		if s.isClosing() {
			s.failure = ErrClosed
			return
		}
	}
}

// lost tells our own Close from an unplugged device: both end a blocked read the same way.
func (s *Stream) lost(err error) error {
	if s.isClosing() {
		return ErrClosed
	}
	if errors.Is(err, ErrGone) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

func (s *Stream) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Read implements Conn.
func (s *Stream) Read(ctx context.Context, p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if len(s.left) == 0 {
		select {
		case s.left = <-s.chunks:
		case <-ctx.Done():
			return 0, fmt.Errorf("read %s: %w", s.name, ctx.Err())
		case <-s.closing:
			return 0, fmt.Errorf("read %s: %w", s.name, ErrClosed)
		case <-s.failed:
			return 0, fmt.Errorf("read %s: %w", s.name, s.failure)
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

type written struct {
	n   int
	err error
}

// Write implements Conn. After a write that was given up, the next one waits until
// the port has let the first go (or for Close).
func (s *Stream) Write(ctx context.Context, p []byte) (int, error) {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return 0, fmt.Errorf("write %s: %w", s.name, ctx.Err())
	case <-s.closing:
		return 0, fmt.Errorf("write %s: %w", s.name, ErrClosed)
	}
	if s.isClosing() {
		<-s.writing
		return 0, fmt.Errorf("write %s: %w", s.name, ErrClosed)
	}
	data := append([]byte(nil), p...) // the port may still read it after we gave up
	done := make(chan written, 1)
	go func() {
		n, err := s.port.Write(data)
		<-s.writing
		done <- written{n, err}
	}()
	select {
	case w := <-done:
		if w.err != nil {
			return w.n, fmt.Errorf("write %s: %w", s.name, s.lost(w.err))
		}
		return w.n, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("write %s: %w", s.name, ctx.Err())
	case <-s.closing:
		return 0, fmt.Errorf("write %s: %w", s.name, ErrClosed)
	}
}

// Close implements Conn: it closes the port and waits until its reader has ended.
func (s *Stream) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.closeErr = s.port.Close()
		<-s.failed
	})
	return s.closeErr
}

// String implements Conn.
func (s *Stream) String() string { return s.name }
