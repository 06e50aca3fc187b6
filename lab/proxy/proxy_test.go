package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// start runs a proxy and fails the test if it leaves goroutines behind.
func start(t *testing.T, target string, opts Options) *Proxy {
	t.Helper()
	p, err := New(t.Context(), target, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		noGoroutines(t)
	})
	return p
}

func noGoroutines(t *testing.T) {
	t.Helper()
	var stacks string
	for range 50 {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "proxy.(*") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines left:\n%s", stacks)
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := tryDial(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func tryDial(ctx context.Context, p *Proxy) (net.Conn, error) {
	dialer := net.Dialer{Timeout: time.Minute}
	return dialer.DialContext(ctx, "tcp", p.Addr())
}

// say sends text and returns what came back within patience.
func say(t *testing.T, conn net.Conn, text string, patience time.Duration) (string, error) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	back := make([]byte, len(text))
	n, err := io.ReadFull(conn, back)
	return string(back[:n]), err
}

func mustSay(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if back, err := say(t, conn, text, 10*time.Second); err != nil || back != text {
		t.Fatalf("said %q, got back %q, %v", text, back, err)
	}
}

func TestRoundTripIsTwiceTheDelay(t *testing.T) {
	p := start(t, echo(t), Options{Delay: 100 * time.Millisecond})
	conn := dial(t, p)
	mustSay(t, conn, "handshake")
	for range 3 {
		began := time.Now()
		mustSay(t, conn, "ping")
		took := time.Since(began)
		t.Logf("round trip %v", took)
		if took < 200*time.Millisecond || took > 10*time.Second {
			t.Errorf("round trip took %v, want 200 ms and little more", took)
		}
	}
}

func TestDelayDoesNotLimitThroughput(t *testing.T) {
	p := start(t, echo(t), Options{Delay: 300 * time.Millisecond})
	conn := dial(t, p)
	mustSay(t, conn, "handshake")
	const size = 32 << 20
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, size)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if !bytes.Equal(sent, got) {
		t.Error("what came back is not what was sent")
	}
	rate := float64(size) / (1 << 20) / took.Seconds()
	t.Logf("32 MiB there and back over 600 ms in %v: %.0f MiB/s", took.Round(time.Millisecond), rate)
	// Stop-and-wait with 64 KiB would be 0.1 MiB/s.
	if rate < 5 {
		t.Errorf("%.1f MiB/s is less than a pipeline gives", rate)
	}
}

func TestCutResetsAndRefusesAndRestoreMends(t *testing.T) {
	p := start(t, echo(t), Options{})
	for range 3 {
		conn := dial(t, p)
		mustSay(t, conn, "hello")
		if err := p.Cut(); err != nil {
			t.Fatal(err)
		}
		if _, err := say(t, conn, "lost", 5*time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a connection that was cut says %v", err)
		}
		if _, err := tryDial(t.Context(), p); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new connection gets %v, want a refusal", err)
		}
		if got := p.Status().State; got != Down {
			t.Errorf("state %s", got)
		}
		if err := p.Restore(); err != nil {
			t.Fatal(err)
		}
		mustSay(t, dial(t, p), "hello again")
	}
}

func TestFreezeAcceptsAndDeliversNothingUntilRestore(t *testing.T) {
	p := start(t, echo(t), Options{})
	old := dial(t, p)
	mustSay(t, old, "hello")
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	fresh := dial(t, p)
	for name, conn := range map[string]net.Conn{"old": old, "new": fresh} {
		if back, err := say(t, conn, "frozen", 150*time.Millisecond); back != "" || err == nil {
			t.Errorf("%s connection: %q came back, %v", name, back, err)
		}
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"old": old, "new": fresh} {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		late := make([]byte, len("frozen"))
		if _, err := io.ReadFull(conn, late); err != nil || string(late) != "frozen" {
			t.Errorf("%s connection after restore: %q, %v", name, late, err)
		}
	}
}

func TestFrozenConnectionsCanBeCut(t *testing.T) {
	p := start(t, echo(t), Options{})
	conn := dial(t, p)
	mustSay(t, conn, "hello")
	if err := errors.Join(p.Freeze(), p.Cut()); err != nil {
		t.Fatal(err)
	}
	if back, err := say(t, conn, "lost", 5*time.Second); err == nil {
		t.Errorf("%q came back", back)
	}
}

func TestAHalfClosedConnectionStillDelivers(t *testing.T) {
	p := start(t, echo(t), Options{Delay: 20 * time.Millisecond})
	conn, ok := dial(t, p).(*net.TCPConn)
	if !ok {
		t.Fatal("not TCP")
	}
	if _, err := conn.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "last words" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestATargetThatIsNotThereResets(t *testing.T) {
	seat, err := takeSeat("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = seat.leave() }()
	p := start(t, seat.addr, Options{})
	conn, err := tryDial(t.Context(), p)
	if err != nil {
		return // the reset may already be there when connect returns
	}
	defer func() { _ = conn.Close() }()
	if back, err := say(t, conn, "anybody?", 5*time.Second); err == nil {
		t.Errorf("%q came back", back)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:0", "[::1]:0", "127.0.0.1", "127.0.0.1:none"} {
		if p, err := New(t.Context(), "127.0.0.1:1", Options{Listen: listen}); err == nil {
			_ = p.Close()
			t.Errorf("%s was accepted", listen)
		}
	}
}

func TestControlSocket(t *testing.T) {
	p := start(t, echo(t), Options{})
	socket := filepath.Join(t.TempDir(), "c")
	ended := make(chan error, 1)
	go func() { ended <- p.ServeControl(t.Context(), socket) }()
	var conn net.Conn
	for range 100 {
		var dialer net.Dialer
		var err error
		if conn, err = dialer.DialContext(t.Context(), "unix", socket); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if conn == nil {
		t.Fatal("no control socket")
	}
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	for _, c := range []struct{ command, want string }{
		{"status", `"state":"up"`},
		{"cut", `"state":"down"`},
		{"freeze", `"state":"frozen"`},
		{"restore", `"state":"up"`},
		{"dance", `unknown command`},
		{"quit", `"state":"up"`},
	} {
		if _, err := conn.Write([]byte(c.command + "\n")); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), c.want) {
			t.Errorf("%s: %s, want %s", c.command, lines.Text(), c.want)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
