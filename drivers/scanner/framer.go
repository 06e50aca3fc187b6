package scanner

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// framer cuts the scanner's bytes into codes. Time is given to it, so silence is a
// fact among others.
type framer struct {
	rules    profiles.Framing
	buf      []byte
	last     time.Time // when the last byte came
	skipping bool      // an oversized code was reported; drop up to its end
	afterCR  bool      // the last code ended with CR: an LF belongs to it
	dropped  int       // half codes thrown away
}

// waiting is after how much silence the framer wants to hear of it; 0: never.
func (f *framer) waiting() time.Duration {
	switch {
	case len(f.buf) == 0 && !f.skipping:
		return 0
	case f.rules.Idle() > 0:
		return f.rules.Idle()
	default:
		return f.rules.Stale()
	}
}

// silence tells the framer that nothing came up to now. Without idle framing a half
// code is kept until it is stale: a slow bridge may deliver the rest later.
func (f *framer) silence(now time.Time) []drivers.ScanEvent {
	quiet := now.Sub(f.last)
	switch {
	case f.waiting() == 0:
		return nil
	case f.rules.Idle() > 0 && quiet >= f.rules.Idle():
		return f.end(f.last)
	case quiet >= f.rules.Stale():
		if len(f.buf) > 0 {
			f.dropped++
		}
		f.buf, f.skipping = f.buf[:0], false
	}
	return nil
}

// feed takes what was read at a time and returns the codes that are now whole.
func (f *framer) feed(p []byte, at time.Time) []drivers.ScanEvent {
	out := f.silence(at) // the timer may be late: what is stale is stale
	f.last = at
	for _, b := range p {
		out = append(out, f.take(b, at)...)
	}
	return out
}

func (f *framer) take(b byte, at time.Time) []drivers.ScanEvent {
	if f.afterCR && b == '\n' && len(f.buf) == 0 {
		f.afterCR = false
		return nil
	}
	f.afterCR = false
	f.buf = append(f.buf, b)
	for _, end := range f.rules.End {
		if body, ok := bytes.CutSuffix(f.buf, []byte(end)); ok {
			f.buf = body
			f.afterCR = b == '\r'
			return f.end(at)
		}
	}
	if f.skipping {
		// Only as many bytes are kept as an end may have.
		f.buf = append(f.buf[:0], f.buf[max(0, len(f.buf)-4):]...)
		return nil
	}
	if len(f.buf) > f.rules.MaxBytes+len(f.rules.Prefix)+3 { // 3: the AIM identifier
		f.buf, f.skipping = f.buf[:0], true
		return []drivers.ScanEvent{{
			Data: drivers.ScanData{At: at},
			Err:  fmt.Errorf("code longer than %d bytes: %w", f.rules.MaxBytes, drivers.ErrTooBig),
		}}
	}
	return nil
}

// end closes the code in the buffer.
func (f *framer) end(at time.Time) []drivers.ScanEvent {
	code := append([]byte(nil), f.buf...)
	skipped := f.skipping
	f.buf, f.skipping = f.buf[:0], false
	if skipped || len(code) == 0 {
		return nil
	}
	data, err := f.open(code)
	data.At = at
	if err == nil && len(data.Bytes) == 0 {
		return nil
	}
	return []drivers.ScanEvent{{Data: data, Err: err}}
}

// open takes prefix and AIM identifier off and looks whether the rest can be a code.
func (f *framer) open(code []byte) (drivers.ScanData, error) {
	if f.rules.Prefix != "" {
		// What stands before the prefix is the tail of something broken.
		_, rest, ok := bytes.Cut(code, []byte(f.rules.Prefix))
		if !ok {
			return drivers.ScanData{}, fmt.Errorf("code of %d bytes without its prefix: %w", len(code), drivers.ErrBadFormat)
		}
		code = rest
	}
	var d drivers.ScanData
	if f.rules.AIM {
		d.Symbology, code = cutAIM(code)
	}
	if at := broken(code); at >= 0 {
		return drivers.ScanData{}, fmt.Errorf("byte %02x at %d of %d cannot be in a code: %w",
			code[at], at, len(code), drivers.ErrBadFormat)
	}
	d.Bytes = code
	return d, nil
}

// cutAIM takes an AIM identifier off: "]", a letter, a modifier (ISO/IEC 15424).
func cutAIM(code []byte) (aim string, rest []byte) {
	if len(code) < 3 || code[0] != ']' || !letter(code[1]) || !letter(code[2]) && (code[2] < '0' || code[2] > '9') {
		return "", code
	}
	return string(code[:3]), code[3:]
}

func letter(b byte) bool { return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' }

// broken finds the first byte that no code has, -1 when there is none. Codes may have
// the separators of GS1 and ISO/IEC 15434 (1C to 1E, 04), TAB, CR and LF; text beyond
// ASCII is UTF-8 or GB 18030. A wrong baud rate gives other control bytes or neither.
func broken(code []byte) int {
	high := -1
	for i, b := range code {
		switch {
		case b == '\t' || b == '\r' || b == '\n' || b == 0x04 || b >= 0x1c && b <= 0x1e:
		case b < 0x20 || b == 0x7f || b == 0xff:
			return i
		case b >= 0x80 && high < 0:
			high = i
		}
	}
	if high < 0 || utf8.Valid(code) {
		return -1
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(code)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return high
	}
	return -1
}
