package device

import (
	"bytes"
	"slices"
	"sync"
)

// HIDScannerOptions say what kind of HID-POS scanner is modelled.
type HIDScannerOptions struct {
	// Reserved sends the variant of Newland and IDTech: data first, then four reserved
	// bytes and the maker's symbology; no AIM identifier of its own.
	Reserved bool
	// Shifted puts the AIM identifier and the data one byte later, as some firmware does.
	Shifted bool
	// Suffix ends the data, such as "\r"; many boxes keep it in this mode.
	Suffix string
	// NeedsFeature makes it silent until feature report 254 has been set to 01, as
	// Honeywell's are.
	NeedsFeature bool
	// NoSymbology leaves the AIM identifier out (three zero bytes).
	NoSymbology bool
	// VendorSymbology sends Honeywell's letter for the symbology as well.
	VendorSymbology bool
}

// HIDScanner is the model of a bar code scanner in HID-POS mode (HID Point of Sale
// Usage Tables 1.02, usage page 8C).
type HIDScanner struct {
	opt     HIDScannerOptions
	reports chan []byte

	mu       sync.Mutex
	on       bool
	features []byte // the host's feature reports: id, data, one after the other
	outputs  [][]byte
}

var _ HIDModel = (*HIDScanner)(nil)

// NewHIDScanner makes a scanner.
func NewHIDScanner(opt HIDScannerOptions) *HIDScanner {
	return &HIDScanner{opt: opt, on: !opt.NeedsFeature, reports: make(chan []byte, reportQueue)}
}

// The sizes of an input report.
const (
	reportBytes = 64 // with the id
	dataBytes   = 56 // of them for the code
)

// ReportDescriptor implements HIDModel.
func (s *HIDScanner) ReportDescriptor() []byte {
	head := []byte{
		0x05, 0x8c, // usage page: bar code scanner
		0x09, 0x02, // usage: bar code scanner
		0xa1, 0x01, // collection: application
		0x09, 0x12, 0xa1, 0x02, 0x85, 0x02, // scanned data report, id 2
		0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, // bytes
		0x95, 0x01, 0x05, 0x01, 0x09, 0x3b, 0x81, 0x02, // byte count
		0x05, 0x8c,
	}
	aim := []byte{0x95, 0x03, 0x09, 0xfb, 0x09, 0xfc, 0x09, 0xfd, 0x81, 0x02}
	data := []byte{0x95, dataBytes, 0x09, 0xfe, 0x82, 0x02, 0x01}
	vendor := []byte{0x06, 0x66, 0xff, 0x95, 0x02, 0x09, 0x04, 0x09, 0x00, 0x81, 0x02, 0x05, 0x8c}
	if s.opt.Reserved {
		aim = nil
		vendor = []byte{0x06, 0x66, 0xff, 0x95, 0x05, 0x09, 0x04, 0x81, 0x02, 0x05, 0x8c}
	}
	tail := []byte{
		0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x09, 0xff, 0x81, 0x02, // more follows: the lowest bit
		0xc0,
		0x09, 0x14, 0xa1, 0x02, 0x85, 0x04, // trigger report, id 4
		0x09, 0x00, 0x09, 0x5f, 0x09, 0x60, 0x09, 0x00, 0x09, 0x00, 0x09, 0x85, 0x09, 0x86, 0x91, 0x86,
		0xc0,
		0x06, 0x66, 0xff, 0x75, 0x08, 0x26, 0xff, 0x00,
		0x09, 0x03, 0xa1, 0x02, 0x85, 0xfe, 0x95, 0x01, 0x09, 0x03, 0xb2, 0x82, 0x01, // feature report 254
		0xc0,
		0xc0,
	}
	return slices.Concat(head, aim, data, vendor, tail)
}

// Reports implements HIDModel.
func (s *HIDScanner) Reports() <-chan []byte { return s.reports }

// SetFeature implements HIDModel.
func (s *HIDScanner) SetFeature(id byte, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.features = append(append(s.features, id), data...)
	if id == 254 && bytes.Equal(data, []byte{1}) {
		s.on = true
	}
}

// Output implements HIDModel.
func (s *HIDScanner) Output(report []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outputs) < 1000 {
		s.outputs = append(s.outputs, bytes.Clone(report))
	}
}

// Features are the feature reports that came: id and data, one after the other.
func (s *HIDScanner) Features() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.features)
}

// Outputs are the output reports that came, such as a beep.
func (s *HIDScanner) Outputs() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outputs)
}

// Scan sends a code; a long one takes several reports. symbology is its AIM identifier.
func (s *HIDScanner) Scan(code, symbology string) error {
	s.mu.Lock()
	on := s.on
	s.mu.Unlock()
	if !on {
		return nil // it scans, and tells nobody
	}
	return send(s.reports, s.ScanReports(code, symbology)...)
}

// Raw sends reports as they are.
func (s *HIDScanner) Raw(reports ...[]byte) error { return send(s.reports, reports...) }

// ScanReports are the reports of one code, for benches that send them by themselves.
func (s *HIDScanner) ScanReports(code, symbology string) [][]byte {
	rest := []byte(code + s.opt.Suffix)
	room := dataBytes
	if s.opt.Shifted {
		room--
	}
	var out [][]byte
	for {
		n := min(room, len(rest))
		more := len(rest) > n
		out = append(out, s.report(rest[:n], symbology, more))
		if rest = rest[n:]; !more {
			return out
		}
	}
}

func (s *HIDScanner) report(data []byte, symbology string, more bool) []byte {
	r := make([]byte, reportBytes)
	r[0], r[1] = 2, byte(len(data)) //nolint:gosec // at most 56
	at, vendor := 2, 62
	if !s.opt.Reserved {
		if s.opt.Shifted {
			at++
		}
		if !s.opt.NoSymbology {
			copy(r[at:at+3], symbology)
		}
		at, vendor = at+3, 61
	}
	copy(r[at:], data)
	if s.opt.VendorSymbology {
		r[vendor] = vendorSymbology(symbology)
	}
	if more {
		r[63] = 1
	}
	return r
}

// vendorSymbology is Honeywell's letter for a symbology.
func vendorSymbology(aim string) byte {
	return map[string]byte{
		"]A0": 'b', "]C0": 'j', "]C1": 'I', "]E0": 'd', "]E4": 'D', "]I0": 'e', "]Q1": 's', "]d1": 'w', "]L0": 'r',
	}[aim]
}
