package store

import (
	"testing"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/central/payment"
	"dcpos/pos"
)

// TestCompletingASaleMakesItPaid: the statement proves a payment that nobody here knows the end of. Its remedy makes
// the payment paid, once, tells its till, and the date reconciles afterwards.
func TestCompletingASaleMakesItPaid(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		x := newSite(ctx, t, s, t.TempDir())
		addMerchant(t, s)
		const date = "2026-11-21"
		sales := map[string]struct {
			row, till pos.State // of the payment room and of the till's journal
			want      pos.State
			verdicts  int
			code      pos.Code
		}{
			"unknown":        {pos.Unknown, pos.Unknown, pos.Paid, 1, ""},
			"till is asking": {pos.Unknown, pos.Asking, pos.Paid, 0, ""},
			"row is missing": {"", pos.Unknown, pos.Paid, 1, ""},
			"declined":       {pos.Declined, pos.Declined, pos.Declined, 0, ""}, // the money is booked, the till has its end
			"paid meanwhile": {pos.Paid, pos.Unknown, pos.Paid, 0, pos.ErrIllegalMove},
			"evidence":       {pos.AcceptedEvidence, pos.AcceptedEvidence, pos.AcceptedEvidence, 0, pos.ErrIllegalMove},
		}
		ids := map[string]pos.PaymentID{}
		var lines []string
		n := byte(10)
		for name, c := range sales {
			n++
			id := pos.NewPaymentID(x.now, [10]byte{byte(x.number), n})
			ids[name] = id
			lines = append(lines, x.missOurs(id.String(), 20))
			if err := s.Link().Write(ctx, func(tx link.Tx) error {
				return tx.PutPayment(ctx, "M1", "", pos.Payment{
					ID: id, Terminal: "T-" + x.bank, Amount: 20, State: c.till, Institution: x.bank, BusinessDate: date, Mode: pos.BScanC,
				})
			}); err != nil {
				t.Fatal(err)
			}
			if c.row == "" {
				continue
			}
			if err := s.Payments().PaymentTx(ctx, func(tx payment.Tx) error {
				return tx.PutPayment(ctx, payment.Record{
					ID: id, Terminal: "T-" + x.bank, Merchant: "M1", Mode: pos.BScanC, Amount: 20, Institution: x.bank, State: c.row, NextMS: 1,
				})
			}); err != nil {
				t.Fatal(err)
			}
		}
		x.terminal("T-"+x.bank, "M1")
		before := x.balance("merchant:M1")
		x.absorb(date, lines...)
		done, completed := 0, 0
		for name, c := range sales {
			w := x.of(ids[name].String(), date)
			x.explain(w)
			for range 2 {
				r, err := x.desk.Propose(ctx, w.ID, pos.RemedyComplete, "on their statement", person("wang"))
				if pos.CodeOf(err) != c.code {
					t.Errorf("%s: %+v %v", name, r, err)
				}
			}
			row, _, err := s.Payments().FindPayment(ctx, ids[name])
			if err != nil || row.State != c.want {
				t.Errorf("%s: %+v %v, want %s", name, row, err, c.want)
			}
			if c.code != "" {
				continue
			}
			done++
			if c.want == pos.Paid {
				completed++
				if row.SettlementDate != date || row.NextMS != 0 || row.Institution != x.bank || row.Merchant != "M1" {
					t.Errorf("%s: %+v", name, row)
				}
			}
			x.sound()
		}
		if got := x.balance("merchant:M1") - before; got != pos.Money(-20*done) {
			t.Errorf("the merchant got %s, want %d sales of 0.20", got, done)
		}
		verdicts, err := s.VerdictsOf(ctx, "T-"+x.bank, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		told := map[pos.PaymentID]int{}
		for _, v := range verdicts {
			if v.Moved == nil || v.Moved.From != pos.Unknown || v.Moved.To != pos.Paid || v.Moved.SettlementDate != date {
				t.Errorf("%+v", v)
			}
			told[v.Payment]++
		}
		for name, c := range sales {
			if told[ids[name]] != c.verdicts {
				t.Errorf("%s: %d verdicts, want %d", name, told[ids[name]], c.verdicts)
			}
		}
		// The next run finds the completed lines on both sides.
		held := x.balance(ledger.SuspenseBreaks(x.bank, date))
		x.absorb(date, x.missOurs(ids["declined"].String(), 20), x.missOurs(ids["paid meanwhile"].String(), 20), x.missOurs(ids["evidence"].String(), 20))
		for name, c := range sales {
			if w := x.of(ids[name].String(), date); c.want == pos.Paid && c.code == "" && (w.State != pos.BreakResolved || w.Outstanding() != 0) {
				t.Errorf("%s: %+v", name, w)
			}
		}
		if got := x.balance(ledger.SuspenseBreaks(x.bank, date)); got != held || completed != 3 {
			t.Errorf("suspense went from %s to %s, %d completed", held, got, completed)
		}
		if got := x.balance("merchant:M1") - before; got != pos.Money(-20*done) {
			t.Errorf("the merchant got %s after the next run", got)
		}
		x.sound()
	})
}

func (x *site) terminal(name, merchant string) {
	x.tb.Helper()
	if err := x.store.Fleet().Write(x.ctx, func(tx fleet.Tx) error {
		if err := tx.PutShop(x.ctx, fleet.Shop{ID: "shop-" + x.bank, Merchant: merchant}); err != nil {
			return err
		}
		return tx.PutTerminal(x.ctx, fleet.Terminal{
			ID: name, Merchant: merchant, Shop: "shop-" + x.bank, NATSKey: "U" + x.bank, State: fleet.Active, Env: pos.Lab,
		})
	}); err != nil {
		x.tb.Fatal(err)
	}
}
