package statement

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/lab/statements"
)

var update = flag.Bool("update", false, "write the examples again")

// TestEveryFormatHasAnExampleThatIsRead: formats/examples/NAME.txt is what the lab writes.
func TestEveryFormatHasAnExampleThatIsRead(t *testing.T) {
	all, err := Descriptions()
	if err != nil || len(all) != 6 {
		t.Fatal(len(all), err)
	}
	for i, d := range all {
		from := 20261121
		if d.Name == "bocom" {
			from = 20261119
		}
		b, err := statements.WriteBank(d.Bank, from, 20261121, bankLines(rand.New(rand.NewPCG(uint64(i), 9)), d.Bank, 8))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("formats", "examples", d.Name+".txt")
		if *update {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(b) {
			t.Errorf("%s is not what the lab writes (go test -run Example -update): %v", path, err)
		}
		report, err := Check(t.Context(), Source{Path: path, Format: d.Name})
		if err != nil || report.Lines != 8 || len(report.First) != samples || report.First[0].Line < 2 ||
			len(report.Controls) == 0 || report.Note.ZH == "" || !strings.Contains(report.Note.EN, "invention of the lab") {
			t.Errorf("%s: %+v %v", d.Name, report, err)
		}
	}
}

func TestCheckNamesTheLine(t *testing.T) {
	b, err := os.ReadFile("formats/examples/icbc.txt")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s.txt")
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), "|R0|", "|99|", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Check(t.Context(), Source{Path: path, Format: "icbc"})
	if err == nil || !strings.Contains(err.Error(), `column 10 (status): "99" is not a status that the format knows`) {
		t.Error(err)
	}
}

func TestDescriptionsThatCannotBeUsedAreRefused(t *testing.T) {
	b, err := described.ReadFile("formats/icbc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"version: 1", "version: 2", "version is 2"},
		{"encoding: gbk", "encoding: big5", `encoding "big5"`},
		{`delimiter: "|"`, `delimiter: "||"`, "want one ASCII character"},
		{`delimiter: "|"`, `delimiter: ""`, "want bytes"},
		{"txn_id: {at: 7}", "txn_id: {at: 17}", "field 17 is not among 1 to 11"},
		{"txn_id: {at: 7}", "colour: {at: 7}", `column "colour" is not known`},
		{"    txn_id: {at: 7}\n", "", "column txn_id is missing"},
		{"form: HHmmss", "form: hh", `form "hh" is not known`},
		{"unit: yuan}", "unit: jiao}", `unit "jiao"`},
		{`"00": S`, `"00": X`, `"X" is not S, F, P or R`},
		{"bank: ICBC", "bank: ICBC\ncolour: red", "field colour not found"},
		{"bank: ICBC", "bank: ICBC\ncut_over: \"25:00\"", "want HH:mm"},
		{"name: icbc", "name: dcpos", `name "dcpos" cannot be used`},
	} {
		text := strings.Replace(string(b), c[0], c[1], 1)
		if text == string(b) {
			t.Fatalf("%s is not in the file", c[0])
		}
		if _, err := ReadDescription([]byte(text)); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s for %s: %v, want %s", c[1], c[0], err, c[2])
		}
	}
}
