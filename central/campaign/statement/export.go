package statement

import (
	"encoding/csv"
	"encoding/json"
	"errors"
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

// workbook is a statement in Excel, for people: yuan with two decimals, words in a language.
type workbook struct {
	*excelize.File
	lang       string
	yuan, bold int // styles
}

// excel writes a page with the figures and a chart of each group, and a page for each group.
// Those grow with a campaign's days and merchants, so they are streamed.
func (s Statement) excel(w io.Writer, lang string) error {
	book := workbook{File: excelize.NewFile(), lang: lang}
	defer func() { _ = book.Close() }() // what it had on disk is only the streams'
	format := `#,##0.00;[Red]-#,##0.00`
	var err0, err1 error
	book.yuan, err0 = book.NewStyle(&excelize.Style{CustomNumFmt: &format})
	book.bold, err1 = book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	first := pos.Text{ZH: "总览", EN: "overview"}.In(lang)
	if err := errors.Join(err0, err1, book.SetSheetName("Sheet1", first), book.overview(first, s)); err != nil {
		return err
	}
	for n, g := range s.Groups {
		if err := book.group(g); err != nil {
			return err
		}
		if err := book.chart(first, n, s, g); err != nil {
			return err
		}
	}
	return book.Write(w)
}

// overview lists the figures.
func (b workbook) overview(page string, s Statement) error {
	err := errors.Join(b.SetCellStr(page, "A1", s.title(b.lang)), b.SetCellStr(page, "B1", s.Campaign),
		b.SetCellStyle(page, "A1", "B1", b.bold), b.SetColWidth(page, "A", "B", 30))
	for i, f := range s.Figures() {
		name, value := fmt.Sprintf("A%d", i+2), fmt.Sprintf("B%d", i+2)
		err = errors.Join(err, b.SetCellStr(page, name, f.Text.In(b.lang)))
		if f.Money {
			err = errors.Join(err, b.SetCellFloat(page, value, yuan(pos.Money(f.Value)), 2, 64), b.SetCellStyle(page, value, value, b.yuan))
		} else {
			err = errors.Join(err, b.SetCellInt(page, value, f.Value))
		}
	}
	return err
}

// yuan is for eyes: JSON and CSV have fen.
func yuan(m pos.Money) float64 { return float64(m) / 100 } //nolint:mnd // fen in a yuan

// group streams the rows of a group; its titles stay in sight.
func (b workbook) group(g Group) error {
	name := g.Title.In(b.lang)
	if _, err := b.NewSheet(name); err != nil {
		return err
	}
	page, err := b.NewStreamWriter(name)
	if err != nil {
		return err
	}
	var titles []any
	for _, t := range head(b.lang) {
		titles = append(titles, excelize.Cell{StyleID: b.bold, Value: t})
	}
	// The library writes the last width that it is told first; readers want them in order.
	err = errors.Join(page.SetColWidth(2, len(titles), 16), page.SetColWidth(1, 1, 26),
		page.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}), page.SetRow("A1", titles))
	if err != nil {
		return err
	}
	for i, r := range g.Rows {
		row := []any{g.Label(r.Name).In(b.lang)}
		for _, f := range r.figures() {
			if f.Money {
				row = append(row, excelize.Cell{StyleID: b.yuan, Value: yuan(pos.Money(f.Value))})
			} else {
				row = append(row, f.Value)
			}
		}
		if err := page.SetRow(fmt.Sprintf("A%d", i+2), row); err != nil {
			return err
		}
	}
	return page.Flush()
}

// chart draws the n-th group beside the figures: what envelopes and what own money paid.
func (b workbook) chart(page string, n int, s Statement, g Group) error {
	if len(g.Rows) == 0 {
		return nil
	}
	const height = 16 // rows that a chart covers
	name, last := g.Title.In(b.lang), len(g.Rows)+1
	series := func(column string) excelize.ChartSeries {
		return excelize.ChartSeries{
			Name:       fmt.Sprintf("'%s'!$%s$1", name, column),
			Categories: fmt.Sprintf("'%s'!$A$2:$A$%d", name, last),
			Values:     fmt.Sprintf("'%s'!$%s$2:$%s$%d", name, column, column, last),
		}
	}
	return b.AddChart(page, fmt.Sprintf("D%d", 2+n*height), &excelize.Chart{
		Type: excelize.ColStacked, Series: []excelize.ChartSeries{series("D"), series("E")},
		Title: []excelize.RichTextRun{{Text: s.title(b.lang) + " " + name}},
	})
}
