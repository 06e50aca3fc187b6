package transporttest

import (
	"bytes"
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

// Write implements transport.Conn. It is written down before it goes out, because the
// answer may come before the connection says that it went; all of it, because nobody
// knows how much of a failed write went out.
func (r *Recorder) Write(ctx context.Context, p []byte) (int, error) {
	r.wrote(p)
	return r.conn.Write(ctx, p)
}

func (r *Recorder) wrote(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.ops) - 1; last >= 0 && len(r.ops[last].R) == 0 {
		r.ops[last].W = append(r.ops[last].W, p...)
	} else {
		r.ops = append(r.ops, IO{W: slices.Clone(p)})
	}
	r.last = time.Now()
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

// jobNumber is the process id that a host gives a printer to send back (GS ( H, function
// 48: pL pH fn m d1 … d4; Epson's ESC/POS reference). A host counts on from anywhere.
var jobNumber = []byte{0x1d, '(', 'H', 6, 0, 0x30, 0x30}

// jobNumberBytes is its length.
const jobNumberBytes = 4

// Ops is the script so far. The last job number in each W is marked as the host's own.
func (r *Recorder) Ops() []IO {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := slices.Clone(r.ops)
	for i, op := range ops {
		at := bytes.LastIndex(op.W, jobNumber) + len(jobNumber)
		if at >= len(jobNumber) && len(op.W) >= at+jobNumberBytes {
			ops[i].Own = op.W[at : at+jobNumberBytes]
		}
	}
	return ops
}
