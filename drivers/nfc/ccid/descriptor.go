package ccid

import (
	"encoding/binary"
	"fmt"
)

// The class descriptor's length and type (table 5.1-1).
const (
	descriptorSize = 0x36
	descriptorType = 0x21
)

// Bits of dwFeatures (table 5.1-1): a card is activated as it comes, and the exchange levels.
const (
	activatesItself = 0x00000004

	levelShort    = 0x00020000
	levelExtended = 0x00040000
	levelMask     = 0x00070000
)

// shortMessage is the message length of a reader that tells none: a short APDU and its head.
const shortMessage = 271

// abilities are what the class descriptor says.
type abilities struct {
	extended        bool
	activatesItself bool
	maxMessage      int // bytes of one message, head included
}

// parseClass finds the CCID class descriptor among an interface's class descriptors.
func parseClass(b []byte) (abilities, error) {
	for len(b) >= 2 {
		n := int(b[0])
		if n < 2 || n > len(b) {
			break
		}
		if b[1] == descriptorType && n >= descriptorSize {
			return readClass(b[:n])
		}
		b = b[n:]
	}
	return abilities{}, fmt.Errorf("%w: no class descriptor", errNotCCID)
}

func readClass(d []byte) (abilities, error) {
	features := binary.LittleEndian.Uint32(d[40:])
	most := binary.LittleEndian.Uint32(d[44:])
	a := abilities{maxMessage: shortMessage, activatesItself: features&activatesItself != 0}
	switch features & levelMask {
	case levelShort:
	case levelExtended:
		a.extended = true
	default:
		return a, fmt.Errorf("%w: exchange level %08x, and only APDUs are spoken here", errNotCCID, features&levelMask)
	}
	if most >= 2*headerSize {
		a.maxMessage = int(min(most, maxMessage))
	}
	return a, nil
}
