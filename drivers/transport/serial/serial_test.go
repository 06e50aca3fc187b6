package serial_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/lab/device"
)

func TestSerialOnPTY(t *testing.T) {
	drivertest.RunConn(t, func(t *testing.T) (transport.Conn, io.ReadWriteCloser) {
		t.Helper()
		line, err := device.NewPTY()
		if err != nil {
			t.Fatal(err)
		}
		c, err := serial.Open(t.Context(), line.Path, serial.Line{Baud: 115200})
		if err != nil {
			t.Fatal(err)
		}
		return c, line
	})
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	if _, err := serial.Open(t.Context(), filepath.Join(t.TempDir(), "ttyUSB0"), serial.Line{}); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("absent: got %v", err)
	}
	if _, err := serial.Open(t.Context(), "/dev/null", serial.Line{Parity: "mark"}); err == nil {
		t.Error("a parity that is not known was taken")
	}
	if _, err := serial.Open(t.Context(), "/dev/null", serial.Line{}); err == nil {
		t.Error("/dev/null is no serial port")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serial.Open(ended, "/dev/null", serial.Line{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}
