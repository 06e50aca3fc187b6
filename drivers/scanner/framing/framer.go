// Package framing cuts the bytes of a scanner on a line into codes, learns how they are framed where
// nobody says so, and finds out from what comes in what is set wrongly.
//
// It waits for nothing and opens nothing: bytes and silences are given to it, with their times.
package framing

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/drivers"
	"dcpos/drivers/scanner/symbology"
	profiles "dcpos/firmware-profiles"
)

// Framer cuts a scanner's bytes into codes. Time is given to it, so silence is a fact among
// others. It is for one goroutine.
type Framer struct {
	rules    profiles.Framing
	buf      []byte
	began    time.Time // when the first byte of buf came
	last     time.Time // when the last byte came
	skipping bool      // an oversized or torn code; drop up to its end
	afterCR  bool      // the last code ended with CR: an LF belongs to it
	counts   bool      // that code was not empty
	dropped  int       // half codes thrown away
	line     line
	doctor   doctor
	learner  *learner // nil: the profile says how codes are framed
}

// Known is what was found out besides codes.
type Known struct {
	// Dropped is how many codes were thrown away because a part of them was missing.
	Dropped int
	Finding Finding
	// Framing is how codes were seen to be framed.
	Framing drivers.LearnedFraming
	Sure    bool // Framing is
}

// New makes a framer by the rules; past is what was learned in an earlier life, nil for
// nothing.
func New(rules profiles.Framing, past *drivers.LearnedFraming) *Framer {
	f := &Framer{rules: rules}
	if rules.Learn {
		f.learner = &learner{}
		f.rules = f.learner.rules(rules)
		if past != nil {
			f.rules = f.learner.recall(*past, f.rules)
		}
	}
	return f
}

// Typed makes a framer for what is typed: no speed of a line can be wrong.
func Typed(rules profiles.Framing) *Framer {
	f := New(rules, nil)
	f.line.typed = true
	return f
}

// Waiting is after how much silence the framer wants to hear of it; 0: never.
func (f *Framer) Waiting() time.Duration {
	whole := len(f.buf) == 0 && !f.skipping
	switch {
	case !whole && f.rules.Idle() > 0:
		return f.rules.Idle()
	case f.line.open() || !whole && f.learner != nil: // a learner's scanner may have been set anew
		return pause
	case !whole:
		return f.rules.Stale()
	}
	return 0
}

// pause is a silence that an end is followed by, and the bytes within a code are not.
const pause = learnIdleMS * time.Millisecond

// timed reports whether silence may end a code.
func (f *Framer) timed() bool { return f.rules.Idle() > 0 || f.learner != nil }

// Silence tells the framer that nothing came up to now, and returns the code that it ended.
// Without idle framing a half code is kept until it is stale: a slow bridge may deliver the
// rest later.
func (f *Framer) Silence(now time.Time) []drivers.ScanEvent {
	quiet := now.Sub(f.last)
	out := f.silent(now, quiet)
	if quiet >= pause {
		f.line.end(f.last, f.timed())
		if f.line.found != "" && len(f.buf) > 0 { // it is no half code, and would spoil the first good one
			f.dropped++
			f.buf = f.buf[:0]
		}
	}
	return out
}

func (f *Framer) silent(now time.Time, quiet time.Duration) []drivers.ScanEvent {
	switch {
	case len(f.buf) == 0 && !f.skipping:
		return nil
	case f.rules.Idle() > 0 && quiet >= f.rules.Idle():
		f.ended("", len(f.buf) > 0 && !f.skipping && plain(f.buf))
		return f.end(f.last)
	case f.learner != nil && quiet >= pause && !f.skipping && f.otherEnd() != "":
		by := f.otherEnd()
		f.buf = f.buf[:len(f.buf)-len(by)]
		f.line.inStep = true
		f.relearn()
		f.ended(by, len(f.buf) > 0)
		return f.end(f.last)
	case quiet >= f.rules.Stale(), f.learner != nil && quiet >= pause && now.Sub(f.began) >= f.rules.Stale():
		if !f.skipping { // otherwise it was counted when it was given up
			f.dropped++
		}
		f.relearn()
		f.buf, f.skipping = f.buf[:0], false
	}
	return nil
}

// otherEnd is an end that stands where the learned one should: the scanner was set anew.
func (f *Framer) otherEnd() string {
	for _, end := range []string{"\r\n", "\r", "\n"} {
		if bytes.HasSuffix(f.buf, []byte(end)) {
			return end
		}
	}
	return ""
}

// Known tells what the framer found out besides codes.
func (f *Framer) Known() Known {
	k := Known{Dropped: f.dropped, Finding: f.doctor.finding()}
	if f.line.found != "" { // what no code can be cut from says nothing of how codes are set
		k.Finding = Finding{Name: f.line.found}
	}
	k.Framing, k.Sure = f.learner.learned()
	return k
}

// Feed takes what was read at a time and returns the codes that are now whole. What cannot
// be a code is an event with an error: drivers.ErrBadFormat or drivers.ErrTooBig.
func (f *Framer) Feed(p []byte, at time.Time) []drivers.ScanEvent {
	out := f.Silence(at) // the timer may be late: what is stale is stale
	f.last = at
	for _, b := range p {
		out = append(out, f.take(b, at)...)
	}
	return out
}

// Lose tells the framer that bytes are missing here: neither the code they were in nor,
// should its end be among them, the next one may be delivered.
func (f *Framer) Lose(at time.Time) {
	f.dropped++
	f.buf, f.skipping, f.afterCR, f.last = f.buf[:0], true, false, at
}

func (f *Framer) take(b byte, at time.Time) []drivers.ScanEvent {
	if f.line.heard(b); f.line.full() {
		f.line.end(at, f.timed()) // who never pauses is to be judged too
	}
	if f.afterCR {
		f.afterCR = false
		if b == '\n' && len(f.buf) == 0 {
			f.line.inStep = true
			f.ended("\r\n", f.counts)
			return nil
		}
		f.ended("\r", f.counts)
	}
	if len(f.buf) == 0 {
		f.began = at
	}
	f.buf = append(f.buf, b)
	for _, end := range f.rules.End {
		if body, ok := bytes.CutSuffix(f.buf, []byte(end)); ok {
			if f.learner != nil && end == "\n" {
				body = bytes.TrimSuffix(body, []byte("\r")) // it sends CRLF now
			}
			f.buf, f.line.inStep = body, true
			f.afterCR, f.counts = b == '\r', len(body) > 0 && !f.skipping
			if !f.afterCR {
				f.ended(end, f.counts)
			}
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
func (f *Framer) end(at time.Time) []drivers.ScanEvent {
	code := append([]byte(nil), f.buf...)
	skipped := f.skipping
	f.buf, f.skipping = f.buf[:0], false
	if skipped || len(code) == 0 {
		return nil
	}
	data, err := f.open(code)
	f.doctor.code(code, f.rules, err == nil)
	if err == nil {
		f.line.understood(data.Bytes)
	}
	if f.learner != nil && !f.line.doubtful() {
		f.rules = f.learner.prefixed(code, f.rules)
	}
	data.At = at
	if err == nil && len(data.Bytes) == 0 {
		return nil
	}
	return []drivers.ScanEvent{{Data: data, Err: err}}
}

// ended tells the learner what ended a code; counts is false for what was no code.
func (f *Framer) ended(by string, counts bool) {
	if f.learner != nil && counts && !f.line.doubtful() {
		f.rules = f.learner.ended(by, f.rules)
	}
}

// relearn begins to learn again: the end that was learned does not come any more.
func (f *Framer) relearn() {
	if f.learner != nil {
		f.rules = f.learner.again(f.rules)
	}
}

// open takes prefix and AIM identifier off and looks whether the rest can be a code.
func (f *Framer) open(code []byte) (drivers.ScanData, error) {
	if f.rules.Prefix != "" {
		// What stands before the prefix is the tail of something broken.
		_, rest, ok := bytes.Cut(code, []byte(f.rules.Prefix))
		if !ok {
			return drivers.ScanData{}, fmt.Errorf("code of %d bytes without its prefix: %w", len(code), drivers.ErrBadFormat)
		}
		code = rest
	}
	return Opened(code, "", f.rules.AIM)
}

// Opened is a code without its AIM identifier, if it can be a code, and drivers.ErrBadFormat
// if not. aim is what is known of the identifier already; cut is true when it stands before
// the code.
func Opened(code []byte, aim string, cut bool) (drivers.ScanData, error) {
	if cut && symbology.IsAIM(code) {
		aim, code = string(code[:3]), code[3:]
	}
	if at := broken(code); at >= 0 {
		return drivers.ScanData{}, fmt.Errorf("byte %02x at %d of %d cannot be in a code: %w",
			code[at], at, len(code), drivers.ErrBadFormat)
	}
	return drivers.ScanData{Bytes: code, Symbology: aim}, nil
}

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
