package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
	"dcpos/agent/operator"
	"dcpos/pos"
	"dcpos/sdk"
)

// serve runs a till behind a Unix socket and gives a client of it.
func serve(tb testing.TB, change ...func(*checkout.Config)) (*sdk.Client, *checkouttest.Shop) {
	tb.Helper()
	shop := checkouttest.NewShop(tb)
	till, _ := shop.Start(tb, change...)
	api, err := localapi.New(localapi.Options{Till: till, Version: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "s")
	ctx, cancel := context.WithCancel(context.Background())
	l, err := localapi.ListenUnix(ctx, path)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- localapi.Serve(ctx, l, api.Unix()) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	c, err := sdk.New(sdk.Options{Socket: path, Caller: "vendor"})
	if err != nil {
		tb.Fatal(err)
	}
	return c, shop
}

func TestEveryOperation(t *testing.T) {
	c, shop := serve(t)
	ctx := t.Context()
	shop.Staff.Hire(t, "99", operator.Supervisor, "9999")
	o, err := c.SignIn(ctx, "99", "9999")
	if err != nil || o.Role != "supervisor" {
		t.Fatalf("%+v %v", o, err)
	}
	p, err := c.Start(ctx, sdk.StartRequest{OrderID: "o1", Amount: 1000, Mode: pos.BScanC})
	if err != nil || p.Caller != "local:vendor" || p.Operator != "99" || p.Key == "" {
		t.Fatalf("%+v %v", p, err)
	}
	if p, err = c.SubmitCode(ctx, p.ID, checkouttest.Code(1)); err != nil || p.State != pos.Paid || p.StateText.ZH != "已支付" {
		t.Fatalf("%+v %v", p, err)
	}
	r, err := c.Refund(ctx, p.ID, sdk.RefundRequest{Amount: 300})
	if err != nil || r.Refund.State != pos.RefundRefunded || r.StateText.EN != "refunded" {
		t.Fatalf("%+v %v", r, err)
	}
	if printed, err := c.Print(ctx, p.ID); err != nil || printed.State != pos.PrintConfirmed {
		t.Fatalf("%+v %v", printed, err)
	}
	if err := c.OpenDrawer(ctx, "change"); err != nil || shop.Printer.Kicks() != 1 {
		t.Fatal(err)
	}
	q, err := c.Start(ctx, sdk.StartRequest{OrderID: "o2", Amount: 500, Mode: pos.CScanB})
	if err != nil {
		t.Fatal(err)
	}
	if q, err = c.Present(ctx, q.ID); err != nil || q.QR == "" {
		t.Fatalf("%+v %v", q, err)
	}
	if png, err := c.QR(ctx, q.ID, 200); err != nil || string(png[1:4]) != "PNG" {
		t.Fatalf("%.20q %v", png, err)
	}
	if q, err = c.Refresh(ctx, q.ID); err != nil || q.State != pos.Asking {
		t.Fatalf("%+v %v", q, err)
	}
	if q, err = c.Cancel(ctx, q.ID); err != nil || q.State != pos.Abandoned {
		t.Fatalf("%+v %v", q, err)
	}
	if s, err := c.Scan(ctx, "dcpos:pay:"+p.ID.String(), "]Q1"); err != nil || s.Payment == nil || s.Payment.ID != p.ID {
		t.Fatalf("%+v %v", s, err)
	}
	list, err := c.Payments(ctx, sdk.Query{States: []pos.State{pos.Paid, pos.Abandoned}, Limit: 10})
	if err != nil || len(list) != 2 || list[0].ID != q.ID {
		t.Fatalf("%d %v", len(list), err)
	}
	s, err := c.Status(ctx)
	if err != nil || s.Version != "test" || s.Operator == nil || s.Outbox.Unsent == 0 || s.Notice.EN != "TEST" {
		t.Fatalf("%+v %v", s, err)
	}
	if _, err := c.Device(ctx, "a/b"); !errors.Is(err, &pos.Error{Code: pos.ErrNotFound}) {
		t.Fatal(err)
	}
	if _, err := c.CheckDevice(ctx, "printer", "internal"); !errors.Is(err, &pos.Error{Code: pos.ErrNotFound}) {
		t.Fatal(err)
	}
	if _, err := c.TestDevice(ctx, "printer"); !errors.Is(err, &pos.Error{Code: pos.ErrNotFound}) {
		t.Fatal(err)
	}
	if d, err := c.Devices(ctx); err != nil || len(d.Devices) != 0 || len(d.Unknown) != 0 {
		t.Fatalf("%+v %v", d, err)
	}
	if err := c.SignOut(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestOfflineSale(t *testing.T) {
	c, shop := serve(t)
	shop.Host.Connect(false)
	p, err := c.Start(t.Context(), sdk.StartRequest{OrderID: "o1", Amount: 1000, Mode: pos.Evidence})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.Challenge(t.Context(), p.ID)
	if err != nil || ch.ExpiresMS == 0 {
		t.Fatal(err)
	}
	answer, err := shop.NewWallet(t).Sign(ch.Text)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = c.SubmitEvidence(t.Context(), p.ID, answer); err != nil || p.State != pos.AcceptedEvidence {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestErrorsCarryCodeAndAdvice(t *testing.T) {
	c, _ := serve(t)
	_, err := c.Payment(t.Context(), pos.PaymentID{1})
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || e.Code != pos.ErrNotFound || e.Hint.ZH == "" || e.Text.EN == "" {
		t.Fatalf("%v", err)
	}
}

func TestWaitAndEvents(t *testing.T) {
	c, shop := serve(t, func(k *checkout.Config) { k.Timing.Query = 20 * time.Millisecond })
	p, err := c.Start(t.Context(), sdk.StartRequest{OrderID: "o1", Amount: 1000, Mode: pos.CScanB})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Present(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	time.AfterFunc(100*time.Millisecond, func() { shop.Host.Settle(p.ID, pos.Paid) })
	if p, err = c.Wait(ctx, p.ID); err != nil || p.State != pos.Paid {
		t.Fatalf("%s %v", p.State, err)
	}
	if p, err = c.Wait(ctx, p.ID); err != nil || p.State != pos.Paid {
		t.Fatalf("decided before: %s %v", p.State, err)
	}
	short, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	if err := c.Events(short, "", nil, func(sdk.Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestInterruptedCallsAreSentAgainWithTheSameKey(t *testing.T) {
	shop := checkouttest.NewShop(t)
	till, _ := shop.Start(t)
	api, err := localapi.New(localapi.Options{Till: till})
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%2 == 1 { // done, but the answer is lost
			api.Unix().ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		api.Unix().ServeHTTP(w, r)
	}))
	defer server.Close()
	c, err := sdk.New(sdk.Options{URL: server.URL, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Start(t.Context(), sdk.StartRequest{OrderID: "o1", Amount: 1000, Mode: pos.BScanC})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = c.SubmitCode(t.Context(), p.ID, checkouttest.Code(1)); err != nil || p.State != pos.Paid {
		t.Fatalf("%s %v", p.State, err)
	}
	if _, err := c.Refund(t.Context(), p.ID, sdk.RefundRequest{Amount: 400}); err != nil {
		t.Fatal(err)
	}
	all := shop.Journal.All()
	if len(all) != 1 || len(all[0].Refunds) != 1 || shop.Host.Pays(p.ID) != 1 {
		t.Fatalf("%d payments, %d refunds, %d times asked for money", len(all), len(all[0].Refunds), shop.Host.Pays(p.ID))
	}
	calls.Store(0)
	_, err = c.Print(t.Context(), p.ID)
	if _, ok := errors.AsType[*sdk.Unreachable](err); !ok || len(shop.Printer.Jobs()) != 1 {
		t.Fatalf("%v, %d prints: what must not be repeated was", err, len(shop.Printer.Jobs()))
	}
}

func TestNobodyAnswers(t *testing.T) {
	c, err := sdk.New(sdk.Options{Socket: filepath.Join(t.TempDir(), "none"), Tries: 2, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context())
	if e, ok := errors.AsType[*sdk.Unreachable](err); !ok || e.Explain("zh") == e.Explain("en") {
		t.Fatalf("%v", err)
	}
	for _, o := range []sdk.Options{{}, {Socket: "s", URL: "http://x"}, {URL: "x"}, {URL: "ftp://x"}} {
		if _, err := sdk.New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func ExampleClient_SubmitCode() {
	var tb exampleTB
	defer tb.end()
	c, _ := serve(&tb)
	ctx := context.Background()

	p, err := c.Start(ctx, sdk.StartRequest{OrderID: "A-17", Amount: 1250, Mode: pos.BScanC})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err = c.SubmitCode(ctx, p.ID, "0100100000000000042")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.State, p.Amount, p.StateText.ZH)
	// Output: paid 12.50 已支付
}

// exampleTB lets an example use what is made for tests.
type exampleTB struct {
	testing.TB
	last []func()
	dir  string
}

func (t *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "sdk")
	if err != nil {
		panic(err)
	}
	t.dir = dir
	return dir
}

func (t *exampleTB) end() {
	for _, f := range slices.Backward(t.last) {
		f()
	}
	_ = os.RemoveAll(t.dir)
}

func (t *exampleTB) Helper()          {}
func (t *exampleTB) Cleanup(f func()) { t.last = append(t.last, f) }
func (t *exampleTB) Fatal(a ...any)   { panic(fmt.Sprint(a...)) }
func (t *exampleTB) Error(a ...any)   { panic(fmt.Sprint(a...)) }

func (t *exampleTB) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
