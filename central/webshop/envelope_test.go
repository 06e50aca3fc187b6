package webshop_test

import (
	"context"
	"testing"
	"time"

	"dcpos/central/issuance"
	"dcpos/central/ledger"
	"dcpos/central/store"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// winner is a draw's result of one winner.
type winner struct{ phone string }

func (winner) Winners(_ context.Context, _ string, after int64, _ int) ([]issuance.Winner, error) {
	if after > 0 {
		return nil, nil
	}
	return []issuance.Winner{{Rank: 1, Ticket: [32]byte{1}, Institution: "ICBC"}}, nil
}

func (winner) Waiting(context.Context, string, string, int64, int) ([]issuance.Winner, error) {
	return nil, nil
}

func (winner) Announce(context.Context, string) error { return nil }

func (w winner) Phones(_ context.Context, _ string, tickets [][32]byte) (map[[32]byte]string, error) {
	all := map[[32]byte]string{}
	for _, t := range tickets {
		all[t] = w.phone
	}
	return all, nil
}

func (winner) Send(context.Context, string, pos.Text) error { return nil }

// TestARefundAfterTheEnvelopeIsOver: own money first; what the envelope paid goes to the fund,
// and the API, its repeat, and the webhook say so.
func TestARefundAfterTheEnvelopeIsOver(t *testing.T) {
	h := newHouse(t, store.SQLite)
	ctx := t.Context()
	h.run()
	until := h.now().AddDate(0, 0, 7)
	who := winner{phone: "13900000001"}
	desk, err := issuance.New(issuance.Config{Store: h.store.Issuances(), Institutions: h.set, Source: who, People: who, SMS: who, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range []ledger.Transaction{ledger.Deposited("P", "ICBC", "T1", 200_00, "2021-02-01"), ledger.Reserved("c", "P", 200_00, "2021-02-01")} {
		if _, err := h.store.Ledger().Post(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := desk.Begin(ctx, issuance.Plan{
		Campaign: "c", Hash: "0102", Title: pos.Text{ZH: "活动", EN: "campaign"}, Provider: "P", Budget: 200_00, FromMS: h.now().UnixMilli(), UntilMS: until.UnixMilli(),
		ClaimUntilMS: until.UnixMilli(), Tiers: []issuance.Tier{{Amount: 200_00}}, Channels: []string{pos.ChannelOnline}, Merchants: []string{"shop-1"},
		Stores: []string{"*"}, Categories: []string{"food"}, Institutions: []string{"ICBC"},
	}, "test"); err != nil {
		t.Fatal(err)
	}
	standing := func(want func(is issuance.Issuance, p issuance.Progress) bool) func() bool {
		return func() bool {
			_, _ = desk.Round(ctx) // what failed is tried again
			is, p, err := desk.Progress(ctx, "c")
			return err == nil && want(is, p)
		}
	}
	h.until("offer", standing(func(_ issuance.Issuance, p issuance.Progress) bool { return p.Offered == 1 }))
	w, err := wallet.Create(ctx, wallet.Client{Base: h.simURL + "/ICBC/v1", Key: h.sim.Key("ICBC")},
		wallet.Opening{Institution: "ICBC", Name: "customer", Balance: 1000_00, Phone: who.phone})
	if err != nil {
		t.Fatal(err)
	}
	h.until("claim", standing(func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 1 }))

	p := h.pay("k1", order("A1", 150_00))
	q := h.pay("k2", order("A2", 100_00))
	for _, x := range []string{p.QR, q.QR} {
		if _, err := w.Scan(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	h.until("payments", func() bool { return h.status(p.ID) == "paid" && h.status(q.ID) == "paid" })
	if q, err = h.client.Find(ctx, q.ID); err != nil || q.Envelope != 50_00 {
		t.Fatalf("the second payment is %+v, %v", q, err)
	}
	if m := h.balances(); m["owed:ICBC"] != -200_00 {
		t.Fatalf("the institution is owed %v", m)
	}
	h.skew.Add(int64(until.Sub(h.now()) + time.Hour))
	h.until("recall", standing(func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed }))

	r, _, err := h.client.Refund(ctx, "r1", q.ID, 80_00)
	if err != nil || r.Amount != 80_00 || r.Own != 50_00 || r.Envelope != 30_00 || r.Recalled != 30_00 {
		t.Fatalf("refund is %+v, %v", r, err)
	}
	if again, _, err := h.client.Refund(ctx, "r1", q.ID, 80_00); err != nil || again != r {
		t.Errorf("refund again is %+v, %v", again, err)
	}
	h.until("refund's webhook", func() bool { return h.heard()["refund.refunded"] == 1 })
	if e := h.one("refund.refunded"); e.Refund != r.ID || e.Own != 50_00 || e.Envelope != 30_00 || e.Recalled != 30_00 {
		t.Errorf("the webhook says %+v", e)
	}
	if m := h.balances(); m["fund:P"] != -30_00 || m["owed:ICBC"] != -170_00 {
		t.Errorf("the fund has 30.00 back: %v", m)
	}
}
