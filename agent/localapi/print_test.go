package localapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
	"dcpos/drivers"
	"dcpos/pos"
)

func (r *rig) print(a answer) checkout.Print {
	r.Helper()
	var p checkout.Print
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != http.StatusOK {
		r.Fatalf("%d %s %v", a.status, a.body, err)
	}
	return p
}

func (r *rig) until(id string, state pos.PrintState) checkout.Print {
	r.Helper()
	var p checkout.Print
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if p = r.print(r.do("GET", "/v1/prints/"+id, "")); p.State == state {
			return p
		}
	}
	r.Fatalf("print job is %s %s, want %s", p.State, p.Reason, state)
	return p
}

func TestPrintsOverTheAPI(t *testing.T) {
	r := newRig(t)
	paid := r.payment(r.do("POST", "/v1/payments", start))
	r.payment(r.do("POST", "/v1/payments/"+paid.ID.String()+"/code", `{"code":"`+checkouttest.Code(1)+`"}`))
	body := `{"kind":"payment","payment":"` + paid.ID.String() + `"}`
	key := header("Idempotency-Key", "p1")
	r.Printer.Jam(drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrPaperEnd, nil))
	job := r.print(r.do("POST", "/v1/prints", body, key))
	paused := r.until(job.ID, pos.PrintPaused)
	if paused.Reason != "paper" || paused.Hint.ZH == "" || paused.Hint.EN == "" || paused.Caller != "client-admin" {
		t.Fatalf("%+v", paused)
	}
	var s struct{ Prints []checkout.Print }
	if err := json.Unmarshal(r.do("GET", "/v1/status", "").body, &s); err != nil || len(s.Prints) != 1 || s.Prints[0].ID != job.ID {
		t.Fatalf("%+v %v", s, err)
	}
	r.Printer.Jam(nil)
	if again := r.print(r.do("POST", "/v1/prints", body, key)); again.ID != job.ID {
		t.Fatalf("%+v", again)
	}
	r.until(job.ID, pos.PrintConfirmed)
	if n := len(r.Printer.Jobs()); n != 1 {
		t.Fatalf("%d papers", n)
	}

	r.Printer.Mute(true)
	second := r.print(r.do("POST", "/v1/prints", body, header("Idempotency-Key", "p2")))
	if p := r.until(second.ID, pos.PrintUnknown); !p.Ask || !p.Duplicate {
		t.Fatalf("%+v", p)
	}
	r.print(r.do("POST", "/v1/prints/"+second.ID+"/answer", `{"came_out":false}`))
	r.until(second.ID, pos.PrintUnknown)
	if p := r.print(r.do("POST", "/v1/prints/"+second.ID+"/answer", `{"came_out":true}`)); p.State != pos.PrintConfirmed {
		t.Fatalf("%+v", p)
	}

	r.Printer.Jam(drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrCoverOpen, nil))
	third := r.print(r.do("POST", "/v1/prints", body, header("Idempotency-Key", "p3")))
	r.until(third.ID, pos.PrintPaused)
	if p := r.print(r.do("POST", "/v1/prints/"+third.ID+"/cancel", "")); p.State != pos.PrintCancelled {
		t.Fatalf("%+v", p)
	}
	var list localapi.PrintList
	if err := json.Unmarshal(r.do("GET", "/v1/prints?limit=2", "").body, &list); err != nil || len(list.Prints) != 2 || list.Prints[0].ID != third.ID {
		t.Fatalf("%+v %v", list, err)
	}
	if a := r.do("GET", "/v1/prints?open=true", ""); strings.TrimSpace(string(a.body)) != `{"prints":[]}` {
		t.Fatalf("%s", a.body)
	}
}

func TestPrintsThatAreRefused(t *testing.T) {
	r := newRig(t)
	paid := r.payment(r.do("POST", "/v1/payments", start))
	body := `{"key":"p1","kind":"payment","payment":"` + paid.ID.String() + `"}`
	job := r.print(r.do("POST", "/v1/prints", body))
	r.until(job.ID, pos.PrintConfirmed)
	one := "/v1/prints/" + job.ID
	for name, c := range map[string]struct {
		method, path, body string
		scope              localapi.Scope
		status             int
		code               pos.Code
	}{
		"other content":   {"POST", "/v1/prints", `{"key":"p1","kind":"self_test"}`, "", 422, pos.ErrBadRequest}, // there is none
		"no key":          {"POST", "/v1/prints", `{"kind":"payment","payment":"` + paid.ID.String() + `"}`, "", 422, pos.ErrBadRequest},
		"no kind":         {"POST", "/v1/prints", `{"key":"k"}`, "", 422, pos.ErrBadRequest},
		"a poem":          {"POST", "/v1/prints", `{"key":"k","kind":"poem"}`, "", 422, pos.ErrBadRequest},
		"no id":           {"POST", "/v1/prints", `{"key":"k","kind":"payment","payment":"x"}`, "", 422, pos.ErrBadRequest},
		"no such payment": {"POST", "/v1/prints", `{"key":"k","kind":"payment","payment":"0195c1a0-0000-7000-8000-000000000000"}`, "", 404, pos.ErrNotFound},
		"reader prints":   {"POST", "/v1/prints", body, localapi.ScopeRead, 403, pos.ErrForbidden},
		"reader answers":  {"POST", one + "/answer", `{"came_out":true}`, localapi.ScopeRead, 403, pos.ErrForbidden},
		"reader cancels":  {"POST", one + "/cancel", "", localapi.ScopeRead, 403, pos.ErrForbidden},
		"no such job":     {"GET", "/v1/prints/none", "", "", 404, pos.ErrNotFound},
		"neither":         {"POST", one + "/answer", `{}`, "", 422, pos.ErrBadRequest},
		"nothing to ask":  {"POST", one + "/answer", `{"came_out":false}`, "", 409, pos.ErrIllegalMove},
		"it is printed":   {"POST", one + "/cancel", "", "", 409, pos.ErrIllegalMove},
		"too many":        {"GET", "/v1/prints?limit=9999", "", "", 422, pos.ErrBadRequest},
	} {
		var change []func(*http.Request)
		if c.scope != "" {
			change = append(change, header("Authorization", "Bearer "+r.secret[c.scope]))
		}
		a := r.do(c.method, c.path, c.body, change...)
		var e localapi.Error
		if err := json.Unmarshal(a.body, &e); err != nil || a.status != c.status || e.Code != c.code || e.Text.ZH == "" || e.Hint.EN == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	other := r.payment(r.do("POST", "/v1/payments", strings.NewReplacer("k1", "k2", "o1", "o2").Replace(start)))
	a := r.do("POST", "/v1/prints", `{"key":"p1","kind":"payment","payment":"`+other.ID.String()+`"}`)
	if a.status != http.StatusConflict || !strings.Contains(string(a.body), string(pos.ErrKeyConflict)) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := len(r.Printer.Jobs()); n != 1 {
		t.Errorf("%d papers", n)
	}
}
