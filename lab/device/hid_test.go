package device_test

import (
	"bytes"
	"testing"

	"dcpos/lab/device"
)

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
