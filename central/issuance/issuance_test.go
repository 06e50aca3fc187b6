package issuance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/pos"
)

var (
	from  = time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai())
	until = time.Date(2021, 2, 18, 0, 0, 0, 0, pos.Shanghai())
)

// claimed is an envelope of ¥200 in a wallet.
func claimed(t interface{ Fatal(args ...any) }, id string) Envelope {
	e, err := Reserve(id, "luohu", 200_00, from, until)
	if err == nil {
		e, err = e.Offer()
	}
	if err == nil {
		e, err = e.Claim(from)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The worked example of the notices: price 300 = 200 of the envelope + 100 own; on
// refund 100 own first, then 200 of the envelope; after expiry that part is recalled.
func TestPublishedRules(t *testing.T) {
	paid, err := SplitPayment(300_00, from, claimed(t, "e"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Split{Shares: []Share{{"e", 200_00}}, Own: 100_00}, paid); diff != "" {
		t.Fatal(diff)
	}
	spent, err := claimed(t, "e").Spend(200_00, from)
	if err != nil || spent.State != Spent {
		t.Fatal(spent, err)
	}
	for _, c := range []struct {
		refund, own, envelope pos.Money
		before                State // of the envelope after a refund in the window
	}{
		{100_00, 100_00, 0, Spent},
		{150_00, 100_00, 50_00, PartlySpent},
		{300_00, 100_00, 200_00, Claimed},
	} {
		t.Run(c.refund.String(), func(t *testing.T) {
			back, err := SplitRefund(paid, 0, c.refund)
			if err != nil || back.Own != c.own || back.Envelopes() != c.envelope {
				t.Fatalf("%+v, %v", back, err)
			}
			if c.envelope == 0 {
				return
			}
			again, recall, err := spent.Return(c.envelope, until.Add(-time.Second))
			if err != nil || recall != 0 || again.State != c.before || again.Left != c.envelope {
				t.Errorf("before expiry: %+v, recall %s, %v", again, recall, err)
			}
			over, recall, err := spent.Return(c.envelope, until)
			if err != nil || recall != 0 || over.State != RecallPending || over.Spendable(until) != 0 {
				t.Errorf("at expiry: %+v, recall %s, %v", over, recall, err)
			}
			done, recall, err := over.Recall()
			if err != nil || recall != c.envelope || done.State != Recalled || done.Recalled != c.envelope {
				t.Errorf("recall: %+v, recall %s, %v", done, recall, err)
			}
			ended, err := spent.Expire(until)
			if err != nil {
				t.Fatal(err)
			}
			if ended, _, err = ended.Recall(); err != nil {
				t.Fatal(err)
			}
			late, recall, err := ended.Return(c.envelope, until.AddDate(0, 1, 0))
			if err != nil || recall != c.envelope || late.Left != 0 || late.Check() != nil {
				t.Errorf("after the recall: %+v, recall %s, %v", late, recall, err)
			}
		})
	}
}

func TestSpentOverSeveralPayments(t *testing.T) {
	e := claimed(t, "e")
	for i, c := range []struct{ price, envelope, own, left pos.Money }{
		{80_00, 80_00, 0, 120_00}, {100_00, 100_00, 0, 20_00}, {50_00, 20_00, 30_00, 0}, {10_00, 0, 10_00, 0},
	} {
		s, err := SplitPayment(c.price, from, e)
		if err != nil || s.Envelopes() != c.envelope || s.Own != c.own {
			t.Fatalf("payment %d: %+v, %v", i, s, err)
		}
		if c.envelope > 0 {
			if e, err = e.Spend(c.envelope, from); err != nil {
				t.Fatal(err)
			}
		}
		if e.Left != c.left {
			t.Errorf("payment %d leaves %s, want %s", i, e.Left, c.left)
		}
	}
	if e.State != Spent {
		t.Error(e.State)
	}
}

func TestSeveralEnvelopesAreRefundedInReverse(t *testing.T) {
	paid, err := SplitPayment(500_00, from, claimed(t, "a"), claimed(t, "b"))
	if err != nil {
		t.Fatal(err)
	}
	want := Split{Shares: []Share{{"a", 200_00}, {"b", 200_00}}, Own: 100_00}
	if diff := cmp.Diff(want, paid); diff != "" {
		t.Fatal(diff)
	}
	back, err := SplitRefund(paid, 150_00, 250_00)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Split{Shares: []Share{{"b", 150_00}, {"a", 100_00}}}, back); diff != "" {
		t.Error(diff)
	}
}

func TestOutsideItsWindowNothingIsSpent(t *testing.T) {
	e := claimed(t, "e")
	for at, want := range map[time.Time]pos.Money{
		from.Add(-time.Nanosecond): 0, from: 200_00, until.Add(-time.Nanosecond): 200_00, until: 0,
	} {
		s, err := SplitPayment(10_00, at, e)
		if err != nil || s.Envelopes() != min(10_00, want) || e.Spendable(at) != want {
			t.Errorf("at %s: %+v, %v", at, s, err)
		}
		if _, err := e.Spend(10_00, at); (err == nil) != (want > 0) {
			t.Errorf("spend at %s: %v", at, err)
		}
	}
	offered, err := Reserve("x", "c", 1, from, until)
	if err != nil {
		t.Fatal(err)
	}
	if offered, err = offered.Offer(); err != nil {
		t.Fatal(err)
	}
	if _, err := offered.Claim(until); pos.CodeOf(err) != pos.ErrExpired {
		t.Errorf("claim after the window: %v", err)
	}
	if offered.Spendable(from) != 0 {
		t.Error("an envelope that nobody claimed can be spent")
	}
	pending, err := e.Expire(until)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.SpendLate(10_00, until); err == nil {
		t.Error("a payment after the window was honoured")
	}
	late, err := pending.SpendLate(10_00, until.Add(-time.Second))
	if err != nil || late.Spent != 10_00 || late.State != RecallPending {
		t.Errorf("in-window evidence that came late: %+v, %v", late, err)
	}
	gone, _, err := pending.Recall()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.SpendLate(10_00, from); err == nil {
		t.Error("recalled money was spent")
	}
}

func TestRefusals(t *testing.T) {
	paid := Split{Shares: []Share{{"e", 200_00}}, Own: 100_00}
	for _, c := range []struct{ refunded, amount pos.Money }{{0, 0}, {0, -1}, {0, 300_01}, {300_00, 1}, {-1, 1}} {
		if _, err := SplitRefund(paid, c.refunded, c.amount); pos.CodeOf(err) != pos.ErrRefundTooMuch {
			t.Errorf("refund of %d after %d: %v", c.amount, c.refunded, err)
		}
	}
	for _, price := range []pos.Money{0, -1, pos.MaxAmount + 1} {
		if _, err := SplitPayment(price, from); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Errorf("price %d: %v", price, err)
		}
	}
	for _, face := range []pos.Money{0, -1, pos.MaxAmount + 1} {
		if _, err := Reserve("e", "c", face, from, until); err == nil {
			t.Errorf("face %d", face)
		}
	}
	if _, err := Reserve("e", "c", 1, until, until); err == nil {
		t.Error("empty window")
	}
	e := claimed(t, "e")
	if _, _, err := e.Return(1, from); err == nil {
		t.Error("what was not spent came back")
	}
	if _, err := e.Spend(0, from); err == nil {
		t.Error("nothing was spent")
	}
	if _, err := e.Spend(200_01, from); err == nil {
		t.Error("more than its face was spent")
	}
	if _, err := e.Expire(until.Add(-1)); err == nil {
		t.Error("ended before its window")
	}
}

// Every pair of states, not only the legal ones: each way to change an envelope either
// refuses or goes to a state that may follow.
func TestOnlyLegalMoves(t *testing.T) {
	sample := map[State]Envelope{}
	for _, s := range States() {
		e := Envelope{ID: "e", State: s, Face: 10, Left: 10, From: from, Until: until}
		switch s {
		case PartlySpent:
			e.Left, e.Spent = 4, 6
		case Spent:
			e.Left, e.Spent = 0, 10
		case Recalled:
			e.Left, e.Spent, e.Recalled = 0, 4, 6
		case RecallPending:
			e.Left, e.Spent = 4, 6
		case Reserved, Offered, Claimed:
		}
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
		sample[s] = e
	}
	steps := map[string]func(Envelope) (Envelope, error){
		"offer":  Envelope.Offer,
		"claim":  func(e Envelope) (Envelope, error) { return e.Claim(from) },
		"spend":  func(e Envelope) (Envelope, error) { return e.Spend(1, from) },
		"all":    func(e Envelope) (Envelope, error) { return e.Spend(max(1, e.Left), from) },
		"late":   func(e Envelope) (Envelope, error) { return e.SpendLate(1, from) },
		"return": func(e Envelope) (Envelope, error) { after, _, err := e.Return(1, from); return after, err },
		"refund": func(e Envelope) (Envelope, error) {
			after, _, err := e.Return(max(1, e.Spent), from)
			return after, err
		},
		"over":    func(e Envelope) (Envelope, error) { after, _, err := e.Return(1, until); return after, err },
		"expire":  func(e Envelope) (Envelope, error) { return e.Expire(until) },
		"restore": func(e Envelope) (Envelope, error) { return e.Restore(1) },
		"recall":  func(e Envelope) (Envelope, error) { after, _, err := e.Recall(); return after, err },
	}
	seen := map[string]bool{}
	for s, e := range sample {
		for name, step := range steps {
			after, err := step(e)
			if err != nil {
				if after != e {
					t.Errorf("%s from %s refused and changed", name, s)
				}
				continue
			}
			if !slices.Contains(s.Next(), after.State) {
				t.Errorf("%s goes from %s to %s", name, s, after.State)
			}
			if err := after.Check(); err != nil {
				t.Errorf("%s from %s: %v", name, s, err)
			}
			seen[fmt.Sprint(s, after.State)] = true
		}
	}
	for _, s := range States() {
		if s.Text().ZH == "" || s.Text().EN == "" {
			t.Errorf("%s has no text", s)
		}
		for _, n := range s.Next() {
			if !seen[fmt.Sprint(s, n)] && s != PartlySpent && n != PartlySpent {
				t.Errorf("nothing goes from %s to %s", s, n)
			}
		}
	}
}

func TestManyRefundsAreOneRefund(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paid := Split{Own: pos.Money(rapid.Int64Range(0, 1000).Draw(t, "own"))}
		for i := range rapid.IntRange(0, 3).Draw(t, "envelopes") {
			paid.Shares = append(paid.Shares, Share{fmt.Sprint(i), pos.Money(rapid.Int64Range(1, 500).Draw(t, "share"))})
		}
		if paid.Total() == 0 {
			return
		}
		total := pos.Money(rapid.Int64Range(1, int64(paid.Total())).Draw(t, "total"))
		want := sums(t, paid, 0, total)
		got := map[string]pos.Money{}
		for done := pos.Money(0); done < total; {
			part := pos.Money(rapid.Int64Range(1, int64(total-done)).Draw(t, "part"))
			for k, v := range sums(t, paid, done, part) {
				got[k] += v
			}
			done += part
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		for i, share := range paid.Shares {
			if got[share.Envelope] > share.Amount || (got[share.Envelope] > 0 && got["own"] < paid.Own) {
				t.Fatalf("envelope %d was refunded %s of %s, own %s of %s", i, got[share.Envelope], share.Amount, got["own"], paid.Own)
			}
		}
	})
}

func sums(t *rapid.T, paid Split, refunded, amount pos.Money) map[string]pos.Money {
	s, err := SplitRefund(paid, refunded, amount)
	if err != nil || s.Total() != amount {
		t.Fatalf("refund of %s after %s: %+v, %v", amount, refunded, s, err)
	}
	m := map[string]pos.Money{}
	if s.Own > 0 {
		m["own"] = s.Own
	}
	for _, share := range s.Shares {
		m[share.Envelope] += share.Amount
	}
	return m
}

func TestNoFenIsLostOrMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := claimed(t, "e")
		var taken, back pos.Money
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at := from.Add(time.Duration(rapid.Int64Range(-1, 14*24).Draw(t, "hour")) * time.Hour)
			amount := pos.Money(rapid.Int64Range(1, 250_00).Draw(t, "amount"))
			before := e
			var err error
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				if e, err = e.Spend(amount, at); err == nil {
					taken += amount
				}
			case 1:
				if e, err = e.SpendLate(amount, at); err == nil {
					taken += amount
				}
			case 2:
				var recall pos.Money
				if e, recall, err = e.Return(amount, at); err == nil {
					taken -= amount
					back += recall
				}
			case 3:
				e, err = e.Expire(at)
			case 4:
				var recall pos.Money
				if e, recall, err = e.Recall(); err == nil {
					back += recall
				}
			}
			if err != nil && e != before {
				t.Fatalf("refused and changed: %+v → %+v, %v", before, e, err)
			}
			if err := e.Check(); err != nil {
				t.Fatal(err)
			}
			if e.Spent != taken || e.Recalled != back {
				t.Fatalf("envelope says %s spent and %s recalled, %s and %s moved", e.Spent, e.Recalled, taken, back)
			}
		}
	})
}

// TestTheMessageTellsACoupon: whoever has won one must know from which price on it is good.
func TestTheMessageTellsACoupon(t *testing.T) {
	p := Plan{Title: pos.Text{ZH: "活动", EN: "campaign"}, ClaimUntilMS: until.UnixMilli(), FromMS: from.UnixMilli(), UntilMS: until.UnixMilli()}
	e := Issued{Institution: "ICBC"}
	e.Face = 30_00
	free := p.message(e, 0)
	e.Threshold = 100_00
	coupon := p.message(e, 0)
	for _, c := range []struct{ text, word string }{{coupon.ZH, "单笔满 ¥100.00 可用"}, {coupon.EN, "for a payment of ¥100.00 or more"}} {
		if !strings.Contains(c.text, c.word) || !strings.Contains(c.text, "¥30.00") {
			t.Errorf("%q lacks %q", c.text, c.word)
		}
	}
	if strings.Contains(free.ZH, "单笔") || strings.Contains(free.EN, "or more") {
		t.Errorf("a free envelope has a condition: %q", free)
	}
}
