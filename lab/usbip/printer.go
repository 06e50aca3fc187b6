package usbip

import (
	"context"
	"encoding/binary"

	"dcpos/lab/device"
)

// Requests of the printer class (USB Printer Class 1.1, 4.2).
const (
	printerGetDeviceID   = 0
	printerGetPortStatus = 1
	printerSoftReset     = 2
)

// Bits of GET_PORT_STATUS (4.2.2).
const (
	PortNotError   byte = 0x08
	PortSelected   byte = 0x10
	PortPaperEmpty byte = 0x20
)

// Endpoints of the modelled printers.
const (
	PrinterOut byte = 0x01
	PrinterIn  byte = 0x82
)

// Printer is a bidirectional printer-class device, 07/01/02.
type Printer struct {
	Identity
	Speed Speed // 0 is FullSpeed
	// Model talks on the bulk endpoints.
	Model device.Served
	// DeviceID is the IEEE 1284 text of GET_DEVICE_ID: "MFG:EPSON;CMD:ESC/POS;MDL:TM-T88V;".
	DeviceID string
	// PortStatus are the bits of GET_PORT_STATUS; nil: selected, no error.
	PortStatus func() byte
}

var _ Function = Printer{}

// Describe implements Function.
func (p Printer) Describe() Description {
	packet := uint16(64)
	if p.Speed == HighSpeed {
		packet = 512
	}
	return Description{
		Identity: p.Identity, Speed: p.Speed,
		Interfaces: []Interface{{
			Class: 0x07, Subclass: 0x01, Protocol: 0x02,
			Endpoints: []Endpoint{{Address: PrinterOut, Type: Bulk, Packet: packet}, {Address: PrinterIn, Type: Bulk, Packet: packet}},
		}},
	}
}

// Control implements Function.
func (p Printer) Control(s *Session, setup Setup, _ []byte) ([]byte, error) {
	if setup.RequestType&kindMask != kindClass {
		return nil, ErrStall
	}
	switch setup.Request {
	case printerGetDeviceID: // the length in front counts itself
		b := binary.BigEndian.AppendUint16(nil, uint16(2+len(p.DeviceID))) //nolint:gosec // a line of text
		return append(b, p.DeviceID...), nil
	case printerGetPortStatus:
		if p.PortStatus != nil {
			return []byte{p.PortStatus()}, nil
		}
		return []byte{PortNotError | PortSelected}, nil
	case printerSoftReset:
		s.Flush(PrinterIn)
		s.ClearHalt(PrinterIn)
		s.ClearHalt(PrinterOut)
		return nil, nil
	}
	return nil, ErrStall
}

// Run implements Function.
func (p Printer) Run(ctx context.Context, s *Session) error {
	return p.Model.Serve(ctx, s.Stream(PrinterOut, PrinterIn))
}
