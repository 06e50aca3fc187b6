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

// Match says how a device of the model is recognised.
type Match struct {
	USB []USBMatch `yaml:"usb"`
	GSI []GSIMatch `yaml:"gs_i"`
	// PCSC are beginnings of the reader's name at the PC/SC daemon.
	PCSC []string `yaml:"pcsc"`
}

// USBMatch is one USB identity. PID "*" is any of the vendor's.
type USBMatch struct {
	VID string `yaml:"vid"` // four hex digits, lower case
	PID string `yaml:"pid"` // likewise, or "*"
}

// GSIMatch is what the printer answers to GS I 66 and 67.
type GSIMatch struct {
	Maker string `yaml:"maker"`
	Model string `yaml:"model"`
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
