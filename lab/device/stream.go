package device

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// lineSpacing is the feed of a line after an initialisation: 1/6 inch is 34 dots at
// 203 dots an inch, but printers of this class feed 30.
const lineSpacing = 30

// Limits of the model's memory.
const (
	maxPicture = 256 << 10 // bytes of one GS v 0
	maxRows    = 24_000    // three metres of paper in one piece
	maxMemory  = 512 << 10 // bytes received and not acted on, unless an option says otherwise
)

// mode is what commands set.
type mode struct {
	line    []glyph
	x       int
	spacing int
	align   byte
	bold    bool
	invert  bool
	size    byte // GS !
	fsSize  byte // FS !
	chinese bool
	uncut   bool // a cut failed
}

// reset is ESC @.
func (p *Printer) reset() {
	p.mode = mode{spacing: lineSpacing, chinese: !p.opt.StartsWithoutChinese}
}

// step acts on the first thing in the buffer and returns how many bytes it was, 0 when
// the rest of it has not come yet.
func (p *Printer) step(b []byte) int {
	if n, ok := p.routed(b); ok {
		return n
	}
	switch b[0] {
	case 0x10:
		return p.skipRealTime(b)
	case 0x1B:
		return p.esc(b)
	case 0x1C:
		return p.fs(b)
	case 0x1D:
		return p.gs(b)
	case '\n':
		p.newLine()
		return 1
	case '\t':
		p.mode.x = (p.mode.x/(8*latinWidth) + 1) * 8 * latinWidth
		return 1
	case 0, '\r', 0x18:
		return 1
	}
	if b[0] < 0x20 {
		return p.strange(b[:1])
	}
	return p.character(b)
}

// skipRealTime passes over real-time commands, which were acted on when they came.
func (p *Printer) skipRealTime(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	n := 3
	if b[1] == 0x14 {
		n = map[byte]int{1: 5, 2: 5, 8: 10}[b[2]]
	}
	switch {
	case n == 0 || b[1] != 0x04 && b[1] != 0x05 && b[1] != 0x14:
		return p.strange(b[:1])
	case len(b) < n:
		return 0
	}
	return n
}

func (p *Printer) strange(b []byte) int {
	if len(p.unknown) < 100 {
		p.unknown = append(p.unknown, fmt.Sprintf("% x", b))
	}
	return len(b)
}

// need calls f when n bytes are there.
func need(b []byte, n int, f func()) int {
	if len(b) < n {
		return 0
	}
	f()
	return n
}

func (p *Printer) esc(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	m := &p.mode
	switch b[1] {
	case '@':
		if p.opt.NoCutter && !p.paper.blank() {
			p.finish(false)
		}
		p.reset()
		return 2
	case '2':
		m.spacing = lineSpacing
		return 2
	case '3':
		return need(b, 3, func() { m.spacing = int(b[2]) })
	case 'E':
		return need(b, 3, func() { m.bold = b[2]&1 != 0 })
	case 'a':
		return need(b, 3, func() { m.align = b[2] & 3 })
	case 'd':
		return need(b, 3, func() { p.feedLines(int(b[2])) })
	case 'J':
		return need(b, 3, func() { p.flush(); p.advance(int(b[2])) })
	case 'B':
		if p.opt.Buzzer {
			return need(b, 4, func() { p.beeps += int(b[2]) })
		}
	case 'C':
		if p.opt.Lamp {
			return need(b, 5, func() { p.alarm(b[2], b[3], b[4]) })
		}
	case '*':
		return p.columns(b)
	case '-', 't', 'R', 'M', '{', ' ':
		return need(b, 3, func() {})
	case 'p':
		return need(b, 5, p.kick)
	}
	return p.strange(b[:2])
}

func (p *Printer) fs(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	m := &p.mode
	switch b[1] {
	case '&':
		m.chinese = true
		return 2
	case '.':
		m.chinese = false
		return 2
	case '!':
		return need(b, 3, func() { m.fsSize = b[2] })
	case 'C', 'W', '-':
		return need(b, 3, func() {})
	case 'S':
		return need(b, 4, func() {})
	}
	return p.strange(b[:2])
}

func (p *Printer) gs(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	m := &p.mode
	switch b[1] {
	case '!':
		return need(b, 3, func() { m.size = b[2] })
	case 'B':
		return need(b, 3, func() { m.invert = b[2]&1 != 0 })
	case 'a':
		return need(b, 3, func() { p.gsA(b[2]) })
	case 'r':
		return need(b, 3, func() { p.gsR(b[2]) })
	case 'I':
		return need(b, 3, func() { p.gsI(b[2]) })
	case 'L', 'W':
		return need(b, 4, func() {})
	case 'V':
		if b[2] == 0x41 || b[2] == 0x42 {
			return need(b, 4, func() { p.flush(); p.advance(int(b[3])); p.cut() })
		}
		return need(b, 3, p.cut)
	case 'v':
		return p.raster(b)
	case '(':
		return p.extended(b)
	}
	return p.strange(b[:2])
}

// extended is GS ( x pL pH …; H, k and L are known, the others are passed over.
func (p *Printer) extended(b []byte) int {
	if len(b) < 5 {
		return 0
	}
	n := 5 + int(b[3]) + int(b[4])<<8
	return need(b, n, func() {
		switch args := b[5:n]; b[2] {
		case 'H':
			p.flush()
			p.gsH(args)
		case 'k':
			p.gsK(args)
		case 'L':
			p.gsL(args)
		default:
			p.strange(b[:3])
		}
	})
}

// raster is GS v 0 m xL xH yL yH data.
func (p *Printer) raster(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	rowBytes, rows := int(b[4])+int(b[5])<<8, int(b[6])+int(b[7])<<8
	if rowBytes*rows > maxPicture {
		return p.strange(b[:8])
	}
	return need(b, 8+rowBytes*rows, func() {
		p.show(picture{
			bits: b[8 : 8+rowBytes*rows], rowBytes: rowBytes, width: rowBytes * 8, rows: rows,
			sx: 1 + int(b[3]&1), sy: 1 + int(b[3]>>1&1),
		})
	})
}

// indent is where something of a width begins.
func (p *Printer) indent(width int) int {
	free := max(0, p.dots-width)
	switch p.mode.align {
	case 1:
		return free / 2
	case 2:
		return free
	}
	return 0
}

// character takes one character of text.
func (p *Printer) character(b []byte) int {
	switch {
	case b[0] < 0x80:
		p.put(rune(b[0]), false)
		return 1
	case p.opt.Chinese == LatinOnly || !p.mode.chinese || b[0] == 0x80 || b[0] == 0xff:
		p.put(charmap.CodePage437.DecodeByte(b[0]), false)
		return 1
	case len(b) < 2:
		return 0
	}
	if b[1] >= '0' && b[1] <= '9' {
		if len(b) < 4 {
			return 0
		}
		if p.opt.Chinese == GB18030x4 {
			p.put(p.decode(b[:4]), true)
			return 4
		}
		p.put('\u3013', true) // to most fonts a four-byte code is two wrong characters
		p.put('\u3013', true)
		return 4
	}
	p.put(p.decode(b[:2]), true)
	return 2
}

func (p *Printer) decode(code []byte) rune {
	coding := simplifiedchinese.GB18030.NewDecoder()
	switch p.opt.Chinese {
	case GBK:
		coding = simplifiedchinese.GBK.NewDecoder()
	case GB2312:
		coding = simplifiedchinese.GBK.NewDecoder()
		if code[0] < 0xA1 || code[0] > 0xF7 || code[1] < 0xA1 { // what GBK added around it
			return '\u3013'
		}
	case GB18030, GB18030x4, LatinOnly:
	}
	out, err := coding.Bytes(code)
	if err != nil {
		return '\u3013'
	}
	r, n := utf8.DecodeRune(out)
	if r == utf8.RuneError || n != len(out) {
		return '\u3013'
	}
	return r
}

// put adds a character to the line; a full line is printed first.
func (p *Printer) put(r rune, wide bool) {
	m := &p.mode
	g := glyph{r: r, wide: wide, bold: m.bold, invert: m.invert, sx: 1 + int(m.size>>4&7), sy: 1 + int(m.size&7)}
	if wide && p.opt.ChineseSizeByFS {
		g.sx, g.sy = 1+int(m.fsSize>>2&1), 1+int(m.fsSize>>3&1)
	}
	if m.x+g.width() > p.dots {
		p.newLine()
	}
	g.x = m.x
	m.x += g.width()
	m.line = append(m.line, g)
}

// newLine is LF: it prints the line, or feeds an empty one.
func (p *Printer) newLine() {
	m := &p.mode
	if left := p.indent(m.x); left > 0 && len(m.line) > 0 {
		for i := range m.line {
			m.line[i].x += left
		}
	}
	before := len(p.paper.rows)
	p.paper.print(p.opt.Font, m.line, m.spacing)
	m.line, m.x = nil, 0
	p.useUp(len(p.paper.rows) - before)
}

// flush prints what is in the line.
func (p *Printer) flush() {
	if len(p.mode.line) > 0 {
		p.newLine()
	}
}

// feedLines is ESC d n: the line's own feed is the first.
func (p *Printer) feedLines(n int) {
	if n == 0 {
		p.flush()
	}
	for range n {
		p.newLine()
	}
}

func (p *Printer) advance(dots int) {
	p.paper.feed(dots)
	p.useUp(dots)
}

func (p *Printer) useUp(dots int) {
	if len(p.paper.rows) > maxRows {
		p.finish(false)
	}
	if p.paperAt < 0 {
		return
	}
	p.paperAt = max(0, p.paperAt-dots)
	p.noPaper = p.paperAt == 0
}

// cut cuts the paper. In a jam the cutter fails, and the cut is still to be done.
func (p *Printer) cut() {
	p.flush()
	switch {
	case p.opt.NoCutter:
	case p.jam:
		p.cutter, p.mode.uncut = true, true
	default:
		p.mode.uncut = false
		p.finish(true)
	}
}

// alarm is ESC C m t n: m times (1 to 20), each of t times 50 ms (1 to 20); n: 0 nothing, 1
// buzzer, 2 lamp, 3 both, as Xprinter's SDK describes it. What is out of range does nothing.
func (p *Printer) alarm(m, t, n byte) {
	if m < 1 || m > 20 || t < 1 || t > 20 || n > 3 {
		return
	}
	if n&1 != 0 && p.opt.Buzzer {
		p.beeps += int(m)
	}
	if n&2 != 0 {
		p.flashes += int(m)
	}
}

func (p *Printer) kick() {
	p.kicks++
	p.drawer = true
}
