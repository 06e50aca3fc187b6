package hid

import (
	"errors"
	"fmt"
)

// Usage is a usage page in the upper and a usage in the lower sixteen bits, as the
// usage tables write it: 0x8C0002 is the bar code scanner.
type Usage uint32

// Direction says which way a report goes.
type Direction int

// The directions, as HID 1.11 names them.
const (
	Input   Direction = iota // device to host
	Output                   // host to device
	Feature                  // asked and set by the host on the control pipe
)

// Field is one run of equal values in a report.
type Field struct {
	Direction Direction
	ReportID  byte    // 0: the device has no report ids
	Bit       int     // where it begins, counted from the first byte after the id
	Size      int     // bits of one value
	Count     int     // how many values
	Usages    []Usage // of the values in turn; the last one is that of all further values
	Constant  bool    // padding
}

// At is where the value of a usage begins; false when the field has none of it.
func (f Field) At(u Usage) (bit int, ok bool) {
	for i, has := range f.Usages {
		if has == u && i < f.Count && f.Size > 0 {
			return f.Bit + i*f.Size, true
		}
	}
	return 0, false
}

// Descriptor is what a report descriptor says.
type Descriptor struct {
	Top    []Usage // of the top collections, in order
	Fields []Field
}

// HasIDs reports whether reports begin with an id.
func (d Descriptor) HasIDs() bool {
	for _, f := range d.Fields {
		if f.ReportID != 0 {
			return true
		}
	}
	return false
}

// Is reports whether a top collection has the usage.
func (d Descriptor) Is(u Usage) bool {
	for _, t := range d.Top {
		if t == u {
			return true
		}
	}
	return false
}

// Find is the first field of a direction that has the usage, and where the usage's value
// begins in the report.
func (d Descriptor) Find(dir Direction, u Usage) (f Field, bit int, ok bool) {
	for _, f := range d.Fields {
		if bit, has := f.At(u); has && f.Direction == dir && !f.Constant {
			return f, bit, true
		}
	}
	return Field{}, 0, false
}

// Bytes is the size of a report without its id.
func (d Descriptor) Bytes(dir Direction, id byte) int {
	bits := 0
	for _, f := range d.Fields {
		if f.Direction == dir && f.ReportID == id {
			bits = max(bits, f.Bit+f.Size*f.Count)
		}
	}
	return (bits + 7) / 8
}

// Limits of what is believed: the kernel's largest descriptor (HID_MAX_DESCRIPTOR_SIZE)
// and report (HID_MAX_BUFFER_SIZE), and more fields than any scanner has.
const (
	maxDescriptor = 4096
	maxReportBits = 16384 * 8
	maxFields     = 1024
	maxUsages     = 1024
	maxDepth      = 64
)

// ErrDescriptor is returned for a report descriptor that breaks the rules of HID 1.11, 6.2.2.
var ErrDescriptor = errors.New("report descriptor is broken")

// global are the items that stay until they are set again (HID 1.11, 6.2.2.7).
type global struct {
	page     uint32
	size     int
	count    int
	reportID byte
}

type parser struct {
	now      global
	stack    []global
	usages   []Usage
	low      Usage // a usage minimum that waits for its maximum
	hasLow   bool
	depth    int
	position map[[2]int]int // bits used, by direction and report id
	out      Descriptor
}

// ParseDescriptor reads a report descriptor. It keeps what reports look like: top
// collections, and the fields with their place, size and usages; units and ranges are
// passed over. Errors are ErrDescriptor.
func ParseDescriptor(b []byte) (Descriptor, error) {
	if len(b) > maxDescriptor {
		return Descriptor{}, fmt.Errorf("%w: %d bytes", ErrDescriptor, len(b))
	}
	p := parser{position: map[[2]int]int{}}
	for at := 0; at < len(b); {
		head := b[at]
		size := int(head & 3)
		if size == 3 {
			size = 4
		}
		if head == 0xfe { // a long item: its size is the next byte; nothing uses them
			if at+1 >= len(b) {
				return Descriptor{}, fmt.Errorf("%w: cut off at byte %d", ErrDescriptor, at)
			}
			at += 3 + int(b[at+1])
			continue
		}
		if at+1+size > len(b) {
			return Descriptor{}, fmt.Errorf("%w: cut off at byte %d", ErrDescriptor, at)
		}
		var value uint32
		for i := range size {
			value |= uint32(b[at+1+i]) << (8 * i)
		}
		if err := p.item(head&0xfc, value, size); err != nil {
			return Descriptor{}, fmt.Errorf("%w: byte %d: %w", ErrDescriptor, at, err)
		}
		at += 1 + size
	}
	if p.depth != 0 {
		return Descriptor{}, fmt.Errorf("%w: %d collections are not closed", ErrDescriptor, p.depth)
	}
	return p.out, nil
}

// item takes one short item by its tag and type.
func (p *parser) item(tag byte, value uint32, size int) error {
	switch tag {
	case 0x80:
		return p.field(Input, value)
	case 0x90:
		return p.field(Output, value)
	case 0xb0:
		return p.field(Feature, value)
	case 0xa0:
		return p.open()
	case 0xc0:
		return p.close()
	case 0x08:
		return p.usage(p.full(value, size))
	case 0x18:
		p.low, p.hasLow = p.full(value, size), true
	case 0x28:
		return p.usageMaximum(p.full(value, size))
	default:
		return p.global(tag, value)
	}
	return nil
}

func (p *parser) global(tag byte, value uint32) error {
	switch tag {
	case 0x04:
		p.now.page = value
	case 0x74:
		if value == 0 || value > 256 {
			return fmt.Errorf("values of %d bits", value)
		}
		p.now.size = int(value)
	case 0x94:
		if value > maxReportBits {
			return fmt.Errorf("%d values", value)
		}
		p.now.count = int(value)
	case 0x84:
		if value == 0 || value > 255 {
			return fmt.Errorf("report id %d", value)
		}
		p.now.reportID = byte(value)
	case 0xa4:
		if len(p.stack) == maxDepth {
			return errors.New("pushed too often")
		}
		p.stack = append(p.stack, p.now)
	case 0xb4:
		if len(p.stack) == 0 {
			return errors.New("pop without push")
		}
		p.now, p.stack = p.stack[len(p.stack)-1], p.stack[:len(p.stack)-1]
	}
	return nil // ranges, units, strings and what later versions add
}

// full gives a usage its page; a usage of four bytes brings its own.
func (p *parser) full(value uint32, size int) Usage {
	if size == 4 {
		return Usage(value)
	}
	return Usage(p.now.page<<16 | value)
}

func (p *parser) usage(u Usage) error {
	if len(p.usages) == maxUsages {
		return errors.New("too many usages")
	}
	p.usages = append(p.usages, u)
	return nil
}

func (p *parser) usageMaximum(high Usage) error {
	if !p.hasLow {
		return errors.New("usage maximum without minimum")
	}
	p.hasLow = false
	if high < p.low || high-p.low >= 0x10000 {
		return fmt.Errorf("usages %x to %x", uint32(p.low), uint32(high))
	}
	for u := p.low; u <= high && len(p.usages) < maxUsages; u++ {
		p.usages = append(p.usages, u)
	}
	return nil
}

func (p *parser) open() error {
	if p.depth == maxDepth {
		return errors.New("collections too deep")
	}
	if p.depth == 0 {
		var u Usage
		if len(p.usages) > 0 {
			u = p.usages[0]
		}
		p.out.Top = append(p.out.Top, u)
	}
	p.depth++
	p.endMain()
	return nil
}

func (p *parser) close() error {
	if p.depth == 0 {
		return errors.New("end of a collection that is not open")
	}
	p.depth--
	p.endMain()
	return nil
}

func (p *parser) field(dir Direction, flags uint32) error {
	if len(p.out.Fields) == maxFields {
		return errors.New("too many fields")
	}
	key := [2]int{int(dir), int(p.now.reportID)}
	f := Field{
		Direction: dir, ReportID: p.now.reportID, Bit: p.position[key],
		Size: p.now.size, Count: p.now.count, Constant: flags&1 != 0, Usages: p.usages,
	}
	if f.Bit+f.Size*f.Count > maxReportBits {
		return errors.New("report too long")
	}
	p.position[key] += f.Size * f.Count
	p.out.Fields = append(p.out.Fields, f)
	p.endMain()
	return nil
}

// endMain forgets the local items, as every main item does (HID 1.11, 6.2.2.8).
func (p *parser) endMain() { p.usages, p.hasLow = nil, false }
