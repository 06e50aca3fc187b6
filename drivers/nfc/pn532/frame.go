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

func ackFrame() []byte  { return []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00} } // 6.2.1.3
func nackFrame() []byte { return []byte{0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00} } // 6.2.1.4

// wakeUp is the long preamble that a sleeping chip needs (7.2.11: a 55 begins the wake-up,
// and the oscillator takes up to 2 ms; sixteen bytes at 115,200 bit/s are 1.4 ms).
func wakeUp() []byte {
	b := make([]byte, 16)
	b[0], b[1] = 0x55, 0x55
	return b
}

// errTooLong is returned for a command that does not fit a frame.
var errTooLong = errors.New("too long for a frame")

// encode frames a command: 00 00 FF LEN LCS D4 data DCS 00, in the extended form where
// LEN does not fit a byte.
func encode(data []byte) ([]byte, error) {
	n := len(data) + 1
	if n > maxExtended {
		return nil, fmt.Errorf("%w: %d bytes", errTooLong, n)
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

// kind is what a frame is.
type kind int

const (
	ack     kind = iota + 1
	nack         // the chip never sends one; named so that it is not taken for data
	failure      // the error frame
	answer       // data from the chip, without its identifier
	damaged      // a frame whose sum is wrong
)

// frame is one thing heard.
type frame struct {
	kind kind
	data []byte
}

// decoder finds frames in what comes, across noise.
type decoder struct{ buf []byte }

// Forget implements transport.Decoder.
func (d *decoder) Forget() { d.buf = nil }

// Feed implements transport.Decoder.
func (d *decoder) Feed(b []byte) (out []frame) {
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
		if f.kind != 0 {
			out = append(out, f)
		}
		d.buf = d.buf[used:]
	}
}

// startCode is the length of 00 FF.
const startCode = 2

// parse reads what stands behind a start code; used 0: more bytes are needed. After
// something wrong only the start code is used up, so that a frame inside is found.
func parse(b []byte) (f frame, used int) {
	body := b[startCode:]
	if len(body) < 2 {
		return frame{}, 0
	}
	switch {
	case body[0] == 0x00 && body[1] == 0xFF:
		return frame{kind: ack}, startCode + 2
	case body[0] == 0xFF && body[1] == 0x00:
		return frame{kind: nack}, startCode + 2
	case body[0] == 0xFF && body[1] == 0xFF:
		if len(body) < 5 {
			return frame{}, 0
		}
		n := int(body[2])<<8 | int(body[3])
		if sum(body[2:5]) != 0 || n > maxExtended || n == 0 {
			return frame{}, startCode
		}
		return content(body[5:], n, startCode+5)
	case body[0]+body[1] != 0:
		return frame{}, startCode
	}
	return content(body[2:], int(body[0]), startCode+2)
}

// content reads n bytes and their sum; head is what stands before them.
func content(b []byte, n, head int) (f frame, used int) {
	if len(b) < n+1 {
		return frame{}, 0
	}
	data := b[:n]
	switch {
	case sum(b[:n+1]) != 0:
		return frame{kind: damaged}, startCode
	case n == 1 && data[0] == syntaxError:
		return frame{kind: failure}, head + n + 1
	case n < 2 || data[0] != fromChip:
		return frame{}, startCode
	}
	return frame{kind: answer, data: append([]byte(nil), data[1:]...)}, head + n + 1
}
