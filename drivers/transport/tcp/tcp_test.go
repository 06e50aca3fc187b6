package tcp_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/tcp"
)

func TestTCP(t *testing.T) {
	drivertest.RunConn(t, func(t *testing.T) (transport.Conn, io.ReadWriteCloser) {
		t.Helper()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		c, err := tcp.Open(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		device, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c, device
	})
}

func TestNobodyListens(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tcp.Open(t.Context(), address); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
