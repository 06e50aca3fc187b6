package all_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/pos"
)

func TestReaderOnARealLine(t *testing.T) {
	model := device.NewPN532(device.PN532Options{Asleep: true})
	bench, err := device.Start(context.Background(), model)
	if err != nil {
		t.Fatal(err)
	}
	cfg := drivers.DeviceConfig{Name: "nfc", Profile: "pn532-uart", Transport: onTTY(bench.Path)}
	r, err := all.OpenNFC(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	model.Tap(device.NewEchoCard([]byte("\xA0\x00\x00\x03\x33\x01\x01"), device.CardOptions{}))
	c, err := r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), bench.Unplug(), r.Close()); err != nil {
		t.Error(err)
	}
	for profile, transport := range map[string]drivers.TransportConfig{"pn532-uart": {Kind: drivers.TransportPCSC}, "nope": onTTY(bench.Path), "": {}} {
		_, err := all.OpenNFC(t.Context(), drivers.DeviceConfig{Profile: profile, Transport: transport})
		if !errors.Is(err, drivers.ErrIllegal) && !errors.Is(err, drivers.ErrNoService) {
			t.Errorf("%q: %v", profile, err)
		}
	}
	if _, err := all.OpenNFC(t.Context(), cfg); !errors.Is(err, drivers.ErrNoHardware) {
		t.Errorf("unplugged: %v", err)
	}
}

// TestSuitesOnARealLine runs the printer driver on ttys of the kernel; the suites of
// scanners, displays and the PN532 run there beside their drivers.
func TestSuitesOnARealLine(t *testing.T) {
	glyphs, err := font()
	if err != nil {
		t.Fatal(err)
	}
	line := func(t *testing.T, d device.Served) drivers.TransportConfig {
		t.Helper()
		bench, err := device.Start(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bench.Unplug() }) // what it says then is not of this test
		return onTTY(bench.Path)
	}
	for _, name := range []string{"epson-tm-t70ii-ch", "escpos-80mm-gb18030"} {
		t.Run(name, func(t *testing.T) {
			drivertest.RunPrinter(t, func(t *testing.T) drivers.POSPrinter {
				t.Helper()
				p, err := profiles.FindPrinter(name)
				if err != nil {
					t.Fatal(err)
				}
				model, err := device.NewPrinter(device.PrinterOptions{Font: glyphs, StartsWithoutChinese: true})
				if err != nil {
					t.Fatal(err)
				}
				dial := all.Dial(line(t, model), p.Serial, p.Match, usb.Want{})
				return closing(t, all.Printers()[p.Driver](p, dial, "", ""))
			})
		})
	}
}

func onTTY(path string) drivers.TransportConfig {
	return drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	absent := onTTY(filepath.Join(t.TempDir(), "ttyUSB0"))
	for _, tc := range []struct {
		name string
		cfg  drivers.DeviceConfig
		want drivers.ErrorCode
	}{
		{"nothing", drivers.DeviceConfig{}, drivers.ErrIllegal},
		{"no such profile", drivers.DeviceConfig{Profile: "nope", Transport: absent}, drivers.ErrNoService},
		{"no such port", drivers.DeviceConfig{Profile: "PROFILE", Transport: absent}, drivers.ErrNoHardware},
		{"no such usb device", drivers.DeviceConfig{Profile: "PROFILE", Transport: drivers.TransportConfig{
			Kind: drivers.TransportUSB, VID: "fffe", PID: "fffe",
		}}, drivers.ErrNoHardware},
		{"nobody on the network", drivers.DeviceConfig{Profile: "PROFILE", Transport: drivers.TransportConfig{
			Kind: drivers.TransportTCP, Address: "127.0.0.1:1",
		}}, drivers.ErrNoHardware},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check := func(what string, device any, err error) {
				t.Helper()
				if !errors.Is(err, tc.want) {
					t.Errorf("%s: got %v, want %v", what, err, tc.want)
				}
				if e, ok := errors.AsType[*pos.Error](err); !ok || e.Hint.IsZero() {
					t.Errorf("%s: %v does not say what to do", what, err)
				}
				if device != nil {
					t.Errorf("%s: a device comes with the error", what)
				}
			}
			cfg := tc.cfg
			if cfg.Profile == "PROFILE" {
				cfg.Profile = "epson-tm-t88"
			}
			p, err := all.OpenPrinter(t.Context(), cfg)
			check("printer", p, err)
			if tc.cfg.Profile == "PROFILE" {
				cfg.Profile = "serial-cr"
			}
			s, err := all.OpenScanner(t.Context(), cfg)
			check("scanner", s, err)
			if tc.cfg.Profile == "PROFILE" {
				cfg.Profile = "cd5220"
			}
			d, err := all.OpenLineDisplay(t.Context(), cfg)
			check("display", d, err)
		})
	}
}

func TestScannerOnARealLine(t *testing.T) {
	model := device.NewScanner(device.ScannerOptions{AIM: true, Suffix: "\r\n"})
	bench, err := device.Start(context.Background(), model)
	if err != nil {
		t.Fatal(err)
	}
	s, err := all.OpenScanner(t.Context(), drivers.DeviceConfig{Name: "scanner", Profile: "honeywell-serial", Transport: onTTY(bench.Path)})
	if err != nil {
		t.Fatal(err)
	}
	if err := model.Scan("6901028075862", "]E0"); err != nil {
		t.Fatal(err)
	}
	if err := model.ScanSlowly(t.Context(), "0100320229316139647", "]Q1", 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"]E0 6901028075862", "]Q1 0100320229316139647"} {
		if e := <-s.Events(); e.Err != nil || e.Data.Symbology+" "+e.Data.Text() != want {
			t.Errorf("got %+v, want %s", e, want)
		}
	}
	if err := bench.Unplug(); err != nil {
		t.Error(err)
	}
	e, ok := <-s.Events()
	if !ok || !errors.Is(e.Err, drivers.ErrOffline) {
		t.Errorf("unplugged: got %+v", e)
	}
	if _, ok := <-s.Events(); ok {
		t.Error("after the last event there is another")
	}
	if h, err := s.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || h.OK {
		t.Errorf("health %+v, %v", h, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Neither HID nor input devices are found by their profile when none is plugged in, and
// a profile that names no device takes none.
func TestScannersThatAreNotPluggedIn(t *testing.T) {
	for _, tc := range []struct {
		profile string
		kind    drivers.TransportKind
		path    string
	}{
		{"honeywell-hidpos", drivers.TransportHID, ""},
		{"hidpos", drivers.TransportHID, filepath.Join(t.TempDir(), "hidraw0")},
		{"zebra-keyboard", drivers.TransportEvdev, ""},
		{"keyboard", drivers.TransportEvdev, ""},
		{"keyboard", drivers.TransportEvdev, filepath.Join(t.TempDir(), "event0")},
	} {
		s, err := all.OpenScanner(t.Context(), drivers.DeviceConfig{
			Profile: tc.profile, Transport: drivers.TransportConfig{Kind: tc.kind, Path: tc.path},
		})
		if !errors.Is(err, drivers.ErrNoHardware) || s != nil {
			t.Errorf("%s by %s: got %v", tc.profile, tc.kind, err)
		}
		if e, ok := errors.AsType[*pos.Error](err); !ok || e.Hint.IsZero() {
			t.Errorf("%s: %v does not say what to do", tc.profile, err)
		}
	}
}
