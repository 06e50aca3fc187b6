// Package evdev takes a scanner that types away from everybody else: it opens the
// scanner's /dev/input/eventN, grabs it (EVIOCGRAB) before the first read, and hands out
// the kernel's events as bytes. From the grab on nothing that is scanned reaches the
// console, the kiosk's browser or any other program.
//
// It reads the device file itself. The library holoplot/go-evdev was looked at and left:
// its Open and Grab call File.Fd, which makes the file blocking, so that its Close does
// not interrupt a read.
//
// A real keyboard is never taken by accident: a device that looks like one (see Open) is
// taken only when the configuration names it.
//
// Traps that are dealt with here: udev gives the file its group a moment after it
// appeared (transport.OpenNode waits), one device has several event files (only one with
// digits and Enter counts), event times jump with the wall clock (they are set to the
// monotonic clock), a grab that fails leaves nothing open.
package evdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dcpos/drivers/transport"
	"dcpos/pos"
)

// ID is a vendor and a product in hex, "05e0", "1200".
type ID struct{ VID, PID string }

// Match chooses a device.
type Match struct {
	Path   string // the device file or a link to it; empty: the first that the rest fits
	IDs    []ID   // any of these
	Serial string // its serial number; empty: any
	// Named is true when the configuration names the device (path, or vendor and product)
	// and not only the profile: only then one that looks like a keyboard is taken.
	Named bool
}

// ErrKeyboard is returned for a device that looks like a keyboard and is not named in
// the configuration. It is transport.ErrNotFound as well, and says what to do.
var ErrKeyboard error = &pos.Error{
	Code: "device",
	Text: pos.Text{ZH: "该设备像普通键盘,未作为扫码枪使用", EN: "the device looks like a keyboard and is not taken for a scanner"},
	Hint: pos.Text{
		ZH: "如确为扫码枪,请在设备配置中写明 path(/dev/input/by-id/…)或 vid 和 pid",
		EN: "if it is a scanner, name its path (/dev/input/by-id/…), or vid and pid, in the device configuration",
	},
	Err: fmt.Errorf("looks like a keyboard: %w", transport.ErrNotFound),
}

// System is where the kernel shows its devices.
type System struct {
	Sys string // "/sys"
	Dev string // "/dev"
}

// Open grabs the first device that matches, has the keys of digits and Enter, and does
// not look like a keyboard: keyboards have volume, sleep or power keys, or are called so
// and not scanner, reader or bar code. The Conn is read only; an event is
// EventSize bytes (linux/input.h, struct input_event) and its time is the monotonic
// clock's. Errors: transport.ErrNotFound, ErrInUse (another program has grabbed it),
// ErrAccess, or the system's.
func Open(ctx context.Context, m Match) (transport.Conn, error) {
	return System{"/sys", "/dev"}.Open(ctx, m)
}

// Open is the package's Open on this system.
func (s System) Open(ctx context.Context, m Match) (transport.Conn, error) {
	path, err := s.Find(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("open evdev: %w", err)
	}
	var trouble error
	for _, p := range path {
		c, err := open(ctx, p)
		if err == nil {
			return c, nil
		}
		trouble = errors.Join(trouble, err)
	}
	return nil, trouble
}

// Find lists the device files that match, in the order of their numbers, without opening
// them. ErrKeyboard: what matches looks like a keyboard; transport.ErrNotFound: nothing
// matches.
func (s System) Find(ctx context.Context, m Match) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	want := ""
	if m.Path != "" {
		target, err := filepath.EvalSymlinks(m.Path) // links below by-id and by-path
		if err != nil {
			return nil, transport.NodeError(err)
		}
		want = filepath.Base(target)
	}
	var found []string
	refused := false
	for _, n := range s.nodes() {
		switch {
		case want != "" && n.file != want, want == "" && !m.fits(n), !n.types():
		case !m.Named && n.keyboard():
			refused = true
		default:
			found = append(found, filepath.Join(s.Dev, "input", n.file))
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case refused:
		return nil, ErrKeyboard
	}
	return nil, fmt.Errorf("%w: %s", transport.ErrNotFound, m)
}

// String names what was looked for.
func (m Match) String() string {
	if m.Path != "" {
		return m.Path + " is no device that types"
	}
	var names []string
	for _, id := range m.IDs {
		names = append(names, id.VID+":"+id.PID)
	}
	if m.Serial != "" {
		names = append(names, "serial "+m.Serial)
	}
	return strings.Join(names, " or ")
}

// node is one event file as the kernel describes it.
type node struct {
	file     string // "event3"
	vid, pid string // four hex digits, lower case
	serial   string
	name     string
	keys     []uint64 // bitmap of key codes, the lowest word first
}

// fits wants an exact vendor and product: with less than that, any keyboard of a maker
// of both would be grabbed.
func (m Match) fits(n node) bool {
	if m.Serial != "" && m.Serial != n.serial {
		return false
	}
	return slices.ContainsFunc(m.IDs, func(id ID) bool {
		return strings.EqualFold(id.VID, n.vid) && strings.EqualFold(id.PID, n.pid)
	})
}

func (n node) has(key int) bool { return key/64 < len(n.keys) && n.keys[key/64]>>(key%64)&1 != 0 }

// Key codes of linux/input-event-codes.h.
const (
	key1, key0, keyEnter = 2, 11, 28
)

// keyboardKeys are keys that a scanner has no use for: mute, volume down and up, power,
// calculator, sleep, wake up, mail, back, next song, play, previous song.
func keyboardKeys() []int {
	return []int{113, 114, 115, 116, 140, 142, 143, 155, 158, 163, 164, 165}
}

// types reports whether the device has the keys without which no code can be typed.
func (n node) types() bool {
	for k := key1; k <= key0; k++ {
		if !n.has(k) {
			return false
		}
	}
	return n.has(keyEnter)
}

// keyboard reports whether the device looks like a real keyboard.
func (n node) keyboard() bool {
	name := strings.ToLower(n.name)
	for _, word := range []string{"scan", "barcode", "bar code", "reader"} {
		if strings.Contains(name, word) {
			return false
		}
	}
	return strings.Contains(name, "keyboard") || slices.ContainsFunc(keyboardKeys(), n.has)
}

// nodes reads /sys/class/input, in the order of the numbers.
func (s System) nodes() []node {
	entries, err := os.ReadDir(filepath.Join(s.Sys, "class/input"))
	if err != nil {
		return nil // no input devices in this kernel
	}
	var out []node
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "event") {
			continue
		}
		device := filepath.Join(s.Sys, "class/input", e.Name(), "device")
		n := node{
			file: e.Name(),
			vid:  attribute(device, "id/vendor"), pid: attribute(device, "id/product"),
			serial: attribute(device, "uniq"), name: attribute(device, "name"),
			keys: bitmap(attribute(device, "capabilities/key")),
		}
		out = append(out, n)
	}
	number := func(n node) int {
		i, _ := strconv.Atoi(strings.TrimPrefix(n.file, "event")) // 0 when it is none
		return i
	}
	slices.SortStableFunc(out, func(a, b node) int { return number(a) - number(b) })
	return out
}

// attribute is a device's attribute; empty when it has none or was just unplugged.
func attribute(device, name string) string {
	b, err := os.ReadFile(filepath.Join(device, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// bitmap reads a bitmap as the kernel writes it: words of the machine's long in hex, the
// highest first (drivers/input/input.c, input_print_bitmap). nil when it is none.
func bitmap(text string) []uint64 {
	words := strings.Fields(text)
	slices.Reverse(words)
	out := make([]uint64, len(words)*strconv.IntSize/64+1)
	for i, w := range words {
		v, err := strconv.ParseUint(w, 16, strconv.IntSize)
		if err != nil {
			return nil
		}
		bit := i * strconv.IntSize
		out[bit/64] |= v << (bit % 64)
	}
	return out
}

// Requests of linux/input.h: EVIOCGRAB = _IOW('E', 0x90, int), EVIOCSCLOCKID = _IOW('E', 0xa0, int).
const (
	requestGrab  = 0x40044590
	requestClock = 0x400445a0
)

// EventSize is the size of struct input_event: two longs of time, type, code, value.
const EventSize = 2*strconv.IntSize/8 + 8

func open(ctx context.Context, path string) (transport.Conn, error) {
	f, err := transport.OpenNode(ctx, path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := grab(f); err != nil {
		return nil, errors.Join(fmt.Errorf("grab %s: %w", path, err), f.Close())
	}
	return transport.NewStream("evdev:"+path, f), nil
}

// grab makes the file ours alone. What came before the grab is thrown away by the kernel
// (EVIOCSCLOCKID empties the reader's queue when the clock changes) and by the driver's
// drain.
func grab(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = c.Control(func(fd uintptr) {
		if inner = unix.IoctlSetInt(int(fd), requestGrab, 1); inner != nil { //nolint:gosec // a descriptor is small
			return
		}
		inner = unix.IoctlSetPointerInt(int(fd), requestClock, unix.CLOCK_MONOTONIC) //nolint:gosec // likewise
	})
	if err != nil {
		return err
	}
	if inner != nil {
		return transport.NodeError(inner)
	}
	return nil
}
