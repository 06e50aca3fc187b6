package framing

import (
	"time"
	"unicode/utf8"
)

// How much has to be heard before anything is said of a line.
const (
	// shortest is the fewest bytes that a code has whose content proves anything: UPC-E
	// without system number and check digit (GS1 General Specifications, 5.2).
	shortest = 6
	// together is how far apart bursts may be that are of one trouble. A person who wonders
	// tries again at once; a spark in the cable comes once an hour.
	together = time.Minute
	// longNoise is the mean burst that is longer than 40 characters heard at half their speed.
	longNoise = 24
	// burstMost is more than any code of bytes has: 2953 in a QR code (ISO/IEC 18004, table 7).
	burstMost = 4096
)

// line finds out whether anything on a line can be understood at all: at a wrong speed
// nothing can, and without an end no code is whole. It judges bursts, which are the bytes
// between two silences: one pull of the trigger, whatever is made of it, and however soon
// the next comes.
//
// What a UART makes of another speed (8N1; without parity a framing error is delivered as
// the byte that was sampled):
//   - A slower sender's bits are each heard more than once. Many bytes come, and within each
//     the levels come in pairs or threes; at 9600 heard at 115200 every low is a NUL.
//   - Of a faster sender's bits only some are heard. A frame at 9600 lasts for twelve
//     characters at 115200: a code of 13 digits is one or two bytes, and they may look like
//     anything. Few bytes are the sign here, and three scans of them have to be heard together.
//
// Neither ends with the end of a code. A burst that does is in step, whatever it holds, so
// that binary contents are never mistaken for noise where codes have ends. Where silence ends
// them, only levels in pairs, or bursts that are too short for binary contents, are noise.
type line struct {
	typed  bool // it is a keyboard and has no speed
	burst  []byte
	inStep bool      // the burst ends with the end of a code, or with one that was understood
	last   time.Time // when the last burst ended

	// The bursts in a row that were not in step: like a code without its end, impossible
	// in a code, too short or too strange to tell.
	plain, garbled, crumbs int
	bytes, paired          int // of the garbled ones; with levels in pairs or threes

	found string // the finding's name
}

// heard takes the next byte.
func (l *line) heard(b byte) {
	l.inStep = false
	l.burst = append(l.burst, b)
}

// full reports whether a burst is longer than any code.
func (l *line) full() bool { return len(l.burst) >= burstMost }

// open reports whether a burst waits for its end.
func (l *line) open() bool { return len(l.burst) > 0 }

// doubtful reports whether nothing may be learned from what comes.
func (l *line) doubtful() bool { return l.garbled > 0 }

// understood hears of a code that could be opened. At a wrong speed a few bytes may look like
// one, so a short code proves nothing by itself.
func (l *line) understood(code []byte) {
	if len(code) >= shortest && legible(code) {
		l.proved()
		l.inStep = true
	}
}

// proved ends the finding.
func (l *line) proved() {
	l.forget()
	l.found = ""
}

func (l *line) forget() { l.plain, l.garbled, l.crumbs, l.bytes, l.paired = 0, 0, 0, 0, 0 }

// end judges the burst that a silence has ended. timed is true where silence ends codes.
func (l *line) end(at time.Time, timed bool) {
	b, inStep := l.burst, l.inStep
	l.burst, l.inStep = b[:0], false
	switch {
	case len(b) == 0:
		return
	case inStep:
		l.proved()
		return
	case at.Sub(l.last) > together:
		l.forget()
	}
	l.last = at
	switch {
	case len(b) >= shortest && plain(b):
		l.plain++
	case broken(b) >= 0, len(b) < shortest && printable(b) < len(b):
		l.garbled++
		l.bytes += len(b)
		for _, c := range b {
			if paired(c) {
				l.paired++
			}
		}
	default:
		l.crumbs++
	}
	l.judge(timed)
}

func (l *line) judge(timed bool) {
	all := l.plain + l.garbled + l.crumbs
	noise := !l.typed && 2*l.plain < all
	if timed { // codes may be short, and of binary contents
		noise = noise && 3*l.garbled >= all && (l.paired*10 >= l.bytes*9 || l.bytes < l.garbled*longNoise)
	}
	switch {
	case all < inARow:
	case noise:
		l.found = wrongSpeed
	case !timed && l.plain >= inARow && 2*l.plain > all:
		l.found = missingEnd
	}
}

// plain reports whether bytes are like a code's: what may stand before and after it is not
// counted, nor is a bad byte among many that are printable.
func plain(b []byte) bool {
	inner := b
	if len(inner) > shortest && inner[0] < 0x20 {
		inner = inner[1:]
	}
	if n := len(inner) - 1; n >= shortest && inner[n] < 0x20 {
		inner = inner[:n]
	}
	return legible(inner) || printable(b)*8 >= len(b)*7
}

// legible reports whether bytes are text that noise seldom is: ASCII, UTF-8, or the signs and
// the 3,755 usual characters of GB 2312. GB 18030 has a character for nearly every pair of
// bytes.
func legible(b []byte) bool {
	if broken(b) >= 0 {
		return false
	}
	if utf8.Valid(b) {
		return true
	}
	for i := 0; i < len(b); i++ {
		if b[i] < 0x80 {
			continue
		}
		usual := b[i] >= 0xa1 && b[i] <= 0xa9 || b[i] >= 0xb0 && b[i] <= 0xd7
		if !usual || b[i+1] < 0xa1 { // not broken, so there is a second
			return false
		}
		i++
	}
	return true
}

// printable counts the bytes of ASCII text and of ends.
func printable(b []byte) int {
	n := 0
	for _, c := range b {
		if c >= 0x20 && c < 0x7f || c == '\r' || c == '\n' || c == '\t' {
			n++
		}
	}
	return n
}

// paired reports whether the levels of a frame, start bit first, come in pairs or threes, as
// those of a slower sender do: his speed is 1/2, 1/4, 1/6, 1/12 or 1/3 of ours. Pairs may
// begin after the start bit, where the UART took a low stop bit for one. Of bytes of any
// kind every eighth is so.
func paired(b byte) bool {
	levels := uint16(b) << 1 // the start bit is low
	turns := levels ^ levels>>1
	const ( // where the level may not turn
		pairs   = 0b0101_0101
		shifted = 0b1010_1010
		threes  = 0b1101_1011
	)
	return turns&pairs == 0 || turns&shifted == 0 || turns&threes == 0
}
