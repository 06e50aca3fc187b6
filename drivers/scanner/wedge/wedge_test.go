package wedge_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"dcpos/drivers/scanner/wedge"
	"dcpos/lab/device"
)

// events are the kernel's for a scanner that types codes one after the other.
func events(opt device.KeyboardScannerOptions, codes ...string) []device.KeyEvent {
	model := device.NewKeyboardScanner(opt)
	var out []device.KeyEvent
	var before []byte
	for _, c := range codes {
		for _, r := range model.ScanReports(c, "") {
			out = append(out, device.KeyEvents(before, r)...)
			before = r
		}
	}
	return out
}

// typed is what a decoder makes of events; "<lost>" where the kernel dropped some.
func typed(d *wedge.Decoder, in []byte) string {
	var out bytes.Buffer
	for _, s := range d.Take(in) {
		if s.Lost {
			out.WriteString("<lost>")
		}
		out.Write(s.Bytes)
	}
	return out.String()
}

// Every printable character, Enter, Tab and every control character comes through, in
// every way in which scanners type.
func TestEveryCharacter(t *testing.T) {
	var all []byte
	for c := byte(0x20); c < 0x7f; c++ {
		all = append(all, c)
	}
	control := []byte{1, 2, 3, 4, 6, 7, 8, 11, 12, 14, 0x16, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}
	text := string(all) + "\t" + string(control) + "ABCabc"
	for _, opt := range []device.KeyboardScannerOptions{
		{}, {Control: "alt"}, {Keypad: true}, {HoldShift: true}, {Keypad: true, Control: "alt", HoldShift: true},
	} {
		var d wedge.Decoder
		if got := typed(&d, device.EncodeKeyEvents(time.Second, events(opt, text)...)); got != text+"\r" {
			t.Errorf("%+v:\ngot  %q\nwant %q", opt, got, text+"\r")
		}
	}
}

const (
	press, release = 1, 0
	leftAlt        = 56
)

func key(code uint16, value int32) device.KeyEvent {
	return device.KeyEvent{Type: 1, Code: code, Value: value}
}

func tap(code uint16) []device.KeyEvent {
	return []device.KeyEvent{key(code, press), key(code, release)}
}

// alt types a number on the keypad.
func alt(digits string) []device.KeyEvent {
	out := []device.KeyEvent{key(leftAlt, press)}
	pad := [...]uint16{82, 79, 80, 81, 75, 76, 77, 71, 72, 73}
	for _, c := range digits {
		out = append(out, tap(pad[c-'0'])...)
	}
	return append(out, key(leftAlt, release))
}

func TestKeys(t *testing.T) {
	join := func(parts ...[]device.KeyEvent) []device.KeyEvent {
		var out []device.KeyEvent
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		alt    wedge.AltCodes
		events []device.KeyEvent
		want   string
	}{
		{"a double byte of GBK", "", alt("54992"), "\xd6\xd0"},
		{"a code point", wedge.AltUnicode, alt("20013"), "中"},
		{"with leading zeros", "", alt("0029"), "\x1d"},
		{"a code point that is none", wedge.AltUnicode, alt("1114112"), "\x00"},
		{"a number that is no double byte", "", alt("99999"), "\x00"},
		{"digits without end", "", alt("00000000000000065"), "\x00\x00\x05"},
		{"Alt alone", "", alt(""), ""},
		{"Alt with a letter", "", join([]device.KeyEvent{key(leftAlt, press)}, tap(30), []device.KeyEvent{key(leftAlt, release)}), "\x00"},
		{"the kernel's repeat is not typed", "", []device.KeyEvent{key(2, press), key(2, 2), key(2, 2), key(2, release)}, "1"},
		{"Caps Lock typed by the scanner", "", join(tap(58), tap(30), tap(2), tap(58), tap(30)), "A1a"},
		{"Caps Lock and Shift", "", join(tap(58), []device.KeyEvent{key(42, press)}, tap(30)), "a"},
		{"Caps Lock ends with the code", "", join(tap(58), tap(28), tap(30)), "\ra"},
		{"both Shifts, one released", "", join([]device.KeyEvent{key(42, press), key(54, press), key(42, release)}, tap(30)), "A"},
		{"keypad Enter", "", tap(96), "\r"},
		{"the European key", "", tap(86), "\\"},
		{"Num Lock is no character", "", join(tap(69), tap(2)), "1"},
		{"a function key refuses the code", "", join(tap(2), tap(59)), "1\x00"},
		{"backspace refuses the code", "", join(tap(2), tap(14)), "1\x00"},
		{"Ctrl with a digit refuses the code", "", join([]device.KeyEvent{key(29, press)}, tap(2)), "\x00"},
		{
			"between dropped and report nothing counts", "",
			join(tap(2), []device.KeyEvent{device.Dropped()}, tap(3), []device.KeyEvent{{}}, tap(4)),
			"1<lost>3",
		},
		{
			"Shift released unseen", "",
			join([]device.KeyEvent{key(42, press), device.Dropped(), {}}, tap(30)),
			"<lost>a",
		},
		{"a mouse says nothing", "", []device.KeyEvent{{Type: 2, Code: 0, Value: 5}, {Type: 1, Code: 0x110, Value: 1}}, "\x00"},
	} {
		d := wedge.Decoder{AltCodes: tc.alt}
		if got := typed(&d, device.EncodeKeyEvents(0, tc.events...)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

// Whatever is typed comes through, and the events may come in any pieces.
func TestPiecesDoNotMatter(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		code := make([]byte, 1+dice.IntN(30))
		for i := range code {
			code[i] = '!' + byte(dice.IntN('~'-'!'+1)) //nolint:gosec // fits
		}
		in := device.EncodeKeyEvents(time.Second, events(device.KeyboardScannerOptions{}, string(code))...)
		var d wedge.Decoder
		got := ""
		for len(in) > 0 {
			n := 1 + dice.IntN(len(in))
			got += typed(&d, in[:n])
			in = in[n:]
		}
		if got != string(code)+"\r" {
			t.Fatalf("seed %d: got %q, want %q", seed, got, code)
		}
	}
}

func TestTimes(t *testing.T) {
	var d wedge.Decoder
	at := 12345*time.Second + 678*time.Millisecond
	s := d.Take(device.EncodeKeyEvents(at, tap(2)...))
	if len(s) != 1 || s[0].At != at {
		t.Errorf("got %+v", s)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(device.EncodeKeyEvents(time.Second, events(device.KeyboardScannerOptions{}, "]Q10100320229316139647")...), byte(7))
	f.Add(device.EncodeKeyEvents(time.Second, alt("54992")...), byte(24))
	f.Add(device.EncodeKeyEvents(time.Second, device.Dropped(), device.KeyEvent{}), byte(1))
	f.Fuzz(func(t *testing.T, in []byte, piece byte) {
		if len(in) > 6*24 {
			return // six events; more only take longer
		}
		var whole, pieces wedge.Decoder
		want := typed(&whole, in)
		got := ""
		for rest := in; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			got += typed(&pieces, rest[:n])
			rest = rest[n:]
		}
		if got != want {
			t.Fatalf("in pieces %q, whole %q", got, want)
		}
		if len(want) > len(in) {
			t.Fatalf("%d bytes typed by %d bytes of events", len(want), len(in))
		}
	})
}
