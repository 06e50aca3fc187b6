package draw

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	"dcpos/drivers/receipt"
)

// Paper is the paper of a picture.
type Paper struct {
	Columns int // of normal size: 32 on 58 mm, 48 on 80 mm
	Dots    int // printable; 0: twelve for each column
}

// Margins around the printable dots, and what a cut leaves white, in dots.
const (
	marginSide   = 24
	marginTop    = 24
	marginBottom = 24
	cutGap       = 2 * linePitch
)

func (p Paper) dots() int {
	if p.Dots > 0 {
		return p.Dots
	}
	return p.Columns * latinWidth
}

// block is one line of a layout and where it stands.
type block struct {
	receipt.Line
	top, height int
	code        Code // of qr
}

// place lays the receipt out and gives each line its place on the paper. It returns
// the errors of receipt.Layout and QR.
func (p Paper) place(r receipt.Receipt) (blocks []block, height int, err error) {
	lines, err := receipt.Layout(r, receipt.Options{Columns: p.Columns, Dots: p.dots()})
	if err != nil {
		return nil, 0, err
	}
	for i, l := range lines {
		b := block{Line: l, top: height}
		switch l.Kind {
		case receipt.KindText:
			b.height = linePitch
			if l.Style.Size.Tall() {
				b.height = tallPitch
			}
		case receipt.KindFeed:
			b.height = l.Lines * linePitch
		case receipt.KindQR:
			if b.code, err = QR(l.Data, p.dots()); err != nil {
				return nil, 0, fmt.Errorf("draw line %d: %w", i, err)
			}
			b.height = (b.code.Modules() + 2*QuietModules) * b.code.Module
		case receipt.KindImage:
			b.height = l.Image.Height()
		case receipt.KindCut:
			if i < len(lines)-1 {
				b.height = cutGap
			}
		case receipt.KindDrawer, receipt.KindColumns, receipt.KindRule:
		}
		height += b.height
		blocks = append(blocks, b)
	}
	return blocks, height, nil
}

// PNG writes the receipt as a picture of the paper, one dot a pixel. Errors are those
// of receipt.Layout and QR, ErrNoFont, and w's.
func (p Paper) PNG(w io.Writer, r receipt.Receipt, f *Font) error {
	blocks, height, err := p.place(r)
	if err != nil {
		return err
	}
	img := image.NewPaletted(image.Rect(0, 0, p.dots()+2*marginSide, height+marginTop+marginBottom),
		color.Palette{color.White, color.Gray{Y: 0x10}})
	for _, b := range blocks {
		var dots receipt.Bitmap
		left := 0
		switch b.Kind {
		case receipt.KindText:
			if dots, _, err = f.Line(b.Line); err != nil {
				return err
			}
		case receipt.KindQR:
			dots = b.code.Bitmap()
			left = (p.dots() - dots.Width) / 2
		case receipt.KindImage:
			dots = b.Image
			left = (p.dots() - dots.Width) / 2
		case receipt.KindFeed, receipt.KindCut, receipt.KindDrawer, receipt.KindColumns, receipt.KindRule:
		}
		ink(img, dots, marginSide+left, marginTop+b.top)
	}
	if err := png.Encode(w, img); err != nil {
		return fmt.Errorf("write picture of receipt: %w", err)
	}
	return nil
}

func ink(img *image.Paletted, b receipt.Bitmap, left, top int) {
	for y := range b.Height() {
		for x := range b.Width {
			if b.At(x, y) {
				img.SetColorIndex(left+x, top+y, 1)
			}
		}
	}
}
