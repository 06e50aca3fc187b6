package receipt

import (
	"strings"
	"unicode"
)

// RuneWidth is the columns a character takes on a Chinese receipt printer: 1 for
// ASCII, 2 for all others, 0 for control characters.
func RuneWidth(r rune) int {
	switch {
	case r < 0x20 || r == 0x7f:
		return 0
	case r < 0x80:
		return 1
	default:
		return 2
	}
}

// Width is the columns a text takes.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += RuneWidth(r)
	}
	return n
}

// Plain is what a printer with a full Chinese font shows for a character: the half
// yen sign as the full one, a check mark as the root sign that every such font has,
// odd spaces as a space, and nothing for control and joining characters, which would
// be taken for commands or shown as boxes.
func Plain(r rune) string {
	switch {
	case r == '\u00a5':
		return "\uffe5" // U+00A5 is four bytes in GB18030 and prints as two wrong glyphs
	case r == '✓' || r == '✔':
		return "√"
	case r == '\t':
		return " "
	case unicode.Is(unicode.Zs, r) && r != '\u3000':
		return " "
	case unicode.IsControl(r), unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return ""
	default:
		return string(r)
	}
}

// Wrap breaks a text into lines of at most columns. It breaks at spaces where the
// line has one, between any two Chinese characters, never inside a Latin word or a
// number that fits a line of its own (but after a hyphen in it), and never inside a character. Closing
// punctuation does not begin a line where the character before it can come along.
// The result has at least one line.
func Wrap(s string, columns int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		lines = append(lines, wrapParagraph(paragraph, max(columns, 2))...)
	}
	return lines
}

func wrapParagraph(s string, columns int) []string {
	var lines []string
	rest := []rune(s)
	for {
		end := fit(rest, columns)
		if end == len(rest) {
			return append(lines, string(rest))
		}
		end = breakBefore(rest, end)
		lines = append(lines, strings.TrimRight(string(rest[:end]), " "))
		for end < len(rest) && rest[end] == ' ' {
			end++
		}
		if rest = rest[end:]; len(rest) == 0 {
			return lines
		}
	}
}

// fit is how many characters fit the columns.
func fit(s []rune, columns int) int {
	w := 0
	for i, r := range s {
		if w += RuneWidth(r); w > columns {
			return i
		}
	}
	return len(s)
}

// breakBefore moves a break at end back to the last good place; end itself when there is none.
func breakBefore(s []rune, end int) int {
	for i := end; i > 0; i-- {
		if good(s, i) {
			return i
		}
	}
	return end
}

func good(s []rune, i int) bool {
	before, after := s[i-1], s[i]
	if after == ' ' {
		return strings.TrimSpace(string(s[:i])) != ""
	}
	if strings.ContainsRune(noLineStart, after) {
		return false
	}
	if strings.ContainsRune(noLineEnd, before) {
		return false
	}
	if before == '-' || before == '/' {
		return i >= 2 && s[i-2] != ' ' // inside 2021-02-12 or a payment's number, not after a minus sign
	}
	return before == ' ' || before >= 0x80 || after >= 0x80
}

// Characters that do not begin a line, and that do not end one.
const (
	noLineStart = "，。、；：！？）》】”’％%℃…,.;:!?)]"
	noLineEnd   = "(（《【“‘￥["
)
