package drivers

import "time"

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

// LearnedFraming is how a scanner frames its codes, as its driver found out by listening.
type LearnedFraming struct {
	// End ends each code: "\r", "\n" or "\r\n"; empty when only silence does.
	End string `json:"end"`
	// Prefix is the control byte before each code; empty when there is none.
	Prefix string `json:"prefix,omitempty"`
	// Codes is after how many codes it was sure.
	Codes int `json:"codes"`
}

// FramingLearner is a Scanner whose profile leaves the framing open (framing.learn). What
// it has learned holds while it is enabled; to keep it, write it into the profile.
type FramingLearner interface {
	// Learned tells what was found out; false while too few codes were scanned.
	Learned() (LearnedFraming, bool)
}
