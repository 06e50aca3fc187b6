// Package uevent listens to the kernel's device events by netlink, without libudev.
//
// The messages are doorbells: whoever hears one looks for himself what is there (package
// sysfs). Their content is parsed for logs and to leave out what has nothing to do with
// devices of a till, never to be believed.
package uevent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Event is one message of the kernel or of udev.
type Event struct {
	Action    string // add, remove, change, bind, unbind, move, online, offline
	Path      string // below /sys, such as /devices/pci0000:00/…/1-1
	Subsystem string // usb, tty, hidraw, input, usbmisc …
	DevType   string // usb_device, usb_interface; often empty
	DevName   string // below /dev; empty when there is no node
	Product   string // of usb: vendor/product/bcd in hex without leading zeros, "4b8/202/100"
	Sequence  uint64 // grows with every event of the kernel
	Udev      bool   // told by udev, after it has set names and permissions
}

// ErrFormat is returned for bytes that are no event.
var ErrFormat = errors.New("not a device event")

// maxMessage is the kernel's own limit of an event's environment (UEVENT_BUFFER_SIZE,
// 2 KiB) with room for udev's properties.
const maxMessage = 16 << 10

// The header of udev's messages (struct monitor_netlink_header of libudev's
// device-monitor): "libudev\0", magic in network order, then in the machine's order the
// header's size, the properties' offset and their length.
const (
	udevPrefix = "libudev\x00"
	udevMagic  = 0xfeedcafe
	udevHeader = 40
)

// Parse reads one message: ACTION@PATH NUL KEY=VALUE NUL … of the kernel, or udev's
// header with the same properties.
func Parse(b []byte) (Event, error) {
	if len(b) > maxMessage {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	var e Event
	if bytes.HasPrefix(b, []byte(udevPrefix)) {
		properties, err := udevProperties(b)
		if err != nil {
			return Event{}, err
		}
		e.Udev = true
		b = properties
	} else {
		head, rest, ok := bytes.Cut(b, []byte{0})
		action, path, at := strings.Cut(string(head), "@")
		if !ok || !at || action == "" || !strings.HasPrefix(path, "/") {
			return Event{}, fmt.Errorf("%w: no ACTION@PATH", ErrFormat)
		}
		e.Action, e.Path = action, path
		b = rest
	}
	for field := range bytes.SplitSeq(b, []byte{0}) {
		if key, value, ok := strings.Cut(string(field), "="); ok {
			e.set(key, value)
		}
	}
	if e.Action == "" || !strings.HasPrefix(e.Path, "/") {
		return Event{}, fmt.Errorf("%w: no action or no path", ErrFormat)
	}
	return e, nil
}

func (e *Event) set(key, value string) {
	switch key {
	case "ACTION":
		e.Action = value
	case "DEVPATH":
		e.Path = value
	case "SUBSYSTEM":
		e.Subsystem = value
	case "DEVTYPE":
		e.DevType = value
	case "DEVNAME":
		e.DevName = strings.TrimPrefix(value, "/dev/")
	case "PRODUCT":
		e.Product = value
	case "SEQNUM":
		e.Sequence, _ = strconv.ParseUint(value, 10, 64) // for logs
	}
}

func udevProperties(b []byte) ([]byte, error) {
	if len(b) < udevHeader || binary.BigEndian.Uint32(b[8:]) != udevMagic {
		return nil, fmt.Errorf("%w: udev header", ErrFormat)
	}
	from, n := uint64(binary.NativeEndian.Uint32(b[16:])), uint64(binary.NativeEndian.Uint32(b[20:]))
	if from < udevHeader || from+n > uint64(len(b)) {
		return nil, fmt.Errorf("%w: udev properties outside the message", ErrFormat)
	}
	return b[from : from+n], nil
}

// OfTill reports whether the event may be about a device of a till.
func (e Event) OfTill() bool {
	switch e.Subsystem {
	case "usb", "tty", "hid", "hidraw", "input", "usbmisc", "usb-serial":
		return true
	}
	return false
}
