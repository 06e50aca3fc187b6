// Package drivertest holds the suites that every transport and every driver of printers, scanners and
// contactless readers passes: what the contracts of packages transport and drivers
// promise, and what they forbid.
package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"dcpos/drivers/transport"
)

// Ends makes a connection and the device's end of it.
type Ends func(t *testing.T) (host transport.Conn, device io.ReadWriteCloser)

// patience bounds each wait for what has to come, also on an emulated processor.
const patience = time.Minute

// RunConn checks a transport.
func RunConn(t *testing.T, ends Ends) {
	t.Helper()
	t.Run("bytes go both ways unchanged", func(t *testing.T) { conn(t, ends, bothWays) })
	t.Run("a read that was given up loses nothing", func(t *testing.T) { conn(t, ends, givenUp) })
	t.Run("what does not fit the reader's buffer comes next", func(t *testing.T) { conn(t, ends, smallBuffer) })
	t.Run("close interrupts a read", func(t *testing.T) { conn(t, ends, closeInterruptsRead) })
	t.Run("a write that nobody takes ends with the context, and close is prompt", func(t *testing.T) { conn(t, ends, stuckWrite) })
	t.Run("a device that goes away is gone, not closed", func(t *testing.T) { conn(t, ends, gone) })
	t.Run("after close everything is closed", func(t *testing.T) { conn(t, ends, afterClose) })
}

func conn(t *testing.T, ends Ends, check func(t *testing.T, host transport.Conn, device io.ReadWriteCloser)) {
	t.Helper()
	host, device := ends(t)
	defer func() {
		_ = host.Close()   // some checks have closed it
		_ = device.Close() // likewise
	}()
	check(t, host, device)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// everyByte is a piece with every value a byte can have, so that a line discipline
// that translates or swallows any of them is found out.
func everyByte() []byte {
	b := make([]byte, 0, 512)
	for i := range 512 {
		b = append(b, byte(i))
	}
	return b
}

func readN(ctx context.Context, t *testing.T, c transport.Conn, n int) []byte {
	t.Helper()
	var out []byte
	buf := make([]byte, 100)
	for len(out) < n {
		k, err := c.Read(ctx, buf)
		if err != nil {
			t.Fatalf("read after %d of %d bytes: %v", len(out), n, err)
		}
		out = append(out, buf[:k]...)
	}
	return out
}

func bothWays(t *testing.T, host transport.Conn, device io.ReadWriteCloser) {
	t.Helper()
	ctx, want := within(t), everyByte()
	sent := make(chan error, 1)
	go func() {
		_, err := device.Write(want)
		sent <- err
	}()
	if got := readN(ctx, t, host, len(want)); !bytes.Equal(got, want) {
		t.Errorf("to the host: got % x", got)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	go func() {
		_, err := io.ReadFull(device, got)
		sent <- err
	}()
	if n, err := host.Write(ctx, want); n != len(want) || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, want) {
		t.Errorf("to the device: got % x, %v", got, err)
	}
}

func givenUp(t *testing.T, host transport.Conn, device io.ReadWriteCloser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, err := host.Read(ctx, make([]byte, 10)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("read of nothing: %d, %v", n, err)
	}
	go func() { _, _ = device.Write([]byte("late")) }() // what arrives is checked
	if got := readN(within(t), t, host, 4); string(got) != "late" {
		t.Errorf("got %q", got)
	}
}

func smallBuffer(t *testing.T, host transport.Conn, device io.ReadWriteCloser) {
	t.Helper()
	go func() { _, _ = device.Write([]byte("abcdef")) }() // what arrives is checked
	var got []byte
	for len(got) < 6 {
		b := make([]byte, 1)
		n, err := host.Read(within(t), b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "abcdef" {
		t.Errorf("got %q", got)
	}
}

func closeInterruptsRead(t *testing.T, host transport.Conn, _ io.ReadWriteCloser) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := host.Read(context.Background(), make([]byte, 1))
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it block
	if err := host.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrGone) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	case <-time.After(patience):
		t.Error("the read still waits")
	}
}

func stuckWrite(t *testing.T, host transport.Conn, _ io.ReadWriteCloser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var err error
	for range 10_000 { // fill what lies between; sockets hold megabytes
		if _, err = host.Write(ctx, make([]byte, 4096)); err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write: got %v, want the context's error", err)
	}
	start := time.Now()
	if err := host.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("close took %v", d)
	}
}

func gone(t *testing.T, host transport.Conn, device io.ReadWriteCloser) {
	t.Helper()
	if err := device.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Read(within(t), make([]byte, 1)); !errors.Is(err, transport.ErrGone) || errors.Is(err, transport.ErrClosed) {
		t.Errorf("read: got %v, want ErrGone", err)
	}
	if _, err := host.Read(within(t), make([]byte, 1)); !errors.Is(err, transport.ErrGone) {
		t.Errorf("second read: got %v, want ErrGone", err)
	}
}

func afterClose(t *testing.T, host transport.Conn, _ io.ReadWriteCloser) {
	t.Helper()
	for range 2 {
		if err := host.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := host.Read(within(t), make([]byte, 1)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("read: got %v", err)
	}
	if _, err := host.Write(within(t), []byte("x")); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("write: got %v", err)
	}
	if host.String() == "" {
		t.Error("a connection has a name")
	}
}
