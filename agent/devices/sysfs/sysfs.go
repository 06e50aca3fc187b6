// Package sysfs reads what is plugged in from the kernel's files: USB devices with their
// interfaces, the device nodes that hang on them, whether we may open those, and which
// kernel module or program is in the way. It reads below a root, so that a recorded
// tree tells the same as a machine.
package sysfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Device is one USB device; hubs are left out.
type Device struct {
	Port      string      `json:"port"` // bus and ports on the way, "1-1.4": the same socket has the same name
	VID       string      `json:"vid"`  // four hex digits, lower case
	PID       string      `json:"pid"`
	BCD       string      `json:"bcd,omitempty"` // the device's release, "0214"
	Maker     string      `json:"maker,omitempty"`
	Product   string      `json:"product,omitempty"`
	Serial    string      `json:"serial,omitempty"`
	Node      string      `json:"node,omitempty"` // /dev/bus/usb/001/002
	Access    Access      `json:"access"`         // of Node
	Interface []Interface `json:"interfaces"`
}

// ID is "vid:pid".
func (d Device) ID() string { return d.VID + ":" + d.PID }

// Interface is one interface of a USB device.
type Interface struct {
	Number   int    `json:"number"`
	Class    uint8  `json:"class"` // 07 printer, 03 HID, 02 communication, 0b smart card
	SubClass uint8  `json:"subclass"`
	Protocol uint8  `json:"protocol"`
	Driver   string `json:"driver,omitempty"` // the kernel's driver that holds it: usblp, usbhid, cdc_acm, pn533_usb
	Nodes    []Node `json:"nodes,omitempty"`
}

// Node is one file below /dev.
type Node struct {
	Subsystem string `json:"subsystem"` // tty, hidraw, input, usbmisc
	Path      string `json:"path"`      // /dev/ttyACM0
	ByID      string `json:"by_id,omitempty"`
	Access    Access `json:"access"`
	// Report is the HID report descriptor; of hidraw nodes only.
	Report []byte `json:"report,omitempty"`
}

// Access says whether this program may open a node for reading and writing.
type Access string

// The answers.
const (
	AccessYes    Access = "yes"
	AccessNo     Access = "no"     // exists, and may not be opened
	AccessAbsent Access = "absent" // has no file (yet)
)

// Tree is where to read.
type Tree struct {
	// Root is "/" on a machine, or the folder of a recorded tree.
	Root string
	// Open says whether a file may be opened; nil asks the kernel. It exists for tests,
	// which often run as root.
	Open func(path string) error
}

// Host is the machine's own tree.
func Host() Tree { return Tree{Root: "/"} }

// Limits: a till has a handful; the numbers bound a broken tree.
const (
	maxDevices    = 256
	maxFile       = 8 << 10 // a report descriptor is at most 4 KiB
	maxDepth      = 6       // interface/0003:…/input/input5/event3
	maxNodes      = 32
	classHub      = 0x09
	usbDevicesDir = "sys/bus/usb/devices"
)

func (t Tree) path(p string) string { return filepath.Join(t.Root, p) }

// USB lists the USB devices by port. A machine without USB has none. Devices that go
// while they are read are left out.
func (t Tree) USB() ([]Device, error) {
	entries, err := os.ReadDir(t.path(usbDevicesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list usb devices: %w", err)
	}
	links := t.links("dev/serial/by-id")
	var list []Device
	for _, e := range entries {
		if strings.Contains(e.Name(), ":") || strings.HasPrefix(e.Name(), "usb") || len(list) == maxDevices {
			continue // an interface, or a root hub
		}
		dir, err := filepath.EvalSymlinks(t.path(filepath.Join(usbDevicesDir, e.Name())))
		if err != nil {
			continue
		}
		if d, ok := t.device(e.Name(), dir, links); ok {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Device) int { return cmp.Compare(a.Port, b.Port) })
	return list, nil
}

func (t Tree) device(port, dir string, links map[string]string) (Device, bool) {
	d := Device{
		Port: port, VID: attribute(dir, "idVendor"), PID: attribute(dir, "idProduct"), BCD: attribute(dir, "bcdDevice"),
		Maker: attribute(dir, "manufacturer"), Product: attribute(dir, "product"), Serial: attribute(dir, "serial"),
	}
	if len(d.VID) != 4 || len(d.PID) != 4 || number(dir, "bDeviceClass") == classHub {
		return d, false
	}
	if name := devName(dir); name != "" {
		d.Node = "/dev/" + name
	}
	d.Access = t.access(d.Node)
	found, _ := filepath.Glob(filepath.Join(dir, port+":*")) // the pattern is fine
	for _, i := range found {
		d.Interface = append(d.Interface, t.usbInterface(i, links))
	}
	return d, true
}

func (t Tree) usbInterface(dir string, links map[string]string) Interface {
	i := Interface{
		Number: int(number(dir, "bInterfaceNumber")), Class: number(dir, "bInterfaceClass"),
		SubClass: number(dir, "bInterfaceSubClass"), Protocol: number(dir, "bInterfaceProtocol"),
	}
	if target, err := os.Readlink(filepath.Join(dir, "driver")); err == nil {
		i.Driver = filepath.Base(target)
	}
	t.nodes(dir, maxDepth, &i.Nodes, links)
	slices.SortFunc(i.Nodes, func(a, b Node) int { return cmp.Compare(a.Path, b.Path) })
	return i
}

// nodes collects what has a device number below dir; links are not followed, they lead
// out of the device.
func (t Tree) nodes(dir string, depth int, out *[]Node, links map[string]string) {
	entries, err := os.ReadDir(dir)
	if err != nil || depth == 0 || len(*out) >= maxNodes {
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub := filepath.Join(dir, e.Name())
		if name := devName(sub); name != "" {
			*out = append(*out, t.node(sub, "/dev/"+name, links))
		}
		t.nodes(sub, depth-1, out, links)
	}
}

func (t Tree) node(dir, path string, links map[string]string) Node {
	n := Node{Path: path, ByID: links[path], Access: t.access(path)}
	if target, err := os.Readlink(filepath.Join(dir, "subsystem")); err == nil {
		n.Subsystem = filepath.Base(target)
	}
	if n.Subsystem == "hidraw" { // …/0003:0C2E:0B87.0001/hidraw/hidraw0
		n.Report, _ = read(filepath.Join(dir, "../../report_descriptor")) // absent in old kernels
	}
	return n
}

// links maps device files to their stable names in a folder of links.
func (t Tree) links(folder string) map[string]string {
	entries, _ := os.ReadDir(t.path(folder)) // absent without udev
	out := map[string]string{}
	for _, e := range entries {
		if target, err := os.Readlink(t.path(filepath.Join(folder, e.Name()))); err == nil {
			out[filepath.Join("/", folder, target)] = filepath.Join("/", folder, e.Name())
		}
	}
	return out
}

func (t Tree) access(path string) Access {
	if path == "" {
		return AccessAbsent
	}
	open := t.Open
	if open == nil {
		open = func(p string) error { return unix.Access(t.path(p), unix.R_OK|unix.W_OK) }
	}
	switch err := open(path); {
	case err == nil:
		return AccessYes
	case errors.Is(err, fs.ErrNotExist):
		return AccessAbsent
	}
	return AccessNo
}

// Owner is a node's group and mode, for people: "root:lp 0660".
func (t Tree) Owner(path string) string {
	info, err := os.Stat(t.path(path))
	if err != nil {
		return ""
	}
	ids := "?"
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		ids = fmt.Sprintf("uid %d gid %d", st.Uid, st.Gid)
	}
	return fmt.Sprintf("%s %04o", ids, info.Mode().Perm())
}

// Exists reports whether a file is there.
func (t Tree) Exists(path string) bool {
	_, err := os.Stat(t.path(path))
	return err == nil
}

// Module reports whether a kernel module is loaded, or built in with parameters.
func (t Tree) Module(name string) bool {
	_, err := os.Stat(t.path(filepath.Join("sys/module", name)))
	return err == nil
}

// Program reports whether a program of that name runs (at most the first 15 bytes of it,
// as the kernel keeps them), and its process id.
func (t Tree) Program(name string) (pid int, runs bool) {
	entries, err := os.ReadDir(t.path("proc"))
	if err != nil {
		return 0, false
	}
	name = name[:min(len(name), 15)]
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && attribute(t.path(filepath.Join("proc", e.Name())), "comm") == name {
			return pid, true
		}
	}
	return 0, false
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // below the tree
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing is written
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func attribute(dir, name string) string {
	b, _ := read(filepath.Join(dir, name)) // absent: empty
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "?"))
}

func number(dir, name string) uint8 {
	n, _ := strconv.ParseUint(attribute(dir, name), 16, 8) // absent: 0
	return uint8(n)
}

// devName is DEVNAME of a folder's uevent file; only folders with a device number have one.
func devName(dir string) string {
	b, err := read(filepath.Join(dir, "uevent"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME=")
		if ok && filepath.IsLocal(name) {
			return name
		}
	}
	return ""
}
