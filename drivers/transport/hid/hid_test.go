package hid_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/hid"
	"dcpos/lab/device"
)

// socket is a hidraw in memory: a socket that keeps the bounds of reports.
type socket struct {
	*os.File

	feature func([]byte) error
}

func (s socket) SetFeature(report []byte) error {
	if s.feature == nil {
		return syscall.EIO
	}
	return s.feature(report)
}

func sockets(t *testing.T) (host, dev *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "device")
}

func TestConn(t *testing.T) {
	drivertest.RunConn(t, func(t *testing.T) (transport.Conn, io.ReadWriteCloser) {
		t.Helper()
		host, dev := sockets(t)
		return hid.NewConn("hid:memory", hid.Descriptor{}, socket{File: host}), dev
	})
}

func TestReportsKeepTheirBounds(t *testing.T) {
	host, dev := sockets(t)
	c := hid.NewConn("hid:memory", hid.Descriptor{}, socket{File: host})
	defer func() { _, _ = c.Close(), dev.Close() }()
	reports := [][]byte{bytes.Repeat([]byte{2}, 64), {2, 1}, bytes.Repeat([]byte{4}, 9)}
	for _, r := range reports {
		if _, err := dev.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, hid.MaxReport)
	for _, want := range reports {
		n, err := c.Read(t.Context(), buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("got % x, %v; want % x", buf[:n], err, want)
		}
	}
}

func TestFeatureReports(t *testing.T) {
	host, dev := sockets(t)
	came, answer := make(chan []byte, 2), make(chan struct{})
	c := hid.NewConn("hid:memory", hid.Descriptor{}, socket{File: host, feature: func(r []byte) error {
		came <- r
		<-answer
		return nil
	}})
	defer func() { _, _ = c.Close(), dev.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // the report has to go within it
	defer cancel()
	if err := c.SetFeature(ctx, []byte{0xfe, 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a scanner that does not answer: got %v", err)
	}
	close(answer)
	if err := c.SetFeature(t.Context(), []byte{0xfe, 1}); err != nil {
		t.Error(err)
	}
	if first, second := <-came, <-came; !bytes.Equal(first, []byte{0xfe, 1}) || !bytes.Equal(second, first) {
		t.Errorf("got % x and % x", first, second)
	}
	broken := hid.NewConn("hid:memory", hid.Descriptor{}, socket{File: dev})
	if err := broken.SetFeature(t.Context(), []byte{0xfe, 1}); !errors.Is(err, transport.ErrGone) {
		t.Errorf("got %v", err)
	}
}

// tree makes a /sys and a /dev with one hidraw.
func tree(t *testing.T, name, id, serial string, descriptor []byte, at string) hid.System {
	t.Helper()
	s := hid.System{Sys: filepath.Join(at, "sys"), Dev: filepath.Join(at, "dev")}
	folder := filepath.Join(s.Sys, "class/hidraw", name, "device")
	write := func(path string, data []byte) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(folder, "uevent"), []byte("DRIVER=hid-generic\nHID_ID="+id+"\nHID_NAME=Some Scanner\nHID_PHYS=usb-1/input0\nHID_UNIQ="+serial+"\n"))
	write(filepath.Join(folder, "report_descriptor"), descriptor)
	write(filepath.Join(s.Dev, name), nil)
	return s
}

// The kernel's answers cannot be had from a plain file, so that a device that was chosen
// shows as ENOTTY, and one that was passed over as ErrNotFound.
func TestOpenChooses(t *testing.T) {
	at := t.TempDir()
	scanner := device.NewHIDScanner(device.HIDScannerOptions{}).ReportDescriptor()
	typist := device.NewKeyboardScanner(device.KeyboardScannerOptions{}).ReportDescriptor()
	tree(t, "hidraw0", "0003:00000C2E:00000B87", "A1", typist, at)
	tree(t, "hidraw1", "0003:00000C2E:00000B87", "A1", scanner, at)
	s := tree(t, "hidraw2", "0003:0000FFFF:00000001", "", []byte{0xa1}, at)
	const top = 0x8c0002
	for _, tc := range []struct {
		name  string
		match hid.Match
		want  error
	}{
		{"by vendor and product", hid.Match{IDs: []hid.ID{{VID: "0c2e", PID: "0b87"}}, Top: top}, syscall.ENOTTY},
		{"any of the vendor's", hid.Match{IDs: []hid.ID{{VID: "1eab", PID: "*"}, {VID: "0C2E", PID: "*"}}, Top: top}, syscall.ENOTTY},
		{"by usage alone", hid.Match{Top: top}, syscall.ENOTTY},
		{"by serial number", hid.Match{Serial: "A1", Top: top}, syscall.ENOTTY},
		{"by path", hid.Match{Path: filepath.Join(s.Dev, "hidraw1"), Top: top}, syscall.ENOTTY},
		{"another serial number", hid.Match{Serial: "B2", Top: top}, transport.ErrNotFound},
		{"another product", hid.Match{IDs: []hid.ID{{VID: "0c2e", PID: "1007"}}, Top: top}, transport.ErrNotFound},
		{"the maker's page FF8C is not it", hid.Match{Top: 0xff8c0002}, transport.ErrNotFound},
		{"a broken descriptor is no scanner", hid.Match{IDs: []hid.ID{{VID: "ffff", PID: "0001"}}, Top: top}, transport.ErrNotFound},
		{"no such path", hid.Match{Path: filepath.Join(s.Dev, "hidraw9"), Top: top}, transport.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := s.Open(t.Context(), tc.match); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := (hid.System{Sys: "/nowhere"}).Open(t.Context(), hid.Match{}); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("a kernel without HID: got %v", err)
	}
	held, err := os.Open(filepath.Join(s.Dev, "hidraw1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), hid.Match{Top: top}); !errors.Is(err, transport.ErrInUse) {
		t.Errorf("held by another program: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(ended, hid.Match{Top: top}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}

func TestDescriptor(t *testing.T) {
	d, err := hid.ParseDescriptor(device.NewHIDScanner(device.HIDScannerOptions{}).ReportDescriptor())
	if err != nil {
		t.Fatal(err)
	}
	if !d.Is(0x8c0002) || d.Is(0xff8c0002) || !d.HasIDs() || len(d.Top) != 1 {
		t.Errorf("top collections %x", d.Top)
	}
	if in, out, feature := d.Bytes(hid.Input, 2), d.Bytes(hid.Output, 4), d.Bytes(hid.Feature, 254); in != 63 || out != 1 || feature != 1 {
		t.Errorf("reports of %d, %d and %d bytes", in, out, feature)
	}
	for usage, want := range map[hid.Usage]int{0x01003b: 0, 0x8c00fb: 8, 0x8c00fd: 24, 0x8c00fe: 32, 0x8c00ff: 62 * 8} {
		if f, bit, ok := d.Find(hid.Input, usage); !ok || f.ReportID != 2 || bit != want {
			t.Errorf("usage %06x: bit %d of report %d, %v; want %d", uint32(usage), bit, f.ReportID, ok, want)
		}
	}
	if _, bit, ok := d.Find(hid.Output, 0x8c0086); !ok || bit != 6 {
		t.Errorf("good read beep at bit %d, %v", bit, ok)
	}
	k, err := hid.ParseDescriptor(device.NewKeyboardScanner(device.KeyboardScannerOptions{}).ReportDescriptor())
	if err != nil || !k.Is(0x010006) || k.HasIDs() || k.Bytes(hid.Input, 0) != 8 || k.Bytes(hid.Output, 0) != 1 {
		t.Errorf("keyboard: %+v, %v", k, err)
	}
	if _, bit, ok := k.Find(hid.Input, 0x0700e1); !ok || bit != 1 {
		t.Errorf("left shift at bit %d, %v", bit, ok)
	}
}

func TestBrokenDescriptors(t *testing.T) {
	for name, b := range map[string][]byte{
		"cut off":                      {0x05},
		"cut off in a long item":       {0xfe},
		"collection not closed":        {0xa1, 0x01},
		"closed without being open":    {0xc0},
		"pop without push":             {0xb4},
		"report id zero":               {0x85, 0x00},
		"value of no bits":             {0x75, 0x00},
		"usage maximum alone":          {0x29, 0x01},
		"usages that go down":          {0x19, 0x05, 0x29, 0x01},
		"longer than any report":       {0x75, 0x20, 0x96, 0xff, 0xff, 0x81, 0x02, 0x81, 0x02},
		"longer than the kernel takes": make([]byte, 5000),
		"pushed without end":           bytes.Repeat([]byte{0xa4}, 100),
		"collections without end":      bytes.Repeat([]byte{0xa1, 0x01}, 100),
		"usages without end":           bytes.Repeat([]byte{0x09, 0x01}, 1100),
		"fields without end":           bytes.Repeat([]byte{0x81, 0x02}, 1100),
	} {
		if _, err := hid.ParseDescriptor(b); !errors.Is(err, hid.ErrDescriptor) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzDescriptor(f *testing.F) {
	f.Add(device.NewHIDScanner(device.HIDScannerOptions{}).ReportDescriptor())
	f.Add(device.NewHIDScanner(device.HIDScannerOptions{Reserved: true}).ReportDescriptor())
	f.Add(device.NewKeyboardScanner(device.KeyboardScannerOptions{}).ReportDescriptor())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 160 {
			return // longer ones only take longer
		}
		d, err := hid.ParseDescriptor(b)
		if err != nil {
			if !errors.Is(err, hid.ErrDescriptor) {
				t.Fatal(err)
			}
			return
		}
		for _, field := range d.Fields {
			if field.Bit+field.Size*field.Count > d.Bytes(field.Direction, field.ReportID)*8 {
				t.Fatalf("field %+v lies outside its report", field)
			}
			for _, u := range field.Usages {
				if bit, ok := field.At(u); ok && (bit < field.Bit || bit >= field.Bit+field.Size*field.Count) {
					t.Fatalf("usage %x of %+v at %d", u, field, bit)
				}
			}
		}
	})
}
