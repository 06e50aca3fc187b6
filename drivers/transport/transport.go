// Package transport is how bytes reach a device and come back: one small
// contract, Conn, for serial lines, USB printer-class devices, sockets and the
// scripted connections of package transporttest.
//
// To add a transport, make a folder beside serial and usb with one function that
// opens a Conn, pass it the checks of drivertest.RunConn, and name it in package
// all. A port that only knows blocking reads and writes is adapted by NewStream.
package transport

import (
	"context"
	"errors"
	"fmt"
)

// ErrClosed is returned by a Conn that its owner has closed.
var ErrClosed = errors.New("transport closed")

// ErrGone is returned when the device went away (unplugged, switched off, peer
// hung up). It is final: only opening again helps.
var ErrGone = errors.New("device is gone")

// ErrNotFound is returned by a Dial when there is no such device to open.
var ErrNotFound = errors.New("no such device")

// ErrInUse is returned by a Dial when another program holds the device.
var ErrInUse = errors.New("device is in use")

// ErrAccess is returned by a Dial when this program may not open the device.
var ErrAccess = errors.New("no permission for the device")

// Conn is one open connection. A Conn has no messages, only bytes: what is read
// may be any part of what the device sent.
//
// One goroutine may read while another writes. Close may be called from anywhere,
// at any time, more than once, and interrupts both.
type Conn interface {
	// Read waits until at least one byte is there and returns it and what came with
	// it. When ctx ends first it returns 0 and an error that is ctx.Err(); no byte is
	// lost by that, the next Read gets it. Otherwise errors are ErrClosed and ErrGone.
	Read(ctx context.Context, p []byte) (int, error)

	// Write returns when the transport has taken all of p (which does not mean that
	// the device has acted on it). When ctx ends first it returns an error that is
	// ctx.Err(), and how much was taken is not known: the caller must treat what it
	// wrote as neither sent nor unsent.
	Write(ctx context.Context, p []byte) (int, error)

	// Close ends the connection.
	Close() error

	// String names the port for logs: "serial:/dev/ttyUSB0@115200".
	String() string
}

// Dial opens a connection. Drivers take a Dial instead of a Conn, because a
// claim opens the port and a release closes it. Errors are ErrNotFound, ErrInUse,
// ErrAccess or the system's own.
type Dial func(ctx context.Context) (Conn, error)

// Function is a Conn of a USB interface that has more than a pipe each way.
type Function interface {
	Conn

	// Interrupt waits for one packet of the interrupt endpoint; what nobody waits for is
	// lost. Errors as of Read; errors.ErrUnsupported when there is no such endpoint.
	Interrupt(ctx context.Context) ([]byte, error)

	// Class returns the interface's class-specific descriptors as the device tells them
	// (USB 2.0, 9.6.5: what stands between the interface and its first endpoint).
	Class(ctx context.Context) ([]byte, error)
}

// Resetter is a Conn whose device can be reset through its port.
type Resetter interface {
	Conn

	// Reset resets the device and closes the Conn, whatever comes of it.
	Reset(ctx context.Context) error
}

// Reset opens a port, resets the device behind it and closes the port. The port must not
// be open already. errors.ErrUnsupported: the port knows no reset; else the errors of dial
// and the system's.
func Reset(ctx context.Context, dial Dial) error {
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	r, ok := conn.(Resetter)
	if !ok {
		return errors.Join(fmt.Errorf("reset %s: %w", conn, errors.ErrUnsupported), conn.Close())
	}
	return r.Reset(ctx)
}
