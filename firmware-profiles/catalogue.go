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
	data, file, err := read(kind, name)
	if err != nil {
		return Entry{}, err
	}
	e, _, err := entryOf(kind, file, data)
	return e, err
}

// entry takes the common part of a kind's struct.
func entry(kind Kind, profile any) Entry {
	v := reflect.ValueOf(profile)
	e := Entry{Kind: kind}
	to := reflect.ValueOf(&e).Elem()
	for _, name := range []string{"Name", "Driver", "Products", "Match", "Lineage", "Facts"} {
		to.FieldByName(name).Set(v.FieldByName(name))
	}
	return e
}
