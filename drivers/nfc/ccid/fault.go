package ccid

import (
	"fmt"

	"dcpos/drivers"
)

// fault is bError of an answer that says "failed" (table 6.2-2).
type fault byte

// The faults that have a name; 01 to 7F are the position of a wrong byte in the command,
// 81 to C0 are the maker's own.
const (
	faultUnsupported fault = 0x00
	faultNoSlot      fault = 0x05
	faultBusy        fault = 0xE0
	faultPINCancel   fault = 0xEF
	faultPINTimeout  fault = 0xF0
	faultSequence    fault = 0xF2
	faultDeactivated fault = 0xF3
	faultProcedure   fault = 0xF4
	faultClass       fault = 0xF5
	faultProtocol    fault = 0xF6
	faultTCK         fault = 0xF7
	faultTS          fault = 0xF8
	faultHardware    fault = 0xFB
	faultOverrun     fault = 0xFC
	faultParity      fault = 0xFD
	faultMute        fault = 0xFE
	faultAborted     fault = 0xFF
)

func faultNames() map[fault]string {
	return map[fault]string{
		faultUnsupported: "command not supported", faultNoSlot: "no such slot", faultBusy: "CMD_SLOT_BUSY",
		faultPINCancel: "PIN_CANCELLED", faultPINTimeout: "PIN_TIMEOUT", faultSequence: "BUSY_WITH_AUTO_SEQUENCE",
		faultDeactivated: "DEACTIVATED_PROTOCOL", faultProcedure: "PROCEDURE_BYTE_CONFLICT",
		faultClass: "ICC_CLASS_NOT_SUPPORTED", faultProtocol: "ICC_PROTOCOL_NOT_SUPPORTED", faultTCK: "BAD_ATR_TCK",
		faultTS: "BAD_ATR_TS", faultHardware: "HW_ERROR", faultOverrun: "XFR_OVERRUN", faultParity: "XFR_PARITY_ERROR",
		faultMute: "ICC_MUTE", faultAborted: "CMD_ABORTED",
	}
}

// String is the fault's name in the table.
func (f fault) String() string {
	if name, ok := faultNames()[f]; ok {
		return name
	}
	if f < 0x80 {
		return fmt.Sprintf("byte %d of the command is wrong", f)
	}
	return fmt.Sprintf("fault %02X of the maker's own", byte(f))
}

// code is what a caller of the driver is told.
func (f fault) code() drivers.ErrorCode {
	switch f {
	case faultMute, faultParity, faultOverrun, faultDeactivated, faultTCK, faultTS, faultAborted, faultProcedure, faultProtocol, faultClass:
		return drivers.ErrTorn // the dialogue with the card broke
	case faultBusy, faultSequence:
		return drivers.ErrBusy
	case faultUnsupported:
		return drivers.ErrIllegal
	case faultNoSlot, faultPINCancel, faultPINTimeout, faultHardware:
		return drivers.ErrFailure
	}
	return drivers.ErrFailure
}
