package draw

import (
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"dcpos/drivers/receipt"
)

// ErrNoFont is returned when there is no font file, or none that can be read. It says
// which package to install.
var ErrNoFont = errors.New("no font to draw with (Debian: apt-get install fonts-wqy-microhei)")

// usual is where Debian's packages fonts-wqy-microhei and fonts-noto-cjk put their
// fonts (Apache 2.0 or GPL with font exception; OFL 1.1), best for small dots first.
func usual() []string {
	return []string{
		"/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
		"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
	}
}

// Cells in dots: font A of the printers, and their Chinese font.
const (
	latinWidth   = 12
	chineseWidth = 24
	cellHeight   = 24
	linePitch    = 30 // from line to line
	tallPitch    = 60 // likewise for double height
)

// How the letters lie in the cells: sizes in dots per em, and the base line. Latin
// letters are half an em wide in these fonts, and would be lower than the Chinese
// beside them at the width of the cell.
const (
	latinSize   = 22
	chineseSize = 24
	baseline    = 20
	inkLevel    = 0x6800 // of 0xffff: how much of a dot the outline covers to make it black
)

// maxCells bounds the memory for letters already drawn: about 100 bytes each.
const maxCells = 8192

// cell is one letter, row by row, the left dot in bit 23.
type cell [cellHeight]uint32

// Font draws letters from font files. Methods may be called from several goroutines.
type Font struct {
	files []string // in the order they are asked

	mu     sync.Mutex
	closed []string // files not opened yet
	open   []*outlines
	err    error // of the files that could not be opened
	buffer sfnt.Buffer
	cells  map[rune]cell
	known  map[rune]*outlines // which font has a letter; nil: none
}

// outlines is one font that is open.
type outlines struct {
	file  *os.File // letters are read from it when they are drawn
	font  *sfnt.Font
	faces [2]font.Face // for the narrow and the wide cell
}

// NewFont makes a font of a file that is opened at the first letter; "" takes the files
// of Debian's packages, each opened when the ones before it lack a letter.
func NewFont(path string) *Font {
	f := &Font{files: usual(), cells: map[rune]cell{}, known: map[rune]*outlines{}}
	if path != "" {
		f.files = []string{path}
	}
	f.closed = f.files
	return f
}

// Close closes the files and forgets the letters. Used again, the font opens them anew.
func (f *Font) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all error
	for _, o := range f.open {
		all = errors.Join(all, o.file.Close())
	}
	f.open, f.closed, f.err = nil, f.files, nil
	clear(f.cells)
	clear(f.known)
	return all
}

// Ready opens a file if none is open. ErrNoFont is inside the error.
func (f *Font) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) == 0 && !f.next() {
		return fmt.Errorf("%w: %w", ErrNoFont, f.err)
	}
	return nil
}

// next opens one more file; false when there is none. The lock is held.
func (f *Font) next() bool {
	for len(f.closed) > 0 {
		o, err := read(f.closed[0])
		f.closed = f.closed[1:]
		if err == nil {
			f.open = append(f.open, o)
			return true
		}
		f.err = errors.Join(f.err, err)
	}
	return false
}

// read opens one file; it stays open.
func read(path string) (o *outlines, err error) {
	file, err := os.Open(path) //nolint:gosec // the path is the terminal's own configuration
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
		}
	}()
	if o, err = outlinesIn(file); err != nil {
		return nil, err
	}
	o.file = file
	return o, nil
}

// outlinesIn chooses the font of a file that suits best.
func outlinesIn(file io.ReaderAt) (*outlines, error) {
	fonts, err := fontsIn(file)
	if err != nil {
		return nil, err
	}
	o := &outlines{}
	best := -1
	for _, candidate := range fonts {
		parsed, perr := opentype.ParseReaderAt(candidate)
		if perr != nil {
			err = perr
			continue
		}
		if s := suits(parsed); s > best {
			best, o.font = s, parsed
		}
	}
	if best < 0 {
		return nil, err
	}
	for i, size := range []float64{latinSize, chineseSize} {
		o.faces[i], err = opentype.NewFace(o.font, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// suits says how well a font of a collection fits receipts: simplified Chinese before
// other forms of the same characters, equal widths before others.
func suits(f *sfnt.Font) int {
	name, err := f.Name(nil, sfnt.NameIDFull)
	if err != nil {
		return 0
	}
	n := 0
	if strings.Contains(name, " SC") {
		n += 2
	}
	if strings.Contains(name, "Mono") {
		n++
	}
	return n
}

// Has reports whether a font can draw a character. Without a font there is none.
func (f *Font) Has(r rune) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.with(r) != nil
}

// with is the first font that has a character, nil when none has. The lock is held.
func (f *Font) with(r rune) *outlines {
	if o, ok := f.known[r]; ok {
		return o
	}
	var found *outlines
	for i := 0; found == nil && (i < len(f.open) || f.next()); i++ {
		if f.drawable(f.open[i], r) {
			found = f.open[i]
		}
	}
	if len(f.known) >= maxCells {
		clear(f.known)
	}
	f.known[r] = found
	return found
}

// drawable reports whether a font has a character and something to draw for it: some of
// WenQuanYi's, such as ℃, come out empty, and a receipt must not lose a sign unseen.
func (f *Font) drawable(o *outlines, r rune) bool {
	n, err := o.font.GlyphIndex(&f.buffer, r)
	if err != nil || n == 0 {
		return false
	}
	segments, err := o.font.LoadGlyph(&f.buffer, n, fixed.I(chineseSize), nil)
	return err == nil && (len(segments) > 0 || unicode.IsSpace(r))
}

// cellOf is a letter's dots; what all fonts lack is a box.
func (f *Font) cellOf(r rune) cell {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.cells[r]; ok {
		return c
	}
	if len(f.cells) >= maxCells {
		clear(f.cells)
	}
	c := f.draw(r)
	f.cells[r] = c
	return c
}

func (f *Font) draw(r rune) cell {
	o := f.with(r)
	if o == nil {
		return box()
	}
	face, width := o.faces[1], chineseWidth
	if receipt.RuneWidth(r) == 1 {
		face, width = o.faces[0], latinWidth
	}
	advance, ok := face.GlyphAdvance(r)
	if !ok {
		return box()
	}
	where, mask, from, _, ok := face.Glyph(fixed.Point26_6{X: (fixed.I(width) - advance) / 2, Y: fixed.I(baseline)}, r)
	if !ok {
		return box()
	}
	var c cell
	for y := max(where.Min.Y, 0); y < min(where.Max.Y, cellHeight); y++ {
		for x := max(where.Min.X, 0); x < min(where.Max.X, width); x++ {
			if covered(mask, from.X+x-where.Min.X, from.Y+y-where.Min.Y) {
				c[y] |= 1 << (chineseWidth - 1 - x)
			}
		}
	}
	return c
}

func covered(mask image.Image, x, y int) bool {
	_, _, _, alpha := mask.At(x, y).RGBA()
	return alpha >= inkLevel
}

// box is what stands for a letter that the font lacks.
func box() cell {
	var c cell
	const left, right = 1 << (chineseWidth - 1 - 2), 1 << 2
	for y := 2; y <= cellHeight-4; y++ {
		c[y] = left | right
	}
	c[2], c[cellHeight-4] = 2*left-right, 2*left-right
	return c
}
