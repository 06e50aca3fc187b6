package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"dcpos/agent/devices"
	"dcpos/agent/devices/doctor"
	"dcpos/agent/devices/sysfs/sysfstest"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// codes are the findings of a bench as "severity code".
func codes(t *testing.T, b doctor.Bench) []string {
	t.Helper()
	all, err := doctor.Examine(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range all {
		out = append(out, string(f.Severity)+" "+f.Code)
		if f.Text.ZH == "" || f.Text.EN == "" || f.Severity != doctor.OK && (f.Hint.ZH == "" || f.Hint.EN == "" || f.Evidence == "") {
			t.Errorf("%s: a finding without words, evidence or what to do: %+v", f.Code, f)
		}
	}
	return out
}

func TestABenchWithoutAnAgent(t *testing.T) {
	b := doctor.Bench{Tree: sysfstest.Plant(t, sysfstest.Counter, "/dev/hidraw0", "/dev/bus/usb/001/002")}
	got := codes(t, b)
	for _, want := range []string{"error permission", "error pn533", "warning usblp", "warning modemmanager", "info pcscd"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s was not found: %v", want, got)
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != "error permission" })); n != 2 {
		t.Errorf("%d files may not be opened, want 2: %v", n, got)
	}
	if !slices.IsSortedFunc(got, func(a, b string) int {
		order := []string{"error", "warning", "info", "ok"}
		f := func(s string) int { return slices.Index(order, strings.Fields(s)[0]) }
		return f(a) - f(b)
	}) {
		t.Errorf("the worst is not first: %v", got)
	}
}

const stranger = `[sys/bus/usb/devices]
2-1>../../../devices/pci0/usb2/2-1
[sys/devices/pci0/usb2/2-1]
idVendor=1234
idProduct=5678
product=Cash register thing
[sys/devices/pci0/usb2/2-1/2-1:1.0]
bInterfaceClass=ff
[sys/bus/usb/devices]
2-2>../../../devices/pci0/usb2/2-2
[sys/devices/pci0/usb2/2-2]
idVendor=046d
idProduct=c077
[sys/devices/pci0/usb2/2-2/2-2:1.0]
bInterfaceClass=03
bInterfaceProtocol=02
`

func TestEachFinding(t *testing.T) {
	class, err := profiles.FindClass("counter")
	if err != nil {
		t.Fatal(err)
	}
	printer := doctor.Device{Name: "printer", Role: "printer", Port: "serial:/dev/ttyS1@9600", State: devices.StateReady, Pinned: true}
	with := func(change func(*doctor.Device)) []doctor.Device { d := printer; change(&d); return []doctor.Device{d} }
	words := pos.Text{ZH: "字", EN: "words"}
	for name, c := range map[string]struct {
		bench doctor.Bench
		want  string
	}{
		"nothing":        {doctor.Bench{}, ""},
		"well":           {doctor.Bench{Devices: []doctor.Device{printer}}, "ok device"},
		"out of paper":   {doctor.Bench{Devices: with(func(d *doctor.Device) { d.State, d.Text, d.Hint = devices.StateError, words, words })}, "error device"},
		"near the end":   {doctor.Bench{Devices: with(func(d *doctor.Device) { d.State, d.Text, d.Hint = devices.StateDegraded, words, words })}, "warning device"},
		"pinned, absent": {doctor.Bench{Devices: with(func(d *doctor.Device) { d.State, d.Hint = devices.StateAbsent, words })}, "error device"},
		"found, absent":  {doctor.Bench{Devices: with(func(d *doctor.Device) { d.Pinned, d.State, d.Hint = false, devices.StateAbsent, words })}, "warning device"},
		"wrong baud":     {doctor.Bench{Devices: with(func(d *doctor.Device) { d.State, d.Reason, d.Text = devices.StateError, "E_OFFLINE", words })}, "error baud"},
		"may not be opened": {doctor.Bench{Devices: with(func(d *doctor.Device) {
			d.State, d.Reason, d.Bound = devices.StateError, devices.ReasonPermission, "path /dev/ttyS0"
		})}, "error permission"},
		"is set wrongly": {doctor.Bench{Devices: with(func(d *doctor.Device) {
			d.State, d.Reason, d.Text, d.Hint = devices.StateDegraded, "E_EXTENDED", words, words
		})}, "error health"},
		"ill though it works": {bench: doctor.Bench{Devices: with(func(d *doctor.Device) { d.Ill, d.Advice = words, words })}, want: "error health"},
		"has hung":            {doctor.Bench{Devices: with(func(d *doctor.Device) { d.Hung = 2 })}, "warning hung,ok device"},
		"two printers":        {doctor.Bench{Devices: []doctor.Device{printer, {Name: "printer-2", Role: "printer", State: devices.StateReady}}}, "warning two_printers,ok device,ok device"},
		"none of class":       {doctor.Bench{Class: &class, Asked: true, Devices: []doctor.Device{printer}}, "missing"},
		"unknown":             {doctor.Bench{Tree: sysfstest.Plant(t, stranger)}, "warning unknown"},
		"module alone":        {doctor.Bench{Tree: sysfstest.Plant(t, "[sys/module/pn533_usb]")}, "warning pn533"},
		"brltty": {
			doctor.Bench{Tree: sysfstest.Plant(t, stranger+"[proc/9]\ncomm=brltty\n"), Devices: []doctor.Device{{Role: "display", USB: "1234:5678", State: devices.StateReady}}},
			"error brltty,ok device",
		},
	} {
		if c.bench.Tree.Root == "" {
			c.bench.Tree = sysfstest.Plant(t, "")
		}
		got := strings.Join(codes(t, c.bench), ",")
		if got != c.want && (name != "none of class" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestALearnedFramingIsTold(t *testing.T) {
	got := codes(t, doctor.Bench{Tree: sysfstest.Plant(t, ""), Asked: true, Devices: []doctor.Device{
		{Name: "scanner", Role: "scanner", State: devices.StateReady, Framing: "CRLF", Learned: true},
		{Name: "hall", Role: "scanner", State: devices.StateReady, Framing: "CR"},
	}})
	if n := len(slices.DeleteFunc(got, func(s string) bool { return s != "info framing" })); n != 1 {
		t.Errorf("%d findings of a learned framing, want 1", n)
	}
}
