// Package testqr reads the QR code of a picture with an independent decoder, as a customer's
// phone would: it looks from more than one distance and side.
package testqr

import (
	"errors"
	"image"
	"image/color"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Read gives the text of the picture's code. The decoder misses about one drawn code in two
// hundred at any one size (measured on random texts of 260 bytes), so it is shown three, and
// each turned to every side.
func Read(img image.Image) (string, error) {
	var all error
	for scale := 1; scale <= 3; scale++ {
		view := enlarged(img, scale)
		for range 4 {
			bitmap, err := gozxing.NewBinaryBitmapFromImage(view)
			if err != nil {
				return "", err
			}
			code, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
			if err == nil {
				return code.GetText(), nil
			}
			all = errors.Join(all, err)
			view = turned(view)
		}
	}
	return "", all
}

// turned is a quarter turn.
func turned(img image.Image) image.Image {
	b := img.Bounds()
	out := image.NewGray(image.Rect(0, 0, b.Dy(), b.Dx()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.Set(b.Dy()-1-y, x, color.GrayModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)))
		}
	}
	return out
}

func enlarged(img image.Image, by int) image.Image {
	if by == 1 {
		return img
	}
	b := img.Bounds()
	out := image.NewGray(image.Rect(0, 0, b.Dx()*by, b.Dy()*by))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Set(x, y, color.GrayModel.Convert(img.At(b.Min.X+x/by, b.Min.Y+y/by)))
		}
	}
	return out
}
