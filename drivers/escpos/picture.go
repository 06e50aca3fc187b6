package escpos

import (
	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
	profiles "dcpos/firmware-profiles"
)

// Commands that print dots (Epson's command reference).
const (
	gsRaster     = "\x1dv0\x00" // xL xH bytes in a row, yL yH rows, data
	gsGraphics   = "\x1d(L"     // pL pH, 30 fn …
	escColumns   = "\x1b*\x21"  // nL nH columns of 24 dots, data
	escFeedDots  = "\x1bJ"      // n dots
	bandHeight   = 24           // rows of one ESC * 33
	graphicsHead = 10           // bytes of GS ( L function 112 before the data
	maxGraphics  = 0xffff - graphicsHead
)

// Commands of native QR codes (GS ( k, functions 165, 167, 169, 180, 181).
const (
	qrModel2  = "\x1d(k\x04\x001A2\x00"
	qrModule  = "\x1d(k\x03\x001C" // n dots
	qrLevelM  = "\x1d(k\x03\x001E1"
	qrStore   = "\x1d(k" // pL pH 31 50 30 data
	qrPrint   = "\x1d(k\x03\x001Q0"
	qrStoreFn = "1P0"
)

// picture prints dots; centred, or from the left margin.
func (e *encoder) picture(b receipt.Bitmap, centred bool) {
	if b.Width == 0 || b.Height() == 0 {
		return
	}
	if centred {
		e.command(escAlign, 1)
	}
	switch e.profile.Pictures {
	case "graphics":
		e.graphics(b)
	case "column":
		e.bands(b)
	default:
		e.raster(b)
	}
	if centred {
		e.command(escAlign, 0)
	}
	if e.profile.Quirks.ImageLosesCJK {
		e.chineseOn()
	}
}

// raster is GS v 0, slice by slice.
func (e *encoder) raster(b receipt.Bitmap) {
	rowBytes := (b.Width + 7) / 8
	for _, slice := range pieces(b.Rows, e.profile.Quirks) {
		h := len(slice)
		e.command(gsRaster, byte(rowBytes), byte(rowBytes>>8), byte(h), byte(h>>8))
		e.dots(joined(slice))
	}
}

// graphics is GS ( L: function 112 keeps a slice in the print buffer, 50 prints it.
func (e *encoder) graphics(b receipt.Bitmap) {
	rowBytes := (b.Width + 7) / 8
	quirks := e.profile.Quirks
	quirks.MaxRasterRows = min(quirks.MaxRasterRows, maxGraphics/rowBytes)
	for _, slice := range pieces(b.Rows, quirks) {
		h, n := len(slice), graphicsHead+len(slice)*rowBytes
		e.command(gsGraphics, byte(n), byte(n>>8), 0x30, 112, 0x30, 1, 1, 0x31,
			byte(b.Width), byte(b.Width>>8), byte(h), byte(h>>8))
		e.dots(joined(slice))
		e.command(gsGraphics, 2, 0, 0x30, 50)
	}
}

// bands is ESC * 33: bands of 24 rows, column by column, with lines set close. A white
// band is fed, so that a drawn line keeps its distance to the next.
func (e *encoder) bands(b receipt.Bitmap) {
	e.command(escSpacing, bandHeight)
	for top := 0; top < b.Height(); top += bandHeight {
		data, inked := band(b, top)
		if !inked {
			e.command(escFeedDots, byte(min(bandHeight, b.Height()-top)))
			continue
		}
		e.command(escColumns, byte(b.Width), byte(b.Width>>8))
		e.dots(data)
		e.buf.WriteByte('\n')
	}
	e.command(escSpacing0)
}

func band(b receipt.Bitmap, top int) (data []byte, inked bool) {
	data = make([]byte, 3*b.Width)
	for x := range b.Width {
		for y := range bandHeight {
			if b.At(x, top+y) {
				data[3*x+y/8] |= 0x80 >> (y % 8)
				inked = true
			}
		}
	}
	return data, inked
}

// dots writes the bytes of a picture so that none of them reads as a real-time command:
// printers look for 10 04, 10 05 and 10 14 in all that comes (Epson's reference, DLE EOT),
// and a picture must not open the drawer. One more black dot prevents it.
func (e *encoder) dots(data []byte) {
	for i := range len(data) - 1 {
		if next := data[i+1]; data[i] == 0x10 && (next == 0x04 || next == 0x05 || next == 0x14) {
			data[i] = 0x18
		}
	}
	e.buf.Write(data)
}

func joined(rows [][]byte) []byte {
	var out []byte
	for _, row := range rows {
		out = append(out, row...)
	}
	return out
}

// pieces cuts a picture into pieces that the printer takes at once, none with a
// height that it fails on: an inner piece is made a row shorter, since a blank row
// would tear the picture, and the last one gets blank rows.
func pieces(rows [][]byte, q profiles.PrinterQuirks) [][][]byte {
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

// qr prints a code natively where the printer can, else as a picture of the same size.
func (e *encoder) qr(data []byte) error {
	code, err := draw.QR(data, e.profile.Paper.Dots)
	if err != nil {
		return err
	}
	e.doc.QRCodes++
	if !e.native(code, data) {
		e.picture(code.Bitmap(), true)
		return nil
	}
	n := len(data) + len(qrStoreFn)
	e.command(escAlign, 1)
	e.command(escFeed, 1) // the white above and below that a code needs
	e.command(qrModel2)
	e.command(qrModule, byte(code.Module))
	e.command(qrLevelM)
	e.command(qrStore, byte(n), byte(n>>8))
	e.buf.WriteString(qrStoreFn)
	e.buf.Write(data)
	e.command(qrPrint)
	e.command(escFeed, 1)
	e.command(escAlign, 0)
	return nil
}

// native reports whether the printer can be left to draw a code: the module is one it
// has, a code one version larger would fit as well (printers choose modes of their own),
// and no byte of the data can begin a real-time command.
func (e *encoder) native(c draw.Code, data []byte) bool {
	q := e.profile.QR
	if !q.Native || c.Module > q.MaxModule || (c.Modules()+4)*c.Module > e.profile.Paper.Dots {
		return false
	}
	for _, b := range data {
		if b == 0x10 {
			return false
		}
	}
	return true
}
