package statement

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// usualFonts is where Debian's packages fonts-noto-cjk (OFL 1.1) and fonts-wqy-microhei
// (Apache 2.0, or GPL with font exception) put their fonts, best for paper first.
var usualFonts = []string{
	"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
	"/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
}

// simplified marks the font of a collection that draws as the mainland does.
const simplified = "SC"

// letters are the outlines that a paper uses, each once.
type letters struct {
	file  *os.File
	font  *sfnt.Font
	buf   sfnt.Buffer
	em    fixed.Int26_6
	known map[rune]int // the place in list
	list  []letter
}

// letter is a character's outline as operators of a page, in units of the em.
type letter struct {
	char  rune
	width int
	path  string
}

// openLetters opens the first font that is there; nil when none is.
func openLetters(paths []string) *letters {
	for _, path := range paths {
		f, err := os.Open(path) //nolint:gosec // the packages' own files
		if err != nil {
			continue
		}
		if l := lettersIn(f); l != nil {
			return l
		}
		_ = f.Close() // it was only read
	}
	return nil
}

func lettersIn(f *os.File) *letters {
	all, err := sfnt.ParseCollectionReaderAt(f)
	if err != nil {
		return nil
	}
	l := &letters{file: f, known: map[rune]int{}}
	for i := range all.NumFonts() {
		one, err := all.Font(i)
		if err != nil {
			continue
		}
		if name, err := one.Name(&l.buf, sfnt.NameIDFull); l.font == nil || (err == nil && strings.Contains(name, simplified)) {
			l.font = one
			if strings.Contains(name, simplified) {
				break
			}
		}
	}
	if l.font == nil {
		return nil
	}
	l.em = fixed.Int26_6(int(l.font.UnitsPerEm()) << 6)
	return l
}

func (l *letters) close() error { return l.file.Close() }

// place is where a character stands in the list; one that the font lacks is drawn as the
// font draws what is missing.
func (l *letters) place(r rune) (int, error) {
	if i, ok := l.known[r]; ok {
		return i, nil
	}
	glyph, err := l.font.GlyphIndex(&l.buf, r)
	if err != nil {
		return 0, fmt.Errorf("letter %q: %w", r, err)
	}
	width, err := l.font.GlyphAdvance(&l.buf, glyph, l.em, font.HintingNone)
	if err != nil {
		return 0, fmt.Errorf("letter %q: %w", r, err)
	}
	segments, err := l.font.LoadGlyph(&l.buf, glyph, l.em, nil)
	if err != nil && !errors.Is(err, sfnt.ErrNotFound) {
		return 0, fmt.Errorf("letter %q: %w", r, err)
	}
	l.list = append(l.list, letter{char: r, width: width.Round(), path: outline(segments)})
	l.known[r] = len(l.list) - 1
	return len(l.list) - 1, nil
}

// outline writes segments as path operators (ISO 32000-1, 8.5.2). The font's y grows down;
// a quadratic curve is the cubic one through two thirds of its control point.
func outline(segments sfnt.Segments) string {
	var b strings.Builder
	var x, y float64
	at := func(p fixed.Point26_6) (float64, float64) { return float64(p.X) / 64, -float64(p.Y) / 64 }
	for _, s := range segments {
		x1, y1 := at(s.Args[0])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			fmt.Fprintf(&b, "%.0f %.0f m ", x1, y1)
			x, y = x1, y1
		case sfnt.SegmentOpLineTo:
			fmt.Fprintf(&b, "%.0f %.0f l ", x1, y1)
			x, y = x1, y1
		case sfnt.SegmentOpQuadTo:
			x2, y2 := at(s.Args[1])
			fmt.Fprintf(&b, "%.1f %.1f %.1f %.1f %.0f %.0f c ", x+(x1-x)*2/3, y+(y1-y)*2/3, x2+(x1-x2)*2/3, y2+(y1-y2)*2/3, x2, y2)
			x, y = x2, y2
		case sfnt.SegmentOpCubeTo:
			x2, y2 := at(s.Args[1])
			x3, y3 := at(s.Args[2])
			fmt.Fprintf(&b, "%.0f %.0f %.0f %.0f %.0f %.0f c ", x1, y1, x2, y2, x3, y3)
			x, y = x3, y3
		}
	}
	b.WriteString("f")
	return b.String()
}
