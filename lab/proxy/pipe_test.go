package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("connection broken")

// script is a reader that says its lines at given moments, then ends with end.
type script struct {
	lines []string
	pause time.Duration
	end   error
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.lines) == 0 {
		return 0, s.end
	}
	time.Sleep(s.pause)
	n := copy(p, s.lines[0])
	s.lines = s.lines[1:]
	return n, nil
}

// watch is a writer that notes when each write came.
type watch struct {
	bytes.Buffer
	began time.Time
	at    []time.Duration
}

func (w *watch) Write(p []byte) (int, error) {
	w.at = append(w.at, time.Since(w.began))
	return w.Buffer.Write(p)
}

func carryScript(ctx context.Context, g *gate, opts Options, src *script) (*watch, error) {
	p := newPipe(g, opts)
	go p.fill(ctx, src)
	dst := &watch{began: time.Now()}
	return dst, p.drain(ctx, dst)
}

func TestEveryPieceIsDelayedByItselfNotByThoseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{lines: []string{"a", "b", "c"}, pause: 10 * time.Millisecond, end: io.EOF}
		dst, err := carryScript(t.Context(), newGate(), Options{Delay: 300 * time.Millisecond}, src)
		if err != nil || dst.String() != "abc" {
			t.Fatalf("got %q, %v", dst.String(), err)
		}
		for i, at := range dst.at {
			if want := 300*time.Millisecond + time.Duration(i+1)*10*time.Millisecond; at != want {
				t.Errorf("piece %d came after %v, want %v", i, at, want)
			}
		}
	})
}

func TestBandwidthIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{lines: []string{"12345678", "12345678"}, end: io.EOF}
		dst, err := carryScript(t.Context(), newGate(), Options{BytesPerSecond: 8}, src)
		if err != nil {
			t.Fatal(err)
		}
		if dst.at[0] != time.Second || dst.at[1] != 2*time.Second {
			t.Errorf("16 bytes at 8 B/s came at %v", dst.at)
		}
	})
}

func TestABrokenSourceIsNotAnEndInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst, err := carryScript(t.Context(), newGate(), Options{}, &script{lines: []string{"a"}, end: errBroken})
		if !errors.Is(err, errBroken) || dst.String() != "a" {
			t.Errorf("got %q, %v", dst.String(), err)
		}
	})
}

func TestAShutGateHoldsForHoursAndThenDeliversAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.set(false)
		time.AfterFunc(24*time.Hour, func() { g.set(true) })
		dst, err := carryScript(t.Context(), g, Options{}, &script{lines: []string{"a", "b"}, end: io.EOF})
		if err != nil || dst.String() != "ab" || dst.at[0] != 24*time.Hour {
			t.Errorf("got %q at %v, %v", dst.String(), dst.at, err)
		}
	})
}

func TestAStoppedPipeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		dst, err := carryScript(ctx, newGate(), Options{Delay: time.Hour}, &script{lines: []string{"a"}, end: io.EOF})
		if !errors.Is(err, context.DeadlineExceeded) || dst.Len() != 0 {
			t.Errorf("got %q, %v", dst.String(), err)
		}
	})
}
