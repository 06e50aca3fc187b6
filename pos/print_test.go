package pos_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/pos"
)

func printStates() []pos.PrintState {
	return []pos.PrintState{pos.PrintQueued, pos.PrintSending, pos.PrintConfirmed, pos.PrintUnknown, pos.PrintPaused, pos.PrintCancelled}
}

func TestPrintMoves(t *testing.T) {
	legal := map[pos.PrintState][]pos.PrintState{
		"":                 {pos.PrintQueued},
		pos.PrintQueued:    {pos.PrintSending, pos.PrintPaused, pos.PrintCancelled},
		pos.PrintSending:   {pos.PrintQueued, pos.PrintConfirmed, pos.PrintUnknown, pos.PrintPaused, pos.PrintCancelled},
		pos.PrintUnknown:   {pos.PrintQueued, pos.PrintConfirmed, pos.PrintCancelled},
		pos.PrintPaused:    {pos.PrintQueued, pos.PrintSending, pos.PrintConfirmed, pos.PrintPaused, pos.PrintCancelled},
		pos.PrintConfirmed: nil,
		pos.PrintCancelled: nil,
		"PRINTED":          nil,
	}
	for from, next := range legal {
		for _, to := range append(printStates(), "", "PRINTED") {
			if got := pos.CheckPrintMove(from, to) == nil; got != slices.Contains(next, to) {
				t.Errorf("%q to %q: %t", from, to, got)
			}
		}
		if from.Final() != (from == pos.PrintConfirmed || from == pos.PrintCancelled) {
			t.Errorf("%s final: %t", from, from.Final())
		}
	}
}

func TestAPrintJobFollowsItsEntries(t *testing.T) {
	id := pos.PaymentID{1}
	var j pos.PrintJob
	take := func(ms int64, b pos.Printed) {
		t.Helper()
		b.Job, b.Kind = "j", pos.PrintPayment
		next, err := j.Take(pos.Entry{Payment: id, Operator: "7", At: pos.Instant{WallMS: ms}, Position: pos.Position{Seq: uint64(ms)}}, b)
		if err != nil {
			t.Fatal(err)
		}
		j = next
	}
	take(1, pos.Printed{Result: "QUEUED", Caller: "c", Key: "k"})
	take(2, pos.Printed{Result: "SENDING", Shows: pos.Unknown})
	take(3, pos.Printed{Result: "PAUSED", Reason: "paper", OnPaper: true, Ask: true})
	if !j.Open() || !j.Ask || !j.OnPaper || j.QueuedMS != 1 {
		t.Fatalf("%+v", j)
	}
	take(4, pos.Printed{Result: "QUEUED"})
	take(5, pos.Printed{Result: "SENDING", Shows: pos.Paid, Duplicate: true})
	take(6, pos.Printed{Result: "QUEUED"}) // the till stopped: it is no younger for that
	take(7, pos.Printed{Result: "PAUSED", Reason: "cover"})
	if !j.OnPaper || j.Ask {
		t.Fatalf("what may be on paper stays there: %+v", j)
	}
	take(8, pos.Printed{Result: "SENDING", Shows: pos.Paid, Duplicate: true})
	take(9, pos.Printed{Result: "CONFIRMED"})
	want := pos.PrintJob{
		ID: "j", Kind: pos.PrintPayment, Payment: id, Caller: "c", Key: "k", State: pos.PrintConfirmed, OnPaper: true, Duplicate: true,
		Shows: pos.Paid, Operator: "7", CreatedMS: 1, QueuedMS: 4, UpdatedMS: 9, LastSeq: 9,
	}
	if d := cmp.Diff(want, j); d != "" || j.Open() {
		t.Fatal(d)
	}
}

func TestPrintEntriesThatAreNone(t *testing.T) {
	e := pos.Entry{Payment: pos.PaymentID{1}}
	first := pos.Printed{Job: "j", Kind: pos.PrintPayment, Result: "QUEUED", Caller: "c", Key: "k"}
	j, err := pos.PrintJob{}.Take(e, first)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		was  pos.PrintJob
		e    pos.Entry
		body func(*pos.Printed)
	}{
		"begins in the middle":   {pos.PrintJob{}, e, func(b *pos.Printed) { b.Result = "SENDING" }},
		"no id":                  {pos.PrintJob{}, e, func(b *pos.Printed) { b.Job = "" }},
		"no caller":              {pos.PrintJob{}, e, func(b *pos.Printed) { b.Caller = "" }},
		"no key":                 {pos.PrintJob{}, e, func(b *pos.Printed) { b.Key = "" }},
		"unknown kind":           {pos.PrintJob{}, e, func(b *pos.Printed) { b.Kind = "poem" }},
		"receipt of nothing":     {pos.PrintJob{}, pos.Entry{}, func(*pos.Printed) {}},
		"self-test of a payment": {pos.PrintJob{}, e, func(b *pos.Printed) { b.Kind = pos.PrintSelfTest }},
		"twice":                  {j, e, func(*pos.Printed) {}},
		"another payment":        {j, pos.Entry{Payment: pos.PaymentID{2}}, func(b *pos.Printed) { b.Result = "SENDING" }},
		"another kind":           {j, e, func(b *pos.Printed) { b.Result, b.Kind = "SENDING", pos.PrintSelfTest }},
		"another job":            {j, e, func(b *pos.Printed) { b.Result, b.Job = "SENDING", "i" }},
		"an old till's":          {j, e, func(b *pos.Printed) { b.Kind = "" }},
	} {
		b := first
		c.body(&b)
		if next, err := c.was.Take(c.e, b); err == nil || next != c.was {
			t.Errorf("%s: %+v %v", name, next, err)
		}
	}
}

// Tills that journaled only the outcome owe nothing, but what they printed is on paper.
func TestPrintEntriesOfOldTills(t *testing.T) {
	var j pos.PrintJob
	for _, result := range []string{"PAUSED", "UNKNOWN", "CONFIRMED", "CONFIRMED", "CANCELLED"} {
		next, err := j.Take(pos.Entry{Payment: pos.PaymentID{1}, Operator: "7"}, pos.Printed{Job: "old", Result: result})
		if err != nil || next.Open() || next.OnPaper != (result != "CANCELLED") || next.ID != "old" {
			t.Fatalf("%s: %+v %v", result, next, err)
		}
		j = next
	}
}
