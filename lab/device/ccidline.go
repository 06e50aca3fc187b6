package device

import (
	"context"
	"errors"
	"slices"
	"sync"

	"dcpos/drivers/transport"
)

// CCIDSocket is where a modelled reader hangs, in memory: it can be opened again and
// again, and pulled for good.
type CCIDSocket struct {
	// NoInterrupt: the reader has no interrupt endpoint.
	NoInterrupt bool

	model *CCID
	gone  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	spoil func(response []byte) [][]byte
}

// Socket plugs the reader into a socket in memory.
func (m *CCID) Socket() *CCIDSocket { return &CCIDSocket{model: m, gone: make(chan struct{})} }

// Pull unplugs the reader: every connection is gone, and no new one is made.
func (s *CCIDSocket) Pull() { s.once.Do(func() { close(s.gone) }) }

// Spoil replaces what the reader says: change is called for every response and returns what
// comes instead, each piece a transfer. Nil stops it.
func (s *CCIDSocket) Spoil(change func(response []byte) [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = change
}

// Dial is a transport.Dial.
func (s *CCIDSocket) Dial(context.Context) (transport.Conn, error) {
	select {
	case <-s.gone:
		return nil, transport.ErrNotFound
	default:
	}
	return &ccidConn{socket: s, closed: make(chan struct{}), in: make(chan []byte, 64)}, nil
}

// ccidConn is one claimed connection.
type ccidConn struct {
	socket *CCIDSocket
	once   sync.Once
	closed chan struct{}
	in     chan []byte

	reading sync.Mutex
	left    []byte // guarded by reading
}

var _ transport.Function = (*ccidConn)(nil)

// Read implements transport.Conn.
func (c *ccidConn) Read(ctx context.Context, p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.left) == 0 {
		select {
		case c.left = <-c.in:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-c.closed:
			return 0, transport.ErrClosed
		case <-c.socket.gone:
			return 0, transport.ErrGone
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// Write implements transport.Conn.
func (c *ccidConn) Write(_ context.Context, p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, transport.ErrClosed
	case <-c.socket.gone:
		return 0, transport.ErrGone
	default:
	}
	message := slices.Clone(p)
	go c.socket.model.Command(message, c.reply)
	return len(p), nil
}

func (c *ccidConn) reply(response []byte) {
	c.socket.mu.Lock()
	pieces := [][]byte{response}
	if c.socket.spoil != nil {
		pieces = c.socket.spoil(response)
	}
	c.socket.mu.Unlock()
	for _, piece := range pieces {
		if len(piece) == 0 {
			continue
		}
		select {
		case c.in <- piece:
		case <-c.closed:
		case <-c.socket.gone:
		}
	}
}

// Interrupt implements transport.Function.
func (c *ccidConn) Interrupt(ctx context.Context) ([]byte, error) {
	if c.socket.NoInterrupt {
		return nil, errors.ErrUnsupported
	}
	select {
	case packet := <-c.socket.model.Notify():
		return packet, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.closed:
		return nil, transport.ErrClosed
	case <-c.socket.gone:
		return nil, transport.ErrGone
	}
}

// Class implements transport.Function.
func (c *ccidConn) Class(context.Context) ([]byte, error) {
	return c.socket.model.ClassDescriptor(), nil
}

// Close implements transport.Conn.
func (c *ccidConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// String implements transport.Conn.
func (c *ccidConn) String() string { return "model:acr122u" }
