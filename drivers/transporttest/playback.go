// Package transporttest holds connections for tests: Playback replays a script of
// bytes and silences, Recorder writes such a script down from a real device.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"dcpos/drivers/transport"
)

// IO is one exchange: the host writes W, then nothing comes for Silence, then the
// device sends R. Any of them may be empty.
type IO struct {
	W       []byte
	Silence time.Duration
	R       []byte
	// Own, where set, are bytes in W that are the host's own choice, such as the number of a
	// job: any others are taken in their place, and are what the device sends where it sends
	// Own back, in this R or a later one.
	Own []byte
}

// Playback is a scripted connection. What the host writes must be the W of the Ops in
// order, in pieces of any size; R of an op comes once all W up to it were written and
// all R before it were read. Close tells what of the script was not used.
type Playback struct {
	Ops []IO
	// GoneAtEnd lets the device go away after the last op (ErrGone) instead of being silent.
	GoneAtEnd bool

	mu      sync.Mutex
	flat    *flat
	written int // bytes of all W
	op      int // the op whose R is next
	read    int // bytes of all R
	since   time.Time
	waiting bool // since is set for op
	wrong   error
	closed  bool
	changed chan struct{}
}

var _ transport.Conn = (*Playback)(nil)

// flat is a script as one run of bytes each way.
type flat struct {
	w, r       []byte
	wEnd, rEnd []int       // by op
	echo       map[int]int // by place in w that is the host's own: the place in r, or -1
}

// script is the ops laid out, once; the lock is held.
func (p *Playback) script() *flat {
	if p.flat != nil {
		return p.flat
	}
	f := &flat{echo: map[int]int{}}
	for _, op := range p.Ops {
		f.w, f.r = append(f.w, op.W...), append(f.r, op.R...)
		f.wEnd, f.rEnd = append(f.wEnd, len(f.w)), append(f.rEnd, len(f.r))
	}
	for i, op := range p.Ops {
		at := bytes.LastIndex(op.W, op.Own)
		if len(op.Own) == 0 || at < 0 {
			continue
		}
		from := f.rEnd[i] - len(op.R)
		back := bytes.Index(f.r[from:], op.Own)
		for k := range op.Own {
			f.echo[f.wEnd[i]-len(op.W)+at+k] = -1
			if back >= 0 {
				f.echo[f.wEnd[i]-len(op.W)+at+k] = from + back + k
			}
		}
	}
	p.flat = f
	return f
}

// take holds what the host wrote against the script from a place on, and keeps what is
// the host's own.
func (f *flat) take(at int, b []byte) bool {
	if len(b) > len(f.w)-at {
		return false
	}
	for i, c := range b {
		back, own := f.echo[at+i]
		if !own && c != f.w[at+i] {
			return false
		}
		if own && back >= 0 {
			f.r[back] = c
		}
	}
	return true
}

// change wakes everybody who waits; the lock is held.
func (p *Playback) change() {
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

// Write implements transport.Conn; a byte that is not in the script is an error, which
// Close returns as well.
func (p *Playback) Write(ctx context.Context, b []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, transport.ErrClosed
	}
	f := p.script()
	if !f.take(p.written, b) {
		if p.wrong == nil {
			want := f.w[p.written:]
			p.wrong = fmt.Errorf("playback: at byte %d the host wrote % x, want % x", p.written, b, want[:min(len(want), len(b)+8)])
		}
		return 0, p.wrong
	}
	p.written += len(b)
	p.change()
	return len(b), nil
}

// Read implements transport.Conn.
func (p *Playback) Read(ctx context.Context, b []byte) (int, error) {
	for {
		n, wait, changed, err := p.next(b)
		if n > 0 || err != nil {
			return n, err
		}
		var timer <-chan time.Time
		if wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-timer:
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// next reads what is there, or tells how long to wait (0: for a write).
func (p *Playback) next(b []byte) (n int, wait time.Duration, changed chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	f := p.script()
	for {
		switch {
		case p.closed:
			return 0, 0, nil, transport.ErrClosed
		case p.op == len(p.Ops) && p.GoneAtEnd:
			return 0, 0, nil, transport.ErrGone
		case p.op == len(p.Ops) || p.written < f.wEnd[p.op]:
			return 0, 0, p.changed, nil
		}
		if !p.waiting {
			p.since, p.waiting = time.Now(), true
		}
		if left := p.Ops[p.op].Silence - time.Since(p.since); left > 0 {
			return 0, left, p.changed, nil
		}
		n = copy(b, f.r[p.read:f.rEnd[p.op]])
		if p.read += n; p.read == f.rEnd[p.op] {
			p.op, p.waiting = p.op+1, false
		}
		if n > 0 {
			return n, 0, nil, nil
		}
	}
}

// Close implements transport.Conn. Its error names what of the script is left, or the
// first byte that was not in it.
func (p *Playback) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.change()
	return p.rest()
}

// rest tells what of the script was not used; the lock is held.
func (p *Playback) rest() error {
	total := len(p.script().w)
	switch {
	case p.wrong != nil:
		return p.wrong
	case p.written < total:
		return fmt.Errorf("playback: %d bytes of the host's %d were not written", total-p.written, total)
	}
	for i := p.op; i < len(p.Ops); i++ {
		if len(p.Ops[i].R) > 0 {
			return fmt.Errorf("playback: what the device sends in op %d was not read", i)
		}
	}
	return nil
}

// String implements transport.Conn.
func (p *Playback) String() string { return "playback" }

// Dial returns a transport.Dial that opens this playback.
func (p *Playback) Dial(context.Context) (transport.Conn, error) { return p, nil }

// Serve plays the device on a line, such as a pty, until ctx ends, the host hangs up, or
// it writes what is not in the script, which is the error. After the script's end the
// device is silent. It closes rw; Close tells what of the script was not used.
func (p *Playback) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	undo := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer undo()
	var sending sync.WaitGroup
	sending.Go(func() {
		defer stop()
		buf := make([]byte, 4096)
		for {
			n, err := p.Read(ctx, buf)
			if n > 0 {
				_, err = rw.Write(buf[:n])
			}
			if err != nil {
				return
			}
		}
	})
	defer sending.Wait()
	defer stop()
	buf := make([]byte, 4096)
	for {
		n, err := rw.Read(buf)
		if n > 0 {
			if _, err := p.Write(ctx, buf[:n]); err != nil {
				if ctx.Err() != nil || errors.Is(err, transport.ErrClosed) {
					return nil
				}
				return err
			}
		}
		if err != nil {
			return nil // the host hung up, or the context has ended
		}
	}
}

// Done reports whether the script has been used up.
func (p *Playback) Done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong == nil && p.rest() == nil
}
