// Package tcp opens raw sockets to devices: printers listen on port 9100.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"dcpos/drivers/transport"
)

// dialLimit is how long a printer in the same building may take to accept.
const dialLimit = 5 * time.Second

// Open connects to host:port. transport.ErrNotFound: nobody listens there.
func Open(ctx context.Context, address string) (transport.Conn, error) {
	d := net.Dialer{Timeout: dialLimit, KeepAlive: 15 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) {
		return nil, fmt.Errorf("connect to %s: %w: %w", address, transport.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return transport.NewStream("tcp:"+address, conn), nil
}
