// Package symbology names what a code is printed as: AIM identifiers (ISO/IEC 15424),
// the types of UnifiedPOS, and the letters of makers. The tables are facts about other
// people's standards: a further symbology is a further row.
package symbology

// Type is a UnifiedPOS scan data type (ScannerConst.java, SCAN_SDT_*).
type Type int

// The types that scanners here tell apart.
const (
	Unknown       Type = 0
	UPCA          Type = 101
	UPCE          Type = 102
	EAN8          Type = 103
	EAN13         Type = 104
	ITF           Type = 106
	Codabar       Type = 107
	Code39        Type = 108
	Code93        Type = 109
	Code128       Type = 110
	GS1128        Type = 120
	GS1DataBar    Type = 131
	GS1DataBarE   Type = 132
	PDF417        Type = 201
	DataMatrix    Type = 203
	QRCode        Type = 204
	Aztec         Type = 206
	GS1DataMatrix Type = 208
	GS1QRCode     Type = 209
	HanXin        Type = 215
	Other         Type = 501
)

const (
	noModifier       = 0 // a row for every modifier of its letter
	identifierLength = 3
	eanLetter        = 'E'
	ean8Modifier     = '4'
)

// aimRow is one row of the table of AIM identifiers.
type aimRow struct {
	letter, modifier byte
	is               Type
}

// aimRows is ISO/IEC 15424 as BarcodeParser's src/aim.js and the types of UnifiedPOS read
// it; the first row that fits counts. EAN and UPC (E) are told apart by length, see Of.
var aimRows = [...]aimRow{
	{'A', noModifier, Code39},
	{'C', '1', GS1128},
	{'C', noModifier, Code128},
	{'F', noModifier, Codabar},
	{'G', noModifier, Code93},
	{'I', noModifier, ITF},
	{'L', noModifier, PDF417},
	{'Q', '3', GS1QRCode},
	{'Q', '4', GS1QRCode},
	{'Q', noModifier, QRCode},
	{'d', '2', GS1DataMatrix},
	{'d', '5', GS1DataMatrix},
	{'d', noModifier, DataMatrix},
	{'e', '0', GS1DataBar},
	{'e', noModifier, GS1DataBarE},
	{'h', noModifier, HanXin},
	{'z', noModifier, Aztec},
}

// Of is the type of a code by its AIM identifier, such as "]E0", and its data, whose
// length tells EAN-13, UPC-A, EAN-8 and UPC-E apart. Unknown without an identifier, Other
// for one that has no row.
func Of(aim string, data []byte) Type {
	if !IsAIM([]byte(aim)) || len(aim) != identifierLength {
		return Unknown
	}
	if aim[1] == eanLetter {
		switch {
		case len(data) == 13:
			return EAN13
		case len(data) == 12:
			return UPCA
		case aim[2] == ean8Modifier:
			return EAN8
		case len(data) <= 8:
			return UPCE
		}
		return EAN13 // with an add-on
	}
	for _, r := range aimRows {
		if r.letter == aim[1] && (r.modifier == noModifier || r.modifier == aim[2]) {
			return r.is
		}
	}
	return Other
}

// GS1 reports whether the AIM identifier says that the data is a GS1 element string: C1
// GS1-128, Q3 and Q4 GS1 QR, d2 and d5 GS1 DataMatrix, e GS1 DataBar (GS1 General
// Specifications, 5.1.3 and figure 5.1.2-2).
func GS1(aim string) bool {
	switch Of(aim, nil) { //nolint:exhaustive // the other symbologies have no element strings
	case GS1128, GS1QRCode, GS1DataMatrix, GS1DataBar, GS1DataBarE:
		return true
	}
	return false
}

// Retail reports whether the AIM identifier is one that only goods carry: EAN and UPC.
func Retail(aim string) bool {
	return len(aim) == identifierLength && aim[0] == ']' && aim[1] == eanLetter
}

// IsAIM reports whether b begins with an AIM identifier: "]", a letter, a letter or digit.
func IsAIM(b []byte) bool {
	return len(b) >= identifierLength && b[0] == ']' && letter(b[1]) && (letter(b[2]) || b[2] >= '0' && b[2] <= '9')
}

func letter(b byte) bool { return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' }

// honeywell is Honeywell's "code ID" as the AIM identifier it stands for
// (WebHidBarcodeScanner, src/main.js:101-135; the letters are those of the maker's
// manuals). 7C is what newer firmware sends for GS1-128.
var honeywell = map[byte]string{
	'a': "]F0", 'j': "]C0", 'b': "]A0", 'i': "]G0", 'd': "]E0", 'D': "]E4", 'c': "]E0", 'E': "]E0",
	'e': "]I0", 'I': "]C1", 0x7c: "]C1", 'y': "]e0", '{': "]e0", '}': "]e0",
	'r': "]L0", 'R': "]L3", 's': "]Q1", 'w': "]d1", 'x': "]U0", 'z': "]z0", 'H': "]h0", 'g': "]M0",
	'Q': "]X0",
}

// Honeywell is the AIM identifier of Honeywell's letter for a symbology; false when it
// has no row.
func Honeywell(code byte) (aim string, ok bool) {
	aim, ok = honeywell[code]
	return aim, ok
}
