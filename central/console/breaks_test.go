package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dcpos/central/console"
	"dcpos/pos"
)

// workshop is one break, and what was done to it.
type workshop struct {
	done []string
}

func (w *workshop) said(format string, args ...any) error {
	w.done = append(w.done, fmt.Sprintf(format, args...))
	return nil
}

func oneBreak() pos.BreakCase {
	return pos.BreakCase{
		ID: "b1", Date: "2021-02-10", Kind: pos.MissingTheirs, Txn: "0123456789abcdef", Bank: "ICBC", Merchant: "<M1>", Ours: 12345,
		OursStatus: "S", Difference: 12345, State: pos.BreakExplained, Cause: pos.CauseTheirs, Rule: "standard/2 exact",
	}
}

func (w *workshop) Cases(context.Context, pos.BreakFilter) ([]pos.BreakCase, error) {
	return []pos.BreakCase{oneBreak()}, nil
}

func (w *workshop) Case(_ context.Context, id string) (console.BreakFile, error) {
	if id != "b1" {
		return console.BreakFile{}, pos.NewError(pos.ErrNotFound, nil)
	}
	return console.BreakFile{Case: oneBreak(), Remedies: []pos.Remedy{
		{ID: "b1-1", Case: "b1", Kind: pos.RemedyClaim, State: pos.RemedyProposed, Amount: 12345, Reason: "ticket", ProposedBy: "wang"},
	}}, nil
}

func (w *workshop) Proposals(context.Context, int) ([]pos.Remedy, []pos.BreakCase, error) {
	return []pos.Remedy{{ID: "b1-1", Case: "b1", Kind: pos.RemedyClaim}}, []pos.BreakCase{oneBreak()}, nil
}

func (w *workshop) Aging(context.Context) ([]pos.BreakAge, error) {
	return []pos.BreakAge{{Bank: "ICBC", Date: "2021-02-10", Cases: 1, Outstanding: 12345}}, nil
}

func (w *workshop) Settlements(context.Context, pos.Date, int) ([]pos.Settlement, error) {
	return []pos.Settlement{{Bank: "ICBC", State: pos.SettlementWaiting}}, nil
}

func (w *workshop) FourEyes() pos.Money                      { return 100 }
func (w *workshop) Remedies(*pos.BreakCase) []pos.RemedyKind { return pos.RemedyKinds() }

func (w *workshop) Assign(_ context.Context, id, to string, by console.Person) error {
	return w.said("assign %s %s by %v", id, to, by)
}

func (w *workshop) Explain(_ context.Context, id string, cause pos.BreakCause, note string, by console.Person) error {
	return w.said("explain %s %s %s by %v", id, cause, note, by)
}

func (w *workshop) CarryOver(_ context.Context, id string, until pos.Date, by console.Person) error {
	return w.said("carry %s %s by %v", id, until, by)
}

func (w *workshop) Propose(_ context.Context, id string, kind pos.RemedyKind, reason string, by console.Person) (pos.Remedy, error) {
	return pos.Remedy{}, w.said("remedy %s %s %s by %v", id, kind, reason, by)
}

func (w *workshop) Decide(_ context.Context, remedy string, approve bool, reason string, by console.Person) (pos.Remedy, error) {
	return pos.Remedy{}, w.said("decide %s %v %s by %v", remedy, approve, reason, by)
}

func (w *workshop) WriteCSV(out io.Writer, cases []pos.BreakCase, _ pos.Date) error {
	_, err := fmt.Fprintln(out, len(cases))
	return err
}

func (w *workshop) WriteExcel(out io.Writer, cases []pos.BreakCase, _ pos.Date, lang string) error {
	_, err := fmt.Fprintln(out, len(cases), lang)
	return err
}

func TestBreaksAreWorkedOnByThoseWhoMay(t *testing.T) {
	w := &workshop{}
	d := newDesk(t, func(c *console.Config) { c.Breaks = w })
	for role, want := range map[console.Role]int{console.Viewer: http.StatusForbidden, console.Operator: http.StatusSeeOther, console.Approver: http.StatusSeeOther} {
		w.done = nil
		b := d.sign(string(role))
		for _, path := range []string{"/console/breaks", "/console/breaks?lang=zh", "/console/breaks/b1"} {
			if got := b.get(path); got.Code != http.StatusOK || strings.Contains(got.Body.String(), "<M1>") || !strings.Contains(got.Body.String(), "123.45") {
				t.Errorf("%s %s: %d", role, path, got.Code)
			}
		}
		token := b.token()
		for path, form := range map[string]url.Values{
			"/console/breaks/b1/explain": {"cause": {"ours"}, "note": {"n"}}, "/console/breaks/b1/carry": {"until": {"2021-02-12"}},
			"/console/breaks/b1/remedy": {"kind": {"claim"}, "reason": {"r"}}, "/console/remedies/b1-1": {"approve": {"true"}, "reason": {"r"}},
			"/console/breaks/b1/assign": {},
		} {
			if got := b.do(http.MethodPost, path, form); got.Code != http.StatusForbidden {
				t.Errorf("%s without the token: %d", path, got.Code)
			}
			form.Set("csrf", token)
			if got := b.do(http.MethodPost, path, form); got.Code != want {
				t.Errorf("%s %s: %d, want %d", role, path, got.Code, want)
			}
		}
		if n := len(w.done); want == http.StatusForbidden && n != 0 || want != http.StatusForbidden && n != 5 {
			t.Errorf("%s did %q", role, w.done)
		}
		for _, said := range w.done {
			if approves := strings.HasSuffix(said, "true}"); approves != (role == console.Approver) {
				t.Errorf("%s: %s", role, said)
			}
		}
	}
}

func TestProgramsReadTheBreaks(t *testing.T) {
	d := newDesk(t, func(c *console.Config) { c.Breaks = &workshop{} })
	b := d.sign("operator")
	got := b.do(http.MethodGet, "/console/breaks", nil, "Accept", "application/json")
	var a console.BreaksAnswer
	if err := json.Unmarshal(got.Body.Bytes(), &a); err != nil || len(a.Breaks) != 1 || a.Breaks[0].Ours != 12345 || a.CSRF == "" || len(a.Proposals) != 1 {
		t.Errorf("%s %v", got.Body, err)
	}
	got = b.do(http.MethodGet, "/console/breaks/other", nil, "Accept", "application/json")
	var e pos.Error
	if err := json.Unmarshal(got.Body.Bytes(), &e); err != nil || got.Code != http.StatusNotFound || e.Code != pos.ErrNotFound {
		t.Errorf("%d %s %v", got.Code, got.Body, err)
	}
	for path, want := range map[string]string{"/console/breaks/export.csv": "1\n", "/console/breaks/export.xlsx": "1 en\n"} {
		if got := b.get(path); got.Body.String() != want || !strings.Contains(got.Header().Get("Content-Disposition"), "attachment") {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	if page := b.get("/console/breaks?bank=ICBC&state=open").Body.String(); !strings.Contains(page, `export.csv?bank=ICBC&amp;state=open"`) ||
		!strings.Contains(page, `export.xlsx?bank=ICBC&amp;state=open"`) {
		t.Errorf("the exports do not have the page's filter:\n%s", page)
	}
	if got := b.get("/console/breaks?date=soon"); got.Code != http.StatusBadRequest {
		t.Errorf("no date: %d", got.Code)
	}
}
