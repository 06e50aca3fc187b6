package statements

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// BankLine is one line of an institution's statement, as the lab's institutions know it.
type BankLine struct {
	TxnID    string // a UUID, small, with hyphens
	Orig     string // of a refund
	Merchant string
	Name     string // the merchant's, in Chinese
	Terminal string
	Batch    string
	Amount   int64 // fen, never negative
	Fee      int64 // fen; negative when given back
	Status   byte  // S, F, P or R
	Day      int   // settlement date, yyyymmdd
	Date     int   // of the trade
	Clock    int   // hhmmss
}

// Banks are the institutions that WriteBank knows.
func Banks() []string { return []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"} }

// WriteBank writes a bank's statement of the days from and to (yyyymmdd) in the form that
// the lab has invented for it. Only BOCOM's file can hold more than one day.
func WriteBank(bank string, from, to int, lines []BankLine) ([]byte, error) {
	var sums bankSums
	for i := range lines {
		sums.add(&lines[i])
	}
	var b strings.Builder
	encode := func(text string) ([]byte, error) { return simplifiedchinese.GBK.NewEncoder().Bytes([]byte(text)) }
	switch bank {
	case "ICBC":
		icbc(&b, from, lines, &sums)
	case "BOC":
		boc(&b, from, lines, &sums)
		encode = func(text string) ([]byte, error) { return []byte(text), nil }
	case "CCB":
		ccb(&b, from, lines, &sums)
		encode = func(text string) ([]byte, error) { return simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(text)) }
	case "PSBC":
		psbc(&b, from, lines, &sums)
		encode = func(text string) ([]byte, error) { return simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(text)) }
	case "ABC":
		return abc(from, lines, &sums)
	case "BOCOM":
		return bocom(from, to, lines, &sums)
	default:
		return nil, fmt.Errorf("no statement of %q", bank)
	}
	return encode(b.String())
}

type bankSums struct{ amount, success, refund, refunds, fee int64 }

func (s *bankSums) add(l *BankLine) {
	s.amount += l.Amount
	s.fee += l.Fee
	switch l.Status {
	case 'S':
		s.success += l.Amount
	case 'R':
		s.refund += l.Amount
		s.refunds++
	}
}

// yuan writes fen as yuan with two decimals, groups of thousands apart if wanted.
func yuan(fen int64, comma string) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	whole := fmt.Sprint(fen / 100)
	for at := len(whole) - 3; at > 0 && comma != ""; at -= 3 {
		whole = whole[:at] + comma + whole[at:]
	}
	return fmt.Sprintf("%s%s.%02d", sign, whole, fen%100)
}

func icbc(b *strings.Builder, day int, lines []BankLine, s *bankSums) {
	fmt.Fprintf(b, "H|ICBC|%d|DCEP\r\n", day)
	for _, l := range lines {
		status := map[byte]string{'S': "00", 'F': "01", 'P': "02", 'R': "R0"}[l.Status]
		fmt.Fprintf(b, "D|%d|%06d|%s|%s|%s|%s|%s|%s|%s|%s\r\n", l.Date, l.Clock, l.Merchant, l.Name, l.Terminal, l.TxnID,
			yuan(l.Amount, ""), yuan(l.Fee, ""), status, l.Orig)
	}
	fmt.Fprintf(b, "T|%d|%s|%d|%s\r\n", len(lines), yuan(s.success, ""), s.refunds, yuan(s.refund, ""))
}

func boc(b *strings.Builder, day int, lines []BankLine, s *bankSums) {
	date := func(d int) string { return fmt.Sprintf("%04d-%02d-%02d", d/10000, d/100%100, d%100) }
	fmt.Fprintf(b, "#BOC,%s,数字人民币\n交易日期,时间,商户号,终端,金额,手续费,状态,附言\n", date(day))
	for _, l := range lines {
		status := map[byte]string{'S': "SUCCESS", 'F': "FAILED", 'P': "PROCESSING", 'R': "REFUND"}[l.Status]
		amount := yuan(l.Amount, "")
		if l.Status == 'R' {
			amount = "-" + amount
		}
		fmt.Fprintf(b, "%s,%02d:%02d:%02d,%s,%s,%s,%s,%s,%s/DCEP:%s;\n", date(l.Date), l.Clock/10000, l.Clock/100%100, l.Clock%100,
			l.Merchant, l.Terminal, amount, yuan(l.Fee, ""), status, l.Name, strings.ToUpper(strings.ReplaceAll(l.TxnID, "-", "")))
	}
	fmt.Fprintf(b, "#END,%d,%s\n", len(lines), yuan(s.success-s.refund, ""))
}

func ccb(b *strings.Builder, day int, lines []BankLine, s *bankSums) {
	fmt.Fprintf(b, "CCB-DCEP\t%d\t对账文件\n", day)
	for _, l := range lines {
		fmt.Fprintf(b, "%d\t%02d:%02d:%02d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Date, l.Clock/10000, l.Clock/100%100, l.Clock%100,
			l.TxnID, l.Merchant, l.Name, l.Terminal, yuan(l.Amount, ","), yuan(l.Fee, ","),
			map[byte]string{'S': "S", 'F': "F", 'P': "U", 'R': "R"}[l.Status])
	}
	fmt.Fprintf(b, "TOTAL\t%d\t%s\t%s\n", len(lines), yuan(s.amount, ","), yuan(s.fee, ","))
}

func psbc(b *strings.Builder, day int, lines []BankLine, s *bankSums) {
	fmt.Fprintf(b, "PSBC|%d|%d|数字人民币\n", day, len(lines))
	for i, l := range lines {
		amount := fmt.Sprintf("%012d", l.Amount)
		if i%3 == 0 { // typed in by hand, as some branches do
			amount = strings.Map(func(r rune) rune { return r - '0' + '０' }, amount)
		}
		fmt.Fprintf(b, "%d|%04d|%06d|%s|%s|%s|%s|%s|%d|%s\n", l.Day, l.Date%10000, l.Clock, l.TxnID, l.Merchant, l.Name, l.Terminal,
			amount, l.Fee, map[byte]string{'S': "成功", 'F': "失败", 'P': "处理中", 'R': "退款"}[l.Status])
	}
	fmt.Fprintf(b, "合计|%d|%d|%d\n", s.success, s.refund, s.fee)
}

// signed writes a number of so many digits, its sign last.
func signed(n int64, digits int) string {
	if n < 0 {
		return fmt.Sprintf("%0*d-", digits, -n)
	}
	return fmt.Sprintf("%0*d+", digits, n)
}

// padded encodes a text and fills it up to so many bytes, never cutting a character.
func padded(text string, size int) ([]byte, error) {
	for runes := []rune(text); ; runes = runes[:len(runes)-1] {
		b, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(string(runes)))
		if err != nil || len(b) <= size {
			return append(b, bytes.Repeat([]byte{' '}, max(size-len(b), 0))...), err
		}
	}
}

func abc(day int, lines []BankLine, s *bankSums) ([]byte, error) {
	b := fmt.Appendf(nil, "00%d%010d%s   \n", day, len(lines), signed(s.success-s.refund, 16))
	for _, l := range lines {
		name, err := padded(l.Name, 40)
		if err != nil {
			return nil, err
		}
		status, amount := map[byte]byte{'S': '1', 'R': '1', 'F': '2', 'P': '3'}[l.Status], l.Amount
		if l.Status == 'R' {
			amount = -amount
		}
		b = fmt.Appendf(b, "10%04d%06d%-36s%-15s%s%-8s%s%s%c%-8s%18s\n", l.Date%10000, l.Clock, l.TxnID, l.Merchant, name, l.Terminal,
			signed(amount, 12), signed(l.Fee, 8), status, l.Batch, "")
	}
	return fmt.Appendf(b, "99%010d\n", len(lines)), nil
}

func bocom(from, to int, lines []BankLine, s *bankSums) ([]byte, error) {
	b := fmt.Appendf(nil, "HD%d%d      \r\n", from, to)
	signedYuan := func(fen int64, size int) string {
		sign := "+"
		if fen < 0 {
			sign, fen = "-", -fen
		}
		return fmt.Sprintf("%*s", size, yuan(fen, "")+sign)
	}
	for _, l := range lines {
		name, err := padded(l.Name, 30)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "DT%d%d%06d%s%-15s%-8s%s%s%s%s%-12s\r\n", l.Day, l.Date, l.Clock, strings.ReplaceAll(l.TxnID, "-", ""), l.Merchant,
			l.Terminal, name, signedYuan(l.Amount, 15), signedYuan(l.Fee, 12),
			map[byte]string{'S': "AA", 'F': "DE", 'P': "PD", 'R': "RF"}[l.Status], l.Batch)
	}
	return fmt.Appendf(b, "TR%012d%18s%18s\r\n", len(lines), yuan(s.success, ""), yuan(s.refund, "")), nil
}
