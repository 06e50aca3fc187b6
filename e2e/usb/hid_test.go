package usb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/evdev"
	"dcpos/drivers/transport/hid"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

var (
	honeywell = usbip.Identity{Vendor: 0x0c2e, Product: 0x0b87, Release: 0x0110, Maker: "Honeywell Imaging & Mobility", Model: "1450g", Serial: "H1"}
	typing    = usbip.Identity{Vendor: 0x05e0, Product: 0x1200, Release: 0x0204, Maker: "Symbol Technologies, Inc", Model: "Symbol Bar Code Scanner", Serial: "K1"}
)

// scannerOn makes the driver of a profile on whatever dial opens.
func scannerOn(t *testing.T, profile string, dial transport.Dial) drivers.Scanner {
	t.Helper()
	p, err := profiles.FindScanner(profile)
	if err != nil {
		t.Fatal(err)
	}
	s := all.Scanners()[p.Driver](p, dial, profile)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func enable(t *testing.T, d drivers.Device) {
	t.Helper()
	for _, step := range []func(context.Context) error{d.Open, d.Claim, d.Enable} {
		if err := step(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
}

// wantScan takes the next code.
func wantScan(t *testing.T, s drivers.Scanner, want string) {
	t.Helper()
	select {
	case e := <-s.Events():
		if e.Err != nil || e.Data.Text() != want {
			t.Errorf("got %q, %v; want %q", e.Data.Text(), e.Err, want)
		}
	case <-time.After(patience):
		t.Fatalf("%q did not come", want)
	}
}

// wantGone waits for the event that says that the scanner is gone.
func wantGone(t *testing.T, s drivers.Scanner) {
	t.Helper()
	select {
	case e := <-s.Events():
		if !errors.Is(e.Err, drivers.ErrOffline) {
			t.Errorf("got %q, %v; want ErrOffline", e.Data.Text(), e.Err)
		}
	case <-time.After(patience):
		t.Fatal("nobody says that the scanner is gone")
	}
}

// plugHIDPOS plugs a HID-POS scanner in and makes its driver.
func plugHIDPOS(t *testing.T, profile string, o device.HIDScannerOptions) (drivers.Scanner, *device.HIDScanner, *usbip.Plugged) {
	t.Helper()
	model := device.NewHIDScanner(o)
	p := plug(t, usbip.HID{Identity: honeywell, Model: model})
	node := find(t, "/dev/"+filepath.Base(find(t, p.Sys+"/*:1.0/*/hidraw/hidraw*"))) // it comes after its folder
	return scannerOn(t, profile, func(ctx context.Context) (transport.Conn, error) {
		c, err := hid.Open(ctx, hid.Match{Path: node})
		if err != nil {
			return nil, err
		}
		return c, nil
	}), model, p
}

func testHIDPOS(t *testing.T) {
	t.Run("suite", func(t *testing.T) {
		drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
			t.Helper()
			s, model, _ := plugHIDPOS(t, "hidpos", device.HIDScannerOptions{})
			return s, func(code string) {
				if err := model.Scan(code, "]Q1"); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("a feature report wakes the scanner, and it is gone when it is pulled out", func(t *testing.T) {
		s, model, p := plugHIDPOS(t, "honeywell-hidpos", device.HIDScannerOptions{NeedsFeature: true})
		enable(t, s)
		if f := model.Features(); len(f) == 0 {
			t.Error("no feature report came")
		}
		if err := model.Scan("6901028075862", "]E0"); err != nil {
			t.Fatal(err)
		}
		wantScan(t, s, "6901028075862")
		if err := p.Unplug(); err != nil {
			t.Error(err)
		}
		wantGone(t, s)
	})
}

// plugKeyboard plugs a typing scanner in; event is its node.
func plugKeyboard(t *testing.T) (s drivers.Scanner, model *device.KeyboardScanner, p *usbip.Plugged, event string) {
	t.Helper()
	model = device.NewKeyboardScanner(device.KeyboardScannerOptions{})
	p = plug(t, usbip.HID{Identity: typing, Model: model, Keyboard: true, Packet: 8})
	event = find(t, "/dev/input/"+filepath.Base(find(t, p.Sys+"/*:1.0/*/input/input*/event*"))) // likewise
	return scannerOn(t, "keyboard", func(ctx context.Context) (transport.Conn, error) {
		return evdev.Open(ctx, evdev.Match{Path: event, Named: true})
	}), model, p, event
}

func testKeyboard(t *testing.T) {
	t.Run("suite", func(t *testing.T) {
		drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
			t.Helper()
			s, model, _, _ := plugKeyboard(t)
			return s, func(code string) {
				if err := model.Scan(code, "]Q1"); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("what is grabbed is seen by nobody else", func(t *testing.T) {
		s, model, p, event := plugKeyboard(t)
		browser, err := syscall.Open(event, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Close(browser) }() // only read from
		seen := func() int {
			n, err := syscall.Read(browser, make([]byte, 100*24))
			if errors.Is(err, syscall.EAGAIN) {
				return 0
			}
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		scan := func(code string) {
			t.Helper()
			if err := model.Scan(code, "]Q1"); err != nil {
				t.Fatal(err)
			}
		}
		scan("1")
		eventually(t, "without the grab the browser sees keys", func() error {
			if seen() == 0 {
				return errors.New("none came")
			}
			return nil
		})
		enable(t, s)
		time.Sleep(100 * time.Millisecond) // what was typed before has come
		seen()
		scan("https://example.com/Ab1")
		wantScan(t, s, "https://example.com/Ab1")
		if n := seen(); n != 0 {
			t.Errorf("%d bytes of key events leaked", n)
		}
		if err := p.Unplug(); err != nil {
			t.Error(err)
		}
		wantGone(t, s)
		if _, err := os.Stat(event); err == nil {
			eventually(t, "the node goes", func() error {
				if _, err := os.Stat(event); err == nil {
					return errors.New("still there")
				}
				return nil
			})
		}
	})
}
