// Package gs1 reads GS1 element strings (the data of GS1-128, DataBar, GS1 DataMatrix and
// GS1 QR) and GS1 Digital Links: who made the goods, which batch, until when.
//
// The table Identifiers is the part of the GS1 General Specifications that a till needs;
// a further application identifier is a further row.
package gs1

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// FNC1 is the separator after a value of variable length, as scanners send it.
const FNC1 = 0x1d

// MaxBytes bounds what is read; a GS1-128 has at most 48 characters, a GS1 QR may be longer.
const MaxBytes = 2048

// maxElements bounds how many application identifiers one code has.
const maxElements = 64

// ErrFormat is returned for what is no element string or Digital Link.
var ErrFormat = errors.New("not a GS1 element string")

// Element is one application identifier with its value.
type Element struct {
	AI    string // "01"
	Value string
}

// Elements are the elements of one code, in its order.
type Elements []Element

// Get is the value of an application identifier; empty when the code has none of it.
func (e Elements) Get(ai string) string {
	for _, x := range e {
		if x.AI == ai {
			return x.Value
		}
	}
	return ""
}

// GTIN is the trade item's number in 14 digits: AI 01, else 02 (of contained items).
func (e Elements) GTIN() string {
	if g := e.Get("01"); g != "" {
		return g
	}
	return e.Get("02")
}

// identifier is one row of the table.
type identifier struct {
	from, to string // first and last AI of the row, both of the same length
	min, max int    // characters of the value; equal: fixed, no separator needed
	digits   bool   // the value has digits only
	check    bool   // its last digit is a check digit (7.9)
}

// identifiers are application identifiers of the GS1 General Specifications, release 24,
// figure 3.2-1. Rows do not overlap.
var identifiers = [...]identifier{
	{"00", "00", 18, 18, true, true},     // SSCC
	{"01", "02", 14, 14, true, true},     // GTIN, of contained items
	{"10", "10", 1, 20, false, false},    // batch
	{"11", "13", 6, 6, true, false},      // dates: production, due, packaging
	{"15", "17", 6, 6, true, false},      // dates: best before, sell by, expiry
	{"20", "20", 2, 2, true, false},      // variant
	{"21", "22", 1, 20, false, false},    // serial number, consumer product variant
	{"30", "30", 1, 8, true, false},      // count
	{"37", "37", 1, 8, true, false},      // count of contained items
	{"240", "241", 1, 30, false, false},  // additional item id, customer part number
	{"250", "251", 1, 30, false, false},  // secondary serial number, source entity
	{"310", "369", 6, 6, true, false},    // measures; the AI's fourth digit is the decimal point
	{"390", "390", 1, 15, true, false},   // amount payable
	{"392", "392", 1, 15, true, false},   // amount payable, variable measure
	{"400", "400", 1, 30, false, false},  // order number
	{"410", "417", 13, 13, true, true},   // locations
	{"420", "420", 1, 20, false, false},  // postal code
	{"8005", "8005", 6, 6, true, false},  // price per unit
	{"8008", "8008", 8, 12, true, false}, // production time
	{"8020", "8020", 1, 25, false, false},
	{"90", "99", 1, 90, false, false}, // between partners, of the company
}

// find is the row of the AI that s begins with, and how long the AI is.
func find(s string) (identifier, int, bool) {
	for _, r := range identifiers {
		n := len(r.from)
		if len(s) < n || s[:n] < r.from || s[:n] > r.to {
			continue
		}
		if r.from >= "310" && r.from <= "392" && n == 3 {
			n++ // the decimal point
		}
		if len(s) < n || !digits(s[:n]) {
			return identifier{}, 0, false
		}
		return r, n, true
	}
	return identifier{}, 0, false
}

// Parse reads an element string. A leading FNC1 or AIM identifier is passed over. Every
// value must have the length, the characters and the check digit of its AI; one AI has
// one value. Errors are ErrFormat and say where.
func Parse(s string) (Elements, error) {
	if len(s) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(s))
	}
	if len(s) > 3 && s[0] == ']' {
		s = s[3:]
	}
	rest := strings.TrimPrefix(s, string(rune(FNC1)))
	var out Elements
	for rest != "" {
		row, n, ok := find(rest)
		if !ok || len(out) == maxElements {
			return nil, fmt.Errorf("%w: no application identifier at %d", ErrFormat, len(s)-len(rest))
		}
		ai := rest[:n]
		value := rest[n:]
		if row.min == row.max {
			value = value[:min(len(value), row.max)]
		} else if end := strings.IndexByte(value, FNC1); end >= 0 {
			value = value[:end]
		}
		if err := row.takes(value); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, ai, err)
		}
		if has := out.Get(ai); has != "" && has != value {
			return nil, fmt.Errorf("%w: %s twice", ErrFormat, ai)
		}
		out = append(out, Element{ai, value})
		rest = strings.TrimPrefix(rest[n+len(value):], string(rune(FNC1)))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrFormat)
	}
	return out, nil
}

func (r identifier) takes(value string) error {
	switch {
	case len(value) < r.min || len(value) > r.max:
		return fmt.Errorf("%d characters, want %d to %d", len(value), r.min, r.max)
	case r.digits && !digits(value):
		return errors.New("not digits")
	case !r.digits && !charset82(value):
		return errors.New("a character that no value has")
	case r.check && !CheckDigit(value):
		return errors.New("wrong check digit")
	}
	return nil
}

// DigitalLink reads a GS1 Digital Link URI: https://HOST/01/GTIN and qualifiers, such as
// /10/BATCH, and further elements in the query (GS1 Digital Link, URI syntax 1.4).
// Errors are ErrFormat: then it is some other link.
func DigitalLink(link string) (Elements, error) {
	switch { // most codes are no link, and most links none of goods
	case len(link) > MaxBytes:
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(link))
	case !strings.Contains(link, "/01/"):
		return nil, fmt.Errorf("%w: no /01/ in the path", ErrFormat)
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https") {
		return nil, fmt.Errorf("%w: no web address", ErrFormat)
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	start := slices.Index(parts, "01") // what stands before it is the host's own path
	if start < 0 || (len(parts)-start)%2 != 0 {
		return nil, fmt.Errorf("%w: no /01/ in the path", ErrFormat)
	}
	var out Elements
	for i := start; i < len(parts); i += 2 {
		value, err := url.PathUnescape(parts[i+1])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if out, err = out.linked(parts[i], value); err != nil {
			return nil, err
		}
	}
	query := u.Query()
	names := make([]string, 0, len(query))
	for ai := range query {
		if digits(ai) { // other names are the host's own
			names = append(names, ai)
		}
	}
	slices.Sort(names)
	for _, ai := range names {
		if out, err = out.linked(ai, query.Get(ai)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// linked adds an element of a link, where each application identifier stands once.
func (e Elements) linked(ai, value string) (Elements, error) {
	if ai == "01" && len(value) < 14 && len(value) >= 8 {
		value = strings.Repeat("0", 14-len(value)) + value // GTIN-8, -12 and -13 are allowed in links
	}
	row, n, ok := find(ai)
	if !ok || n != len(ai) || e.Get(ai) != "" || len(e) == maxElements {
		return nil, fmt.Errorf("%w: application identifier %q", ErrFormat, ai)
	}
	if err := row.takes(value); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, ai, err)
	}
	return append(e, Element{ai, value}), nil
}

// CheckDigit reports whether the last digit is the check digit of the others, by the
// weights 3 and 1 from the right (GS1 General Specifications, 7.9).
func CheckDigit(number string) bool {
	if len(number) < 2 || !digits(number) {
		return false
	}
	sum := 0
	for i := range len(number) - 1 {
		weight := 3
		if (len(number)-1-i)%2 == 0 {
			weight = 1
		}
		sum += weight * int(number[i]-'0')
	}
	return (10-sum%10)%10 == int(number[len(number)-1]-'0')
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// charset82 are the characters of GS1's set 82 (7.11): ASCII without space and a few marks.
func charset82(s string) bool {
	const set = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return true
}
