package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options describe the network between the proxy's two sides.
type Options struct {
	// Listen is the IPv4 loopback address to accept on; empty is 127.0.0.1:0.
	Listen string
	// Delay is how long every byte takes, each way.
	Delay time.Duration
	// BytesPerSecond limits each direction of each connection; 0 is no limit.
	BytesPerSecond int64
	// DialTimeout is how long to try to reach the target; 0 is 10 s.
	DialTimeout time.Duration
}

// connectionsMax bounds how many connections are carried at a time; further ones
// are reset.
const connectionsMax = 10_000

const defaultDialTimeout = 10 * time.Second

// State is what the network does now.
type State string

// The states of the network.
const (
	Up     State = "up"
	Frozen State = "frozen" // accepts, delivers nothing
	Down   State = "down"   // refuses
)

// Status is what the proxy has done so far.
type Status struct {
	State State `json:"state"`
	// Open connections now, Accepted ones since the start.
	Open     int   `json:"open"`
	Accepted int64 `json:"accepted"`
}

// Proxy carries TCP connections to one target. Its methods may be called from
// several goroutines; Cut, Freeze and Restore are idempotent and take effect on
// every connection before they return.
type Proxy struct {
	target string
	opts   Options
	addr   string
	seat   *seat
	gate   *gate

	ctx  context.Context //nolint:containedctx // the proxy's own life, ended by Close
	stop context.CancelFunc
	work sync.WaitGroup

	// switching serialises Cut, Freeze, Restore and Close.
	switching sync.Mutex

	mu       sync.Mutex
	listener net.Listener
	open     map[*connection]struct{}
	status   Status
}

// New starts a proxy to target ("127.0.0.1:4222"). It ends with Close, or with ctx
// followed by Close. The target need not be there yet.
func New(ctx context.Context, target string, opts Options) (*Proxy, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.DialTimeout == 0 {
		opts.DialTimeout = defaultDialTimeout
	}
	if opts.Delay < 0 || opts.BytesPerSecond < 0 {
		return nil, fmt.Errorf("delay %v and bandwidth %d must not be negative", opts.Delay, opts.BytesPerSecond)
	}
	seat, err := takeSeat(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("reserve %s: %w", opts.Listen, err)
	}
	p := &Proxy{
		target: target, opts: opts, addr: seat.addr, seat: seat, gate: newGate(),
		open: map[*connection]struct{}{}, status: Status{State: Down},
	}
	p.ctx, p.stop = context.WithCancel(ctx)
	if err := p.Restore(); err != nil {
		_ = p.Close()
		return nil, err
	}
	context.AfterFunc(p.ctx, func() { _ = p.Cut() })
	return p, nil
}

// Addr is the address to connect to; it stays the same while the proxy lives.
func (p *Proxy) Addr() string { return p.addr }

// Status says what the network does now.
func (p *Proxy) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Open = len(p.open)
	return s
}

// Cut is a pulled cable with a router behind it that says so: every connection is
// reset on both sides, what was on its way is lost, new ones are refused.
func (p *Proxy) Cut() error {
	p.switching.Lock()
	defer p.switching.Unlock()
	p.mu.Lock()
	listener := p.listener
	p.listener = nil
	p.status.State = Down
	for c := range p.open {
		c.reset()
	}
	p.mu.Unlock()
	p.gate.set(true)
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// Freeze is a half-dead network: connections stay and new ones are accepted, but
// nothing arrives any more. Restore delivers what was sent meanwhile. After a Cut
// it also listens again.
func (p *Proxy) Freeze() error { return p.listen(Frozen) }

// Restore makes the network work again after Cut or Freeze.
func (p *Proxy) Restore() error { return p.listen(Up) }

func (p *Proxy) listen(state State) error {
	p.switching.Lock()
	defer p.switching.Unlock()
	if err := p.ctx.Err(); err != nil {
		return fmt.Errorf("proxy is closed: %w", err)
	}
	p.gate.set(state == Up)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		var config net.ListenConfig
		listener, err := config.Listen(p.ctx, "tcp4", p.addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", p.addr, err)
		}
		p.listener = listener
		p.work.Go(func() { p.accept(listener) })
	}
	p.status.State = state
	return nil
}

// Close cuts and returns when every goroutine of the proxy has ended. Idempotent.
func (p *Proxy) Close() error {
	p.stop()
	err := p.Cut()
	p.work.Wait()
	return errors.Join(err, p.seat.leave())
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		c := newConnection(p.ctx, client)
		p.mu.Lock()
		welcome := p.listener == listener && len(p.open) < connectionsMax
		if welcome {
			p.status.Accepted++
			p.open[c] = struct{}{}
		}
		p.mu.Unlock()
		if !welcome {
			c.reset()
			continue
		}
		p.work.Go(func() {
			c.carry(p)
			p.mu.Lock()
			delete(p.open, c)
			p.mu.Unlock()
		})
	}
}

// connection is one client and, once it is reached, the target.
type connection struct {
	ctx  context.Context //nolint:containedctx // ends with the connection, from either side
	stop context.CancelFunc

	mu    sync.Mutex
	ends  []net.Conn
	ended bool
}

func newConnection(ctx context.Context, client net.Conn) *connection {
	c := &connection{ends: []net.Conn{client}}
	c.ctx, c.stop = context.WithCancel(ctx)
	return c
}

// reset ends both sides with a RST and drops what is on its way.
func (c *connection) reset() {
	c.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, end := range c.ends {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = end.Close()
	}
}

// join adds the target's end, unless the connection was reset meanwhile.
func (c *connection) join(target net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		_ = target.Close()
		return false
	}
	c.ends = append(c.ends, target)
	return true
}

// carry spends the round trip of a handshake, reaches the target, then moves data
// both ways until both sides have ended or one has failed.
func (c *connection) carry(p *Proxy) {
	defer c.reset()
	client := c.ends[0]
	if sleepUntil(c.ctx, time.Now().Add(2*p.opts.Delay)) != nil || p.gate.wait(c.ctx) != nil {
		return
	}
	dialer := net.Dialer{Timeout: p.opts.DialTimeout}
	target, err := dialer.DialContext(c.ctx, "tcp", p.target)
	if err != nil || !c.join(target) {
		return
	}
	var both sync.WaitGroup
	move := func(dst, src net.Conn) {
		pipe := newPipe(p.gate, p.opts)
		both.Go(func() { pipe.fill(c.ctx, src) })
		both.Go(func() {
			if pipe.drain(c.ctx, dst) != nil {
				c.reset()
				return
			}
			closeWrite(dst)
		})
	}
	move(target, client)
	move(client, target)
	both.Wait()
	c.close()
}

// close ends both sides in peace; the deferred reset then finds nothing to do.
func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	for _, end := range c.ends {
		_ = end.Close()
	}
	c.ends = nil
}

func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
