package escpos

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/drivers/receipt"
)

// Encodings of a profile's cjk.encoding.
const (
	gb2312  = "gb2312"
	gb18030 = "gb18030"
	noFont  = "none"
)

// Boxes stand for a character that neither the printer's font nor one of ours has: □
// U+25A1, in every Chinese font since GB 2312, else two question marks, which are as wide.
const (
	box      = '\u25a1'
	latinBox = "??"
)

// charset knows which characters a printer has and what their bytes are.
type charset struct {
	name     string
	fourByte bool
	encoder  *encoding.Encoder
}

func newCharset(name string, fourByte bool) *charset {
	c := &charset{name: name, fourByte: fourByte, encoder: simplifiedchinese.GBK.NewEncoder()}
	if name == gb18030 {
		c.encoder = simplifiedchinese.GB18030.NewEncoder()
	}
	return c
}

// replace is what stands for a character before widths are counted: what package
// receipt says, and EUR for the euro outside of GB 18030. (x/text gives 80h, which is
// CP936, for it in GBK; printers take that for a lead byte and swallow the next character.)
func (c *charset) replace(r rune) string {
	if r == '\u20ac' && c.name != gb18030 {
		return "EUR"
	}
	return receipt.Plain(r)
}

// bytes are a character's code; nil when the printer's font does not have it.
func (c *charset) bytes(r rune) []byte {
	switch {
	case r < 0x80:
		return []byte{byte(r)}
	case c.name == noFont:
		return nil
	case r == '\u20ac':
		if c.name == gb18030 {
			return []byte{0xA2, 0xE3}
		}
		return nil
	case r >= 0xE000 && r <= 0xF8FF: // private use: codes without a glyph
		return nil
	}
	out, err := c.encoder.Bytes([]byte(string(r)))
	switch {
	case err != nil:
		return nil
	case len(out) == 4 && c.fourByte:
		return out
	case len(out) != 2 || c.name == gb2312 && !inGB2312(out[0], out[1]):
		return nil
	}
	return out
}

// inGB2312 reports whether GB 2312-80 has a character at a place of the table that GBK
// extends. Rows A1 to A9 are signs, B0 to F7 the characters.
func inGB2312(row, at byte) bool {
	if row >= 0xB0 && row <= 0xF7 {
		return at >= 0xA1 && (row != 0xD7 || at <= 0xF9)
	}
	if row < 0xA1 || int(row-0xA1) >= len(gb2312Signs()) {
		return false
	}
	for _, span := range gb2312Signs()[row-0xA1] {
		if at >= span[0] && at <= span[1] {
			return true
		}
	}
	return false
}

func gb2312Signs() [][][2]byte {
	return [][][2]byte{
		{{0xA1, 0xFE}},
		{{0xB1, 0xE2}, {0xE5, 0xEE}, {0xF1, 0xFC}},
		{{0xA1, 0xFE}},
		{{0xA1, 0xF3}},
		{{0xA1, 0xF6}},
		{{0xA1, 0xB8}, {0xC1, 0xD8}},
		{{0xA1, 0xC1}, {0xD1, 0xF1}},
		{{0xA1, 0xBA}, {0xC5, 0xE9}},
		{{0xA4, 0xEF}},
	}
}

// boxed is a text with a box for each character that the printer lacks.
func (c *charset) boxed(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case c.bytes(r) != nil:
			b.WriteRune(r)
		case c.name == noFont:
			b.WriteString(latinBox)
		default:
			b.WriteRune(box)
		}
	}
	return b.String()
}

// lacking are the characters of a text that the printer does not have.
func (c *charset) lacking(text string) []rune {
	var out []rune
	for _, r := range text {
		if c.bytes(r) == nil {
			out = append(out, r)
		}
	}
	return out
}

// boxes counts characters that were printed as boxes.
type boxes map[rune]int

func (b boxes) add(runes []rune) {
	for _, r := range runes {
		b[r]++
	}
}

// notes name them, in order of code point.
func (b boxes) notes() []string {
	var runes []rune
	for r := range b {
		runes = append(runes, r)
	}
	slices.Sort(runes)
	notes := make([]string, len(runes))
	for i, r := range runes {
		notes[i] = fmt.Sprintf("%U is in no font: printed as a box (%d times)", r, b[r])
	}
	return notes
}
