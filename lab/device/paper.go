package device

import (
	"bytes"
	"fmt"
	"image"
	"strings"
)

// How bright paper and print are in a picture.
const (
	white = 0xff
	black = 0x10
)

// paper is the roll: rows of dots that have passed the head, and the same as text.
type paper struct {
	dots  int      // printable width
	rows  [][]byte // as bright as a picture has it; nil: white
	lines []string
	high  int // rows of the picture that the last line stands for, 0 when it is text
	broad int
}

func (p *paper) feed(rows int) {
	p.rows = append(p.rows, make([][]byte, rows)...)
}

// blacken makes a dot black, as far as it is on the paper.
func (p *paper) blacken(x, y int) {
	if x >= p.dots || y >= len(p.rows) {
		return
	}
	if p.rows[y] == nil {
		p.rows[y] = bytes.Repeat([]byte{white}, p.dots)
	}
	p.rows[y][x] = black
}

// glyph is one character waiting in the line buffer.
type glyph struct {
	r      rune
	x      int // dots from the left
	wide   bool
	sx, sy int // how many times wider and higher
	bold   bool
	invert bool
	// columns, when set, are dots of ESC * instead of a character: three bytes each.
	columns []byte
}

func (g glyph) width() int {
	if g.columns != nil {
		return len(g.columns) / 3
	}
	if g.wide {
		return chineseWidth * g.sx
	}
	return latinWidth * g.sx
}

func (g glyph) height() int { return cellHeight * g.sy }

// print puts a line on the paper, characters standing on a common bottom, and feeds.
func (p *paper) print(font *Font, line []glyph, spacing int) {
	height := 0
	for _, g := range line {
		height = max(height, g.height())
	}
	top := len(p.rows)
	p.feed(max(height, spacing))
	bands := 0
	for _, g := range line {
		if g.columns != nil {
			p.band(g, top)
			bands = g.width()
			continue
		}
		p.draw(font, g, top+height-g.height())
	}
	if bands > 0 {
		p.note(bands, max(height, spacing))
		return
	}
	p.lines = append(p.lines, text(line))
	p.high = 0
}

// band puts 24 dots high columns on the paper.
func (p *paper) band(g glyph, top int) {
	for x := range g.width() {
		for y := range cellHeight {
			if g.columns[3*x+y/8]&(0x80>>(y%8)) != 0 {
				p.blacken(g.x+x, top+y)
			}
		}
	}
}

// note puts a picture into the text; slices of one picture are one.
func (p *paper) note(width, rows int) {
	if p.high > 0 && p.broad == width {
		p.lines = p.lines[:len(p.lines)-1]
		rows += p.high
	}
	p.broad, p.high = width, rows
	p.lines = append(p.lines, fmt.Sprintf("[picture %dx%d]", width, rows))
}

func (p *paper) draw(font *Font, g glyph, top int) {
	c := font.cellOf(g.r, g.wide)
	for y := range cellHeight {
		for x := range g.width() / g.sx {
			on := c.dots[y][x] || g.bold && x > 0 && c.dots[y][x-1]
			if on != g.invert {
				p.set(top+y*g.sy, g.x+x*g.sx, g.sx, g.sy)
			}
		}
	}
}

// text is a line as plain text: what is left free counts one space for each column of
// twelve dots, so that what stands in a column on paper stands in it here.
func text(line []glyph) string {
	var b strings.Builder
	end := 0
	for _, g := range line {
		if g.r == ' ' {
			continue
		}
		if gap := (g.x - end) / latinWidth; gap > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		b.WriteRune(g.r)
		end = g.x + g.width()
	}
	return b.String()
}

// raster puts a picture on the paper; bits are rows of bytes, high bit left.
func (p *paper) raster(bits []byte, rowBytes, rows, left, sx, sy int) {
	for y := range rows {
		top := len(p.rows)
		p.feed(sy)
		for x := range rowBytes * 8 {
			if bits[y*rowBytes+x/8]&(0x80>>(x%8)) == 0 {
				continue
			}
			p.set(top, left+x*sx, sx, sy)
		}
	}
}

func (p *paper) set(top, left, sx, sy int) {
	for y := range sy {
		for x := range sx {
			p.blacken(left+x, top+y)
		}
	}
}

// picture shows the paper with the margins that a real roll has.
func (p *paper) picture(paperDots int) *image.Gray {
	const above, below = 40, 24
	left := (paperDots - p.dots) / 2
	img := image.NewGray(image.Rect(0, 0, paperDots, above+len(p.rows)+below))
	copy(img.Pix, bytes.Repeat([]byte{white}, len(img.Pix)))
	for y, row := range p.rows {
		copy(img.Pix[img.PixOffset(left, above+y):], row)
	}
	return img
}

// blank reports whether nothing has been printed.
func (p *paper) blank() bool {
	for _, l := range p.lines {
		if l != "" {
			return false
		}
	}
	return true
}
