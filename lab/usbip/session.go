package usbip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// inDepth is how many bytes an IN endpoint holds for a host that does not read.
const inDepth = 64 << 10

// pipe is one endpoint other than 0. Transfers of the host wait in it (the device says
// NAK) until the device has, or takes, bytes.
type pipe struct {
	waiting []command // of the host, oldest first
	taken   int       // bytes of waiting[0] that the device has read (OUT)
	ready   [][]byte  // what the device sends, one transfer each (IN)
	held    int       // bytes in ready
	halted  bool
}

// Session is the time from plugging a device in to pulling it out.
type Session struct {
	function Function
	about    Description

	mu      sync.Mutex
	changed *sync.Cond
	ended   bool
	config  byte
	pipes   map[byte]*pipe
	returns [][]byte // to be written, in order
}

// Serve is the device on a stream whose other end is the host, from plugging in until
// ctx ends, the function's Run returns, the host hangs up or the stream breaks; it closes conn. Closing conn
// while transfers are in flight is pulling the plug.
func Serve(ctx context.Context, conn io.ReadWriteCloser, f Function) error {
	s := &Session{function: f, about: f.Describe(), pipes: map[byte]*pipe{}}
	s.changed = sync.NewCond(&s.mu)
	for _, i := range s.about.Interfaces {
		for _, e := range i.Endpoints {
			s.pipes[e.Address] = &pipe{}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		s.end()
		_ = conn.Close() // ends the read below
	})
	defer stop()
	var working sync.WaitGroup
	var writing, running error
	working.Go(func() { writing = s.write(conn); cancel() })
	working.Go(func() { running = f.Run(ctx, s); cancel() })
	reading := s.read(conn)
	cancel()
	s.end()
	_ = conn.Close() // it may be closed already
	working.Wait()
	if unplugged(reading) {
		reading = nil
	}
	if unplugged(writing) || errors.Is(reading, errProtocol) {
		writing = nil
	}
	return errors.Join(reading, writing, running)
}

// unplugged reports that an error is only the end of the connection.
func unplugged(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// read takes the host's messages until the connection ends.
func (s *Session) read(r io.Reader) error {
	for {
		c, err := readCommand(r)
		if err != nil {
			return fmt.Errorf("read usbip: %w", err)
		}
		switch {
		case c.code == cmdUnlink:
			s.unlink(c)
		case c.endpoint&endpointNumbers == 0:
			s.answer(c)
		default:
			s.submit(c)
		}
	}
}

// write sends what is returned. One goroutine does it, in the order in which transfers
// ended: the kernel gives up a device whose unlinked transfer is returned afterwards.
func (s *Session) write(w io.Writer) error {
	for {
		s.mu.Lock()
		for len(s.returns) == 0 && !s.ended {
			s.changed.Wait()
		}
		list, ended := s.returns, s.ended
		s.returns = nil
		s.mu.Unlock()
		for _, b := range list {
			if _, err := w.Write(b); err != nil {
				return fmt.Errorf("write usbip: %w", err)
			}
		}
		if ended {
			return nil
		}
	}
}

// give queues a message; the caller holds mu.
func (s *Session) give(b []byte) {
	s.returns = append(s.returns, b)
	s.changed.Broadcast()
}

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

// answer serves a control request.
func (s *Session) answer(c command) {
	in, err := s.control(c.setup, c.data)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.give(returned(c.seq, statusStall, 0, nil))
	case c.setup.RequestType&fromDevice != 0:
		in = in[:min(len(in), c.length, int(c.setup.Length))]
		s.give(returned(c.seq, statusOK, len(in), in))
	default:
		s.give(returned(c.seq, statusOK, len(c.data), nil))
	}
}

// submit lets a transfer wait at its endpoint.
func (s *Session) submit(c command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pipes[c.endpoint]
	if p == nil || p.halted {
		s.give(returned(c.seq, statusStall, 0, nil))
		return
	}
	if c.endpoint&endpointIn == 0 && c.length == 0 {
		s.give(returned(c.seq, statusOK, 0, nil)) // a packet of nothing is taken at once
		return
	}
	p.waiting = append(p.waiting, c)
	s.changed.Broadcast()
	if c.endpoint&endpointIn != 0 {
		s.fill(p)
	}
}

// fill gives waiting IN transfers what is ready; the caller holds mu.
func (s *Session) fill(p *pipe) {
	for len(p.waiting) > 0 && len(p.ready) > 0 {
		c, b := p.waiting[0], p.ready[0]
		n := min(c.length, len(b))
		s.give(returned(c.seq, statusOK, n, b[:n]))
		p.waiting, p.held = p.waiting[1:], p.held-n
		if n < len(b) {
			p.ready[0] = b[n:]
		} else {
			p.ready = p.ready[1:]
		}
	}
}

// unlink takes a transfer back. One that has ended is not there any more: its return
// is before this one's answer, which is then no error.
func (s *Session) unlink(c command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pipes {
		for i, w := range p.waiting {
			if w.seq != c.unlink {
				continue
			}
			if i == 0 {
				p.taken = 0
			}
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			s.give(unlinked(c.seq, statusUnlinked))
			return
		}
	}
	s.give(unlinked(c.seq, statusOK))
}

func (s *Session) configured() byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// configure starts the endpoints anew, as SET_CONFIGURATION does.
func (s *Session) configure(n byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = n
	for _, p := range s.pipes {
		p.ready, p.held, p.halted = nil, 0, false
	}
	s.changed.Broadcast()
}

// Halt makes an endpoint answer STALL, to what waits and to what comes, until the host
// clears it.
func (s *Session) Halt(address byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pipes[address]
	if p == nil {
		return
	}
	p.halted = true
	for i, c := range p.waiting {
		done := 0
		if i == 0 {
			done = p.taken
		}
		s.give(returned(c.seq, statusStall, done, nil))
	}
	p.waiting, p.taken = nil, 0
}

// ClearHalt ends Halt.
func (s *Session) ClearHalt(address byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pipes[address]; p != nil {
		p.halted = false
		s.changed.Broadcast()
	}
}

// Halted reports that an endpoint answers STALL.
func (s *Session) Halted(address byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pipes[address]
	return p != nil && p.halted
}

// Flush throws away what an IN endpoint holds for the host.
func (s *Session) Flush(address byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pipes[address]; p != nil {
		p.ready, p.held = nil, 0
		s.changed.Broadcast()
	}
}

// Read takes bytes that the host sent to an OUT endpoint; it waits for them. A
// transfer of the host ends when all of it has been read. io.EOF: unplugged.
func (s *Session) Read(address byte, b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pipes[address]
	for !s.ended && len(p.waiting) == 0 {
		s.changed.Wait()
	}
	if s.ended {
		return 0, io.EOF
	}
	c := p.waiting[0]
	n := copy(b, c.data[p.taken:])
	p.taken += n
	if p.taken == len(c.data) {
		s.give(returned(c.seq, statusOK, len(c.data), nil))
		p.waiting, p.taken = p.waiting[1:], 0
	}
	return n, nil
}

// Write sends one transfer from an IN endpoint: the host gets it when it asks, alone
// or, if its buffer is smaller, in parts. It waits only while the endpoint holds more
// than a device would for a host that does not read. io.ErrClosedPipe: unplugged.
func (s *Session) Write(address byte, b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pipes[address]
	for !s.ended && p.held > 0 && p.held+len(b) > inDepth {
		s.changed.Wait()
	}
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	p.ready = append(p.ready, append([]byte(nil), b...))
	p.held += len(b)
	s.fill(p)
	s.changed.Broadcast()
	return len(b), nil
}

// Stream is a pair of endpoints as the line that lab/device's models serve. Closing it
// pulls the plug.
func (s *Session) Stream(out, in byte) io.ReadWriteCloser { return &stream{s: s, out: out, in: in} }

type stream struct {
	s       *Session
	out, in byte
}

func (l *stream) Read(b []byte) (int, error)  { return l.s.Read(l.out, b) }
func (l *stream) Write(b []byte) (int, error) { return l.s.Write(l.in, b) }

// Close pulls the plug.
func (l *stream) Close() error {
	l.s.end()
	return nil
}
