package institution

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/pos"
)

func TestShippedDescriptions(t *testing.T) {
	all, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	access := map[string]Access{}
	for _, d := range all {
		access[d.Code] = Access{APIKey: "k"}
		if want := map[bool]int{true: 1}[d.Code == "ICBC"]; len(d.Forwardable) != want || d.Env != pos.Lab {
			t.Errorf("%s: ships with %d forwardable instruments in %s, want %d, the laboratory's own", d.Code, len(d.Forwardable), d.Env, want)
		}
	}
	set, err := Connect(pos.Lab, all, access, noEnv, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ABC", "BOC", "BOCOM", "CCB", "ICBC", "PSBC"}, set.Codes()); diff != "" {
		t.Error(diff)
	}
	for code, route := range map[string]string{"ICBC": "001", "ABC": "002", "BOC": "003", "CCB": "004", "BOCOM": "005", "PSBC": "006"} {
		m, err := set.Route("01" + route + "12345678901234")
		if err != nil || m.Code != code {
			t.Errorf("route %s = %s, %v, want %s", route, m.Code, err, code)
		}
	}
	if _, err := Connect(pos.Live, all, access, noEnv, time.Now); pos.CodeOf(err) != pos.ErrEnvironment {
		t.Errorf("lab institutions at a live centre: %v", err)
	}
	if _, err := Connect(pos.Lab, all, nil, noEnv, time.Now); pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("institution without a key: %v", err)
	}
	access["NOSUCH"] = Access{APIKey: "k"}
	if _, err := Connect(pos.Lab, all, access, noEnv, time.Now); pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("access without description: %v", err)
	}
}

func noEnv(string) (string, bool) { return "", false }

func TestRouteRefusesWhatIsNoCode(t *testing.T) {
	set, err := Join(pos.Lab, Member{Description: Description{Code: "ICBC", Env: pos.Lab, Routes: []string{"001"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"", "01", "0100112345678901234x", "010011234567890123", "1300112345678901234", "01999123456789012345", "0199912345678901234", "01001123456789012 4"} {
		_, err := set.Route(code)
		if pos.CodeOf(err) != pos.ErrBadCode {
			t.Errorf("code of %d characters: %v, want %s", len(code), err, pos.ErrBadCode)
		}
		if code != "" && len(code) > 5 && strings.Contains(err.Error(), code) {
			t.Error("the error tells the payment code")
		}
	}
}

func TestJoinRefusesAmbiguity(t *testing.T) {
	a := Member{Description: Description{Code: "AA", Env: pos.Lab, Routes: []string{"001"}}}
	b := Member{Description: Description{Code: "BB", Env: pos.Lab, Routes: []string{"001"}}}
	for name, members := range map[string][]Member{"one code twice": {a, {Description: Description{Code: "AA", Env: pos.Lab}}}, "one route twice": {a, b}} {
		if _, err := Join(pos.Lab, members...); pos.CodeOf(err) != pos.ErrConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseDescriptionRefuses(t *testing.T) {
	all, err := shipped.ReadFile("descriptions/ICBC.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := string(all)
	for name, change := range map[string][2]string{
		"unknown key":      {"fee_per_10000: 0", "fee_per_1000: 0"},
		"code":             {"code: ICBC", "code: icbc"},
		"environment":      {"env: lab", "env: test"},
		"live over http":   {"env: lab", "env: live"},
		"slash at the end": {"/ICBC/v1", "/ICBC/v1/"},
		"no scheme":        {"http://127.0.0.1", "127.0.0.1"},
		"route":            {`["001"]`, `["1"]`},
		"timeout":          {"ask: 8s", "ask: 0s"},
		"duration":         {"ask: 8s", "ask: soon"},
		"slots":            {"ask: 64", "ask: 0"},
		"breaker":          {"failures: 5", "failures: 0"},
		"limit":            {"per_payment_fen: 5000000", "per_payment_fen: 0"},
		"forwardable":      {"validity: 24h", "validity: 0s"},
		"long validity":    {"validity: 24h", "validity: 169h"},
		"instrument":       {"lab-pass", "LAB"},
		"fee":              {"fee_per_10000: 0", "fee_per_10000: 10001"},
		"cut-over":         {`cutover: "23:00"`, `cutover: "25:00"`},
		"format":           {"format: icbc", "format: \"a/b\""},
		"fees":             {"fees: netted", "fees: sometimes"},
		"refunds":          {"refunds: netted", "refunds: billed"},
		"second document":  {"code: ICBC", "code: ICBC\n---\nx: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			if bad == good {
				t.Fatal("nothing changed")
			}
			if _, err := ParseDescription([]byte(bad)); pos.CodeOf(err) != pos.ErrConfig {
				t.Errorf("got %v, want %s", err, pos.ErrConfig)
			}
		})
	}
}

func TestFeeRoundsHalfUp(t *testing.T) {
	d := Description{FeePer10000: 38}
	for amount, want := range map[pos.Money]pos.Money{0: 0, 131: 0, 132: 1, 10000: 38, pos.MaxAmount: 38_000_000} {
		if got := d.Fee(amount); got != want {
			t.Errorf("Fee(%d) = %d, want %d", amount, got, want)
		}
	}
}

func TestWhatIsSettledApart(t *testing.T) {
	for _, c := range []struct {
		of   Settlement
		want pos.Money
	}{{Settlement{}, 0}, {Settlement{Netted, Netted}, 0}, {Settlement{Fees: FeesBilled}, 3}, {Settlement{Refunds: RefundsApart}, 50}, {Settlement{FeesBilled, RefundsApart}, 53}} {
		if got := c.of.Apart(3, 50); got != c.want {
			t.Errorf("%+v: %s, want %s", c.of, got, c.want)
		}
	}
}

func TestSettlementDateCutsOver(t *testing.T) {
	d := Description{Cutover: Clock{23 * time.Hour}}
	at := time.Date(2021, 2, 10, 22, 59, 59, 0, pos.Shanghai())
	if got := d.SettlementDate(at); got != "2021-02-10" {
		t.Error(got)
	}
	if got := d.SettlementDate(at.Add(time.Second)); got != "2021-02-11" {
		t.Error(got)
	}
}

// testClient is a client of srv with small bounds.
func testClient(t *testing.T, srv *httptest.Server, now func() time.Time) *Client {
	t.Helper()
	return NewClient(Description{
		Code:        "ICBC",
		Timeouts:    Timeouts{Ask: Duration{time.Second}, Query: Duration{time.Second}, Statement: Duration{time.Second}},
		Concurrency: Concurrency{Ask: 2, Query: 2}, Breaker: Breaker{Failures: 3, Rest: Duration{time.Minute}},
	}, Access{BaseURL: srv.URL, APIKey: "key-of-icbc"}, now)
}

func TestClientClassifiesAnswers(t *testing.T) {
	const ok = `{"status":"S","txn_id":"T1","settlement_date":"2021-02-10","fee_fen":0,"envelope_fen":200}`
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   Class
		answer bool
	}{
		{"success", 200, ok, 0, true},
		{"failed", 200, `{"status":"F","reason":"insufficient_funds"}`, 0, true},
		{"unknown fields are ignored", 200, `{"status":"P","later":1}`, 0, true},
		{"success without transaction", 200, `{"status":"S"}`, MayHaveArrived, false},
		{"bad date", 200, `{"status":"S","txn_id":"T","settlement_date":"10.2."}`, MayHaveArrived, false},
		{"no status", 200, `{}`, MayHaveArrived, false},
		{"negative fee", 200, `{"status":"P","fee_fen":-1}`, MayHaveArrived, false},
		{"half an answer", 200, ok[:20], MayHaveArrived, false},
		{"too long", 200, `{"reason":"` + strings.Repeat("x", maxAnswer) + `"}`, MayHaveArrived, false},
		{"too long a field", 200, `{"status":"F","reason":"` + strings.Repeat("x", 65) + `"}`, MayHaveArrived, false},
		{"wrong key", 401, `{"code":"unauthorized"}`, Refused, false},
		{"bad request", 400, `{"code":"bad_request"}`, Refused, false},
		{"a 4xx that is not the institution's", 403, `<html>proxy</html>`, MayHaveArrived, false},
		{"key conflict proves nothing", 409, `{"code":"key_conflict"}`, MayHaveArrived, false},
		{"time-out proves nothing", 408, `{"code":"timeout"}`, MayHaveArrived, false},
		{"unavailable proves nothing", 503, `{"code":"unavailable"}`, MayHaveArrived, false},
		{"redirect is not followed", 307, ``, MayHaveArrived, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hits atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hits.Add(1)
				if r.Header.Get(KeyHeader) != "key-of-icbc" || r.Method != http.MethodPost || r.URL.Path != "/payments" {
					t.Errorf("%s %s key %q", r.Method, r.URL.Path, r.Header.Get(KeyHeader))
				}
				w.Header().Set("Location", "/payments")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer srv.Close()
			_, err := testClient(t, srv, time.Now).Pay(t.Context(), PayRequest{})
			switch {
			case c.answer && err != nil:
				t.Errorf("error %v, want an answer", err)
			case !c.answer && (err == nil || ClassOf(err) != c.want):
				t.Errorf("error %v, want %v", err, c.want)
			}
			if hits.Load() != 1 {
				t.Errorf("asked %d times", hits.Load())
			}
		})
	}
}

func TestClientTellsNotSentFromLost(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler) // cuts the connection without an answer
	}))
	client := testClient(t, srv, time.Now)
	if _, err := client.Pay(t.Context(), PayRequest{}); ClassOf(err) != MayHaveArrived {
		t.Errorf("lost answer: %v", err)
	}
	srv.Close()
	if _, err := client.Pay(t.Context(), PayRequest{}); ClassOf(err) != NotSent {
		t.Errorf("nobody listens: %v", err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer slow.Close()
	if _, err := testClient(t, slow, time.Now).Pay(t.Context(), PayRequest{}); ClassOf(err) != MayHaveArrived {
		t.Errorf("slow answer: %v", err)
	}
	if ClassOf(errors.New("anything")) != MayHaveArrived {
		t.Error("an unknown error must prove nothing")
	}
}

func TestBreakerFailsFastButNeverForQueries(t *testing.T) {
	var asks, queries atomic.Int32
	var healthy atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			queries.Add(1)
		} else {
			asks.Add(1)
		}
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"status":"P"}`)
	}))
	defer srv.Close()
	now := time.Unix(1_600_000_000, 0)
	client := testClient(t, srv, func() time.Time { return now })
	for range 10 {
		_, _ = client.Pay(t.Context(), PayRequest{})
		_, _ = client.Payment(t.Context(), pos.PaymentID{1})
	}
	if asks.Load() != 3 || queries.Load() != 10 || !client.Resting() {
		t.Fatalf("asks %d queries %d resting %t", asks.Load(), queries.Load(), client.Resting())
	}
	_, err := client.Pay(t.Context(), PayRequest{})
	if ClassOf(err) != NotSent || !errors.Is(err, ErrResting) {
		t.Errorf("while resting: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if _, err := client.Pay(t.Context(), PayRequest{}); ClassOf(err) != MayHaveArrived || asks.Load() != 4 {
		t.Errorf("the one try after the rest: %v, asks %d", err, asks.Load())
	}
	if _, err := client.Pay(t.Context(), PayRequest{}); !errors.Is(err, ErrResting) {
		t.Errorf("after a failed try: %v", err)
	}
	now = now.Add(2 * time.Minute)
	healthy.Store(true)
	for range 3 {
		if _, err := client.Pay(t.Context(), PayRequest{}); err != nil {
			t.Errorf("after the rest: %v", err)
		}
	}
}

func TestSlotsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		<-release
		_, _ = io.WriteString(w, `{"status":"P"}`)
	}))
	defer srv.Close()
	client := testClient(t, srv, time.Now)
	client.desc.Timeouts.Ask.Duration = 10 * time.Second
	done := make(chan error, 2)
	for range 2 {
		go func() { _, err := client.Pay(context.WithoutCancel(t.Context()), PayRequest{}); done <- err }()
	}
	for hits.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if _, err := client.Pay(t.Context(), PayRequest{}); !errors.Is(err, ErrBusy) || ClassOf(err) != NotSent {
		t.Errorf("third question: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if hits.Load() != 2 {
		t.Errorf("%d questions reached the institution, want 2", hits.Load())
	}
}

func TestStatement(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/statements/2021-02-10" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not_ready"}`)
			return
		}
		_, _ = io.WriteString(w, "txn_id\n")
	}))
	defer srv.Close()
	client := testClient(t, srv, time.Now)
	var b bytes.Buffer
	if err := client.Statement(t.Context(), "2021-02-10", &b); err != nil || b.String() != "txn_id\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	if err := client.Statement(t.Context(), "2021-02-11", &b); !errors.Is(err, ErrNotReady) {
		t.Errorf("late statement: %v", err)
	}
	if err := client.Statement(t.Context(), "../x", &b); err == nil {
		t.Error("a path instead of a date was asked")
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"status":"S","txn_id":"T1","settlement_date":"2021-02-10"}`))
	f.Add([]byte(`{"status":"N"}`))
	f.Add([]byte(`{"status":"P","fee_fen":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnswer(b)
		if err == nil && (!a.Status.Valid() || a.Fee < 0 || a.Envelope < 0 || (a.Status == Success && a.Txn == "")) {
			t.Errorf("accepted %+v", a)
		}
	})
}

func FuzzParseDescription(f *testing.F) {
	b, err := shipped.ReadFile("descriptions/ICBC.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("code: X"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := ParseDescription(b); err == nil && d.check() != nil {
			t.Error("accepted a description that does not pass its check")
		}
	})
}
