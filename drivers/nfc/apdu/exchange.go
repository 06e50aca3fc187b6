package apdu

import (
	"context"
	"errors"
	"fmt"
)

// Carry takes one command APDU to the card and brings the response back.
type Carry func(ctx context.Context, command []byte) ([]byte, error)

// ErrTooLong is returned for a command that the reader cannot carry and that may not be
// sent as a chain. Nothing was sent.
var ErrTooLong = errors.New("command is too long for this reader")

// ErrEndless is returned when a card promises more data (61xx) and gives none, or more
// than an APDU may have.
var ErrEndless = errors.New("the card's answer does not end")

// chainBit in an interindustry class byte says "not the last command of a chain" (5.3.3, 5.4.1).
const chainBit = 0x10

// Exchange carries one command and follows it up until the whole answer is there: 6Cxx is
// asked again with the length that the card names, 61xx is collected by GET RESPONSE
// (5.3.4). extended says whether the reader carries extended APDUs; without it a long
// command of an interindustry class is sent as a chain. A response whose status is an
// error is a response, not an error.
func Exchange(ctx context.Context, carry Carry, command []byte, extended bool) ([]byte, error) {
	c, err := Parse(command)
	if err != nil {
		return nil, err
	}
	if c.Extended() && !extended {
		return chain(ctx, carry, c)
	}
	return whole(ctx, carry, c)
}

// chain sends a long command in pieces of 255 bytes; the first response that is not OK
// ends it and is the answer.
func chain(ctx context.Context, carry Carry, c Command) ([]byte, error) {
	c.Ne = min(c.Ne, maxShortNe) // what does not fit comes by 61xx
	if len(c.Data) <= maxShortNc {
		return whole(ctx, carry, c)
	}
	if c.CLA&0x80 != 0 || c.CLA&chainBit != 0 {
		return nil, fmt.Errorf("%w: %d bytes, and class %02X knows no chain", ErrTooLong, len(c.Data), c.CLA)
	}
	for len(c.Data) > maxShortNc {
		piece := Command{CLA: c.CLA | chainBit, INS: c.INS, P1: c.P1, P2: c.P2, Data: c.Data[:maxShortNc]}
		response, status, err := once(ctx, carry, piece)
		if err != nil || status != OK {
			return response, err
		}
		c.Data = c.Data[maxShortNc:]
	}
	return whole(ctx, carry, c)
}

func once(ctx context.Context, carry Carry, c Command) ([]byte, Status, error) {
	b, err := c.Bytes()
	if err != nil {
		return nil, 0, err
	}
	response, err := carry(ctx, b)
	if err != nil {
		return nil, 0, err
	}
	_, status, err := Split(response)
	if err != nil {
		return nil, 0, err
	}
	return response, status, nil
}

// whole sends one command and collects its answer.
func whole(ctx context.Context, carry Carry, c Command) ([]byte, error) {
	response, status, err := once(ctx, carry, c)
	if err == nil && status>>8 == 0x6C {
		c.Ne = orAll(int(status&0xFF), maxShortNe)
		response, status, err = once(ctx, carry, c)
	}
	if err != nil || status>>8 != 0x61 {
		return response, err
	}
	var data []byte
	more := Command{CLA: c.CLA & 0x03, INS: 0xC0} // on the same logical channel
	if c.CLA&0x40 != 0 {
		more.CLA = c.CLA & 0x4F
	}
	if c.CLA&0x80 != 0 {
		more.CLA = 0
	}
	for status>>8 == 0x61 {
		data = append(data, response[:len(response)-2]...)
		more.Ne = orAll(int(status&0xFF), maxShortNe)
		if response, status, err = once(ctx, carry, more); err != nil {
			return nil, err
		}
		if status>>8 == 0x61 && len(response) == 2 || len(data)+len(response) > maxExtendedNe+2 {
			return nil, ErrEndless
		}
	}
	return append(data, response...), nil
}
