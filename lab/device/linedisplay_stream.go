package device

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// maxString is the longest text of ESC Q: a manual promises 40 characters for the
// scrolling form, 20 for the others.
const maxString = 80

// step acts on the first thing in the buffer and returns how many bytes it was, 0 when
// the rest of it has not come yet.
func (d *LineDisplay) step(b []byte) int {
	if d.deselect && b[0] != 0x1b {
		return 1
	}
	switch b[0] {
	case 0x1b:
		return d.esc(b)
	case 0x1f:
		return d.us(b)
	case 0x02:
		return d.stx(b)
	case 0x0c: // CLR
		d.clear()
		return 1
	case 0x0b: // HOM
		d.x, d.y = 0, 0
		return 1
	case 0x18: // CAN: clear the cursor's row
		copy(d.cells[d.y], bytesOfGlass(' ', len(d.cells[d.y])))
		d.x = 0
		return 1
	case '\r':
		d.x = 0
		return 1
	case '\n':
		d.y = (d.y + 1) % d.opt.Rows
		return 1
	case 0:
		return 1
	}
	if b[0] < 0x20 {
		return d.strange(b[:1])
	}
	return d.character(b)
}

func bytesOfGlass(r rune, n int) []glass {
	out := make([]glass, n)
	for i := range out {
		out[i].r = r
	}
	return out
}

func (d *LineDisplay) esc(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] == '=' { // ESC = n: bit 1 the printer, bit 2 the display
		return need(b, 3, func() { d.deselect = b[2]&2 == 0 })
	}
	if d.deselect {
		return 1
	}
	switch b[1] {
	case '@':
		d.reset()
		return 2
	case 't', 'R':
		return need(b, 3, func() {})
	case 'Q':
		return d.text(b)
	case 's':
		return need(b, 3, func() { d.lamp(b[2]) })
	}
	return d.strange(b[:2])
}

// us are Epson's commands; CD5220 and digit displays do not know them.
func (d *LineDisplay) us(b []byte) int {
	switch {
	case d.opt.Language != "epson-dm":
		return d.strange(b[:1])
	case len(b) < 2:
		return 0
	}
	switch b[1] {
	case 0x01: // MD1, overwrite mode: the only one that is modelled
		return 2
	case 'C':
		return need(b, 3, func() { d.cursor = b[2]&1 != 0 })
	case 'X':
		return need(b, 3, func() {})
	case '$':
		return need(b, 4, func() {
			if x, y := int(b[2]), int(b[3]); x >= 1 && x <= d.opt.Columns && y >= 1 && y <= d.opt.Rows {
				d.x, d.y = x-1, y-1
				return
			}
			d.strange(b[:4])
		})
	}
	return d.strange(b[:2])
}

// stx is STX L d1 d2 d3 d4 of digit displays: the four lamps.
func (d *LineDisplay) stx(b []byte) int {
	if d.opt.Labels != "stx_l" || len(b) > 1 && b[1] != 'L' {
		return d.strange(b[:1])
	}
	return need(b, 6, func() {
		for i := range d.lamps {
			d.lamps[i] = b[2+i] == '1'
		}
	})
}

// lamp is ESC s n of digit displays: 0 none, 1 单价, 2 总计, 3 收款, 4 找零.
func (d *LineDisplay) lamp(n byte) {
	if d.opt.Labels != "esc_s" || n < '0' || n > '4' {
		d.strange([]byte{0x1b, 's', n})
		return
	}
	d.lamps = [4]bool{}
	if n > '0' {
		d.lamps[n-'1'] = true
	}
}

// text is ESC Q A or B, characters, CR.
func (d *LineDisplay) text(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	end := bytes.IndexByte(b[3:], '\r')
	switch {
	case d.opt.Language == "epson-dm", b[2] < 'A' || int(b[2]-'A') >= d.opt.Rows, end > maxString:
		return d.strange(b[:3])
	case end < 0 && len(b) > maxString:
		return d.strange(b[:3])
	case end < 0:
		return 0
	}
	row := int(b[2] - 'A')
	copy(d.cells[row], bytesOfGlass(' ', d.opt.Columns))
	if d.opt.Language == "led8" {
		d.number(b[3 : 3+end])
		return 3 + end + 1
	}
	d.x, d.y = 0, row
	for rest := b[3 : 3+end]; len(rest) > 0 && d.y == row && d.x < d.opt.Columns; {
		n := d.character(rest)
		if n == 0 {
			d.strange(rest)
			break
		}
		rest = rest[n:]
		if d.x == 0 {
			break // the row is full
		}
	}
	d.x, d.y = 0, row
	return 3 + end + 1
}

// number shows digits, from the right; a point lights beside the digit before it.
func (d *LineDisplay) number(b []byte) {
	var places []glass
	for _, c := range b {
		switch {
		case c == '.' && len(places) > 0:
			places[len(places)-1].point = true
		case c >= '0' && c <= '9' || c == '-' || c == ' ':
			places = append(places, glass{r: rune(c)})
		default:
			d.strange([]byte{c})
		}
	}
	if len(places) > d.opt.Columns {
		d.unknown = append(d.unknown, fmt.Sprintf("%d digits", len(places)))
		places = places[len(places)-d.opt.Columns:]
	}
	copy(d.cells[0][d.opt.Columns-len(places):], places)
}

// character takes one character of text in overwrite mode: after the last place of a row
// comes the first of the next one, after the last row the first row.
func (d *LineDisplay) character(b []byte) int {
	if d.opt.Language == "led8" {
		return d.strange(b[:1])
	}
	if b[0] < 0x80 || !d.opt.Chinese {
		r := rune(b[0])
		if b[0] >= 0x80 {
			r = charmap.CodePage437.DecodeByte(b[0])
		}
		d.put(glass{r: r})
		return 1
	}
	if len(b) < 2 {
		return 0
	}
	r := utf8.RuneError
	if out, err := simplifiedchinese.GBK.NewDecoder().Bytes(b[:2]); err == nil {
		r, _ = utf8.DecodeRune(out)
	}
	if r == utf8.RuneError || b[1] < 0x40 {
		d.strange(b[:2])
		r = '\u3013'
	}
	if d.x == d.opt.Columns-1 {
		d.strange(b[:2]) // half a character at the end of a row
	}
	d.put(glass{r: r, wide: true})
	d.put(glass{})
	return 2
}

func (d *LineDisplay) put(g glass) {
	d.cells[d.y][d.x] = g
	if d.x++; d.x == d.opt.Columns {
		d.x, d.y = 0, (d.y+1)%d.opt.Rows
	}
}
