// Package wire is what goes to and comes from the chip, as bytes: frames among noise, and the list of
// cards. Sections are those of the PN532 user manual, UM0701-02 Rev. 02.
package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// Frame identifiers (6.2.1.1): to the chip, and from it.
const (
	toChip   = 0xD4
	fromChip = 0xD5
)

// Lengths (6.2.1.1, 6.2.1.2): LEN counts the identifier and the data.
const (
	maxNormal   = 255
	maxExtended = 265 // "PD0…PDn" of 264 bytes and the identifier
)

// syntaxError is the data of the error frame (6.2.1.5): the chip did not understand.
const syntaxError = 0x7F

// ACK is the frame that acknowledges, and that ends what the chip does (6.2.1.3).
func ACK() []byte { return []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00} }

// NACK is the frame that has the chip repeat its last answer (6.2.1.4).
func NACK() []byte { return []byte{0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00} }

// WakeUp is the long preamble that a sleeping chip needs (7.2.11: a 55 begins the wake-up,
// and the oscillator takes up to 2 ms; sixteen bytes at 115,200 bit/s are 1.4 ms).
func WakeUp() []byte {
	b := make([]byte, 16)
	b[0], b[1] = 0x55, 0x55
	return b
}

// ErrTooLong is returned for a command that does not fit a frame.
var ErrTooLong = errors.New("too long for a frame")

// Encode frames a command: 00 00 FF LEN LCS D4 data DCS 00, in the extended form where
// LEN does not fit a byte. ErrTooLong: the chip takes no more than 264 bytes.
func Encode(data []byte) ([]byte, error) {
	n := len(data) + 1
	if n > maxExtended {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, n)
	}
	out := make([]byte, 0, n+10)
	out = append(out, 0x00, 0x00, 0xFF)
	if n <= maxNormal {
		out = append(out, byte(n), -byte(n))
	} else {
		hi, lo := byte(n>>8), byte(n)
		out = append(out, 0xFF, 0xFF, hi, lo, -(hi + lo))
	}
	out = append(append(out, toChip), data...)
	return append(out, -sum(data)-toChip, 0x00), nil
}

func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}

// Kind is what a frame is.
type Kind int

// The kinds.
const (
	Acknowledged Kind = iota + 1
	Refused           // a NACK: the chip never sends one; named so that it is not taken for data
	SyntaxError       // the error frame: the chip did not understand
	Answer            // data from the chip
	Damaged           // a frame whose sum is wrong
)

// Frame is one thing heard.
type Frame struct {
	Kind Kind
	Data []byte // of an answer, without its identifier, and never empty; the receiver's own
}

// Decoder finds frames in what comes, across noise. The zero value is ready; it is for
// one goroutine.
type Decoder struct{ buf []byte }

// Forget implements transport.Decoder.
func (d *Decoder) Forget() { d.buf = nil }

// Feed implements transport.Decoder.
func (d *Decoder) Feed(b []byte) (out []Frame) {
	d.buf = append(d.buf, b...)
	for {
		at := bytes.Index(d.buf, []byte{0x00, 0xFF})
		if at < 0 {
			if n := len(d.buf); n > 0 && d.buf[n-1] == 0x00 { // half a start code
				d.buf = []byte{0x00}
			} else {
				d.buf = nil
			}
			return out
		}
		d.buf = d.buf[at:]
		f, used := parse(d.buf)
		if used == 0 {
			return out
		}
		if f.Kind != 0 {
			out = append(out, f)
		}
		d.buf = d.buf[used:]
	}
}

// startCode is the length of 00 FF.
const startCode = 2

// parse reads what stands behind a start code; used 0: more bytes are needed. After
// something wrong only the start code is used up, so that a frame inside is found.
func parse(b []byte) (f Frame, used int) {
	body := b[startCode:]
	if len(body) < 2 {
		return Frame{}, 0
	}
	switch {
	case body[0] == 0x00 && body[1] == 0xFF:
		return Frame{Kind: Acknowledged}, startCode + 2
	case body[0] == 0xFF && body[1] == 0x00:
		return Frame{Kind: Refused}, startCode + 2
	case body[0] == 0xFF && body[1] == 0xFF:
		if len(body) < 5 {
			return Frame{}, 0
		}
		n := int(body[2])<<8 | int(body[3])
		if sum(body[2:5]) != 0 || n > maxExtended || n == 0 {
			return Frame{}, startCode
		}
		return content(body[5:], n, startCode+5)
	case body[0]+body[1] != 0:
		return Frame{}, startCode
	}
	return content(body[2:], int(body[0]), startCode+2)
}

// content reads n bytes and their sum; head is what stands before them.
func content(b []byte, n, head int) (f Frame, used int) {
	if len(b) < n+1 {
		return Frame{}, 0
	}
	data := b[:n]
	switch {
	case sum(b[:n+1]) != 0:
		return Frame{Kind: Damaged}, startCode
	case n == 1 && data[0] == syntaxError:
		return Frame{Kind: SyntaxError}, head + n + 1
	case n < 2 || data[0] != fromChip:
		return Frame{}, startCode
	}
	return Frame{Kind: Answer, Data: append([]byte(nil), data[1:]...)}, head + n + 1
}
