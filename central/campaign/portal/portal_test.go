package portal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/portal"
	"dcpos/central/campaign/register"
	"dcpos/central/ledger"
	"dcpos/central/store"
	"dcpos/lab/witness"
	"dcpos/pos"
)

const name = "wangfujing-2021"

// stage is a portal over a published campaign, with one clock for all.
type stage struct {
	testing.TB
	*portal.Portal
	office *office.Office
	rules  campaign.Definition
	now    atomic.Int64
	mu     sync.Mutex
	last   map[string]string // messages by phone
}

// Send implements register.SMS.
func (s *stage) Send(_ context.Context, phone string, text pos.Text) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[phone] = regexp.MustCompile(`码 ([0-9]{6})`).FindStringSubmatch(text.ZH)[1]
	return nil
}

func (s *stage) set(t time.Time) { s.now.Store(t.UnixMilli()) }

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func newStage(t testing.TB, change func(*portal.Config)) *stage { //nolint:thelper // it is the helper of tests and benchmarks
	t.Helper()
	s := &stage{TB: t, last: map[string]string{}}
	clock := func() time.Time { return time.UnixMilli(s.now.Load()) }
	all, err := campaign.Shipped()
	s.must(err)
	for _, d := range all {
		if d.Name == name {
			s.rules = d
		}
	}
	s.rules.Scope.Merchants = []string{"*"}
	s.set(s.rules.Register.From.Add(-time.Hour))
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), Env: pos.Lab})
	s.must(err)
	t.Cleanup(func() { _ = db.Close() })
	w, err := witness.Open(filepath.Join(t.TempDir(), "witness.json"), "witness.example", clock)
	s.must(err)
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	secret, public, err := office.Publisher("publisher.example")
	s.must(err)
	signer, err := office.OpenPublisher(secret)
	s.must(err)
	s.must(w.Watch(draw.Origin(name), public))
	s.office, err = office.New(office.Config{
		Env: pos.Lab, Store: db.Office(), PublisherKey: public, Witness: w.VerifierKey(), Ask: draw.Ask{URL: server.URL}, Folder: t.TempDir(),
		Institutions: []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"},
		Desk:         register.Config{Store: db.Registrations(), Publisher: signer, SMS: s, Master: make([]byte, 32), Now: clock, PerSource: 1 << 30},
	})
	s.must(err)
	_, err = db.Ledger().Post(t.Context(), ledger.Deposited(s.rules.Funding, "ICBC", "1", s.rules.Budget, "2021-02-01"))
	s.must(err)
	area, err := campaign.ShippedArea(s.rules.Fence)
	s.must(err)
	_, err = s.office.Publish(t.Context(), office.Draft{Definition: s.rules, Area: area, Chain: draw.PracticeChain, By: "operator"})
	s.must(err)
	cfg := portal.Config{Version: "test", Env: pos.Lab, Office: s.office, LookUps: 1 << 30, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&cfg)
	}
	s.Portal, err = portal.New(cfg)
	s.must(err)
	return s
}

// ask sends a request as a browser or an app of the page would.
func (s *stage) ask(method, path, contentType, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(s.Context(), method, "http://campaign.example"+path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *stage) get(path string) *httptest.ResponseRecorder {
	return s.ask(http.MethodGet, path, "", "")
}

func (s *stage) api(path string, in any) *httptest.ResponseRecorder {
	b, err := json.Marshal(in)
	s.must(err)
	return s.ask(http.MethodPost, "/v1/campaigns/"+name+path, "application/json", string(b))
}

func person(n int) portal.Submission {
	return portal.Submission{
		Name: "Alexei", Document: "passport", Country: "FRA", Number: fmt.Sprintf("P%07d", n), Phone: fmt.Sprintf("138%08d", n), Institution: "ICBC",
		Position: &portal.Position{Datum: "gcj02", Lat: 39.9164, Lon: 116.4174, Accuracy: 20},
	}
}

func decode[T any](s *stage, w *httptest.ResponseRecorder) (v T) {
	s.Helper()
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&v); err != nil {
		s.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return v
}

func (s *stage) enter(n int) portal.Entry {
	s.Helper()
	in := person(n)
	a := decode[struct{ Ref string }](s, s.api("/registrations", in))
	w := s.api("/confirmations", map[string]string{"ref": a.Ref, "code": s.last[in.Phone]})
	if w.Code != http.StatusOK {
		s.Fatalf("confirm: %d %s", w.Code, w.Body)
	}
	return decode[portal.Entry](s, w)
}

func TestEdgesOfTheWindowByHTTP(t *testing.T) {
	s := newStage(t, nil)
	w := s.rules.Register
	for i, c := range []struct {
		at     time.Time
		status int
		reason register.Reason
	}{
		{w.From.Add(-time.Millisecond), http.StatusForbidden, register.NotOpen},
		{w.From, http.StatusOK, ""},
		{w.Until.Add(-time.Millisecond), http.StatusOK, ""},
		{w.Until, http.StatusForbidden, register.Closed},
	} {
		s.set(c.at)
		a := s.api("/registrations", person(i))
		if p := decode[portal.Problem](s, a); a.Code != c.status || p.Reason != c.reason || (c.reason != "" && (p.Text.ZH == "" || p.Hint.EN == "")) {
			t.Errorf("%s: %d %s", c.at, a.Code, a.Body)
		}
		want := map[bool]string{true: `action="/c/` + name + `/register"`, false: ""}[c.status == http.StatusOK]
		if page := s.get("/c/" + name); page.Code != http.StatusOK || strings.Contains(page.Body.String(), "/register\"") != (want != "") {
			t.Errorf("%s: the form is there or not: %d", c.at, page.Code)
		}
	}
}

func TestRefusalsByHTTP(t *testing.T) {
	s := newStage(t, nil)
	s.set(s.rules.Register.From)
	outside, nowhere, number := person(1), person(1), person(1)
	outside.Position = &portal.Position{Datum: "wgs84", Lat: 31, Lon: 121, Accuracy: 5}
	nowhere.Position = nil
	number.Number = "?"
	for what, c := range map[string]struct {
		got    *httptest.ResponseRecorder
		status int
		reason register.Reason
		field  string
	}{
		"outside":       {s.api("/registrations", outside), http.StatusForbidden, register.OutsideArea, "position"},
		"no position":   {s.api("/registrations", nowhere), http.StatusBadRequest, register.NoPlace, "position"},
		"number":        {s.api("/registrations", number), http.StatusBadRequest, register.BadIdentity, "number"},
		"nothing":       {s.api("/registrations", struct{}{}), http.StatusForbidden, register.BadDocument, "document"},
		"no such ref":   {s.api("/confirmations", map[string]string{"ref": strings.Repeat("0", 64), "code": "000000"}), http.StatusBadRequest, register.WrongCode, "code"},
		"no such query": {s.api("/results", map[string]string{"query": strings.Repeat("A", 26)}), http.StatusNotFound, register.NotThere, "query"},
		"no campaign":   {s.ask(http.MethodPost, "/v1/campaigns/nothing/results", "application/json", `{"query":"x"}`), http.StatusNotFound, "", "campaign"},
	} {
		p := decode[portal.Problem](s, c.got)
		if c.got.Code != c.status || p.Reason != c.reason || p.Field != c.field || p.Text.ZH == "" || p.Hint.ZH == "" || p.Text.EN == "" || p.Hint.EN == "" {
			t.Errorf("%s: %d %s", what, c.got.Code, c.got.Body)
		}
	}
	big := s.ask(http.MethodPost, "/v1/campaigns/"+name+"/registrations", "application/json", `{"name":"`+strings.Repeat("x", 20<<10)+`"}`)
	if big.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", big.Code)
	}
	for _, path := range []string{"/c/nothing", "/c/" + name + "/draw/nothing", "/c/" + name + "/draw/entries.csv", "/c/" + name + "/draw/winners.csv", "/c/nothing/draw/terms.json"} {
		if w := s.get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/c/" + name + "/draw/..%2f..%2fc.db", "/files/../portal.go", "/files/..%2fportal.go"} {
		if w := s.get(path); w.Code == http.StatusOK {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	for _, file := range []string{"definition.json", "area.geojson", "terms.json", "log.jsonl", "checkpoint-1.txt"} {
		if w := s.get("/c/" + name + "/draw/" + file); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s is not published before registration: %d", file, w.Code)
		}
	}
}

// TestResultsCannotBeEnumerated: what is no query code is answered alike, whatever it
// resembles, and a source that asks much is told to wait.
func TestResultsCannotBeEnumerated(t *testing.T) {
	s := newStage(t, func(c *portal.Config) { c.LookUps = 40 })
	s.set(s.rules.Register.From)
	e := s.enter(1)
	if w := s.api("/results", map[string]string{"query": e.Query}); w.Code != http.StatusOK || decode[portal.Found](s, w).Outcome != portal.Pending {
		t.Fatalf("her own: %d %s", w.Code, w.Body)
	}
	var first string
	for i, q := range []string{"", "x", e.Ticket, e.Query[:25], e.Query + "A", strings.ToLower(e.Query), strings.Repeat("A", 26), person(1).Phone, person(1).Number} {
		w := s.api("/results", map[string]string{"query": q})
		if w.Code != http.StatusNotFound {
			t.Errorf("%q: %d", q, w.Code)
		}
		if body := w.Body.String(); i == 0 {
			first = body
		} else if body != first {
			t.Errorf("%q is answered otherwise: %s", q, body)
		}
	}
	var last *httptest.ResponseRecorder
	for range 40 {
		last = s.api("/results", map[string]string{"query": strings.Repeat("B", 26)})
	}
	if last.Code != http.StatusTooManyRequests {
		t.Errorf("asked for the fiftieth time: %d", last.Code)
	}
}

func TestPagesKeepToThemselves(t *testing.T) {
	s := newStage(t, nil)
	s.set(s.rules.Register.From)
	for _, path := range []string{"/", "/c/" + name, "/c/" + name + "/result", "/c/" + name + "/draw", "/c/nothing"} {
		for _, lang := range []string{"zh", "en"} {
			w := s.get(path + "?lang=" + lang)
			h := w.Header()
			if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q", path, csp)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" || h.Get("Permissions-Policy") == "" {
				t.Errorf("%s: headers %v", path, h)
			}
			body := w.Body.String()
			if !strings.Contains(body, `<html lang="`+lang+`">`) || strings.Contains(body, "http://") || strings.Contains(body, "<script>") || strings.Contains(body, "style=") {
				t.Errorf("%s in %s loads from elsewhere, or is in another language", path, lang)
			}
		}
	}
	form := url.Values{"name": {`"><script>alert(1)</script>`}, "number": {"<b>"}, "phone": {"1"}, "document": {"passport"}, "institution": {"ICBC"}}
	w := s.ask(http.MethodPost, "/c/"+name+"/register", "application/x-www-form-urlencoded", form.Encode())
	if body := w.Body.String(); w.Code != http.StatusBadRequest || strings.Contains(body, "<script>alert") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("what was typed comes back as markup: %d", w.Code)
	}
	cross := s.ask(http.MethodPost, "/c/"+name+"/register", "application/x-www-form-urlencoded", form.Encode(), "Sec-Fetch-Site", "cross-site")
	if cross.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d", cross.Code)
	}
	if w := s.get("/openapi.json"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/v1/campaigns/{name}/registrations") {
		t.Errorf("the API is not described: %d", w.Code)
	}
}

func TestWhomALimitMeets(t *testing.T) {
	s := newStage(t, func(c *portal.Config) { c.LookUps = 1; c.Proxies = nil })
	ask := func(remote, forwarded string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/campaigns/"+name+"/results", strings.NewReader(`{"query":"x"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		_, _ = io.Copy(io.Discard, w.Body)
		return w.Code
	}
	for i, c := range []struct {
		remote, forwarded string
		want              int
	}{
		{"198.51.100.7:1", "", http.StatusNotFound},
		{"198.51.100.9:2", "", http.StatusTooManyRequests}, // the same /24
		{"198.51.101.9:2", "", http.StatusNotFound},
		{"198.51.100.9:2", "203.0.113.1", http.StatusTooManyRequests}, // not a proxy of ours: nobody believes it
		{"[2001:db8:0:1200::1]:1", "", http.StatusNotFound},
		{"[2001:db8:0:12ff::1]:1", "", http.StatusTooManyRequests}, // the same /56
		{"[2001:db8:0:1300::1]:1", "", http.StatusNotFound},
	} {
		if got := ask(c.remote, c.forwarded); got != c.want {
			t.Errorf("%d: %s for %s: %d, want %d", i, c.remote, c.forwarded, got, c.want)
		}
	}
}

// TestAnOpenPlace: a position on the border asks for another until the close; the
// receipt promises the list only then.
func TestAnOpenPlace(t *testing.T) {
	s := newStage(t, nil)
	s.set(s.rules.Register.From)
	in := person(1)
	in.Position = &portal.Position{Datum: "wgs84", Lat: 40, Lon: 115.42, Accuracy: 100} // on the border, give or take
	a := decode[struct{ Ref, Place string }](s, s.api("/registrations", in))
	e := decode[portal.Entry](s, s.api("/confirmations", map[string]string{"ref": a.Ref, "code": s.last[in.Phone]}))
	if a.Place != "ambiguous" || e.Standing != register.PlaceOpen {
		t.Fatalf("place %s, standing %s", a.Place, e.Standing)
	}
	form := func(query string, lat, lon string) *httptest.ResponseRecorder {
		v := url.Values{"query": {query}, "datum": {"wgs84"}, "lat": {lat}, "lon": {lon}, "accuracy": {"10"}}
		return s.ask(http.MethodPost, "/c/"+name+"/locate", "application/x-www-form-urlencoded", v.Encode())
	}
	if w := s.ask(http.MethodPost, "/c/"+name+"/result?lang=zh", "application/x-www-form-urlencoded", "query="+e.Query); !strings.Contains(w.Body.String(), "/locate") {
		t.Error("her result's page does not ask for another position")
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"outside": form(e.Query, "40", "115.1"), "nothing": form(e.Query, "", ""), "not a number": form(e.Query, "NaN", "115"), "nobody's": form(strings.Repeat("A", 26), "40", "115.6"),
	} {
		if w.Code < 400 || w.Code > 499 {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
	if w := form(e.Query, "40.00123", "115.6"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `id="save"`) {
		t.Errorf("inside: %d %s", w.Code, w.Body)
	}
	if f := decode[portal.Found](s, s.api("/results", map[string]string{"query": e.Query})); f.Standing != register.Entered || f.Ticket != e.Ticket {
		t.Errorf("after it: %+v", f)
	}
	s.set(s.rules.Register.Until)
	if w := form(e.Query, "40.00123", "115.6"); w.Code != http.StatusForbidden {
		t.Errorf("after the close: %d", w.Code)
	}
}

// TestTLS serves with a certificate, says that it wants it for ever, and ends when it is told to.
func TestTLS(t *testing.T) {
	s := newStage(t, nil)
	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	s.must(err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l, &borrowed.TLS.Certificates[0]) }()
	get := func(scheme string) (status int, forever string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+l.Addr().String()+"/healthz", nil)
		s.must(err)
		a, err := borrowed.Client().Do(r)
		if err != nil {
			return 0, ""
		}
		s.must(a.Body.Close())
		return a.StatusCode, a.Header.Get("Strict-Transport-Security")
	}
	if status, forever := get("https://"); status != http.StatusNoContent || forever == "" {
		t.Errorf("over TLS: %d, %q", status, forever)
	}
	if status, _ := get("http://"); status != 0 && status != http.StatusBadRequest {
		t.Errorf("in clear: %d", status)
	}
	borrowed.Client().CloseIdleConnections()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkResult looks results up over the handler, as the API does.
func BenchmarkResult(b *testing.B) {
	s := newStage(b, nil)
	s.set(s.rules.Register.From)
	body := `{"query":"` + s.enter(1).Query + `"}`
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := s.ask(http.MethodPost, "/v1/campaigns/"+name+"/results", "application/json", body); w.Code != http.StatusOK {
				b.Error(w.Code)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "results/s")
}
