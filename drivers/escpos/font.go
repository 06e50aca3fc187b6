package escpos

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/drivers/receipt"
)

// fallback is what a character prints as that the printer's font does not have:
// □ U+25A1, in every Chinese font since GB 2312.
const fallback = '\u25a1'

// font knows which characters a printer has and what their bytes are.
type font struct {
	gb18030 bool
	encoder *encoding.Encoder
	missing map[rune]int
}

func newFont(name string) *font {
	f := &font{missing: map[rune]int{}}
	if name == "gb18030" {
		f.gb18030 = true
		f.encoder = simplifiedchinese.GB18030.NewEncoder()
	} else {
		f.encoder = simplifiedchinese.GBK.NewEncoder()
	}
	return f
}

// replace is what the printer shows for a character; it goes into the layout, so
// that widths are counted of what is printed.
func (f *font) replace(r rune) string {
	var b strings.Builder
	for _, r := range receipt.Plain(r) {
		switch {
		case r == '\u20ac' && !f.gb18030:
			// x/text gives 80h (CP936) for the euro in GBK; printers take it for a lead byte
			// and swallow the next character.
			b.WriteString("EUR")
		case r < 0x80 || f.bytes(r) != nil:
			b.WriteRune(r)
		default:
			f.missing[r]++
			b.WriteRune(fallback)
		}
	}
	return b.String()
}

// bytes are the two bytes of a character; nil when it has no two-byte code. Four-byte
// codes are printed by few fonts, and as two wrong glyphs by the others.
func (f *font) bytes(r rune) []byte {
	if r == '\u20ac' {
		if f.gb18030 {
			return []byte{0xA2, 0xE3}
		}
		return nil
	}
	if r >= 0xE000 && r <= 0xF8FF { // private use: two-byte codes without a glyph
		return nil
	}
	out, err := f.encoder.Bytes([]byte(string(r)))
	if err != nil || len(out) != 2 {
		return nil
	}
	return out
}

// notes name the characters that were replaced, in order of code point.
func (f *font) notes() []string {
	runes := make([]rune, 0, len(f.missing))
	for r := range f.missing {
		runes = append(runes, r)
	}
	sort.Slice(runes, func(i, j int) bool { return runes[i] < runes[j] })
	notes := make([]string, len(runes))
	for i, r := range runes {
		notes[i] = fmt.Sprintf("%U is not in the printer's font: printed as □ (%d times)", r, f.missing[r])
	}
	return notes
}
