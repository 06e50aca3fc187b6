package escpos

import (
	"testing"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// The bytes of every tone on every kind of printer.
func TestTonesInBytes(t *testing.T) {
	for _, tc := range []struct {
		buzzer, lamp string
		tone         drivers.Tone
		want         string
	}{
		{"esc_b", "", drivers.ToneGood, "\x1bB\x01\x02"},
		{"esc_b", "", drivers.ToneBad, "\x1bB\x02\x08"},
		{"esc_b", "none", drivers.ToneAttention, "\x1bB\x03\x03"},
		{"esc_b", "esc_c", drivers.ToneGood, "\x1bC\x01\x02\x03"},
		{"esc_b", "esc_c", drivers.ToneBad, "\x1bC\x02\x08\x03"},
		{"none", "esc_c", drivers.ToneAttention, "\x1bC\x03\x03\x02"},
		{"", "", drivers.ToneGood, ""},
		{"esc_b", "esc_c", "la la", ""},
	} {
		if got := string(alarm(profiles.Printer{Buzzer: tc.buzzer, Lamp: tc.lamp}, tc.tone)); got != tc.want {
			t.Errorf("buzzer %q, lamp %q, %s: got % x, want % x", tc.buzzer, tc.lamp, tc.tone, got, tc.want)
		}
	}
}
