package payment_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// bank is an operating institution with books of its own that misbehaves when told to.
type bank struct {
	t   testing.TB
	srv *httptest.Server
	now func() int64

	mu      sync.Mutex
	deals   map[string]*deal // payments and orders by request id
	refunds map[string]*deal
	fault   map[string][]string // by operation; the first of each is used up by a request
	asked   map[string]int      // POSTs per operation and id
	block   chan struct{}       // "hang" waits for it
}

type deal struct {
	Status         string `json:"status"`
	Txn            string `json:"txn_id"`
	Reason         string `json:"reason"`
	SettlementDate string `json:"settlement_date"`
	QR             string `json:"qr,omitempty"`
	ValidUntilMS   int64  `json:"valid_until_ms,omitempty"`
	amount         int64
	orig           string
}

func newBank(tb testing.TB, now func() int64) *bank {
	tb.Helper()
	b := &bank{
		t: tb, now: now, deals: map[string]*deal{}, refunds: map[string]*deal{}, fault: map[string][]string{},
		asked: map[string]int{}, block: make(chan struct{}),
	}
	b.srv = httptest.NewServer(b)
	tb.Cleanup(b.srv.Close)
	return b
}

// fail makes the next requests of an operation fail in these ways.
func (b *bank) fail(op string, kinds ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault[op] = append(b.fault[op], kinds...)
}

func (b *bank) questions(op string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for k, v := range b.asked {
		if strings.HasPrefix(k, op+" ") {
			n += v
		}
	}
	return n
}

// scan is a customer who pays an order.
func (b *bank) scan(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok := b.deals[id]
	if !ok || d.Status != "P" || b.now() > d.ValidUntilMS {
		return false
	}
	d.succeed(id)
	return true
}

func (d *deal) succeed(id string) {
	d.Status, d.Txn, d.SettlementDate = "S", "T"+id[:8], "2021-02-10"
}

// net is what the bank took for the merchants, less what it gave back.
func (b *bank) net() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sum int64
	for _, d := range b.deals {
		if d.Status == "S" {
			sum += d.amount
		}
	}
	for _, d := range b.refunds {
		if d.Status == "S" {
			sum -= d.amount
		}
	}
	return sum
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	op := parts[0]
	if r.Method == http.MethodGet {
		op = "query"
	}
	kind := b.take(op)
	switch kind {
	case "unavailable":
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code":"unavailable"}`))
		return
	case "unauthorized":
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"code":"unauthorized"}`))
		return
	case "cut": // nothing was done
		panic(http.ErrAbortHandler)
	}
	answer := b.handle(r, parts, kind)
	switch kind {
	case "lost": // done, and not told
		panic(http.ErrAbortHandler)
	case "hang":
		<-b.block
	case "garbage":
		_, _ = w.Write([]byte(`{"status":`))
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (b *bank) take(op string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.fault[op]) == 0 {
		return ""
	}
	kind := b.fault[op][0]
	b.fault[op] = b.fault[op][1:]
	return kind
}

func (b *bank) handle(r *http.Request, parts []string, kind string) deal {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodGet {
		return b.find(parts[0], parts[1])
	}
	var q struct {
		ID      string `json:"request_id"`
		Orig    string `json:"orig_request_id"`
		Amount  int64  `json:"amount_fen"`
		Expires int64  `json:"expires_ms"`
		Valid   int64  `json:"valid_until_ms"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		b.t.Errorf("bank got %v", err)
	}
	b.asked[parts[0]+" "+q.ID]++
	books := b.deals
	if parts[0] == "refunds" {
		books = b.refunds
	}
	if d, ok := books[q.ID]; ok {
		return *d
	}
	d := &deal{Status: "P", amount: q.Amount, orig: q.Orig}
	books[q.ID] = d
	switch {
	case kind == "pending":
	case kind == "decline":
		d.Status, d.Reason = "F", "insufficient_funds"
	case kind == "double_spend":
		d.Status, d.Reason = "F", "double_spend"
	case parts[0] == "orders":
		d.QR, d.ValidUntilMS = "dcpos-lab:pay:ICBC:"+q.ID, q.Valid
	case parts[0] == "payments" && q.Expires < b.now():
		d.Status, d.Reason = "F", "expired"
	default:
		d.succeed(q.ID)
	}
	return *d
}

func (b *bank) find(kind, id string) deal {
	books := b.deals
	if kind == "refunds" {
		books = b.refunds
	}
	d, ok := books[id]
	if !ok {
		return deal{Status: "N"}
	}
	if d.Status == "P" && d.ValidUntilMS > 0 && b.now() > d.ValidUntilMS {
		d.Status, d.Reason = "F", "expired"
	}
	return *d
}
