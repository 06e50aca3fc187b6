// Package wedge reads what a scanner types: the kernel's input events become bytes, by
// the position of the keys on a US keyboard, whatever layout the system has.
//
// Control characters are understood in the two ways in which scanners type them: Ctrl
// with a key (Ctrl ] is GS) and Alt with a number on the keypad (Alt 0 2 9 is GS). A key
// that can be in no code becomes a zero byte, which no code has: the code is refused
// instead of being read without it.
package wedge

import (
	"encoding/binary"
	"strconv"
	"time"
	"unicode/utf8"
)

// AltCodes says what a number above 255 typed with Alt means.
type AltCodes string

// The meanings.
const (
	AltGBK     AltCodes = "gbk"     // a double byte of GBK, as a Chinese Windows has it
	AltUnicode AltCodes = "unicode" // a Unicode code point
)

// Stroke is what one key did.
type Stroke struct {
	// Bytes were typed; Enter is CR, Tab is HT. Empty when Lost.
	Bytes []byte
	// Lost: the kernel dropped events before this moment (SYN_DROPPED). What was being
	// typed is not known any more; throw away everything up to the next end.
	Lost bool
	// At is the kernel's time of the event.
	At time.Duration
}

// EventSize is the size of struct input_event on this machine (linux/input.h).
const EventSize = 2*strconv.IntSize/8 + 8

// Of linux/input-event-codes.h.
const (
	evSyn, evKey          = 0, 1
	synReport, synDropped = 0, 3
	released, pressed     = 0, 1 // 2 is the kernel's repeat of a key held down
)

const maxAltDigits = 7 // more than any code point has

// Decoder turns events into strokes. The zero value is ready; it keeps an event that
// came only in part.
type Decoder struct {
	AltCodes AltCodes // default AltGBK

	rest              []byte
	shift, ctrl, alt  uint8 // bit 0 left, bit 1 right
	caps              bool
	number, numDigits int  // typed with Alt
	ignoring          bool // between SYN_DROPPED and the next SYN_REPORT
	out               []Stroke
}

// Take takes events as they were read and returns what was typed.
func (d *Decoder) Take(p []byte) []Stroke {
	d.out = nil
	d.rest = append(d.rest, p...)
	for len(d.rest) >= EventSize {
		e := d.rest[:EventSize]
		at := eventTime(e)
		body := e[EventSize-8:]
		d.event(at, binary.NativeEndian.Uint16(body), binary.NativeEndian.Uint16(body[2:]),
			int32(binary.NativeEndian.Uint32(body[4:]))) //nolint:gosec // a C int
		d.rest = d.rest[EventSize:]
	}
	d.rest = append([]byte(nil), d.rest...)
	return d.out
}

func eventTime(e []byte) time.Duration {
	if strconv.IntSize == 32 {
		return time.Duration(binary.NativeEndian.Uint32(e))*time.Second +
			time.Duration(binary.NativeEndian.Uint32(e[4:]))*time.Microsecond
	}
	seconds, micros := binary.NativeEndian.Uint64(e), binary.NativeEndian.Uint64(e[8:])
	const century = 100 * 365 * 24 * 3600                                                                // keeps the product in range whatever came
	return time.Duration(seconds%century)*time.Second + time.Duration(micros%1_000_000)*time.Microsecond //nolint:gosec // bounded
}

func (d *Decoder) event(at time.Duration, kind, code uint16, value int32) {
	switch {
	case kind == evSyn && code == synDropped:
		// Keys may have been released unseen: a scanner holds none between codes.
		rest, alt := d.rest, d.AltCodes
		out := append(d.out, Stroke{Lost: true, At: at})
		*d = Decoder{AltCodes: alt, rest: rest, ignoring: true, out: out}
	case kind == evSyn && code == synReport:
		d.ignoring = false
	case d.ignoring || kind != evKey:
	case value == pressed:
		d.press(at, code)
	case value == released:
		d.release(at, code)
	}
}

// Key codes of linux/input-event-codes.h that are no character.
const (
	keyLeftCtrl, keyRightCtrl   = 29, 97
	keyLeftShift, keyRightShift = 42, 54
	keyLeftAlt, keyRightAlt     = 56, 100
	keyLeftMeta, keyRightMeta   = 125, 126
	keyCaps, keyNum, keyScroll  = 58, 69, 70
)

func (d *Decoder) press(at time.Duration, key uint16) {
	switch key {
	case keyLeftShift, keyRightShift:
		d.shift |= side(key == keyRightShift)
	case keyLeftCtrl, keyRightCtrl:
		d.ctrl |= side(key == keyRightCtrl)
	case keyLeftAlt, keyRightAlt:
		if d.alt == 0 {
			d.number, d.numDigits = 0, 0
		}
		d.alt |= side(key == keyRightAlt)
	case keyCaps:
		d.caps = !d.caps
	case keyNum, keyScroll, keyLeftMeta, keyRightMeta:
	default:
		d.character(at, key)
	}
}

func (d *Decoder) release(at time.Duration, key uint16) {
	switch key {
	case keyLeftShift, keyRightShift:
		d.shift &^= side(key == keyRightShift)
	case keyLeftCtrl, keyRightCtrl:
		d.ctrl &^= side(key == keyRightCtrl)
	case keyLeftAlt, keyRightAlt:
		was := d.alt
		d.alt &^= side(key == keyRightAlt)
		if was != 0 && d.alt == 0 && d.numDigits > 0 {
			d.put(at, d.altCode()...)
		}
	}
}

func side(right bool) uint8 {
	if right {
		return 2
	}
	return 1
}

func (d *Decoder) put(at time.Duration, b ...byte) { d.out = append(d.out, Stroke{Bytes: b, At: at}) }

func (d *Decoder) character(at time.Duration, key uint16) {
	pad, onPad := keypad(key)
	if d.alt != 0 {
		if !onPad || pad < '0' || pad > '9' || d.numDigits == maxAltDigits {
			d.numDigits, d.number = 0, 0
			d.put(at, 0)
			return
		}
		d.number, d.numDigits = d.number*10+int(pad-'0'), d.numDigits+1
		return
	}
	plain, shifted := position(key)
	if onPad {
		plain, shifted = pad, pad
	}
	c := plain
	if (d.shift != 0) != (d.caps && plain >= 'a' && plain <= 'z') {
		c = shifted
	}
	if d.ctrl != 0 {
		c = control(c)
	}
	d.put(at, c)
	if c == '\r' {
		d.caps = false // a scanner that types Caps Lock does so for its own code
	}
}

// control is what Ctrl makes of a character: the low five bits of @, A to Z, [ \ ] ^ _.
func control(c byte) byte {
	if c >= '@' && c <= '_' || c >= 'a' && c <= 'z' {
		return c & 0x1f
	}
	return 0
}

// altCode is the character whose number was typed with Alt.
func (d *Decoder) altCode() []byte {
	n := d.number
	d.number, d.numDigits = 0, 0
	switch {
	case n < 256:
		return []byte{byte(n)} //nolint:gosec // in range
	case d.AltCodes != AltUnicode && n < 65536:
		return []byte{byte(n >> 8), byte(n)} //nolint:gosec // in range
	case d.AltCodes == AltUnicode && utf8.ValidRune(rune(n)): //nolint:gosec // seven digits
		return utf8.AppendRune(nil, rune(n)) //nolint:gosec // likewise
	}
	return []byte{0}
}

// position is what a key types on a US keyboard, without and with Shift; 0, 0 for a key
// that types nothing.
func position(key uint16) (plain, shifted byte) {
	const (
		first  = "1234567890-=\x00\tqwertyuiop[]\r\x00asdfghjkl;'`\x00\\zxcvbnm,./" // keys 2 to 53
		second = "!@#$%^&*()_+\x00\tQWERTYUIOP{}\r\x00ASDFGHJKL:\"~\x00|ZXCVBNM<>?"
	)
	switch {
	case key >= 2 && int(key-2) < len(first):
		return first[key-2], second[key-2]
	case key == 57:
		return ' ', ' '
	case key == 86: // the key beside the left Shift of European keyboards
		return '\\', '|'
	case key == 96: // Enter on the keypad
		return '\r', '\r'
	}
	return 0, 0
}

// keypad is what a key of the keypad types, with Num Lock on.
func keypad(key uint16) (byte, bool) {
	const pad = "789-456+1230." // keys 71 to 83
	switch {
	case key >= 71 && key <= 83:
		return pad[key-71], true
	case key == 55:
		return '*', true
	case key == 98:
		return '/', true
	}
	return 0, false
}
