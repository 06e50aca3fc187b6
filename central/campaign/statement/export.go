package statement

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"dcpos/pos"
)

// Export writes the statement in a language (zh, en) as json, csv, xlsx or pdf.
func (s Statement) Export(w io.Writer, format, lang string) error {
	var err error
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(s.Flat())
	case "csv":
		err = s.csv(w, lang)
	case "xlsx":
		err = s.excel(w, lang)
	case "pdf":
		err = s.pdf(w, lang)
	default:
		return pos.FieldError(pos.ErrBadRequest, "format", fmt.Errorf("%.10q: want json, csv, xlsx or pdf", format))
	}
	if err != nil {
		return fmt.Errorf("export statement: %w", err)
	}
	return nil
}

// head are the columns of the groups.
func head(lang string) []string {
	var all []string
	for _, t := range []pos.Text{
		{ZH: "项目", EN: "item"},
		{ZH: "笔数", EN: "payments"},
		{ZH: "消费总额", EN: "spent in all"},
		{ZH: "红包", EN: "envelopes"},
		{ZH: "自有资金", EN: "own money"},
		{ZH: "退回红包", EN: "given back"},
		{ZH: "笔均", EN: "basket"},
		{ZH: "倍数%", EN: "multiplier %"},
	} {
		all = append(all, t.In(lang))
	}
	return all
}

// csv is for programs: amounts in fen; a text that a spreadsheet would calculate is quoted
// by an apostrophe.
func (s Statement) csv(w io.Writer, lang string) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"group", "name", "figure", "value", "unit", "text"}}
	for _, f := range s.Figures() {
		rows = append(rows, []string{"total", s.Campaign, f.Name, strconv.FormatInt(f.Value, 10), unit(f.Money), f.Text.In(lang)})
	}
	for _, g := range s.Groups {
		for _, r := range g.Rows {
			for _, c := range r.figures() {
				rows = append(rows, []string{g.Key, harmless(r.Name), c.Name, strconv.FormatInt(c.Value, 10), unit(c.Money), g.Title.In(lang)})
			}
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return err
	}
	return out.Error()
}

func unit(money bool) string {
	if money {
		return "fen"
	}
	return "count"
}

func harmless(s string) string {
	if s != "" && strings.ContainsAny(s[:1], "=+-@\t\r") && s != "-" {
		return "'" + s
	}
	return s
}

// figures are the columns after the name.
func (s Sum) figures() []Figure {
	return []Figure{
		{Name: "payments", Value: s.Payments},
		{Name: "price_fen", Value: int64(s.Price), Money: true},
		{Name: "envelope_fen", Value: int64(s.Envelope), Money: true},
		{Name: "own_fen", Value: int64(s.Own()), Money: true},
		{Name: "returned_fen", Value: int64(s.Returned), Money: true},
		{Name: "basket_fen", Value: int64(s.Basket()), Money: true},
		{Name: "multiplier_percent", Value: s.Multiplier()},
	}
}

// sheet writes rows of one page of the workbook.
type sheet struct {
	book *excelize.File
	name string
	yuan int
	bold int
	row  int
	err  error
}

func (s *sheet) put(style int, cells ...any) {
	s.row++
	for i, v := range cells {
		at, err := excelize.CoordinatesToCellName(i+1, s.row)
		if s.err == nil {
			s.err = err
		}
		money, ok := v.(pos.Money)
		if ok {
			v = float64(money) / 100 //nolint:mnd // yuan, for eyes: JSON and CSV have fen
		}
		if s.err == nil {
			s.err = s.book.SetCellValue(s.name, at, v)
		}
		if ok {
			style = s.yuan
		}
		if s.err == nil && (style != 0 || ok) {
			s.err = s.book.SetCellStyle(s.name, at, at, style)
		}
		if ok {
			style = 0
		}
	}
}

// excel is for people: a page with the figures, and one for each group with its chart.
func (s Statement) excel(w io.Writer, lang string) (err error) {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }() // it lives in memory
	format := `#,##0.00;[Red]-#,##0.00`
	yuan, err := book.NewStyle(&excelize.Style{CustomNumFmt: &format})
	if err != nil {
		return err
	}
	bold, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return err
	}
	first := pos.Text{ZH: "总览", EN: "overview"}.In(lang)
	if err := book.SetSheetName("Sheet1", first); err != nil {
		return err
	}
	page := &sheet{book: book, name: first, yuan: yuan, bold: bold}
	page.put(bold, s.Title.In(lang), s.Campaign)
	for _, f := range s.Figures() {
		if f.Money {
			page.put(0, f.Text.In(lang), pos.Money(f.Value))
		} else {
			page.put(0, f.Text.In(lang), f.Value)
		}
	}
	if page.err == nil {
		page.err = book.SetColWidth(first, "A", "B", 26)
	}
	if page.err != nil {
		return page.err
	}
	for _, g := range s.Groups {
		if err := s.group(book, g, lang, yuan, bold); err != nil {
			return err
		}
	}
	return book.Write(w)
}

func (s Statement) group(book *excelize.File, g Group, lang string, yuan, bold int) error {
	name := g.Title.In(lang)
	if _, err := book.NewSheet(name); err != nil {
		return err
	}
	page := &sheet{book: book, name: name, yuan: yuan, bold: bold}
	var titles []any
	for _, t := range head(lang) {
		titles = append(titles, t)
	}
	page.put(bold, titles...)
	for _, r := range g.Rows {
		page.put(0, g.Label(r.Name).In(lang), r.Payments, r.Price, r.Envelope, r.Own(), r.Returned, r.Basket(), r.Multiplier())
	}
	if page.err == nil {
		page.err = book.SetColWidth(name, "A", "H", 16)
	}
	if page.err != nil || len(g.Rows) == 0 {
		return page.err
	}
	last := len(g.Rows) + 1
	series := func(column string) excelize.ChartSeries {
		return excelize.ChartSeries{
			Name:       fmt.Sprintf("'%s'!$%s$1", name, column),
			Categories: fmt.Sprintf("'%s'!$A$2:$A$%d", name, last),
			Values:     fmt.Sprintf("'%s'!$%s$2:$%s$%d", name, column, column, last),
		}
	}
	return book.AddChart(name, "J2", &excelize.Chart{
		Type: excelize.ColStacked, Series: []excelize.ChartSeries{series("D"), series("E")},
		Title: []excelize.RichTextRun{{Text: s.Title.In(lang) + " " + name}},
	})
}
