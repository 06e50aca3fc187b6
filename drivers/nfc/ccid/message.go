// Package ccid speaks to contactless readers by their USB chip card interface, where no
// PC/SC daemon runs. Sections are those of the specification "Integrated Circuit(s) Cards
// Interface Devices", USB CCID Rev 1.1 (22 April 2005).
//
// What is dealt with here: a late answer to a command that was given up (every message has
// a sequence number, and a stale one is dropped); a slow card (time extensions keep the
// wait alive); a removal that the interrupt endpoint did not tell (the slot is looked at
// now and then); readers without an interrupt endpoint (the slot is asked); messages in
// pieces where the reader carries extended APDUs. Readers that want TPDUs or characters
// are refused: contactless ones do not.
package ccid

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// headerSize is the length of every message's head (6.1, 6.2).
const headerSize = 10

// maxMessage is more than any reader's dwMaxCCIDMessageLength for the slots here: an
// extended APDU in one message and its head.
const maxMessage = headerSize + 4 + 3 + 65_536 + 2

// kind is bMessageType.
type kind byte

// The messages of the bulk endpoints that are used (table 6.1-1, table 6.2-1).
const (
	powerOn   kind = 0x62 // PC_to_RDR_IccPowerOn
	powerOff  kind = 0x63 // PC_to_RDR_IccPowerOff
	getStatus kind = 0x65 // PC_to_RDR_GetSlotStatus
	escape    kind = 0x6B // PC_to_RDR_Escape
	xfrBlock  kind = 0x6F // PC_to_RDR_XfrBlock

	dataBlock  kind = 0x80 // RDR_to_PC_DataBlock
	slotStatus kind = 0x81 // RDR_to_PC_SlotStatus
	parameters kind = 0x82 // RDR_to_PC_Parameters
	escaped    kind = 0x83 // RDR_to_PC_Escape
	clockData  kind = 0x84 // RDR_to_PC_DataRateAndClockFrequency
)

// Messages of the interrupt endpoint (table 6.3-1).
const (
	notifySlotChange = 0x50
	hardwareError    = 0x51
)

// message is one message of a bulk endpoint.
type message struct {
	kind      kind
	slot, seq byte
	specific  [3]byte // by message: bStatus, bError and a parameter in answers
	data      []byte
}

func (m message) encode() []byte {
	out := make([]byte, headerSize, headerSize+len(m.data))
	out[0] = byte(m.kind)
	binary.LittleEndian.PutUint32(out[1:], uint32(len(m.data))) //nolint:gosec // at most maxMessage
	out[5], out[6] = m.slot, m.seq
	copy(out[7:], m.specific[:])
	return append(out, m.data...)
}

// errNotCCID is returned for bytes that are no answer of a reader.
var errNotCCID = errors.New("not a CCID message")

// decoder cuts what comes on bulk IN into messages.
type decoder struct{ buf []byte }

// Forget implements transport.Decoder.
func (d *decoder) Forget() { d.buf = nil }

// Feed implements transport.Decoder. Noise is thrown away with all behind it: the next
// answer begins a transfer of its own; a command that only noise answers times out.
func (d *decoder) Feed(b []byte) (out []message) {
	d.buf = append(d.buf, b...)
	for len(d.buf) >= headerSize {
		k := kind(d.buf[0])
		n := binary.LittleEndian.Uint32(d.buf[1:])
		if k < dataBlock || k > clockData || n > maxMessage-headerSize {
			d.buf = nil
			return out
		}
		whole := headerSize + int(n)
		if len(d.buf) < whole {
			break
		}
		m := message{kind: k, slot: d.buf[5], seq: d.buf[6], specific: [3]byte(d.buf[7:10])}
		m.data = append([]byte(nil), d.buf[headerSize:whole]...)
		out = append(out, m)
		d.buf = d.buf[whole:]
	}
	if len(d.buf) == 0 {
		d.buf = nil
	}
	return out
}

// The state of the slot, bits 0 and 1 of bStatus (table 6.2-3).
const (
	iccActive   = 0
	iccInactive = 1
	iccAbsent   = 2
)

// What became of the command, bits 6 and 7 of bStatus (table 6.2-3).
const (
	commandDone     = 0
	commandFailed   = 1
	commandMoreTime = 2
)

func (m message) icc() byte     { return m.specific[0] & 0x03 }
func (m message) outcome() byte { return m.specific[0] >> 6 }
func (m message) fault() fault  { return fault(m.specific[1]) }
func (m message) chain() byte   { return m.specific[2] }

// notification is what one packet of the interrupt endpoint says about slot 0.
type notification struct {
	change  bool // bit 1 of bmSlotICCState
	present bool // bit 0
	fault   bool // RDR_to_PC_HardwareError: overcurrent (6.3.2)
}

func parseNotification(b []byte) (notification, error) {
	switch {
	case len(b) >= 2 && b[0] == notifySlotChange:
		return notification{change: b[1]&2 != 0, present: b[1]&1 != 0}, nil
	case len(b) >= 4 && b[0] == hardwareError:
		return notification{fault: true}, nil
	}
	return notification{}, fmt.Errorf("%w: notification % x", errNotCCID, b[:min(len(b), 4)])
}
