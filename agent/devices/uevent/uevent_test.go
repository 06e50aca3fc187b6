package uevent

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func kernelMessage(fields ...string) []byte { return []byte(strings.Join(fields, "\x00") + "\x00") }

func udevMessage(fields ...string) []byte {
	properties := kernelMessage(fields...)
	b := make([]byte, udevHeader, udevHeader+len(properties))
	copy(b, udevPrefix)
	binary.BigEndian.PutUint32(b[8:], udevMagic)
	binary.NativeEndian.PutUint32(b[12:], udevHeader)
	binary.NativeEndian.PutUint32(b[16:], udevHeader)
	binary.NativeEndian.PutUint32(b[20:], uint32(len(properties))) //nolint:gosec // short
	return append(b, properties...)
}

func TestParse(t *testing.T) {
	want := Event{
		Action: "add", Path: "/devices/pci0000:00/usb1/1-1", Subsystem: "usb", DevType: "usb_device",
		DevName: "bus/usb/001/002", Product: "4b8/202/100", Sequence: 4711,
	}
	fields := []string{
		"ACTION=add", "DEVPATH=/devices/pci0000:00/usb1/1-1", "SUBSYSTEM=usb", "DEVTYPE=usb_device",
		"PRODUCT=4b8/202/100", "DEVNAME=bus/usb/001/002", "SEQNUM=4711", "BUSNUM=001",
	}
	got, err := Parse(kernelMessage(append([]string{"add@/devices/pci0000:00/usb1/1-1"}, fields...)...))
	if err != nil || got != want || !got.OfTill() {
		t.Fatalf("%+v %v", got, err)
	}
	want.Udev = true
	fields[5] = "DEVNAME=/dev/bus/usb/001/002" // udev names it in full
	if got, err = Parse(udevMessage(fields...)); err != nil || got != want {
		t.Fatalf("%+v %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	outside := udevMessage("ACTION=add", "DEVPATH=/x")
	binary.NativeEndian.PutUint32(outside[20:], 1<<31)
	before := udevMessage("ACTION=add", "DEVPATH=/x")
	binary.NativeEndian.PutUint32(before[16:], 3)
	magic := udevMessage("ACTION=add", "DEVPATH=/x")
	magic[8]++
	for name, b := range map[string][]byte{
		"empty": nil, "no NUL": []byte("add@/x"), "no action": kernelMessage("@/x"), "no path": kernelMessage("add@x"),
		"action emptied": kernelMessage("add@/x", "ACTION="), "path emptied": kernelMessage("add@/x", "DEVPATH="),
		"udev cut": outside[:20], "udev outside": outside, "udev before": before, "udev magic": magic,
		"udev without path": udevMessage("ACTION=add"), "too long": make([]byte, maxMessage+1),
	} {
		if e, err := Parse(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(kernelMessage("add@/devices/x", "ACTION=add", "SUBSYSTEM=tty"))
	f.Add(udevMessage("ACTION=remove", "DEVPATH=/devices/x", "SEQNUM=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			return // longer ones only take longer
		}
		e, err := Parse(b)
		if err == nil && (e.Action == "" || !strings.HasPrefix(e.Path, "/")) {
			t.Fatalf("%+v", e)
		}
	})
}

func TestOnlyTheKernelAndRootAreHeard(t *testing.T) {
	root := unix.UnixCredentials(&unix.Ucred{Pid: 1})
	user := unix.UnixCredentials(&unix.Ucred{Pid: 2, Uid: 1000, Gid: 1000})
	for name, c := range map[string]struct {
		from    unix.Sockaddr
		control []byte
		want    bool
	}{
		"the kernel":               {&unix.SockaddrNetlink{Groups: groupKernel}, root, true},
		"a program as the kernel":  {&unix.SockaddrNetlink{Groups: groupKernel, Pid: 7}, root, false},
		"a program to us alone":    {&unix.SockaddrNetlink{Pid: 7}, root, false},
		"udev":                     {&unix.SockaddrNetlink{Groups: groupUdev, Pid: 7}, root, true},
		"somebody as udev":         {&unix.SockaddrNetlink{Groups: groupUdev, Pid: 7}, user, false},
		"udev without credentials": {&unix.SockaddrNetlink{Groups: groupUdev, Pid: 7}, nil, false},
		"another family":           {&unix.SockaddrUnix{}, root, false},
	} {
		if got := trusted(c.from, c.control); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestListenEnds(t *testing.T) {
	m, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	for {
		if _, err = m.Next(ctx); err != nil && !errors.Is(err, ErrOverrun) {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := m.Next(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
}
