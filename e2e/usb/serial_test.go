package usb_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

var newland = usbip.Identity{Vendor: 0x1eab, Product: 0x1a06, Release: 0x0100, Maker: "Newland", Model: "FM430", Serial: "S1"}

// openSerial opens the tty of a plugged CDC-ACM device as soon as it is there.
func openSerial(t *testing.T, p *usbip.Plugged, line serial.Line) (c transport.Conn) {
	t.Helper()
	tty := "/dev/" + filepath.Base(find(t, p.Sys+"/*:1.0/tty/tty*"))
	eventually(t, "open "+tty, func() (err error) {
		c, err = serial.Open(t.Context(), tty, line)
		return err
	})
	t.Cleanup(func() { _ = c.Close() }) // tests close it too
	return c
}

func testSerial(t *testing.T) {
	t.Run("suite", func(t *testing.T) {
		drivertest.RunConn(t, func(t *testing.T) (transport.Conn, io.ReadWriteCloser) {
			t.Helper()
			w := newWire()
			p := plug(t, &usbip.Serial{Identity: newland, Model: w})
			c := openSerial(t, p, serial.Line{Baud: 115200})
			return c, <-w.line
		})
	})
	t.Run("scanner's suite", func(t *testing.T) {
		drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
			t.Helper()
			model := device.NewScanner(device.ScannerOptions{})
			p := plug(t, &usbip.Serial{Identity: newland, Model: model})
			tty := find(t, "/dev/"+filepath.Base(find(t, p.Sys+"/*:1.0/tty/tty*")))
			s := scannerOn(t, "serial-cr", func(ctx context.Context) (transport.Conn, error) {
				return serial.Open(ctx, tty, serial.Line{Baud: 9600})
			})
			return s, func(code string) {
				if err := model.Scan(code, ""); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("the line is set as it was asked for", func(t *testing.T) {
		d := &usbip.Serial{Identity: newland, Model: newWire()}
		p := plug(t, d)
		c := openSerial(t, p, serial.Line{Baud: 9600, Bits: 7, Parity: "even", Stop: 2})
		if diff := cmp.Diff(usbip.LineCoding{Baud: 9600, Stop: 2, Parity: 2, Bits: 7}, d.Coding()); diff != "" {
			t.Error(diff)
		}
		if dtr, rts := d.Lines(); !dtr || !rts {
			t.Errorf("open: DTR %v, RTS %v", dtr, rts)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "DTR falls with close", func() error {
			if dtr, _ := d.Lines(); dtr {
				return errors.New("it is up")
			}
			return nil
		})
	})
}
