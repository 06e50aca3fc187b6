package symbology_test

import (
	"testing"

	"dcpos/drivers/scanner/symbology"
)

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		aim, data string
		want      symbology.Type
	}{
		{"]E0", "6901028075862", symbology.EAN13},
		{"]E0", "036000291452", symbology.UPCA},
		{"]E0", "01234565", symbology.UPCE},
		{"]E4", "96385074", symbology.EAN8},
		{"]E3", "690102807586205", symbology.EAN13},
		{"]C0", "x", symbology.Code128},
		{"]C1", "x", symbology.GS1128},
		{"]A0", "x", symbology.Code39},
		{"]Q1", "x", symbology.QRCode},
		{"]Q3", "x", symbology.GS1QRCode},
		{"]d1", "x", symbology.DataMatrix},
		{"]d2", "x", symbology.GS1DataMatrix},
		{"]e0", "x", symbology.GS1DataBar},
		{"]e1", "x", symbology.GS1DataBarE},
		{"]h1", "x", symbology.HanXin},
		{"]X0", "x", symbology.Other},
		{"", "x", symbology.Unknown},
		{"]E", "x", symbology.Unknown},
		{"E0]", "x", symbology.Unknown},
		{"]E00", "x", symbology.Unknown},
	} {
		if got := symbology.Of(tc.aim, []byte(tc.data)); got != tc.want {
			t.Errorf("%s %s: got %d, want %d", tc.aim, tc.data, got, tc.want)
		}
	}
}

func TestHoneywell(t *testing.T) {
	for code, want := range map[byte]string{0x62: "]A0", 0x64: "]E0", 0x6a: "]C0", 0x49: "]C1", 0x7c: "]C1", 0x73: "]Q1", 0x77: "]d1", 0x48: "]h0"} {
		if got, ok := symbology.Honeywell(code); !ok || got != want {
			t.Errorf("%02x: got %s, %v; want %s", code, got, ok, want)
		}
	}
	if _, ok := symbology.Honeywell(0); ok {
		t.Error("no letter is no symbology")
	}
	for c := range 256 {
		if aim, ok := symbology.Honeywell(byte(c)); ok && symbology.Of(aim, nil) == symbology.Unknown {
			t.Errorf("%02x: %q is no identifier", c, aim)
		}
	}
}
