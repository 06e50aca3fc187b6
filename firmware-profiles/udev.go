package profiles

import (
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
)

//go:embed template/*.tmpl
var templates embed.FS

// Group is the group that udev's rules give the devices to; the agent runs in it.
const Group = "posagent"

// udevRule is one line of the rules.
type udevRule struct {
	Subsystem string   // usb, hidraw, tty, input
	VID, PID  string   // PID empty: any
	Class     string   // the interfaces it must have, where the vendor's number alone is too wide
	Product   string   // a part of the product's text, likewise
	Role      string   // printer, scanner, nfc, linedisplay or serial: for the link's name
	Profiles  []string // whose identity it is
}

// id is what tells one rule from another.
func (r udevRule) id() []string { return []string{r.VID, r.PID, r.Subsystem, r.Class, r.Product} }

// WriteUdev writes udev's rules for every USB identity of the shipped profiles: the
// devices belong to the group Group and to nobody else, ModemManager leaves serial ones
// alone, and what a scanner types reaches the agent alone.
//
// Identities of any maker (VID "*") have no rule: a box that nobody knows is no business
// of the agent's until a profile names it.
func WriteUdev(w io.Writer) error {
	all, err := Catalogue()
	if err != nil {
		return err
	}
	return render(w, "udev", struct {
		Group string
		Rules []udevRule
	}{Group, udevRules(all)})
}

// WriteModprobe writes the modprobe.d file that keeps kernel modules from taking the
// devices.
func WriteModprobe(w io.Writer) error { return render(w, "modprobe", nil) }

func render(w io.Writer, name string, data any) error {
	t, err := template.New(name+".tmpl").Funcs(template.FuncMap{"join": strings.Join}).ParseFS(templates, "template/"+name+".tmpl")
	if err != nil {
		return fmt.Errorf("write %s file: %w", name, err)
	}
	if err := t.Execute(w, data); err != nil {
		return fmt.Errorf("write %s file: %w", name, err)
	}
	return nil
}

// udevRules makes the rules, one for each subsystem and identity, in a fixed order.
func udevRules(all []Entry) []udevRule {
	var rules []udevRule
	for _, e := range all {
		if e.Driver == "" || e.Driver == "pcsc" { // nobody here opens it; a reader may be the PC/SC daemon's alone
			continue
		}
		for _, m := range e.Match.USB {
			for _, subsystem := range m.As.subsystems(e.Kind) {
				rules = add(rules, m, subsystem, e)
			}
		}
	}
	slices.SortFunc(rules, func(a, b udevRule) int {
		return slices.Compare(a.id(), b.id())
	})
	return rules
}

func add(rules []udevRule, m USBMatch, subsystem string, e Entry) []udevRule {
	if m.VID == "*" {
		return rules
	}
	r := udevRule{Subsystem: subsystem, VID: m.VID, PID: m.PID, Role: string(e.Kind), Profiles: []string{e.Name}}
	if m.PID == "*" {
		r.PID, r.Class, r.Product = "", m.As.interfaces(), m.Product
	}
	if m.As == AsBridge {
		r.Role = "serial" // what hangs on the cable is not told
	}
	for i, have := range rules {
		if slices.Equal(have.id(), r.id()) {
			if !slices.Contains(have.Profiles, e.Name) {
				rules[i].Profiles = append(rules[i].Profiles, e.Name)
			}
			return rules
		}
	}
	return append(rules, r)
}

// subsystems are those in which the agent opens a device of this function.
func (f Function) subsystems(kind Kind) []string {
	switch f {
	case AsHIDPOS:
		return []string{"hidraw"}
	case AsKeyboard:
		return []string{"input"}
	case AsCDC, AsBridge:
		return []string{"tty"}
	case AsPrinter, AsCCID, AsVendor:
		return []string{"usb"}
	}
	if kind == KindScanner || kind == KindDisplay {
		return []string{"hidraw", "tty"}
	}
	return []string{"usb"}
}

// interfaces is the function as usb_id's list of interfaces has it (class, subclass,
// protocol, six hex digits), for identities of any product of a maker.
func (f Function) interfaces() string {
	switch f {
	case AsPrinter:
		return "*:0701??:*"
	case AsHIDPOS:
		return "*:0300??:*"
	case AsKeyboard:
		return "*:030101:*"
	case AsCDC:
		return "*:02????:*"
	case AsCCID:
		return "*:0b????:*"
	case AsBridge, AsVendor:
	}
	return ""
}
