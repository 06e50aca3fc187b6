package drivers

import (
	"errors"
	"fmt"

	"dcpos/pos"
)

// CodeDevice is the pos.Code of errors about devices other than printers.
const CodeDevice pos.Code = "device"

// DeviceConfig says which box stands here: a profile, and the port it hangs on.
type DeviceConfig struct {
	// Name is this till's name for the device, for logs and screens. Default: the profile's name.
	Name string `json:"name" yaml:"name"`
	// Profile is a name of firmware-profiles, such as "escpos-80mm-gb18030".
	Profile string `json:"profile" yaml:"profile"`
	// Font is the font file that draws what a printer's own font lacks; empty takes those of
	// Debian's fonts-wqy-microhei and fonts-noto-cjk. Printers.
	Font string `json:"font,omitempty" yaml:"font,omitempty"`
	// Framing fixes how a scanner on a serial line frames its codes, whatever its profile
	// says or was learned. Scanners.
	Framing *Framing `json:"framing,omitempty" yaml:"framing,omitempty"`
	// Learned is what the scanner's driver found out in an earlier life; nil: nothing. It is
	// the program's memory, not a setting.
	Learned *LearnedFraming `json:"-" yaml:"-"`
	// Transport is where it hangs.
	Transport TransportConfig `json:"transport" yaml:"transport"`
}

// TransportKind is a way to reach a device.
type TransportKind string

// The kinds.
const (
	TransportSerial TransportKind = "serial" // a tty, also of a USB bridge or CDC-ACM
	TransportUSB    TransportKind = "usb"    // a USB interface taken by libusb: printer class, CCID
	TransportTCP    TransportKind = "tcp"    // a raw socket, port 9100 on printers
	TransportHID    TransportKind = "hid"    // a HID-POS scanner by hidraw
	TransportEvdev  TransportKind = "evdev"  // a scanner that types, taken from the kernel's input layer
	TransportPCSC   TransportKind = "pcsc"   // a reader by the PC/SC daemon

	// TransportPrinter is the printer's pass-through port (ESC =): the device hangs behind
	// this till's printer. Displays whose profile says select.
	TransportPrinter TransportKind = "printer"
)

// TransportConfig is one port. Only the fields of its kind are used.
type TransportConfig struct {
	Kind TransportKind `json:"kind" yaml:"kind"`

	// Path is the device file: the tty, best below /dev/serial/by-id (serial), /dev/hidrawN
	// (hid) or /dev/input/eventN (evdev). HID and evdev may leave it empty and are found by
	// VID, PID and Serial.
	Path string `json:"path,omitempty" yaml:"path,omitempty"`
	// Baud in bits per second; 0 takes the profile's. Serial.
	Baud int `json:"baud,omitempty" yaml:"baud,omitempty"`

	// VID and PID choose a USB device, "04b8" style; both empty take the profile's list. USB, HID, evdev.
	VID string `json:"vid,omitempty" yaml:"vid,omitempty"`
	PID string `json:"pid,omitempty" yaml:"pid,omitempty"`
	// Serial narrows to one box where two are alike. USB, HID, evdev.
	Serial string `json:"serial,omitempty" yaml:"serial,omitempty"`

	// Port narrows to the socket that the box is plugged into, "1-1.4" as the kernel names it:
	// for two boxes that are alike and have no serial number. USB.
	Port string `json:"port,omitempty" yaml:"port,omitempty"`

	// Address is host:port. TCP.
	Address string `json:"address,omitempty" yaml:"address,omitempty"`

	// Reader is the reader's name at the PC/SC daemon, or the beginning of it; empty takes
	// the first that the profile's match names. PC/SC.
	Reader string `json:"reader,omitempty" yaml:"reader,omitempty"`
}

// Check tells the first thing that is wrong with the configuration.
func (c DeviceConfig) Check() error {
	if c.Profile == "" {
		return errors.New("profile: name one of firmware-profiles")
	}
	if c.Framing != nil {
		if err := c.Framing.Check(); err != nil {
			return fmt.Errorf("framing.%w", err)
		}
	}
	switch t := c.Transport; t.Kind {
	case TransportSerial:
		if t.Path == "" {
			return errors.New("transport.path: name the tty, such as /dev/serial/by-id/…")
		}
	case TransportPCSC, TransportPrinter:
	case TransportUSB, TransportHID, TransportEvdev:
		if (t.VID == "") != (t.PID == "") {
			return errors.New("transport.vid, transport.pid: give both or none")
		}
	case TransportTCP:
		if t.Address == "" {
			return errors.New("transport.address: give host:port")
		}
	default:
		return fmt.Errorf("transport.kind %q: want serial, usb, tcp, hid, evdev, pcsc or printer", t.Kind)
	}
	return nil
}
