package breaks

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"dcpos/pos"
)

// column is one of an export's columns: exactly one of text, money and count says what stands there.
type column struct {
	key   string // of the CSV
	title pos.Text
	width float64 // in Excel; 0 is 16
	text  func(c *pos.BreakCase, lang string) string
	money func(c *pos.BreakCase) (pos.Money, bool)
	count func(c *pos.BreakCase) int
}

func columns(on pos.Date) []column {
	plain := func(get func(c *pos.BreakCase) string) func(*pos.BreakCase, string) string {
		return func(c *pos.BreakCase, _ string) string { return get(c) }
	}
	return []column{
		{key: "date", title: pos.Text{ZH: "清算日", EN: "Settlement date"}, text: plain(func(c *pos.BreakCase) string { return string(c.Date) })},
		{key: "bank", title: pos.Text{ZH: "机构", EN: "Institution"}, width: 12, text: plain(func(c *pos.BreakCase) string { return c.Bank })},
		{key: "kind", title: pos.Text{ZH: "类别", EN: "Kind"}, width: 24, text: func(c *pos.BreakCase, lang string) string { return word(lang, string(c.Kind), c.Kind.Text()) }},
		{key: "txn_id", title: pos.Text{ZH: "流水号", EN: "Transaction"}, width: 38, text: plain(func(c *pos.BreakCase) string { return c.Txn })},
		{key: "merchant_id", title: pos.Text{ZH: "商户", EN: "Merchant"}, text: plain(func(c *pos.BreakCase) string { return c.Merchant })},
		{key: "ours_fen", title: pos.Text{ZH: "我方金额", EN: "Ours"}, money: func(c *pos.BreakCase) (pos.Money, bool) { return c.Ours, c.OursStatus != "" }},
		{key: "theirs_fen", title: pos.Text{ZH: "对方金额", EN: "Theirs"}, money: func(c *pos.BreakCase) (pos.Money, bool) { return c.Theirs, c.TheirStatus != "" }},
		{key: "ours_status", title: pos.Text{ZH: "我方状态", EN: "Our status"}, width: 12, text: func(c *pos.BreakCase, lang string) string {
			return word(lang, c.OursStatus, pos.LineStatus(c.OursStatus))
		}},
		{key: "theirs_status", title: pos.Text{ZH: "对方状态", EN: "Their status"}, width: 12, text: func(c *pos.BreakCase, lang string) string {
			return word(lang, c.TheirStatus, pos.LineStatus(c.TheirStatus))
		}},
		{key: "field", title: pos.Text{ZH: "字段", EN: "Field"}, text: plain(func(c *pos.BreakCase) string { return c.Field })},
		{key: "rule", title: pos.Text{ZH: "规则", EN: "Rule"}, width: 26, text: plain(func(c *pos.BreakCase) string { return c.Rule })},
		{key: "outstanding_fen", title: pos.Text{ZH: "挂账余额", EN: "In suspense"}, money: func(c *pos.BreakCase) (pos.Money, bool) { return c.Outstanding(), true }},
		{key: "state", title: pos.Text{ZH: "状态", EN: "State"}, text: func(c *pos.BreakCase, lang string) string { return word(lang, string(c.State), c.State.Text()) }},
		{key: "age_days", title: pos.Text{ZH: "账龄(天)", EN: "Age (days)"}, width: 12, count: func(c *pos.BreakCase) int { return c.Age(on) }},
		{key: "assignee", title: pos.Text{ZH: "处理人", EN: "Assignee"}, text: plain(func(c *pos.BreakCase) string { return c.Assignee })},
		{key: "cause", title: pos.Text{ZH: "原因", EN: "Cause"}, text: func(c *pos.BreakCase, lang string) string { return word(lang, string(c.Cause), c.Cause.Text()) }},
		{key: "note", title: pos.Text{ZH: "说明", EN: "Note"}, width: 40, text: plain(func(c *pos.BreakCase) string { return c.Note })},
		{key: "break", title: pos.Text{ZH: "差异编号", EN: "Break"}, width: 28, text: plain(func(c *pos.BreakCase) string { return c.ID })},
		{key: "clock", title: pos.Text{ZH: "时间", EN: "Time"}, width: 10, text: plain(func(c *pos.BreakCase) string { return c.Clock })},
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
			switch {
			case col.text != nil:
				row[i] = harmless(col.text(&cases[n], ""))
			case col.count != nil:
				row[i] = strconv.Itoa(col.count(&cases[n]))
			default:
				if v, ok := col.money(&cases[n]); ok {
					row[i] = strconv.FormatInt(int64(v), 10)
				}
			}
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("export breaks: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

// WriteExcel writes cases as a workbook for people: titles and words in their language, which stay in
// sight and filter, and amounts in yuan. Excel keeps 15 digits, more than any amount here has.
func WriteExcel(w io.Writer, cases []pos.BreakCase, on pos.Date, lang string) error {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	sheet := pos.Text{ZH: "差异", EN: "Breaks"}.In(lang)
	err := book.SetSheetName("Sheet1", sheet)
	if err == nil {
		err = fill(book, sheet, cases, on, lang)
	}
	if err == nil {
		err = book.Write(w)
	}
	if err != nil {
		return fmt.Errorf("export breaks: %w", err)
	}
	return nil
}

func fill(book *excelize.File, sheet string, cases []pos.BreakCase, on pos.Date, lang string) error {
	format := `#,##0.00;[Red]-#,##0.00`
	yuan, err1 := book.NewStyle(&excelize.Style{CustomNumFmt: &format})
	title, err2 := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	s, err := book.NewStreamWriter(sheet)
	if err = errors.Join(err1, err2, err); err != nil {
		return err
	}
	all := columns(on)
	row := make([]any, len(all))
	for i, col := range slices.Backward(all) { // the library writes the last that it is told first; readers want them in order
		const usual = 16
		row[i] = excelize.Cell{StyleID: title, Value: col.title.In(lang)}
		if err := s.SetColWidth(i+1, i+1, cmp.Or(col.width, usual)); err != nil {
			return err
		}
	}
	if err := s.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	for n := -1; n < len(cases); n++ {
		if n >= 0 {
			cells(row, all, &cases[n], yuan, lang)
		}
		at, err := excelize.CoordinatesToCellName(1, n+2)
		if err != nil {
			return err
		}
		if err := s.SetRow(at, row); err != nil {
			return err
		}
	}
	if len(cases) > 0 { // a table has a line
		last, err := excelize.CoordinatesToCellName(len(all), len(cases)+1)
		if err == nil {
			err = s.AddTable(&excelize.Table{Range: "A1:" + last, Name: "breaks", StyleName: "TableStyleLight1"})
		}
		if err != nil {
			return err
		}
	}
	return s.Flush()
}

func cells(row []any, all []column, c *pos.BreakCase, yuan int, lang string) {
	for i, col := range all {
		row[i] = nil
		switch {
		case col.text != nil:
			row[i] = col.text(c, lang) // a string cell is never a formula
		case col.count != nil:
			row[i] = col.count(c)
		default:
			if v, ok := col.money(c); ok {
				row[i] = excelize.Cell{StyleID: yuan, Value: float64(v) / 100} //nolint:mnd // yuan, for eyes: the CSV has fen
			}
		}
	}
}
