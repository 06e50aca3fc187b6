package device

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// DefaultFont is where Debian's package fonts-wqy-microhei puts its font.
const DefaultFont = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"

// Cells of the printer's fonts, in dots: font A is 12×24, the Chinese font 24×24.
const (
	latinWidth   = 12
	chineseWidth = 24
	cellHeight   = 24
)

// ErrNoFont is returned when the font file is missing or no font.
var ErrNoFont = errors.New("no font to draw receipts with")

// Font draws characters as a dot-matrix printer has them: black or white dots in a
// cell. It may be shared by several printers.
type Font struct {
	mu    sync.Mutex
	faces [2]font.Face // the narrow and the wide cell's
	cells map[glyphKey]*cell
}

type glyphKey struct {
	r    rune
	wide bool
}

// cell is the dots of one character, row by row.
type cell struct {
	width int
	dots  [cellHeight][chineseWidth]bool
}

// OpenFont reads a TrueType or OpenType font or collection with Chinese characters;
// "" reads DefaultFont.
func OpenFont(path string) (*Font, error) {
	if path == "" {
		path = DefaultFont
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is not there; install it: apt-get install fonts-wqy-microhei", ErrNoFont, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoFont, err)
	}
	// The last font of a collection is the one of equal widths, which suits cells.
	data, err = lastFont(data)
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrNoFont, path, err)
	}
	parsed, err := opentype.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrNoFont, path, err)
	}
	f := &Font{cells: map[glyphKey]*cell{}}
	for i, size := range []float64{21, 23} {
		f.faces[i], err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			return nil, fmt.Errorf("%w: %s at %v dots: %w", ErrNoFont, path, size, err)
		}
	}
	return f, nil
}

// cellOf draws a character into its cell, or returns it from memory.
func (f *Font) cellOf(r rune, wide bool) *cell {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := glyphKey{r, wide}
	if c, ok := f.cells[key]; ok {
		return c
	}
	c := f.draw(r, wide)
	f.cells[key] = c
	return c
}

func (f *Font) draw(r rune, wide bool) *cell {
	face, width := f.faces[0], latinWidth
	if wide {
		face, width = f.faces[1], chineseWidth
	}
	const missing = '\u25a1' // a box, so that nobody takes what this font lacks for the printer's fault
	c := &cell{width: width}
	advance, ok := face.GlyphAdvance(r)
	if outline, _, has := face.GlyphBounds(r); !ok || has && outline.Empty() && !unicode.IsSpace(r) { // some of WenQuanYi's, such as ℃, are empty
		r = missing
		advance, _ = face.GlyphAdvance(r)
	}
	baseline := 20
	left := (fixed.I(width) - advance) / 2
	dr, mask, at, _, ok := face.Glyph(fixed.Point26_6{X: left, Y: fixed.I(baseline)}, r)
	if !ok {
		return c
	}
	for y := dr.Min.Y; y < dr.Max.Y; y++ {
		for x := dr.Min.X; x < dr.Max.X; x++ {
			if x < 0 || x >= width || y < 0 || y >= cellHeight {
				continue
			}
			c.dots[y][x] = ink(mask, at.X+x-dr.Min.X, at.Y+y-dr.Min.Y)
		}
	}
	return c
}

// ink decides a dot: black where the outline covers enough of it.
func ink(mask image.Image, x, y int) bool {
	_, _, _, a := mask.At(x, y).RGBA()
	return a > 0x6000
}
