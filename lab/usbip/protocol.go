package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Codes of the four messages after a device is imported (usbip_protocol.rst,
// "USBIP_CMD_SUBMIT" and following). All numbers are big-endian.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4
)

const (
	headerSize  = 48
	maxTransfer = 16 << 20 // the kernel's usbfs limits all transfers together to this
)

// Status values are negative Linux error numbers.
const (
	statusOK        = 0
	statusStall     = -32  // EPIPE
	statusUnlinked  = -104 // ECONNRESET
	directionIn     = 1
	endpointIn      = 0x80
	endpointNumbers = 0x0f
)

// errProtocol is returned for a message that the protocol does not know.
var errProtocol = errors.New("not usbip")

// Setup is the eight bytes of a control request (USB 2.0, 9.3).
type Setup struct {
	RequestType byte
	Request     byte
	Value       uint16
	Index       uint16
	Length      uint16
}

func parseSetup(b []byte) Setup {
	return Setup{
		b[0], b[1], binary.LittleEndian.Uint16(b[2:]),
		binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]),
	}
}

// command is one message of the host.
type command struct {
	code     uint32
	seq      uint32
	endpoint byte   // address: with endpointIn
	length   int    // of the host's buffer
	setup    Setup  // of endpoint 0
	data     []byte // what an OUT transfer carries
	unlink   uint32 // the seq that is taken back
}

// readCommand reads one message. io.EOF means that the host hung up between two.
func readCommand(r io.Reader) (command, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return command{}, fmt.Errorf("%w: cut off header", errProtocol)
		}
		return command{}, err
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(h[4*i:]) }
	c := command{code: word(0), seq: word(1)}
	switch c.code {
	case cmdUnlink:
		c.unlink = word(5)
		return c, nil
	case cmdSubmit:
	default:
		return c, fmt.Errorf("%w: command %#x", errProtocol, c.code)
	}
	if word(3) > directionIn || word(4) > endpointNumbers {
		return c, fmt.Errorf("%w: direction %d of endpoint %d", errProtocol, word(3), word(4))
	}
	c.endpoint = byte(word(4))
	if word(3) == directionIn {
		c.endpoint |= endpointIn
	}
	if word(6) > maxTransfer {
		return c, fmt.Errorf("%w: a transfer of %d bytes", errProtocol, word(6))
	}
	c.length = int(word(6))
	if n := word(8); n != 0 && n != 0xffffffff {
		return c, fmt.Errorf("%w: %d isochronous packets, which no device here has", errProtocol, n)
	}
	c.setup = parseSetup(h[40:48])
	return c.payload(r)
}

// payload reads what follows the header of an OUT transfer; memory grows only with
// what arrives.
func (c command) payload(r io.Reader) (command, error) {
	if c.endpoint&endpointIn != 0 || c.length == 0 {
		return c, nil
	}
	var err error
	c.data, err = io.ReadAll(io.LimitReader(r, int64(c.length)))
	if err == nil && len(c.data) < c.length {
		err = fmt.Errorf("%w: %d of %d bytes", errProtocol, len(c.data), c.length)
	}
	return c, err
}

// returned makes USBIP_RET_SUBMIT; data is what an IN transfer brings.
func returned(seq uint32, status int32, actual int, data []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(data))
	put := func(i int, v uint32) { binary.BigEndian.PutUint32(b[4*i:], v) }
	put(0, retSubmit)
	put(1, seq)
	put(5, uint32(status)) //nolint:gosec // the wire's two's complement
	put(6, uint32(actual)) //nolint:gosec // at most maxTransfer
	return append(b, data...)
}

// unlinked makes USBIP_RET_UNLINK.
func unlinked(seq uint32, status int32) []byte {
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, retUnlink)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[20:], uint32(status)) //nolint:gosec // the wire's two's complement
	return b
}
