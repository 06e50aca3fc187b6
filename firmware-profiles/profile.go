package profiles

import (
	"errors"
	"time"
)

// ErrUnknown is returned for a profile that does not ship.
var ErrUnknown = errors.New("no such profile")

// Kind is what a profile describes.
type Kind string

// The kinds, as the key "kind" of every file says them.
const (
	KindPrinter Kind = "printer"
	KindScanner Kind = "scanner"
	KindNFC     Kind = "nfc"
	KindDisplay Kind = "linedisplay"
	KindClass   Kind = "class"
)

// folder is where the files of the kind lie; classes lie at the top.
func (k Kind) folder() string {
	if k == KindClass {
		return "."
	}
	return string(k)
}

// Confidence says how sure a fact is.
type Confidence string

// The degrees of confidence.
const (
	Documented Confidence = "documented" // in the maker's manual or the standard
	Reported   Confidence = "reported"   // in the code or the issues of other projects
	Assumed    Confidence = "assumed"    // usual for the kind; not seen for this model
	Measured   Confidence = "measured"   // seen on the device itself
)

// degrees are the degrees of confidence, surest first.
func degrees() []Confidence { return []Confidence{Measured, Documented, Reported, Assumed} }

// Fact is where what a profile says comes from.
type Fact struct {
	Source     string     `yaml:"source"`
	Confidence Confidence `yaml:"confidence"`
}

// Product is a name under which the model is sold.
type Product struct {
	Brand string `yaml:"brand"`
	Model string `yaml:"model"`
}

// Lineage is what a model takes from another one, and how far it is known.
type Lineage struct {
	// Like names another profile of the same kind; every section that this file leaves
	// out is that one's, and is assumed unless facts say better.
	Like string `yaml:"like"`
	// Unverified marks a model that is only recognised: nobody has sourced what it can do.
	// It says products, match and perhaps like, and the agent tells that it is a guess.
	Unverified bool `yaml:"unverified"`
	// Firmware is how versions of its firmware are told apart, and the oldest that works.
	Firmware Firmware `yaml:"firmware"`

	above int // how many profiles are above it in its chain
}

// Match says how a device of the model is recognised.
type Match struct {
	USB []USBMatch `yaml:"usb"`
	GSI []GSIMatch `yaml:"gs_i"`
	// PCSC are beginnings of the reader's name at the PC/SC daemon.
	PCSC []string `yaml:"pcsc"`
}

// Function is what a USB device presents itself as. One box may be several by its
// setting: a scanner is a keyboard, a HID-POS device or a serial line.
type Function string

// The functions. Class codes are those of usb.org/defined-class-codes; HID-POS is usage
// page 8Ch, usage 02h (HID Point of Sale Usage Tables 1.02).
const (
	AsPrinter  Function = "printer"  // printer class, 07/01
	AsHIDPOS   Function = "hid-pos"  // HID, 03, that says usage page 8Ch, bar code scanner
	AsKeyboard Function = "keyboard" // HID boot keyboard, 03/01/01
	AsCDC      Function = "cdc"      // communications class, 02: the kernel makes ttyACM of it
	AsBridge   Function = "bridge"   // a chip that makes a serial line: ttyUSB; it tells nothing of what hangs on it
	AsCCID     Function = "ccid"     // smart card class, 0B
	AsVendor   Function = "vendor"   // a protocol of the maker's own
)

// USBMatch is one USB identity.
type USBMatch struct {
	VID string `yaml:"vid"` // four hex digits, lower case; "*" is any maker's, with As alone
	PID string `yaml:"pid"` // likewise; "*" is any of the maker's products
	// As is the function that the identity has; empty takes any.
	As Function `yaml:"as"`
	// BCD is bcdDevice, four hex digits; empty takes any.
	BCD string `yaml:"bcd"`
	// Product is a part of the product string, in any case; for makers that sell several
	// languages under one PID. Empty takes any.
	Product string `yaml:"product"`
	// Serial is the beginning of the serial number; empty takes any.
	Serial string `yaml:"serial"`
}

// GSIMatch is what the printer answers to GS I 66, 67 and 69.
type GSIMatch struct {
	Maker string `yaml:"maker"`
	Model string `yaml:"model"`
	// Font is the beginning of the answer to GS I 69, such as "CHINA"; empty takes any.
	Font string `yaml:"font"`
}

// Serial is how the model's serial line is set as shipped.
type Serial struct {
	Baud   int    `yaml:"baud"`
	Bits   int    `yaml:"bits"`   // 7 or 8
	Parity string `yaml:"parity"` // none, even, odd
	Stop   int    `yaml:"stop"`   // 1 or 2
	// Flow is none, dtr (the usual ready line of printers) or xonxoff. It is what the box
	// does; the agent paces itself by the write deadline, so it is for the installer to read.
	Flow string `yaml:"flow"`
}

// milliseconds turns a profile's number into a duration.
func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
