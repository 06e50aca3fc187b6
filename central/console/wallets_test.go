package console_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dcpos/central/console"
	"dcpos/central/institution"
	"dcpos/central/payment"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// spendTwice puts two statements of one wallet under one counter into the store, signed at places 1,942 km apart.
func (d *desk) spendTwice() (wallet string) {
	d.t.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		d.t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		d.t.Fatal(err)
	}
	wallet = "0a1b"
	err = d.store.Payments().PaymentTx(d.t.Context(), func(tx payment.Tx) error {
		for n, state := range []pos.State{pos.Credited, pos.Conflict} {
			id := pos.NewPaymentID(d.now, [10]byte{byte(n)})
			e, err := dcep.SignEvidence(key, nil, dcep.Challenge{
				Env: pos.Lab, Terminal: "S1-001", Payment: id, Amount: 1250, Nonce: make([]byte, dcep.NonceSize), AtMS: d.now.UnixMilli(),
			}, 7, d.now)
			if err != nil {
				return err
			}
			whole, err := dcep.Marshal(e)
			if err != nil {
				return err
			}
			if err := tx.PutPayment(d.t.Context(), payment.Record{
				ID: id, Terminal: "S1-001", Merchant: "M1", Mode: pos.Evidence, Amount: 1250, State: state, Evidence: whole, Indexed: true,
			}); err != nil {
				return err
			}
			if err := tx.PutSigned(d.t.Context(), payment.Signed{
				Institution: "ICBC", Wallet: wallet, Counter: 7, Statement: []byte{byte(n)}, Payment: id, Terminal: "S1-001", Amount: 1250,
			}); err != nil {
				return err
			}
		}
		j := payment.Journey{Institution: "ICBC", Wallet: wallet, Day: "2026-11-26", Metres: 1_942_945, Most: 7 * time.Minute, Travel: pos.DefaultLimits().Travel}
		for n, s := range []*payment.Sighting{&j.First, &j.Second} {
			s.Payment, s.At = pos.NewPaymentID(d.now, [10]byte{byte(n)}), pos.Point{LatE6: 39_914_500 - int64(n), LonE6: 116_410_400}
		}
		if _, err := tx.AppendJourney(d.t.Context(), j); err != nil {
			return err
		}
		_, err := tx.AppendConflict(d.t.Context(), "ICBC", wallet, 7)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return wallet
}

func TestAWalletIsRevokedByTwoPeople(t *testing.T) {
	var room *payment.Desk
	d := newDesk(t, func(c *console.Config) {
		c.Actions.ProposeRevocation = func(ctx context.Context, a, b, e, f string) error { return room.ProposeRevocation(ctx, a, b, e, f) }
		c.Actions.DecideRevocation = func(ctx context.Context, a, b string, yes bool, by string) error {
			return room.DecideRevocation(ctx, a, b, yes, by)
		}
		c.Actions.LiftRevocation = func(ctx context.Context, a, b, by string) error { return room.LiftRevocation(ctx, a, b, by) }
	})
	banks, err := institution.Join(pos.Lab)
	if err != nil {
		t.Fatal(err)
	}
	room, err = payment.New(payment.Config{
		Env: pos.Lab, Store: d.store.Payments(), Institutions: banks, Key: make([]byte, 16), Now: func() time.Time { return d.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	wallet := d.spendTwice()
	viewer, operator, approver := d.sign("viewer"), d.sign("operator"), d.sign("approver")
	page := viewer.get("/console/wallets").Body.String()
	for _, word := range []string{
		wallet, "counter 7", "credited to the merchant", "in suspense: a person decides", dcep.EvidencePrefix, "signature",
		"<b>1942 km</b>", "<b>7m0s</b>", "16653 km/h", "1000 km/h, 100 km", "39.914500,116.410400", "39.914499,116.410400",
	} {
		if !strings.Contains(page, word) {
			t.Errorf("the page lacks %q:\n%s", word, page)
		}
	}
	if strings.Count(page, dcep.EvidencePrefix) != 2 || strings.Contains(page, "<button>Propose") {
		t.Errorf("a viewer sees\n%s", page)
	}
	if page := viewer.get("/console/wallets?lang=zh").Body.String(); !strings.Contains(page, "挂账:待人工处理") || !strings.Contains(page, "行程不可能的钱包") {
		t.Errorf("in Chinese:\n%s", page)
	}
	viewer.get("/console/wallets?lang=en")
	form := func(b *browser, more ...string) url.Values {
		v := url.Values{"csrf": {b.token()}, "institution": {"ICBC"}, "wallet": {wallet}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	for n, c := range []struct {
		who  *browser
		path string
		form url.Values
		want int
		list []string
	}{
		{viewer, "propose", form(viewer, "reason", "x"), http.StatusForbidden, nil},
		{operator, "propose", form(operator), http.StatusBadRequest, nil},
		{operator, "propose", form(operator, "reason", "x", "wallet", "<script>"), http.StatusBadRequest, nil},
		{operator, "propose", url.Values{"institution": {"ICBC"}, "wallet": {wallet}, "reason": {"x"}}, http.StatusForbidden, nil},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusNotFound, nil},
		{approver, "propose", form(approver, "reason", "two statements"), http.StatusSeeOther, nil},
		{operator, "propose", form(operator, "reason", "again"), http.StatusSeeOther, nil}, // a repeat
		{operator, "decide", form(operator, "answer", "confirm"), http.StatusForbidden, nil},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusForbidden, nil}, // proposed it
		{approver, "decide", form(approver, "answer", "reject"), http.StatusSeeOther, nil},
		{operator, "propose", form(operator, "reason", "two statements"), http.StatusSeeOther, nil},
		{approver, "decide", form(approver, "answer", "lift"), http.StatusNotFound, nil},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusSeeOther, []string{wallet}},
		{approver, "decide", form(approver, "answer", "confirm"), http.StatusNotFound, []string{wallet}},
		{approver, "decide", form(approver, "answer", "lift"), http.StatusForbidden, []string{wallet}}, // confirmed it
	} {
		if w := c.who.do(http.MethodPost, "/console/wallets/"+c.path, c.form); w.Code != c.want {
			t.Fatalf("%d %s %v: %d, want %d", n, c.path, c.form, w.Code, c.want)
		}
		if list, err := room.Revoked(t.Context()); err != nil || !slices.Equal(list, c.list) {
			t.Fatalf("%d: revoked are %v %v", n, list, err)
		}
	}
	if page := viewer.get("/console/wallets").Body.String(); !strings.Contains(page, "revoked</span>") || !strings.Contains(page, "revocation rejected") {
		t.Errorf("the page does not tell:\n%s", page)
	}
	if err := room.LiftRevocation(t.Context(), "ICBC", wallet, "another"); err != nil {
		t.Fatal(err)
	}
	if list, err := room.Revoked(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("lifted: %v %v", list, err)
	}
	for _, line := range []string{"operator revocation_proposed", "approver revocation_revoked", "another revocation_lifted"} {
		if !slices.Contains(d.trail(), line) {
			t.Errorf("the trail lacks %q: %v", line, d.trail())
		}
	}
}
