package profiles

import "time"

// Scanner is one model of bar code scanner.
type Scanner struct {
	Lineage `yaml:",inline"`

	Name     string          `yaml:"-"` // the file's name without .yaml
	Kind     Kind            `yaml:"kind"`
	Driver   string          `yaml:"driver"` // a name in drivers/all
	Products []Product       `yaml:"products"`
	Match    Match           `yaml:"match"`
	Serial   Serial          `yaml:"serial"`
	Framing  Framing         `yaml:"framing"`
	Trigger  Trigger         `yaml:"trigger"`
	HID      HIDPOS          `yaml:"hid"`
	Keyboard Keyboard        `yaml:"keyboard"`
	Facts    map[string]Fact `yaml:"facts"` // by top-level key: where it comes from
	Notes    string          `yaml:"notes"`
}

// Framing is how codes are told apart in the stream of bytes.
type Framing struct {
	// Prefix stands before every code and is taken off, such as STX; may be empty.
	Prefix string `yaml:"prefix"`
	// End lists what may end a code: "\r", "\n", "\r\n", "\t", "\x03". An LF that follows a
	// CR is never the start of the next code, whichever of them is listed.
	End []string `yaml:"end"`
	// IdleMS ends a code by silence, for scanners that send no End; 0 when they do.
	IdleMS int `yaml:"idle_ms"`
	// MaxBytes is the longest code; a longer one is an error and is skipped to its end.
	MaxBytes int `yaml:"max_bytes"`
	// StaleMS is after how long a half code is thrown away, and a whole one that nobody took.
	StaleMS int `yaml:"stale_ms"`
	// AIM is true when the scanner puts the AIM identifier (]E0) before the code.
	AIM bool `yaml:"aim"`
	// Learn lets the driver find out by itself whether CR, LF, CRLF or nothing ends a code,
	// and which control byte stands before it; End, IdleMS and Prefix then stay empty.
	Learn bool `yaml:"learn"`
}

// Idle is the silence that ends a code; 0 when only End does.
func (f Framing) Idle() time.Duration { return milliseconds(f.IdleMS) }

// Stale is after how long a half code or an untaken one is thrown away.
func (f Framing) Stale() time.Duration { return milliseconds(f.StaleMS) }

// Trigger are the bytes that switch the scanner's light on and off; empty when it has none.
type Trigger struct {
	On  string `yaml:"on"`
	Off string `yaml:"off"`
}

// HIDPOS is what a scanner in HID-POS mode (usage page 8C) needs besides the standard.
type HIDPOS struct {
	// Feature is a feature report sent after opening, byte by byte, its id first: [0xfe, 0x01].
	Feature []int `yaml:"feature"`
	// Symbology says whose letters the report's last bytes have, for boxes that send no AIM
	// identifier: honeywell; empty for none.
	Symbology string `yaml:"symbology"`
	// Beeps is true when the host may sound the scanner's beeper by its output report.
	Beeps bool `yaml:"beeps"`
}

// FeatureReport is Feature as bytes; empty for none.
func (h HIDPOS) FeatureReport() []byte {
	out := make([]byte, len(h.Feature))
	for i, b := range h.Feature {
		out[i] = byte(b) //nolint:gosec // the rules allow 0 to 255
	}
	return out
}

// Keyboard is what a scanner that types needs.
type Keyboard struct {
	// AltCodes says what a number above 255 typed with Alt is: gbk or unicode.
	AltCodes string `yaml:"alt_codes"`
}
