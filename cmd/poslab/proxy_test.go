package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcpos/internal/cli"
)

func TestProxyPrintsItsAddressAndObeysTheControlSocket(t *testing.T) {
	var config net.ListenConfig
	target, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	said, out := io.Pipe()
	cmd := ProxyCmd{Listen: "127.0.0.1:0", Target: target.Addr().String(), Control: t.TempDir() + "/c"}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run(ctx, &cli.Streams{Out: out, Err: io.Discard}) }()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(line)

	dial := func(network, addr string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, addr)
	}
	conn, err := dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	var control net.Conn
	for control == nil && ctx.Err() == nil {
		if control, err = dial("unix", cmd.Control); err != nil {
			control = nil
			time.Sleep(10 * time.Millisecond)
		}
	}
	if control == nil {
		t.Fatal(err)
	}
	defer func() { _ = control.Close() }()
	answers := bufio.NewScanner(control)
	for _, command := range []string{"cut", "quit"} {
		if _, err := io.WriteString(control, command+"\n"); err != nil || !answers.Scan() {
			t.Fatalf("%s: %v", command, err)
		}
		if conn, err := dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after %s a connection gets %v, %v", command, conn, err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
