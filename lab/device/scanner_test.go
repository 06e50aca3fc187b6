package device_test

import (
	"bytes"
	"testing"

	"dcpos/lab/device"
)

func TestAUARTHearsWhatItIsSetTo(t *testing.T) {
	text := []byte("6901028075862\r")
	for _, u := range []device.UART{{Baud: 9600}, {Baud: 9600, Resync: true}} {
		for _, baud := range []int{9600, 9400, 9800} { // clocks differ by two in a hundred
			if got := u.Hears(text, baud); !bytes.Equal(got, text) {
				t.Errorf("%+v, sent at %d: got % x", u, baud, got)
			}
		}
	}
}

// What another speed sounds like, worked out by hand from the levels of the line.
func TestAUARTAtAnotherSpeed(t *testing.T) {
	for _, tc := range []struct {
		name        string
		sent        string
		from, heard int
		want        []byte
	}{
		// '0' is 0 00001100 1 on the line: two runs of low, each as long as a break.
		{"each low is a break", "0", 9600, 115200, []byte{0, 0}},
		// CR is 0 10110000 1, each bit heard twice: 0 01100111 1, and 0 00000001 1 after it.
		{"each bit is heard twice", "\r", 9600, 19200, []byte{0xe6, 0x80}},
		// The first bit is over when the start bit's middle is looked at; the one after the next is not.
		{"a start bit that is too short is none", "\xff", 115200, 9600, nil},
	} {
		if got := (device.UART{Baud: tc.heard}).Hears([]byte(tc.sent), tc.from); !bytes.Equal(got, tc.want) {
			t.Errorf("%s: got % x, want % x", tc.name, got, tc.want)
		}
	}
	// A code of 13 digits lasts for less than two frames.
	if got := (device.UART{Baud: 9600}).Hears([]byte("6901028075862\r"), 115200); len(got) < 1 || len(got) > 2 {
		t.Errorf("a code at twelve times the speed: % x", got)
	}
}
