package usbip

import (
	"context"
	"encoding/binary"

	"dcpos/lab/device"
)

// Requests of the CCID class (CCID 1.10, 5.3).
const (
	ccidAbort        = 0x01
	ccidGetClocks    = 0x02
	ccidGetDataRates = 0x03
)

// Endpoints of the modelled readers.
const (
	ccidOut    byte = 0x02
	ccidIn     byte = 0x82
	ccidNotify byte = 0x81
)

// CardReader is what a reader's model does: whole CCID messages on the bulk
// endpoints, one a Read and one a Write, and RDR_to_PC_NotifySlotChange beside them.
type CardReader interface {
	device.Served
	// Notify sends slot changes (CCID 1.10, 6.3.1) until ctx ends.
	Notify(ctx context.Context, send func(message []byte) error) error
}

// CCID is a smart card reader, 0b/00/00.
type CCID struct {
	Identity
	Model CardReader
}

var _ Function = CCID{}

// maxMessage is dwMaxCCIDMessageLength of a reader with short APDUs.
const maxMessage = 271

// Describe implements Function.
func (d CCID) Describe() Description {
	return Description{
		Identity: d.Identity,
		Interfaces: []Interface{{
			Class: 0x0b, Extra: ccidDescriptor(),
			Endpoints: []Endpoint{
				{Address: ccidNotify, Type: Interrupt, Packet: 8, Interval: 16},
				{Address: ccidOut, Type: Bulk, Packet: 64}, {Address: ccidIn, Type: Bulk, Packet: 64},
			},
		}},
	}
}

// ccidDescriptor is the class descriptor (CCID 1.10, 5.1) of a contactless reader as
// the ACR122U has it: one slot, T=0 and T=1, short APDU exchange.
func ccidDescriptor() []byte {
	b := []byte{54, 0x21, 0x10, 0x01, 0, 0x07} // version 1.10, slot 0 is the last, 5 V, 3 V and 1.8 V
	for _, v := range []uint32{
		0x03,       // protocols T=0, T=1
		4000, 4000, // default and maximum clock, kHz
	} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, 0)
	for _, v := range []uint32{10753, 344100} { // data rates, bit/s
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, 0)
	for _, v := range []uint32{
		254,  // largest IFSD
		0, 0, // no synchronous, no mechanical parts
		0x000204ba, // automatic parameters, voltage, clock, rate, PPS; short APDU level
		maxMessage,
	} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return append(b, 0xff, 0xff, 0, 0, 0, 1) // classes echoed; no display, no PIN; one slot busy
}

// Control implements Function.
func (d CCID) Control(_ *Session, setup Setup, _ []byte) ([]byte, error) {
	if setup.RequestType&kindMask == kindClass {
		switch setup.Request {
		case ccidAbort:
			return nil, nil
		case ccidGetClocks:
			return binary.LittleEndian.AppendUint32(nil, 4000), nil
		case ccidGetDataRates:
			return binary.LittleEndian.AppendUint32(nil, 10753), nil
		}
	}
	return nil, ErrStall
}

// Run implements Function.
func (d CCID) Run(ctx context.Context, s *Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- d.Model.Notify(ctx, func(message []byte) error {
			_, err := s.Write(ccidNotify, message)
			return err
		})
	}()
	err := d.Model.Serve(ctx, s.Stream(ccidOut, ccidIn))
	cancel()
	if notify := <-ended; err == nil && ctx.Err() == nil {
		err = notify
	}
	return err
}
