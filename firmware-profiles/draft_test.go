package profiles_test

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	profiles "dcpos/firmware-profiles"
)

func TestDraftOfAnUnknownPrinter(t *testing.T) {
	const want = `# yaml-language-server: $schema=../schema/printer.json
# Draft of a device that was plugged in. Replace every ?, name the sources, and run posctl profile check.
kind: printer
unverified: true
like: "escpos-80mm-gb18030"   # the nearest model that is described; what it says is then assumed
products:
  - {brand: "ACME", model: "TP-80 \"Pro\""}
match:
  usb:
    - {vid: "1fc9", pid: "2099", as: printer}
facts:
  match: {source: "seen on the device: usb 1FC9:2099, bcdDevice 0100, manufacturer ACME, product TP-80 \"Pro\"", confidence: measured}
`
	got := profiles.Draft(profiles.KindPrinter, profiles.Seen{
		VID: "1FC9", PID: "2099", BCD: "0100", Manufacturer: "ACME\x00\n", Product: "TP-80 \"Pro\"",
		Interfaces: []profiles.Interface{{Class: 7, Subclass: 1, Protocol: 2}},
	})
	if got != want {
		t.Errorf("got\n%s", got)
	}
	if _, err := profiles.Check("acme-tp-80.yaml", []byte(got)); err != nil {
		t.Error(err)
	}
}

// A device may say anything of itself: the draft stays a valid profile of its kind, and
// its text never becomes a key.
func FuzzDraft(f *testing.F) {
	for i, s := range []string{"", "EPSON", "a: b", "- x\n- y", "\"'{}[]:#&*!|>%@`,\\ \n\t", "kind: nfc\nfacts: {}", "\x00\xff\ufeff", "~", "0x1f", "\u2028\u0085"} {
		f.Add(uint8(i), uint16(0x04B8), uint16(0x0e15), s, "x"+s)     //nolint:gosec // few
		f.Add(uint8(i+1), uint16(0x04B8), uint16(0x0e15), "y\n"+s, s) //nolint:gosec // few
	}
	f.Fuzz(func(t *testing.T, which uint8, vid, pid uint16, one, other string) {
		kinds := profiles.DeviceKinds()
		kind := kinds[int(which)%len(kinds)]
		s := profiles.Seen{
			VID: fmt.Sprintf("%04X", vid), PID: fmt.Sprintf("%04x", pid),
			BCD: "0100", Manufacturer: one, Product: other, Serial: one,
			PCSC: other, GSI: profiles.GSIMatch{Maker: one, Model: other},
		}
		draft := profiles.Draft(kind, s)
		if got, err := profiles.Check("draft.yaml", []byte(draft)); err != nil || got != kind {
			t.Fatalf("%v\n%s", err, draft)
		}
		var keys map[string]any
		if err := yaml.Unmarshal([]byte(draft), &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if !strings.Contains(" kind unverified like products match facts ", " "+key+" ") {
				t.Fatalf("key %q in\n%s", key, draft)
			}
		}
	})
}
