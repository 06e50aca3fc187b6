package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"dcpos/pos"
)

// Check is one claim of the demo that was verified. Want and Got are what demo.json holds.
type Check struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Want any    `json:"want"`
	Got  any    `json:"got"`
	Unit string `json:"unit,omitempty"`
}

// Report is demo.json.
type Report struct {
	OK      bool              `json:"ok"`
	Checks  []Check           `json:"checks"`
	Screens map[string]string `json:"screens"`
}

// teller prints the story, in both languages, and collects its checks.
type teller struct {
	out    io.Writer
	report Report
}

func (t *teller) chapter(zh, en string) {
	_, _ = fmt.Fprintf(t.out, "\n── %s\n   %s\n", zh, en)
}

func (t *teller) tell(zh, en string, args ...any) {
	_, _ = fmt.Fprintf(t.out, "   · "+zh+"\n     "+en+"\n", append(append([]any(nil), args...), args...)...)
}

// check compares and prints a claim; what differs is shown with both values.
func (t *teller) check(id string, want, got any, unit string) {
	ok := reflect.DeepEqual(want, got)
	t.report.Checks = append(t.report.Checks, Check{ID: id, OK: ok, Want: want, Got: got, Unit: unit})
	mark := "✓"
	if !ok {
		mark = "✗"
	}
	line := fmt.Sprintf("     %s %s: %s", mark, id, shown(got, unit))
	if !ok {
		line += ", want " + shown(want, unit)
	}
	_, _ = fmt.Fprintln(t.out, line)
}

func shown(v any, unit string) string {
	if m, ok := v.(pos.Money); ok {
		return "¥" + m.String()
	}
	if unit == "" {
		return fmt.Sprint(v)
	}
	return fmt.Sprint(v, " ", unit)
}

// finish writes demo.json and tells whether every check held.
func (t *teller) finish(folder string, screens map[string]string) (bool, error) {
	t.report.OK = len(t.report.Checks) > 0
	failed := 0
	for _, c := range t.report.Checks {
		if !c.OK {
			t.report.OK = false
			failed++
		}
	}
	t.report.Screens = screens
	b, err := json.MarshalIndent(t.report, "", "  ")
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(filepath.Join(folder, "demo.json"), append(b, '\n'), 0o600); err != nil {
		return false, err
	}
	_, _ = fmt.Fprintf(t.out, "\n%d passed, %d failed\n", len(t.report.Checks)-failed, failed)
	return t.report.OK, nil
}
