package breaks

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"dcpos/pos"
)

func exported() []pos.BreakCase {
	return []pos.BreakCase{
		{
			ID: "1", Date: "2026-11-20", Kind: pos.MissingTheirs, Txn: "=cmd|' /C calc'!A0", Bank: "ICBC", Merchant: "M1", Ours: 1234_56,
			OursStatus: "S", Difference: 1234_56, State: pos.BreakExplained, Cause: pos.CauseTheirs, Note: "@SUM(1)", Rule: "standard/2 exact", Clock: "09:30:00",
		},
		{ID: "2", Date: "2026-11-21", Kind: pos.CreditMismatch, Txn: "credit:ABC", Bank: "ABC", Ours: 5, Theirs: 7, OursStatus: "S", TheirStatus: "S", Difference: -2, State: pos.BreakOpen},
	}
}

func TestTheCSVIsForProgramsAndHarmless(t *testing.T) {
	var b bytes.Buffer
	if err := WriteCSV(&b, exported(), "2026-11-22"); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		strings.Split("date,bank,kind,txn_id,merchant_id,ours_fen,theirs_fen,ours_status,theirs_status,field,rule,outstanding_fen,state,age_days,assignee,cause,note,break,clock", ","),
		{"2026-11-20", "ICBC", "missing_theirs", "'=cmd|' /C calc'!A0", "M1", "123456", "", "S", "", "", "standard/2 exact", "123456", "explained", "2", "", "institution", "'@SUM(1)", "1", "09:30:00"},
		{"2026-11-21", "ABC", "credit_mismatch", "credit:ABC", "", "5", "7", "S", "S", "", "", "-2", "open", "1", "", "", "", "2", ""},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func TestTheWorkbookIsForPeople(t *testing.T) {
	for lang, want := range map[string][4]string{"zh": {"挂账余额", "对方缺少", "差异", "成功"}, "en": {"In suspense", "missing in their statement", "Breaks", "success"}} {
		var b bytes.Buffer
		if err := WriteExcel(&b, exported(), "2026-11-22", lang); err != nil {
			t.Fatal(err)
		}
		columnsInOrder(t, b.Bytes())
		book, err := excelize.OpenReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := book.GetRows(want[2], excelize.Options{RawCellValue: true})
		if err != nil || len(rows) != 3 {
			t.Fatal(rows, err)
		}
		if rows[0][11] != want[0] || rows[1][2] != want[1] || rows[1][5] != "1234.56" || rows[2][11] != "-0.02" || rows[1][7] != want[3] || rows[1][13] != "2" {
			t.Errorf("%q", rows)
		}
		if formula, err := book.GetCellFormula(want[2], "D2"); err != nil || formula != "" {
			t.Errorf("a text became the formula %q %v", formula, err)
		}
		if panes, err := book.GetPanes(want[2]); err != nil || !panes.Freeze || panes.YSplit != 1 {
			t.Errorf("the titles scroll away: %+v %v", panes, err)
		}
		if tables, err := book.GetTables(want[2]); err != nil || len(tables) != 1 || tables[0].Range != "A1:S3" {
			t.Errorf("nothing to filter by: %+v %v", tables, err)
		}
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	}
}

// columnsInOrder: a reader may refuse a sheet whose columns are not described from left to right.
func columnsInOrder(t *testing.T, book []byte) {
	t.Helper()
	files, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := fs.ReadFile(files, "xl/worksheets/sheet1.xml")
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, m := range regexp.MustCompile(`<col min="(\d+)"`).FindAllSubmatch(sheet, -1) {
		n, _ := strconv.Atoi(string(m[1])) // digits
		at = append(at, n)
	}
	if len(at) != 19 || !slices.IsSorted(at) {
		t.Errorf("columns %v", at)
	}
}

func TestAnEmptyWorkbookHasItsTitles(t *testing.T) {
	var b bytes.Buffer
	if err := WriteExcel(&b, nil, "2026-11-22", "zh"); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := book.GetRows("差异"); err != nil || len(rows) != 1 {
		t.Error(rows, err)
	}
	if err := book.Close(); err != nil {
		t.Error(err)
	}
}
