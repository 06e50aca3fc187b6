package institution_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

func TestLostAnswerDebitsAndTheQueryTellsIt(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 10_00)
	l.fault(t, api.Fault{Op: api.OpPayments, Kind: api.LostAnswer})
	if status, b, err := l.try(t.Context(), http.MethodPost, "ICBC", "/payments", p); err == nil {
		t.Fatalf("an answer came: %d %s", status, b)
	}
	wantBalance(t, w, 90_00, 0)
	told := get[api.Result](t, l, "/payments/"+p.RequestID)
	if told.Status != api.Success {
		t.Errorf("query says %+v", told)
	}
	if d := cmp.Diff(told, post[api.Result](t, l, "/payments", p)); d != "" {
		t.Errorf("repeat:\n%s", d)
	}
	wantBalance(t, w, 90_00, 0)

	r := api.Refund{RequestID: l.id(), OrigRequestID: p.RequestID, Amount: 10_00}
	l.fault(t, api.Fault{Op: api.OpRefunds, Kind: api.LostAnswer})
	if _, _, err := l.try(t.Context(), http.MethodPost, "ICBC", "/refunds", r); err == nil {
		t.Error("the refund was answered")
	}
	wantBalance(t, w, 100_00, 0)

	e := l.signed(t, w.Answer, 5_00)
	l.fault(t, api.Fault{Op: api.OpEvidence, Kind: api.LostAnswer})
	if _, _, err := l.try(t.Context(), http.MethodPost, "ICBC", "/evidence", e); err == nil {
		t.Error("the evidence was answered")
	}
	wantBalance(t, w, 95_00, 0)
	if got := post[api.Result](t, l, "/evidence", e); got.Status != api.Success {
		t.Errorf("evidence again: %+v", got)
	}
	wantBalance(t, w, 95_00, 0)
}

func TestUnavailableBooksNothing(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 10_00)
	l.fault(t, api.Fault{Op: api.OpPayments, Kind: api.Unavailable, Count: 2})
	for range 2 {
		if got := do[api.Problem](t, l, http.StatusServiceUnavailable, http.MethodPost, "/payments", p); got.Code != "unavailable" {
			t.Errorf("got %+v", got)
		}
	}
	if got := get[api.Result](t, l, "/payments/"+p.RequestID); got.Status != api.NotFound {
		t.Errorf("query says %+v", got)
	}
	if got := post[api.Result](t, l, "/payments", p); got.Status != api.Success {
		t.Errorf("after the fault: %+v", got)
	}
	l.fault(t, api.Fault{Op: api.OpQuery, Kind: api.Unavailable})
	do[api.Problem](t, l, http.StatusServiceUnavailable, http.MethodGet, "/payments/"+p.RequestID, nil)
	get[api.Result](t, l, "/payments/"+p.RequestID)
}

func TestDeclineAndExpiredCodeFailOneRequest(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	for name, c := range map[string]struct {
		fault api.Fault
		want  string
	}{
		"decline without a reason": {api.Fault{Op: api.OpPayments, Kind: api.Decline}, "declined"},
		"decline with a reason":    {api.Fault{Op: api.OpPayments, Kind: api.Decline, Reason: "risk"}, "risk"},
		"expired code":             {api.Fault{Op: api.OpPayments, Kind: api.ExpiredCode}, "expired_code"},
	} {
		t.Run(name, func(t *testing.T) {
			l.fault(t, c.fault)
			p := l.payment(t, w, 1_00)
			for range 2 {
				if got := post[api.Result](t, l, "/payments", p); got.Status != api.Failed || got.Reason != c.want {
					t.Errorf("got %+v, want F %s", got, c.want)
				}
			}
		})
	}
	wantBalance(t, w, 100_00, 0)
	paid := l.payment(t, w, 1_00)
	if got := post[api.Result](t, l, "/payments", paid); got.Status != api.Success {
		t.Fatalf("the faults are used up, but: %+v", got)
	}
	for op, send := range map[api.Op]func() (api.Status, string){
		api.OpOrders: func() (api.Status, string) {
			r := post[api.OrderResult](t, l, "/orders", l.order(1_00))
			return r.Status, r.Reason
		},
		api.OpRefunds: func() (api.Status, string) {
			r := post[api.RefundResult](t, l, "/refunds", api.Refund{RequestID: l.id(), OrigRequestID: paid.RequestID, Amount: 1})
			return r.Status, r.Reason
		},
		api.OpEvidence: func() (api.Status, string) {
			r := post[api.Result](t, l, "/evidence", l.signed(t, w.Answer, 1_00))
			return r.Status, r.Reason
		},
	} {
		l.fault(t, api.Fault{Op: op, Kind: api.Decline, Reason: "no"})
		if status, reason := send(); status != api.Failed || reason != "no" {
			t.Errorf("%s: %s %s", op, status, reason)
		}
	}
	wantBalance(t, w, 99_00, 0)
}

func TestFaultFitsOnlyItsAmountAndNeverARepeat(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	before := l.payment(t, w, 7_00)
	post[api.Result](t, l, "/payments", before)
	l.fault(t, api.Fault{Op: api.OpPayments, Kind: api.Decline, Amount: 7_00})
	if got := post[api.Result](t, l, "/payments", l.payment(t, w, 8_00)); got.Status != api.Success {
		t.Errorf("another amount: %+v", got)
	}
	if got := post[api.Result](t, l, "/payments", before); got.Status != api.Success {
		t.Errorf("a repeat: %+v", got)
	}
	if got := post[api.Result](t, l, "/payments", l.payment(t, w, 7_00)); got.Status != api.Failed {
		t.Errorf("the amount: %+v", got)
	}
	if got := get[api.Faults](t, l, "/faults"); len(got.Faults) != 0 {
		t.Errorf("left over: %+v", got)
	}
}

func TestFaultsAreListedAndDeleted(t *testing.T) {
	l := newLab(t)
	f := api.Fault{Op: api.OpOrders, Kind: api.Slow, Count: 2, DelayMS: 60_000}
	l.fault(t, f)
	if d := cmp.Diff(api.Faults{Faults: []api.Fault{f}, Planted: []api.PlantedLine{}}, get[api.Faults](t, l, "/faults")); d != "" {
		t.Error(d)
	}
	do[struct{}](t, l, http.StatusOK, http.MethodDelete, "/faults", nil)
	if got := get[api.Faults](t, l, "/faults"); len(got.Faults) != 0 {
		t.Errorf("after deleting: %+v", got)
	}
	post[api.OrderResult](t, l, "/orders", l.order(1))
}

func TestSlowAnswerIsBookedAtOnce(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	p := l.payment(t, w, 10_00)
	l.fault(t, api.Fault{Op: api.OpPayments, Kind: api.Slow, DelayMS: 300})
	began, came := time.Now(), make(chan api.Status, 1)
	go func() {
		r := post[api.Result](t, l, "/payments", p)
		came <- r.Status
	}()
	for get[api.Result](t, l, "/payments/"+p.RequestID).Status != api.Success {
		if time.Since(began) > time.Minute {
			t.Fatal("not booked")
		}
	}
	if got := <-came; got != api.Success || time.Since(began) < 300*time.Millisecond {
		t.Errorf("%s after %s", got, time.Since(began))
	}
}

func TestLateStatementIsNotReady(t *testing.T) {
	l := newLab(t)
	l.fault(t, api.Fault{Op: api.OpStatements, Kind: api.Late})
	if got := do[api.Problem](t, l, http.StatusNotFound, http.MethodGet, "/statements/"+string(today), nil); got.Code != "not_ready" {
		t.Errorf("got %+v", got)
	}
	if got := l.statement(t, today); len(got) != 0 {
		t.Errorf("lines of an empty day: %v", got)
	}
	if got := do[api.Problem](t, l, http.StatusNotFound, http.MethodGet, "/statements/2026-03-03", nil); got.Code != "not_ready" {
		t.Errorf("tomorrow: %+v", got)
	}
	do[api.Problem](t, l, http.StatusBadRequest, http.MethodGet, "/statements/"+string(pos.Date("2026-13-01")), nil)
}
