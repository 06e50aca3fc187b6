package drill

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dcpos/pos"
)

func payment(state pos.State, seq uint64, refunds ...pos.Refund) pos.Payment {
	return pos.Payment{
		ID: pos.NewPaymentID(time.UnixMilli(1), [10]byte{1}), Key: "k", Amount: 100, Mode: pos.BScanC,
		State: state, LastSeq: seq, Refunds: refunds,
	}
}

func TestTheNotebookSeesEveryContradiction(t *testing.T) {
	refund := pos.Refund{ID: pos.NewPaymentID(time.UnixMilli(2), [10]byte{2}), State: pos.RefundRefunded, Amount: 10}
	asking := refund
	asking.State = pos.RefundAsking
	other := payment(pos.Paid, 3)
	other.Amount = 99
	for name, c := range map[string]struct {
		was, now pos.Payment
		want     string // part of the finding; empty: none
	}{
		"the same again":           {payment(pos.Paid, 3), payment(pos.Paid, 3), ""},
		"on":                       {payment(pos.Asking, 2), payment(pos.Paid, 4), ""},
		"on over a step":           {payment(pos.Created, 1), payment(pos.Declined, 3), ""},
		"evidence, credited":       {payment(pos.AcceptedEvidence, 2), payment(pos.Credited, 4), ""},
		"paid, then declined":      {payment(pos.Paid, 3), payment(pos.Declined, 3), "was called paid"},
		"paid, then asking":        {payment(pos.Paid, 3), payment(pos.Asking, 3), "was called paid"},
		"entries are gone":         {payment(pos.Asking, 3), payment(pos.Asking, 2), "entry 3 was told"},
		"another amount":           {payment(pos.Paid, 3), other, "another payment"},
		"a refund is gone":         {payment(pos.Paid, 5, refund), payment(pos.Paid, 5), "is gone"},
		"a refund is taken back":   {payment(pos.Paid, 5, refund), payment(pos.Paid, 5, asking), "was called refunded"},
		"a refund comes to an end": {payment(pos.Paid, 5, asking), payment(pos.Paid, 6, refund), ""},
	} {
		t.Run(name, func(t *testing.T) {
			book, till := NewNotebook(), &Till{Program: Program{Name: "till"}}
			book.Heard(till, Said{}, c.was)
			book.Heard(till, book.Last(c.was.ID), c.now)
			found := strings.Join(book.Findings(), "\n")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestOneKeyIsOnePayment(t *testing.T) {
	book, till := NewNotebook(), &Till{}
	first, second := payment(pos.Created, 1), payment(pos.Created, 2)
	second.ID = pos.NewPaymentID(time.UnixMilli(9), [10]byte{9})
	book.Heard(till, Said{}, first)
	book.Heard(till, Said{}, second)
	if f := book.Findings(); len(f) != 1 || !strings.Contains(f[0], "key k names") {
		t.Errorf("found %v", f)
	}
}

func TestAnOlderAnswerThatComesLaterChangesNothing(t *testing.T) {
	book, till := NewNotebook(), &Till{}
	book.Heard(till, Said{}, payment(pos.Paid, 4))
	book.Heard(till, Said{}, payment(pos.Asking, 2)) // asked before anything was heard
	if s := book.Last(payment(pos.Paid, 4).ID); s.Payment.State != pos.Paid || book.Acks() != 1 || len(book.Findings()) > 0 {
		t.Errorf("%+v, %d, %v", s, book.Acks(), book.Findings())
	}
}

func TestTheSeedDecidesTheOrderOfStrikes(t *testing.T) {
	o := Options{Seed: 7, Strikes: map[Strike]int{AgentKill: 20, CentreKill: 10, AgentCut: 5}}
	kinds := []Strike{AgentKill, CentreKill}
	a, b := plan(o, kinds), plan(o, kinds)
	o.Seed++
	c := plan(o, kinds)
	if len(a) != 30 || !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Errorf("%v\n%v\n%v", a, b, c)
	}
}

func FuzzParseStatement(f *testing.F) {
	head := "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date\n"
	f.Add([]byte(head + "a,M,T,ICBC,120,0,S,2026-11-22T09:09:36.854+08:00,,b,2026-11-22\n"))
	f.Add([]byte(head + "a,M,T,ICBC,x,0,S,,,b,\n"))
	f.Add([]byte("a,b\n1,2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := parseStatement("ICBC", b)
		if err != nil {
			return
		}
		for _, l := range lines {
			if l.Institution != "ICBC" {
				t.Errorf("%+v", l)
			}
		}
	})
}
