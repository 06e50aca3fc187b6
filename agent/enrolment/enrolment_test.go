package enrolment_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/agent/enrolment"
	"dcpos/agent/identity"
	"dcpos/pos"
)

func ask(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestTheCounterTakesOneEnrolmentAndSaysNoClearly(t *testing.T) {
	tries := 0
	c := enrolment.NewCounter(func(_ context.Context, r enrolment.Request) (identity.Identity, error) {
		tries++
		if r.Code != "GOOD" {
			return identity.Identity{}, pos.NewError(pos.ErrForbidden, errors.New("unknown code"))
		}
		return identity.Identity{Terminal: "T1", Merchant: "M1", Store: "S1", Epoch: 1}, nil
	})
	h := c.Handler()
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"status":         {"GET", "/v1/status", "", 200, `"enrolled":false`},
		"wrong code":     {"POST", "/v1/enroll", `{"centre":"http://c","code":"BAD"}`, 403, `"forbidden"`},
		"no code":        {"POST", "/v1/enroll", `{"centre":"http://c"}`, 400, `"bad_request"`},
		"unknown field":  {"POST", "/v1/enroll", `{"centre":"http://c","code":"GOOD","x":1}`, 400, `unknown field`},
		"no JSON":        {"POST", "/v1/enroll", `{`, 400, `"bad_request"`},
		"too large":      {"POST", "/v1/enroll", `{"code":"` + strings.Repeat("x", 9000) + `"}`, 400, `"bad_request"`},
		"something else": {"GET", "/v1/payments", "", 503, `"not_enrolled"`},
	} {
		status, body := ask(t, h, tc.method, tc.path, tc.body)
		if status != tc.status || (tc.want != "unknown field" && !strings.Contains(body, tc.want)) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, body := ask(t, h, "POST", "/v1/enroll", `{"centre":"http://c","code":"GOOD"}`); status != 200 || !strings.Contains(body, "T1") {
		t.Fatalf("%d %s", status, body)
	}
	if id := <-c.Done(); id.Terminal != "T1" || tries != 2 {
		t.Errorf("%+v after %d tries", id, tries)
	}
}

func TestAnEnrolledTillSaysSo(t *testing.T) {
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := enrolment.Enrolled(identity.Identity{Terminal: "T1"}, api)
	status, body := ask(t, h, "POST", "/v1/enroll", "{}")
	var e pos.Error
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != http.StatusConflict || !strings.Contains(e.Text.EN, "T1") || e.Hint.ZH == "" {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := ask(t, h, "GET", "/v1/status", ""); status != http.StatusTeapot {
		t.Errorf("everything else is the API's: %d", status)
	}
}
