package webshop_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dcpos/central/webshop"
	"dcpos/lab/shop"
	"dcpos/pos"
)

// dead is a payment room that never answers: the process was killed.
type dead struct{}

func (dead) silent() pos.Answer {
	return pos.Answer{Outcome: pos.OutcomeUnknown, Reason: pos.ErrStorage}
}
func (d dead) Present(context.Context, string, pos.AskPresent) pos.Answer { return d.silent() }
func (d dead) Query(context.Context, string, pos.AskQuery) pos.Answer     { return d.silent() }
func (d dead) Abandon(context.Context, string, pos.AskAbandon) pos.Answer { return d.silent() }
func (d dead) Refund(context.Context, string, pos.AskRefund) pos.Answer   { return d.silent() }

func (h *house) paid(key, id string) shop.Payment {
	h.t.Helper()
	p := h.pay(key, order(id, 10_00))
	if _, err := h.wallet(100_00, 0).Scan(h.t.Context(), p.QR); err != nil {
		h.t.Fatal(err)
	}
	if s := h.status(p.ID); s != "paid" { // asked at the institution, and written
		h.until("payment", func() bool { return h.status(p.ID) == "paid" })
	}
	return p
}

// TestKilledBetweenMoneyAndWebhook: the event is in the database with the money, so the
// next process tells it, under the same id.
func TestKilledBetweenMoneyAndWebhook(t *testing.T) {
	h := newHouse(t, "sqlite")
	p := h.paid("k1", "W1") // nobody delivers
	if len(h.heard()) != 0 {
		t.Fatalf("heard %v", h.heard())
	}
	h.open() // another process
	h.run()
	h.until("webhook", func() bool { return h.receiver.Seen(p.ID+".paid") >= 1 })
	all, _, err := h.client.Events(t.Context(), 0)
	if err != nil || len(all) != 1 || all[0].ID != p.ID+".paid" || all[0].Order != "W1" || all[0].Amount != 10_00 {
		t.Errorf("events are %+v, %v", all, err)
	}
}

// TestTheShopIsDown: a webhook that is not taken comes again, every try is in the log, and
// the shop counts it once.
func TestTheShopIsDown(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.refuse = 2
	h.run()
	p := h.paid("k1", "W2")
	tries := func() []webshop.Delivery {
		all, err := h.desk.List(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Deliveries
	}
	for n := 1; n <= 3; n++ {
		h.until("try", func() bool { return len(tries()) >= n })
		h.skew.Add(int64(30 * time.Second)) // longer than the first back-offs
	}
	h.until("webhook", func() bool { return h.heard()["payment.paid"] == 1 && len(tries()) == 3 })
	for i, want := range []int{204, 503, 503} {
		if d := tries()[i]; d.Status != want || d.Event != p.ID+".paid" || (d.Error == "") != (want == 204) {
			t.Errorf("delivery %d is %+v", i, d)
		}
	}
}

// TestHookOff: events wait while the webhook is off, and go when it is on again.
func TestHookOff(t *testing.T) {
	h := newHouse(t, "sqlite")
	if err := h.desk.Switch(t.Context(), "mall", webshop.HookOff, "test"); err != nil {
		t.Fatal(err)
	}
	h.run()
	p := h.paid("k1", "W3")
	h.until("event", func() bool {
		all, _, err := h.client.Events(t.Context(), 0)
		return err == nil && len(all) == 1
	})
	if err := h.desk.Switch(t.Context(), "mall", webshop.HookOn, "test"); err != nil {
		t.Fatal(err)
	}
	h.until("webhook", func() bool { return h.receiver.Seen(p.ID+".paid") == 1 })
}

// TestForgedWebhooks: the shop believes the centre's key, for this body, and nothing else.
func TestForgedWebhooks(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.run()
	caught := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	spy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := new(strings.Builder)
		_, _ = io.Copy(b, r.Body)
		select {
		case caught <- r.Clone(context.Background()):
			bodies <- b.String()
		default:
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(spy.Close)
	all, err := h.desk.List(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := all[0].Shop
	s.Hook = spy.URL + "/hook"
	if err := h.desk.AddShop(t.Context(), s, "test"); err != nil {
		t.Fatal(err)
	}
	h.paid("k1", "W4")
	r, body := <-caught, <-bodies
	try := func(change func(*http.Request), body string) int {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Host+"/hook", strings.NewReader(body))
		req.Header = r.Header.Clone()
		change(req)
		w := httptest.NewRecorder()
		h.receiver.ServeHTTP(w, req)
		return w.Code
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		body   string
	}{
		"body":      {func(*http.Request) {}, strings.Replace(body, "1000", "9000", 1)},
		"host":      {func(r *http.Request) { r.Host = "other.example" }, body},
		"signature": {func(r *http.Request) { r.Header.Set("Signature", "dcpos=:AAAA:") }, body},
		"key": {func(r *http.Request) {
			r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), `keyid="k`, `keyid="x`, 1))
		}, body},
		"tag": {func(r *http.Request) {
			r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), "hook", "shop", 1))
		}, body},
	} {
		if got := try(c.change, c.body); got != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := try(func(*http.Request) {}, body); got != http.StatusNoContent {
		t.Errorf("the true one is %d", got)
	}
}

// TestWhereWebhooksGo: the addresses that a centre calls, and those that it does not.
func TestWhereWebhooksGo(t *testing.T) {
	for url, want := range map[string]bool{
		"https://shop.example/hook": true, "https://shop.example:8443/hook": true, "https://8.8.8.8/x": true, "https://[2606:4700::1111]/": true,
		"http://shop.example/hook": false, "ftp://shop.example": false, "https://u:p@shop.example": false, "https://shop.example/#x": false,
		"https://shop.example:22/": false, "https://shop.example:70000/": false, "https:///x": false, "//shop.example": false, "file:///etc/passwd": false,
		"https://127.0.0.1/": false, "https://127.1.2.3/": false, "https://[::1]/": false, "https://10.0.0.1/": false, "https://172.16.0.1/": false,
		"https://192.168.1.1/": false, "https://169.254.169.254/latest/meta-data": false, "https://100.64.0.1/": false, "https://0.0.0.0/": false,
		"https://[::]/": false, "https://[fe80::1]/": false, "https://[fc00::1]/": false, "https://[::ffff:127.0.0.1]/": false, "https://224.0.0.1/": false,
		"https://255.255.255.255/": false, "https://[64:ff9b::7f00:1]/": false, "https://[2002:7f00:1::]/": false, "https://198.18.0.1/": false,
		"https://" + strings.Repeat("x", 500) + ".example/": false,
	} {
		if err := webshop.CheckURL(url, pos.Live); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]bool{"http://127.0.0.1:8080/": true, "http://8.8.8.8:8080/": false, "https://10.0.0.1/": false} {
		if err := webshop.CheckURL(url, pos.Lab); (err == nil) != want {
			t.Errorf("lab %s: %v", url, err)
		}
	}
}

// TestNamesAreJudgedWhenCalled: a name that points inside is refused as the connection is
// made, and a redirect is not followed.
func TestNamesAreJudgedWhenCalled(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("this machine was called") }))
	t.Cleanup(inside.Close)
	at := netip.MustParseAddrPort(strings.TrimPrefix(inside.URL, "http://"))
	live := webshop.Outbound(pos.Live)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		res, err := live.Get("http://" + host + ":" + strings.Split(at.String(), ":")[1] + "/") //nolint:noctx // the client has a time-out
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was called", host)
		} else if !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: %v", host, err)
		}
	}
	elsewhere := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusFound))
	t.Cleanup(elsewhere.Close)
	res, err := webshop.Outbound(pos.Lab).Get(elsewhere.URL) //nolint:noctx // the client has a time-out
	if err != nil || res.StatusCode != http.StatusFound {
		t.Errorf("the redirect gave %v, %v", res, err)
	}
	if err == nil {
		_ = res.Body.Close()
	}
}
