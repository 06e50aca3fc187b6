package transport_test

import (
	"io"
	"net"
	"testing"

	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
)

func TestStreamInMemory(t *testing.T) {
	drivertest.RunConn(t, func(*testing.T) (transport.Conn, io.ReadWriteCloser) {
		host, device := net.Pipe()
		return transport.NewStream("pipe", host), device
	})
}
