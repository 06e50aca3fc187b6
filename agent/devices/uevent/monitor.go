package uevent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The multicast groups of NETLINK_KOBJECT_UEVENT.
const (
	groupKernel = 1
	groupUdev   = 2
)

// receiveBuffer holds some thousand events: plugging in a hub with everything on it
// makes a few hundred.
const receiveBuffer = 1 << 20

// ErrOverrun is returned by Next when events were lost: look at everything. The monitor
// goes on.
var ErrOverrun = errors.New("device events were lost")

// Monitor is an open ear.
type Monitor struct{ socket *os.File }

// Listen opens the socket. It needs no privilege.
func Listen() (*Monitor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to device events: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // the default does, too
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupKernel | groupUdev}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen to device events: %w", err), unix.Close(fd))
	}
	return &Monitor{socket: os.NewFile(uintptr(fd), "uevent")}, nil //nolint:gosec // a descriptor is not negative
}

// Next waits for an event of the kernel, or of a udev that runs as root; others are
// dropped. Errors: ErrOverrun, the context's, os.ErrClosed.
func (m *Monitor) Next(ctx context.Context) (Event, error) {
	stop := context.AfterFunc(ctx, func() { _ = m.socket.Close() }) // ends the wait below
	defer stop()
	raw, err := m.socket.SyscallConn()
	if err != nil {
		return Event{}, fmt.Errorf("next device event: %w", err)
	}
	b, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		var n, c int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, c, _, from, failed = unix.Recvmsg(int(fd), b, control, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return Event{}, ctx.Err()
		case err != nil: // the file is closed: a raw read fails in no other way
			return Event{}, fmt.Errorf("next device event: %w: %w", os.ErrClosed, err)
		case errors.Is(failed, unix.EINTR):
			continue
		case errors.Is(failed, unix.ENOBUFS):
			return Event{}, ErrOverrun
		case failed != nil:
			return Event{}, fmt.Errorf("next device event: %w", failed)
		case !trusted(from, control[:c]):
			continue
		}
		if e, err := Parse(b[:n]); err == nil {
			return e, nil
		}
	}
}

// trusted is true for the kernel itself (port 0), and for root in udev's group.
func trusted(from unix.Sockaddr, control []byte) bool {
	a, ok := from.(*unix.SockaddrNetlink)
	if !ok {
		return false
	}
	if a.Groups != groupUdev {
		return a.Pid == 0
	}
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return false
	}
	who, err := syscall.ParseUnixCredentials(&messages[0])
	return err == nil && who.Uid == 0
}

// Close ends a waiting Next.
func (m *Monitor) Close() error { return m.socket.Close() }
