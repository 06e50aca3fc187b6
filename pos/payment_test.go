package pos_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/pos"
)

func start(t interface {
	Helper()
	Fatal(args ...any)
}, amount pos.Money,
) pos.Payment {
	t.Helper()
	p, err := pos.Start(pos.Entry{
		Position: pos.Position{Terminal: "T1", Epoch: 1, Seq: 1}, Payment: pos.NewPaymentID(time.Unix(0, 0), [10]byte{1}),
		Operator: "1001", BusinessDate: "2026-01-02",
	}, pos.PaymentCreated{OrderID: "O1", OrderAmount: amount, Amount: amount, Mode: pos.BScanC, Caller: "screen", Key: "K1", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRandomHistoriesKeepTheRules throws every move at a payment, in any order, and
// watches what must never happen.
func TestRandomHistoriesKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := start(t, 1000)
		paidOnce := false
		for seq := uint64(2); seq < 40; seq++ {
			e := pos.Entry{Position: pos.Position{Seq: seq}, At: pos.Instant{WallMS: int64(seq)}}
			before := p
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				m := pos.PaymentMoved{From: p.State, To: rapid.SampledFrom(pos.States()).Draw(t, "to")}
				if rapid.Bool().Draw(t, "wrong from") {
					m.From = rapid.SampledFrom(pos.States()).Draw(t, "from")
				}
				p, err = p.Move(e, m)
			case 2:
				p, err = p.Late(e, pos.LatePaid{Institution: "ICBC"})
			case 3:
				id := pos.RefundID{byte(rapid.IntRange(1, 3).Draw(t, "refund"))}
				from := pos.RefundState("")
				if r, ok := p.Refund(id); ok {
					from = r.State
				}
				p, err = p.RefundMove(e, pos.RefundMoved{
					RefundID: id, From: from, To: rapid.SampledFrom(pos.RefundStates()).Draw(t, "to"),
					Amount: pos.Money(rapid.Int64Range(-5, 1100).Draw(t, "amount")),
				})
			}
			if err != nil && (p.State != before.State || p.Reserved() != before.Reserved() || p.LastSeq != before.LastSeq) {
				t.Fatalf("a refused move changed the payment: %v", err)
			}
			if before.State.Final() && p.State != before.State {
				t.Fatalf("final %s became %s", before.State, p.State)
			}
			if p.Reserved() > p.Amount || p.Refunded() > p.Reserved() {
				t.Fatalf("refunds %s of %s", p.Reserved(), p.Amount)
			}
			if len(p.Refunds) > 0 && !p.Refundable() {
				t.Fatalf("refund of a payment that is %s", p.State)
			}
			if p.State == pos.Paid {
				paidOnce = true
			} else if paidOnce {
				t.Fatal("a paid payment is paid no more")
			}
		}
	})
}

func TestOrderTakesItsAmountOnce(t *testing.T) {
	paid, open, unknown := start(t, 600), start(t, 400), start(t, 400)
	paid.State, open.State, unknown.State = pos.Paid, pos.Asking, pos.Unknown
	for name, c := range map[string]struct {
		attempts  []pos.Payment
		amount    pos.Money
		confirmed bool
		want      pos.Code
	}{
		"first":                       {nil, 1000, false, ""},
		"rest of a part-paid order":   {[]pos.Payment{paid}, 400, false, ""},
		"more than the rest":          {[]pos.Payment{paid}, 401, false, pos.ErrOrderPaid},
		"beside an open one":          {[]pos.Payment{open}, 400, false, pos.ErrOrderOpen},
		"open one, confirmed":         {[]pos.Payment{open}, 400, true, pos.ErrOrderOpen},
		"beside an unknown one":       {[]pos.Payment{unknown}, 400, false, pos.ErrOrderUnknown},
		"unknown one, confirmed":      {[]pos.Payment{unknown}, 400, true, ""},
		"paid + unknown is confirmed": {[]pos.Payment{paid, unknown}, 400, true, ""},
	} {
		o := pos.Order{ID: "O1", Amount: 1000, Attempts: c.attempts}
		if got := pos.CodeOf(o.CheckAttempt(1000, c.amount, c.confirmed)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	o := pos.Order{ID: "O1", Amount: 1000, Attempts: []pos.Payment{paid}}
	if err := o.CheckAttempt(2000, 1, false); !errors.Is(err, &pos.Error{Code: pos.ErrKeyConflict}) {
		t.Errorf("an order whose amount changed: got %v", err)
	}
}

func TestGuardsHoldAtTheirEdges(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	l := pos.DefaultLimits()
	old := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	for name, c := range map[string]struct {
		amount         pos.Money
		stored, wallet pos.StoredMoney
		want           pos.Code
	}{
		"at the payment limit":  {500_00, pos.StoredMoney{}, pos.StoredMoney{}, ""},
		"one fen over":          {500_01, pos.StoredMoney{}, pos.StoredMoney{}, pos.ErrLimitPayment},
		"fills the total":       {500_00, pos.StoredMoney{Total: 4500_00, Count: 9, OldestMS: old(0)}, pos.StoredMoney{}, ""},
		"one fen over total":    {500_00, pos.StoredMoney{Total: 4500_01, Count: 9, OldestMS: old(0)}, pos.StoredMoney{}, pos.ErrLimitTotal},
		"the 500th record":      {1, pos.StoredMoney{Total: 499, Count: 499, OldestMS: old(0)}, pos.StoredMoney{}, ""},
		"the 501st record":      {1, pos.StoredMoney{Total: 500, Count: 500, OldestMS: old(0)}, pos.StoredMoney{}, pos.ErrLimitCount},
		"oldest just under 24h": {1, pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(24*time.Hour - time.Second)}, pos.StoredMoney{}, ""},
		"oldest 24h":            {1, pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(24 * time.Hour)}, pos.StoredMoney{}, pos.ErrLimitAge},
		"wallet's tenth":        {1, pos.StoredMoney{}, pos.StoredMoney{Total: 9, Count: 9}, ""},
		"wallet's eleventh":     {1, pos.StoredMoney{}, pos.StoredMoney{Total: 10, Count: 10}, pos.ErrLimitWallet},
		"wallet's total":        {500_00, pos.StoredMoney{}, pos.StoredMoney{Total: 1500_01, Count: 3}, pos.ErrLimitWallet},
	} {
		claim := pos.Claim{Amount: c.amount, Stored: c.stored, Wallet: c.wallet, At: pos.IntervalAt(now)}
		if got := pos.CodeOf(l.Admit(claim)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if err := (pos.Limits{}).Admit(pos.Claim{Amount: 1, At: pos.IntervalAt(now)}); err == nil {
		t.Error("no policy at all accepted a payment")
	}
	room := func(stored pos.StoredMoney) pos.Room {
		return l.Room(pos.Holds{Stored: stored, TrustMS: now.UnixMilli(), At: pos.IntervalAt(now)})
	}
	if r := room(pos.StoredMoney{Total: 4000_00, Count: 1, OldestMS: old(time.Hour)}); !r.Near || r.Stop {
		t.Errorf("at 80 %% of the total: %+v", r)
	}
	if r := room(pos.StoredMoney{Total: 1, Count: 1, OldestMS: old(25 * time.Hour)}); !r.Stop {
		t.Errorf("a day old: %+v", r)
	}
}

func TestDaysEndAtTheCutover(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for in, want := range map[string]struct {
		cut  time.Duration
		date pos.Date
	}{
		"2021-02-08T23:59:59.999+08:00": {0, "2021-02-08"},
		"2021-02-09T00:00:00+08:00":     {0, "2021-02-09"},
		"2021-02-08T22:59:59.999+08:00": {23 * time.Hour, "2021-02-08"},
		"2021-02-08T23:00:00+08:00":     {23 * time.Hour, "2021-02-09"},
		"2021-02-08T16:00:00Z":          {0, "2021-02-09"},
	} {
		if got := pos.DateOf(at(in), want.cut); got != want.date {
			t.Errorf("%s with cut-over %s: got %s, want %s", in, want.cut, got, want.date)
		}
	}
}

func TestPaymentIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 1<<47).Draw(t, "ms")
		var random [10]byte
		copy(random[:], rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "random"))
		id := pos.NewPaymentID(time.UnixMilli(ms), random)
		got, err := pos.ParsePaymentID(id.String())
		if err != nil || got != id || id.Time().UnixMilli() != ms || id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%s: %v", id, err)
		}
	})
	for _, s := range []string{"", "x", "0195C1A0-0000-7000-8000-000000000000", "0195c1a0-0000-7000-8000-00000000000g", "0195c1a000007000800000000000000000000"} {
		if _, err := pos.ParsePaymentID(s); err == nil {
			t.Errorf("%q was taken for an id", s)
		}
	}
}
