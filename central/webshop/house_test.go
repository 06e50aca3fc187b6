package webshop_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/fleet"
	"dcpos/central/institution"
	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/central/webshop"
	"dcpos/central/webshop/api"
	"dcpos/internal/testpg"
	lab "dcpos/lab/institution"
	"dcpos/lab/shop"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// house is a centre with the laboratory's institutions, a web shop with its key, and the
// shop's receiver of webhooks. The shop's side is lab/shop, which shares no code with the
// centre's.
type house struct {
	t       testing.TB
	dir     string
	url     string // of the database
	sim     *lab.Simulator
	simURL  string
	hookKey ed25519.PrivateKey
	skew    *atomic.Int64 // nanoseconds that are added to the clock

	set    *institution.Set
	store  *store.Store
	pays   *payment.Desk
	desk   *webshop.Desk
	server *httptest.Server
	client *shop.Client

	hook     *httptest.Server
	receiver *shop.Receiver

	mu     sync.Mutex
	events []shop.Event
	refuse int // how many webhooks the shop fails to take
}

func engines(t *testing.T, body func(t *testing.T, h *house)) {
	t.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			body(t, newHouse(t, engine))
		})
	}
}

func newHouse(tb testing.TB, engine store.Engine) *house {
	tb.Helper()
	h := &house{t: tb, dir: tb.TempDir(), skew: new(atomic.Int64)}
	h.url = "sqlite:" + filepath.Join(h.dir, "centre.db")
	if engine == store.Postgres {
		h.url = testpg.Start(tb)
	}
	var err error
	if h.sim, err = lab.Open(lab.Options{Dir: h.dir, Now: h.now}); err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(h.sim.Handler())
	h.simURL = srv.URL
	tb.Cleanup(func() { srv.Close(); _ = h.sim.Close() })
	if _, h.hookKey, err = ed25519.GenerateKey(rand.Reader); err != nil {
		tb.Fatal(err)
	}
	h.receiver = &shop.Receiver{Now: h.now, Handle: h.hear}
	h.hook = httptest.NewServer(h.receiver)
	tb.Cleanup(h.hook.Close)
	h.open()
	h.register("mall", "shop-1", "food", "books")
	h.client = h.key("mall")
	id, key, err := h.client.HookKey(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	h.receiver.KeyID, h.receiver.Key = id, key
	return h
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }

// hear is the shop's memory; it is called under the receiver's lock.
func (h *house) hear(e shop.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse > 0 {
		h.refuse--
		return errors.New("the shop's database is away")
	}
	h.events = append(h.events, e)
	return nil
}

func (h *house) heard() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := map[string]int{}
	for _, e := range h.events {
		m[e.Kind]++
	}
	return m
}

// one is what was heard of a kind, the first of it: webhooks come in any order.
func (h *house) one(kind string) shop.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.IndexFunc(h.events, func(e shop.Event) bool { return e.Kind == kind }); i >= 0 {
		return h.events[i]
	}
	return shop.Event{}
}

// open starts a centre over the database, as a process does that starts.
func (h *house) open() {
	h.t.Helper()
	ctx := h.t.Context()
	s, err := store.Open(ctx, store.Config{URL: h.url, Env: pos.Lab, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	h.store = s
	all, err := institution.Shipped()
	if err != nil {
		h.t.Fatal(err)
	}
	access := map[string]institution.Access{}
	for _, d := range all {
		access[d.Code] = institution.Access{BaseURL: h.simURL + "/" + d.Code + "/v1", APIKey: h.sim.Key(d.Code)}
	}
	set, err := institution.Connect(pos.Lab, all, access, func(string) (string, bool) { return "", false }, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.set = set
	if h.pays, err = payment.New(payment.Config{
		Env: pos.Lab, Store: s.Payments(), Institutions: set, Default: "ICBC", Key: []byte("0123456789abcdef"), Now: h.now,
	}); err != nil {
		h.t.Fatal(err)
	}
	if h.desk, err = webshop.New(webshop.Config{
		Env: pos.Lab, Store: s.Webshops(), Payments: h.pays, HookKey: h.hookKey, Now: h.now,
	}); err != nil {
		h.t.Fatal(err)
	}
	handler, err := api.New(api.Config{Version: "test", Env: pos.Lab, Desk: h.desk, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.server == nil {
		h.server = httptest.NewServer(handler)
		h.t.Cleanup(h.server.Close)
	} else {
		h.server.Config.Handler = handler
	}
	h.t.Cleanup(func() { _ = s.Close() })
}

func (h *house) register(id, of string, categories ...string) {
	h.t.Helper()
	ctx := h.t.Context()
	f := fleet.New(fleet.Config{Store: h.store.Fleet(), Env: pos.Lab})
	if err := f.AddMerchant(ctx, fleet.Merchant{ID: of, Name: pos.Text{ZH: "商户", EN: "merchant"}}, "test"); err != nil {
		h.t.Fatal(err)
	}
	if err := h.desk.AddShop(ctx, webshop.Shop{
		ID: id, Merchant: of, Name: pos.Text{ZH: "网店", EN: "web shop"}, Categories: categories, PerPayment: 500_00, PerDay: 2000_00,
		PerMinute: 100_000, Hook: h.hook.URL + "/hook", HookOn: true,
	}, "test"); err != nil {
		h.t.Fatal(err)
	}
}

// key gives a client with a fresh key of the shop.
func (h *house) key(id string) *shop.Client {
	h.t.Helper()
	k, private, err := h.desk.AddKey(h.t.Context(), id, nil, "test")
	if err != nil {
		h.t.Fatal(err)
	}
	return &shop.Client{Base: h.server.URL, KeyID: k.ID, Key: private, Now: h.now}
}

func (h *house) wallet(balance, envelope pos.Money) *wallet.Wallet {
	h.t.Helper()
	w, err := wallet.Create(h.t.Context(), wallet.Client{Base: h.simURL + "/ICBC/v1", Key: h.sim.Key("ICBC")},
		wallet.Opening{Institution: "ICBC", Name: "customer", Balance: balance, Envelope: envelope})
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// run runs the payment room and the delivery of events until the returned function is called.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { _ = h.pays.Run(ctx) })
	wait.Go(func() { _ = h.desk.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	h.t.Cleanup(stop)
	return stop
}

// until waits for a condition, a minute at most.
func (h *house) until(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(end) {
			h.t.Fatalf("%s did not come to be", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// balances are the ledger's accounts that hold something; their sum is zero.
func (h *house) balances() map[string]pos.Money {
	h.t.Helper()
	trial, err := h.store.Ledger().Trial(h.t.Context(), "")
	if err != nil {
		h.t.Fatal(err)
	}
	if !trial.Balanced() {
		h.t.Errorf("ledger does not balance: sum %s, wrong %v", trial.Sum, trial.Wrong)
	}
	m := map[string]pos.Money{}
	for _, a := range trial.Accounts {
		if a.Amount != 0 {
			m[a.Account] = a.Amount
		}
	}
	return m
}

func order(id string, amount pos.Money) shop.PayRequest {
	return shop.PayRequest{Order: id, Amount: amount, Lines: []shop.Line{{Name: "茶 tea", Category: "food", Quantity: 1, Amount: amount}}}
}

// refused wants the centre to say no with the code.
func refused(tb testing.TB, err error, status int, code pos.Code) {
	tb.Helper()
	p := &shop.Problem{}
	if !errors.As(err, &p) || p.Status != status || p.Code != string(code) {
		tb.Errorf("got %v, want %d %s", err, status, code)
		return
	}
	if p.Text.ZH == "" || p.Text.EN == "" || p.Hint.ZH == "" || p.Hint.EN == "" {
		tb.Errorf("%s does not say in two languages what to do: %+v", code, p)
	}
}

func (h *house) pay(key string, r shop.PayRequest) shop.Payment {
	h.t.Helper()
	p, err := h.client.Pay(h.t.Context(), key, r)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) status(id string) string {
	h.t.Helper()
	p, err := h.client.Find(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return p.Status
}

// raw sends bytes as they are, signed for them, and gives status and code.
func send(tb testing.TB, req *http.Request) (int, string) {
	tb.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode, codeOf(res)
}
