package transporttest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers/transport"
	"dcpos/drivers/transporttest"
)

func readAll(t *testing.T, c transport.Conn, n int) string {
	t.Helper()
	var out []byte
	buf := make([]byte, 3)
	for len(out) < n {
		k, err := c.Read(t.Context(), buf)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, buf[:k]...)
	}
	return string(out)
}

func TestPlaybackAnswersAfterWriteAndSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &transporttest.Playback{Ops: []transporttest.IO{
			{W: []byte("ask"), Silence: time.Second, R: []byte("answer")},
			{Silence: time.Minute, R: []byte("unasked")},
			{W: []byte("bye")},
		}}
		start := time.Now()
		for _, piece := range []string{"a", "sk"} {
			if _, err := p.Write(t.Context(), []byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		if got := readAll(t, p, 6); got != "answer" || time.Since(start) != time.Second {
			t.Errorf("got %q after %v", got, time.Since(start))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n, err := p.Read(short, make([]byte, 9)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in the silence: got %d, %v", n, err)
		}
		if got := readAll(t, p, 7); got != "unasked" || time.Since(start) != 61*time.Second {
			t.Errorf("got %q after %v", got, time.Since(start))
		}
		if err := p.Close(); err == nil || !strings.Contains(err.Error(), "3 bytes of the host's 6") {
			t.Errorf("close with a write left: got %v", err)
		}
	})
}

func TestPlaybackNamesWhatDiffers(t *testing.T) {
	p := &transporttest.Playback{Ops: []transporttest.IO{{W: []byte("abc"), R: []byte("x")}}}
	if _, err := p.Write(t.Context(), []byte("abd")); err == nil {
		t.Error("a wrong byte was taken")
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "61 62 64") {
		t.Errorf("got %v", err)
	}
	p = &transporttest.Playback{Ops: []transporttest.IO{{R: []byte("x")}}}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "op 0") {
		t.Errorf("unread: got %v", err)
	}
	p = &transporttest.Playback{GoneAtEnd: true}
	if _, err := p.Read(t.Context(), make([]byte, 1)); !errors.Is(err, transport.ErrGone) {
		t.Errorf("at the end: got %v", err)
	}
}

func TestPlaybackSendsTheHostsOwnNumberBack(t *testing.T) {
	p := &transporttest.Playback{Ops: []transporttest.IO{
		{W: []byte("job 1234."), Own: []byte("1234"), R: []byte("done 1")},
		{R: []byte("234;")},
		{W: []byte("job 1235."), Own: []byte("1235")}, // never sent back
	}}
	for _, piece := range []string{"job 99", "88."} {
		if _, err := p.Write(t.Context(), []byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, p, 10); got != "done 9988;" {
		t.Errorf("got %q", got)
	}
	if _, err := p.Write(t.Context(), []byte("job ....")); err != nil || p.Done() {
		t.Errorf("got %v, done %v", err, p.Done())
	}
	if _, err := p.Write(t.Context(), []byte("job")); err == nil || p.Done() {
		t.Error("what is not the host's own was taken")
	}
}

func TestPlaybackOnALine(t *testing.T) {
	p := &transporttest.Playback{Ops: []transporttest.IO{{W: []byte("ask"), R: []byte("answer")}, {W: []byte("bye")}}}
	host, line := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- p.Serve(t.Context(), line) }()
	got := make([]byte, 6)
	if _, err := io.WriteString(host, "ask"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(host, got); err != nil || string(got) != "answer" || p.Done() {
		t.Errorf("got %q, %v, done %v", got, err, p.Done())
	}
	if _, err := io.WriteString(host, "bad"); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err == nil || !strings.Contains(err.Error(), "62 61 64") {
		t.Errorf("got %v", err)
	}
	if _, err := host.Read(got); err == nil {
		t.Error("the line is open after an error")
	}
}

func TestRecorderWritesAScriptThatPlaysBack(t *testing.T) {
	ops := []transporttest.IO{{W: []byte("ask"), R: []byte("ans")}, {W: []byte("more"), R: []byte("wer")}}
	r := transporttest.Record(&transporttest.Playback{Ops: ops})
	for _, q := range []string{"ask", "more"} {
		if _, err := io.WriteString(writer{t.Context(), r}, q); err != nil {
			t.Fatal(err)
		}
		readAll(t, r, 3)
	}
	if diff := cmp.Diff(ops, r.Ops()); diff != "" {
		t.Error(diff)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

type writer struct {
	ctx context.Context
	c   transport.Conn
}

func (w writer) Write(p []byte) (int, error) { return w.c.Write(w.ctx, p) }
