package evdev_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dcpos/drivers/transport"
	"dcpos/drivers/transport/evdev"
)

// Bitmaps as kernels show them: of a boot keyboard, which scanners have too, of a
// keyboard with volume and power keys, and of a mouse.
const (
	bootKeys  = "e080ffdf01cfffff fffffffffffffffe"
	mediaKeys = "10000 7 ff9f217ac14057ff ffbeffdfffefffff fffffffffffffffe"
	mouseKeys = "1f0000 0 0 0 0"
)

type box struct{ event, vid, pid, serial, name, keys string }

func tree(t *testing.T, boxes ...box) evdev.System {
	t.Helper()
	at := t.TempDir()
	s := evdev.System{Sys: filepath.Join(at, "sys"), Dev: filepath.Join(at, "dev")}
	for _, b := range boxes {
		device := filepath.Join(s.Sys, "class/input", b.event, "device")
		for name, value := range map[string]string{
			"id/vendor": b.vid, "id/product": b.pid, "uniq": b.serial, "name": b.name, "capabilities/key": b.keys,
		} {
			path := filepath.Join(device, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(value+"\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(s.Dev, "input", b.event)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestFind(t *testing.T) {
	s := tree(t,
		box{"event0", "0000", "0001", "", "Power Button", "10000000000000 0"},
		box{"event1", "046d", "c31c", "", "Logitech USB Keyboard", bootKeys},
		box{"event2", "05e0", "1200", "A1", "Symbol Bar Code Scanner", bootKeys},
		box{"event10", "05e0", "1200", "B2", "Symbol Bar Code Scanner", bootKeys},
		box{"event3", "05e0", "1200", "A1", "Symbol Bar Code Scanner Mouse", mouseKeys},
		box{"event4", "1eab", "0001", "", "Newland Auto-ID NLS", bootKeys},
		box{"event5", "1a86", "e026", "", "HID Device", mediaKeys},
		box{"event6", "ffff", "0035", "", "USB Keyboard", bootKeys},
		box{"event7", "0c2e", "0001", "", "", "nonsense"},
	)
	link := filepath.Join(t.TempDir(), "usb-scanner-event-kbd")
	if err := os.Symlink(filepath.Join(s.Dev, "input/event6"), link); err != nil {
		t.Fatal(err)
	}
	id := func(vid, pid string) []evdev.ID { return []evdev.ID{{VID: vid, PID: pid}} }
	for _, tc := range []struct {
		name  string
		match evdev.Match
		want  string
		err   error
	}{
		{"by vendor and product, only what types, by number", evdev.Match{IDs: id("05e0", "1200")}, "event2 event10", nil},
		{"upper case", evdev.Match{IDs: id("05E0", "1200")}, "event2 event10", nil},
		{"by serial number", evdev.Match{IDs: id("05e0", "1200"), Serial: "B2"}, "event10", nil},
		{"another serial number", evdev.Match{IDs: id("05e0", "1200"), Serial: "C3"}, "", transport.ErrNotFound},
		{"a scanner that does not say so", evdev.Match{IDs: id("1eab", "0001")}, "event4", nil},
		{"all of a vendor's is not enough", evdev.Match{IDs: id("05e0", "*")}, "", transport.ErrNotFound},
		{"nothing named", evdev.Match{}, "", transport.ErrNotFound},
		{"a keyboard that a profile names", evdev.Match{IDs: id("046d", "c31c")}, "", evdev.ErrKeyboard},
		{"volume and power keys", evdev.Match{IDs: id("1a86", "e026")}, "", evdev.ErrKeyboard},
		{"volume and power keys, named", evdev.Match{IDs: id("1a86", "e026"), Named: true}, "event5", nil},
		{"called a keyboard, named", evdev.Match{IDs: id("ffff", "0035"), Named: true}, "event6", nil},
		{"called a keyboard, by path", evdev.Match{Path: link, Named: true}, "event6", nil},
		{"called a keyboard, by path, not named", evdev.Match{Path: link}, "", evdev.ErrKeyboard},
		{"a mouse by path", evdev.Match{Path: filepath.Join(s.Dev, "input/event3"), Named: true}, "", transport.ErrNotFound},
		{"no such path", evdev.Match{Path: filepath.Join(s.Dev, "input/event99"), Named: true}, "", transport.ErrNotFound},
		{"a bitmap that is none", evdev.Match{IDs: id("0c2e", "0001"), Named: true}, "", transport.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			paths, err := s.Find(t.Context(), tc.match)
			var got []string
			for _, p := range paths {
				got = append(got, filepath.Base(p))
			}
			if strings.Join(got, " ") != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("got %v, %v; want %s, %v", got, err, tc.want, tc.err)
			}
		})
	}
	if !errors.Is(evdev.ErrKeyboard, transport.ErrNotFound) {
		t.Error("a keyboard that is refused is no scanner that was found")
	}
	if _, err := (evdev.System{Sys: "/nowhere"}).Find(t.Context(), evdev.Match{IDs: id("05e0", "1200")}); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("a kernel without input devices: got %v", err)
	}
}

// What cannot be grabbed is not read: a plain file has no grab, and nothing stays open.
func TestWithoutGrabNothingIsRead(t *testing.T) {
	s := tree(t, box{"event2", "05e0", "1200", "", "Symbol Bar Code Scanner", bootKeys})
	before := descriptors(t)
	_, err := s.Open(t.Context(), evdev.Match{IDs: []evdev.ID{{VID: "05e0", PID: "1200"}}})
	if !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("got %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d files open, were %d", after, before)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(ended, evdev.Match{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
	if _, err := evdev.Open(t.Context(), evdev.Match{IDs: []evdev.ID{{VID: "fffe", PID: "fffe"}}}); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("this machine: got %v", err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
