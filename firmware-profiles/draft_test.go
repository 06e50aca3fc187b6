package profiles_test

import (
	"testing"

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
