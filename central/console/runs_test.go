package console_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dcpos/central/console"
	"dcpos/pos"
)

func TestOperatorsAskForARun(t *testing.T) {
	var asked []string
	d := newDesk(t, func(c *console.Config) {
		c.Runs = fakeRuns{}
		c.Actions.Reconcile = func(_ context.Context, date pos.Date, by string) (console.RunAsk, error) {
			if _, err := pos.ParseDate(string(date)); err != nil {
				return console.RunAsk{}, pos.FieldError(pos.ErrBadRequest, "date", err)
			}
			asked = append(asked, string(date)+" "+by)
			return console.RunAsk{Date: date, Number: int64(len(asked)), By: by, DueMS: 1}, nil
		}
	})
	const path = "/console/reconcile"
	if b := d.sign("viewer"); strings.Contains(b.get(path).Body.String(), `name="date"`) {
		t.Error("a viewer is offered a run")
	} else if got := b.do(http.MethodPost, path, url.Values{"date": {"2021-02-10"}, "csrf": {b.token()}}); got.Code != http.StatusForbidden {
		t.Errorf("a viewer: %d", got.Code)
	}
	b := d.sign("operator")
	form := url.Values{"date": {" 2021-02-10 "}}
	if got := b.do(http.MethodPost, path, form); got.Code != http.StatusForbidden {
		t.Errorf("without the token: %d", got.Code)
	}
	form.Set("csrf", b.token())
	if got := b.do(http.MethodPost, path, form); got.Code != http.StatusSeeOther || got.Header().Get("Location") != path {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	got := b.do(http.MethodPost, path, form, "Accept", "application/json")
	var a console.RunAnswer
	if err := json.Unmarshal(got.Body.Bytes(), &a); err != nil || a.Ask.Number != 2 || a.Ask.By != "operator" {
		t.Errorf("%s %v", got.Body, err)
	}
	form.Set("date", "soon")
	if got := b.do(http.MethodPost, path, form); got.Code != http.StatusBadRequest {
		t.Errorf("a date that is none: %d", got.Code)
	}
	got = b.do(http.MethodGet, path, nil, "Accept", "application/json")
	var all console.RunsAnswer
	if err := json.Unmarshal(got.Body.Bytes(), &all); err != nil || len(all.Runs) != 1 || len(all.Asks) != 2 || all.CSRF == "" || all.Runs[0].Date != "2021-02-10" {
		t.Errorf("%s %v", got.Body, err)
	}
	if want := []string{"2021-02-10 operator", "2021-02-10 operator"}; !slices.Equal(asked, want) {
		t.Errorf("%q, want %q", asked, want)
	}
	if trail := d.trail(); !slices.ContainsFunc(trail, func(l string) bool { return strings.Contains(l, "reconcile_asked") }) {
		t.Errorf("%q", trail)
	}
}
