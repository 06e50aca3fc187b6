package device

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"time"
)

// KeyboardScannerOptions say how the modelled scanner types.
type KeyboardScannerOptions struct {
	// Suffix is typed after each code; default "\r". NoSuffix for none.
	Suffix string
	// NoSuffix types no suffix.
	NoSuffix bool
	// AIM types the AIM identifier before each code.
	AIM bool
	// Control says how bytes below 20h are typed: "ctrl" (default), Ctrl with the key whose
	// character has the same low five bits, or "alt", Alt with the number on the keypad.
	Control string
	// Keypad types digits on the keypad.
	Keypad bool
	// HoldShift keeps shift down between capitals instead of releasing it.
	HoldShift bool
}

// KeyboardScanner is the model of a bar code scanner that types (HID 1.11, appendix B:
// boot keyboard). It types US positions whatever the host's layout is.
type KeyboardScanner struct {
	opt     KeyboardScannerOptions
	reports chan []byte

	mu   sync.Mutex
	leds []byte
}

var _ HIDModel = (*KeyboardScanner)(nil)

// NewKeyboardScanner makes a scanner.
func NewKeyboardScanner(opt KeyboardScannerOptions) *KeyboardScanner {
	if opt.Suffix == "" && !opt.NoSuffix {
		opt.Suffix = "\r"
	}
	return &KeyboardScanner{opt: opt, reports: make(chan []byte, reportQueue)}
}

// ReportDescriptor implements HIDModel: the boot keyboard of HID 1.11, appendix E.6.
func (*KeyboardScanner) ReportDescriptor() []byte {
	return []byte{
		0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,
		0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, // modifiers
		0x95, 0x01, 0x75, 0x08, 0x81, 0x01, // reserved
		0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, // lamps
		0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, // six keys
		0xc0,
	}
}

// Reports implements HIDModel.
func (s *KeyboardScanner) Reports() <-chan []byte { return s.reports }

// SetFeature implements HIDModel; a keyboard has none.
func (*KeyboardScanner) SetFeature(byte, []byte) {}

// Output implements HIDModel: the keyboard's lamps.
func (s *KeyboardScanner) Output(report []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leds = bytes.Clone(report)
}

// Lamps is the last report of the host about the keyboard's lamps.
func (s *KeyboardScanner) Lamps() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.leds)
}

// Scan types a code. Characters that a US keyboard does not have are left out.
func (s *KeyboardScanner) Scan(code, symbology string) error {
	return send(s.reports, s.ScanReports(code, symbology)...)
}

// Bits of the first byte of a report.
const (
	leftCtrl  = 0x01
	leftShift = 0x02
	leftAlt   = 0x04
)

// ScanReports are the reports of one code, for benches that send them by themselves.
func (s *KeyboardScanner) ScanReports(code, symbology string) [][]byte {
	if !s.opt.AIM {
		symbology = ""
	}
	var out [][]byte
	press := func(modifiers, usage, after byte) {
		out = append(out, []byte{modifiers, 0, usage, 0, 0, 0, 0, 0}, []byte{after, 0, 0, 0, 0, 0, 0, 0})
	}
	text := symbology + code + s.opt.Suffix
	for i := range len(text) {
		c := text[i]
		usage, shift := usageOf(c)
		switch {
		case usage == 0 && c < 0x20 && s.opt.Control == "alt":
			for _, digit := range strings.Split(strconv.Itoa(int(c)), "") {
				press(leftAlt, keypadUsage(digit[0]), leftAlt)
			}
			out = append(out, make([]byte, 8))
		case usage == 0 && c < 0x20:
			partner, shifted := usageOf(c | 0x60)
			if c >= 0x1b {
				partner, shifted = usageOf(c | 0x40) // 1D is Ctrl with the key of ]
			}
			modifiers := byte(leftCtrl)
			if shifted {
				modifiers |= leftShift
			}
			press(modifiers, partner, 0)
		case usage == 0:
		case s.opt.Keypad && c >= '0' && c <= '9':
			press(0, keypadUsage(c), 0)
		case shift && s.opt.HoldShift && i+1 < len(text) && text[i+1] >= 'A' && text[i+1] <= 'Z':
			press(leftShift, usage, leftShift)
		case shift:
			press(leftShift, usage, 0)
		default:
			press(0, usage, 0)
		}
	}
	return out
}

// usageOf is the key of a character on a US keyboard (HID Usage Tables, page 07).
func usageOf(c byte) (usage byte, shift bool) {
	switch {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 4, false
	case c >= 'A' && c <= 'Z':
		return c - 'A' + 4, true
	case c >= '1' && c <= '9':
		return c - '1' + 30, false
	case c == '\r' || c == '\n':
		return 40, false
	case c == '\t':
		return 43, false
	case c == ' ':
		return 44, false
	}
	if i := strings.IndexByte("0", c); i == 0 {
		return 39, false
	}
	if i := strings.IndexByte("!@#$%^&*()", c); i >= 0 {
		return byte(30 + i), true //nolint:gosec // at most 39
	}
	const plain, shifted = "-=[]\\\x00;'`,./", "_+{}|\x00:\"~<>?" // usages 2D to 38; 32 is no US key
	if i := strings.IndexByte(plain, c); i >= 0 && c != 0 {
		return byte(0x2d + i), false //nolint:gosec // at most 38
	}
	if i := strings.IndexByte(shifted, c); i >= 0 && c != 0 {
		return byte(0x2d + i), true //nolint:gosec // at most 38
	}
	return 0, false
}

func keypadUsage(digit byte) byte {
	if digit == '0' {
		return 0x62
	}
	return digit - '1' + 0x59
}

// KeyEvent is one struct input_event of the kernel (linux/input.h), without its time.
type KeyEvent struct {
	Type, Code uint16
	Value      int32
}

// The types and codes that a keyboard's events have.
const (
	evSyn, evKey, evMsc    = 0, 1, 4
	synReport, synDropped  = 0, 3
	mscScan                = 4
	keyboardPage           = 0x70000 // what MSC_SCAN shows of usage page 07
	leftCtrlUsage, lastMod = 0xe0, 0xe7
)

// KeyEvents are the kernel's events for a report that follows another, ended by a
// SYN_REPORT; none when nothing changed. The first report of a device follows nil.
func KeyEvents(before, report []byte) []KeyEvent {
	var out []KeyEvent
	put := func(usage byte, value int32) {
		out = append(out, KeyEvent{evMsc, mscScan, keyboardPage + int32(usage)}, KeyEvent{evKey, keyOf(usage), value})
	}
	if before == nil {
		before = make([]byte, 8)
	}
	for bit := range 8 {
		was, is := before[0]>>bit&1, report[0]>>bit&1
		if was != is {
			put(byte(leftCtrlUsage+bit), int32(is)) //nolint:gosec // at most E7
		}
	}
	for _, usage := range before[2:] {
		if usage != 0 && bytes.IndexByte(report[2:], usage) < 0 {
			put(usage, 0)
		}
	}
	for _, usage := range report[2:] {
		if usage != 0 && bytes.IndexByte(before[2:], usage) < 0 {
			put(usage, 1)
		}
	}
	if len(out) > 0 {
		out = append(out, KeyEvent{evSyn, synReport, 0})
	}
	return out
}

// Dropped is the event by which the kernel tells that its buffer ran over.
func Dropped() KeyEvent { return KeyEvent{evSyn, synDropped, 0} }

// keyOf is the kernel's key code of a usage (drivers/hid/hid-input.c, hid_keyboard).
func keyOf(usage byte) uint16 {
	if usage >= leftCtrlUsage && usage <= lastMod {
		return [...]uint16{29, 42, 56, 125, 97, 54, 100, 126}[usage-leftCtrlUsage]
	}
	const first = 4
	keys := [...]uint16{
		30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44, // a to z
		2, 3, 4, 5, 6, 7, 8, 9, 10, 11, // 1 to 0
		28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53, 58, // enter to caps lock
	}
	switch {
	case usage >= first && int(usage-first) < len(keys):
		return keys[usage-first]
	case usage >= 0x59 && usage <= 0x62:
		return [...]uint16{79, 80, 81, 75, 76, 77, 71, 72, 73, 82}[usage-0x59]
	}
	return 240 // KEY_UNKNOWN
}

// EncodeKeyEvents writes events as a 64-bit kernel gives them to a reader: 24 bytes each
// in the machine's byte order.
func EncodeKeyEvents(at time.Duration, events ...KeyEvent) []byte {
	var out []byte
	for _, e := range events {
		out = binary.NativeEndian.AppendUint64(out, uint64(at/time.Second))                  //nolint:gosec // a time since boot
		out = binary.NativeEndian.AppendUint64(out, uint64(at%time.Second/time.Microsecond)) //nolint:gosec // likewise
		out = binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(out, e.Type), e.Code)
		out = binary.NativeEndian.AppendUint32(out, uint32(e.Value)) //nolint:gosec // two's complement on the wire
	}
	return out
}

// Type sends reports as they are: keys one by one, halves of codes.
func (s *KeyboardScanner) Type(reports ...[]byte) error { return send(s.reports, reports...) }
