package noise_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	profiles "dcpos/firmware-profiles"
)

func FuzzCheck(f *testing.F) {
	for _, file := range []string{"linedisplay/hp-pole.yaml", "nfc/acr1281u.yaml", "scanner/opticon-keyboard.yaml"} {
		data, err := os.ReadFile("../" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("kind: printer\nfacts: {x: {}}"))
	f.Add([]byte("kind: linedisplay\ndriver: linedisplay\nlanguage: led8\nlabels: stx_l\nproducts: [{brand: g, model: L}]\nserial: {baud: 2400}\nsize: {columns: 8, rows: 1}\ncjk: {encoding: none}\nfacts: {size: {source: m, confidence: documented}}"))
	f.Add([]byte("kind: scanner\ndriver: serial\nlike: serial-cr\nproducts: [{brand: g, model: S}]\nmatch: {usb: [{vid: \"05e0\", pid: \"1701\"}]}\nframing: {end: [\"\\r\"], aim: true}"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) > 400 {
			return // whole files are opened by another test; longer noise only takes longer
		}
		_ = profiles.Examine("fuzz.yaml", data, nil) // it must not panic; what it says of noise does not matter
	})
}

// texts are what a device may say of itself.
func texts(f *testing.F) {
	f.Helper()
	for i, s := range []string{"", "EPSON", "a: b", "- x\n- y", "\"'{}[]:#&*!|>%@`,\\ \n\t", "kind: nfc\nfacts: {}", "\x00\xff\ufeff", "~", "0x1f", "\u2028\u0085"} {
		f.Add(uint8(i), uint16(0x04B8), uint16(0x0e15), s, "x"+s)     //nolint:gosec // few
		f.Add(uint8(i+1), uint16(0x04B8), uint16(0x0e15), "y\n"+s, s) //nolint:gosec // few
	}
}

func draft(which uint8, vid, pid uint16, one, other string) (profiles.Kind, string) {
	kinds := profiles.DeviceKinds()
	kind := kinds[int(which)%len(kinds)]
	return kind, profiles.Draft(kind, profiles.Seen{
		VID: fmt.Sprintf("%04X", vid), PID: fmt.Sprintf("%04x", pid),
		BCD: "0100", Manufacturer: one, Product: other, Serial: one,
		PCSC: other, GSI: profiles.GSIMatch{Maker: one, Model: other},
	})
}

// A device may say anything of itself: its text stays between quotes on its own line, and
// never becomes a key. What stands between the quotes is looked at without the library.
func FuzzDraft(f *testing.F) {
	texts(f)
	f.Fuzz(func(t *testing.T, which uint8, vid, pid uint16, one, other string) {
		_, text := draft(which, vid, pid, one, other)
		for line := range strings.Lines(text) {
			key, _, _ := strings.Cut(line, ":")
			if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") && !strings.Contains(" kind unverified like products match facts ", " "+key+" ") {
				t.Fatalf("key %q in\n%s", key, text)
			}
			if said, ok := outside(line); !ok || len(said) > 120 || strings.ContainsAny(said, "&*!|>%@`\\'\t") && !strings.HasPrefix(line, "#") {
				t.Fatalf("%q is not quoted in\n%s", said, text)
			}
		}
	})
}

// outside is what stands outside of the quotes of a line; false when one is not closed.
func outside(line string) (string, bool) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted:
			b.WriteByte(c)
		}
	}
	return b.String(), !quoted
}

// The draft is a valid profile of its kind, whatever the device says.
func FuzzDraftIsAProfile(f *testing.F) {
	texts(f)
	f.Fuzz(func(t *testing.T, which uint8, vid, pid uint16, one, other string) {
		kind, text := draft(which, vid, pid, one, other)
		if got, err := profiles.Check("draft.yaml", []byte(text)); err != nil || got != kind {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
