package escpos

import (
	"fmt"

	qrcode "github.com/skip2/go-qrcode"

	profiles "dcpos/firmware-profiles"
)

const (
	quietModules = 4   // white around a QR code (ISO/IEC 18004); at the sides the paper is white
	minModule    = 3   // dots; smaller ones smear
	maxModule    = 8   // dots
	minQRDots    = 240 // aim for codes of at least 30 mm, which phones read at arm's length
)

// picture is a black and white image, one byte per dot row of eight.
type picture struct {
	rowBytes int
	rows     [][]byte
}

// qrPicture draws a QR code of level M for paper that is so many dots wide.
func qrPicture(data []byte, dots int) (picture, error) {
	code, err := qrcode.New(string(data), qrcode.Medium)
	if err != nil {
		return picture{}, fmt.Errorf("make qr code of %d bytes: %w", len(data), err)
	}
	code.DisableBorder = true
	bits := code.Bitmap()
	n := len(bits)
	module := min(max(max(minQRDots, dots/2)/(n+2*quietModules), minModule), maxModule)
	if n*module > dots {
		return picture{}, fmt.Errorf("qr code of %d bytes needs %d dots, paper has %d", len(data), n*module, dots)
	}
	p := picture{rowBytes: (n*module + 7) / 8}
	blank := make([]byte, p.rowBytes)
	for range quietModules * module {
		p.rows = append(p.rows, blank)
	}
	for _, row := range bits {
		line := make([]byte, p.rowBytes)
		for x := range n * module {
			if row[x/module] {
				line[x/8] |= 0x80 >> (x % 8)
			}
		}
		for range module {
			p.rows = append(p.rows, line)
		}
	}
	for range quietModules * module {
		p.rows = append(p.rows, blank)
	}
	return p, nil
}

func (e *encoder) qr(data []byte) error {
	p, err := qrPicture(data, e.profile.Paper.Dots)
	if err != nil {
		return err
	}
	e.command(escAlign, 1)
	for _, slice := range slices(p.rows, e.profile.Quirks) {
		h := len(slice)
		e.command(gsRaster, byte(p.rowBytes), byte(p.rowBytes>>8), byte(h), byte(h>>8))
		for _, row := range slice {
			e.buf.Write(row)
		}
	}
	e.command(escAlign, 0)
	if e.profile.Quirks.ImageLosesCJK {
		e.chineseOn()
	}
	e.doc.QRCodes++
	return nil
}

// slices cuts a picture into pieces that the printer takes at once, none with a
// height that it fails on: an inner piece is made a row shorter, since a blank row
// would tear the picture, and the last one gets blank rows.
func slices(rows [][]byte, q profiles.PrinterQuirks) [][][]byte {
	bad := func(h int) bool { return q.AvoidRowMultiple > 0 && h%q.AvoidRowMultiple == 0 }
	step := max(q.MaxRasterRows, 1)
	if step > 1 && bad(step) {
		step--
	}
	var out [][][]byte
	for len(rows) > step {
		out = append(out, rows[:step])
		rows = rows[step:]
	}
	if bad(len(rows)) && len(rows) > 0 {
		rows = append([][]byte(nil), rows...)
		for range q.PadRows {
			rows = append(rows, make([]byte, len(rows[0])))
		}
	}
	return append(out, rows)
}
