package transporttest

import (
	"context"
	"slices"
	"sync"
	"time"

	"dcpos/drivers/transport"
)

// Recorder writes down what passes through a connection, as a script for Playback.
type Recorder struct {
	conn transport.Conn

	mu   sync.Mutex
	ops  []IO
	last time.Time
}

var _ transport.Conn = (*Recorder)(nil)

// Record wraps a connection.
func Record(conn transport.Conn) *Recorder { return &Recorder{conn: conn, last: time.Now()} }

// Write implements transport.Conn.
func (r *Recorder) Write(ctx context.Context, p []byte) (int, error) {
	n, err := r.conn.Write(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.ops) - 1; last >= 0 && len(r.ops[last].R) == 0 {
		r.ops[last].W = append(r.ops[last].W, p[:n]...)
	} else {
		r.ops = append(r.ops, IO{W: slices.Clone(p[:n])})
	}
	r.last = time.Now()
	return n, err
}

// Read implements transport.Conn.
func (r *Recorder) Read(ctx context.Context, p []byte) (int, error) {
	n, err := r.conn.Read(ctx, p)
	if n == 0 {
		return n, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	silence := now.Sub(r.last).Round(time.Millisecond)
	r.last = now
	if last := len(r.ops) - 1; last >= 0 && len(r.ops[last].R) == 0 {
		r.ops[last].Silence, r.ops[last].R = silence, slices.Clone(p[:n])
	} else {
		r.ops = append(r.ops, IO{Silence: silence, R: slices.Clone(p[:n])})
	}
	return n, err
}

// Close implements transport.Conn.
func (r *Recorder) Close() error { return r.conn.Close() }

// String implements transport.Conn.
func (r *Recorder) String() string { return r.conn.String() }

// Ops is the script so far.
func (r *Recorder) Ops() []IO {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}
