package symbology_test

import (
	"testing"

	"dcpos/drivers/scanner/symbology"
)

// FuzzAIM: an AIM identifier is three characters, whatever a scanner sends instead of one;
// what only goods carry is no symbology of payment codes.
func FuzzAIM(f *testing.F) {
	for _, aim := range []string{"]E0", "]C1", "]Q3", "]d2", "]e0", "]", "", "]é"} {
		f.Add(aim, []byte("6901028075862"), byte('s'))
	}
	f.Fuzz(func(t *testing.T, aim string, data []byte, code byte) {
		if len(aim) > 8 || len(data) > 64 {
			return
		}
		if symbology.IsAIM([]byte(aim)) && (len(aim) < 3 || aim[0] != ']') {
			t.Fatalf("%q is taken for an identifier", aim)
		}
		goods := symbology.Retail(aim) || symbology.GS1(aim)
		if kind := symbology.Of(aim, data); goods && kind == symbology.QRCode {
			t.Fatalf("%q is of goods and of type %v", aim, kind)
		}
		if known, ok := symbology.Honeywell(code); ok && !symbology.IsAIM([]byte(known)) {
			t.Fatalf("Honeywell's %q is %q", code, known)
		}
	})
}
