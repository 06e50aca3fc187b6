package webshop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/central/webshop"
	"dcpos/lab/shop"
	"dcpos/pos"
)

func codeOf(res *http.Response) string {
	var p struct {
		Code string `json:"code"`
		Text pos.Text
		Hint pos.Text
	}
	_ = json.NewDecoder(res.Body).Decode(&p)
	if p.Code != "" && (p.Text.ZH == "" || p.Hint.EN == "") {
		return p.Code + " without sentences"
	}
	return p.Code
}

// TestAnOrderFromQRToRefund is one sale: envelope first, own money after, webhook, refund,
// ledger and the line that reconciliation compares.
func TestAnOrderFromQRToRefund(t *testing.T) {
	engines(t, func(t *testing.T, h *house) {
		t.Helper()
		h.run()
		p := h.pay("k1", order("A1", 300_00))
		if p.Status != "open" || p.QR == "" || p.ValidUntilMS == 0 || p.Final {
			t.Fatalf("payment is %+v", p)
		}
		w := h.wallet(1000_00, 200_00)
		if _, err := w.Scan(t.Context(), p.QR); err != nil {
			t.Fatal(err)
		}
		h.until("payment", func() bool { return h.status(p.ID) == "paid" })
		p, err := h.client.Find(t.Context(), p.ID)
		if err != nil || p.Envelope != 200_00 || p.Institution != "ICBC" || !p.Final {
			t.Errorf("payment is %+v, %v", p, err)
		}
		h.until("webhook", func() bool { return h.heard()["payment.paid"] == 1 })
		_, err = h.client.Pay(t.Context(), "k2", order("A1", 300_00))
		refused(t, err, 409, pos.ErrOrderPaid)

		r, _, err := h.client.Refund(t.Context(), "r1", p.ID, 120_00)
		if err != nil || r.Amount != 120_00 || r.Own != 100_00 || r.Envelope != 20_00 || r.Recalled != 0 { // own money first
			t.Fatalf("refund is %+v, %v", r, err)
		}
		again, _, err := h.client.Refund(t.Context(), "r1", p.ID, 120_00)
		if err != nil || again != r {
			t.Errorf("refund again is %+v, %v", again, err)
		}
		_, _, err = h.client.Refund(t.Context(), "r1", p.ID, 121_00)
		refused(t, err, 409, pos.ErrKeyConflict)
		_, _, err = h.client.Refund(t.Context(), "k1", p.ID, 1)
		refused(t, err, 409, pos.ErrKeyConflict) // a payment's key is not a refund's
		_, _, err = h.client.Refund(t.Context(), "r2", p.ID, 181_00)
		refused(t, err, 422, pos.ErrRefundTooMuch)
		h.until("refund's webhook", func() bool { return h.heard()["refund.refunded"] == 1 })
		if e := h.one("refund.refunded"); e.Refund != r.ID || e.Amount != 120_00 || e.Own != 100_00 || e.Envelope != 20_00 || e.Recalled != 0 {
			t.Errorf("the webhook says %+v", e)
		}
		m := h.balances()
		if m["receivable:ICBC"] != 180_00 {
			t.Errorf("the institution owes %s, want 180.00; %v", m["receivable:ICBC"], m)
		}
	})
}

// TestForgedRequests: whatever is not signed by a key in force, for this very request,
// just now, is refused and changes nothing.
func TestForgedRequests(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.register("other", "M2", "*")
	other := h.key("other")
	revoked := h.key("mall")
	if err := h.desk.RevokeKey(t.Context(), revoked.KeyID, "test"); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(order("F1", 10_00))
	if err != nil {
		t.Fatal(err)
	}
	build := func(c *shop.Client) *http.Request {
		req, err := c.Request(t.Context(), http.MethodPost, "/shop/v1/payments", "f1", body)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	late := func(by time.Duration) *shop.Client {
		c := *h.client
		c.Now = func() time.Time { return h.now().Add(by) }
		return &c
	}
	mixed := *h.client
	mixed.KeyID = other.KeyID
	unknown := *h.client
	unknown.KeyID = "knobody"
	for name, c := range map[string]struct {
		req  func() *http.Request
		code pos.Code
	}{
		"not signed": {func() *http.Request {
			r := build(h.client)
			r.Header.Del("Signature")
			return r
		}, pos.ErrSignature},
		"body swapped": {func() *http.Request {
			r := build(h.client)
			r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("1000"), []byte("9999"), 1)))
			r.ContentLength = int64(len(body))
			return r
		}, pos.ErrSignature},
		"digest of the swapped body": {func() *http.Request {
			r := build(h.client)
			swapped := bytes.Replace(body, []byte("1000"), []byte("9999"), 1)
			x, _ := h.client.Request(t.Context(), http.MethodPost, "/shop/v1/payments", "f1", swapped)
			r.Header.Set("Content-Digest", x.Header.Get("Content-Digest"))
			r.Body = x.Body
			return r
		}, pos.ErrSignature},
		"other key in the header": {func() *http.Request {
			r := build(h.client)
			r.Header.Set("Idempotency-Key", "f2")
			return r
		}, pos.ErrSignature},
		"to another path": {func() *http.Request {
			r := build(h.client)
			r.URL.Path = "/shop/v1/payments/0195c1a0-0000-7000-8000-000000000000/cancel"
			return r
		}, pos.ErrSignature},
		"to another centre": {func() *http.Request {
			r := build(h.client)
			r.Host = "centre.example"
			return r
		}, pos.ErrSignature},
		"with another shop's key id": {func() *http.Request { return build(&mixed) }, pos.ErrSignature},
		"with a key that is none":    {func() *http.Request { return build(&unknown) }, pos.ErrSignature},
		"with a revoked key":         {func() *http.Request { return build(revoked) }, pos.ErrSignature},
		"two minutes late":           {func() *http.Request { return build(late(-122 * time.Second)) }, pos.ErrSignatureTime},
		"from the future":            {func() *http.Request { return build(late(122 * time.Second)) }, pos.ErrSignatureTime},
	} {
		t.Run(name, func(t *testing.T) {
			if status, code := send(t, c.req()); status != 401 || code != string(c.code) {
				t.Errorf("got %d %s, want 401 %s", status, code, c.code)
			}
		})
	}
	if all, err := h.client.FindOrder(t.Context(), "F1"); err != nil || len(all) != 0 {
		t.Errorf("payments of the forged order: %v %v", all, err)
	}
	for _, by := range []time.Duration{-110 * time.Second, 110 * time.Second} { // a clock that is off, but not too much
		if _, err := late(by).Find(t.Context(), "0195c1a0-0000-7000-8000-000000000000"); err != nil {
			refused(t, err, 404, pos.ErrNotFound)
		}
	}
}

// TestAReplayIsRefused sends the same bytes again, also to a centre that was started
// anew; the shop's own second try, signed anew, is the same payment.
func TestAReplayIsRefused(t *testing.T) {
	engines(t, func(t *testing.T, h *house) {
		t.Helper()
		body, err := json.Marshal(order("R1", 10_00))
		if err != nil {
			t.Fatal(err)
		}
		req, err := h.client.Request(t.Context(), http.MethodPost, "/shop/v1/payments", "r1", body)
		if err != nil {
			t.Fatal(err)
		}
		again := func() *http.Request {
			r := req.Clone(t.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
			return r
		}
		if status, code := send(t, again()); status != 200 {
			t.Fatalf("first is %d %s", status, code)
		}
		if status, code := send(t, again()); status != 401 || code != string(pos.ErrReplay) {
			t.Errorf("again is %d %s", status, code)
		}
		h.open()
		if status, code := send(t, again()); status != 401 || code != string(pos.ErrReplay) {
			t.Errorf("after a restart it is %d %s", status, code)
		}
		h.pay("r1", order("R1", 10_00))
		if all, err := h.client.FindOrder(t.Context(), "R1"); err != nil || len(all) != 1 {
			t.Errorf("payments are %v, %v", all, err)
		}
		_, err = h.client.Pay(t.Context(), "r1", order("R1", 10_01))
		refused(t, err, 409, pos.ErrKeyConflict)
	})
}

// TestOthersPaymentsDoNotExist: another shop's ids, keys and orders are its own.
func TestOthersPaymentsDoNotExist(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.register("other", "M2", "*")
	mine := h.pay("k1", order("X1", 10_00))
	other := h.key("other")
	_, err := other.Find(t.Context(), mine.ID)
	refused(t, err, 404, pos.ErrNotFound)
	_, err = other.Cancel(t.Context(), mine.ID)
	refused(t, err, 404, pos.ErrNotFound)
	_, _, err = other.Refund(t.Context(), "r1", mine.ID, 1)
	refused(t, err, 404, pos.ErrNotFound)
	if all, err := other.FindOrder(t.Context(), "X1"); err != nil || len(all) != 0 {
		t.Errorf("the other shop sees %v, %v", all, err)
	}
	theirs, err := other.Pay(t.Context(), "k1", order("X1", 20_00)) // its own key k1 and its own order X1
	if err != nil || theirs.ID == mine.ID || theirs.Amount != 20_00 {
		t.Errorf("theirs is %+v, %v", theirs, err)
	}
	if h.status(mine.ID) != "open" {
		t.Errorf("mine is %s", h.status(mine.ID))
	}
	second := h.key("mall") // keys change, the caller stays
	if p, err := second.Pay(t.Context(), "k1", order("X1", 10_00)); err != nil || p.ID != mine.ID {
		t.Errorf("with the shop's second key it is %+v, %v", p, err)
	}
}

// TestParallelRepeatsAreOnePayment: a hundred at once under one key.
func TestParallelRepeatsAreOnePayment(t *testing.T) {
	engines(t, func(t *testing.T, h *house) {
		t.Helper()
		const many = 100
		ids := make([]string, many)
		var wait sync.WaitGroup
		for i := range many {
			wait.Go(func() {
				p, err := h.client.Pay(t.Context(), "same", order("P1", 10_00))
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = p.ID
			})
		}
		wait.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("two payments: %s and %s", id, ids[0])
			}
		}
		if all, err := h.client.FindOrder(t.Context(), "P1"); err != nil || len(all) != 1 {
			t.Errorf("payments are %v, %v", all, err)
		}
		for _, b := range h.sim.Totals() {
			if b.Institution == "ICBC" && b.OpenOrders != 1 {
				t.Errorf("the institution has %d orders", b.OpenOrders)
			}
		}
	})
}

// TestParallelKeysOfOneOrder: fifty keys for one order give one open payment.
func TestParallelKeysOfOneOrder(t *testing.T) {
	engines(t, func(t *testing.T, h *house) {
		t.Helper()
		const many = 50
		taken := make(chan string, many)
		var wait sync.WaitGroup
		for i := range many {
			wait.Go(func() {
				if p, err := h.client.Pay(t.Context(), fmt.Sprint("key-", i), order("P2", 10_00)); err == nil {
					taken <- p.ID
				} else {
					refused(t, err, 409, pos.ErrOrderOpen)
				}
			})
		}
		wait.Wait()
		if len(taken) != 1 {
			t.Errorf("%d payments of one order are open", len(taken))
		}
	})
}

// TestCancelledThenPaid: the QR cannot be closed; money that comes goes back by itself,
// and meanwhile a new attempt is allowed.
func TestCancelledThenPaid(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.run()
	p := h.pay("k1", order("C1", 30_00))
	for range 2 {
		c, err := h.client.Cancel(t.Context(), p.ID)
		if err != nil || c.Status != "abandoned" || c.QR != "" {
			t.Fatalf("cancelled is %+v, %v", c, err)
		}
	}
	second := h.pay("k2", order("C1", 30_00))
	w := h.wallet(100_00, 0)
	for _, qr := range []string{p.QR, second.QR} {
		if _, err := w.Scan(t.Context(), qr); err != nil {
			t.Fatal(err)
		}
	}
	h.until("second payment", func() bool { return h.status(second.ID) == "paid" })
	h.until("late payment", func() bool { return h.status(p.ID) == "late_paid" })
	h.until("events", func() bool {
		m := h.heard()
		return m["payment.abandoned"] == 1 && m["payment.late_paid"] == 1 && m["refund.refunded"] == 1 && m["payment.paid"] == 1
	})
	b, err := w.Balance(t.Context())
	if err != nil || b.Balance != 70_00 {
		t.Errorf("the wallet holds %+v, %v", b, err)
	}
	if c, err := h.client.Cancel(t.Context(), second.ID); err != nil || c.Status != "paid" {
		t.Errorf("a paid payment that is cancelled is %+v, %v", c, err)
	}
	for account, amount := range h.balances() {
		if strings.HasPrefix(account, "suspense:") {
			t.Errorf("%s holds %s", account, amount)
		}
	}
}

// TestUnpaidRunsOut: the QR's time goes by, and the order may be tried again.
func TestUnpaidRunsOut(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.run()
	r := order("U1", 30_00)
	r.ValidMS = 30_000
	p := h.pay("k1", r)
	h.skew.Store(int64(3 * time.Minute))
	h.until("end", func() bool { return h.status(p.ID) == "declined" })
	h.until("webhook", func() bool { return h.heard()["payment.declined"] == 1 })
	if again := h.pay("k1", r); again.ID != p.ID || again.Status != "declined" || again.QR != "" {
		t.Errorf("the same key is %+v", again)
	}
	if second := h.pay("k2", r); second.ID == p.ID || second.Status != "open" {
		t.Errorf("the second attempt is %+v", second)
	}
}

// TestBadOrders are refused with field and reason, before anything is written or asked.
func TestBadOrders(t *testing.T) {
	h := newHouse(t, "sqlite")
	with := func(change func(*shop.PayRequest)) shop.PayRequest {
		r := order("B1", 10_00)
		change(&r)
		return r
	}
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		key    string
		order  shop.PayRequest
		status int
		code   pos.Code
		field  string
	}{
		"no key":          {"", with(func(*shop.PayRequest) {}), 400, pos.ErrBadRequest, "Idempotency-Key"},
		"long key":        {long, with(func(*shop.PayRequest) {}), 400, pos.ErrBadRequest, "Idempotency-Key"},
		"no order":        {"b", with(func(r *shop.PayRequest) { r.Order = "" }), 400, pos.ErrBadRequest, "order_id"},
		"long order":      {"b", with(func(r *shop.PayRequest) { r.Order = long }), 400, pos.ErrBadRequest, "order_id"},
		"zero":            {"b", with(func(r *shop.PayRequest) { r.Amount = 0 }), 400, pos.ErrBadRequest, "amount_fen"},
		"negative":        {"b", with(func(r *shop.PayRequest) { r.Amount = -1 }), 400, pos.ErrBadRequest, "amount_fen"},
		"over the limit":  {"b", order("B1", 500_01), 422, pos.ErrShopLimit, "amount_fen"},
		"no lines":        {"b", with(func(r *shop.PayRequest) { r.Lines = nil }), 400, pos.ErrBadRequest, "lines"},
		"lines one fen":   {"b", with(func(r *shop.PayRequest) { r.Lines[0].Amount-- }), 400, pos.ErrBadRequest, "lines"},
		"line above":      {"b", with(func(r *shop.PayRequest) { r.Lines[0].Amount++ }), 400, pos.ErrBadRequest, "lines[0].amount_fen"},
		"line of nothing": {"b", with(func(r *shop.PayRequest) { r.Lines[0].Quantity = 0 }), 400, pos.ErrBadRequest, "lines[0].quantity"},
		"other category":  {"b", with(func(r *shop.PayRequest) { r.Lines[0].Category = "weapons" }), 422, pos.ErrShopCategory, "lines[0].category"},
		"short QR":        {"b", with(func(r *shop.PayRequest) { r.ValidMS = 1000 }), 400, pos.ErrBadRequest, "valid_ms"},
		"long QR":         {"b", with(func(r *shop.PayRequest) { r.ValidMS = 3_600_000 }), 400, pos.ErrBadRequest, "valid_ms"},
		"no such bank":    {"b1", with(func(r *shop.PayRequest) { r.Institution = "NOBANK" }), 400, pos.ErrBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.client.Pay(t.Context(), c.key, c.order)
			refused(t, err, c.status, c.code)
			if p, ok := err.(*shop.Problem); ok && p.Field != c.field { //nolint:errorlint // the client gives it bare
				t.Errorf("field is %q, want %q", p.Field, c.field)
			}
		})
	}
	for name, body := range map[string]string{"not JSON": "{", "amount as text": `{"order_id":"B1","amount_fen":"10","lines":[]}`, "an array": "[]"} {
		req, err := h.client.Request(t.Context(), http.MethodPost, "/shop/v1/payments", "raw", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if status, code := send(t, req); status/100 != 4 || code != string(pos.ErrBadRequest) {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	req, err := h.client.Request(t.Context(), http.MethodPost, "/shop/v1/payments", "raw", bytes.Repeat([]byte(" "), 70<<10))
	if err != nil {
		t.Fatal(err)
	}
	if status, code := send(t, req); status != 413 || code != string(pos.ErrTooLarge) {
		t.Errorf("a large body is %d %s", status, code)
	}
}

// TestLimitsOfADay: what is open or paid counts, what came to nothing does not.
func TestLimitsOfADay(t *testing.T) {
	h := newHouse(t, "sqlite")
	var first shop.Payment
	for i := range 4 {
		p := h.pay(fmt.Sprint("d", i), order(fmt.Sprint("D", i), 500_00))
		if i == 0 {
			first = p
		}
	}
	_, err := h.client.Pay(t.Context(), "d5", order("D5", 1))
	refused(t, err, 422, pos.ErrShopLimit)
	if _, err := h.client.Cancel(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	h.pay("d5", order("D5", 500_00))
}

// TestSuspended: a suspended shop takes no more money, and gives back what it has.
func TestSuspended(t *testing.T) {
	h := newHouse(t, "sqlite")
	h.run()
	p := h.pay("k1", order("S1", 30_00))
	if _, err := h.wallet(100_00, 0).Scan(t.Context(), p.QR); err != nil {
		t.Fatal(err)
	}
	h.until("payment", func() bool { return h.status(p.ID) == "paid" })
	if err := h.desk.Switch(t.Context(), "mall", webshop.Suspend, "test"); err != nil {
		t.Fatal(err)
	}
	_, err := h.client.Pay(t.Context(), "k2", order("S2", 30_00))
	refused(t, err, 403, pos.ErrForbidden)
	if r, _, err := h.client.Refund(t.Context(), "r1", p.ID, 30_00); err != nil || r.Amount != 30_00 {
		t.Errorf("refund is %+v, %v", r, err)
	}
}

// TestKilledAfterRemembering: the request is written, the question was never asked; a
// look at the payment asks it, under the id that was fixed.
func TestKilledAfterRemembering(t *testing.T) {
	h := newHouse(t, "sqlite")
	crashed, err := webshop.New(webshop.Config{
		Env: pos.Lab, Store: h.store.Webshops(), Payments: dead{}, HookKey: h.hookKey, Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := h.desk.AddKey(t.Context(), "mall", nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	shops, err := h.desk.List(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	o := order("K1", 10_00)
	p, err := crashed.Pay(t.Context(), webshop.Caller{Shop: shops[0].Shop, Key: k}, "k1", webshop.Order{
		ID: o.Order, Amount: o.Amount, Lines: linesOf(o),
	})
	if err != nil || p.State != pos.Created {
		t.Fatalf("payment is %+v, %v", p, err)
	}
	got, err := h.client.Find(t.Context(), p.ID.String())
	if err != nil || got.Status != "open" || got.QR == "" {
		t.Errorf("after the restart it is %+v, %v", got, err)
	}
	if again := h.pay("k1", o); again.ID != p.ID.String() {
		t.Errorf("the same key is %+v", again)
	}
}

func linesOf(r shop.PayRequest) (lines []webshop.Line) {
	for _, l := range r.Lines {
		lines = append(lines, webshop.Line(l))
	}
	return lines
}

// TestWhatEverybodyMaySee: the description names every operation; the rest is for signed
// requests alone.
func TestWhatEverybodyMaySee(t *testing.T) {
	h := newHouse(t, "sqlite")
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	status, text := get("/shop/v1/openapi.json")
	for _, want := range []string{`"/shop/v1/payments"`, `"/shop/v1/payments/{id}/cancel"`, `"/shop/v1/payments/{id}/refunds"`, `"/shop/v1/events"`, `"Idempotency-Key"`, `"recalled_fen"`} {
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("the description is %d and lacks %s", status, want)
		}
	}
	for _, path := range []string{"/", "/shop/v1/payments?order_id=A1", "/shop/v1/events", "/shop/v1/openapi.json/..", "/console/"} {
		if status, _ := get(path); status != http.StatusUnauthorized {
			t.Errorf("%s is %d without a signature", path, status)
		}
	}
}
