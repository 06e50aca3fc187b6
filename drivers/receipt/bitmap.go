package receipt

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// Limits of a picture that is decoded, so that a small file cannot fill the memory.
const (
	maxPictureBytes = 256 << 10
	maxPictureWide  = 2048
	maxPictureHigh  = 2048
)

// Bitmap is a black and white picture as printers take it: rows of bytes, the high
// bit is the left dot, a set bit is black.
type Bitmap struct {
	Width int      // dots
	Rows  [][]byte // each (Width+7)/8 bytes
}

// NewBitmap is a white picture.
func NewBitmap(width, height int) Bitmap {
	b := Bitmap{Width: width, Rows: make([][]byte, height)}
	for y := range b.Rows {
		b.Rows[y] = make([]byte, (width+7)/8)
	}
	return b
}

// Height is the number of rows.
func (b Bitmap) Height() int { return len(b.Rows) }

// At reports whether a dot is black; outside of the picture all is white.
func (b Bitmap) At(x, y int) bool {
	if x < 0 || y < 0 || x >= b.Width || y >= len(b.Rows) {
		return false
	}
	return b.Rows[y][x/8]&(0x80>>(x%8)) != 0
}

// Set makes a dot black; outside of the picture it does nothing.
func (b Bitmap) Set(x, y int) {
	if x < 0 || y < 0 || x >= b.Width || y >= len(b.Rows) {
		return
	}
	b.Rows[y][x/8] |= 0x80 >> (x % 8)
}

// decodePicture reads a PNG; what is darker than middle grey is black, what is
// transparent is white.
func decodePicture(data []byte) (Bitmap, error) {
	if len(data) == 0 || len(data) > maxPictureBytes {
		return Bitmap{}, fmt.Errorf("picture of %d bytes, want a PNG of 1 to %d", len(data), maxPictureBytes)
	}
	head, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Bitmap{}, fmt.Errorf("read picture: %w", err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPictureWide || head.Height > maxPictureHigh {
		return Bitmap{}, fmt.Errorf("picture of %d by %d dots, at most %d by %d", head.Width, head.Height, maxPictureWide, maxPictureHigh)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return Bitmap{}, fmt.Errorf("read picture: %w", err)
	}
	b := NewBitmap(head.Width, head.Height)
	for y := range head.Height {
		for x := range head.Width {
			if dark(img, x, y) {
				b.Set(x, y)
			}
		}
	}
	return b, nil
}

func dark(img image.Image, x, y int) bool {
	at := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y)
	_, _, _, alpha := at.RGBA()
	grey, ok := color.Gray16Model.Convert(at).(color.Gray16) // of a colour already multiplied by alpha
	return ok && uint32(grey.Y)+0xffff-alpha < 0x8000
}

// fitted is the picture made narrower to fit the width, as high as it was wide: a dot
// is black when half of what it stands for is.
func (b Bitmap) fitted(width int) Bitmap {
	if b.Width <= width {
		return b
	}
	height := max(1, b.Height()*width/b.Width)
	out := NewBitmap(width, height)
	for y := range height {
		for x := range width {
			if b.mostlyBlack(x*b.Width/width, y*b.Height()/height, (x+1)*b.Width/width, (y+1)*b.Height()/height) {
				out.Set(x, y)
			}
		}
	}
	return out
}

func (b Bitmap) mostlyBlack(left, top, right, bottom int) bool {
	black, all := 0, 0
	for y := top; y < max(bottom, top+1); y++ {
		for x := left; x < max(right, left+1); x++ {
			all++
			if b.At(x, y) {
				black++
			}
		}
	}
	return 2*black >= all
}
