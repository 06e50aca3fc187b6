package wire

import (
	"fmt"

	"dcpos/drivers"
)

// MostTargets is how many cards InListPassiveTarget is asked for (7.3.5: at most two), so
// that a second card is noticed.
const MostTargets = 2

// isoDEP is the bit of SEL_RES that says that the card speaks ISO/IEC 14443-4 (ISO/IEC
// 14443-3, 6.5.3.4).
const isoDEP = 0x20

// Target is one card of InListPassiveTarget.
type Target struct {
	Number byte // Tg, by which the chip knows it
	SelRes byte // SEL_RES, also called SAK
	UID    []byte
	ATS    []byte // with its length byte; nil for a card that does not speak ISO/IEC 14443-4
}

// ISODEP reports whether the card speaks ISO/IEC 14443-4, and so APDUs.
func (t Target) ISODEP() bool { return t.SelRes&isoDEP != 0 }

// Targets reads the answer to InListPassiveTarget at 106 kbit/s type A: NbTg, then Tg,
// SENS_RES (2), SEL_RES, NFCIDLength, NFCID, and ATS with its length byte where the card
// speaks ISO/IEC 14443-4. What is cut off, or more than was asked for, is
// drivers.ErrFailure. UID and ATS are parts of b.
func Targets(b []byte) ([]Target, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: an empty list of targets", drivers.ErrFailure)
	}
	n, b := int(b[0]), b[1:]
	if n > MostTargets {
		return nil, fmt.Errorf("%w: %d targets, %d were wanted", drivers.ErrFailure, n, MostTargets)
	}
	out := make([]Target, 0, n)
	for range n {
		if len(b) < 5 {
			return nil, fmt.Errorf("%w: a target is cut off", drivers.ErrFailure)
		}
		t, uidLength := Target{Number: b[0], SelRes: b[3]}, int(b[4])
		b = b[5:]
		if len(b) < uidLength || uidLength != 4 && uidLength != 7 && uidLength != 10 {
			return nil, fmt.Errorf("%w: a UID of %d bytes", drivers.ErrFailure, uidLength)
		}
		t.UID, b = b[:uidLength], b[uidLength:]
		if t.ISODEP() {
			if len(b) == 0 || int(b[0]) > len(b) || b[0] == 0 {
				return nil, fmt.Errorf("%w: an answer to select is cut off", drivers.ErrFailure)
			}
			t.ATS, b = b[:b[0]], b[b[0]:]
		}
		out = append(out, t)
	}
	return out, nil
}
