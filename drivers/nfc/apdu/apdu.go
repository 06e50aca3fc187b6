// Package apdu speaks ISO/IEC 7816-4: command and response APDUs in their short and
// extended forms, status words, and what a terminal does about 61xx, 6Cxx and commands
// that are too long for the reader.
//
// Sections are those of ISO/IEC 7816-4:2013.
package apdu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of the two forms (5.1): Nc is a command's data length, Ne the most that is
// wanted back.
const (
	maxShortNc    = 255
	maxShortNe    = 256
	maxExtendedNc = 65_535
	maxExtendedNe = 65_536
)

// ErrMalformed is returned for bytes that are no APDU.
var ErrMalformed = errors.New("not an APDU")

// Command is a command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	// Ne is the most data bytes wanted back: 0 none, 256 "all" of the short form, 65536 of
	// the extended one.
	Ne int
}

// Parse reads one of the seven forms of 5.1, table 1. Data is a part of b.
func Parse(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, fmt.Errorf("%w: %d bytes of a command, at least 4", ErrMalformed, len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	body := b[4:]
	switch {
	case len(body) == 0:
		return c, nil
	case len(body) == 1:
		c.Ne = orAll(int(body[0]), maxShortNe)
		return c, nil
	case body[0] != 0:
		return c.short(body)
	default:
		return c.extended(body)
	}
}

func orAll(n, all int) int {
	if n == 0 {
		return all
	}
	return n
}

func (c Command) short(body []byte) (Command, error) {
	nc := int(body[0])
	switch len(body) {
	case 1 + nc:
	case 2 + nc:
		c.Ne = orAll(int(body[1+nc]), maxShortNe)
	default:
		return Command{}, fmt.Errorf("%w: Lc %d and %d bytes after it", ErrMalformed, nc, len(body)-1)
	}
	c.Data = body[1 : 1+nc]
	return c, nil
}

func (c Command) extended(body []byte) (Command, error) {
	if len(body) < 3 {
		return Command{}, fmt.Errorf("%w: extended length cut off", ErrMalformed)
	}
	n := int(binary.BigEndian.Uint16(body[1:]))
	switch {
	case len(body) == 3:
		c.Ne = orAll(n, maxExtendedNe)
		return c, nil
	case n > 0 && len(body) == 3+n:
	case n > 0 && len(body) == 5+n:
		c.Ne = orAll(int(binary.BigEndian.Uint16(body[3+n:])), maxExtendedNe)
	default:
		return Command{}, fmt.Errorf("%w: extended Lc %d and %d bytes after it", ErrMalformed, n, len(body)-3)
	}
	c.Data = body[3 : 3+n]
	return c, nil
}

// Extended reports whether the command needs the extended form.
func (c Command) Extended() bool { return len(c.Data) > maxShortNc || c.Ne > maxShortNe }

// Bytes encodes the command, in the short form where that is enough.
func (c Command) Bytes() ([]byte, error) {
	if len(c.Data) > maxExtendedNc || c.Ne < 0 || c.Ne > maxExtendedNe {
		return nil, fmt.Errorf("%w: %d bytes of data, %d wanted back", ErrMalformed, len(c.Data), c.Ne)
	}
	out := make([]byte, 0, 4+3+len(c.Data)+2)
	out = append(out, c.CLA, c.INS, c.P1, c.P2)
	if !c.Extended() {
		if len(c.Data) > 0 {
			out = append(append(out, byte(len(c.Data))), c.Data...)
		}
		if c.Ne > 0 {
			out = append(out, byte(c.Ne)) // 256 is 00
		}
		return out, nil
	}
	out = append(out, 0)
	if len(c.Data) > 0 {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(c.Data))), c.Data...) //nolint:gosec // checked above
	}
	if c.Ne > 0 {
		out = binary.BigEndian.AppendUint16(out, uint16(c.Ne&0xFFFF)) //nolint:gosec // 65536 is 0000
	}
	return out, nil
}

// Select is SELECT by name (11.2.2), the first or only occurrence, FCI wanted.
func Select(name []byte) Command {
	return Command{INS: 0xA4, P1: 0x04, Data: name, Ne: maxShortNe}
}

// Status is a status word, SW1 and SW2 (5.6).
type Status uint16

// Status words that are told apart by drivers and kernels.
const (
	OK                Status = 0x9000
	FileInvalidated   Status = 0x6283 // selected, and blocked
	WrongLength       Status = 0x6700
	NotSatisfied      Status = 0x6985 // conditions of use
	WrongData         Status = 0x6A80
	FunctionUnknown   Status = 0x6A81
	NotFound          Status = 0x6A82 // file or application
	InstructionAbsent Status = 0x6D00
	ClassAbsent       Status = 0x6E00
	Failed            Status = 0x6300 // also: a contactless reader's own pseudo-APDU did not work (PC/SC 3, 3.2.2.1)
)

// String is the word in hex, as the tables write it.
func (s Status) String() string { return fmt.Sprintf("%04X", uint16(s)) }

// Split parts a response APDU into data and status. The data is a part of response.
func Split(response []byte) (data []byte, status Status, err error) {
	n := len(response) - 2
	if n < 0 {
		return nil, 0, fmt.Errorf("%w: a response of %d bytes, at least 2", ErrMalformed, len(response))
	}
	return response[:n], Status(binary.BigEndian.Uint16(response[n:])), nil
}
