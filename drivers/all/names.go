package all

import (
	"maps"
	"slices"

	profiles "dcpos/firmware-profiles"
)

// Drivers are the names of the drivers that ship, by the kind of profile that may name
// them, sorted.
func Drivers() map[profiles.Kind][]string {
	return map[profiles.Kind][]string{
		profiles.KindPrinter: slices.Sorted(maps.Keys(Printers())),
		profiles.KindScanner: slices.Sorted(maps.Keys(Scanners())),
		profiles.KindNFC:     slices.Sorted(maps.Keys(Readers())),
		profiles.KindDisplay: slices.Sorted(maps.Keys(LineDisplays())),
	}
}
