package payment_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dcpos/central/institution"
	"dcpos/central/payment"
	lab "dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// street is the laboratory's six institutions with a centre that speaks to them by
// the descriptions that ship.
type street struct {
	*house
	sim   *lab.Simulator
	url   string
	banks *institution.Set
}

func newStreet(t *testing.T) *street {
	t.Helper()
	h := newHouse(t)
	now := func() time.Time { return time.UnixMilli(h.clock.Load()) }
	sim, err := lab.Open(lab.Options{Dir: t.TempDir(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.Close(); _ = sim.Close() })
	all, err := institution.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	access := map[string]institution.Access{}
	for _, d := range all {
		access[d.Code] = institution.Access{BaseURL: srv.URL + "/" + d.Code + "/v1", APIKey: sim.Key(d.Code)}
	}
	set, err := institution.Connect(pos.Lab, all, access, func(string) (string, bool) { return "", false }, now)
	if err != nil {
		t.Fatal(err)
	}
	h.desk, err = payment.New(payment.Config{
		Env: pos.Lab, Store: h.store.Payments(), Institutions: set, Default: "BOC", Key: []byte("0123456789abcdef"), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &street{house: h, sim: sim, url: srv.URL, banks: set}
}

func (s *street) wallet(code string, balance, envelope pos.Money) *wallet.Wallet {
	s.t.Helper()
	w, err := wallet.Create(s.t.Context(), wallet.Client{Base: s.url + "/" + code + "/v1", Key: s.sim.Key(code)},
		wallet.Opening{Institution: code, Name: "customer", Balance: balance, Envelope: envelope})
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

func (s *street) fault(code string, f api.Fault) {
	s.t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/"+code+"/v1/faults", bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(api.KeyHeader, s.sim.Key(code))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusNoContent {
		s.t.Fatalf("fault: %d", res.StatusCode)
	}
}

// agrees compares our claim on each institution with its own books.
func (s *street) agrees() {
	s.t.Helper()
	m := s.balances()
	for _, b := range s.sim.Totals() {
		if m["receivable:"+b.Institution] != b.Paid-b.Refunded {
			s.t.Errorf("%s took %s and gave back %s, our ledger says %s", b.Institution, b.Paid, b.Refunded, m["receivable:"+b.Institution])
		}
	}
	for account, amount := range m {
		if strings.HasPrefix(account, "suspense:") && !strings.HasPrefix(account, "suspense:conflict:") || strings.HasPrefix(account, "in_transit:") || strings.HasPrefix(account, "pending:") {
			s.t.Errorf("%s holds %s", account, amount)
		}
	}
}

func TestAtTheLaboratorysInstitutions(t *testing.T) {
	s := newStreet(t)
	w := s.wallet("CCB", 1000_00, 200_00)
	show := func() string {
		code, err := w.Code(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	ask := func(amount pos.Money) pos.AskPay {
		a := s.pay(s.id(), amount)
		a.Code = show()
		return a
	}
	first := ask(300_00)
	a := s.desk.Pay(t.Context(), till, first)
	want(t, a, pos.OutcomePaid, "")
	if a.Institution != "CCB" || a.Envelope != 200_00 {
		t.Errorf("%+v", a)
	}
	used := s.pay(s.id(), 1)
	used.Code = first.Code
	want(t, s.desk.Pay(t.Context(), till, used), pos.OutcomeDeclined, pos.ErrCodeUsed)
	want(t, s.desk.Pay(t.Context(), till, ask(10_000_00)), pos.OutcomeDeclined, pos.ErrInsufficient)
	want(t, s.desk.Refund(t.Context(), till, s.refund(s.id(), first.Payment, 150_00)), pos.OutcomeRefunded, "")

	s.fault("CCB", api.Fault{Op: api.OpPayments, Kind: api.LostAnswer})
	s.fault("CCB", api.Fault{Op: api.OpQuery, Kind: api.Unavailable, Count: 2})
	lost := ask(20_00)
	want(t, s.desk.Pay(t.Context(), till, lost), pos.OutcomeUnknown, "")
	s.fault("CCB", api.Fault{Op: api.OpPayments, Kind: api.Unavailable})
	never := ask(21_00)
	want(t, s.desk.Pay(t.Context(), till, never), pos.OutcomeUnknown, "")
	s.fault("CCB", api.Fault{Op: api.OpRefunds, Kind: api.LostAnswer})
	r := s.refund(s.id(), first.Payment, 10_00)
	want(t, s.desk.Refund(t.Context(), till, r), pos.OutcomeUnknown, "")
	s.later(3 * time.Minute)
	want(t, s.query(lost.Payment), pos.OutcomePaid, "")
	want(t, s.query(never.Payment), pos.OutcomeDeclined, pos.ErrNotSent)
	want(t, s.desk.Query(t.Context(), till, pos.AskQuery{Env: pos.Lab, Payment: first.Payment, Refund: r.Refund}), pos.OutcomeRefunded, "")
	s.agrees()

	s.qr(w)
	s.evidence(w)
}

// qr shows orders: one is paid, one is given up and paid late.
func (s *street) qr(w *wallet.Wallet) {
	s.t.Helper()
	ctx := s.t.Context()
	present := func() pos.Answer {
		a := s.desk.Present(ctx, till, pos.AskPresent{
			Env: pos.Lab, Payment: s.id(), Merchant: shop, Amount: 30_00, Institution: "CCB", ValidMS: 60_000,
			ExpiresMS: s.clock.Load() + 9000,
		})
		want(s.t, a, pos.OutcomePending, "")
		return a
	}
	scan := func(qr string) {
		if _, err := w.Scan(ctx, qr); err != nil {
			s.t.Fatal(err)
		}
	}
	paid, late, unpaid := present(), present(), present()
	scan(paid.QR)
	s.desk.Abandon(ctx, till, pos.AskAbandon{Env: pos.Lab, Payment: late.Payment})
	s.desk.Abandon(ctx, till, pos.AskAbandon{Env: pos.Lab, Payment: unpaid.Payment})
	scan(late.QR)
	s.later(4 * time.Minute)
	want(s.t, s.query(paid.Payment), pos.OutcomePaid, "")
	want(s.t, s.query(unpaid.Payment), pos.OutcomeDeclined, pos.ErrExpired)
	if v := s.verdicts(); len(v) != 3 {
		s.t.Errorf("verdicts are %+v", v)
	}
	s.agrees()
}

// evidence takes two offline payments that a wallet signed, one of them twice spent.
func (s *street) evidence(w *wallet.Wallet) {
	s.t.Helper()
	take := func(sign func(string, time.Time) (string, error)) pos.PaymentID {
		now := time.UnixMilli(s.clock.Load())
		id := s.id()
		challenge, err := dcep.EncodeChallenge(dcep.Challenge{
			Env: pos.Lab, Terminal: till, Merchant: shop, Payment: id, Amount: 40_00, Nonce: bytes.Repeat([]byte{id[15]}, 16),
			AtMS: now.UnixMilli(), ExpiresMS: now.Add(time.Minute).UnixMilli(),
		})
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := sign(challenge, now)
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := dcep.DecodeEvidence(text)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := dcep.Marshal(e)
		if err != nil {
			s.t.Fatal(err)
		}
		s.journal(id, created(40_00, pos.Evidence), pos.PaymentMoved{
			From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "CCB", Evidence: b, Counter: e.Counter,
		})
		return id
	}
	before := len(s.verdicts())
	good := take(w.Answer)
	s.later(2 * time.Second) // the first to arrive is honoured
	bad := take(w.DoubleSpend)
	s.later(10 * time.Second)
	states := map[pos.PaymentID]pos.State{}
	for _, v := range s.verdicts()[before:] {
		states[v.Payment] = v.Moved.To
	}
	if states[good] != pos.Credited || states[bad] != pos.Conflict {
		s.t.Errorf("ends are %v", states)
	}
	s.apply(before)
	s.agrees()
	if m := s.balances(); m["suspense:conflict:"+till] != -40_00 || m["disputed:CCB"] != 40_00 {
		s.t.Errorf("books are %v", m)
	}
}
