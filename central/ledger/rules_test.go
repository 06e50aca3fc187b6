package ledger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// memTx keeps a ledger in memory.
type memTx struct {
	posted   map[string]ledger.Transaction
	balances map[string]pos.Money
}

func newMem() *memTx {
	return &memTx{make(map[string]ledger.Transaction), make(map[string]pos.Money)}
}

func (m *memTx) LedgerTransaction(_ context.Context, key string) (ledger.Transaction, bool, error) {
	t, ok := m.posted[key]
	return t, ok, nil
}

func (m *memTx) AppendLedger(_ context.Context, t ledger.Transaction) error {
	m.posted[t.Key] = t
	for _, p := range t.Postings {
		m.balances[p.Account] += p.Amount
	}
	return nil
}

func payment(state pos.State) pos.Payment {
	return pos.Payment{
		ID: pos.PaymentID{1}, Terminal: "t1", Amount: 1250, State: state, Institution: "ICBC",
		BusinessDate: "2021-02-10", SettlementDate: "2021-02-11",
	}
}

func TestRules(t *testing.T) {
	id := pos.PaymentID{1}.String()
	refund := pos.RefundID{9}
	late := payment(pos.Abandoned)
	late.LatePaid = true
	withRefund := func(p pos.Payment) pos.Payment {
		p.Refunds = []pos.Refund{{ID: refund, State: pos.RefundRefunded, Amount: 250, Date: "2021-02-12"}}
		return p
	}
	for name, c := range map[string]struct {
		after pos.Payment
		body  any
		want  *ledger.Transaction
	}{
		"paid": {payment(pos.Paid), &pos.PaymentMoved{}, &ledger.Transaction{
			"paid:" + id, "2021-02-11", []ledger.Posting{{"receivable:ICBC", 1250}, {"merchant:M", -1250}},
		}},
		"evidence": {payment(pos.AcceptedEvidence), &pos.PaymentMoved{}, &ledger.Transaction{
			"evidence:" + id, "2021-02-10", []ledger.Posting{{"in_transit:ICBC", 1250}, {"pending:M", -1250}},
		}},
		"credited": {payment(pos.Credited), &pos.PaymentMoved{}, &ledger.Transaction{
			"credited:" + id, "2021-02-11", []ledger.Posting{
				{"in_transit:ICBC", -1250}, {"pending:M", 1250}, {"receivable:ICBC", 1250}, {"merchant:M", -1250},
			},
		}},
		"refused": {payment(pos.Refused), &pos.PaymentMoved{}, &ledger.Transaction{
			"refused:" + id, "2021-02-10", []ledger.Posting{{"in_transit:ICBC", -1250}, {"pending:M", 1250}},
		}},
		"conflict": {payment(pos.Conflict), &pos.PaymentMoved{}, &ledger.Transaction{
			"refused:" + id, "2021-02-10", []ledger.Posting{
				{"in_transit:ICBC", -1250}, {"pending:M", 1250}, {"disputed:ICBC", 1250}, {"suspense:conflict:t1", -1250},
			},
		}},
		"late": {late, &pos.LatePaid{}, &ledger.Transaction{
			"late:" + id, "2021-02-11", []ledger.Posting{{"receivable:ICBC", 1250}, {"suspense:late:" + id, -1250}},
		}},
		"refund": {withRefund(payment(pos.Paid)), &pos.RefundMoved{RefundID: refund, To: pos.RefundRefunded}, &ledger.Transaction{
			"refund:" + refund.String(), "2021-02-12", []ledger.Posting{{"receivable:ICBC", -250}, {"merchant:M", 250}},
		}},
		"refund of late money": {withRefund(late), &pos.RefundMoved{RefundID: refund, To: pos.RefundRefunded}, &ledger.Transaction{
			"refund:" + refund.String(), "2021-02-12", []ledger.Posting{{"receivable:ICBC", -250}, {"suspense:late:" + id, 250}},
		}},
		"an intent moves nothing":    {withRefund(payment(pos.Paid)), &pos.RefundMoved{RefundID: refund, To: pos.RefundIntent}, nil},
		"unknown moves nothing":      {payment(pos.Unknown), &pos.PaymentMoved{}, nil},
		"stored moves nothing":       {payment(pos.Stored), &pos.PaymentMoved{}, nil},
		"a creation moves nothing":   {payment(pos.Created), &pos.PaymentCreated{}, nil},
		"a printed slip moves never": {payment(pos.Paid), &pos.Printed{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ledger.Moved("M", payment(pos.AcceptedEvidence), c.after, c.body)
			if ok != (c.want != nil) {
				t.Fatalf("posts: %v, got %v", ok, got)
			}
			if c.want == nil {
				return
			}
			if diff := cmp.Diff(*c.want, got); diff != "" {
				t.Error(diff)
			}
			if err := got.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestForkedPostsNothingToTheMerchant(t *testing.T) {
	p := payment(pos.Credited)
	got := ledger.Forked("t1", "M", ledger.Credited("M", "BOC", p))
	normal, err := got.Normal()
	if err != nil {
		t.Fatal(err)
	}
	want := []ledger.Posting{{"in_transit:BOC", -1250}, {"receivable:ICBC", 1250}}
	if diff := cmp.Diff(want, normal.Postings); diff != "" {
		t.Error(diff)
	}
}

func TestPost(t *testing.T) {
	ctx, tx := t.Context(), newMem()
	good := ledger.Paid("M", payment(pos.Paid))
	if posted, err := ledger.Post(ctx, tx, good); !posted || err != nil {
		t.Fatal(posted, err)
	}
	turned := good
	turned.Postings = []ledger.Posting{good.Postings[1], good.Postings[0]}
	if posted, err := ledger.Post(ctx, tx, turned); posted || err != nil {
		t.Fatalf("the same in another order is a repeat: %v %v", posted, err)
	}
	other := ledger.Paid("N", payment(pos.Paid))
	if _, err := ledger.Post(ctx, tx, other); pos.CodeOf(err) != pos.ErrKeyConflict {
		t.Fatalf("another body under one key: %v", err)
	}
	if _, err := ledger.Post(ctx, tx, ledger.Transaction{"x", "2021-01-01", []ledger.Posting{{"a", 1}}}); !errors.Is(err, ledger.ErrUnbalanced) {
		t.Fatalf("unbalanced: %v", err)
	}
	if len(tx.posted) != 1 || tx.balances["merchant:M"] != -1250 {
		t.Fatalf("%+v", tx)
	}
}

// TestLegalHistories walks random payments through legal states, delivers what to post
// with duplicates and in any order, and compares with one delivery in order.
func TestLegalHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []ledger.Transaction
		for i := range rapid.IntRange(1, 6).Draw(rt, "payments") {
			all = append(all, history(rt, byte(i+1))...)
		}
		once, shuffled := newMem(), newMem()
		for _, tr := range all {
			if _, err := ledger.Post(context.Background(), once, tr); err != nil {
				rt.Fatal(err)
			}
		}
		for _, tr := range rapid.Permutation(append(append(all[:len(all):len(all)], all...), all...)).Draw(rt, "order") {
			if _, err := ledger.Post(context.Background(), shuffled, tr); err != nil {
				rt.Fatal(err)
			}
			var sum pos.Money
			for _, b := range shuffled.balances {
				sum += b
			}
			if sum != 0 {
				rt.Fatalf("sum is %d after %v", sum, tr)
			}
		}
		if diff := cmp.Diff(once.balances, shuffled.balances); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func history(rt *rapid.T, n byte) []ledger.Transaction {
	var out []ledger.Transaction
	p := payment(pos.Created)
	p.ID, p.Amount = pos.PaymentID{n}, pos.Money(rapid.Int64Range(1, 100_000_00).Draw(rt, "amount"))
	for len(p.State.Next()) > 0 {
		before := p
		p.State = rapid.SampledFrom(p.State.Next()).Draw(rt, "state")
		if tr, ok := ledger.Moved("M", before, p, &pos.PaymentMoved{}); ok {
			out = append(out, tr)
		}
	}
	if p.State == pos.Abandoned {
		p.LatePaid = true
		tr, _ := ledger.Moved("M", p, p, &pos.LatePaid{})
		out = append(out, tr)
	}
	for i := byte(1); p.Refundable() && p.Amount > p.Reserved() && i < 4; i++ {
		r := pos.Refund{
			ID: pos.RefundID{n, i}, State: pos.RefundRefunded,
			Amount: pos.Money(rapid.Int64Range(1, int64(p.Amount-p.Reserved())).Draw(rt, "refund")),
		}
		p.Refunds = append(p.Refunds, r)
		tr, _ := ledger.Moved("M", p, p, &pos.RefundMoved{RefundID: r.ID, To: pos.RefundRefunded})
		out = append(out, tr)
	}
	return out
}
