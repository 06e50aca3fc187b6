package statement

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"dcpos/pos"
)

// The columns of the dcpos CSV (docs/PROTOCOL.md, "reconcile"). The optional ones
// follow the required ones, any of them, in any order.
const (
	requiredColumns = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts"
	optionalColumns = "orig_txn_id,batch_no,settlement_date"
)

const (
	colTxnID = iota
	colMerchant
	colTerminal
	colBank
	colAmount
	colFee
	colStatus
	colStamp
	requiredCount
	maxColumns = requiredCount + 3
)

// dcposCSV is the house's own format: a header line, UTF-8, commas, no quoting
// (a quote is data), LF or CRLF.
type dcposCSV struct{}

// Name is "dcpos".
func (dcposCSV) Name() string { return "dcpos" }

// Header wants the required columns in their order and any optional ones after them.
func (dcposCSV) Header(line []byte) (Layout, *Fault) {
	names := strings.Split(string(line), ",")
	required := strings.Split(requiredColumns, ",")
	for i, want := range required {
		if i >= len(names) || names[i] != want {
			got := "nothing"
			if i < len(names) {
				got = shown([]byte(names[i]))
			}
			f := lineFault("the header line wants %s here and has %s; columns: %s[,%s]",
				"表头此处应为 %s,实为 %s;列:%s[,%s]", want, got, requiredColumns, optionalColumns)
			f.Column, f.Number = want, i+1
			return nil, f
		}
	}
	at := map[string]int{"settlement_date": -1, "orig_txn_id": -1, "batch_no": -1}
	seen := map[string]bool{}
	for i, name := range names[requiredCount:] {
		known := name != "" && strings.Contains(","+optionalColumns+",", ","+name+",")
		if !known || seen[name] {
			f := lineFault("the header line has an unknown or repeated column %s; optional columns: %s",
				"表头有未知或重复的列 %s;可选列:%s", shown([]byte(name)), optionalColumns)
			f.Column, f.Number = "header", requiredCount+i+1
			return nil, f
		}
		seen[name] = true
		at[name] = requiredCount + i
	}
	return csvLayout{names, at}, nil
}

type csvLayout struct {
	columns []string
	at      map[string]int // of the optional columns, -1 for none
}

func (l csvLayout) NewParser() Parser {
	return &csvParser{columns: l.columns, day: l.at["settlement_date"], orig: l.at["orig_txn_id"], batch: l.at["batch_no"]}
}

// Verify has nothing to compare: the format has no totals.
func (l csvLayout) Verify() *Fault { return nil }

type csvParser struct {
	columns []string
	day     int // index of settlement_date, -1 when there is none
	orig    int
	batch   int
	fields  [maxColumns][]byte
	date    [2]uint64 // the last yyyy-MM-ddT that was read, and
	dateDay int32     // its day: nearly every line has the same
}

// Parse splits and checks one line.
func (p *csvParser) Parse(line []byte, row *Row) *Fault {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if f := p.split(line); f != nil {
		return f
	}
	if f := p.names(row); f != nil {
		return f
	}
	return p.values(row)
}

func (p *csvParser) split(line []byte) *Fault {
	if f := checkBytes(line); f != nil {
		return f
	}
	rest, want := line, len(p.columns)
	n := 0
	for ; n < want-1; n++ {
		i := bytes.IndexByte(rest, ',')
		if i < 0 {
			break
		}
		p.fields[n], rest = rest[:i], rest[i+1:]
	}
	p.fields[n] = rest
	if n+1 < want || bytes.IndexByte(rest, ',') >= 0 {
		return lineFault("has %d columns, the header has %d", "有 %d 列,表头有 %d 列",
			bytes.Count(line, []byte{','})+1, want)
	}
	return nil
}

func checkBytes(line []byte) *Fault {
	switch {
	case len(line) > MaxLine:
		return lineFault("is longer than %d bytes", "超过 %d 字节", MaxLine)
	case len(line) == 0:
		return lineFault("is empty", "是空行")
	case bytes.IndexByte(line, 0) >= 0:
		return lineFault("holds a NUL byte", "含有 NUL 字节")
	case bytes.IndexByte(line, '\r') >= 0:
		return lineFault("holds a CR that is not before LF", "含有不在 LF 之前的 CR")
	case !utf8.Valid(line):
		return lineFault("is not UTF-8", "不是 UTF-8")
	}
	return nil
}

func (p *csvParser) names(row *Row) *Fault {
	row.TxnID = p.fields[colTxnID]
	if n := len(row.TxnID); n == 0 || n > MaxTxnID {
		return p.fault(colTxnID, "has %d bytes, want 1 to %d", "有 %d 字节,应为 1 到 %d", n, MaxTxnID)
	}
	row.Merchant, row.Terminal, row.Bank = p.fields[colMerchant], p.fields[colTerminal], p.fields[colBank]
	for i := colMerchant; i <= colBank; i++ {
		if n := len(p.fields[i]); n > MaxField {
			return p.fault(i, "has %d bytes, want at most %d", "有 %d 字节,最多 %d", n, MaxField)
		}
	}
	if len(row.Bank) == 0 {
		return p.fault(colBank, "is empty", "为空")
	}
	row.Orig, row.Batch, row.stamp = nil, nil, p.fields[colStamp]
	if p.orig >= 0 {
		row.Orig = p.fields[p.orig]
	}
	if p.batch >= 0 {
		row.Batch = p.fields[p.batch]
	}
	return nil
}

func (p *csvParser) values(row *Row) *Fault {
	amount, ok := parseFen(p.fields[colAmount])
	if !ok || amount < 0 {
		return p.notFen(colAmount, "0")
	}
	fee, ok := parseFen(p.fields[colFee])
	if !ok {
		return p.notFen(colFee, fmt.Sprint(math.MinInt64))
	}
	row.Amount, row.Fee = amount, fee
	status := p.fields[colStatus]
	if len(status) != 1 || !isStatus(status[0]) {
		return p.fault(colStatus, "%s is not S, F, P or R", "%s 不是 S、F、P 或 R", shown(status))
	}
	row.Status = status[0]
	if row.Day, ok = p.stampDay(p.fields[colStamp]); !ok {
		return p.fault(colStamp, "%s is not RFC 3339, Unix milliseconds or yyyyMMddHHmmss",
			"%s 不是 RFC 3339、Unix 毫秒或 yyyyMMddHHmmss", shown(p.fields[colStamp]))
	}
	if p.day < 0 || len(p.fields[p.day]) == 0 {
		return nil
	}
	if row.Day, ok = ParseDay(p.fields[p.day]); !ok {
		return p.fault(p.day, "%s is not a date (yyyy-MM-dd or yyyyMMdd)",
			"%s 不是日期(yyyy-MM-dd 或 yyyyMMdd)", shown(p.fields[p.day]))
	}
	return nil
}

func isStatus(c byte) bool { return c == Success || c == Failed || c == Pending || c == Refund }

// utcStamp is the length of a time in UTC.
const utcStamp = len("2006-01-02T15:04:05Z")

// stampDay is the function of that name; it remembers a date whose times in UTC are on the same
// date in Shanghai.
func (p *csvParser) stampDay(b []byte) (int32, bool) {
	day, ok := stampDay(b)
	if ok && len(b) == utcStamp && b[19] == 'Z' && dayTime(word(b[11:])) {
		p.dateDay, p.date = day, [2]uint64{word(b), word(b[3:])}
	}
	return day, ok
}

const wordBytes = 8

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// Eight bytes at a time: what every byte of a number or a time has in common.
const (
	eachByte = 0x0101010101010101
	zeros    = '0' * eachByte
	highs    = 0xF0 * eachByte
)

// dayTime accepts HH:MM:SS from 00:00:00 to 15:59:59 UTC: still the same date in Shanghai.
func dayTime(w uint64) bool {
	const colons = 0x0000FF0000FF0000 // where HH:MM:SS has them
	const tens = 0x000F00000F000000   // of minutes and seconds, which are below 6
	d := (w ^ zeros) &^ colons        // digits, or more than 9
	hour := d&0xF*10 + d>>8&0xF
	return w&colons == ':'*eachByte&colons && (d|(d+6*eachByte))&highs == 0 && (d&tens+10*eachByte&tens)&(tens<<4) == 0 && hour < 16
}

// eightDigits reads the last n of the eight bytes of a word, which are digits; n is 1 to 8.
func eightDigits(w uint64, n uint32) (pos.Money, bool) {
	before := (64 - 8*n) & 63
	w = (w ^ zeros) >> before << before // what is before them counts as zeros
	ok := (w|(w+6*eachByte))&highs == 0
	// Neighbours are joined to two, four and eight digits.
	w = w*10 + w>>8
	return pos.Money((w&0x000000FF000000FF*(100+1000000<<32) + w>>16&0x000000FF000000FF*(1+10000<<32)) >> 32), ok
}

func (p *csvParser) notFen(column int, least string) *Fault {
	return p.fault(column, "%s is not a whole number of fen from %s to %d",
		"%s 不是 %s 到 %d 之间的整数(分)", shown(p.fields[column]), least, int64(math.MaxInt64))
}

func (p *csvParser) fault(column int, en, zh string, args ...any) *Fault {
	f := lineFault(en, zh, args...)
	f.Column, f.Number = p.columns[column], column+1
	return f
}

// parseFen reads a decimal integer: digits, a leading minus, nothing else.
func parseFen(b []byte) (pos.Money, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	var v uint64
	if len(b) <= 18 { // cannot overflow
		for _, c := range b {
			d := uint64(c - '0')
			if d > 9 {
				return 0, false
			}
			v = v*10 + d
		}
		if negative {
			v = -v
		}
		return pos.Money(v), true
	}
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxInt64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	if negative {
		return -pos.Money(v), true
	}
	return pos.Money(v), true
}
