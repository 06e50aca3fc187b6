package sysfs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/agent/devices/sysfs"
	"dcpos/agent/devices/sysfs/sysfstest"
)

func TestACounterIsRead(t *testing.T) {
	tree := sysfstest.Plant(t, sysfstest.Counter, "/dev/hidraw0", "/dev/bus/usb/001/002")
	list, err := tree.USB()
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, d := range list {
		ports = append(ports, d.Port+" "+d.ID())
	}
	want := "1-1 0416:5011,1-2 0c2e:0b87,1-3 05e0:1200,1-4 05e0:1701,1-5 072f:2200,1-6 1a86:7523"
	if got := strings.Join(ports, ","); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if diff := cmp.Diff(sysfs.Device{
		Port: "1-1", VID: "0416", PID: "5011", BCD: "0200", Maker: "STMicroelectronics", Product: "POS58 Printer USB",
		Node: "/dev/bus/usb/001/002", Access: sysfs.AccessNo,
		Interface: []sysfs.Interface{{
			Class: 7, SubClass: 1, Protocol: 2, Driver: "usblp",
			Nodes: []sysfs.Node{{Subsystem: "usbmisc", Path: "/dev/usb/lp0", Access: sysfs.AccessYes}},
		}},
	}, list[0]); diff != "" {
		t.Errorf("printer: %s", diff)
	}
	hid := list[1].Interface[0].Nodes[0]
	if hid.Path != "/dev/hidraw0" || hid.Access != sysfs.AccessNo || len(hid.Report) != 17 || hid.Report[1] != 0x8c || list[1].Serial != "18156B0BC2" {
		t.Errorf("HID-POS: %+v", hid)
	}
	if n := list[2].Interface[0].Nodes; len(n) != 2 || n[1].Subsystem != "input" || n[1].Path != "/dev/input/event5" {
		t.Errorf("keyboard: %+v", n)
	}
	if n := list[3].Interface[0].Nodes[0]; n.Subsystem != "tty" || n.Path != "/dev/ttyACM0" || !strings.HasPrefix(n.ByID, "/dev/serial/by-id/usb-Symbol") {
		t.Errorf("CDC: %+v", n)
	}
	if d := list[4].Interface[0].Driver; d != "pn533_usb" {
		t.Errorf("reader: %s", d)
	}
	if n := list[5].Interface[0].Nodes[0]; n.Path != "/dev/ttyUSB0" || n.ByID == "" {
		t.Errorf("bridge: %+v", n)
	}
	sysfstest.Pull(t, tree, "1-3")
	if list, err = tree.USB(); err != nil || len(list) != 5 {
		t.Fatalf("%d devices after one was pulled: %v", len(list), err)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	tree := sysfstest.Plant(t, sysfstest.Counter)
	if pid, runs := tree.Program("ModemManager"); !runs || pid != 640 {
		t.Error("ModemManager runs and was not found")
	}
	if _, runs := tree.Program("pcscd"); runs {
		t.Error("pcscd does not run")
	}
	if !tree.Module("pn533_usb") || tree.Module("cdc_acm") || !tree.Exists("run/udev/control") {
		t.Error("modules or files")
	}
}

func TestBrokenTrees(t *testing.T) {
	for name, recorded := range map[string]string{
		"nothing":         "",
		"dangling link":   "[sys/bus/usb/devices]\n1-1>../nowhere",
		"no identity":     "[sys/bus/usb/devices/1-1]\nbDeviceClass=00",
		"short identity":  "[sys/bus/usb/devices/1-1]\nidVendor=4b8\nidProduct=0202",
		"a hub":           "[sys/bus/usb/devices/1-1]\nidVendor=0424\nidProduct=2514\nbDeviceClass=09",
		"file for folder": "[sys/bus/usb/devices]\n1-1=x",
	} {
		list, err := sysfstest.Plant(t, recorded).USB()
		if err != nil || len(list) != 0 {
			t.Errorf("%s: %v %v", name, list, err)
		}
	}
	evil := "[sys/bus/usb/devices/1-1]\nidVendor=0416\nidProduct=5011\nuevent=DEVNAME=../../etc/shadow"
	if list, _ := sysfstest.Plant(t, evil).USB(); len(list) != 1 || list[0].Node != "" || list[0].Access != sysfs.AccessAbsent {
		t.Errorf("a node outside /dev: %+v", list)
	}
}

func TestThisMachine(t *testing.T) {
	if _, err := sysfs.Host().USB(); err != nil {
		t.Fatal(err)
	}
	if _, runs := sysfs.Host().Program("surely-not-a-program"); runs {
		t.Error("a program that does not run was found")
	}
}

func TestCollections(t *testing.T) {
	for name, c := range map[string]struct {
		report []byte
		want   []sysfs.Usage
	}{
		"nothing":    {nil, nil},
		"HID-POS":    {[]byte{0x05, 0x8c, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x12, 0xa1, 0x02, 0xc0, 0xc0}, []sysfs.Usage{{Page: 0x8c, Usage: 2}}},
		"two":        {[]byte{0x05, 1, 0x09, 6, 0xa1, 1, 0xc0, 0x06, 0x8c, 0xff, 0x09, 2, 0xa1, 1, 0xc0}, []sysfs.Usage{{Page: 1, Usage: 6}, {Page: 0xff8c, Usage: 2}}},
		"long usage": {[]byte{0x0b, 2, 0, 0x8c, 0, 0xa1, 1, 0xc0}, []sysfs.Usage{{Page: 0x8c, Usage: 2}}},
		"long item":  {[]byte{0xfe, 2, 0, 1, 2, 0x05, 1, 0x09, 6, 0xa1, 1}, []sysfs.Usage{{Page: 1, Usage: 6}}},
		"cut":        {[]byte{0x05, 1, 0x09, 6, 0xa1}, nil},
		"cut long":   {[]byte{0xfe, 9}, nil},
		"ends alone": {[]byte{0xc0, 0xc0, 0x05, 1, 0x09, 6, 0xa1, 1}, []sysfs.Usage{{Page: 1, Usage: 6}}},
	} {
		if diff := cmp.Diff(c.want, sysfs.Collections(c.report)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func FuzzCollections(f *testing.F) {
	f.Add([]byte{0x05, 0x8c, 0x09, 0x02, 0xa1, 0x01, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		if n := len(sysfs.Collections(b)); n > len(b) {
			t.Fatalf("%d collections in %d bytes", n, len(b))
		}
	})
}
