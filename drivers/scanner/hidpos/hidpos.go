// Package hidpos reads the input reports of bar code scanners in HID-POS mode (HID Point
// of Sale Usage Tables 1.02, usage page 8C): it finds out where in a report the data
// lies and joins the reports of one code.
//
// Two layouts are about, both of 64 bytes with the id 02 (docs of the makers, and
// WebHidBarcodeScanner, src/main.js):
//
//	standard  [0] id  [1] length  [2..4] AIM identifier  [5..60] data  [61] maker's symbology  [63] bit 0: more follows
//	reserved  [0] id  [1] length  [2..57] data  [58..61] reserved  [62] maker's symbology      [63] bit 0: more follows
//
// The report descriptor tells which by the usages FB (AIM identifier), FE (data) and FF
// (more follows). Where it does not, the "]" of the AIM identifier at [2] tells. Some
// firmware has identifier and data one byte later.
package hidpos

import (
	"bytes"
	"errors"
	"fmt"

	"dcpos/drivers/scanner/symbology"
	"dcpos/drivers/transport/hid"
)

// Scanner is the usage of the top collection: page 8C, usage 2. The page FF8C of some
// makers is another thing.
const Scanner hid.Usage = 0x8c0002

// The usages of a scanner's reports (HID Point of Sale Usage Tables 1.02, section 4).
const (
	usageLength   hid.Usage = 0x01003b // generic desktop: byte count
	usageAIM      hid.Usage = 0x8c00fb // symbology identifier 1
	usageData     hid.Usage = 0x8c00fe // decoded data
	usageMore     hid.Usage = 0x8c00ff // decode data continued
	UsageTrigger  hid.Usage = 0x8c0060 // initiate bar code read
	UsageBadBeep  hid.Usage = 0x8c0085 // sound error beep
	UsageGoodBeep hid.Usage = 0x8c0086 // sound good read beep
	UsageMissBeep hid.Usage = 0x8c0087 // sound not on file beep
)

// Errors of a report; the code that it belongs to is thrown away whole.
var (
	ErrReport = errors.New("report is broken")
	ErrTooBig = errors.New("code is too long")
)

// Layout says where things lie in a report, in bytes from its first one, the id.
type Layout struct {
	ID        byte // of the report with data; 0: reports have no id
	Length    int
	AIM       int // -1: it has no place for it
	Data      int
	DataBytes int
	Vendor    int // the maker's symbology
	More      int
	MoreMask  byte
	look      bool // the descriptor did not tell: every report is looked at
}

// Standard and Reserved are the two layouts of the package comment.
func Standard() Layout {
	return Layout{ID: 2, Length: 1, AIM: 2, Data: 5, DataBytes: 56, Vendor: 61, More: 63, MoreMask: 1}
}

// Reserved is the layout of Newland and IDTech.
func Reserved() Layout {
	return Layout{ID: 2, Length: 1, AIM: -1, Data: 2, DataBytes: 56, Vendor: 62, More: 63, MoreMask: 1}
}

// LayoutOf reads the layout from a report descriptor. One that does not tell gives a
// layout that looks at every report.
func LayoutOf(d hid.Descriptor) Layout {
	data, dataBit, ok := d.Find(hid.Input, usageData)
	if !ok || data.Size != 8 || dataBit%8 != 0 {
		return lookAt(d)
	}
	l := Layout{ID: data.ReportID, AIM: -1, DataBytes: data.Count, MoreMask: 1}
	head := 0
	if d.HasIDs() {
		head = 1
	}
	l.Data = head + dataBit/8
	length, lengthBit, ok := d.Find(hid.Input, usageLength)
	if !ok || length.ReportID != l.ID || length.Size != 8 || lengthBit%8 != 0 {
		return lookAt(d)
	}
	l.Length = head + lengthBit/8
	more, moreBit, ok := d.Find(hid.Input, usageMore)
	if !ok || more.ReportID != l.ID {
		return lookAt(d)
	}
	l.More, l.MoreMask = head+moreBit/8, 1<<(moreBit%8)
	if aim, aimBit, ok := d.Find(hid.Input, usageAIM); ok && aim.ReportID == l.ID && aim.Size == 8 && aimBit%8 == 0 {
		l.AIM = head + aimBit/8
	}
	l.Vendor = Reserved().Vendor
	if l.AIM >= 0 {
		l.Vendor = l.Data + l.DataBytes
	}
	return l
}

func lookAt(d hid.Descriptor) Layout {
	l := Reserved()
	l.look = true
	if len(d.Fields) > 0 && !d.HasIDs() {
		l.ID, l.Length, l.Data, l.Vendor, l.More = 0, 0, 1, 61, 62
	}
	return l
}

// seen is the layout of one report: what the descriptor says, corrected by where the AIM
// identifier is seen.
func (l Layout) seen(r []byte) Layout {
	start := l.Length + 1
	has := func(at int) bool { return at < len(r) && symbology.IsAIM(r[at:]) }
	if l.look && (has(start) || has(start+1)) {
		l.AIM, l.Data, l.Vendor = start, start+3, start+3+l.DataBytes
	}
	if l.AIM >= 0 && !has(l.AIM) && has(l.AIM+1) {
		l.AIM, l.Data, l.DataBytes = l.AIM+1, l.Data+1, l.DataBytes-1
		if b := r[l.AIM-1]; b != 0 { // the length has moved along
			l.Length = l.AIM - 1
		}
	}
	return l
}

// Code is one code.
type Code struct {
	Data   []byte
	AIM    string // "]E0"; empty when the report has none
	Vendor byte   // the maker's symbology; 0 when the report has none
}

// Joiner joins reports to codes. The zero value needs Layout and MaxBytes.
type Joiner struct {
	Layout   Layout
	MaxBytes int // the longest code

	code     Code
	joining  bool // a report has said that more follows
	skipping bool // the code is thrown away; skip the rest of its reports
}

// Joining reports whether half a code is waiting for its next report.
func (j *Joiner) Joining() bool { return j.joining || j.skipping }

// Drop throws half a code away, because its next report did not come.
func (j *Joiner) Drop() { j.code, j.joining, j.skipping = Code{}, false, false }

// Take takes one report. whole is true when a code is complete. A report of another id is
// passed over. On an error (ErrReport, ErrTooBig) the whole code is thrown away, so that
// no part of it is ever taken for a code.
func (j *Joiner) Take(r []byte) (code Code, whole bool, err error) {
	if len(r) == 0 || j.Layout.ID != 0 && r[0] != j.Layout.ID {
		return Code{}, false, nil
	}
	l := j.Layout.seen(r)
	more := l.More < len(r) && r[l.More]&l.MoreMask != 0
	if j.skipping {
		j.skipping = more
		return Code{}, false, nil
	}
	if l.Length >= len(r) || int(r[l.Length]) > l.DataBytes || l.Data+int(r[l.Length]) > len(r) {
		j.Drop()
		j.skipping = more
		return Code{}, false, fmt.Errorf("%w: %d bytes", ErrReport, len(r))
	}
	if !j.joining {
		if l.AIM >= 0 && l.AIM < len(r) && symbology.IsAIM(r[l.AIM:]) {
			j.code.AIM = string(r[l.AIM : l.AIM+3])
		}
		if l.Vendor < len(r) {
			j.code.Vendor = r[l.Vendor]
		}
	}
	j.code.Data = append(j.code.Data, r[l.Data:l.Data+int(r[l.Length])]...)
	j.joining = more
	if len(j.code.Data) > j.MaxBytes+2 { // 2: the CR LF that is taken off
		j.Drop()
		j.skipping = more
		return Code{}, false, fmt.Errorf("%w: more than %d bytes", ErrTooBig, j.MaxBytes)
	}
	if more {
		return Code{}, false, nil
	}
	code = j.code
	code.Data = bare(code.Data)
	j.code = Code{}
	return code, len(code.Data) > 0, nil
}

// bare takes off the suffix that many boxes send in this mode too, and padding that some
// count in.
func bare(data []byte) []byte {
	data = bytes.TrimRight(data, "\x00")
	data = bytes.TrimSuffix(data, []byte("\n"))
	return bytes.TrimSuffix(data, []byte("\r"))
}
