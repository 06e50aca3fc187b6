package profiles

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

// Seen is what is known of a device that is plugged in. What is not known stays zero:
// nothing is held against a profile for a question that was not asked.
type Seen struct {
	VID, PID string // four hex digits, as the kernel tells them; upper case is taken too
	BCD      string // bcdDevice, four hex digits

	Manufacturer, Product, Serial string // the strings of the USB descriptor

	Interfaces []Interface // of the active configuration
	HIDUsages  []HIDUsage  // of the top-level collections of its HID report descriptors

	GSI  GSIMatch // a printer's answers to GS I 66, 67 and 69
	PCSC string   // a reader's name at the PC/SC daemon
}

// Interface is the class codes of one USB interface.
type Interface struct{ Class, Subclass, Protocol uint8 }

// HIDUsage is the usage of one top-level collection.
type HIDUsage struct{ Page, Usage uint16 }

// Reason says by what a device was recognised.
type Reason string

// The reasons, best first.
const (
	ByAnswer  Reason = "answer"  // the device said itself who it is: GS I, or its name at the PC/SC daemon
	ByProduct Reason = "product" // vendor and product number, and text or version of the descriptor
	ByID      Reason = "id"      // vendor and product number
	ByVendor  Reason = "vendor"  // the vendor's number alone
	ByClass   Reason = "class"   // what it presents itself as: any printer, any HID-POS scanner
	ByBridge  Reason = "bridge"  // a serial cable's number: what hangs on it is not told
)

func reasons() []Reason { return []Reason{ByAnswer, ByProduct, ByID, ByVendor, ByClass, ByBridge} }

// Text says the reason in two languages.
func (r Reason) Text() pos.Text {
	switch r {
	case ByAnswer:
		return pos.Text{ZH: "设备自己报告了型号", EN: "the device names its model"}
	case ByProduct:
		return pos.Text{ZH: "USB 编号和产品名称一致", EN: "USB numbers and product name agree"}
	case ByID:
		return pos.Text{ZH: "USB 编号一致", EN: "USB vendor and product number agree"}
	case ByVendor:
		return pos.Text{ZH: "只有厂商编号一致", EN: "only the USB vendor number agrees"}
	case ByClass:
		return pos.Text{ZH: "只有设备类别一致", EN: "only the class of device agrees"}
	case ByBridge:
		return pos.Text{ZH: "这是串口转换线,看不出后面接的是什么", EN: "a serial adapter; what hangs on it cannot be seen"}
	}
	return pos.Text{}
}

// Candidate is one profile that may be right for a device.
type Candidate struct {
	Kind    Kind
	Profile string
	Driver  string // empty: the profile has none, it is only recognised
	Reason  Reason
	As      Function // what the device presents itself as, where the profile's identity says it
	// Confidence is that of the profile's match section: how sure the identity is this model's.
	Confidence Confidence
	Unverified bool // only recognised: what it can do is a guess

	details int // how many further conditions the identity has and the device fulfils
}

// Identify returns the profiles that may be right for a device, best first: by reason,
// then the more detailed identity, then the verified before the unverified, then by
// confidence, then by name. None: the
// device is not known. Several of the best reason: ask a person, or the device (a
// printer's GS I); Certain tells.
func Identify(s Seen) []Candidate {
	var out []Candidate
	for _, i := range identities() {
		if c, ok := i.candidate(s); ok {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return cmp.Or(
			cmp.Compare(slices.Index(reasons(), a.Reason), slices.Index(reasons(), b.Reason)),
			cmp.Compare(b.details, a.details),
			cmp.Compare(doubt(a), doubt(b)),
			cmp.Compare(slices.Index(degrees(), a.Confidence), slices.Index(degrees(), b.Confidence)),
			cmp.Compare(a.Profile, b.Profile))
	})
	return out
}

func doubt(c Candidate) int {
	if c.Unverified {
		return 1
	}
	return 0
}

// Certain returns the one profile to take without asking: the first, when its reason is
// better than vendor and no other verified profile has an equal claim.
func Certain(candidates []Candidate) (Candidate, bool) {
	if len(candidates) == 0 || candidates[0].Unverified {
		return Candidate{}, false
	}
	best := candidates[0]
	if best.Reason != ByAnswer && best.Reason != ByProduct && best.Reason != ByID {
		return Candidate{}, false
	}
	if len(candidates) > 1 {
		next := candidates[1]
		if next.Reason == best.Reason && next.details == best.details && !next.Unverified {
			return Candidate{}, false
		}
	}
	return best, true
}

// identity is what a profile says of whom it is for, and nothing that it takes from
// another one but its driver.
type identity struct {
	kind Kind
	name string

	Driver     string          `yaml:"driver"`
	Like       string          `yaml:"like"`
	Unverified bool            `yaml:"unverified"`
	Match      Match           `yaml:"match"`
	Facts      map[string]Fact `yaml:"facts"`
}

// identities are those of all shipped profiles. They are read once, because the files
// cannot change, and without the rules, because a test holds every file to them and a
// weak processor takes seconds to read what recognising does not need.
var identities = sync.OnceValue(func() []identity {
	var all []identity
	for _, kind := range DeviceKinds() {
		some, err := identitiesOf(kind)
		if err != nil {
			panic(err) //nolint:forbidigo // the files are part of the program, and a test opens every one
		}
		all = append(all, some...)
	}
	return all
})

func identitiesOf(kind Kind) ([]identity, error) {
	names, err := Names(kind)
	if err != nil {
		return nil, err
	}
	list := make([]identity, len(names))
	for n, name := range names {
		data, file, err := shippedFile(kind, name)
		if err == nil {
			err = yaml.Unmarshal(data, &list[n])
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		list[n].kind, list[n].name = kind, name
	}
	for range maxDepth { // a chain's drivers come down
		for n := range list {
			if i := slices.Index(names, list[n].Like); i >= 0 {
				list[n].Driver = cmp.Or(list[n].Driver, list[i].Driver)
			}
		}
	}
	return list, nil
}

// candidate is the profile's best claim to a device.
func (e identity) candidate(s Seen) (Candidate, bool) {
	best := Candidate{Kind: e.kind, Profile: e.name, Driver: e.Driver, Confidence: e.Facts["match"].Confidence, Unverified: e.Unverified}
	better := func(r Reason, details int, as Function) {
		order := cmp.Or(cmp.Compare(slices.Index(reasons(), r), slices.Index(reasons(), best.Reason)), cmp.Compare(best.details, details))
		if best.Reason == "" || order < 0 {
			best.Reason, best.details, best.As = r, details, as
		}
	}
	for _, g := range e.Match.GSI {
		if details, ok := g.claim(s.GSI); ok {
			better(ByAnswer, details, "")
		}
	}
	for _, name := range e.Match.PCSC {
		if s.PCSC != "" && strings.HasPrefix(strings.ToLower(s.PCSC), strings.ToLower(name)) {
			better(ByAnswer, len(name), "")
		}
	}
	for _, u := range e.Match.USB {
		if r, details, ok := u.claim(s); ok {
			better(r, details, u.As)
		}
	}
	return best, best.Reason != ""
}

func same(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }

// claim reports whether the answers are this model's, and with how many details.
func (g GSIMatch) claim(told GSIMatch) (details int, ok bool) {
	if told.Model == "" || !same(told.Model, g.Model) || g.Maker != "" && !same(told.Maker, g.Maker) {
		return 0, false
	}
	if g.Font == "" || told.Font == "" {
		return 0, true
	}
	return 1, strings.HasPrefix(strings.ToLower(told.Font), strings.ToLower(g.Font))
}

// claim is how good this identity fits, if at all.
func (u USBMatch) claim(s Seen) (r Reason, details int, ok bool) {
	switch {
	case s.VID == "",
		u.VID != "*" && !strings.EqualFold(u.VID, s.VID),
		u.PID != "*" && !strings.EqualFold(u.PID, s.PID),
		u.BCD != "" && !strings.EqualFold(u.BCD, s.BCD),
		u.Product != "" && !strings.Contains(strings.ToLower(s.Product), strings.ToLower(u.Product)),
		u.Serial != "" && !strings.HasPrefix(s.Serial, u.Serial),
		u.VID == "*" && !s.told(u.As),
		!u.As.fits(s):
		return "", 0, false
	}
	if u.PID != "*" {
		details++
	}
	for _, condition := range []string{u.BCD, u.Product, u.Serial} {
		details += len(condition)
	}
	switch {
	case u.As == AsBridge:
		return ByBridge, details, true
	case u.VID == "*":
		return ByClass, details, true
	case u.BCD != "", u.Product != "", u.Serial != "":
		return ByProduct, details, true
	case u.PID == "*":
		return ByVendor, details, true
	}
	return ByID, details, true
}

// told reports whether enough of a device is known to say that it is f without its numbers.
func (s Seen) told(f Function) bool {
	return len(s.Interfaces) > 0 && (f != AsHIDPOS || len(s.HIDUsages) > 0)
}

// fits reports whether a device presents itself as f, as far as its interfaces are known.
func (f Function) fits(s Seen) bool {
	if f == "" || f == AsBridge || f == AsVendor || len(s.Interfaces) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Interfaces, func(i Interface) bool { return f.is(i, s.HIDUsages) })
}

func (f Function) is(i Interface, usages []HIDUsage) bool {
	switch f {
	case AsPrinter:
		return i.Class == 0x07 && i.Subclass == 1
	case AsKeyboard:
		return i == Interface{3, 1, 1}
	case AsHIDPOS:
		return i.Class == 0x03 && (slices.Contains(usages, HIDUsage{0x8c, 0x02}) || usages == nil && i.Protocol == 0)
	case AsCDC:
		return i.Class == 0x02
	case AsCCID:
		return i.Class == 0x0b
	case AsBridge, AsVendor:
	}
	return true
}
