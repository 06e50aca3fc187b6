package payment_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"dcpos/central/issuance"
	"dcpos/central/ledger"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// fair is a street with a campaign's envelopes in one wallet of the CCB.
type fair struct {
	*street
	issuing   *issuance.Desk
	wallet    *wallet.Wallet
	deposited pos.Money
}

// holder is the phone of whom every envelope of a fair is drawn for.
const holder = "13900000001"

// lucky is a draw with one winner, whose phone is told to nobody else.
type lucky struct{}

func (lucky) Winners(_ context.Context, _ string, after int64, _ int) ([]issuance.Winner, error) {
	if after > 0 {
		return nil, nil
	}
	return []issuance.Winner{{Rank: 1, Ticket: [32]byte{1}, Institution: "CCB"}}, nil
}

func (lucky) Waiting(context.Context, string, string, int64, int) ([]issuance.Winner, error) {
	return nil, nil
}

func (lucky) Announce(context.Context, string) error { return nil }

func (lucky) Phones(_ context.Context, _ string, tickets [][32]byte) (map[[32]byte]string, error) {
	all := map[[32]byte]string{}
	for _, t := range tickets {
		all[t] = holder
	}
	return all, nil
}

func (lucky) Send(context.Context, string, pos.Text) error { return nil }

// plan is a campaign of one envelope that ends so many days from now.
func (f *fair) plan(name string, face, threshold pos.Money, days int) issuance.Plan {
	now := f.now()
	until := now.AddDate(0, 0, days).UnixMilli()
	return issuance.Plan{
		Campaign: name, Hash: "0102", Title: pos.Text{ZH: "活动", EN: "campaign"}, Provider: "P", Budget: face, FromMS: now.UnixMilli(), UntilMS: until,
		ClaimUntilMS: until, GraceMS: (96 * time.Hour).Milliseconds(), Tiers: []issuance.Tier{{Amount: face, Threshold: threshold}},
		Channels: []string{pos.ChannelInStore}, Merchants: []string{shop}, Stores: []string{"*"}, Categories: []string{"*"}, Institutions: []string{"CCB"},
	}
}

func (f *fair) now() time.Time { return time.UnixMilli(f.clock.Load()) }

// newFair gives the plans' envelopes out and puts them into the wallet.
func newFair(t *testing.T, plans func(f *fair) []issuance.Plan) *fair {
	t.Helper()
	f := &fair{street: newStreet(t)}
	var err error
	f.issuing, err = issuance.New(issuance.Config{Store: f.store.Issuances(), Institutions: f.banks, Source: lucky{}, People: lucky{}, SMS: lucky{}, Now: f.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plans(f) {
		for _, tr := range []ledger.Transaction{
			ledger.Deposited("P", "CCB", p.Campaign, p.Budget, "2021-02-01"), ledger.Reserved(p.Campaign, "P", p.Budget, "2021-02-01"),
		} {
			if _, err := f.store.Ledger().Post(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
		}
		f.deposited += p.Budget
		if err := f.issuing.Begin(t.Context(), p, "test"); err != nil {
			t.Fatal(err)
		}
	}
	f.rounds()
	f.wallet, err = wallet.Create(t.Context(), wallet.Client{Base: f.url + "/CCB/v1", Key: f.sim.Key("CCB")},
		wallet.Opening{Institution: "CCB", Name: "winner", Balance: 1000_00, Suite: dcep.Ed25519SHA256, Phone: holder})
	if err != nil {
		t.Fatal(err)
	}
	f.rounds()
	return f
}

// rounds does what issuance has to do now.
func (f *fair) rounds() {
	f.t.Helper()
	for range 20 {
		busy, err := f.issuing.Round(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		if !busy {
			return
		}
	}
	f.t.Fatal("issuance is busy for ever")
}

func envelopeOf(campaign string) string { return issuance.ID(campaign, [32]byte{1}) }

// signed is an offline payment that a till took at the moment, out of an envelope.
func (f *fair) signed(terminal string, amount pos.Money, at time.Time, uses ...pos.EnvelopeUse) pos.PaymentID {
	f.t.Helper()
	id := f.id()
	challenge, err := dcep.EncodeChallenge(dcep.Challenge{
		Env: pos.Lab, Terminal: terminal, Merchant: shop, Payment: id, Amount: amount, Nonce: bytes.Repeat([]byte{id[15]}, 16), Category: "food",
		AtMS: at.UnixMilli(), ExpiresMS: at.Add(time.Minute).UnixMilli(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.wallet.Spend(uses...)
	text, err := f.wallet.Answer(challenge, at)
	if err != nil {
		f.t.Fatal(err)
	}
	e, err := dcep.DecodeEvidence(text)
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := dcep.Marshal(e)
	if err != nil {
		f.t.Fatal(err)
	}
	var envelope pos.Money
	for _, u := range uses {
		envelope += u.Amount
	}
	now := f.clock.Swap(at.UnixMilli()) // the till's clock in its entries
	defer f.clock.Store(now)
	f.journalAt(terminal, 0, id, created(amount, pos.Evidence), pos.PaymentMoved{
		From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "CCB", Evidence: b, Counter: e.Counter, Envelope: envelope,
		Time: &pos.Interval{EarliestMS: at.UnixMilli(), LatestMS: at.UnixMilli()},
	})
	return id
}

func use(campaign string, amount pos.Money) pos.EnvelopeUse {
	return pos.EnvelopeUse{Envelope: envelopeOf(campaign), Campaign: campaign, Hash: []byte{1, 2}, Amount: amount}
}

// ends are the verdicts on payments.
func (f *fair) ends() map[pos.PaymentID]pos.State {
	ends := map[pos.PaymentID]pos.State{}
	for _, terminal := range []string{till, "S1-002"} {
		for _, v := range f.verdictsOf(terminal) {
			if v.Moved != nil {
				ends[v.Payment] = v.Moved.To
			}
		}
	}
	return ends
}

func (f *fair) wants(account string, amount pos.Money) {
	f.t.Helper()
	if got := -f.balances()[account]; got != amount {
		f.t.Errorf("%s holds %s, want %s", account, got, amount)
	}
}

// settled holds our claim on the CCB against its own books: what it took, and what the fund
// has deposited there.
func (f *fair) settled() {
	f.t.Helper()
	m := f.balances()
	for _, b := range f.sim.Totals() {
		if want := b.Paid - b.Refunded; b.Institution == "CCB" && m["receivable:CCB"] != want+f.deposited {
			f.t.Errorf("it took %s and gave back %s, our ledger says %s with %s deposited", b.Paid, b.Refunded, m["receivable:CCB"], f.deposited)
		}
	}
}

// TestALatePaymentOutOfAnEnvelope: a payment of 23:59 that comes three days later is
// honoured, one whose wallet signed after the end is not, and nothing is recalled before
// the till has spoken or the grace is over. Then a refund says where each fen goes.
func TestALatePaymentOutOfAnEnvelope(t *testing.T) {
	f := newFair(t, func(f *fair) []issuance.Plan { return []issuance.Plan{f.plan("c", 200_00, 0, 7)} })
	f.wants("envelopes:c:0", 200_00)
	end := f.now().AddDate(0, 0, 7)
	f.clock.Store(end.AddDate(0, 0, 3).UnixMilli())

	honest := f.signed(till, 150_00, end.Add(-time.Minute), use("c", 100_00))
	forged := f.signed(till, 50_00, end.Add(5*time.Minute), use("c", 50_00))
	f.rounds() // nothing is back while evidence is undecided
	f.wants("envelopes:c:0", 200_00)
	f.later(10 * time.Second)
	if ends := f.ends(); ends[honest] != pos.Credited || ends[forged] != pos.Conflict {
		t.Fatalf("ends are %v", ends)
	}
	f.apply(0)
	f.wants("owed:CCB", 100_00)
	f.rounds()
	f.wants("envelopes:c:0", 0)
	f.wants("fund:P", 100_00)

	// 50 own and 100 of the envelope were paid: own money first, and what the envelope gets is the fund's.
	for i, want := range []struct{ amount, envelope, recalled pos.Money }{{20_00, 0, 0}, {50_00, 20_00, 20_00}, {80_00, 80_00, 80_00}} {
		a := f.desk.Refund(t.Context(), till, f.refund(f.id(), honest, want.amount))
		if a.Outcome != pos.OutcomeRefunded || a.Envelope != want.envelope || a.Recalled != want.recalled {
			t.Errorf("refund %d: %+v, want %+v", i, a, want)
		}
	}
	f.wants("owed:CCB", 0)
	f.wants("fund:P", 200_00)
	f.settled()
}

// TestARefundInTheWindowGoesBackIntoTheEnvelope: nothing of it is the fund's, and it can be
// spent again.
func TestARefundInTheWindowGoesBackIntoTheEnvelope(t *testing.T) {
	f := newFair(t, func(f *fair) []issuance.Plan { return []issuance.Plan{f.plan("c", 200_00, 0, 7)} })
	id := f.signed(till, 300_00, f.now(), use("c", 200_00))
	f.later(10 * time.Second)
	f.apply(0)
	a := f.desk.Refund(t.Context(), till, f.refund(f.id(), id, 150_00))
	if a.Outcome != pos.OutcomeRefunded || a.Envelope != 50_00 || a.Recalled != 0 {
		t.Errorf("%+v", a)
	}
	again := f.desk.Query(t.Context(), till, pos.AskQuery{Env: pos.Lab, Payment: id, Refund: a.Refund})
	if again.Envelope != 50_00 {
		t.Errorf("asked again: %+v", again)
	}
	f.wants("envelopes:c:0", 50_00)
	f.wants("owed:CCB", 150_00)
	next := f.signed(till, 60_00, f.now(), use("c", 50_00))
	f.later(10 * time.Second)
	if f.ends()[next] != pos.Credited {
		t.Errorf("ends are %v", f.ends())
	}
	f.wants("owed:CCB", 200_00)
	f.settled()
}

// TestTwoTillsOverOneEnvelope: offline, one envelope was promised to two tills. Its
// institution honours one; the other is refused and booked as no money, and nothing is owed
// twice.
func TestTwoTillsOverOneEnvelope(t *testing.T) {
	f := newFair(t, func(f *fair) []issuance.Plan { return []issuance.Plan{f.plan("c", 200_00, 0, 7)} })
	first := f.signed(till, 200_00, f.now(), use("c", 200_00))
	second := f.signed("S1-002", 200_00, f.now(), use("c", 200_00))
	f.later(20 * time.Second)
	ends := f.ends()
	one, other := ends[first], ends[second]
	if (one == pos.Credited) == (other == pos.Credited) {
		t.Fatalf("ends are %s and %s", one, other)
	}
	loser := other
	if one != pos.Credited {
		loser = one
	}
	if loser != pos.Refused && loser != pos.Conflict {
		t.Errorf("the other ended %s", loser)
	}
	f.wants("owed:CCB", 200_00)
	f.wants("envelopes:c:0", 0)
	b, err := f.wallet.Balance(t.Context())
	if err != nil || b.Envelope != 0 || b.Balance != 1000_00 {
		t.Errorf("the wallet has %+v, %v", b, err)
	}
	f.balances() // it balances
}

// TestSeveralEnvelopesTheOneThatEndsFirst pays twice out of two envelopes and own money.
func TestSeveralEnvelopesTheOneThatEndsFirst(t *testing.T) {
	f := newFair(t, func(f *fair) []issuance.Plan {
		return []issuance.Plan{f.plan("late", 200_00, 0, 9), f.plan("soon", 200_00, 0, 5)}
	})
	buy := func(price pos.Money) pos.Answer {
		code, err := f.wallet.Code(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask := f.pay(f.id(), price)
		ask.Code = code
		return f.desk.Pay(t.Context(), till, ask)
	}
	for i, c := range []struct{ price, envelope, soon, late pos.Money }{
		{150_00, 150_00, 50_00, 200_00}, {120_00, 120_00, 0, 130_00}, {200_00, 130_00, 0, 0}, {10_00, 0, 0, 0},
	} {
		if a := buy(c.price); a.Outcome != pos.OutcomePaid || a.Envelope != c.envelope {
			t.Fatalf("payment %d: %+v", i, a)
		}
		f.wants("envelopes:soon:0", c.soon)
		f.wants("envelopes:late:0", c.late)
	}
	f.wants("owed:CCB", 400_00)
	f.settled()
}

// TestACouponIsTakenWholeOrNotAtAll: 30 off 100.
func TestACouponIsTakenWholeOrNotAtAll(t *testing.T) {
	f := newFair(t, func(f *fair) []issuance.Plan { return []issuance.Plan{f.plan("c", 30_00, 100_00, 7)} })
	for _, c := range []struct{ price, off pos.Money }{{99_99, 0}, {100_00, 30_00}, {100_00, 0}} {
		t.Run(fmt.Sprint(c.price), func(t *testing.T) {
			code, err := f.wallet.Code(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ask := f.pay(f.id(), c.price)
			ask.Code = code
			if a := f.desk.Pay(t.Context(), till, ask); a.Outcome != pos.OutcomePaid || a.Envelope != c.off {
				t.Errorf("%s: %+v", c.price, a)
			}
		})
	}
	f.wants("owed:CCB", 30_00)
	f.settled()
}
