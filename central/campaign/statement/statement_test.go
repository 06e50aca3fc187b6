package statement_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/xuri/excelize/v2"

	"dcpos/central/campaign/statement"
	"dcpos/pos"
)

func sample() statement.Statement {
	return statement.Make(statement.Facts{
		Campaign: "c", Title: pos.Text{ZH: "活动", EN: "campaign"}, Notice: pos.Lab.Notice(), Registered: 9, Envelopes: 3, MovedUp: 1, Face: 600_00, Activated: 2, ActiveFace: 400_00,
		Budget: 600_00, Recalled: 120_00,
		Lines: []statement.Line{
			{Day: "2021-02-11", District: "东城", Merchant: "a", Category: "=cmd", Channel: "in_store", Payments: 2, Price: 300_00, Envelope: 200_00, Others: 30_00, Returned: 10_00},
			{Day: "2021-02-12", Merchant: "b", Category: "food", Channel: "online", Payments: 1, Price: 90_00, Envelope: 90_00},
		},
	})
}

func TestFigures(t *testing.T) {
	got := sample().Flat()
	for name, want := range map[string]int64{
		"registered": 9, "winners": 3, "moved_up": 1, "payments": 3, "price_fen": 390_00, "envelope_fen": 290_00, "other_envelopes_fen": 30_00, "own_fen": 70_00, "returned_fen": 10_00,
		"spent_fen": 280_00, "basket_fen": 130_00, "multiplier_percent": 134, "unclaimed_fen": 200_00, "recalled_fen": 120_00,
		"day.2021-02-11.payments": 2, "district.东城.price_fen": 300_00, "district.online.price_fen": 90_00,
		"merchant.b.envelope_fen": 90_00, "category.food.payments": 1, "channel.in_store.returned_fen": 10_00,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
}

func TestExports(t *testing.T) {
	s := sample()
	for _, lang := range []string{"zh", "en"} {
		var b bytes.Buffer
		if err := s.Export(&b, "csv", lang); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) < 20 {
			t.Fatalf("csv: %d rows, %v", len(rows), err)
		}
		for _, r := range rows {
			if r[1] == "=cmd" {
				t.Error("a spreadsheet would calculate a category")
			}
		}
		b.Reset()
		if err := s.Export(&b, "xlsx", lang); err != nil {
			t.Fatal(err)
		}
		book, err := excelize.OpenReader(&b)
		if err != nil || len(book.GetSheetList()) != 6 {
			t.Fatalf("workbook: %v", err)
		}
		checkBook(t, book, s, lang)
		b.Reset()
		if err := s.Export(&b, "pdf", lang); err != nil {
			t.Fatal(err)
		}
		checkPDF(t, b.Bytes())
	}
	if err := s.Export(new(bytes.Buffer), "doc", "zh"); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Errorf("doc: %v", err)
	}
}

// checkBook reads the cells back: fen as yuan, counts whole, words in their language.
func checkBook(t *testing.T, book *excelize.File, s statement.Statement, lang string) {
	t.Helper()
	if title, err := book.GetCellValue(book.GetSheetList()[0], "A1"); err != nil || title != "测试 TEST "+s.Title.In(lang) {
		t.Errorf("the overview begins with %q, %v", title, err)
	}
	for i, g := range s.Groups {
		rows, err := book.GetRows(book.GetSheetList()[i+1], excelize.Options{RawCellValue: true})
		if err != nil || len(rows) != len(g.Rows)+1 || len(rows[0]) != 8 {
			t.Fatalf("%s: %v, %v", g.Key, rows, err)
		}
		for n, r := range g.Rows {
			price, err0 := strconv.ParseFloat(rows[n+1][2], 64)
			percent, err1 := strconv.ParseInt(rows[n+1][7], 10, 64)
			if err := errors.Join(err0, err1); err != nil || int64(math.Round(price*100)) != int64(r.Price) || percent != r.Multiplier() ||
				rows[n+1][0] != g.Label(r.Name).In(lang) {
				t.Errorf("%s: %v, want %+v, %v", g.Key, rows[n+1], r, err)
			}
		}
	}
}

// checkPDF follows the table of objects as a reader does.
func checkPDF(t *testing.T, b []byte) {
	t.Helper()
	m := regexp.MustCompile(`startxref\n([0-9]+)\n%%EOF\n$`).FindSubmatch(b)
	if m == nil || !bytes.HasPrefix(b, []byte("%PDF-1.4\n")) {
		t.Fatal("no PDF")
	}
	table, err := strconv.Atoi(string(m[1]))
	if err != nil || !bytes.HasPrefix(b[table:], []byte("xref\n")) {
		t.Fatalf("its table is not at %s", m[1])
	}
	for i, at := range regexp.MustCompile(`(?m)^([0-9]{10}) 00000 n `).FindAllSubmatch(b[table:], -1) {
		offset, err := strconv.Atoi(string(at[1]))
		if err != nil || !bytes.HasPrefix(b[offset:], []byte(strconv.Itoa(i+1)+" 0 obj\n")) {
			t.Errorf("object %d is not at %s", i+1, at[1])
		}
	}
}
