// Package pn532 speaks to NXP's PN532 on a high-speed UART: frames, the chip's commands,
// and ISO/IEC 14443-4 cards through it (the chip does the block protocol itself).
// Sections are those of the PN532 user manual, UM0701-02 Rev. 02.
//
// What is dealt with here: a chip that sleeps (the long preamble wakes it, 7.2.11); noise
// and halves of frames (the next start code counts); a damaged answer (NACK lets the chip
// repeat it without touching the card); a lost acknowledgement (commands about the chip are
// repeated, a command for the card never is: it may have been acted on); a late answer to
// a command that was given up (an ACK ends it, and a harmless question behind it tells
// when everything older has come).
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
	firstTarget    = 0x01
	allTargets     = 0x00
	testPresence   = 0x06 // Diagnose: is the ISO/IEC 14443-4 card still there
	moreInfo       = 0x40 // bit of Tg and of the status: the data goes on
	mostData       = 262  // bytes of one InDataExchange
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

// errNoAPDUs is a card that speaks no APDUs, such as a MIFARE Classic.
func errNoAPDUs(selRes byte) error {
	return &drivers.Advice{
		Text: pos.Text{ZH: "此卡不能用于付款", EN: "This card cannot pay"},
		Hint: pos.Text{ZH: "请换一张卡或使用手机", EN: "Use another card, or a phone"},
		Err:  fmt.Errorf("%w: SEL_RES %02X: no ISO/IEC 14443-4", drivers.ErrTorn, selRes),
	}
}
