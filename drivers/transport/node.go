package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	// nodeSettle is how long after a plug udev may need to make the device file and to
	// give its group the right to it; measured about 200 ms on a slow machine.
	nodeSettle = 500 * time.Millisecond
	nodeTry    = 25 * time.Millisecond
)

// OpenNode opens a device file such as /dev/hidraw0. When it is just being made (absent,
// or not yet ours to open) it is tried again for half a second. The file is polled by
// the runtime: its Close interrupts a Read, as long as nobody calls its Fd. Errors:
// ErrNotFound, ErrAccess, ErrInUse, ctx.Err() or the system's.
func OpenNode(ctx context.Context, path string, flag int) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeSettle)
	defer cancel()
	tick := time.NewTicker(nodeTry)
	defer tick.Stop()
	for {
		f, err := os.OpenFile(path, flag|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return nil, NodeError(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, fmt.Errorf("open %s: %w", path, ctx.Err())
			}
			return nil, NodeError(err)
		}
	}
}

// NodeError puts the system's error about a device file under one of this package's.
func NodeError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrAccess, err)
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return err
}
