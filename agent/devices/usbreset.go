package devices

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// usbdevfsReset is USBDEVFS_RESET, _IO('U', 20) of linux/usbdevice_fs.h.
const usbdevfsReset = 'U'<<8 | 20

// resetUSB has the kernel reset a USB device as if it had been plugged in anew.
func resetUSB(ctx context.Context, node string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd, err := unix.Open(node, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("reset %s: %w", node, err)
	}
	_, err = unix.IoctlRetInt(fd, usbdevfsReset)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("reset %s: %w", node, err)
	}
	return nil
}
