// Package hid reaches HID devices by the kernel's /dev/hidrawN: reports come and go
// whole, feature reports on the side.
//
// It reads the device file itself. The library rafaelmartins.com/p/usbhid was looked at
// and left: its lock calls File.Fd, which makes the file blocking, so that its Close does
// not interrupt a read; a read has no deadline; it looks for devices only directly on a
// USB bus. Here the file is polled by the runtime (Close interrupts), transport.Stream
// gives the deadlines, and an unplugged device is ErrGone (the kernel reports EIO).
//
// Traps that are dealt with here: udev gives the file its group a moment after it
// appeared (transport.OpenNode waits), the kernel lets any number of programs read one
// hidraw (an advisory lock keeps ours apart), one device has several hidraw files (the
// report descriptor chooses), a report may be shorter than its descriptor says.
package hid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"dcpos/drivers/transport"
)

// MaxReport is the largest report that is read at once, with its id; USB full speed
// devices send 64 bytes.
const MaxReport = 4096

// ID is a vendor and a product in hex, "0c2e", "0b87"; PID "*" is any of the vendor's.
type ID struct{ VID, PID string }

// Match chooses a device.
type Match struct {
	Path   string // the device file; empty: the first that the rest fits
	IDs    []ID   // any of these; none: any
	Serial string // its serial number; empty: any
	Top    Usage  // the usage of a top collection it must have; 0: any
}

// Port is what a Conn is made of: one report a Read, one report a Write.
type Port interface {
	io.ReadWriteCloser
	// SetFeature sends a feature report, its id first.
	SetFeature(report []byte) error
}

// Conn is a connection to a HID device. Beyond transport.Conn it promises that a Read
// into MaxReport bytes is one whole report, with its id where there are ids, and that a
// Write is one output report.
type Conn struct {
	*transport.Stream

	port       Port
	descriptor Descriptor
}

var _ transport.Conn = (*Conn)(nil)

// NewConn makes a Conn of a port; descriptor is what the device says of its reports.
func NewConn(name string, descriptor Descriptor, port Port) *Conn {
	return &Conn{Stream: transport.NewStream(name, port), port: port, descriptor: descriptor}
}

// Descriptor is what the device says of its reports.
func (c *Conn) Descriptor() Descriptor { return c.descriptor }

// SetFeature sends a feature report; the first byte is its id. The kernel gives a device
// that does not answer at most five seconds; when ctx ends sooner the report may still
// arrive. Errors: ctx.Err(), transport.ErrGone.
func (c *Conn) SetFeature(ctx context.Context, report []byte) error {
	data := append([]byte(nil), report...)
	done := make(chan error, 1)
	go func() { done <- c.port.SetFeature(data) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("set feature of %s: %w: %w", c, transport.ErrGone, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("set feature of %s: %w", c, ctx.Err())
	}
}

// System is where the kernel shows its devices; the zero value is the real one.
type System struct {
	Sys string // "/sys"
	Dev string // "/dev"
}

// Open takes the first device that matches and that no other program of ours holds.
// Errors: transport.ErrNotFound, ErrInUse, ErrAccess, or the system's.
func Open(ctx context.Context, m Match) (*Conn, error) {
	return System{"/sys", "/dev"}.Open(ctx, m)
}

// Open is the package's Open on this system.
func (s System) Open(ctx context.Context, m Match) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open hid: %w", err)
	}
	if m.Path != "" {
		return open(ctx, m.Path, m.Top)
	}
	var trouble error
	for _, n := range s.nodes() {
		if !m.fits(n) {
			continue
		}
		c, err := open(ctx, filepath.Join(s.Dev, n.file), m.Top)
		if err == nil {
			return c, nil
		}
		trouble = errors.Join(trouble, err)
	}
	if trouble == nil {
		trouble = fmt.Errorf("open hid: %w: %s", transport.ErrNotFound, m)
	}
	return nil, trouble
}

// String names what was looked for.
func (m Match) String() string {
	if m.Path != "" {
		return m.Path
	}
	var names []string
	for _, id := range m.IDs {
		names = append(names, id.VID+":"+id.PID)
	}
	if m.Serial != "" {
		names = append(names, "serial "+m.Serial)
	}
	return "usage " + fmt.Sprintf("%06x ", uint32(m.Top)) + strings.Join(names, " or ")
}

// node is one hidraw file as the kernel describes it.
type node struct {
	file       string // "hidraw0"
	vid, pid   string // four hex digits, lower case
	serial     string
	descriptor []byte
}

func (m Match) fits(n node) bool {
	if m.Serial != "" && m.Serial != n.serial {
		return false
	}
	if m.Top != 0 {
		if d, err := ParseDescriptor(n.descriptor); err != nil || !d.Is(m.Top) {
			return false
		}
	}
	for _, id := range m.IDs {
		if strings.EqualFold(id.VID, n.vid) && (id.PID == "*" || strings.EqualFold(id.PID, n.pid)) {
			return true
		}
	}
	return len(m.IDs) == 0
}

// nodes reads /sys/class/hidraw, in the order of its names.
func (s System) nodes() []node {
	entries, err := os.ReadDir(filepath.Join(s.Sys, "class/hidraw"))
	if err != nil {
		return nil // no HID in this kernel
	}
	var out []node
	for _, e := range entries {
		device := filepath.Join(s.Sys, "class/hidraw", e.Name(), "device")
		about, err := os.ReadFile(filepath.Join(device, "uevent"))
		if err != nil {
			continue // it was just unplugged
		}
		descriptor, err := os.ReadFile(filepath.Join(device, "report_descriptor"))
		if err != nil {
			continue // likewise
		}
		n := node{file: e.Name(), descriptor: descriptor}
		for line := range strings.Lines(string(about)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "HID_ID": // bus:vendor:product, as in 0003:00000C2E:00000B87
				n.vid, n.pid = ids(value)
			case "HID_UNIQ":
				n.serial = value
			}
		}
		out = append(out, n)
	}
	return out
}

// ids takes vendor and product out of a HID_ID; empty when it is none.
func ids(value string) (vid, pid string) {
	parts := strings.Split(value, ":")
	if len(parts) != 3 {
		return "", ""
	}
	vendor, err := strconv.ParseUint(parts[1], 16, 16)
	product, err2 := strconv.ParseUint(parts[2], 16, 16)
	if err != nil || err2 != nil {
		return "", ""
	}
	return fmt.Sprintf("%04x", vendor), fmt.Sprintf("%04x", product)
}

func open(ctx context.Context, path string, top Usage) (*Conn, error) {
	f, err := transport.OpenNode(ctx, path, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d, err := take(f, top)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	return NewConn("hid:"+path, d, raw{f}), nil
}

// take locks the file for this program and reads the device's descriptor.
func take(f *os.File, top Usage) (Descriptor, error) {
	var value unix.HIDRawReportDescriptor
	err := control(f, func(fd int) error {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return transport.NodeError(err)
		}
		size, err := unix.IoctlGetInt(fd, unix.HIDIOCGRDESCSIZE)
		if err != nil {
			return err
		}
		value.Size = uint32(max(0, min(size, len(value.Value)))) //nolint:gosec // bounded
		return unix.IoctlHIDGetDesc(fd, &value)
	})
	if err != nil {
		return Descriptor{}, err
	}
	d, err := ParseDescriptor(value.Value[:min(int(value.Size), len(value.Value))])
	if err != nil {
		return Descriptor{}, err
	}
	if top != 0 && !d.Is(top) {
		return Descriptor{}, fmt.Errorf("%w: no collection of usage %06x", transport.ErrNotFound, uint32(top))
	}
	return d, nil
}

// control calls f with the descriptor number without making the file blocking, which
// File.Fd would.
func control(file *os.File, f func(fd int) error) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil { //nolint:gosec // a descriptor is small
		return err
	}
	return inner
}

// raw is a hidraw file.
type raw struct{ *os.File }

// SetFeature is HIDIOCSFEATURE (linux/hidraw.h): _IOC(WRITE|READ, 'H', 0x06, length).
func (r raw) SetFeature(report []byte) error {
	if len(report) == 0 || len(report) > MaxReport {
		return fmt.Errorf("feature report of %d bytes: %w", len(report), fs.ErrInvalid)
	}
	request := uintptr(3)<<30 | uintptr(len(report))<<16 | 'H'<<8 | 0x06
	return control(r.File, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&report[0]))) //nolint:gosec // the kernel reads the report
		if errno != 0 {
			return errno
		}
		return nil
	})
}
