package usbip

import (
	"encoding/binary"
	"unicode/utf16"
)

// Speed is a bus speed, numbered as the kernel does (enum usb_device_speed).
type Speed int

// The speeds. Bulk endpoints have packets of at most 64 bytes at full speed and of
// exactly 512 at high speed.
const (
	FullSpeed Speed = 2
	HighSpeed Speed = 3
)

// Transfer types of endpoints (USB 2.0, table 9-13).
const (
	Bulk      byte = 2
	Interrupt byte = 3
)

// Identity is what tells one device from another.
type Identity struct {
	Vendor, Product uint16
	Release         uint16 // bcdDevice: 0x0214 is 2.14
	Maker, Model    string
	Serial          string // empty: the device has none
}

// Description is a device with one configuration, as its descriptors tell it.
type Description struct {
	Identity
	Speed                     Speed // 0 is FullSpeed
	Class, Subclass, Protocol byte  // of the device; usually 0, the interfaces tell
	Interfaces                []Interface
}

// Interface is one interface with its only setting; its number is its place.
type Interface struct {
	Class, Subclass, Protocol byte
	Extra                     []byte // class descriptors between interface and endpoints
	Endpoints                 []Endpoint
}

// Endpoint is one endpoint.
type Endpoint struct {
	Address  byte // 0x81 is IN 1
	Type     byte
	Packet   uint16 // bytes
	Interval byte   // of interrupt endpoints: milliseconds at full speed, 2^(n-1) × 125 µs at high speed
}

// Descriptor types (USB 2.0, table 9-5).
const (
	typeDevice        = 1
	typeConfiguration = 2
	typeString        = 3
	typeInterface     = 4
	typeEndpoint      = 5
)

const controlPacket = 64 // of endpoint 0

// Places of the texts among the string descriptors; 0 is the list of languages.
const (
	stringMaker = 1 + iota
	stringModel
	stringSerial
)

func (d Description) speed() Speed {
	if d.Speed == 0 {
		return FullSpeed
	}
	return d.Speed
}

// device is the device descriptor (USB 2.0, 9.6.1).
func (d Description) device() []byte {
	b := []byte{18, typeDevice, 0x00, 0x02, d.Class, d.Subclass, d.Protocol, controlPacket}
	for _, v := range []uint16{d.Vendor, d.Product, d.Release} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	index := func(text string, i byte) byte {
		if text == "" {
			return 0
		}
		return i
	}
	return append(b, index(d.Maker, stringMaker), index(d.Model, stringModel), index(d.Serial, stringSerial), 1)
}

// configuration is the configuration descriptor with all that belongs to it (9.6.3).
func (d Description) configuration() []byte {
	const selfPowered, hundredMilliamperes = 0xc0, 50
	b := []byte{9, typeConfiguration, 0, 0, byte(len(d.Interfaces)), 1, 0, selfPowered, hundredMilliamperes}
	for n, i := range d.Interfaces {
		b = append(b, 9, typeInterface, byte(n), 0, byte(len(i.Endpoints)), i.Class, i.Subclass, i.Protocol, 0)
		b = append(b, i.Extra...)
		for _, e := range i.Endpoints {
			b = append(b, 7, typeEndpoint, e.Address, e.Type, byte(e.Packet), byte(e.Packet>>8), e.Interval)
		}
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b))) //nolint:gosec // a few hundred bytes
	return b
}

// text is a string descriptor (9.6.7), nil if there is none of that number.
func (d Description) text(n byte) []byte {
	const english = 0x0409
	texts := map[byte]string{stringMaker: d.Maker, stringModel: d.Model, stringSerial: d.Serial}
	units := utf16.Encode([]rune(texts[n]))
	if n == 0 {
		units = []uint16{english}
	}
	if len(units) == 0 {
		return nil
	}
	units = units[:min(len(units), 126)] // the length is one byte
	b := []byte{byte(2 + 2*len(units)), typeString}
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// descriptor answers GET_DESCRIPTOR of the device; nil: there is no such.
func (d Description) descriptor(kind, index byte) []byte {
	switch kind {
	case typeDevice:
		return d.device()
	case typeConfiguration:
		return d.configuration()
	case typeString:
		return d.text(index)
	}
	return nil
}
