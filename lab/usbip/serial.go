package usbip

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"dcpos/lab/device"
)

// Requests of CDC-ACM (USB CDC PSTN 1.2, 6.3).
const (
	serialSetLineCoding = 0x20
	serialGetLineCoding = 0x21
	serialSetLines      = 0x22
	serialSendBreak     = 0x23
)

// Endpoints of the modelled serial devices.
const (
	serialOut    byte = 0x01
	serialIn     byte = 0x82
	serialNotify byte = 0x83
)

// LineCoding is how the host set the line.
type LineCoding struct {
	Baud   uint32
	Stop   byte // 0: one, 1: one and a half, 2: two
	Parity byte // 0 none, 1 odd, 2 even
	Bits   byte
}

// Serial is a CDC-ACM device: a scanner or a display with a USB plug that the host
// sees as a tty. What the model sends while no program holds the tty (DTR is off) is
// thrown away, as scanners do.
type Serial struct {
	Identity
	// Model talks on the line.
	Model device.Served

	mu     sync.Mutex
	coding LineCoding
	lines  uint16
}

var _ Function = (*Serial)(nil)

// Describe implements Function.
func (d *Serial) Describe() Description {
	functional := []byte{
		5, 0x24, 0x00, 0x10, 0x01, // header, CDC 1.10
		5, 0x24, 0x01, 0x00, 1, // call management: none; data interface 1
		4, 0x24, 0x02, 0x02, // ACM: line coding and control lines
		5, 0x24, 0x06, 0, 1, // union: 0 controls 1
	}
	return Description{
		Identity: d.Identity, Class: 0x02,
		Interfaces: []Interface{
			{
				Class: 0x02, Subclass: 0x02, Protocol: 0x01, Extra: functional,
				Endpoints: []Endpoint{{Address: serialNotify, Type: Interrupt, Packet: 8, Interval: 16}},
			},
			{Class: 0x0a, Endpoints: []Endpoint{
				{Address: serialOut, Type: Bulk, Packet: 64}, {Address: serialIn, Type: Bulk, Packet: 64},
			}},
		},
	}
}

// Control implements Function.
func (d *Serial) Control(_ *Session, setup Setup, data []byte) ([]byte, error) {
	if setup.RequestType&kindMask != kindClass {
		return nil, ErrStall
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch setup.Request {
	case serialSetLineCoding:
		if len(data) < 7 {
			return nil, ErrStall
		}
		d.coding = LineCoding{binary.LittleEndian.Uint32(data), data[4], data[5], data[6]}
		return nil, nil
	case serialGetLineCoding:
		c := d.coding
		return append(binary.LittleEndian.AppendUint32(nil, c.Baud), c.Stop, c.Parity, c.Bits), nil
	case serialSetLines:
		d.lines = setup.Value
		return nil, nil
	case serialSendBreak:
		return nil, nil
	}
	return nil, ErrStall
}

// Coding is how the host last set the line; zero before it did.
func (d *Serial) Coding() LineCoding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.coding
}

// Lines are the control lines that the host holds up.
func (d *Serial) Lines() (dtr, rts bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines&1 != 0, d.lines&2 != 0
}

// Run implements Function.
func (d *Serial) Run(ctx context.Context, s *Session) error {
	d.mu.Lock()
	d.lines = 0
	d.mu.Unlock()
	return d.Model.Serve(ctx, heard{s.Stream(serialOut, serialIn), d})
}

// heard loses what is said to nobody.
type heard struct {
	io.ReadWriteCloser
	line *Serial
}

func (h heard) Write(b []byte) (int, error) {
	if dtr, _ := h.line.Lines(); !dtr {
		return len(b), nil
	}
	return h.ReadWriteCloser.Write(b)
}
