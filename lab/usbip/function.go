package usbip

import (
	"context"
	"errors"
)

// ErrStall is what a Function returns for a request that it does not know.
var ErrStall = errors.New("stall")

// Function is the behaviour of a USB device.
type Function interface {
	// Describe tells what the device is; it must not change.
	Describe() Description
	// Control answers a request of endpoint 0 that is not the standard's own: class and
	// vendor requests, and GET_DESCRIPTOR of an interface. data is what the host sends
	// with it; what is returned is cut to what the host takes. ErrStall refuses it. It
	// must not wait.
	Control(s *Session, setup Setup, data []byte) ([]byte, error)
	// Run plays the device while it is plugged in: it reads and writes the session's
	// endpoints until ctx ends.
	Run(ctx context.Context, s *Session) error
}

// Standard requests (USB 2.0, table 9-4) and the parts of bmRequestType.
const (
	reqGetStatus        = 0
	reqClearFeature     = 1
	reqSetFeature       = 3
	reqSetAddress       = 5
	reqGetDescriptor    = 6
	reqGetConfiguration = 8
	reqSetConfiguration = 9
	reqGetInterface     = 10
	reqSetInterface     = 11

	toDevice    = 0x00
	toInterface = 0x01
	toEndpoint  = 0x02
	recipient   = 0x1f
	kindMask    = 0x60 // standard, class or vendor
	kindClass   = 0x20
	fromDevice  = 0x80

	featureHalt = 0
)

// control answers a request of endpoint 0. The caller holds no lock.
func (s *Session) control(setup Setup, data []byte) ([]byte, error) {
	if setup.RequestType&kindMask != 0 {
		return s.function.Control(s, setup, data)
	}
	switch setup.RequestType & recipient {
	case toDevice:
		return s.deviceRequest(setup)
	case toInterface:
		return s.interfaceRequest(setup, data)
	case toEndpoint:
		return s.endpointRequest(setup)
	}
	return nil, ErrStall
}

func (s *Session) deviceRequest(setup Setup) ([]byte, error) {
	switch setup.Request {
	case reqGetStatus:
		return []byte{1, 0}, nil // self-powered
	case reqClearFeature, reqSetFeature, reqSetAddress:
		return nil, nil
	case reqGetDescriptor:
		if b := s.about.descriptor(byte(setup.Value>>8), byte(setup.Value)); b != nil {
			return b, nil
		}
	case reqGetConfiguration:
		return []byte{s.configured()}, nil
	case reqSetConfiguration:
		if setup.Value <= 1 {
			s.configure(byte(setup.Value))
			return nil, nil
		}
	}
	return nil, ErrStall
}

func (s *Session) interfaceRequest(setup Setup, data []byte) ([]byte, error) {
	if int(setup.Index&0xff) >= len(s.about.Interfaces) {
		return nil, ErrStall
	}
	switch setup.Request {
	case reqGetStatus:
		return []byte{0, 0}, nil
	case reqGetInterface:
		return []byte{0}, nil
	case reqSetInterface:
		if setup.Value == 0 {
			for _, e := range s.about.Interfaces[setup.Index&0xff].Endpoints {
				s.ClearHalt(e.Address)
			}
			return nil, nil
		}
	case reqGetDescriptor:
		return s.function.Control(s, setup, data)
	}
	return nil, ErrStall
}

func (s *Session) endpointRequest(setup Setup) ([]byte, error) {
	address := byte(setup.Index)
	switch {
	case setup.Request == reqGetStatus:
		if s.Halted(address) {
			return []byte{1, 0}, nil
		}
		return []byte{0, 0}, nil
	case setup.Request == reqClearFeature && setup.Value == featureHalt:
		s.ClearHalt(address)
		return nil, nil
	case setup.Request == reqSetFeature && setup.Value == featureHalt:
		s.Halt(address)
		return nil, nil
	}
	return nil, ErrStall
}
