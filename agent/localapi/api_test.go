package localapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
	"dcpos/agent/operator"
	"dcpos/pos"
)

// rig is an API over a till.
type rig struct {
	*testing.T
	*checkouttest.Shop
	api    *localapi.API
	till   *checkout.Till
	server *httptest.Server
	secret map[localapi.Scope]string
}

func newRig(t *testing.T, change ...func(*localapi.Options)) *rig {
	t.Helper()
	r := &rig{T: t, Shop: checkouttest.NewShop(t), secret: map[localapi.Scope]string{}}
	till, _ := r.Start(t, func(c *checkout.Config) { c.Receipt = checkout.PrintAsk })
	r.till = till
	o := localapi.Options{Till: till}
	for _, s := range []localapi.Scope{localapi.ScopeRead, localapi.ScopePay, localapi.ScopeRefund, localapi.ScopeAdmin} {
		secret, hash, err := localapi.NewToken()
		if err != nil {
			t.Fatal(err)
		}
		r.secret[s] = secret
		o.Tokens = append(o.Tokens, localapi.Token{Name: "client-" + string(s), Hash: hash, Scopes: []localapi.Scope{s}})
	}
	for _, f := range change {
		f(&o)
	}
	api, err := localapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.api = api
	r.server = httptest.NewServer(api.Loopback())
	t.Cleanup(r.server.Close)
	return r
}

// answer is a response whose body has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (r *rig) do(method, path, body string, edit ...func(*http.Request)) answer {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+r.secret[localapi.ScopeAdmin])
	for _, f := range edit {
		f(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: b}
}

func (r *rig) want(a answer, status int, code pos.Code) localapi.Error {
	r.Helper()
	var e localapi.Error
	if err := json.Unmarshal(a.body, &e); a.status != status || (status >= 400 && (err != nil || e.Code != code || e.Text.ZH == "" || e.Text.EN == "")) {
		r.Fatalf("got %d %s, want %d %s with texts", a.status, a.body, status, code)
	}
	return e
}

func (r *rig) payment(a answer) localapi.Payment {
	r.Helper()
	var p localapi.Payment
	if err := json.Unmarshal(a.body, &p); a.status != http.StatusOK || err != nil {
		r.Fatalf("got %d %s: %v", a.status, a.body, err)
	}
	return p
}

func header(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }

const start = `{"key":"k1","order_id":"o1","amount":1000,"mode":"b_scan_c","operator":"7"}`

func TestOnePaymentOverTheAPI(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", start))
	if p.State != pos.Created || p.StateText.ZH != "已登记" || p.Caller != "client-admin" || p.Operator != "7" {
		t.Fatalf("%+v", p)
	}
	path := "/v1/payments/" + p.ID.String()
	p = r.payment(r.do("POST", path+"/code", `{"code":"`+checkouttest.Code(1)+`"}`))
	if p.State != pos.Paid || p.CodeHash != nil || p.Short == "" {
		t.Fatalf("%+v", p)
	}
	if got := r.payment(r.do("GET", path, "")); got.State != pos.Paid {
		t.Fatalf("%+v", got)
	}
	a := r.do("POST", path+"/refunds", `{"amount":400}`, header("Idempotency-Key", "r1"))
	var ref localapi.Refunded
	if err := json.Unmarshal(a.body, &ref); err != nil || a.status != http.StatusOK || ref.Refund.State != pos.RefundRefunded {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	if a := r.do("POST", path+"/print", ""); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("CONFIRMED")) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var list localapi.PaymentList
	a = r.do("GET", "/v1/payments?state=paid&limit=5", "")
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Payments) != 1 {
		t.Fatalf("%s %v", a.body, err)
	}
	var s localapi.Status
	a = r.do("GET", "/v1/status", "")
	if err := json.Unmarshal(a.body, &s); err != nil || s.Terminal != checkouttest.Terminal || !s.Connected || s.Notice.ZH != "测试" {
		t.Fatalf("%s %v", a.body, err)
	}
}

func TestQROverTheAPI(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", strings.Replace(start, "b_scan_c", "c_scan_b", 1)))
	path := "/v1/payments/" + p.ID.String()
	r.want(r.do("GET", path+"/qr.png", ""), http.StatusConflict, pos.ErrIllegalMove)
	if p = r.payment(r.do("POST", path+"/present", "")); p.QR == "" {
		t.Fatalf("%+v", p)
	}
	a := r.do("GET", path+"/qr.png?size=200", "")
	img, err := png.Decode(bytes.NewReader(a.body))
	if err != nil || a.header.Get("Content-Type") != "image/png" || img.Bounds().Dx() != 200 {
		t.Fatalf("%d %v %s", a.status, err, a.header.Get("Content-Type"))
	}
	if p = r.payment(r.do("POST", path+"/cancel", "")); p.State != pos.Abandoned {
		t.Fatalf("%+v", p)
	}
}

func TestEvidenceOverTheAPI(t *testing.T) {
	r := newRig(t)
	r.Host.Connect(false)
	p := r.payment(r.do("POST", "/v1/payments", strings.Replace(start, "b_scan_c", "evidence", 1)))
	path := "/v1/payments/" + p.ID.String()
	var c localapi.Challenge
	if err := json.Unmarshal(r.do("POST", path+"/challenge", "").body, &c); err != nil || c.Text == "" {
		t.Fatalf("%+v %v", c, err)
	}
	if a := r.do("GET", path+"/qr.png", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.want(r.do("POST", path+"/evidence", `{"evidence":"dcpos:ev1:x"}`), http.StatusUnprocessableEntity, pos.ErrEvidence)
	answer, err := r.NewWallet(t).Sign(c.Text)
	if err != nil {
		t.Fatal(err)
	}
	if p = r.payment(r.do("POST", path+"/evidence", `{"evidence":"`+answer+`"}`)); p.StateText.ZH != "已受理,待入账" {
		t.Fatalf("%+v", p)
	}
}

func TestErrors(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", start))
	path := "/v1/payments/" + p.ID.String()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               pos.Code
		field              string
	}{
		"same key, other body":  {"POST", "/v1/payments", strings.Replace(start, "1000", "999", 1), 409, pos.ErrKeyConflict, "key"},
		"order is open":         {"POST", "/v1/payments", strings.Replace(start, "k1", "k2", 1), 409, pos.ErrOrderOpen, "order_id"},
		"no key":                {"POST", "/v1/payments", strings.Replace(start, `"key":"k1",`, "", 1), 422, pos.ErrBadRequest, "key"},
		"amount of nothing":     {"POST", "/v1/payments", strings.Replace(start, "1000", "0", 1), 422, pos.ErrBadRequest, "amount"},
		"amount with a point":   {"POST", "/v1/payments", strings.Replace(start, "1000", "10.5", 1), 422, pos.ErrBadRequest, "amount"},
		"amount beyond all":     {"POST", "/v1/payments", strings.Replace(strings.Replace(start, "k1", "k3", 1), "1000", "99999999999999", 1), 422, pos.ErrBadRequest, "amount"},
		"unknown field":         {"POST", "/v1/payments", strings.Replace(start, "mode", "modus", 1), 422, pos.ErrBadRequest, ""},
		"unknown mode":          {"POST", "/v1/payments", strings.Replace(start, "b_scan_c", "cash", 1), 422, pos.ErrBadRequest, "mode"},
		"no JSON":               {"POST", "/v1/payments", "{", 400, pos.ErrBadRequest, ""},
		"no body":               {"POST", "/v1/payments", "", 400, pos.ErrBadRequest, ""},
		"no such payment":       {"GET", "/v1/payments/01900000-0000-7000-8000-000000000000", "", 404, pos.ErrNotFound, "payment"},
		"no id":                 {"GET", "/v1/payments/x", "", 404, pos.ErrNotFound, "id"},
		"another scheme":        {"POST", path + "/code", `{"code":"130000000000000000"}`, 422, pos.ErrBadCode, "code"},
		"goods are no money":    {"POST", path + "/code", `{"code":"6901234567892"}`, 422, pos.ErrBadCode, "code"},
		"not a QR payment":      {"POST", path + "/present", "", 409, pos.ErrIllegalMove, ""},
		"nothing to refund":     {"POST", path + "/refunds", `{"key":"r","amount":1}`, 409, pos.ErrNotRefundable, ""},
		"no such resource":      {"GET", "/v1/nothing", "", 404, pos.ErrNotFound, ""},
		"wrong PIN":             {"POST", "/v1/session", `{"number":"11","pin":"1"}`, 403, pos.ErrBadPIN, ""},
		"no such state":         {"GET", "/v1/payments?state=gone", "", 422, pos.ErrBadRequest, "state"},
		"scan of nothing known": {"POST", "/v1/scan", `{"code":"hello"}`, 422, pos.ErrBadCode, "code"},
		"too large":             {"POST", "/v1/scan", `{"code":"` + strings.Repeat("x", 20000) + `"}`, 413, pos.ErrTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r.T = t
			e := r.want(r.do(c.method, c.path, c.body), c.status, c.code)
			if c.field != "" && e.Field != c.field {
				t.Fatalf("field %q, want %q (%s)", e.Field, c.field, e.Detail)
			}
			if strings.Contains(e.Detail+e.Text.EN, "130000000000000000") {
				t.Fatal("the answer repeats the code")
			}
		})
	}
}

func TestOfflineIs503(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", start))
	r.Host.Connect(false)
	e := r.want(r.do("POST", "/v1/payments/"+p.ID.String()+"/code", `{"code":"`+checkouttest.Code(1)+`"}`), 503, pos.ErrOfflineCode)
	if e.Hint.ZH == "" {
		t.Fatal("no advice")
	}
}

func TestIdempotencyOverTheAPI(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", start))
	body := strings.Replace(start, `"key":"k1",`, "", 1)
	if q := r.payment(r.do("POST", "/v1/payments", body, header("Idempotency-Key", "k1"))); q.ID != p.ID {
		t.Fatalf("%s and %s", p.ID, q.ID)
	}
	r.want(r.do("POST", "/v1/payments", start, header("Idempotency-Key", "k2")), 422, pos.ErrBadRequest)
	other := strings.Replace(start, "o1", "o2", 1)
	if q := r.payment(r.do("POST", "/v1/payments", other, bearer(r.secret[localapi.ScopePay]))); q.ID == p.ID {
		t.Fatal("clients share keys")
	}
}

func bearer(secret string) func(*http.Request) { return header("Authorization", "Bearer "+secret) }

func TestScopes(t *testing.T) {
	r := newRig(t)
	p := r.payment(r.do("POST", "/v1/payments", start))
	path := "/v1/payments/" + p.ID.String()
	type call struct{ method, path, body string }
	calls := map[localapi.Scope][]call{
		localapi.ScopeRead: {{"GET", path, ""}, {"GET", "/v1/status", ""}, {"GET", "/v1/payments", ""}, {"GET", "/v1/devices", ""}},
		localapi.ScopePay: {
			{"POST", "/v1/payments", start},
			{"POST", path + "/code", `{"code":"x"}`},
			{"POST", path + "/print", ""},
			{"POST", "/v1/scan", `{"code":"x"}`},
			{"DELETE", "/v1/session", ""},
			{"POST", "/v1/drawer", `{"reason":"x"}`},
		},
		localapi.ScopeRefund: {{"POST", path + "/refunds", `{"key":"r","amount":1}`}},
	}
	for need, list := range calls {
		for have, secret := range r.secret {
			for _, c := range list {
				a := r.do(c.method, c.path, c.body, bearer(secret))
				var e localapi.Error
				_ = json.Unmarshal(a.body, &e)
				refused := a.status == http.StatusForbidden && e.Code == pos.ErrForbidden
				if want := have != need && have != localapi.ScopeAdmin; refused != want {
					t.Errorf("%s %s with %s: %d %s", c.method, c.path, have, a.status, a.body)
				}
			}
		}
	}
	for _, edit := range []func(*http.Request){
		func(r *http.Request) { r.Header.Del("Authorization") }, bearer(""), bearer("wrong"), header("Authorization", "Basic eDp5"),
		func(q *http.Request) {
			q.Header.Del("Authorization")
			q.Header.Set("Cookie", localapi.CookieSession+strings.Split(r.server.URL, ":")[2]+"=a.b")
		},
	} {
		r.want(r.do("GET", "/v1/status", "", edit), http.StatusUnauthorized, pos.ErrForbidden)
		r.want(r.do("POST", "/v1/payments", start, edit), http.StatusUnauthorized, pos.ErrForbidden)
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	r := newRig(t)
	host := strings.TrimPrefix(r.server.URL, "http://")
	_, port, _ := strings.Cut(host, ":")
	for name, c := range map[string]struct {
		edit func(*http.Request)
		want int
	}{
		"own address":           {func(*http.Request) {}, 200},
		"localhost":             {func(r *http.Request) { r.Host = "localhost:" + port }, 200},
		"IPv6":                  {func(r *http.Request) { r.Host = "[::1]:" + port }, 200},
		"own origin":            {header("Origin", "http://"+host), 200},
		"rebound name":          {func(r *http.Request) { r.Host = "evil.example:" + port }, 403},
		"name that looks":       {func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		"no host":               {func(r *http.Request) { r.Host = "" }, 200}, // the client fills it in
		"other origin":          {header("Origin", "https://evil.example"), 403},
		"other port":            {header("Origin", "http://127.0.0.1:1"), 403},
		"null origin":           {header("Origin", "null"), 403},
		"cross-site":            {header("Sec-Fetch-Site", "cross-site"), 403},
		"same site, other port": {header("Sec-Fetch-Site", "same-site"), 403},
		"same origin":           {header("Sec-Fetch-Site", "same-origin"), 200},
	} {
		t.Run(name, func(t *testing.T) {
			r.T = t
			if a := r.do("GET", "/v1/status", "", c.edit); a.status != c.want {
				t.Fatalf("got %d %s, want %d", a.status, a.body, c.want)
			}
		})
	}
}

func TestPagesHaveASessionOfTheirOwn(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	r := newRig(t, func(o *localapi.Options) { o.Screen, o.ScreenKey = page, "secret" })
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	if a := r.do("GET", "/", "", none); a.status != 200 || len(a.header.Values("Set-Cookie")) != 0 {
		t.Fatalf("a page without the key gives a session: %v", a.header)
	}
	r.want(r.do("GET", "/enter?key=wrong", "", none), http.StatusForbidden, pos.ErrForbidden)
	a := r.do("GET", "/enter?key=secret", "", none)
	if a.status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var csrf string
	var cookies []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.SameSite != http.SameSiteStrictMode || (strings.HasPrefix(c.Name, localapi.CookieSession) && !c.HttpOnly) {
			t.Fatalf("cookie %+v", c)
		}
		if c.Name == localapi.CookieCSRF {
			csrf = c.Value
		}
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	with := func(r *http.Request) { none(r); r.Header.Set("Cookie", strings.Join(cookies, "; ")) }
	if a := r.do("GET", "/v1/status", "", with); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.want(r.do("POST", "/v1/payments", start, with), http.StatusUnauthorized, pos.ErrForbidden)
	r.want(r.do("POST", "/v1/payments", start, with, header(localapi.HeaderCSRF, "x")), http.StatusUnauthorized, pos.ErrForbidden)
	if p := r.payment(r.do("POST", "/v1/payments", start, with, header(localapi.HeaderCSRF, csrf))); p.Caller != localapi.CallerScreen {
		t.Fatalf("%+v", p)
	}
	if a := r.do("GET", "/cashier", "", with); string(a.body) != "page" {
		t.Fatalf("%s", a.body)
	}
}

func TestUnixCallersHaveTheirOwnKeys(t *testing.T) {
	r := newRig(t)
	unix := httptest.NewServer(r.api.Unix())
	defer unix.Close()
	r.server.URL = unix.URL
	p := r.payment(r.do("POST", "/v1/payments", start))
	q := r.payment(r.do("POST", "/v1/payments", strings.Replace(start, "o1", "o2", 1), header(localapi.HeaderCaller, "till-app")))
	if p.Caller != "local" || q.Caller != "local:till-app" {
		t.Fatalf("%q %q", p.Caller, q.Caller)
	}
	r.want(r.do("GET", "/v1/status", "", header(localapi.HeaderCaller, "Screen!")), http.StatusBadRequest, pos.ErrBadRequest)
}

func TestSession(t *testing.T) {
	r := newRig(t)
	r.Staff.Hire(t, "11", operator.Cashier, "1234")
	if a := r.do("POST", "/v1/session", `{"number":"11","pin":"1234"}`); a.status != 200 || bytes.Contains(a.body, []byte("argon2")) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/status", ""); !bytes.Contains(a.body, []byte(`"operator":{"number":"11"`)) {
		t.Fatalf("%s", a.body)
	}
	if a := r.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

func TestDescription(t *testing.T) {
	r := newRig(t)
	a := r.do("GET", "/openapi.json", "")
	var d struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(a.body, &d); err != nil || d.OpenAPI != "3.1.0" {
		t.Fatalf("%v %.200s", err, a.body)
	}
	n := 0
	for _, p := range d.Paths {
		n += len(p)
	}
	if n != 29 {
		t.Fatalf("%d operations are described", n)
	}
	again, err := r.api.OpenAPI()
	if err != nil || len(again) == 0 {
		t.Fatal(err)
	}
}

func TestTokensThatCannotBeMeant(t *testing.T) {
	shop := checkouttest.NewShop(t)
	till, _ := shop.Start(t)
	_, hash, err := localapi.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	read := []localapi.Scope{localapi.ScopeRead}
	for _, k := range []localapi.Token{
		{Name: "", Hash: hash, Scopes: read},
		{Name: "screen", Hash: hash, Scopes: read},
		{Name: "a b", Hash: hash, Scopes: read},
		{Name: "a", Hash: "", Scopes: read},
		{Name: "a", Hash: hash},
		{Name: "a", Hash: hash, Scopes: []localapi.Scope{"all"}},
	} {
		if _, err := localapi.New(localapi.Options{Till: till, Tokens: []localapi.Token{k}}); pos.CodeOf(err) != pos.ErrConfig {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

func FuzzBody(f *testing.F) {
	shop := checkouttest.NewShop(f)
	till, _ := shop.Start(f)
	api, err := localapi.New(localapi.Options{Till: till})
	if err != nil {
		f.Fatal(err)
	}
	h := api.Unix()
	for _, path := range []string{"/v1/payments", "/v1/scan", "/v1/session", "/v1/payments/0195c1a0-0000-7000-8000-000000000000/code"} {
		for _, body := range []string{start, `{"code":"01001000000000000000"}`, "{}", "[]", "null", "{\"amount\":1e99}", "\xff"} {
			f.Add(path, body)
		}
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://x/", strings.NewReader(body))
		if err != nil {
			return
		}
		req.URL.Path = path
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%s %q: %d %s", path, body, w.Code, w.Body)
		}
	})
}
