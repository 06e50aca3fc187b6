package device_test

import (
	"bytes"
	"testing"

	"dcpos/lab/device"
)

func TestMisheard(t *testing.T) {
	text := []byte("6901028075862\r")
	if got := device.Misheard(text, 9600, 9600); !bytes.Equal(got, text) {
		t.Errorf("at the same speed: got % x", got)
	}
	for _, speeds := range [][2]int{{9600, 115200}, {115200, 9600}, {9600, 19200}, {38400, 9600}} {
		if got := device.Misheard(text, speeds[0], speeds[1]); len(got) == 0 || bytes.Contains(got, text[:4]) {
			t.Errorf("sent at %d, heard at %d: % x", speeds[0], speeds[1], got)
		}
	}
}

func TestHIDScannerIsSilentUntilItsFeatureIsSet(t *testing.T) {
	s := device.NewHIDScanner(device.HIDScannerOptions{NeedsFeature: true})
	if err := s.Scan("123", "]E0"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Reports()); n != 0 {
		t.Errorf("%d reports", n)
	}
	s.SetFeature(254, []byte{1})
	if err := s.Scan("123", "]E0"); err != nil {
		t.Fatal(err)
	}
	if r := <-s.Reports(); len(r) != 64 || !bytes.HasPrefix(r, []byte{2, 3, ']', 'E', '0', '1', '2', '3', 0}) {
		t.Errorf("got % x", r)
	}
	if got := s.Features(); !bytes.Equal(got, []byte{254, 1}) {
		t.Errorf("features % x", got)
	}
}

// Golden reports of HID 1.11, appendix B.1, for "aA1" and Enter.
func TestKeyboardScannerTypes(t *testing.T) {
	s := device.NewKeyboardScanner(device.KeyboardScannerOptions{})
	want := [][]byte{
		{0, 0, 4, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 0},
		{2, 0, 4, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 0},
		{0, 0, 30, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 0},
		{0, 0, 40, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 0},
	}
	if err := s.Scan("aA1", "]E0"); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if got := <-s.Reports(); !bytes.Equal(got, w) {
			t.Errorf("report %d: got % x, want % x", i, got, w)
		}
	}
	s.Output([]byte{2})
	if !bytes.Equal(s.Lamps(), []byte{2}) {
		t.Errorf("lamps % x", s.Lamps())
	}
}
