package usbip

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
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

// CardReader is the model of a reader.
type CardReader interface {
	// ClassDescriptor is the CCID class descriptor (CCID 1.10, 5.1).
	ClassDescriptor() []byte
	// Command acts on one message of the bulk OUT endpoint and calls reply for each message
	// that the bulk IN endpoint answers, in order, before it returns.
	Command(message []byte, reply func(response []byte))
	// Notify gives the messages of the interrupt endpoint (6.3.1). It is never closed.
	Notify() <-chan []byte
}

// CCID is a smart card reader, 0b/00/00.
type CCID struct {
	Identity
	Model CardReader
}

var _ Function = CCID{}

// Header of a message: its kind, the length of what follows the header, slot, number
// (CCID 1.10, 6.1). The longest is an extended APDU in one piece.
const (
	ccidHeader     = 10
	maxCCIDMessage = ccidHeader + 65544
)

// Describe implements Function.
func (d CCID) Describe() Description {
	return Description{
		Identity: d.Identity,
		Interfaces: []Interface{{
			Class: 0x0b, Extra: d.Model.ClassDescriptor(),
			Endpoints: []Endpoint{
				{Address: ccidNotify, Type: Interrupt, Packet: 8, Interval: 16},
				{Address: ccidOut, Type: Bulk, Packet: 64},
				{Address: ccidIn, Type: Bulk, Packet: 64},
			},
		}},
	}
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

// Run implements Function. What the model had to tell before it was plugged in is lost.
func (d CCID) Run(ctx context.Context, s *Session) error {
	for len(d.Model.Notify()) > 0 {
		<-d.Model.Notify()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var telling sync.WaitGroup
	telling.Go(func() { d.tell(ctx, s) })
	defer telling.Wait()
	defer cancel()
	in := bufio.NewReaderSize(s.Stream(ccidOut, ccidIn), 1024)
	for {
		message, err := readMessage(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		d.Model.Command(message, func(response []byte) {
			_, _ = s.Write(ccidIn, response) // fails when unplugged, which the next read tells
		})
	}
}

// tell brings the model's notifications to the interrupt endpoint.
func (d CCID) tell(ctx context.Context, s *Session) {
	for {
		select {
		case m := <-d.Model.Notify():
			if _, err := s.Write(ccidNotify, m); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// readMessage reads one message of the host, which may come in several transfers.
func readMessage(r io.Reader) ([]byte, error) {
	var header [ccidHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(header[1:])
	if n > maxCCIDMessage-ccidHeader {
		return nil, fmt.Errorf("read ccid: a message of %d bytes", n)
	}
	message := make([]byte, ccidHeader+n)
	copy(message, header[:])
	if _, err := io.ReadFull(r, message[ccidHeader:]); err != nil {
		return nil, err
	}
	return message, nil
}
