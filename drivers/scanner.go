package drivers

import (
	"encoding/hex"
	"fmt"
	"time"
)

// ScanData is one code as it was scanned, without framing, prefix and AIM identifier.
type ScanData struct {
	// Bytes are the code's data; usually ASCII, in QR codes also UTF-8 or GB18030.
	Bytes []byte
	// Symbology is the AIM identifier that the scanner sent, such as "]E0" or "]Q1"
	// (ISO/IEC 15424); empty when it sends none.
	Symbology string
	// At is when the last byte was read.
	At time.Time
}

// Text returns the bytes as a string.
func (d ScanData) Text() string { return string(d.Bytes) }

// ScanEvent is either one code or one piece of trouble.
type ScanEvent struct {
	Data ScanData
	// Err is nil for a code. ErrTooBig: more bytes than a code may have came without
	// an end; they were thrown away up to the next end. ErrBadFormat: bytes that cannot
	// be a code. ErrExtended: what came before shows how the scanner is set wrongly; a
	// *pos.Error whose text and hint say it to a person, once until codes are read again.
	// ErrOffline: the scanner is gone; it is the last event.
	Err error
}

// Scanner is the UnifiedPOS category of bar code scanners.
type Scanner interface {
	Device

	// Events delivers codes one at a time, in the order in which they were scanned: the
	// next is offered when the last has been taken. A code that nobody takes within the
	// profile's stale time is thrown away and counted (FailedReadCount), so that a code
	// scanned for one customer never reaches the next one's sale. The channel is closed
	// by Release and Close, and after the event that says the scanner is gone; Enable
	// after a Claim makes a new one.
	Events() <-chan ScanEvent
}

// FrameEnd is what ends each code of a scanner on a serial line.
type FrameEnd string

// The ends.
const (
	EndCR   FrameEnd = "cr"
	EndLF   FrameEnd = "lf"
	EndCRLF FrameEnd = "crlf"
	EndIdle FrameEnd = "idle" // nothing but silence
)

// Bytes are the end as it comes down the line; empty for silence.
func (e FrameEnd) Bytes() string {
	switch e {
	case EndCR:
		return "\r"
	case EndLF:
		return "\n"
	case EndCRLF:
		return "\r\n"
	case EndIdle:
	}
	return ""
}

// EndOf names the bytes of an end; false for bytes that are none of the four.
func EndOf(bytes string) (FrameEnd, bool) {
	for _, e := range []FrameEnd{EndCR, EndLF, EndCRLF, EndIdle} {
		if e.Bytes() == bytes {
			return e, true
		}
	}
	return "", false
}

// Framing is how a scanner frames its codes on a serial line.
type Framing struct {
	End FrameEnd `json:"end" yaml:"end"`
	// Prefix is the control byte before each code as two hexadecimal digits, "02" for STX;
	// empty when there is none.
	Prefix string `json:"prefix,omitempty" yaml:"prefix,omitempty"`
}

// Check tells what is wrong with a framing.
func (f Framing) Check() error {
	if _, ok := EndOf(f.End.Bytes()); !ok || f.End != EndIdle && f.End.Bytes() == "" {
		return fmt.Errorf("end %q: want cr, lf, crlf or idle", f.End)
	}
	if b, err := hex.DecodeString(f.Prefix); err != nil || len(b) > 1 || len(b) == 1 && b[0] >= 0x20 {
		return fmt.Errorf("prefix %q: want a control byte as two hexadecimal digits, such as 02", f.Prefix)
	}
	return nil
}

// PrefixBytes is Prefix as it comes down the line.
func (f Framing) PrefixBytes() string {
	b, err := hex.DecodeString(f.Prefix)
	if err != nil {
		return "" // Check tells
	}
	return string(b)
}

// LearnedFraming is a framing that a driver found out by listening.
type LearnedFraming struct {
	Framing

	// Codes is after how many codes it was sure.
	Codes int `json:"codes"`
}

// FramingLearner is a Scanner whose profile leaves the framing open (framing.learn). The
// driver keeps what it learns while it is open; to keep it longer is its owner's.
type FramingLearner interface {
	// Learned tells what was found out or recalled, and still holds; false while too few
	// codes were scanned.
	Learned() (LearnedFraming, bool)
	// Recall gives the driver what it had learned in an earlier life, before Enable. It is
	// believed until codes come that end otherwise; then the driver learns anew.
	Recall(f LearnedFraming)
	// Forget has the driver learn anew from the next code on.
	Forget()
}
