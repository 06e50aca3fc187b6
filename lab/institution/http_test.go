package institution_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRequestsOutOfFormAreRefusedByName(t *testing.T) {
	l := newLab(t)
	good := asJSON(t, l.payment(t, l.wallet(t, 10_00, 0), 1_00))
	change := func(old, put string) string {
		out := strings.Replace(good, old, put, 1)
		if out == good {
			t.Fatalf("%q is not in %s", old, good)
		}
		return out
	}
	for name, c := range map[string]struct {
		path, body string
		status     int
		code, says string
	}{
		"unknown field":             {"/payments", change(`"merchant"`, `"mechant":"M","merchant"`), 400, "bad_request", "mechant"},
		"amount as text":            {"/payments", change(`:100,`, `:"100",`), 400, "bad_request", "amount_fen"},
		"amount with a fraction":    {"/payments", change(`:100,`, `:100.5,`), 400, "bad_request", "amount_fen"},
		"amount of nothing":         {"/payments", change(`:100,`, `:0,`), 400, "bad_request", "amount_fen"},
		"amount below nothing":      {"/payments", change(`:100,`, `:-1,`), 400, "bad_request", "amount_fen"},
		"amount beyond all":         {"/payments", change(`:100,`, `:1000000000001,`), 400, "bad_request", "amount_fen"},
		"id of no payment":          {"/payments", change(`"request_id":"`, `"request_id":"x`), 400, "bad_request", "request_id"},
		"merchant with a comma":     {"/payments", change(`"M1"`, `"M,1"`), 400, "bad_request", "merchant"},
		"terminal with a newline":   {"/payments", change(`"T1"`, `"T\n1"`), 400, "bad_request", "terminal"},
		"no merchant":               {"/payments", change(`"merchant":"M1",`, ``), 400, "bad_request", "merchant"},
		"two objects":               {"/payments", good + good, 400, "bad_request", "one JSON object"},
		"half an object":            {"/payments", good[:20], 400, "bad_request", "body"},
		"nothing":                   {"/payments", "", 400, "bad_request", "body"},
		"an array":                  {"/payments", "[]", 400, "bad_request", "body"},
		"null":                      {"/payments", "null", 400, "bad_request", "request_id"},
		"too large":                 {"/payments", `{"request_id":"` + strings.Repeat("a", api.MaxBody) + `"}`, 413, "too_large", "65536"},
		"order without an end":      {"/orders", `{"request_id":"` + l.id() + `","merchant":"M","terminal":"T","amount_fen":1}`, 400, "bad_request", "valid_until_ms"},
		"evidence not base64":       {"/evidence", `{"request_id":"` + l.id() + `","evidence":"%"}`, 400, "bad_request", "evidence"},
		"evidence not canonical":    {"/evidence", `{"request_id":"` + l.id() + `","evidence":"oA=="}`, 400, "bad_request", "evidence"},
		"wallet with a strange key": {"/wallets", `{"name":"n","balance_fen":1,"envelope_fen":0,"suite":"sm2-sm3","public_key":"AAAA"}`, 400, "bad_request", "public_key"},
		"wallet of no suite":        {"/wallets", `{"name":"n","balance_fen":1,"envelope_fen":0,"suite":"rsa","public_key":"AAAA"}`, 400, "bad_request", "suite"},
		"fault that cannot be":      {"/faults", `{"op":"query","kind":"decline"}`, 400, "bad_request", "kind"},
		"fault of no operation":     {"/faults", `{"op":"pay","kind":"slow"}`, 400, "bad_request", "op"},
		"code of no wallet":         {"/wallets/icbc-nobody/code", "", 404, "not_found", "icbc-nobody"},
		"no such path":              {"/pay", good, 404, "not_found", "/pay"},
	} {
		t.Run(name, func(t *testing.T) {
			got := do[api.Problem](t, l, c.status, http.MethodPost, c.path, c.body)
			if got.Code != c.code || !strings.Contains(got.Message, c.says) {
				t.Errorf("got %+v, want %s naming %s", got, c.code, c.says)
			}
		})
	}
	if b := l.books(t); b.PaidCount != 0 || b.FailedCount != 0 {
		t.Errorf("something was booked: %+v", b)
	}
}

func TestOnlyTheInstitutionsOwnKeyIsLetIn(t *testing.T) {
	l := newLab(t)
	for name, c := range map[string]struct {
		inst, key string
		status    int
	}{
		"no key":              {"ICBC", "", http.StatusUnauthorized},
		"another's key":       {"ICBC", l.sim.Key("ABC"), http.StatusUnauthorized},
		"unknown institution": {"XYZ", l.sim.Key("ICBC"), http.StatusNotFound},
		"own key":             {"ICBC", l.sim.Key("ICBC"), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.http.URL+"/"+c.inst+"/v1/books", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(institution.KeyHeader, c.key)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := res.Body.Close(); err != nil || res.StatusCode != c.status {
				t.Errorf("status %d %v, want %d", res.StatusCode, err, c.status)
			}
		})
	}
}

func open(t *testing.T, l *lab, path string) (string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.http.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err = errorsJoin(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, res.StatusCode, err)
	}
	return string(b), res.Header
}

func TestPageShowsBooksAndFaultsAndNoSecret(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 12_34)
	p.Merchant = "<b>M"
	post[api.Result](t, l, "/payments", p)
	l.fault(t, api.Fault{Op: api.OpRefunds, Kind: api.Decline, Reason: "because", Count: 3})
	page, header := open(t, l, "/")
	for _, want := range []string{"测试 TEST", "工商银行", "Postal Savings", "12.34", p.RequestID, "&lt;b&gt;M", "refunds decline ×3", "because"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, l.sim.Key("ICBC")) || strings.Contains(page, p.Code) || strings.Contains(page, "<b>M") {
		t.Error("the page shows a key, a code or foreign HTML")
	}
	if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("no content security policy")
	}
	if body, _ := open(t, l, "/healthz"); !strings.Contains(body, `"ok"`) {
		t.Errorf("healthz %s", body)
	}
}

func TestTrustNamesSixInstitutionsAndTheRevoked(t *testing.T) {
	l := newLab(t)
	w := l.walletAt(t, "ICBC", 1, 0, dcep.Ed25519SHA256)
	read := func() dcep.Trust {
		var trust dcep.Trust
		body, _ := open(t, l, "/lab/trust")
		if err := json.Unmarshal([]byte(body), &trust); err != nil {
			t.Fatal(err)
		}
		return trust
	}
	trust := read()
	if trust.Env != pos.Lab || len(trust.Roots) != 1 || len(trust.Institutions) != 6 || len(trust.Revoked) != 0 {
		t.Fatalf("trust %s, %d roots, %d institutions, revoked %v", trust.Env, len(trust.Roots), len(trust.Institutions), trust.Revoked)
	}
	c, err := trust.VerifyWallet(w.Certificate(), l.now())
	if err != nil || c.Institution != "ICBC" {
		t.Errorf("wallet certificate: %+v %v", c, err)
	}
	post[struct{}](t, l, "/wallets/"+w.ID()+"/revoke", nil)
	if got := read().Revoked; len(got) != 1 || got[0] != c.Serial {
		t.Errorf("revoked %v, want %s", got, c.Serial)
	}
}
