package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	chunkSize = 64 << 10
	// inFlightMax bounds what one direction holds in memory; over 600 ms of round
	// trip it still lets 100 MB/s through.
	inFlightMax = 64 << 20
)

// chunk is a piece of the stream and the moment it may arrive. The last one has
// no data but the reason of the end: io.EOF in peace.
type chunk struct {
	data []byte
	due  time.Time
	end  error
}

// pipe carries one direction of one connection.
type pipe struct {
	gate *gate
	opts Options

	mu     sync.Mutex
	queue  []chunk
	bytes  int
	change chan struct{} // closed and renewed whenever the queue changes
}

func newPipe(g *gate, opts Options) *pipe {
	return &pipe{gate: g, opts: opts, change: make(chan struct{})}
}

func (p *pipe) changed() {
	close(p.change)
	p.change = make(chan struct{})
}

// fill reads from src until its end and queues what it reads with its due moment.
// The end travels as slowly as the data.
func (p *pipe) fill(ctx context.Context, src io.Reader) {
	buf := make([]byte, chunkSize)
	for {
		n, err := src.Read(buf)
		due := time.Now().Add(p.opts.Delay)
		if n > 0 && p.push(ctx, chunk{data: bytes.Clone(buf[:n]), due: due}) != nil {
			return
		}
		if err != nil {
			// A stopped context empties the queue's other end as well.
			_ = p.push(ctx, chunk{due: due, end: err})
			return
		}
	}
}

func (p *pipe) push(ctx context.Context, c chunk) error {
	for {
		p.mu.Lock()
		if p.bytes < inFlightMax {
			p.queue = append(p.queue, c)
			p.bytes += len(c.data)
			p.changed()
			p.mu.Unlock()
			return nil
		}
		change := p.change
		p.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *pipe) pop(ctx context.Context) (chunk, error) {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			c := p.queue[0]
			p.queue = p.queue[1:]
			p.bytes -= len(c.data)
			p.changed()
			p.mu.Unlock()
			return c, nil
		}
		change := p.change
		p.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return chunk{}, ctx.Err()
		}
	}
}

// drain delivers what fill queued, each chunk at its moment and not while the
// network is frozen, and returns nil after the end was delivered.
func (p *pipe) drain(ctx context.Context, dst io.Writer) error {
	var free time.Time // when the line has finished sending what it sends now
	for {
		c, err := p.pop(ctx)
		if err != nil {
			return err
		}
		if p.opts.BytesPerSecond > 0 {
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(len(c.data)) * time.Second / time.Duration(p.opts.BytesPerSecond))
		}
		if err := sleepUntil(ctx, later(c.due, free)); err != nil {
			return err
		}
		if err := p.gate.wait(ctx); err != nil {
			return err
		}
		if errors.Is(c.end, io.EOF) {
			return nil
		}
		if c.end != nil {
			return c.end
		}
		if _, err := dst.Write(c.data); err != nil {
			return err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sleepUntil(ctx context.Context, moment time.Time) error {
	wait := time.Until(moment)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gate holds everybody back while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
