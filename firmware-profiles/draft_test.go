package profiles_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

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
func TestAnyDeviceGetsAValidDraft(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\"'{}\[\]:#&*!|>%@\x60,\\ \n\ta-z]{0,80}`))
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(profiles.DeviceKinds()).Draw(t, "kind")
		s := profiles.Seen{
			VID: rapid.StringMatching("[0-9a-fA-F]{4}").Draw(t, "vid"), PID: rapid.StringMatching("[0-9a-fA-F]{4}").Draw(t, "pid"),
			BCD: "0100", Manufacturer: text.Draw(t, "manufacturer"), Product: text.Draw(t, "product"), Serial: text.Draw(t, "serial"),
			PCSC: text.Draw(t, "pcsc"), GSI: profiles.GSIMatch{Maker: text.Draw(t, "maker"), Model: text.Draw(t, "model")},
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
