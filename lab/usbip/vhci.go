package usbip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// vhci is the virtual host controller's folder; it is there when vhci-hcd is loaded.
const vhci = "/sys/devices/platform/vhci_hcd.0"

// plugPatience bounds the wait for a free port; pulled ports become free in a moment.
const plugPatience = 10 * time.Second

// ErrNoController is returned by Plug where vhci-hcd is not loaded.
var ErrNoController = errors.New("no virtual host controller: load vhci-hcd")

// Plugged is a device in a port of this machine's kernel.
type Plugged struct {
	// Sys is the device's folder below /sys once the kernel has seen it.
	Sys string

	stop context.CancelFunc
	done chan struct{}
	err  error
}

// Plug puts a device into a free port of the kernel's virtual host controller and
// serves it until Unplug, the end of ctx, or the end of the device itself. It returns
// before the kernel has read the descriptors. ErrNoController; otherwise the system's errors.
func Plug(ctx context.Context, f Function) (*Plugged, error) {
	conn, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("plug in: %w", err)
	}
	port, err := attach(ctx, theirs, f.Describe().speed())
	if err = errors.Join(err, theirs.Close()); err != nil { // the kernel has its own reference
		return nil, errors.Join(fmt.Errorf("plug in: %w", err), conn.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	p := &Plugged{Sys: folder(port), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = Serve(ctx, conn, f)
	}()
	return p, nil
}

// Unplug pulls the device out, whatever is in flight, and returns what went wrong
// while it was served. It may be called more than once.
func (p *Plugged) Unplug() error {
	p.stop()
	<-p.done
	return p.err
}

// pair makes the socket between device and kernel. Our end is polled by the runtime, so
// that Close interrupts a read.
func pair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	near := os.NewFile(uintptr(fds[0]), "usbip") //nolint:gosec // a descriptor is not negative
	theirs = os.NewFile(uintptr(fds[1]), "vhci") //nolint:gosec // a descriptor is not negative
	ours, err = net.FileConn(near)
	if err = errors.Join(err, near.Close()); err != nil { // FileConn has a copy
		return nil, nil, errors.Join(fmt.Errorf("make socket: %w", err), theirs.Close())
	}
	return ours, theirs, nil
}

// attach hands the kernel its end of the socket.
func attach(ctx context.Context, kernel *os.File, speed Speed) (port int, err error) {
	const device = 1 // the number of the device on its bus; nothing depends on it
	ctx, cancel := context.WithTimeout(ctx, plugPatience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		free, err := freePorts()
		if err != nil {
			return 0, err
		}
		for _, port := range free {
			order := fmt.Sprintf("%d %d %d %d", port, kernel.Fd(), device, speed)
			err := os.WriteFile(filepath.Join(vhci, "attach"), []byte(order), 0)
			if err == nil {
				return port, nil
			}
			if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EAGAIN) {
				return 0, fmt.Errorf("attach to port %d: %w", port, err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, errors.New("attach: every port of vhci-hcd is taken")
		}
	}
}

// freePorts reads the controller's table: "hs 0000 004 …" is a free port for speeds
// below SuperSpeed (VDEV_ST_NULL is 4).
func freePorts() (free []int, err error) {
	table, err := os.ReadFile(filepath.Join(vhci, "status"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoController
	}
	if err != nil {
		return nil, err
	}
	for row := range strings.Lines(string(table)) {
		f := strings.Fields(row)
		if len(f) < 3 || f[0] != "hs" || f[2] != "004" {
			continue
		}
		port, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, fmt.Errorf("read %s: port %q", vhci, f[1])
		}
		free = append(free, port)
	}
	return free, nil
}

// folder is where the device of a port shows up: the ports of the USB 2 root hub are
// numbered from 1.
func folder(port int) string {
	hubs, _ := filepath.Glob(filepath.Join(vhci, "usb*", "speed")) // the pattern is right
	for _, h := range hubs {
		if b, err := os.ReadFile(h); err == nil && strings.TrimSpace(string(b)) == "480" {
			hub := filepath.Dir(h)
			bus := strings.TrimPrefix(filepath.Base(hub), "usb")
			return filepath.Join(hub, fmt.Sprintf("%s-%d", bus, port+1))
		}
	}
	return ""
}
