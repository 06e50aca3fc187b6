package payment_test

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/fleet"
	"dcpos/central/institution"
	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

const (
	till = "S1-001"
	shop = "M1"
	code = "0100112345678901234"
)

// house is a centre with one institution.
type house struct {
	t     testing.TB
	url   string
	store *store.Store
	desk  *payment.Desk
	bank  *bank
	clock *atomic.Int64
	told  *atomic.Int32
	ids   uint64

	observe func(string, pos.Answer, time.Duration)
	change  func(*payment.Config) // of the next desk; nil: none
	trust   dcep.Trust
}

func newHouse(tb testing.TB) *house {
	tb.Helper()
	return newHouseAt(tb, "sqlite:"+filepath.Join(tb.TempDir(), "centre.db"))
}

func newHouseAt(tb testing.TB, url string) *house {
	tb.Helper()
	h := &house{t: tb, url: url, clock: new(atomic.Int64), told: new(atomic.Int32)}
	h.clock.Store(time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai()).UnixMilli())
	h.bank = newBank(tb, h.clock.Load)
	h.open()
	return h
}

// open opens store and desk, as a process does that starts.
func (h *house) open() {
	h.t.Helper()
	now := func() time.Time { return time.UnixMilli(h.clock.Load()) }
	s, err := store.Open(h.t.Context(), store.Config{URL: h.url, Env: pos.Lab, Now: now})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Close() })
	h.store = s
	err = s.Fleet().Write(h.t.Context(), func(tx fleet.Tx) error {
		for _, m := range []string{shop, "M2"} {
			if err := tx.PutMerchant(h.t.Context(), fleet.Merchant{ID: m}); err != nil {
				return err
			}
			if err := tx.PutShop(h.t.Context(), fleet.Shop{ID: "shop-" + m, Merchant: m}); err != nil {
				return err
			}
		}
		for _, v := range []fleet.Terminal{
			{ID: till, Merchant: shop, Shop: "shop-M1", NATSKey: "U1", State: fleet.Active},
			{ID: "S1-002", Merchant: shop, Shop: "shop-M1", NATSKey: "U2", State: fleet.Active},
			{ID: "S1-666", Merchant: shop, Shop: "shop-M1", NATSKey: "U3", State: fleet.Quarantined},
			{ID: "S2-001", Merchant: "M2", Shop: "shop-M2", NATSKey: "U4", State: fleet.Active},
		} {
			v.Env = pos.Lab
			if err := tx.PutTerminal(h.t.Context(), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.desk = h.newDesk(s)
}

func (h *house) newDesk(s *store.Store) *payment.Desk {
	h.t.Helper()
	now := func() time.Time { return time.UnixMilli(h.clock.Load()) }
	d := func(ms int) institution.Duration {
		return institution.Duration{Duration: time.Duration(ms) * time.Millisecond}
	}
	desc := institution.Description{
		Code: "ICBC", Env: pos.Lab, Routes: []string{"001"},
		Timeouts:    institution.Timeouts{Ask: d(2000), Query: d(2000), Statement: d(2000)},
		Concurrency: institution.Concurrency{Ask: 32, Query: 32},
		Breaker:     institution.Breaker{Failures: 1000, Rest: d(1000)},
		Limits:      institution.Limits{PerPayment: 1_000_000},
	}
	set, err := institution.Join(pos.Lab, institution.Member{
		Description: desc, Adapter: institution.NewClient(desc, institution.Access{BaseURL: h.bank.srv.URL, APIKey: "k"}, now),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	config := payment.Config{
		Env: pos.Lab, Store: s.Payments(), Institutions: set, Default: "ICBC", Key: []byte("0123456789abcdef"),
		Now: now, Nudge: func(string) { h.told.Add(1) }, Observe: h.observe,
	}
	if h.change != nil {
		h.change(&config)
	}
	desk, err := payment.New(config)
	if err != nil {
		h.t.Fatal(err)
	}
	return desk
}

func (h *house) id() pos.PaymentID {
	h.ids++
	var random [10]byte
	binary.BigEndian.PutUint64(random[2:], h.ids)
	return pos.NewPaymentID(time.UnixMilli(h.clock.Load()), random)
}

func (h *house) pay(id pos.PaymentID, amount pos.Money) pos.AskPay {
	now := h.clock.Load()
	return pos.AskPay{Env: pos.Lab, Payment: id, Merchant: shop, Amount: amount, Code: code, ExpiresMS: now + 30_000, SentMS: now}
}

func (h *house) refund(id pos.RefundID, of pos.PaymentID, amount pos.Money) pos.AskRefund {
	return pos.AskRefund{Env: pos.Lab, Refund: id, Payment: of, Amount: amount, Operator: "07", ExpiresMS: h.clock.Load() + 30_000}
}

// later lets time pass and runs the rounds that become due.
func (h *house) later(d time.Duration) {
	h.t.Helper()
	end := h.clock.Load() + d.Milliseconds()
	for h.clock.Load() < end {
		h.clock.Store(min(end, h.clock.Load()+1000))
		if err := h.desk.Round(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) query(id pos.PaymentID) pos.Answer {
	return h.desk.Query(h.t.Context(), till, pos.AskQuery{Env: pos.Lab, Payment: id})
}

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

// holds checks the books: what is paid and not given back, of the merchant and in suspense.
func (h *house) holds(receivable, merchant, suspense pos.Money) {
	h.t.Helper()
	var waits pos.Money
	m := h.balances()
	for name, amount := range m {
		if strings.HasPrefix(name, "suspense:") {
			waits += amount
		}
	}
	if m["receivable:ICBC"] != receivable || m["merchant:M1"] != -merchant || waits != -suspense {
		h.t.Errorf("books are %v, want receivable %s merchant %s suspense %s", m, receivable, merchant, suspense)
	}
}

func want(tb testing.TB, a pos.Answer, outcome pos.Outcome, reason pos.Code) {
	tb.Helper()
	if a.Outcome != outcome || a.Reason != reason {
		tb.Errorf("answer is %s %q (%s), want %s %q", a.Outcome, a.Reason, a.Detail, outcome, reason)
	}
}

func TestPayOnceHoweverOftenAsked(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 1234)
	for range 3 {
		a := h.desk.Pay(t.Context(), till, ask)
		want(t, a, pos.OutcomePaid, "")
		if a.InstitutionTxn == "" || a.SettlementDate != "2021-02-10" || a.Institution != "ICBC" || a.CentreMS == 0 {
			t.Errorf("answer lacks a word: %+v", a)
		}
		ask.SentMS++
	}
	want(t, h.query(ask.Payment), pos.OutcomePaid, "")
	other := ask
	other.Amount++
	want(t, h.desk.Pay(t.Context(), till, other), pos.OutcomeRejected, pos.ErrKeyConflict)
	other = ask
	other.Code = "0100199999999999999"
	want(t, h.desk.Pay(t.Context(), till, other), pos.OutcomeRejected, pos.ErrKeyConflict)
	want(t, h.desk.Pay(t.Context(), "S1-002", ask), pos.OutcomeRejected, pos.ErrKeyConflict)
	if n := h.bank.questions("payments"); n != 1 {
		t.Errorf("the institution was asked %d times", n)
	}
	h.holds(1234, 1234, 0)
}

func TestPayRefusesBeforeAsking(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name   string
		till   string
		reason pos.Code
		change func(a *pos.AskPay)
	}{
		{"live question at a lab centre", till, pos.ErrEnvironment, func(a *pos.AskPay) { a.Env = pos.Live }},
		{"no amount", till, pos.ErrBadRequest, func(a *pos.AskPay) { a.Amount = 0 }},
		{"negative amount", till, pos.ErrBadRequest, func(a *pos.AskPay) { a.Amount = -1 }},
		{"huge amount", till, pos.ErrBadRequest, func(a *pos.AskPay) { a.Amount = pos.MaxAmount + 1 }},
		{"over the institution's limit", till, pos.ErrLimitPayment, func(a *pos.AskPay) { a.Amount = 1_000_001 }},
		{"no id", till, pos.ErrBadRequest, func(a *pos.AskPay) { a.Payment = pos.PaymentID{} }},
		{"expired", till, pos.ErrExpired, func(a *pos.AskPay) { a.ExpiresMS = h.clock.Load() }},
		{"no expiry", till, pos.ErrExpired, func(a *pos.AskPay) { a.ExpiresMS = 0 }},
		{"WeChat code", till, pos.ErrBadCode, func(a *pos.AskPay) { a.Code = "134512345678901234" }},
		{"route of nobody", till, pos.ErrBadCode, func(a *pos.AskPay) { a.Code = "0199912345678901234" }},
		{"another merchant's name", till, pos.ErrForbidden, func(a *pos.AskPay) { a.Merchant = "M2" }},
		{"terminal of another merchant", "S2-001", pos.ErrForbidden, func(*pos.AskPay) {}},
		{"unknown terminal", "S9-001", pos.ErrNotEnrolled, func(*pos.AskPay) {}},
		{"quarantined terminal", "S1-666", pos.ErrQuarantined, func(*pos.AskPay) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask := h.pay(h.id(), 100)
			c.change(&ask)
			a := h.desk.Pay(t.Context(), c.till, ask)
			want(t, a, pos.OutcomeRejected, c.reason)
			if strings.Contains(a.Detail, ask.Code) {
				t.Error("the answer tells the payment code")
			}
		})
	}
	if n := h.bank.questions("payments"); n != 0 {
		t.Errorf("the institution was asked %d times", n)
	}
	h.holds(0, 0, 0)
}

func TestAnUnansweredQuestionIsQueriedUntilFinal(t *testing.T) {
	for _, c := range []struct {
		fault string
		paid  bool
	}{{"lost", true}, {"cut", false}, {"unavailable", false}, {"garbage", true}} {
		t.Run(c.fault, func(t *testing.T) {
			h := newHouse(t)
			h.bank.fail("payments", c.fault)
			h.bank.fail("query", "unavailable", "cut", "garbage")
			ask := h.pay(h.id(), 500)
			want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomeUnknown, "")
			h.holds(0, 0, 0)
			h.later(10 * time.Second)
			if !c.paid {
				a := h.query(ask.Payment)
				if a.Final() {
					t.Errorf("%s before the expiry: a belated request could still arrive", a.Outcome)
				}
			}
			h.later(3 * time.Minute)
			if c.paid {
				want(t, h.query(ask.Payment), pos.OutcomePaid, "")
				h.holds(500, 500, 0)
			} else {
				want(t, h.query(ask.Payment), pos.OutcomeDeclined, pos.ErrNotSent)
				h.holds(0, 0, 0)
			}
			if n := h.bank.questions("payments"); n > 1 {
				t.Errorf("the institution was asked %d times", n)
			}
		})
	}
}

func TestWhatProvablyNeverLeftIsDeclined(t *testing.T) {
	h := newHouse(t)
	h.bank.fail("payments", "unauthorized", "decline")
	want(t, h.desk.Pay(t.Context(), till, h.pay(h.id(), 5)), pos.OutcomeDeclined, pos.ErrDeclinedGeneral)
	want(t, h.desk.Pay(t.Context(), till, h.pay(h.id(), 5)), pos.OutcomeDeclined, pos.ErrInsufficient)
	h.bank.srv.Close()
	// Without a connection from before: one that is being closed proves nothing.
	h.desk = h.newDesk(h.store)
	ask := h.pay(h.id(), 5)
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomeDeclined, pos.ErrInstitution)
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomeDeclined, pos.ErrInstitution)
	h.holds(0, 0, 0)
}

func TestInProcessBecomesFinal(t *testing.T) {
	h := newHouse(t)
	h.bank.fail("payments", "pending")
	ask := h.pay(h.id(), 5)
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomePending, "")
	h.later(5 * time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomePending, "")
	h.bank.mu.Lock()
	h.bank.deals[ask.Payment.String()].succeed(ask.Payment.String())
	h.bank.mu.Unlock()
	h.later(time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomePaid, "")
	h.holds(5, 5, 0)
}

func TestBackoffGrowsToAMinute(t *testing.T) {
	var got []int64
	for n := range 12 {
		got = append(got, payment.Backoff(n)/1000)
	}
	for i, w := range []int64{1, 2, 3, 5, 8, 13, 21, 34, 60, 60, 60, 60} {
		if got[i] != w {
			t.Errorf("backoff is %v", got)
			break
		}
	}
}

func TestQRIsShownAgainAndPaid(t *testing.T) {
	h := newHouse(t)
	ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
	h.bank.fail("orders", "cut")
	first := h.desk.Present(t.Context(), till, ask)
	want(t, first, pos.OutcomePending, "")
	if !strings.HasPrefix(first.QR, "dcpos-lab:pay:ICBC:") || first.ValidUntilMS != h.clock.Load()+60_000 {
		t.Errorf("%+v", first)
	}
	h.later(20 * time.Second)
	again := h.desk.Present(t.Context(), till, ask)
	if again.QR != first.QR || again.ValidUntilMS != first.ValidUntilMS {
		t.Error("the open QR was not shown again")
	}
	if !h.bank.scan(ask.Payment.String()) {
		t.Fatal("order could not be paid")
	}
	h.later(time.Second)
	want(t, h.query(ask.Payment), pos.OutcomePaid, "")
	h.holds(700, 700, 0)

	unpaid := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ExpiresMS: h.clock.Load() + 9000}
	want(t, h.desk.Present(t.Context(), till, unpaid), pos.OutcomePending, "")
	h.later(4 * time.Minute)
	want(t, h.query(unpaid.Payment), pos.OutcomeDeclined, pos.ErrExpired)
	for name, bad := range map[string]pos.AskPresent{
		"too long":   {ValidMS: 16 * 60_000},
		"too short":  {ValidMS: 1},
		"negative":   {ValidMS: -1},
		"nobody's":   {Institution: "NOSUCH"},
		"overflowed": {ValidMS: 1 << 62},
	} {
		bad.Env, bad.Payment, bad.Merchant, bad.Amount, bad.ExpiresMS = pos.Lab, h.id(), shop, 1, h.clock.Load()+9000
		if a := h.desk.Present(t.Context(), till, bad); a.Outcome != pos.OutcomeRejected || a.Reason != pos.ErrBadRequest {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestProcessKilledWhileAsking(t *testing.T) {
	h := newHouse(t)
	h.bank.fail("payments", "hang")
	ask := h.pay(h.id(), 900)
	answered := make(chan pos.Answer, 1)
	first := h.desk
	go func() { answered <- first.Pay(context.WithoutCancel(t.Context()), till, ask) }()
	for h.bank.questions("payments") == 0 {
		time.Sleep(time.Millisecond)
	}
	h.open() // another process on the same database; the first one never hears the answer in time
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomePending, "")
	h.later(30 * time.Second)
	want(t, h.query(ask.Payment), pos.OutcomePaid, "")
	close(h.bank.block)
	want(t, <-answered, pos.OutcomePaid, "")
	if n := h.bank.questions("payments"); n != 1 {
		t.Errorf("the institution was asked %d times", n)
	}
	h.holds(900, 900, 0)
}

func TestAnswersAreObserved(t *testing.T) {
	h := newHouse(t)
	var seen []string
	h.observe = func(question string, a pos.Answer, _ time.Duration) {
		seen = append(seen, question+" "+string(a.Outcome))
	}
	h.desk = h.newDesk(h.store)
	ask := h.pay(h.id(), 5)
	h.desk.Pay(t.Context(), till, ask)
	h.query(ask.Payment)
	h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 5))
	ask.Env = pos.Live
	h.desk.Pay(t.Context(), till, ask)
	if got := strings.Join(seen, ", "); got != "pay paid, query paid, refund refunded, pay rejected" {
		t.Error(got)
	}
}

func TestTillsPatienceDoesNotEndTheQuestion(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ask := h.pay(h.id(), 900)
	want(t, h.desk.Pay(ctx, till, ask), pos.OutcomePaid, "")
	h.holds(900, 900, 0)
}

func (h *house) verdicts() []pos.Verdict {
	h.t.Helper()
	all, err := h.store.VerdictsOf(h.t.Context(), till, 0, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestAbandonedPaymentThatArrivesIsRefundedByItself(t *testing.T) {
	h := newHouse(t)
	ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
	h.desk.Present(t.Context(), till, ask)
	give := pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment}
	for range 2 {
		want(t, h.desk.Abandon(t.Context(), till, give), pos.OutcomePending, "")
	}
	h.later(10 * time.Second)
	h.bank.scan(ask.Payment.String())
	h.bank.fail("refunds", "unavailable", "cut", "lost")
	h.desk = h.newDesk(h.store) // and the process was restarted meanwhile
	h.later(2 * time.Minute)
	h.holds(0, 0, 0)
	if h.bank.net() != 0 {
		t.Errorf("the bank keeps %d", h.bank.net())
	}
	got := h.verdicts()
	id := payment.LateRefund(ask.Payment)
	if len(got) != 3 || got[0].Late == nil || got[0].Late.RefundID != id || got[0].Late.InstitutionTxn == "" ||
		got[1].Refund == nil || got[1].Refund.From != "" || got[1].Refund.To != pos.RefundAsking || !got[1].Refund.Auto ||
		got[2].Refund == nil || got[2].Refund.From != pos.RefundAsking || got[2].Refund.To != pos.RefundRefunded ||
		got[2].Refund.Amount != 700 || got[2].Refund.RefundID != id {
		t.Errorf("verdicts are %+v", got)
	}
	if h.told.Load() != 3 {
		t.Errorf("the till was nudged %d times", h.told.Load())
	}
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 1)), pos.OutcomeRejected, pos.ErrRefundTooMuch)
}

func TestAbandonedPaymentThatNeverArrivesIsClosedQuietly(t *testing.T) {
	h := newHouse(t)
	ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
	h.desk.Present(t.Context(), till, ask)
	h.desk.Abandon(t.Context(), till, pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment})
	h.later(3 * time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomeDeclined, pos.ErrExpired)
	if v := h.verdicts(); len(v) != 0 {
		t.Errorf("verdicts are %+v", v)
	}
	h.holds(0, 0, 0)
}

func TestAbandonOfWhatWasPaidIsALatePayment(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 321)
	h.desk.Pay(t.Context(), till, ask)
	h.holds(321, 321, 0)
	want(t, h.desk.Abandon(t.Context(), till, pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment}), pos.OutcomePending, "")
	h.holds(321, 0, 321)
	h.later(5 * time.Second)
	h.holds(0, 0, 0)
	if v := h.verdicts(); len(v) != 3 {
		t.Errorf("verdicts are %+v", v)
	}
	want(t, h.desk.Abandon(t.Context(), "S1-002", pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment}), pos.OutcomeRejected, pos.ErrNotFound)
}

func TestAbandonBeforeTheQuestionArrivesStopsIt(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 321)
	h.desk.Abandon(t.Context(), till, pos.AskAbandon{Env: pos.Lab, Payment: ask.Payment})
	a := h.desk.Pay(t.Context(), till, ask)
	if a.Outcome == pos.OutcomePaid || h.bank.questions("payments") != 0 {
		t.Errorf("a question that was given up was asked: %+v", a)
	}
	h.later(time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomeDeclined, pos.ErrNotSent)
}

func TestQueryOfWhatNeverArrivedStopsIt(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 321)
	want(t, h.query(ask.Payment), pos.OutcomeDeclined, pos.ErrNotSent)
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomeDeclined, pos.ErrNotSent)
	if h.bank.questions("payments") != 0 {
		t.Error("a belated question was asked")
	}
	want(t, h.desk.Query(t.Context(), "S1-002", pos.AskQuery{Env: pos.Lab, Payment: ask.Payment}), pos.OutcomeRejected, pos.ErrNotFound)
	want(t, h.desk.Query(t.Context(), till, pos.AskQuery{Env: pos.Live, Payment: ask.Payment}), pos.OutcomeRejected, pos.ErrEnvironment)
	want(t, h.desk.Query(t.Context(), "S9-001", pos.AskQuery{Env: pos.Lab, Payment: h.id()}), pos.OutcomeRejected, pos.ErrNotEnrolled)
}

func TestRefundsNeverExceedThePayment(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 100)
	h.desk.Pay(t.Context(), till, ask)
	var done atomic.Int32
	var wait sync.WaitGroup
	asks := make([]pos.AskRefund, 20)
	for i := range asks {
		asks[i] = h.refund(h.id(), ask.Payment, 30)
	}
	for _, r := range asks {
		wait.Go(func() {
			a := h.desk.Refund(t.Context(), till, r)
			if a.Outcome == pos.OutcomeRefunded {
				done.Add(1)
			} else if a.Outcome != pos.OutcomeRejected || a.Reason != pos.ErrRefundTooMuch {
				t.Errorf("%+v", a)
			}
		})
	}
	wait.Wait()
	if done.Load() != 3 {
		t.Errorf("%d refunds of 30 from 100", done.Load())
	}
	h.holds(10, 10, 0)
	if h.bank.net() != 10 {
		t.Errorf("the bank holds %d", h.bank.net())
	}
}

func TestRefundRefusals(t *testing.T) {
	h := newHouse(t)
	paid := h.pay(h.id(), 100)
	h.desk.Pay(t.Context(), till, paid)
	h.bank.fail("payments", "decline", "cut")
	declined, unknown := h.pay(h.id(), 100), h.pay(h.id(), 100)
	h.desk.Pay(t.Context(), till, declined)
	h.desk.Pay(t.Context(), till, unknown)
	expired := h.refund(h.id(), paid.Payment, 10)
	expired.ExpiresMS = h.clock.Load()
	live := h.refund(h.id(), paid.Payment, 10)
	live.Env = pos.Live
	for _, c := range []struct {
		name   string
		till   string
		ask    pos.AskRefund
		reason pos.Code
	}{
		{"of nothing", till, h.refund(h.id(), h.id(), 10), pos.ErrNotFound},
		{"of a declined payment", till, h.refund(h.id(), declined.Payment, 10), pos.ErrNotRefundable},
		{"of an unknown payment", till, h.refund(h.id(), unknown.Payment, 10), pos.ErrNotRefundable},
		{"of more than was paid", till, h.refund(h.id(), paid.Payment, 101), pos.ErrRefundTooMuch},
		{"of nothing at all", till, h.refund(h.id(), paid.Payment, 0), pos.ErrBadRequest},
		{"without an id", till, h.refund(pos.RefundID{}, paid.Payment, 1), pos.ErrBadRequest},
		{"by another merchant", "S2-001", h.refund(h.id(), paid.Payment, 10), pos.ErrForbidden},
		{"by a quarantined till", "S1-666", h.refund(h.id(), paid.Payment, 10), pos.ErrQuarantined},
		{"expired", till, expired, pos.ErrExpired},
		{"live at a lab centre", till, live, pos.ErrEnvironment},
	} {
		want(t, h.desk.Refund(t.Context(), c.till, c.ask), pos.OutcomeRejected, c.reason)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	ask := h.refund(h.id(), paid.Payment, 10)
	want(t, h.desk.Refund(t.Context(), till, ask), pos.OutcomeRefunded, "")
	want(t, h.desk.Refund(t.Context(), till, ask), pos.OutcomeRefunded, "")
	ask.Amount = 11
	want(t, h.desk.Refund(t.Context(), till, ask), pos.OutcomeRejected, pos.ErrKeyConflict)
	if n := h.bank.questions("refunds"); n != 1 {
		t.Errorf("the institution was asked %d times", n)
	}
	h.holds(90, 90, 0)
}

func TestLostRefundIsQueriedUntilFinal(t *testing.T) {
	for _, fault := range []string{"lost", "cut", "unavailable"} {
		t.Run(fault, func(t *testing.T) {
			h := newHouse(t)
			ask := h.pay(h.id(), 100)
			h.desk.Pay(t.Context(), till, ask)
			h.bank.fail("refunds", fault)
			h.bank.fail("query", "cut")
			r := h.refund(h.id(), ask.Payment, 60)
			want(t, h.desk.Refund(t.Context(), till, r), pos.OutcomeUnknown, "")
			want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 60)), pos.OutcomeRejected, pos.ErrRefundTooMuch)
			h.desk = h.newDesk(h.store)
			h.later(30 * time.Second)
			want(t, h.desk.Query(t.Context(), till, pos.AskQuery{Env: pos.Lab, Payment: ask.Payment, Refund: r.Refund}), pos.OutcomeRefunded, "")
			h.holds(40, 40, 0)
			if h.bank.net() != 40 {
				t.Errorf("the bank holds %d", h.bank.net())
			}
		})
	}
}

func TestRefundThatNeverLeftIsDeclinedAndFrees(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 100)
	h.desk.Pay(t.Context(), till, ask)
	h.bank.fail("refunds", "unauthorized", "decline")
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 100)), pos.OutcomeDeclined, pos.ErrInstitution)
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 100)), pos.OutcomeDeclined, pos.ErrInsufficient)
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 100)), pos.OutcomeRefunded, "")
	h.holds(0, 0, 0)
}

func TestLateRefundIdIsTheSameForEver(t *testing.T) {
	id, err := pos.ParsePaymentID("0177896e-2e80-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	r := payment.LateRefund(id)
	if r == id || r.Time() != id.Time() || r[6]>>4 != 8 || r[8]>>6 != 2 || payment.LateRefund(id) != r {
		t.Errorf("late refund of %s is %s", id, r)
	}
	if got, want := r.String(), "0177896e-2e80-8"; !strings.HasPrefix(got, want) {
		t.Error(got)
	}
}
