package profiles

import (
	"fmt"
	"strings"
	"unicode"
)

// draftLimit is the longest text of a descriptor that goes into a draft.
const draftLimit = 60

// Draft writes the beginning of a profile for a device that nobody has described yet:
// its identity is filled in, with the device itself as the source, and the nearest model
// that is described stands in for the rest. A draft passes Check and is unverified; what
// the device does not tell is a "?" for a person to replace.
func Draft(kind Kind, s Seen) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	brand, model := quoted(s.Manufacturer, "?"), quoted(s.Product, "?")
	if s.GSI.Model != "" {
		brand, model = quoted(s.GSI.Maker, "?"), quoted(s.GSI.Model, "?")
	}
	line("# yaml-language-server: $schema=../schema/%s.json", kind)
	line("# Draft of a device that was plugged in. Replace every ?, name the sources, and run posctl profile check.")
	line("kind: %s", kind)
	line("unverified: true")
	like := likely(kind, s)
	line("like: %q   # the nearest model that is described; what it says is then assumed", like)
	line("products:")
	line("  - {brand: %s, model: %s}", brand, model)
	line("match:")
	if s.VID != "" {
		line("  usb:")
		line("    - {vid: %q, pid: %q%s}", hexOr(s.VID), hexOr(s.PID), draftFunction(kind, s))
	}
	if s.GSI.Model != "" {
		line("  gs_i:")
		line("    - {maker: %s, model: %s}", quoted(s.GSI.Maker, ""), quoted(s.GSI.Model, "?"))
	}
	if s.PCSC != "" {
		line("  pcsc: [%s]", quoted(s.PCSC, "?"))
	}
	line("facts:")
	line("  match: {source: %s, confidence: measured}", quote("seen on the device: "+strings.Join(described(s), ", ")))
	return b.String()
}

// likely is the profile that an unknown device of a kind most probably resembles.
func likely(kind Kind, s Seen) string {
	for _, c := range Identify(s) {
		if c.Kind == kind && !c.Unverified {
			return c.Profile
		}
	}
	switch kind {
	case KindPrinter:
		return "escpos-80mm-gb18030"
	case KindScanner:
		return "serial-cr"
	case KindNFC:
		return "acr122u"
	case KindDisplay:
		return "cd5220"
	case KindClass:
	}
	return "?"
}

func draftFunction(kind Kind, s Seen) string {
	for _, f := range functionsOf(kind) {
		if s.told(f) && f.fits(s) {
			return ", as: " + string(f)
		}
	}
	return ""
}

func functionsOf(kind Kind) []Function {
	switch kind {
	case KindPrinter:
		return []Function{AsPrinter, AsCDC}
	case KindScanner:
		return []Function{AsHIDPOS, AsCDC, AsKeyboard}
	case KindNFC:
		return []Function{AsCCID}
	case KindDisplay:
		return []Function{AsCDC}
	case KindClass:
	}
	return nil
}

// described is what was seen, for the source of the draft's facts.
func described(s Seen) []string {
	var out []string
	for _, part := range []struct{ name, value string }{
		{"usb", s.VID + ":" + s.PID},
		{"bcdDevice", s.BCD},
		{"manufacturer", s.Manufacturer},
		{"product", s.Product},
		{"GS I", strings.TrimSpace(s.GSI.Maker + " " + s.GSI.Model + " " + s.GSI.Font)},
		{"reader", s.PCSC},
	} {
		if v := tame(part.value); v != "" && v != ":" {
			out = append(out, part.name+" "+v)
		}
	}
	return out
}

// tame takes a device's text as data: no control characters, not too long. Devices say
// what they like, and the draft is shown to people and read as YAML.
func tame(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= draftLimit {
			break
		}
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

func quoted(s, otherwise string) string {
	if s = tame(s); s == "" {
		s = otherwise
	}
	return quote(s)
}

// quote makes a YAML string of a tame text.
func quote(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

func hexOr(s string) string {
	if s = strings.ToLower(s); hexID.MatchString(s) {
		return s
	}
	return "?"
}
