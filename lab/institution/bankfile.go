package institution

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/books"
	"dcpos/lab/statements"
	"dcpos/pos"
)

// oneDate are the institutions whose lines carry one date only: that of the settlement day.
func oneDate() []string { return []string{"ICBC", "ABC", "BOC"} }

// terminalBytes is what the fixed-width statements have room for; longer names lose their beginning.
const terminalBytes = 8

// bankFile writes the day's lines as the institution itself writes statements.
func (s *Simulator) bankFile(h *house, date pos.Date, lines []books.Line) ([]byte, error) {
	out := make([]statements.BankLine, 0, len(lines))
	for _, l := range lines {
		at := time.UnixMilli(l.AtMS).In(pos.Shanghai())
		b := statements.BankLine{
			TxnID: l.TxnID, Orig: l.Orig, Merchant: l.Merchant, Name: h.Name.ZH + "商户", Terminal: l.Terminal,
			Batch: strings.ReplaceAll(string(l.Date), "-", "")[2:] + "01", Amount: int64(l.Amount), Fee: int64(l.Fee),
			Status: l.Status[0], Day: number(l.Date), Date: number(pos.DateOf(at, 0)),
			Clock: at.Hour()*10000 + at.Minute()*100 + at.Second(),
		}
		if slices.Contains(oneDate(), h.Code) {
			b.Date = b.Day
		}
		if len(b.Terminal) > terminalBytes {
			b.Terminal = b.Terminal[len(b.Terminal)-terminalBytes:]
		}
		out = append(out, b)
	}
	return statements.WriteBank(h.Code, number(date), number(date), out)
}

// number is a date as yyyymmdd.
func number(d pos.Date) int {
	n, _ := strconv.Atoi(strings.ReplaceAll(string(d), "-", "")) // a pos.Date is digits and hyphens
	return n
}

// damaged spoils a statement on its way, as ordered.
func (s *Simulator) damaged(h *house, date pos.Date, how string, file []byte) ([]byte, error) {
	lines := bytes.SplitAfter(file, []byte("\n"))
	last := len(lines) - 2 // the trailer; behind it is nothing
	switch how {
	case api.DamageEmpty:
		return nil, nil
	case api.DamageTotal:
		trailer := lines[last]
		at := bytes.LastIndexAny(trailer, "0123456789")
		trailer[at] = '0' + (trailer[at]-'0'+1)%10
		return bytes.Join(lines, nil), nil
	case api.DamageNUL:
		return append(bytes.Join(lines[:last], nil), append([]byte{0}, lines[last]...)...), nil
	case api.DamageLong:
		long := append(bytes.Repeat([]byte("9"), 70<<10), '\n')
		return append(append(bytes.Join(lines[:last], nil), long...), lines[last]...), nil
	case api.DamageStale:
		before, err := time.Parse(time.DateOnly, string(date))
		if err != nil {
			return nil, fmt.Errorf("day before: %w", err)
		}
		day := pos.Date(before.AddDate(0, 0, -1).Format(time.DateOnly))
		old, err := h.books.Statement(day)
		if err != nil {
			return nil, err
		}
		return s.bankFile(h, day, old)
	default: // DamageCut: the trailer did not arrive
		return bytes.Join(lines[:last], nil), nil
	}
}

// Two institutions settle a part by itself: one sends an invoice of its fees, the other debits refunds
// to another account.
const (
	billsFees     = "BOC"
	debitsRefunds = "PSBC"
)

// account writes the day's turnover of the merchants' collecting account as MT940 (SWIFT
// category 9): one net credit for the settlement date, arrived on the same day. The
// opening balance is zero: what is collected is passed on in the evening.
func (s *Simulator) account(h *house, date pos.Date, less pos.Money) ([]byte, error) {
	lines, err := h.books.Booked(date)
	if err != nil {
		return nil, err
	}
	var net, fees pos.Money
	for _, l := range lines {
		switch {
		case l.Status == "S":
			net += l.Amount
		case l.Status == "R" && h.Code != debitsRefunds:
			net -= l.Amount
		}
		if h.Code != billsFees {
			fees += l.Fee
		}
	}
	if len(lines) > 0 { // nothing can be short of nothing
		net -= less
	}
	net -= fees
	day := strings.ReplaceAll(string(date), "-", "")
	var b strings.Builder
	fmt.Fprintf(&b, ":20:DCEP%s\r\n:25:%s/DCEP-SETTLEMENT\r\n:28C:%s/1\r\n:60F:C%sCNY0,00\r\n", day, h.Code, day[4:], day[2:])
	if net != 0 {
		fmt.Fprintf(&b, ":61:%s%s%s%sNTRFDCEP%s//%s%s01\r\n:86:/SETT/%s/FEES/%s\r\n", day[2:], day[4:], mark(net), swift(net), day,
			h.Code, day, day, swift(fees))
	}
	fmt.Fprintf(&b, ":62F:%s%sCNY%s\r\n-\r\n", mark(net), day[2:], swift(net))
	return []byte(b.String()), nil
}

// mark is MT940's sign.
func mark(fen pos.Money) string {
	if fen < 0 {
		return "D"
	}
	return "C"
}

// swift writes an amount with MT940's decimal comma, without a sign.
func swift(fen pos.Money) string {
	n := max(fen, -fen)
	return fmt.Sprintf("%d,%02d", n/100, n%100)
}
