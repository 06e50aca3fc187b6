package statement

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/statements"
)

// names of merchants whose GBK bytes hold 0x5C (誠, 乗) and 0x7C (裗, 梶): a search for
// a backslash or a bar among the bytes finds them.
var oddNames = []string{"老誠号小吃", "梶记裗衣店", "乗风超市", "普通商户", "", "x|y"}

func bankLines(r *rand.Rand, bank string, n int) []statements.BankLine {
	lines := make([]statements.BankLine, n)
	for i := range lines {
		day, clock := 20261121, 100000+i%60
		l := statements.BankLine{
			TxnID:    fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", i, r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48)),
			Merchant: fmt.Sprintf("8860%05d", r.IntN(1000)), Name: oddNames[r.IntN(5)], Terminal: fmt.Sprintf("T%d", r.IntN(9)),
			Amount: r.Int64N(2_000_000), Fee: r.Int64N(500) - 3, Status: "SSSSFPR"[r.IntN(7)], Day: day, Date: day, Clock: clock,
		}
		if i%7 == 0 {
			l.Amount = 123_456_789
		}
		switch bank {
		case "CCB":
			if i%5 == 0 {
				l.Date, l.Clock = 20261120, 230000+i%3600/60*100 // after the cut-over
			}
		case "BOCOM":
			l.Day = 20261119 + i%3
		}
		if l.Status == 'R' && bank == "ICBC" {
			l.Orig = lines[0].TxnID
		}
		if bank == "ABC" || bank == "BOCOM" {
			l.Batch = fmt.Sprintf("B%05d", i%3)
		}
		lines[i] = l
	}
	return lines
}

// readAll reads a file to its end and gives its rows, written out.
func readAll(path, format string) (rows []string, err error) {
	f, err := Open(Source{Path: path, Format: format}, Options{Block: 700})
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := f.NewLines()
	var buf []byte
	for {
		b, done, err := f.Next(&buf)
		if err != nil {
			return rows, err
		}
		if done {
			return rows, f.Verify()
		}
		lines.Reset(b)
		for {
			var row Row
			_, _, fault, ok := lines.Next(&row)
			if !ok {
				break
			}
			if fault != nil {
				return rows, errors.New(fault.Column + ": " + fault.Why.EN)
			}
			rows = append(rows, fmt.Sprintf("%s %s %s %s %d %d %c %d [%s] [%s]", row.TxnID, row.Merchant, row.Terminal, row.Bank,
				row.Amount, row.Fee, row.Status, row.Day, row.Orig, row.Batch))
		}
		lines.Done()
	}
}

func TestSixInstitutionsAreReadAsTheyWereWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bank := range statements.Banks() {
		lines := bankLines(r, bank, 200)
		b, err := statements.WriteBank(bank, 20261119, 20261121, lines)
		if bank != "BOCOM" {
			b, err = statements.WriteBank(bank, 20261121, 20261121, lines)
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), bank+".txt")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := readAll(path, strings.ToLower(bank))
		if err != nil {
			t.Errorf("%s: %v", bank, err)
		}
		var want []string
		for _, l := range lines {
			want = append(want, fmt.Sprintf("%s %s %s %s %d %d %c %d [%s] [%s]", l.TxnID, l.Merchant, l.Terminal, bank,
				l.Amount, l.Fee, l.Status, l.Day, l.Orig, l.Batch))
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bank, diff)
		}
	}
}

func TestTheOddNamesHoldDelimitersAmongTheirBytes(t *testing.T) {
	d := description(t, "icbc")
	for i, want := range map[int]byte{0: '\\', 1: '|'} {
		b, err := d.encode(oddNames[i])
		if err != nil || bytes.IndexByte(b, want) < 0 {
			t.Errorf("%s has no byte %q in GBK: % x %v", oddNames[i], want, b, err)
		}
		var fields [maxFields][]byte
		if n := d.cut(append(append([]byte("a|"), b...), "|b"...), &fields); n != 3 || !bytes.Equal(fields[1], b) {
			t.Errorf("%s: cut into %d fields", oddNames[i], n)
		}
	}
}

func description(tb testing.TB, name string) *Description {
	tb.Helper()
	all, err := Descriptions()
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range all {
		if d.Name == name {
			return d
		}
	}
	tb.Fatal("no format ", name)
	return nil
}

func TestStatementsThatAreNotWholeAreRefused(t *testing.T) {
	lines := bankLines(rand.New(rand.NewPCG(3, 4)), "ICBC", 40)
	whole, err := statements.WriteBank("ICBC", 20261121, 20261121, lines)
	if err != nil {
		t.Fatal(err)
	}
	at := func(n int) int { // where line n begins
		i := 0
		for range n {
			i += bytes.IndexByte(whole[i:], '\n') + 1
		}
		return i
	}
	cutOut := func(from, to int) []byte { return append(bytes.Clone(whole[:at(from)]), whole[at(to):]...) }
	first := string(whole[at(1):at(2)])
	change := func(old, other string) []byte {
		line := strings.Replace(first, old, other, 1)
		if line == first {
			t.Fatalf("%s is not in %s", old, first)
		}
		return append(append(bytes.Clone(whole[:at(1)]), line...), whole[at(2):]...)
	}
	id := lines[0].TxnID
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"cut within a line":     {whole[:at(20)+30], "has 5 fields, want 11"},
		"cut between lines":     {whole[:at(20)], "has no trailer line"},
		"a line is missing":     {cutOut(5, 6), "trailer says count 40, its lines come to 39"},
		"an amount was changed": {change(yuanOf(lines[0].Amount), yuanOf(lines[0].Amount+1)), "the trailer says "},
		"another day":           {change("D|20261121|", "D|20261124|"), "settlement date 20261124 is not among the file's days"},
		"no day":                {change("D|20261121|", "D|20261131|"), `"20261131" is not a date (yyyyMMdd)`},
		"day in another form":   {change("D|20261121|", "D|2026-11-21|"), "is not a date"},
		"no time":               {change("|100000|", "|250000|"), `"250000" is not a time`},
		"NUL":                   {change(id, id[:35]+"\x00"), "holds a NUL byte"},
		"no id":                 {change(id, ""), "has 0 bytes, want 1 to 64 without a comma"},
		"fen":                   {change(yuanOf(lines[0].Amount), "|100|"), "is not an amount in yuan with two decimals"},
		"not GBK":               {change("|T", "|\xff\xff"), "is not gbk"},
		"half a character":      {change(lines[0].Terminal+"|", "T\xc0|"), "fields, want 11"},
		"over-long line":        {change(id, strings.Repeat("1", MaxLine)), "is longer than 65536 bytes"},
		"two trailers":          {append(bytes.Clone(whole), whole[at(41):]...), "has 2 trailer lines"},
		"details behind it":     {append(append(bytes.Clone(cutOut(1, 2)), first...), nil...), "has details behind its trailer line"},
		"other lines":           {append(bytes.Clone(whole), "junk\r\n"...), "begins with \"junk\""},
		"other header":          {whole[at(1):], "the header line begins with \"D|"},
		"empty":                 {nil, "is empty, without even a header"},
	} {
		path := filepath.Join(t.TempDir(), "s.txt")
		if err := os.WriteFile(path, c.body, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readAll(path, "icbc")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func yuanOf(fen int64) string { return fmt.Sprintf("|%d.%02d|", fen/100, fen%100) }

func TestDatesWithoutAYearKeepNearTheHeadersDate(t *testing.T) {
	for _, c := range []struct {
		field string
		near  int32
		want  int32
	}{
		{"1231", 20270101, 20261231},
		{"0101", 20261231, 20270101},
		{"1121", 20261121, 20261121},
		{"0229", 20280301, 20280229},
		{"0229", 20270301, 0},
		{"1301", 20270301, 0},
		{"11 1", 20270301, 0},
		{"", 20270301, 0},
	} {
		got, ok := parseDate("MMdd", []byte(c.field), c.near)
		if ok != (c.want != 0) || ok && got != c.want {
			t.Errorf("%s near %d: %d %v, want %d", c.field, c.near, got, ok, c.want)
		}
	}
}

func TestMoneyAsTheFormatsWriteIt(t *testing.T) {
	for _, c := range []struct {
		column Column
		field  string
		want   int64
		ok     bool
	}{
		{Column{}, "000000012345", 12345, true},
		{Column{}, "-1", 0, false},
		{Column{Sign: "leading"}, "-1", -1, true},
		{Column{Sign: "trailing"}, "0012-", -12, true},
		{Column{Sign: "trailing"}, "0012+", 12, true},
		{Column{Sign: "trailing"}, "-", 0, false},
		{Column{Unit: "yuan"}, "12.30", 1230, true},
		{Column{Unit: "yuan"}, "12.3", 0, false},
		{Column{Unit: "yuan"}, "12", 0, false},
		{Column{Unit: "yuan"}, "1,234.50", 0, false},
		{Column{Unit: "yuan", Comma: ","}, "1,234,567.89", 123456789, true},
		{Column{Unit: "yuan", Comma: ","}, "12,34.50", 0, false},
		{Column{Comma: ","}, "1,234", 1234, true},
		{Column{Unit: "yuan"}, "  8.00 ", 800, true},
		{Column{}, "１２３", 123, true},
		{Column{}, "\xa3\xb1\xa3\xb2", 12, true},
		{Column{}, "92233720368547758070", 0, false},
		{Column{}, strings.Repeat("0", 40), 0, true},
		{Column{}, "", 0, false},
	} {
		var scratch [32]byte
		got, ok := c.column.parseMoney([]byte(c.field), &scratch)
		if ok != c.ok && len(c.field) < 40 || ok && int64(got) != c.want {
			t.Errorf("%+v %q: %d %v, want %d %v", c.column, c.field, got, ok, c.want, c.ok)
		}
	}
}

// FuzzStatement gives arbitrary bytes to every described format: whatever is not refused has
// an id, a status, an amount that is not negative and a day that the calendar has.
func FuzzStatement(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	all, err := Descriptions()
	if err != nil {
		f.Fatal(err)
	}
	for i, d := range all {
		b, err := statements.WriteBank(d.Bank, 20261119, 20261121, bankLines(r, d.Bank, 3))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, b)
	}
	f.Fuzz(func(t *testing.T, format int, body []byte) {
		if format < 0 || format >= len(all) {
			return
		}
		head, rest, _ := bytes.Cut(body, []byte("\n"))
		layout, fault := all[format].format().Header(head)
		if fault == nil {
			parser := layout.NewParser()
			for line := range bytes.SplitSeq(rest, []byte("\n")) {
				var row Row
				if fault = parser.Parse(line, &row); fault != nil || row.Skip {
					continue
				}
				if n := len(row.TxnID); n == 0 || n > MaxTxnID || row.Amount < 0 || !isStatus(row.Status) || len(row.Merchant) > MaxField {
					t.Fatalf("%q gave %+v", line, row)
				}
				if _, ok := ParseDay(fmt.Appendf(nil, "%08d", row.Day)); !ok {
					t.Fatalf("%q gave the day %d", line, row.Day)
				}
				for _, text := range [][]byte{row.TxnID, row.Merchant, row.Terminal, row.Orig, row.Batch} {
					if !utf8.Valid(text) || bytes.ContainsAny(text, ",\n") {
						t.Fatalf("%q gave the text %q", line, text)
					}
				}
			}
			fault = layout.Verify()
		}
		if fault != nil && (fault.Why.EN == "" || fault.Why.ZH == "") {
			t.Fatalf("%+v", fault)
		}
	})
}
