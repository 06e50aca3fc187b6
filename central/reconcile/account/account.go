// Package account reads statements of the accounts to which institutions credit a day's net,
// in the form MT940 (SWIFT, category 9, Customer Statement Message): opening balance, entries,
// closing balance. What the balances promise of the entries is checked.
//
// A credit names the settlement date that it is for in its information field, as
// /SETT/yyyymmdd; our institutions are asked to write that. To read another bank's way of
// saying it, extend (*Entry).settles.
package account

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dcpos/pos"
)

// Limits of what a statement may hold.
const (
	maxLine    = 1 << 10
	maxEntries = 10_000
	maxBytes   = 8 << 20
)

// Statement is one message.
type Statement struct {
	Account  string // field 25
	Opening  pos.Money
	Closing  pos.Money
	Entries  []Entry
	Currency string
}

// Entry is one movement; what left the account is negative.
type Entry struct {
	Value  pos.Date // field 61, value date
	Amount pos.Money
	Ref    string // the bank's reference
	Info   string // field 86
}

var (
	balanceForm = regexp.MustCompile(`^([CD])(\d{6})([A-Z]{3})(\d{1,15}),(\d{0,2})$`)
	entryForm   = regexp.MustCompile(`^(\d{6})(\d{4})?(R?[CD])[A-Z]?(\d{1,15}),(\d{0,2})([A-Z][A-Z0-9]{3})([^/]{1,16})(?://(.{1,16}))?$`)
	settleForm  = regexp.MustCompile(`/SETT/(\d{8})(?:/|$)`)
	tagForm     = regexp.MustCompile(`^:(\d{2}[A-Z]?):(.*)$`)
)

// Parse reads one statement. An error says which field of which line is wrong, and is
// pos.ErrBadRequest; a statement whose end is missing or whose balances do not agree with its
// entries is an error too.
func Parse(r io.Reader) (*Statement, error) {
	p := parser{seen: map[string]bool{}}
	in := bufio.NewScanner(io.LimitReader(r, maxBytes+1))
	in.Buffer(make([]byte, 0, 4096), maxLine)
	total := 0
	for in.Scan() {
		p.line++
		if total += len(in.Bytes()) + 1; total > maxBytes {
			return nil, p.wrong("", fmt.Errorf("more than %d bytes", maxBytes))
		}
		if err := p.take(strings.TrimRight(in.Text(), "\r ")); err != nil {
			return nil, err
		}
	}
	if err := in.Err(); err != nil {
		return nil, p.wrong("", err)
	}
	return p.whole()
}

type parser struct {
	s    Statement
	line int
	seen map[string]bool
	last string // the tag that an untagged line belongs to
	sum  pos.Money
}

func (p *parser) wrong(tag string, err error) error {
	field := "account statement"
	if tag != "" {
		field += " :" + tag + ":"
	}
	e := pos.FieldError(pos.ErrBadRequest, field, fmt.Errorf("line %d: %w", p.line, err))
	e.Hint = pos.Text{ZH: "账户对账单不完整或有误,请向机构重新获取。", EN: "The account's statement is incomplete or wrong; ask the institution for it again."}
	return e
}

// take reads one line.
func (p *parser) take(line string) error {
	if strings.IndexByte(line, 0) >= 0 {
		return p.wrong("", errors.New("holds a NUL byte"))
	}
	m := tagForm.FindStringSubmatch(line)
	if m == nil {
		switch {
		case line == "" || line == "-" || strings.HasPrefix(line, "{") || line == "-}":
			return nil
		case p.last == "86" && len(p.s.Entries) > 0:
			e := &p.s.Entries[len(p.s.Entries)-1]
			e.Info += line
			return nil
		}
		return p.wrong("", fmt.Errorf("%.40q is no field", line))
	}
	tag, value := m[1], m[2]
	if p.seen["62F"] && tag != "64" && tag != "65" && tag != "86" {
		return p.wrong(tag, errors.New("stands behind the closing balance"))
	}
	switch tag {
	case "61", "86":
	default:
		if p.seen[tag] {
			return p.wrong(tag, errors.New("stands twice"))
		}
	}
	p.seen[tag], p.last = true, tag
	return p.field(tag, value)
}

func (p *parser) field(tag, value string) error {
	var err error
	switch tag {
	case "25":
		p.s.Account = value
	case "60F":
		p.s.Opening, err = p.balance(value)
	case "62F":
		p.s.Closing, err = p.balance(value)
	case "61":
		err = p.entry(value)
	case "86":
		if n := len(p.s.Entries); n > 0 && !p.seen["62F"] {
			p.s.Entries[n-1].Info += value
		}
	case "20", "21", "28", "28C", "64", "65":
	default:
		err = errors.New("is not a field of MT940")
	}
	if err != nil {
		return p.wrong(tag, err)
	}
	return nil
}

func (p *parser) balance(value string) (pos.Money, error) {
	m := balanceForm.FindStringSubmatch(value)
	if m == nil {
		return 0, fmt.Errorf("%.40q: want C or D, yyMMdd, currency, amount with a comma", value)
	}
	if m[3] != "CNY" || p.s.Currency != "" && p.s.Currency != m[3] {
		return 0, fmt.Errorf("currency %s: want CNY", m[3])
	}
	p.s.Currency = m[3]
	if _, err := date(m[2]); err != nil {
		return 0, err
	}
	fen, err := amount(m[4], m[5])
	if m[1] == "D" {
		fen = -fen
	}
	return fen, err
}

func (p *parser) entry(value string) error {
	if !p.seen["60F"] {
		return errors.New("stands before the opening balance")
	}
	if len(p.s.Entries) == maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	m := entryForm.FindStringSubmatch(value)
	if m == nil {
		return fmt.Errorf("%.60q: want yyMMdd, C, D, RC or RD, amount, type, reference", value)
	}
	day, err := date(m[1])
	if err != nil {
		return err
	}
	fen, err := amount(m[4], m[5])
	if err != nil {
		return err
	}
	if m[3] == "D" || m[3] == "RC" { // RC takes a credit back
		fen = -fen
	}
	if p.sum, err = p.sum.Add(fen); err != nil {
		return err
	}
	p.s.Entries = append(p.s.Entries, Entry{Value: day, Amount: fen, Ref: m[8]})
	return nil
}

func date(yymmdd string) (pos.Date, error) {
	t, err := time.Parse("060102", yymmdd)
	if err != nil {
		return "", fmt.Errorf("%s is no date", yymmdd)
	}
	return pos.Date(t.Format(time.DateOnly)), nil
}

// amount reads 15d with a comma, as fen.
func amount(yuan, cents string) (pos.Money, error) {
	n, err := strconv.ParseInt(yuan+(cents + "00")[:2], 10, 64)
	if err != nil || n > int64(pos.MaxAmount)*1_000_000 {
		return 0, fmt.Errorf("%s,%s is too much", yuan, cents)
	}
	return pos.Money(n), nil
}

func (p *parser) whole() (*Statement, error) {
	for _, tag := range []string{"20", "25", "60F", "62F"} {
		if !p.seen[tag] {
			return nil, p.wrong(tag, errors.New("is missing: the statement is cut off or none"))
		}
	}
	sum, err := p.s.Opening.Add(p.sum)
	if err != nil || sum != p.s.Closing {
		return nil, p.wrong("62F", fmt.Errorf("closes with %s, opening balance and entries come to %s", p.s.Closing, sum))
	}
	return &p.s, nil
}

// settles is the settlement date that an entry is for, "" where it says none.
func (e *Entry) settles() pos.Date {
	m := settleForm.FindStringSubmatch(e.Info)
	if m == nil {
		return ""
	}
	d, err := pos.ParseDate(m[1][:4] + "-" + m[1][4:6] + "-" + m[1][6:])
	if err != nil {
		return ""
	}
	return d
}

// Credit is what was credited for a settlement date, net of what was taken back.
func (s *Statement) Credit(on pos.Date) pos.Money {
	var sum pos.Money
	for i := range s.Entries {
		if s.Entries[i].settles() == on {
			sum += s.Entries[i].Amount // the sum of all was checked
		}
	}
	return sum
}
