package profiles

import (
	"cmp"
	"strconv"
	"strings"
)

// Firmware is how a model tells its firmware and which is the oldest that works.
type Firmware struct {
	// From is where the version is read: gs_i (the answer to GS I 65), bcd (bcdDevice of
	// the USB descriptor) or reader (what the reader answers when asked).
	From string `yaml:"from"`
	// Compare is how two versions are put in order: hex (bcdDevice), dotted (numbers with
	// points, other text passed over: "30.11 ESC/POS") or exact (only equal or not).
	Compare string `yaml:"compare"`
	// Floor is the oldest version that works; what is older is told to the shop.
	Floor string `yaml:"floor"`
}

// Comparison is the outcome of UnifiedPOS CompareFirmwareVersion (JposConst.java,
// JPOS_CFV_FIRMWARE_*): how the device's firmware stands to the floor.
type Comparison int

// The outcomes.
const (
	FirmwareOlder     Comparison = 1
	FirmwareSame      Comparison = 2
	FirmwareNewer     Comparison = 3
	FirmwareDifferent Comparison = 4 // not the same, and which is newer cannot be said
	FirmwareUnknown   Comparison = 5 // nothing to compare
)

// Against compares a version that the device told with the floor. A profile without a
// floor, and a device that told nothing, are FirmwareUnknown.
func (f Firmware) Against(version string) Comparison {
	version = strings.TrimSpace(version)
	if f.Floor == "" || version == "" {
		return FirmwareUnknown
	}
	have, want := numbers(version, f.Compare), numbers(f.Floor, f.Compare)
	if have == nil || want == nil {
		if strings.EqualFold(version, f.Floor) {
			return FirmwareSame
		}
		return FirmwareDifferent
	}
	for i := range max(len(have), len(want)) {
		if c := cmp.Compare(at(have, i), at(want, i)); c != 0 {
			return map[int]Comparison{-1: FirmwareOlder, 1: FirmwareNewer}[c]
		}
	}
	return FirmwareSame
}

// numbers is a version as numbers, most weighty first; nil when it has none.
func numbers(version, compare string) []uint64 {
	switch compare {
	case "hex":
		n, err := strconv.ParseUint(version, 16, 32)
		if err != nil {
			return nil
		}
		return []uint64{n}
	case "dotted":
		first, _, _ := strings.Cut(strings.TrimLeft(version, "Vv "), " ")
		var out []uint64
		for part := range strings.SplitSeq(first, ".") {
			n, err := strconv.ParseUint(part, 10, 32)
			if err != nil {
				return nil
			}
			out = append(out, n)
		}
		return out
	}
	return nil
}

// at is a part of a version; one that is not written is 0.
func at(parts []uint64, i int) uint64 {
	if i < len(parts) {
		return parts[i]
	}
	return 0
}
