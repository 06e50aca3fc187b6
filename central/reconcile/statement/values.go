package statement

import (
	"bytes"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"

	"dcpos/pos"
)

// width is how many bytes the character at the beginning of b takes in an encoding of
// GB 18030 (GBK is its part of one and two bytes). The bytes after the first may be
// ASCII (0x30–0x39, 0x40–0x7E), so that a search for a delimiter must step over them.
func width(b []byte, four bool) (n int, ok bool) {
	switch {
	case b[0] < 0x80:
		return 1, true
	case b[0] == 0x80 || b[0] == 0xFF || len(b) < 2:
		return 1, false
	case b[1] >= 0x40 && b[1] != 0x7F && b[1] != 0xFF:
		return 2, true
	case four && b[1] >= 0x30 && b[1] <= 0x39 && len(b) >= 4 && b[2] >= 0x81 && b[2] <= 0xFE && b[3] >= 0x30 && b[3] <= 0x39:
		return 4, true
	}
	return 1, false
}

// whole reports whether b is whole characters of the encoding.
func (d *Description) whole(b []byte) bool {
	if d.Encoding == "utf-8" {
		return utf8.Valid(b)
	}
	for len(b) > 0 {
		n, ok := width(b, d.Encoding == "gb18030")
		if !ok {
			return false
		}
		b = b[n:]
	}
	return true
}

// cut cuts a line at the delimiter, which is no part of a wider character; fields has
// room for maxFields. It returns how many fields there are.
func (d *Description) cut(line []byte, fields *[maxFields][]byte) int {
	n, from := 0, 0
	gb := d.Encoding != "utf-8"
	for at := 0; at < len(line); {
		if line[at] == d.Delimiter[0] {
			if n < maxFields {
				fields[n] = line[from:at]
			}
			n++
			at++
			from = at
			continue
		}
		w := 1
		if gb {
			w, _ = width(line[at:], d.Encoding == "gb18030")
		}
		at += w
	}
	if n < maxFields {
		fields[n] = line[from:]
	}
	return n + 1
}

func (d *Description) charset() encoding.Encoding {
	switch d.Encoding {
	case "gbk":
		return simplifiedchinese.GBK
	case "gb18030":
		return simplifiedchinese.GB18030
	}
	return encoding.Nop
}

func (d *Description) encode(text string) ([]byte, error) {
	return d.charset().NewEncoder().Bytes([]byte(text))
}

// text is a field in UTF-8: itself, or a copy where it has to be decoded.
func (d *Description) text(field []byte) ([]byte, bool) {
	ascii := true
	for _, c := range field {
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return field, true
	}
	if d.Encoding == "utf-8" {
		return field, utf8.Valid(field)
	}
	out, err := d.charset().NewDecoder().Bytes(field)
	return out, err == nil && !bytes.ContainsRune(out, utf8.RuneError)
}

// trimmed takes the spaces away that fill a field up.
func trimmed(b []byte) []byte { return bytes.Trim(b, " ") }

// parseMoney reads an amount as the column says: fen or yuan with two decimals, a sign
// before or behind it, thousands apart, digits that may be full-width.
func (c *Column) parseMoney(field []byte, scratch *[32]byte) (pos.Money, bool) {
	b := narrow(trimmed(field), scratch)
	negative := false
	if n := len(b); n > 0 && c.Sign == "trailing" {
		if sign := b[n-1]; sign == '-' || sign == '+' {
			negative, b = sign == '-', b[:n-1]
		}
	}
	if len(b) > 0 && c.Sign == "leading" && (b[0] == '-' || b[0] == '+') {
		negative, b = b[0] == '-', b[1:]
	}
	digits := scratch[:0] // never longer than what was read
	point, group := -1, 0
	if c.Unit == "yuan" {
		group = 3 // 1,234,567.89: the decimals are as long as a group less its comma
	}
	for i, ch := range b {
		switch {
		case ch >= '0' && ch <= '9':
			digits = append(digits, ch)
		case ch == '.' && c.Unit == "yuan" && point < 0 && len(b)-i == 3 && i > 0:
			point = i
		case c.Comma != "" && ch == c.Comma[0] && (len(b)-i)%4 == group && i > 0:
			// thousands apart
		default:
			return 0, false
		}
	}
	if c.Unit == "yuan" && point < 0 {
		return 0, false
	}
	v, ok := parseFen(digits)
	if negative {
		v = -v
	}
	return v, ok
}

// narrow writes full-width digits, signs and points (GBK 0xA3, UTF-8 U+FF10 and on) as
// their ASCII ones.
func narrow(b []byte, scratch *[32]byte) []byte {
	out := scratch[:0]
	for i := 0; i < len(b) && len(out) < len(scratch); i++ {
		switch {
		case b[i] < 0x80:
			out = append(out, b[i])
		case b[i] == 0xA3 && i+1 < len(b) && b[i+1] >= 0xA1:
			out = append(out, b[i+1]-0x80)
			i++
		case b[i] == 0xEF && i+2 < len(b) && b[i+1] == 0xBC && b[i+2] >= 0x81:
			out = append(out, b[i+2]-0x60)
			i += 2
		default:
			return []byte("?") // refused
		}
	}
	return out
}

// parseDate reads a date in a form. Without a year it is the one that brings it next to
// the day given.
func parseDate(form string, field []byte, near int32) (int32, bool) {
	b := trimmed(field)
	switch {
	case form == "MMdd" && len(b) == 4:
		md, ok := number(b)
		if !ok {
			return 0, false
		}
		year := near / 10000
		if md > 1000 && near%10000 < 300 { // a December of the year before
			year--
		} else if md < 300 && near%10000 > 1000 {
			year++
		}
		return ParseDay([]byte{
			byte('0' + year/1000%10), byte('0' + year/100%10), byte('0' + year/10%10), byte('0' + year%10), b[0], b[1], b[2], b[3],
		})
	case (form == "" || form == "yyyyMMdd") && len(b) == 8, form == "yyyy-MM-dd" && len(b) == 10:
		return ParseDay(b)
	}
	return 0, false
}

// parseTime reads HHmmss or HH:mm:ss as the number hhmmss.
func parseTime(form string, field []byte) (int, bool) {
	b := trimmed(field)
	if form == "HH:mm:ss" {
		if len(b) != 8 || b[2] != ':' || b[5] != ':' {
			return 0, false
		}
		b = []byte{b[0], b[1], b[3], b[4], b[6], b[7]}
	}
	n, ok := number(b)
	t := int(n)
	return t, ok && len(b) == 6 && t/10000 < 24 && t/100%100 < 60 && t%100 < 60
}

// nextDay is the day after.
func nextDay(day int32) int32 {
	t := time.Date(int(day/10000), time.Month(day/100%100), int(day%100)+1, 0, 0, 0, 0, time.UTC)
	return int32(t.Year()*10000 + int(t.Month())*100 + t.Day())
}

// hyphened writes 32 hexadecimal digits the way ids are written: small, 8-4-4-4-12.
func hyphened(id []byte) ([]byte, bool) {
	if len(id) != 32 {
		return nil, false
	}
	dst := make([]byte, 0, 36)
	for i, c := range id {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil, false
		}
		dst = append(dst, c)
	}
	return dst, true
}
