package usbip

import (
	"context"
	"encoding/binary"
	"time"

	"dcpos/lab/device"
)

// Requests and descriptors of the HID class (HID 1.11, 7.1 and 7.2).
const (
	hidGetIdle     = 0x02
	hidGetProtocol = 0x03
	hidSetReport   = 0x09
	hidSetIdle     = 0x0a
	hidSetProtocol = 0x0b

	typeHID    = 0x21
	typeReport = 0x22
)

// Endpoint of the modelled HID devices.
const hidIn byte = 0x81

// Kinds of reports (HID 1.11, 7.2.1).
const (
	outputReport  = 2
	featureReport = 3
)

// HID is a device with one HID interface and one interrupt endpoint.
type HID struct {
	Identity
	// Keyboard makes it a boot keyboard, 03/01/01; otherwise 03/00/00.
	Keyboard bool
	// Packet is the largest report in bytes; 0 is 64.
	Packet uint16
	Model  device.HIDModel
}

var _ Function = HID{}

// Describe implements Function.
func (d HID) Describe() Description {
	i := Interface{Class: 0x03, Extra: d.descriptor()}
	if d.Keyboard {
		i.Subclass, i.Protocol = 0x01, 0x01
	}
	packet := d.Packet
	if packet == 0 {
		packet = 64
	}
	i.Endpoints = []Endpoint{{Address: hidIn, Type: Interrupt, Packet: packet, Interval: d.interval()}}
	return Description{Identity: d.Identity, Interfaces: []Interface{i}}
}

// interval is bInterval in milliseconds: as often as the host asks for a report, and a
// device can send one. 10 is usual for keyboards.
func (d HID) interval() uint8 {
	if d.Keyboard {
		return 10
	}
	return 1
}

// descriptor is the HID descriptor (6.2.1): version 1.11, no country, one report descriptor.
func (d HID) descriptor() []byte {
	b := []byte{9, typeHID, 0x11, 0x01, 0, 1, typeReport}
	return binary.LittleEndian.AppendUint16(b, uint16(len(d.Model.ReportDescriptor()))) //nolint:gosec // a few hundred bytes
}

// Control implements Function. Reports cannot be asked for, as most scanners do not
// answer either; they come on the interrupt endpoint.
func (d HID) Control(_ *Session, setup Setup, data []byte) ([]byte, error) {
	kind, id := byte(setup.Value>>8), byte(setup.Value)
	if setup.RequestType&kindMask == 0 && setup.Request == reqGetDescriptor {
		switch kind {
		case typeHID:
			return d.descriptor(), nil
		case typeReport:
			return d.Model.ReportDescriptor(), nil
		}
		return nil, ErrStall
	}
	if setup.RequestType&kindMask != kindClass {
		return nil, ErrStall
	}
	switch setup.Request {
	case hidSetReport:
		return nil, d.set(kind, id, data)
	case hidGetIdle, hidGetProtocol:
		return []byte{0}, nil
	case hidSetIdle, hidSetProtocol:
		return nil, nil
	}
	return nil, ErrStall
}

func (d HID) set(kind, id byte, data []byte) error {
	switch kind {
	case outputReport:
		d.Model.Output(data)
		return nil
	case featureReport:
		if id != 0 && len(data) > 0 {
			data = data[1:] // the id again
		}
		d.Model.SetFeature(id, data)
		return nil
	}
	return ErrStall
}

// Run implements Function. What the model had to say before it was plugged in is lost.
func (d HID) Run(ctx context.Context, s *Session) error {
	for len(d.Model.Reports()) > 0 {
		<-d.Model.Reports()
	}
	// The virtual controller asks at once again, and no keyboard types forty keys in a
	// millisecond: the kernel's queue of key events is made for what keyboards do.
	frame := time.NewTicker(time.Duration(d.interval()) * time.Millisecond)
	defer frame.Stop()
	for {
		select {
		case r := <-d.Model.Reports():
			if _, err := s.Write(hidIn, r); err != nil {
				return nil // unplugged
			}
		case <-ctx.Done():
			return nil
		}
		select {
		case <-frame.C:
		case <-ctx.Done():
			return nil
		}
	}
}
