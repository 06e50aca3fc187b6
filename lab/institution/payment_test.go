package institution_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

func TestPaymentTakesTheEnvelopeFirst(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 30_00)
	p := l.payment(t, w, 50_00)
	if len(p.Code) != 19 || !strings.HasPrefix(p.Code, "01001") {
		t.Errorf("code %q: want 19 digits beginning 01001", p.Code)
	}
	got := post[api.Result](t, l, "/payments", p)
	want := api.Result{
		Status: api.Success, Reason: "ok", TxnID: "ICBC2026030200000001", SettlementDate: today,
		Envelope: 30_00, WalletHint: "*" + w.ID()[len(w.ID())-4:],
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(got, get[api.Result](t, l, "/payments/"+p.RequestID)); d != "" {
		t.Errorf("the query differs from the answer:\n%s", d)
	}
	wantBalance(t, w, 80_00, 0)
	if b := l.books(t); b.Paid != 50_00 || b.PaidCount != 1 || b.Merchant["M1"] != 50_00 {
		t.Errorf("books %+v", b)
	}
}

func TestPaymentFails(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	used := l.payment(t, w, 1_00)
	post[api.Result](t, l, "/payments", used)
	abc := l.walletAt(t, "ABC", 100_00, 0, "")
	cases := map[string]struct {
		want    string
		prepare func(*api.Payment)
	}{
		"request past its expiry is never started": {"expired", func(p *api.Payment) { p.ExpiresMS = l.in(-time.Millisecond) }},
		"code used before":                         {"code_used", func(p *api.Payment) { p.Code = used.Code }},
		"code nobody issued":                       {"bad_code", func(p *api.Payment) { p.Code = "0100100000000000000" }},
		"code of another institution":              {"bad_code", func(p *api.Payment) { p.Code = l.payment(t, abc, 1).Code }},
		"more than the wallet holds":               {"insufficient_funds", func(p *api.Payment) { p.Amount = 99_01 }},
		"code older than a minute": {"expired_code", func(p *api.Payment) {
			l.advance(time.Minute + time.Millisecond)
			p.ExpiresMS = l.in(time.Minute)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := l.payment(t, w, 1_00)
			c.prepare(&p)
			got := post[api.Result](t, l, "/payments", p)
			if got.Status != api.Failed || got.Reason != c.want {
				t.Errorf("got %s %q, want F %q", got.Status, got.Reason, c.want)
			}
			if d := cmp.Diff(got, get[api.Result](t, l, "/payments/"+p.RequestID)); d != "" {
				t.Errorf("a failed payment must stay failed:\n%s", d)
			}
		})
	}
	wantBalance(t, w, 99_00, 0)
	if b := l.books(t); b.Paid != 1_00 || b.FailedCount != len(cases) {
		t.Errorf("books %+v", b)
	}
}

func TestExpiredRequestLeavesTheCodeUsable(t *testing.T) {
	l := newLab(t)
	p := l.payment(t, l.wallet(t, 10_00, 0), 1_00)
	p.ExpiresMS = l.in(-1)
	if got := post[api.Result](t, l, "/payments", p); got.Reason != "expired" {
		t.Fatalf("got %+v", got)
	}
	p.RequestID, p.ExpiresMS = l.id(), l.in(1)
	if got := post[api.Result](t, l, "/payments", p); got.Status != api.Success {
		t.Errorf("the code was not used, but: %+v", got)
	}
}

func TestFiftyParallelRepeatsDebitOnce(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 10_00)
	bodies := make([]string, 50)
	var wg sync.WaitGroup
	for i := range bodies {
		wg.Go(func() {
			status, b, err := l.try(t.Context(), http.MethodPost, "ICBC", "/payments", p)
			if err != nil || status != http.StatusOK {
				t.Errorf("repeat %d: %d %v", i, status, err)
			}
			bodies[i] = string(b)
		})
	}
	wg.Wait()
	for i, b := range bodies {
		if b != bodies[0] {
			t.Errorf("repeat %d was told %s, the first %s", i, b, bodies[0])
		}
	}
	wantBalance(t, w, 90_00, 0)
	if b := l.books(t); b.PaidCount != 1 || len(l.statement(t, today)) != 1 {
		t.Errorf("one payment became %d", b.PaidCount)
	}
}

func TestFiftyParallelPaymentsNeverOverdraw(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 10_00, 5_00)
	var wg sync.WaitGroup
	for range 50 {
		p := l.payment(t, w, 1_00)
		wg.Go(func() {
			if status, b, err := l.try(t.Context(), http.MethodPost, "ICBC", "/payments", p); err != nil || status != 200 {
				t.Errorf("%d %v %s", status, err, b)
			}
		})
	}
	wg.Wait()
	wantBalance(t, w, 0, 0)
	if b := l.books(t); b.PaidCount != 15 || b.FailedCount != 35 {
		t.Errorf("paid %d, failed %d, want 15 and 35", b.PaidCount, b.FailedCount)
	}
}

func TestSameIDWithOtherContentIsAConflict(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 1_00)
	post[api.Result](t, l, "/payments", p)
	other := p
	other.Amount = 2_00
	order := l.order(1_00)
	order.RequestID = p.RequestID
	for name, c := range map[string]struct {
		path string
		body any
	}{
		"another amount":      {"/payments", other},
		"an order":            {"/orders", order},
		"a refund of itself":  {"/refunds", api.Refund{RequestID: p.RequestID, OrigRequestID: p.RequestID, Amount: 1}},
		"evidence with no id": {"/payments", strings.Replace(asJSON(t, p), `"M1"`, `"M2"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			got := do[api.Problem](t, l, http.StatusConflict, http.MethodPost, c.path, c.body)
			if got.Code != string(pos.ErrKeyConflict) {
				t.Errorf("code %q", got.Code)
			}
		})
	}
	wantBalance(t, w, 99_00, 0)
}

func TestOtherSpellingOfTheSameContentIsARepeat(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 1_00)
	first := post[api.Result](t, l, "/payments", p)
	again := post[api.Result](t, l, "/payments", "  "+strings.ReplaceAll(asJSON(t, p), ",", " ,\n"))
	if d := cmp.Diff(first, again); d != "" {
		t.Error(d)
	}
	wantBalance(t, w, 99_00, 0)
}

func TestOrderIsPaidOnce(t *testing.T) {
	l := newLab(t)
	w, other := l.wallet(t, 10_00, 3_00), l.wallet(t, 10_00, 0)
	o := l.order(5_00)
	first := post[api.OrderResult](t, l, "/orders", o)
	if first.Status != api.InProcess || !strings.HasPrefix(first.QR, "dcpos-lab:pay:ICBC:") || first.ValidUntilMS != o.ValidUntilMS {
		t.Fatalf("order %+v", first)
	}
	if got := get[api.Result](t, l, "/payments/"+o.RequestID); got.Status != api.InProcess {
		t.Errorf("unpaid order %+v", got)
	}
	poor := l.wallet(t, 4_99, 0)
	if got, err := poor.Scan(t.Context(), first.QR); err != nil || got.Reason != "insufficient_funds" {
		t.Errorf("poor wallet: %+v %v", got, err)
	}
	for range 3 {
		if got, err := w.Scan(t.Context(), first.QR); err != nil || got.Status != api.Success {
			t.Fatalf("scan: %+v %v", got, err)
		}
	}
	if got, err := other.Scan(t.Context(), first.QR); err != nil || got.Status != api.Failed || got.Reason != "already_paid" {
		t.Errorf("second wallet: %+v %v", got, err)
	}
	wantBalance(t, w, 8_00, 0)
	wantBalance(t, other, 10_00, 0)
	if got := get[api.Result](t, l, "/payments/"+o.RequestID); got.Status != api.Success || got.Envelope != 3_00 {
		t.Errorf("paid order %+v", got)
	}
	if d := cmp.Diff(first, post[api.OrderResult](t, l, "/orders", o)); d != "" {
		t.Errorf("a repeat must get the first answer:\n%s", d)
	}
}

func TestOrderPastItsValidityFailsForEver(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 10_00, 0)
	o := l.order(5_00)
	qr := post[api.OrderResult](t, l, "/orders", o).QR
	l.advance(time.Minute)
	if got := get[api.Result](t, l, "/payments/"+o.RequestID); got.Status != api.InProcess {
		t.Errorf("at the last moment: %+v", got)
	}
	l.advance(time.Millisecond)
	if got, err := w.Scan(t.Context(), qr); err != nil || got.Reason != "expired" {
		t.Errorf("scan: %+v %v", got, err)
	}
	if got := get[api.Result](t, l, "/payments/"+o.RequestID); got.Status != api.Failed || got.Reason != "expired" || got.SettlementDate != today {
		t.Errorf("query: %+v", got)
	}
	wantBalance(t, w, 10_00, 0)
	if b := l.books(t); b.FailedCount != 1 || b.OpenOrders != 0 {
		t.Errorf("books %+v", b)
	}
}

func TestOrderCannotBeClosed(t *testing.T) {
	l := newLab(t)
	o := l.order(5_00)
	qr := post[api.OrderResult](t, l, "/orders", o).QR
	for _, path := range []string{"/orders/" + o.RequestID, "/orders/" + o.RequestID + "/close", "/payments/" + o.RequestID} {
		for _, method := range []string{http.MethodDelete, http.MethodPost, http.MethodPut} {
			do[api.Problem](t, l, http.StatusNotFound, method, path, "{}")
		}
	}
	if got, err := l.wallet(t, 5_00, 0).Scan(t.Context(), qr); err != nil || got.Status != api.Success {
		t.Errorf("still to be paid, but: %+v %v", got, err)
	}
}

func TestRefundsGiveBackOwnMoneyFirst(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 30_00)
	p := l.payment(t, w, 50_00) // 20 own, 30 envelope
	post[api.Result](t, l, "/payments", p)
	refund := func(amount pos.Money) (api.Refund, api.RefundResult) {
		r := api.Refund{RequestID: l.id(), OrigRequestID: p.RequestID, Amount: amount}
		return r, post[api.RefundResult](t, l, "/refunds", r)
	}
	r, got := refund(15_00)
	wantBalance(t, w, 95_00, 0)
	if d := cmp.Diff(got, post[api.RefundResult](t, l, "/refunds", r)); d != "" || got.Status != api.Success {
		t.Errorf("repeat of a refund:\n%s", d)
	}
	if d := cmp.Diff(got, get[api.RefundResult](t, l, "/refunds/"+r.RequestID)); d != "" {
		t.Errorf("query of a refund:\n%s", d)
	}
	refund(15_00)
	wantBalance(t, w, 100_00, 10_00)
	if _, got := refund(20_01); got.Status != api.Failed || got.Reason != "refund_too_much" {
		t.Errorf("one fen too much: %+v", got)
	}
	refund(20_00)
	wantBalance(t, w, 100_00, 30_00)
	if _, got := refund(1); got.Status != api.Failed || got.Reason != "refund_too_much" {
		t.Errorf("refund of what is gone: %+v", got)
	}
	if b := l.books(t); b.Refunded != 50_00 || b.RefundedCount != 3 || b.Merchant["M1"] != 0 {
		t.Errorf("books %+v", b)
	}
}

func TestRefundIsRefused(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 1_00, 0)
	failed, open := l.payment(t, w, 2_00), l.order(1_00)
	post[api.Result](t, l, "/payments", failed)
	post[api.OrderResult](t, l, "/orders", open)
	for name, c := range map[string]struct{ orig, want string }{
		"payment that never arrived": {l.id(), "not_found"},
		"payment that failed":        {failed.RequestID, "not_refundable"},
		"order that nobody paid":     {open.RequestID, "not_refundable"},
	} {
		t.Run(name, func(t *testing.T) {
			got := post[api.RefundResult](t, l, "/refunds", api.Refund{RequestID: l.id(), OrigRequestID: c.orig, Amount: 1_00})
			if got.Status != api.Failed || got.Reason != c.want {
				t.Errorf("got %+v, want F %s", got, c.want)
			}
		})
	}
	if got := get[api.RefundResult](t, l, "/refunds/"+l.id()); got.Status != api.NotFound {
		t.Errorf("refund that never arrived: %+v", got)
	}
	if got := get[api.RefundResult](t, l, "/refunds/"+failed.RequestID); got.Status != api.NotFound {
		t.Errorf("a payment is no refund: %+v", got)
	}
	wantBalance(t, w, 1_00, 0)
}

func TestFeeIsRoundedAndStaysWithARefund(t *testing.T) {
	l := &lab{dir: t.TempDir(), fee: 38}
	l.ms.Store(noon.UnixMilli())
	l.start(t)
	defer l.stop(t)
	p := l.payment(t, l.wallet(t, 100_00, 0), 12_34) // 0.38 % of 1234 is 4.6892
	if got := post[api.Result](t, l, "/payments", p); got.Fee != 5 {
		t.Errorf("fee %d, want 5", got.Fee)
	}
	post[api.RefundResult](t, l, "/refunds", api.Refund{RequestID: l.id(), OrigRequestID: p.RequestID, Amount: 12_34})
	if b := l.books(t); b.Fees != 5 || b.Merchants != -5 {
		t.Errorf("books %+v", b)
	}
}
