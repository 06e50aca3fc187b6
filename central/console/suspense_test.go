package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dcpos/central/console"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// held is a Suspense with one item, that of the package's own rules.
type held struct {
	item   ledger.Held
	posted []ledger.Transaction
}

func (h *held) Waiting(context.Context, int) ([]ledger.Held, error) {
	if len(h.posted) > 0 {
		return nil, nil
	}
	return []ledger.Held{h.item}, nil
}

func (h *held) Write(_ context.Context, fn func(ledger.SuspenseTx) error) error { return fn(h) }

func (h *held) Held(_ context.Context, key string) (ledger.Held, bool, error) {
	return h.item, key == h.item.Key && len(h.posted) == 0, nil
}

func (h *held) AppendProposal(_ context.Context, p ledger.Proposal) error {
	p.Number = 1
	h.item.Proposal = &p
	return nil
}

func (h *held) CloseProposal(context.Context, int64, string, bool) error {
	h.item.Proposal = nil
	return nil
}

func (h *held) RetryLate(context.Context, ledger.Held, string) error { return nil }

func (h *held) NowMS() int64                                                { return 1 }
func (h *held) Audit(context.Context, string, string, string, string) error { return nil }

func (h *held) LedgerTransaction(context.Context, string) (ledger.Transaction, bool, error) {
	return ledger.Transaction{}, false, nil
}

func (h *held) AppendLedger(_ context.Context, t ledger.Transaction) error {
	h.posted = append(h.posted, t)
	return nil
}

func TestMoneyInSuspenseTakesTwoAccounts(t *testing.T) {
	p := pos.Payment{ID: pos.PaymentID{1}, Amount: 1250, Institution: "ICBC", BusinessDate: "2021-02-10"}
	h := &held{item: ledger.Held{Transaction: ledger.Forked("S1-001", "M", ledger.Paid("M", p)), Terminal: "S1-001", Merchant: "M", Amount: 1250}}
	d := newDesk(t, func(c *console.Config) { c.Suspense = h })
	form := func(b *browser, more ...string) url.Values {
		v := url.Values{"csrf": {b.token()}, "key": {h.item.Key}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	viewer, operator, approver := d.sign("viewer"), d.sign("operator"), d.sign("approver")
	if page := viewer.get("/console/suspense").Body.String(); !strings.Contains(page, "12.50") || strings.Contains(page, "<select") {
		t.Fatalf("viewer sees %s", page)
	}
	for _, c := range []struct {
		who  *browser
		path string
		form url.Values
		want int
	}{
		{viewer, "propose", form(viewer, "decision", "credit", "reason", "x"), http.StatusForbidden},
		{operator, "decide", form(operator, "answer", "confirm"), http.StatusForbidden},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusNotFound},
		{operator, "propose", form(operator, "decision", "burn", "reason", "x"), http.StatusBadRequest},
		{operator, "propose", url.Values{"key": {h.item.Key}, "decision": {"credit"}, "reason": {"x"}}, http.StatusForbidden}, // no token
		{approver, "propose", form(approver, "decision", "credit", "reason", "seen"), http.StatusSeeOther},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusForbidden}, // proposed it
		{approver, "decide", form(approver, "answer", "reject"), http.StatusSeeOther},
		{operator, "propose", form(operator, "decision", "credit", "reason", "seen"), http.StatusSeeOther},
	} {
		if w := c.who.do(http.MethodPost, "/console/suspense/"+c.path, c.form); w.Code != c.want {
			t.Fatalf("%s %v: %d, want %d", c.path, c.form, w.Code, c.want)
		}
		if len(h.posted) > 0 {
			t.Fatalf("posted by %s %v", c.path, c.form)
		}
	}
	if w := approver.do(http.MethodPost, "/console/suspense/decide", form(approver, "answer", "confirm")); w.Code != http.StatusSeeOther || len(h.posted) != 1 {
		t.Fatalf("%d %v", w.Code, h.posted)
	}
	if page := approver.get("/console/suspense").Body.String(); !strings.Contains(page, "Nothing waits") {
		t.Fatalf("it still waits: %s", page)
	}
}
