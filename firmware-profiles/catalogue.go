package profiles

import (
	"fmt"
	"reflect"
)

// Entry is what every device profile has, of any kind.
type Entry struct {
	Kind     Kind
	Name     string
	Driver   string
	Products []Product
	Match    Match
	Lineage
	Facts map[string]Fact
}

// DeviceKinds are the kinds of profiles that describe a device.
func DeviceKinds() []Kind { return []Kind{KindPrinter, KindScanner, KindNFC, KindDisplay} }

// Catalogue lists every shipped device profile, by kind and name.
func Catalogue() ([]Entry, error) {
	var out []Entry
	for _, kind := range DeviceKinds() {
		names, err := Names(kind)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			e, err := Find(kind, name)
			if err != nil {
				return nil, fmt.Errorf("catalogue: %w", err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// Find returns what the shipped device profile of that kind and name has in common with
// all others; ErrUnknown when there is none.
func Find(kind Kind, name string) (Entry, error) {
	switch kind {
	case KindPrinter:
		p, err := FindPrinter(name)
		return entryOf(kind, p), err
	case KindScanner:
		s, err := FindScanner(name)
		return entryOf(kind, s), err
	case KindNFC:
		n, err := FindNFC(name)
		return entryOf(kind, n), err
	case KindDisplay:
		l, err := FindLineDisplay(name)
		return entryOf(kind, l), err
	case KindClass:
	}
	return Entry{}, fmt.Errorf("%s: %w", kind, ErrUnknown)
}

// entry is what the document has in common with all others; that of a class, and of one
// that cannot be read, has no name.
func (d document) entry() (Entry, error) {
	switch kind := d.kind(); kind {
	case KindPrinter:
		p, err := model(d, kind, Printer.rules, 0)
		return entryOf(kind, p), err
	case KindScanner:
		s, err := model(d, kind, Scanner.rules, 0)
		return entryOf(kind, s), err
	case KindNFC:
		n, err := model(d, kind, NFC.rules, 0)
		return entryOf(kind, n), err
	case KindDisplay:
		l, err := model(d, kind, LineDisplay.rules, 0)
		return entryOf(kind, l), err
	case KindClass:
		_, err := d.class()
		return Entry{Kind: kind}, err
	}
	return Entry{}, fmt.Errorf("%s:%d: kind: want printer, scanner, nfc, linedisplay or class", d.file, max(1, d.line("kind")))
}

// entryOf takes the common part of a kind's struct.
func entryOf(kind Kind, profile any) Entry {
	v := reflect.ValueOf(profile)
	e := Entry{Kind: kind}
	to := reflect.ValueOf(&e).Elem()
	for _, name := range []string{"Name", "Driver", "Products", "Match", "Lineage", "Facts"} {
		to.FieldByName(name).Set(v.FieldByName(name))
	}
	return e
}
