package institution_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution/api"
	"dcpos/pos/dcep"
)

func TestEvidenceOfBothSuitesIsCredited(t *testing.T) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		t.Run(suite, func(t *testing.T) {
			l := newLab(t)
			w := l.walletAt(t, "ICBC", 10_00, 4_00, suite)
			e := l.signed(t, w.Answer, 6_00)
			l.advance(48 * time.Hour) // the till was offline for two days
			got := post[api.Result](t, l, "/evidence", e)
			if got.Status != api.Success || got.Reason != "ok" || got.Envelope != 4_00 || got.SettlementDate != "2026-03-04" {
				t.Errorf("got %+v", got)
			}
			for range 2 {
				if d := cmp.Diff(got, post[api.Result](t, l, "/evidence", e)); d != "" {
					t.Errorf("the same evidence again is a repeat:\n%s", d)
				}
			}
			if d := cmp.Diff(got, get[api.Result](t, l, "/payments/"+e.RequestID)); d != "" {
				t.Errorf("query:\n%s", d)
			}
			wantBalance(t, w, 8_00, 0)
			if b := l.books(t); b.Evidence != 6_00 || b.EvidenceCount != 1 || b.Paid != 6_00 {
				t.Errorf("books %+v", b)
			}
		})
	}
}

func TestSecondPaymentWithOneCounterIsADoubleSpend(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	first, second := l.signed(t, w.Answer, 1_00), l.signed(t, w.DoubleSpend, 2_00)
	if got := post[api.Result](t, l, "/evidence", first); got.Status != api.Success {
		t.Fatalf("first: %+v", got)
	}
	for range 2 {
		if got := post[api.Result](t, l, "/evidence", second); got.Status != api.Failed || got.Reason != "double_spend" {
			t.Errorf("second: %+v", got)
		}
	}
	if got := post[api.Result](t, l, "/evidence", l.signed(t, w.Answer, 3_00)); got.Status != api.Success {
		t.Errorf("the next counter: %+v", got)
	}
	wantBalance(t, w, 96_00, 0)
}

func TestCounterOfARefusedPaymentIsSpentToo(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 1_00, 0)
	if got := post[api.Result](t, l, "/evidence", l.signed(t, w.Answer, 2_00)); got.Reason != "insufficient_funds" {
		t.Fatalf("got %+v", got)
	}
	if got := post[api.Result](t, l, "/evidence", l.signed(t, w.DoubleSpend, 1_00)); got.Reason != "double_spend" {
		t.Errorf("got %+v", got)
	}
	wantBalance(t, w, 1_00, 0)
}

func TestEvidenceIsRefused(t *testing.T) {
	l := newLab(t)
	decode := func(t *testing.T, e api.Evidence) dcep.Evidence {
		t.Helper()
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
		return e.Parsed()
	}
	for name, c := range map[string]struct {
		want string
		make func(*testing.T) api.Evidence
	}{
		"an amount that was not signed": {"bad_signature", func(t *testing.T) api.Evidence {
			t.Helper()
			e := decode(t, l.signed(t, l.wallet(t, 10_00, 0).Answer, 1_00))
			e.Challenge.Amount = 2_00
			return handIn(t, e)
		}},
		"a counter that was not signed": {"bad_signature", func(t *testing.T) api.Evidence {
			t.Helper()
			e := decode(t, l.signed(t, l.wallet(t, 10_00, 0).Answer, 1_00))
			e.Counter++
			return handIn(t, e)
		}},
		"a certificate of another wallet": {"bad_signature", func(t *testing.T) api.Evidence {
			t.Helper()
			e := decode(t, l.signed(t, l.wallet(t, 10_00, 0).Answer, 1_00))
			e.Certificate = l.wallet(t, 10_00, 0).Certificate()
			return handIn(t, e)
		}},
		"a certificate of another lab": {"bad_signature", func(t *testing.T) api.Evidence {
			t.Helper()
			return l.signed(t, newLab(t).wallet(t, 10_00, 0).Answer, 1_00)
		}},
		"a wallet of another institution": {"unknown_wallet", func(t *testing.T) api.Evidence {
			t.Helper()
			return l.signed(t, l.walletAt(t, "ABC", 10_00, 0, "").Answer, 1_00)
		}},
		"a revoked wallet": {"revoked", func(t *testing.T) api.Evidence {
			t.Helper()
			w := l.wallet(t, 10_00, 0)
			post[struct{}](t, l, "/wallets/"+w.ID()+"/revoke", nil)
			return l.signed(t, w.Answer, 1_00)
		}},
		"more than the wallet holds": {"insufficient_funds", func(t *testing.T) api.Evidence {
			t.Helper()
			return l.signed(t, l.wallet(t, 10_00, 0).Answer, 10_01)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := post[api.Result](t, l, "/evidence", c.make(t)); got.Status != api.Failed || got.Reason != c.want {
				t.Errorf("got %+v, want F %s", got, c.want)
			}
		})
	}
	if b := l.books(t); b.Paid != 0 {
		t.Errorf("money moved: %+v", b)
	}
}

func TestEvidenceForAnotherPaymentIsABadRequest(t *testing.T) {
	l := newLab(t)
	e := l.signed(t, l.wallet(t, 10_00, 0).Answer, 1_00)
	e.RequestID = l.id()
	do[api.Problem](t, l, http.StatusBadRequest, http.MethodPost, "/evidence", e)
	if got := get[api.Result](t, l, "/payments/"+e.RequestID); got.Status != api.NotFound {
		t.Errorf("a bad request was booked: %+v", got)
	}
}
