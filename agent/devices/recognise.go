package devices

import (
	"cmp"
	"slices"
	"strings"

	"dcpos/agent/devices/sysfs"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// Seen is a device in the words of profiles.
func Seen(d sysfs.Device) profiles.Seen {
	s := profiles.Seen{VID: d.VID, PID: d.PID, BCD: d.BCD, Manufacturer: d.Maker, Product: d.Product, Serial: d.Serial}
	for _, i := range d.Interface {
		s.Interfaces = append(s.Interfaces, profiles.Interface{Class: i.Class, Subclass: i.SubClass, Protocol: i.Protocol})
		for _, n := range i.Nodes {
			for _, u := range sysfs.Collections(n.Report) {
				s.HIDUsages = append(s.HIDUsages, profiles.HIDUsage{Page: u.Page, Usage: u.Usage})
			}
		}
	}
	return s
}

// recognised is a device that may be used without a configuration.
type recognised struct {
	kind   profiles.Kind
	config drivers.DeviceConfig
}

// recognise finds the one profile of a device and the way to reach it.
func (s *Set) recognise(d sysfs.Device) (recognised, bool) {
	c, ok := profiles.Certain(s.reachable(s.o.Identify(Seen(d))))
	if !ok {
		return recognised{}, false
	}
	t, ok := s.way(d, c)
	return recognised{c.Kind, drivers.DeviceConfig{Profile: c.Profile, Transport: t}}, ok
}

// The drivers of chip card readers, as profiles name them.
const (
	driverPCSC = "pcsc" // through the daemon
	driverCCID = "ccid" // by ourselves
)

// pcscSocket is where the PC/SC daemon listens.
const pcscSocket = "run/pcscd/pcscd.comm"

// reachable leaves out the driver of a reader that is not this machine's, where both
// know the reader: the PC/SC daemon has the readers while it runs.
func (s *Set) reachable(candidates []profiles.Candidate) []profiles.Candidate {
	ours, other := driverCCID, driverPCSC
	if s.o.Tree.Exists(pcscSocket) {
		ours, other = other, ours
	}
	by := func(driver string) func(profiles.Candidate) bool {
		return func(c profiles.Candidate) bool { return c.Driver == driver }
	}
	if !slices.ContainsFunc(candidates, by(ours)) {
		return candidates
	}
	return slices.DeleteFunc(slices.Clone(candidates), by(other))
}

// way is how to reach a device that presents itself as c says; false while its node has
// not come yet.
func (s *Set) way(d sysfs.Device, c profiles.Candidate) (drivers.TransportConfig, bool) {
	usb := drivers.TransportConfig{Kind: drivers.TransportUSB, VID: d.VID, PID: d.PID, Serial: d.Serial, Port: d.Port}
	as := c.As
	if as == "" {
		as = presentsAs(d)
	}
	switch as {
	case profiles.AsPrinter, profiles.AsVendor:
		return usb, true
	case profiles.AsCCID:
		if c.Driver != driverCCID {
			return drivers.TransportConfig{Kind: drivers.TransportPCSC}, true
		}
		return usb, true
	case profiles.AsHIDPOS:
		n, ok := node(d, "hidraw")
		return drivers.TransportConfig{Kind: drivers.TransportHID, Path: n.Path, VID: d.VID, PID: d.PID, Serial: d.Serial}, ok
	case profiles.AsKeyboard:
		n, ok := node(d, "input")
		return drivers.TransportConfig{Kind: drivers.TransportEvdev, Path: n.Path, VID: d.VID, PID: d.PID, Serial: d.Serial}, ok
	case profiles.AsCDC, profiles.AsBridge:
		n, ok := node(d, "tty")
		return drivers.TransportConfig{Kind: drivers.TransportSerial, Path: cmp.Or(n.ByID, n.Path)}, ok
	}
	return drivers.TransportConfig{}, false
}

// presentsAs guesses the function from the interfaces, where the profile leaves it open.
func presentsAs(d sysfs.Device) profiles.Function {
	has := func(f func(sysfs.Interface) bool) bool { return slices.ContainsFunc(d.Interface, f) }
	switch {
	case has(func(i sysfs.Interface) bool { return i.Class == 0x07 }):
		return profiles.AsPrinter
	case has(func(i sysfs.Interface) bool { return i.Class == 0x0b }):
		return profiles.AsCCID
	case has(func(i sysfs.Interface) bool { return i.Class == 0x02 }):
		return profiles.AsCDC
	case has(func(i sysfs.Interface) bool { return i.Class == 0x03 && i.Protocol == 1 }):
		return profiles.AsKeyboard
	case has(func(i sysfs.Interface) bool { return i.Class == 0x03 }):
		return profiles.AsHIDPOS
	}
	if _, ok := node(d, "tty"); ok {
		return profiles.AsBridge
	}
	return profiles.AsVendor
}

// KindOf guesses what an unknown device is, for the draft of its profile: by the best
// candidate, else by what it presents itself as.
func KindOf(d sysfs.Device) profiles.Kind {
	for _, c := range profiles.Identify(Seen(d)) {
		if c.Reason != profiles.ByBridge {
			return c.Kind
		}
	}
	switch presentsAs(d) {
	case profiles.AsPrinter:
		return profiles.KindPrinter
	case profiles.AsCCID:
		return profiles.KindNFC
	case profiles.AsHIDPOS, profiles.AsKeyboard, profiles.AsCDC:
		return profiles.KindScanner
	case profiles.AsBridge, profiles.AsVendor: // the commonest of what is sold with a bridge
	}
	return profiles.KindPrinter
}

func node(d sysfs.Device, subsystem string) (sysfs.Node, bool) {
	for _, i := range d.Interface {
		for _, n := range i.Nodes {
			if n.Subsystem == subsystem && (subsystem != "input" || isEvent(n.Path)) {
				return n, true
			}
		}
	}
	return sysfs.Node{}, false
}

// isEvent leaves out the older nodes of an input device, mouseN and jsN.
func isEvent(path string) bool { return strings.HasPrefix(path, "/dev/input/event") }

// Unknown is a plugged device that no station uses.
type Unknown struct {
	sysfs.Device

	// Candidates are profiles that may be right, best first; none: it is not known.
	Candidates []profiles.Candidate `json:"candidates,omitempty"`
}

// Unknown lists devices that may belong to a till and are not used: not recognised,
// recognised by more than one profile, or a spare. Storage, mice, cameras and networks
// are left out.
func (s *Set) Unknown() []Unknown {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[string]bool{}
	for _, st := range s.stations {
		used[st.keyed()] = true
	}
	out := []Unknown{}
	for _, d := range s.found {
		if key, _ := keyOf(d, s.found); !used[key] && OfTill(d) {
			out = append(out, Unknown{Device: d, Candidates: s.o.Identify(Seen(d))})
		}
	}
	return out
}

// OfTill reports whether a USB device may be one of a till's: it has an interface of a
// printer, a serial line, a smart card reader, a maker's own, or HID other than a mouse.
func OfTill(d sysfs.Device) bool {
	return slices.ContainsFunc(d.Interface, func(i sysfs.Interface) bool {
		switch i.Class {
		case 0x02, 0x07, 0x0b, 0xff:
			return true
		case 0x03:
			return i.Protocol != 2
		}
		return false
	})
}
