package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"dcpos/drivers/transport"
)

// lines is a decoder of lines.
type lines struct{ half string }

func (d *lines) Feed(b []byte) (whole []string) {
	for _, c := range b {
		if c == '\n' {
			whole, d.half = append(whole, d.half), ""
			continue
		}
		d.half += string(c)
	}
	return whole
}

func (d *lines) Forget() { d.half = "" }

// said is one whole message of the device.
func said(t *testing.T, l *transport.Listener[string]) string {
	t.Helper()
	select {
	case m := <-l.Heard():
		return m
	case <-l.Ended():
		t.Fatalf("ended: %v", l.Failure())
	case <-time.After(time.Minute):
		t.Fatal("nothing was heard")
	}
	return ""
}

func listening(t *testing.T, keep int) (l *transport.Listener[string], say func(string), hangUp func()) {
	t.Helper()
	host, device := net.Pipe()
	l = transport.Listen(transport.NewStream("test", host), keep, &lines{})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	say = func(s string) {
		t.Helper()
		if _, err := device.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	return l, say, func() { _ = device.Close() } // closing a pipe does not fail
}

func TestAListenerGivesWholeMessagesInOrder(t *testing.T) {
	l, say, _ := listening(t, 4)
	say("on")
	say("e\ntwo\n")
	if a, b := said(t, l), said(t, l); a != "one" || b != "two" || l.Failure() != nil {
		t.Errorf("heard %q, %q, %v", a, b, l.Failure())
	}
}

// What nobody took makes room for what is new.
func TestAListenerKeepsTheNewest(t *testing.T) {
	l, say, hangUp := listening(t, 2)
	say("1\n2\n3\n4\n")
	hangUp()
	<-l.Ended()
	if a, b := <-l.Heard(), <-l.Heard(); a != "3" || b != "4" {
		t.Errorf("kept %q, %q", a, b)
	}
}

func TestAListenerForgets(t *testing.T) {
	l, say, hangUp := listening(t, 4)
	say("old\nhalf")
	if m := said(t, l); m != "old" {
		t.Fatalf("heard %q", m)
	}
	say("x\nstale\nha")
	if m := said(t, l); m != "halfx" {
		t.Fatalf("heard %q", m)
	}
	if m := said(t, l); m != "stale" {
		t.Fatalf("heard %q", m)
	}
	say("lf\n") // "half" is whole
	if m := said(t, l); m != "half" {
		t.Fatalf("heard %q", m)
	}
	say("more\n")
	hangUp()
	<-l.Ended()
	l.Drain()
	select {
	case m := <-l.Heard():
		t.Errorf("drained, and heard %q", m)
	default:
	}
}

func TestWhyAListenerEnded(t *testing.T) {
	l, _, hangUp := listening(t, 1)
	hangUp()
	<-l.Ended()
	if err := l.Failure(); !errors.Is(err, transport.ErrGone) {
		t.Errorf("hung up: %v", err)
	}
	l, _, _ = listening(t, 1)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Failure(); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	broken := transport.Listen[string](brokenConn{}, 1, &lines{})
	<-broken.Ended()
	if err := broken.Failure(); !errors.Is(err, transport.ErrGone) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("broken: %v", err)
	}
}

// brokenConn fails in a way that no transport should.
type brokenConn struct{ transport.Conn }

func (brokenConn) Read(context.Context, []byte) (int, error) { return 0, io.ErrUnexpectedEOF }
