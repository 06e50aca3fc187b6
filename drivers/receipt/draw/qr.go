package draw

import (
	"fmt"

	qrcode "github.com/skip2/go-qrcode"

	"dcpos/drivers/receipt"
)

// Sizes of QR codes. The white around one is demanded by ISO/IEC 18004; at its sides
// the paper is white.
const (
	QuietModules = 4
	minModule    = 3   // dots; smaller ones smear
	maxModule    = 8   // dots; larger ones only use up paper
	minQRDots    = 240 // aim for codes of at least 30 mm, which phones read at arm's length
)

// Code is a QR code of level M for a certain paper.
type Code struct {
	Module int // dots
	bits   [][]bool
}

// QR makes a code for paper that is so many dots wide; the module is as large as fits
// well, 3 to 8 dots. It fails when the data does not fit.
func QR(data []byte, dots int) (Code, error) {
	code, err := qrcode.New(string(data), qrcode.Medium)
	if err != nil {
		return Code{}, fmt.Errorf("make qr code of %d bytes: %w", len(data), err)
	}
	code.DisableBorder = true
	bits := code.Bitmap()
	n := len(bits)
	module := min(max(max(minQRDots, dots/2)/(n+2*QuietModules), minModule), maxModule)
	if n*module > dots {
		return Code{}, fmt.Errorf("qr code of %d bytes needs %d dots, paper has %d", len(data), n*module, dots)
	}
	return Code{Module: module, bits: bits}, nil
}

// Modules is how many modules a side has.
func (c Code) Modules() int { return len(c.bits) }

// Bitmap is the code with the white above and below it.
func (c Code) Bitmap() receipt.Bitmap {
	n, quiet := len(c.bits)*c.Module, QuietModules*c.Module
	b := receipt.NewBitmap(n, n+2*quiet)
	for y := range n {
		for x := range n {
			if c.bits[y/c.Module][x/c.Module] {
				b.Set(x, quiet+y)
			}
		}
	}
	return b
}
