// Package sysfstest plants recorded trees of the kernel's files for tests: what a
// machine's /sys, /proc and /dev say about what is plugged in.
package sysfstest

import (
	_ "embed"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/agent/devices/sysfs"
)

// Counter is a counter as store IT meets it: a printer that usblp holds, a HID-POS
// scanner, a scanner that types, one on CDC-ACM, a reader that pn533_usb has taken, and
// a USB bridge with something unknown behind it. ModemManager runs.
//
//go:embed counter.tree
var Counter string

// Plant makes the files below a temporary folder. "[folder]" begins a folder, "name=text"
// is a file in it ("\n" is a new line), "name:hex" a file of bytes, "name>target" a link,
// "#" a comment. Denied paths, such as "/dev/hidraw0", may not be opened.
func Plant(tb testing.TB, recorded string, denied ...string) sysfs.Tree {
	tb.Helper()
	root, folder := tb.TempDir(), ""
	for line := range strings.Lines(recorded) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			folder = filepath.Join(root, strings.Trim(line, "[]"))
			if err := os.MkdirAll(folder, 0o750); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		if err := plant(folder, line); err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
	}
	return sysfs.Tree{Root: root, Open: func(path string) error {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return err
		}
		for _, d := range denied {
			if d == path {
				return os.ErrPermission
			}
		}
		return nil
	}}
}

// Pull unplugs a device: its folder and its place in the list are gone.
func Pull(tb testing.TB, t sysfs.Tree, port string) {
	tb.Helper()
	link := filepath.Join(t.Root, "sys/bus/usb/devices", port)
	folder, err := filepath.EvalSymlinks(link)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(os.Remove(link), os.RemoveAll(folder)); err != nil {
		tb.Fatal(err)
	}
}

func plant(folder, line string) error {
	n := strings.IndexAny(line, "=:>")
	if n < 1 {
		return errors.New("want name=text, name:hex or name>target")
	}
	path, value := filepath.Join(folder, line[:n]), line[n+1:]
	switch line[n] {
	case '>':
		return os.Symlink(value, path)
	case ':':
		b, err := hex.DecodeString(strings.ReplaceAll(value, " ", ""))
		if err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(value, `\n`, "\n")+"\n"), 0o600)
}

// Plug plants again what a recording has of one port.
func Plug(tb testing.TB, t sysfs.Tree, recorded, port string) {
	tb.Helper()
	var folder string
	for line := range strings.Lines(recorded) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			folder = strings.Trim(line, "[]")
			if strings.Contains(folder+"/", "/"+port+"/") {
				if err := os.MkdirAll(filepath.Join(t.Root, folder), 0o750); err != nil {
					tb.Fatal(err)
				}
			}
			continue
		}
		if strings.Contains(folder+"/", "/"+port+"/") || folder == "sys/bus/usb/devices" && strings.HasPrefix(line, port+">") {
			if err := plant(filepath.Join(t.Root, folder), line); err != nil {
				tb.Fatal(err)
			}
		}
	}
}
