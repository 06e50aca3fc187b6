package draw

import "dcpos/drivers/receipt"

// Line draws a laid out line of text as high as the line takes on paper, blank dots
// below included, and as wide as its ink. It returns the characters that the font
// lacks, drawn as boxes. ErrNoFont is inside the error.
func (f *Font) Line(l receipt.Line) (receipt.Bitmap, []rune, error) {
	if err := f.Ready(); err != nil {
		return receipt.Bitmap{}, nil, err
	}
	sx, sy := scale(l.Style.Size)
	height := linePitch
	if sy == 2 {
		height = tallPitch
	}
	b := receipt.NewBitmap((l.Indent+receipt.Width(l.Text))*latinWidth*sx, height)
	var missing []rune
	x := l.Indent * latinWidth * sx
	for _, r := range l.Text {
		if !f.Has(r) && r != ' ' {
			missing = append(missing, r)
		}
		width := receipt.RuneWidth(r) * latinWidth
		stamp(b, styled(f.cellOf(r), width, l.Style), width, x, sx, sy)
		x += width * sx
	}
	return b, missing, nil
}

// scale is how many times wider and higher letters of a size are.
func scale(s receipt.Size) (sx, sy int) {
	sx, sy = 1, 1
	if s.Wide() {
		sx = 2
	}
	if s.Tall() {
		sy = 2
	}
	return sx, sy
}

// styled makes a letter bold, which is one dot thicker, and inverts it.
func styled(c cell, width int, s receipt.Style) cell {
	whole := uint32(1<<chineseWidth - 1<<(chineseWidth-width))
	for y := range c {
		if s.Bold {
			c[y] |= c[y] >> 1 & whole
		}
		if s.Invert {
			c[y] = ^c[y] & whole
		}
	}
	return c
}

func stamp(b receipt.Bitmap, c cell, width, left, sx, sy int) {
	for y := range cellHeight * sy {
		for x := range width * sx {
			if c[y/sy]&(1<<(chineseWidth-1-x/sx)) != 0 {
				b.Set(left+x, y)
			}
		}
	}
}
