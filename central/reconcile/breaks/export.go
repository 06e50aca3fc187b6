package breaks

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"dcpos/pos"
)

// column is one of an export's columns: exactly one of text and money says what stands there.
type column struct {
	key   string // of the CSV
	title pos.Text
	text  func(c *pos.BreakCase, lang string) string
	money func(c *pos.BreakCase) (pos.Money, bool)
}

func columns(on pos.Date) []column {
	plain := func(get func(c *pos.BreakCase) string) func(*pos.BreakCase, string) string {
		return func(c *pos.BreakCase, _ string) string { return get(c) }
	}
	return []column{
		{"date", pos.Text{ZH: "清算日", EN: "Settlement date"}, plain(func(c *pos.BreakCase) string { return string(c.Date) }), nil},
		{"bank", pos.Text{ZH: "机构", EN: "Institution"}, plain(func(c *pos.BreakCase) string { return c.Bank }), nil},
		{"kind", pos.Text{ZH: "类别", EN: "Kind"}, func(c *pos.BreakCase, lang string) string { return word(lang, string(c.Kind), c.Kind.Text()) }, nil},
		{"txn_id", pos.Text{ZH: "流水号", EN: "Transaction"}, plain(func(c *pos.BreakCase) string { return c.Txn }), nil},
		{"merchant_id", pos.Text{ZH: "商户", EN: "Merchant"}, plain(func(c *pos.BreakCase) string { return c.Merchant }), nil},
		{"ours_fen", pos.Text{ZH: "我方金额", EN: "Ours"}, nil, func(c *pos.BreakCase) (pos.Money, bool) { return c.Ours, c.OursStatus != "" }},
		{"theirs_fen", pos.Text{ZH: "对方金额", EN: "Theirs"}, nil, func(c *pos.BreakCase) (pos.Money, bool) { return c.Theirs, c.TheirStatus != "" }},
		{"ours_status", pos.Text{ZH: "我方状态", EN: "Our status"}, plain(func(c *pos.BreakCase) string { return c.OursStatus }), nil},
		{"theirs_status", pos.Text{ZH: "对方状态", EN: "Their status"}, plain(func(c *pos.BreakCase) string { return c.TheirStatus }), nil},
		{"field", pos.Text{ZH: "字段", EN: "Field"}, plain(func(c *pos.BreakCase) string { return c.Field }), nil},
		{"rule", pos.Text{ZH: "规则", EN: "Rule"}, plain(func(c *pos.BreakCase) string { return c.Rule }), nil},
		{"outstanding_fen", pos.Text{ZH: "挂账余额", EN: "In suspense"}, nil, func(c *pos.BreakCase) (pos.Money, bool) { return c.Outstanding(), true }},
		{"state", pos.Text{ZH: "状态", EN: "State"}, func(c *pos.BreakCase, lang string) string { return word(lang, string(c.State), c.State.Text()) }, nil},
		{"age_days", pos.Text{ZH: "账龄(天)", EN: "Age (days)"}, plain(func(c *pos.BreakCase) string { return strconv.Itoa(c.Age(on)) }), nil},
		{"assignee", pos.Text{ZH: "处理人", EN: "Assignee"}, plain(func(c *pos.BreakCase) string { return c.Assignee }), nil},
		{"cause", pos.Text{ZH: "原因", EN: "Cause"}, func(c *pos.BreakCase, lang string) string { return word(lang, string(c.Cause), c.Cause.Text()) }, nil},
		{"note", pos.Text{ZH: "说明", EN: "Note"}, plain(func(c *pos.BreakCase) string { return c.Note }), nil},
		{"break", pos.Text{ZH: "差异编号", EN: "Break"}, plain(func(c *pos.BreakCase) string { return c.ID }), nil},
	}
}

// word is the code itself for a program (lang ""), else what a person reads.
func word(lang, code string, text pos.Text) string {
	if lang == "" || code == "" {
		return code
	}
	return text.In(lang)
}

// harmless keeps a spreadsheet from reading a text of a statement as a formula (OWASP, "CSV injection").
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// WriteCSV writes cases for programs and spreadsheets: codes as they are, amounts in fen.
func WriteCSV(w io.Writer, cases []pos.BreakCase, on pos.Date) error {
	out := csv.NewWriter(w)
	all := columns(on)
	row := make([]string, len(all))
	for i, col := range all {
		row[i] = col.key
	}
	if err := out.Write(row); err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	for n := range cases {
		for i, col := range all {
			row[i] = ""
			if col.text != nil {
				row[i] = harmless(col.text(&cases[n], ""))
			} else if v, ok := col.money(&cases[n]); ok {
				row[i] = strconv.FormatInt(int64(v), 10)
			}
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("export breaks: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

// WriteExcel writes cases as a workbook for people: titles and words in their language,
// amounts in yuan. Excel keeps 15 digits, more than any amount here has.
func WriteExcel(w io.Writer, cases []pos.BreakCase, on pos.Date, lang string) (err error) {
	const sheet = "Sheet1"
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	format := `#,##0.00;[Red]-#,##0.00`
	yuan, err := book.NewStyle(&excelize.Style{CustomNumFmt: &format})
	if err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	title, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	s, err := book.NewStreamWriter(sheet)
	if err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	all := columns(on)
	if err := s.SetColWidth(1, len(all), 16); err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	row := make([]any, len(all))
	for i, col := range all {
		row[i] = excelize.Cell{StyleID: title, Value: col.title.In(lang)}
	}
	for n := -1; n < len(cases); n++ {
		if n >= 0 {
			cells(row, all, &cases[n], yuan, lang)
		}
		at, err := excelize.CoordinatesToCellName(1, n+2)
		if err != nil {
			return fmt.Errorf("export breaks: %w", err)
		}
		if err := s.SetRow(at, row); err != nil {
			return fmt.Errorf("export breaks: %w", err)
		}
	}
	if err := s.Flush(); err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	if err := book.Write(w); err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	return nil
}

func cells(row []any, all []column, c *pos.BreakCase, yuan int, lang string) {
	for i, col := range all {
		row[i] = nil
		if col.text != nil {
			row[i] = col.text(c, lang) // a string cell is never a formula
		} else if v, ok := col.money(c); ok {
			row[i] = excelize.Cell{StyleID: yuan, Value: float64(v) / 100} //nolint:mnd // yuan, for eyes: the CSV has fen
		}
	}
}
