package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

type enroller func(wire.EnrolRequest) (wire.EnrolAnswer, error)

func (f enroller) Enrol(_ context.Context, r wire.EnrolRequest) (wire.EnrolAnswer, error) {
	return f(r)
}

func newServer(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{Version: "test", Metrics: prometheus.NewRegistry(), Enroller: enroller(func(r wire.EnrolRequest) (wire.EnrolAnswer, error) {
		switch r.Code {
		case "GOOD":
			return wire.EnrolAnswer{Terminal: "S1-001", Policies: []dcep.Sealed{{Body: []byte{1}}}}, nil
		case "BROKEN":
			return wire.EnrolAnswer{}, errors.New("secret cause")
		}
		return wire.EnrolAnswer{}, pos.FieldError(pos.ErrForbidden, "code", nil)
	})}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func call(s http.Handler, method, path, addr string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	r.RemoteAddr = addr
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func enrolBody(t *testing.T, code string) io.Reader {
	t.Helper()
	b, err := json.Marshal(wire.EnrolRequest{Code: code, Env: pos.Lab, PublicKey: []byte{1}, Proof: []byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

func TestEnrol(t *testing.T) {
	s := newServer(t, nil)
	w := call(s, http.MethodPost, wire.EnrolPath, "192.0.2.1:1", enrolBody(t, "GOOD"))
	var a wire.EnrolAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || a.Terminal != "S1-001" || len(a.Policies) != 1 {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	w = call(s, http.MethodPost, wire.EnrolPath, "192.0.2.1:1", enrolBody(t, "BAD"))
	var e pos.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 403 || e.Code != pos.ErrForbidden || e.Field != "code" || e.Hint.ZH == "" {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	w = call(s, http.MethodPost, wire.EnrolPath, "192.0.2.1:1", enrolBody(t, "BROKEN"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret cause") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	more := `{"code":"GOOD","env":"lab","class":"","suite":"","public_key":"AQ==","nats_key":"","proof":"AQ==","later":1}`
	if w = call(s, http.MethodPost, wire.EnrolPath, "192.0.2.1:1", strings.NewReader(more)); w.Code != 200 {
		t.Errorf("a newer till's request: %d %s", w.Code, w.Body)
	}
	for name, body := range map[string]string{"no JSON": "{", "wrong type": `{"code":1}`, "nothing": ""} {
		if w := call(s, http.MethodPost, wire.EnrolPath, "192.0.2.2:1", strings.NewReader(body)); w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	huge := `{"code":"` + strings.Repeat("x", maxEnrol) + `"}`
	if w := call(s, http.MethodPost, wire.EnrolPath, "192.0.2.3:1", strings.NewReader(huge)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("huge body: %d", w.Code)
	}
	if w := call(s, http.MethodGet, wire.EnrolPath, "192.0.2.3:1", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestGuessingIsLimitedPerAddress(t *testing.T) {
	now := time.Unix(1_600_000_000, 0)
	s := newServer(t, func(c *Config) { c.Now = func() time.Time { return now } })
	try := func(addr string) int {
		return call(s, http.MethodPost, wire.EnrolPath, addr, enrolBody(t, "BAD")).Code
	}
	for range 10 {
		if got := try("192.0.2.1:7"); got != http.StatusForbidden {
			t.Fatal(got)
		}
	}
	if got := try("192.0.2.1:8"); got != http.StatusTooManyRequests {
		t.Errorf("11th try: %d", got)
	}
	if got := try("192.0.2.2:8"); got != http.StatusForbidden {
		t.Errorf("another address: %d", got)
	}
	now = now.Add(10 * time.Second)
	if a, b := try("192.0.2.1:9"), try("192.0.2.1:9"); a != http.StatusForbidden || b != http.StatusTooManyRequests {
		t.Errorf("after ten seconds: %d %d", a, b)
	}
	for range 10 {
		try("[2001:db8::1]:1")
	}
	if got := try("[2001:db8::2]:1"); got != http.StatusTooManyRequests {
		t.Errorf("a neighbour in the same /64: %d", got)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	now := time.Unix(1_600_000_000, 0)
	l := newLimiter(1, time.Second, func() time.Time { return now })
	for i := range maxAddresses + 500 {
		l.allow(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(l.buckets) > maxAddresses+1 {
		t.Errorf("%d addresses remembered", len(l.buckets))
	}
	now = now.Add(time.Minute)
	if !l.allow("192.0.2.1:1") || len(l.buckets) > 2 {
		t.Errorf("%d addresses remembered after a minute", len(l.buckets))
	}
}

func TestHealthAndReadiness(t *testing.T) {
	down := true
	s := newServer(t, func(c *Config) {
		c.Ready = func(context.Context) error {
			if down {
				return pos.NewError(pos.ErrStorage, errors.New("secret path"))
			}
			return nil
		}
	})
	if w := call(s, http.MethodGet, "/healthz", "192.0.2.1:1", nil); w.Code != 200 {
		t.Error(w.Code)
	}
	if w := call(s, http.MethodGet, "/readyz", "192.0.2.1:1", nil); w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Code, w.Body)
	}
	down = false
	w := call(s, http.MethodGet, "/readyz", "192.0.2.1:1", nil)
	if w.Code != 200 || w.Header().Get("X-Frame-Options") != "DENY" || w.Header().Get("Content-Security-Policy") == "" {
		t.Error(w.Code, w.Header())
	}
}

func TestMetricsAreForThisMachineOrTheToken(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MetricsToken = "t0ken" })
	for _, c := range []struct {
		addr, auth string
		want       int
	}{
		{"127.0.0.1:1", "", 200},
		{"[::1]:1", "", 200},
		{"192.0.2.1:1", "", 403},
		{"192.0.2.1:1", "Bearer wrong", 403},
		{"192.0.2.1:1", "t0ken", 403},
		{"192.0.2.1:1", "Bearer t0ken", 200},
		{"nonsense", "", 403},
	} {
		if w := call(s, http.MethodGet, "/metrics", c.addr, nil, "Authorization", c.auth); w.Code != c.want {
			t.Errorf("%s %q: %d, want %d", c.addr, c.auth, w.Code, c.want)
		}
	}
	none := newServer(t, nil)
	if w := call(none, http.MethodGet, "/metrics", "192.0.2.1:1", nil, "Authorization", "Bearer "); w.Code != 403 {
		t.Error("an empty token opened the metrics")
	}
	if w := call(s, http.MethodGet, "/metrics", "127.0.0.1:1", nil); !strings.Contains(w.Body.String(), `dcpos_http_requests_total{route="/metrics",status="403"} 4`) {
		t.Error(w.Body)
	}
}

func TestPaymentMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	observe, err := PaymentMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	observe("pay", pos.Answer{Institution: "ICBC", Outcome: pos.OutcomePaid}, 30*time.Millisecond)
	s := newServer(t, func(c *Config) { c.Metrics = reg })
	w := call(s, http.MethodGet, "/metrics", "127.0.0.1:1", nil)
	want := `dcpos_payment_answer_seconds_bucket{institution="ICBC",outcome="paid",question="pay",le="0.05"} 1`
	if !strings.Contains(w.Body.String(), want) {
		t.Error(w.Body)
	}
	if _, err := PaymentMetrics(reg); err == nil {
		t.Error("registered twice")
	}
}

func TestOpenAPISaysWhatIsThere(t *testing.T) {
	s := newServer(t, nil)
	w := call(s, http.MethodGet, "/openapi.json", "192.0.2.1:1", nil)
	if w.Code != 200 || !strings.Contains(w.Body.String(), wire.EnrolPath) {
		t.Error(w.Code, w.Body)
	}
	if w := call(s, http.MethodGet, "/docs", "192.0.2.1:1", nil); w.Code != 404 {
		t.Error("a page that loads scripts from elsewhere is served")
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	s := newServer(t, nil)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
