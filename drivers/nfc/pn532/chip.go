package pn532

import (
	"fmt"

	"dcpos/drivers"
	"dcpos/pos"
)

// Commands (7.1, table 12); the answer has the next code.
const (
	cmdDiagnose           = 0x00 // 7.2.1
	cmdGetFirmwareVersion = 0x02 // 7.2.2
	cmdSAMConfiguration   = 0x14 // 7.2.10
	cmdRFConfiguration    = 0x32 // 7.3.1
	cmdInDataExchange     = 0x40 // 7.3.8
	cmdInListPassive      = 0x4A // 7.3.5
	cmdInRelease          = 0x52 // 7.3.11
)

// Parameters.
const (
	samNormal      = 0x01 // no secure companion chip
	rfField        = 0x01 // RFConfiguration: the field itself
	fieldOff       = 0x00
	rfMaxRetries   = 0x05 // RFConfiguration: how often the chip tries
	retryForEver   = 0xFF // for MxRtyATR and MxRtyPassiveActivation
	retryPSL       = 0x01
	iso14443A106   = 0x00 // InListPassiveTarget: 106 kbit/s type A
	mostTargets    = 0x02 // so that a second card is noticed
	firstTarget    = 0x01
	allTargets     = 0x00
	testPresence   = 0x06 // Diagnose: is the ISO/IEC 14443-4 card still there
	moreInfo       = 0x40 // bit of Tg and of the status: the data goes on
	mostData       = 262  // bytes of one InDataExchange
	sakISO14443_4  = 0x20 // bit of SEL_RES: the card speaks ISO/IEC 14443-4 (ISO/IEC 14443-3, 6.5.3.4)
	firmwareFields = 4    // IC, Ver, Rev, Support
)

// status is the first byte of most answers (7.1, table 13); the low six bits are an error.
type status byte

const statusOK status = 0

// statusNames are the errors of table 13.
func statusNames() map[status]string {
	return map[status]string{
		0x01: "time out: the target has not answered", 0x02: "CRC error", 0x03: "parity error",
		0x04: "erroneous bit count in anti-collision", 0x05: "framing error", 0x06: "abnormal bit collision",
		0x07: "buffer size insufficient", 0x09: "RF buffer overflow", 0x0A: "RF field not switched on in time",
		0x0B: "RF protocol error", 0x0D: "temperature error", 0x0E: "internal buffer overflow",
		0x10: "invalid parameter", 0x12: "command not supported by the target", 0x13: "data format error",
		0x14: "authentication error", 0x23: "UID check byte is wrong", 0x25: "invalid device state",
		0x26: "operation not allowed", 0x27: "command not acceptable now", 0x29: "released by its initiator",
		0x2A: "card was exchanged", 0x2B: "card disappeared", 0x2C: "NFCID3 mismatch", 0x2D: "over-current",
		0x2E: "NAD missing",
	}
}

// String is the error's name in the table.
func (s status) String() string {
	if name, ok := statusNames()[s]; ok {
		return name
	}
	return fmt.Sprintf("status %02X", byte(s))
}

// err is nil for success; what broke between chip and card is a torn tap, what is the
// chip's own trouble a fault.
func (s status) err() error {
	switch s &^= 0xC0; s {
	case statusOK:
		return nil
	case 0x07, 0x0D, 0x0E, 0x10, 0x25, 0x26, 0x2D:
		return fmt.Errorf("%w: %s", drivers.ErrFailure, s)
	default:
		return fmt.Errorf("%w: %s", drivers.ErrTorn, s)
	}
}

// target is one card of InListPassiveTarget.
type target struct {
	number   byte
	selRes   byte
	uid, ats []byte
}

// parseTargets reads the answer to InListPassiveTarget at 106 kbit/s type A: NbTg, then Tg,
// SENS_RES (2), SEL_RES, NFCIDLength, NFCID, and ATS with its length byte where the card
// speaks ISO/IEC 14443-4.
func parseTargets(b []byte) ([]target, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: an empty list of targets", drivers.ErrFailure)
	}
	n, b := int(b[0]), b[1:]
	if n > mostTargets {
		return nil, fmt.Errorf("%w: %d targets, %d were wanted", drivers.ErrFailure, n, mostTargets)
	}
	out := make([]target, 0, n)
	for range n {
		if len(b) < 5 {
			return nil, fmt.Errorf("%w: a target is cut off", drivers.ErrFailure)
		}
		t, uidLength := target{number: b[0], selRes: b[3]}, int(b[4])
		b = b[5:]
		if len(b) < uidLength || uidLength != 4 && uidLength != 7 && uidLength != 10 {
			return nil, fmt.Errorf("%w: a UID of %d bytes", drivers.ErrFailure, uidLength)
		}
		t.uid, b = b[:uidLength], b[uidLength:]
		if t.selRes&sakISO14443_4 != 0 {
			if len(b) == 0 || int(b[0]) > len(b) || b[0] == 0 {
				return nil, fmt.Errorf("%w: an answer to select is cut off", drivers.ErrFailure)
			}
			t.ats, b = b[:b[0]], b[b[0]:]
		}
		out = append(out, t)
	}
	return out, nil
}

// errNoAPDUs is a card that speaks no APDUs, such as a MIFARE Classic.
func errNoAPDUs(selRes byte) error {
	return &drivers.Advice{
		Text: pos.Text{ZH: "此卡不能用于付款", EN: "This card cannot pay"},
		Hint: pos.Text{ZH: "请换一张卡或使用手机", EN: "Use another card, or a phone"},
		Err:  fmt.Errorf("%w: SEL_RES %02X: no ISO/IEC 14443-4", drivers.ErrTorn, selRes),
	}
}
