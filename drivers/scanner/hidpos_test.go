package scanner_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/scanner"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/hid"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// hidraw is a HID device in memory: whole reports, as /dev/hidrawN gives them.
type hidraw struct {
	model  device.HIDModel
	gone   chan struct{} // closed by an unplug
	closed chan struct{}
}

func newHidraw(m device.HIDModel) *hidraw {
	return &hidraw{model: m, gone: make(chan struct{}), closed: make(chan struct{})}
}

func (h *hidraw) Read(b []byte) (int, error) {
	select {
	case r := <-h.model.Reports():
		return copy(b, r), nil
	case <-h.gone:
		return 0, unix.EIO
	case <-h.closed:
		return 0, os.ErrClosed
	}
}

func (h *hidraw) Write(b []byte) (int, error) {
	h.model.Output(b)
	return len(b), nil
}

func (h *hidraw) SetFeature(report []byte) error {
	select {
	case <-h.gone:
		return unix.EIO
	default:
		h.model.SetFeature(report[0], report[1:])
		return nil
	}
}

func (h *hidraw) Close() error {
	close(h.closed)
	return nil
}

// dialHID plugs a model in; each dial is a new connection.
func dialHID(t *testing.T, m device.HIDModel) (transport.Dial, func() *hidraw) {
	t.Helper()
	d, err := hid.ParseDescriptor(m.ReportDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	var last *hidraw
	return func(context.Context) (transport.Conn, error) {
		last = newHidraw(m)
		return hid.NewConn("hid:memory", d, last), nil
	}, func() *hidraw { return last }
}

func hidScanner(t *testing.T, p profiles.Scanner, o device.HIDScannerOptions) (*scanner.HIDPOS, *device.HIDScanner, func() *hidraw) {
	t.Helper()
	model := device.NewHIDScanner(o)
	dial, port := dialHID(t, model)
	s := scanner.NewHIDPOS(p, dial, scanner.Options{})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, model, port
}

func TestHIDPOSSuite(t *testing.T) {
	for _, name := range []string{"hidpos", "honeywell-hidpos"} {
		t.Run(name, func(t *testing.T) {
			drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
				t.Helper()
				s, model, _ := hidScanner(t, profile(t, name), device.HIDScannerOptions{NeedsFeature: name == "honeywell-hidpos"})
				return s, func(code string) {
					if err := model.Scan(code, "]Q1"); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestHIDPOSCodes(t *testing.T) {
	long := strings.Repeat("0123456789", 20) + "王府井"
	for _, tc := range []struct {
		name    string
		profile string
		model   device.HIDScannerOptions
		code    string
		aim     string
		want    string
	}{
		{"standard", "hidpos", device.HIDScannerOptions{}, "6901028075862", "]E0", "]E0 6901028075862"},
		{"several reports, a character across two of them", "hidpos", device.HIDScannerOptions{}, long, "]Q1", "]Q1 " + long},
		{"one later", "hidpos", device.HIDScannerOptions{Shifted: true}, "0100320229316139647", "]Q1", "]Q1 0100320229316139647"},
		{"suffix in the data", "hidpos", device.HIDScannerOptions{Suffix: "\r"}, "123", "]C0", "]C0 123"},
		{"Newland", "newland-hidpos", device.HIDScannerOptions{Reserved: true}, "123", "]E0", " 123"},
		{"Newland, AIM prefix switched on", "newland-hidpos", device.HIDScannerOptions{Reserved: true}, "]E0123", "]E0", "]E0 123"},
		{
			"the maker's letter instead of an identifier", "honeywell-hidpos",
			device.HIDScannerOptions{NeedsFeature: true, NoSymbology: true, VendorSymbology: true},
			"123", "]C1", "]C1 123",
		},
		{"bytes that no code has", "hidpos", device.HIDScannerOptions{}, "1\x002", "]Q1", "EPTR_BADFORMAT"},
		{"too long", "hidpos", device.HIDScannerOptions{}, strings.Repeat("9", 5000), "]Q1", "EPTR_TOOBIG"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, model, _ := hidScanner(t, profile(t, tc.profile), tc.model)
			enabled(t, s.Scanner)
			if err := model.Scan(tc.code, tc.aim); err != nil {
				t.Fatal(err)
			}
			e := <-s.Events()
			got := e.Data.Symbology + " " + e.Data.Text()
			if code, bad := errors.AsType[drivers.ErrorCode](e.Err); bad {
				got = code.Name()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHIDPOSHalfACodeIsNotJoinedToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, model, _ := hidScanner(t, profile(t, "hidpos"), device.HIDScannerOptions{})
		enabled(t, s.Scanner)
		if err := model.Raw(model.ScanReports(strings.Repeat("9", 100), "]Q1")[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if err := model.Scan("123", "]E0"); err != nil {
			t.Fatal(err)
		}
		if e := <-s.Events(); e.Err != nil || e.Data.Text() != "123" || e.Data.Symbology != "]E0" {
			t.Errorf("got %+v", e)
		}
		if n := s.Statistics()[drivers.FailedReadCount]; n != 1 {
			t.Errorf("%d failed reads", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestHIDPOSBeepsAndTrigger(t *testing.T) {
	s, model, _ := hidScanner(t, profile(t, "honeywell-hidpos"), device.HIDScannerOptions{NeedsFeature: true})
	if err := s.Sound(t.Context(), drivers.ToneGood); !errors.Is(err, drivers.ErrClosed) {
		t.Errorf("before open: got %v", err)
	}
	enabled(t, s.Scanner)
	for _, tone := range []drivers.Tone{drivers.ToneGood, drivers.ToneBad, drivers.ToneAttention} {
		if err := s.Sound(t.Context(), tone); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Trigger(t.Context(), true), s.Trigger(t.Context(), false)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sound(t.Context(), "melody"); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("a tone that is none: got %v", err)
	}
	want := [][]byte{{4, 0x40}, {4, 0x20}, {4, 0x20}, {4, 0x04}, {4, 0}}
	if got := model.Outputs(); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got % x, want % x", got, want)
	}
	if got := model.Features(); !bytes.Equal(got, []byte{254, 1}) {
		t.Errorf("feature reports % x", got)
	}
	plain, _, _ := hidScanner(t, profile(t, "hidpos"), device.HIDScannerOptions{})
	enabled(t, plain.Scanner)
	if err := plain.Sound(t.Context(), drivers.ToneGood); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("no beeper in the profile: got %v", err)
	}
}

func TestHIDPOSUnplugged(t *testing.T) {
	s, _, port := hidScanner(t, profile(t, "honeywell-hidpos"), device.HIDScannerOptions{})
	enabled(t, s.Scanner)
	close(port().gone)
	if e := <-s.Events(); !errors.Is(e.Err, drivers.ErrOffline) {
		t.Errorf("got %+v", e)
	}
	if _, open := <-s.Events(); open {
		t.Error("after the last event there is another")
	}
	if err := s.Sound(t.Context(), drivers.ToneGood); err == nil {
		t.Log("the write was taken before the kernel knew") // hidraw says so on the next read
	}
	// A scanner that is gone before it is enabled is not enabled.
	again, _, port := hidScanner(t, profile(t, "honeywell-hidpos"), device.HIDScannerOptions{})
	if err := errors.Join(again.Open(t.Context()), again.Claim(t.Context())); err != nil {
		t.Fatal(err)
	}
	close(port().gone)
	if err := again.Enable(t.Context()); !errors.Is(err, drivers.ErrOffline) {
		t.Errorf("enable: got %v", err)
	}
}

func TestHIDPOSWantsReports(t *testing.T) {
	s := scanner.NewHIDPOS(profile(t, "hidpos"), func(context.Context) (transport.Conn, error) {
		host, _ := device.Pipe()
		return transport.NewStream("a serial line", host), nil
	}, scanner.Options{})
	defer func() { _ = s.Close() }() // it is not what is tested
	if err := errors.Join(s.Open(t.Context()), s.Claim(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := s.Enable(t.Context()); !errors.Is(err, drivers.ErrOffline) {
		t.Errorf("got %v", err)
	}
}

// A thousand times plugged in, scanned with and unplugged: every code comes, and nothing
// is left behind (a bubble fails when a goroutine is).
func TestPluggedInAThousandTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := device.NewHIDScanner(device.HIDScannerOptions{})
		dial, port := dialHID(t, model)
		s := scanner.NewHIDPOS(profile(t, "hidpos"), dial, scanner.Options{})
		for i := range 1000 {
			enabled(t, s.Scanner)
			if err := model.Scan(strconv.Itoa(i), "]Q1"); err != nil {
				t.Fatal(err)
			}
			if e := <-s.Events(); e.Err != nil || e.Data.Text() != strconv.Itoa(i) {
				t.Fatalf("%d: got %+v", i, e)
			}
			close(port().gone)
			if e := <-s.Events(); !errors.Is(e.Err, drivers.ErrOffline) {
				t.Fatalf("%d: got %+v", i, e)
			}
			if err := s.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
