package profiles

import (
	"fmt"
	"sync"
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
			e, err := find(kind, name)
			if err != nil {
				return nil, fmt.Errorf("catalogue: %w", err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func find(kind Kind, name string) (Entry, error) {
	switch kind {
	case KindPrinter:
		p, err := FindPrinter(name)
		return Entry{kind, p.Name, p.Driver, p.Products, p.Match, p.Lineage, p.Facts}, err
	case KindScanner:
		p, err := FindScanner(name)
		return Entry{kind, p.Name, p.Driver, p.Products, p.Match, p.Lineage, p.Facts}, err
	case KindNFC:
		p, err := FindNFC(name)
		return Entry{kind, p.Name, p.Driver, p.Products, p.Match, p.Lineage, p.Facts}, err
	case KindDisplay:
		p, err := FindLineDisplay(name)
		return Entry{kind, p.Name, p.Driver, p.Products, p.Match, p.Lineage, p.Facts}, err
	case KindClass:
	}
	return Entry{}, fmt.Errorf("%s %q: %w", kind, name, ErrUnknown)
}

// entries is the catalogue, read once: the files cannot change, and a test opens every one.
//
//nolint:gochecknoglobals // set once and never changed
var entries = sync.OnceValue(func() []Entry {
	all, err := Catalogue()
	if err != nil {
		panic(err) //nolint:forbidigo // the files are part of the program, and a test opens every one
	}
	return all
})
