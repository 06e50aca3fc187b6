package console

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"dcpos/pos"
	"dcpos/web"
)

// CampaignStatement is the account of a campaign for the government that paid for it.
type CampaignStatement struct {
	CampaignLine
	Figures []StatementFigure
	Groups  []StatementGroup
}

// StatementFigure is one figure of the whole.
type StatementFigure struct {
	Name  string
	Text  pos.Text
	Value string // as people read it
}

// StatementGroup is the account by one thing, such as the day.
type StatementGroup struct {
	Key   string
	Title pos.Text
	Rows  []StatementRow
	Most  pos.Money // the highest price of a row, to which charts are drawn
	More  int       // rows that the page leaves to the files
}

// maxRows bounds the rows of a group on the page.
const maxRows = 500

// StatementRow is one value of a group.
type StatementRow struct {
	Name       string
	Label      pos.Text // of the name, for people
	Payments   int64
	Price      pos.Money
	Envelope   pos.Money
	Own        pos.Money
	Returned   pos.Money
	Basket     pos.Money
	Multiplier int64 // per cent
}

// chartWidth is the width of a chart in units of its own, which the page stretches.
const chartWidth = 1000

// Bar is one row of a chart: envelopes' money dark, own money light.
type Bar struct {
	Envelope int64 // widths
	Own      int64
	Text     string
}

// Bar draws a row of the group to the scale of its longest.
func (g StatementGroup) Bar(r StatementRow) Bar {
	b := Bar{Text: fmt.Sprintf("%s: ¥%s + ¥%s, %d", r.Name, r.Envelope, r.Own, r.Payments)}
	if g.Most > 0 {
		b.Envelope = int64(r.Envelope * chartWidth / g.Most) // bounded: sums of a campaign's payments
		b.Own = int64(r.Price*chartWidth/g.Most) - b.Envelope
	}
	return b
}

func (c *Console) campaignStatement(w http.ResponseWriter, r *http.Request, s Session) {
	st, err := c.cfg.Campaigns.Statement(r.Context(), r.PathValue("name"))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		for _, row := range g.Rows {
			g.Most = max(g.Most, row.Price)
		}
		if n := len(g.Rows); n > maxRows {
			g.Rows, g.More = g.Rows[:maxRows], n-maxRows
		}
	}
	c.show(w, r, http.StatusOK, "statement", s, st)
}

// exportTypes are the files that a statement comes as.
var exportTypes = map[string]string{
	"csv": "text/csv; charset=utf-8", "json": "application/json", "pdf": "application/pdf",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// exportStatement makes a file in memory first: half a statement is never sent.
func (c *Console) exportStatement(w http.ResponseWriter, r *http.Request, s Session) {
	name, lang := r.PathValue("name"), web.Language(w, r)
	format, ok := strings.CutPrefix(r.PathValue("file"), "statement.")
	kind := exportTypes[format]
	if !ok || kind == "" {
		c.refuse(w, r, s, pos.FieldError(pos.ErrNotFound, "file", fmt.Errorf("want statement.csv, .xlsx, .pdf or .json")))
		return
	}
	var b bytes.Buffer
	if err := c.cfg.Campaigns.Export(r.Context(), &b, name, format, lang); err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.audit(r.Context(), s.Account, "statement_exported", name+"."+format)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.%s.%s"`, name, lang, format))
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // the browser may be gone: nobody to tell
}
