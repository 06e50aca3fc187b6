package linedisplay

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
)

// frame is what a display shows: its rows, encoded and filled up to their width.
type frame [][]byte

// compose makes the frame of lines for a model. A display of digits shows the last
// amount in the lines; too reports that it has more digits than fit.
func compose(p profiles.LineDisplay, lines []string) (f frame, tooLong bool) {
	if p.Language == "led8" {
		row, tooLong := digits(lines, p.Size.Columns)
		return frame{row}, tooLong
	}
	font := fontOf(p)
	for n := range p.Size.Rows {
		text := ""
		if n < len(lines) {
			text = lines[n]
		}
		f = append(f, font.row(text, p.Size.Columns))
	}
	return f, false
}

// empty reports whether nothing is shown.
func (f frame) empty() bool {
	for _, row := range f {
		if len(bytes.TrimLeft(row, " \x00")) > 0 {
			return false
		}
	}
	return true
}

// font is the characters a display has. Every byte of a code takes one column.
type font struct {
	coding *encoding.Encoder // nil: ASCII alone
}

// fontOf is the font of a model. Of a Latin display only what is sure is used: PC437
// where it was selected, else ASCII.
func fontOf(p profiles.LineDisplay) font {
	switch {
	case p.CJK.Encoding != "none":
		// What GB 18030 adds to GBK has four bytes, which would take four columns: not used.
		return font{simplifiedchinese.GBK.NewEncoder()}
	case p.Language == "epson-dm":
		return font{charmap.CodePage437.NewEncoder()}
	}
	return font{}
}

// row encodes a text, cut at a whole character, and fills it up with spaces.
func (f font) row(text string, columns int) []byte {
	out := make([]byte, 0, columns)
	for _, r := range text {
		code := f.code(r)
		if len(out)+len(code) > columns {
			break
		}
		out = append(out, code...)
	}
	return append(out, bytes.Repeat([]byte{' '}, columns-len(out))...)
}

// code is one character in the display's code: as a printer shows it (receipt.Plain),
// else a question mark. Control characters are nothing, for they would be commands.
func (f font) code(r rune) []byte {
	var out []byte
	for _, p := range receipt.Plain(r) {
		switch {
		case p < 0x20 || p == 0x7f:
		case p < 0x7f:
			out = append(out, byte(p))
		default:
			out = append(out, f.wide(p)...)
		}
	}
	return out
}

// narrow are characters of Chinese text that a Latin font has in another shape, or not
// at all: a yen sign that is not there is left out, the amount stands.
func narrow() map[rune]string {
	return map[rune]string{'：': ":", '，': ",", '。': ".", '（': "(", '）': ")", '　': " ", '－': "-", '—': "-", '×': "x"}
}

func (f font) wide(r rune) []byte {
	if code, ok := f.encode(r); ok {
		return code
	}
	if r == '￥' {
		code, _ := f.encode('¥')
		return code
	}
	if s, ok := narrow()[r]; ok {
		return []byte(s)
	}
	return []byte{'?'}
}

func (f font) encode(r rune) (code []byte, ok bool) {
	if f.coding == nil || r == utf8.RuneError || r == '€' { // x/text writes the euro as one byte 80h, which displays take for the first of two
		return nil, false
	}
	code, err := f.coding.Bytes([]byte(string(r)))
	return code, err == nil && code[0] >= 0x80
}

// amount is money as it is written on receipts: two decimals, thousands with commas or
// without.
var amount = regexp.MustCompile(`-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)\.[0-9]{2}`)

// lastAmount finds the last amount in a line; a date or a version such as 2021.06.11 is none.
func lastAmount(line string) string {
	last := ""
	for _, at := range amount.FindAllStringIndex(line, -1) {
		if !strings.ContainsFunc(line[at[1]:min(at[1]+1, len(line))], part) && !strings.ContainsFunc(line[max(at[0]-1, 0):at[0]], part) {
			last = line[at[0]:at[1]]
		}
	}
	return last
}

func part(r rune) bool { return r == '.' || r >= '0' && r <= '9' }

// digits is the row of a led8: the number of the lamp, and the last amount of the lines
// without thousands. No amount: the lamp is out and nothing is shown.
func digits(lines []string, columns int) (row []byte, tooLong bool) {
	blank := append([]byte{lampNone}, bytes.Repeat([]byte{' '}, columns)...)
	for i := len(lines) - 1; i >= 0; i-- {
		text := strings.ReplaceAll(lastAmount(lines[i]), ",", "")
		if text == "" {
			continue
		}
		if len(text)-1 > columns { // the point shares a place with the digit before it
			return blank, true
		}
		label := lampOf(lines[i])
		if label == lampNone && i > 0 {
			label = lampOf(lines[i-1])
		}
		return append([]byte{byte(label)}, text...), false
	}
	return blank, false
}

// lampOf tells the label that a line's words mean.
func lampOf(line string) int {
	line = strings.ToLower(line)
	for _, w := range []struct {
		lamp  int
		words []string
	}{
		{lampChange, []string{"找零", "change"}},
		{lampReceived, []string{"收款", "实收", "已支付", "已付", "received", "paid", "cash"}},
		{lampPrice, []string{"单价", "price"}},
		{lampTotal, []string{"合计", "应收", "应付", "总计", "total", "amount", "due", "pay"}},
	} {
		for _, word := range w.words {
			if strings.Contains(line, word) {
				return w.lamp
			}
		}
	}
	return lampNone
}
