package payment_test

import (
	"fmt"
	"testing"
	"time"

	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// journal keeps entries of the till as the link does after a batch: entries, head and
// projection, and what the ledger's rules say.
func (h *house) journal(id pos.PaymentID, bodies ...any) {
	h.t.Helper()
	h.journalAt(till, 0, id, bodies...)
}

// journalAt is journal of another till, or on another branch, whose money is in suspense.
func (h *house) journalAt(till string, branch int, id pos.PaymentID, bodies ...any) {
	h.t.Helper()
	name := ""
	if branch > 0 {
		name = fmt.Sprintf("1/%d", branch)
	}
	ctx := h.t.Context()
	var posts []ledger.Transaction
	err := h.store.Link().Write(ctx, func(tx link.Tx) error {
		posts = nil
		heads, err := tx.Heads(ctx, till, 1)
		if branch >= 1000 {
			heads, err = tx.Islands(ctx, till, 1)
		}
		if err != nil {
			return err
		}
		var seq uint64
		for _, head := range heads {
			if head.Branch == branch {
				seq = head.Seq
			}
		}
		for _, body := range bodies {
			seq++
			b, err := dcep.Marshal(body)
			if err != nil {
				return err
			}
			e := pos.Entry{
				Position: pos.Position{Terminal: till, Epoch: 1, Seq: seq}, Env: pos.Lab, Kind: kindOf(body), Payment: id,
				Operator: "07", BusinessDate: "2021-02-10", Body: b, Hash: fmt.Appendf(nil, "hash of %d", seq),
				At: pos.Instant{WallMS: h.clock.Load()},
			}
			before, known, err := tx.Payment(ctx, till, id, name)
			if err != nil {
				return err
			}
			after, changed, err := dcep.Apply(before, known, e)
			if err != nil {
				return err
			}
			if changed {
				if err := tx.PutPayment(ctx, shop, name, after); err != nil {
					return err
				}
				decoded, err := dcep.Body(e)
				if err != nil {
					return err
				}
				if t, ok := ledger.Moved(shop, before, after, decoded); ok {
					if branch > 0 {
						t = ledger.Forked(till, shop, t)
					} else if have, err := tx.LedgerTransactions(ctx, []string{ledger.ForkKey(t.Key)}); err != nil {
						return err
					} else if held, waits := have[ledger.ForkKey(t.Key)]; waits {
						posts = append(posts, ledger.Rejoined(held))
					}
					posts = append(posts, t)
				}
			}
			if err := tx.AppendEntries(ctx, []link.Kept{{Entry: e, Branch: branch}}); err != nil {
				return err
			}
			if err := tx.PutHead(ctx, till, 1, link.Head{
				Branch: branch, Seq: seq, Hash: e.Hash, First: 1, Parent: -min(branch, 1),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range posts {
		if _, err := h.store.Ledger().Post(ctx, p); err != nil {
			h.t.Fatal(err)
		}
	}
}

func kindOf(body any) pos.Kind {
	switch body.(type) {
	case pos.PaymentCreated:
		return pos.KindPaymentCreated
	case pos.PaymentMoved:
		return pos.KindPaymentMoved
	case pos.LatePaid:
		return pos.KindLatePaid
	case pos.RefundMoved:
		return pos.KindRefundMoved
	case pos.DrawerOpened:
		return pos.KindDrawer
	}
	return ""
}

func created(amount pos.Money, mode pos.Mode) pos.PaymentCreated {
	return pos.PaymentCreated{
		OrderID: "A1", OrderAmount: amount, Amount: amount, Mode: mode, Caller: "screen", Key: "k", BodyHash: "h", Attempt: 1,
	}
}

func (h *house) asking() pos.PaymentMoved {
	return pos.PaymentMoved{From: pos.Created, To: pos.Asking, Source: "till", Institution: "ICBC", ExpiresMS: h.clock.Load() + 30_000}
}

func moved(from, to pos.State) pos.PaymentMoved {
	return pos.PaymentMoved{From: from, To: to, Source: "till"}
}

// apply journals the verdicts that the till has not journaled yet, as a till does.
func (h *house) apply(from int) int {
	h.t.Helper()
	all := h.verdicts()
	for _, v := range all[from:] {
		switch {
		case v.Moved != nil:
			h.journal(v.Payment, *v.Moved)
		case v.Late != nil:
			h.journal(v.Payment, *v.Late)
		case v.Refund != nil:
			h.journal(v.Payment, *v.Refund)
		}
	}
	return len(all)
}

func TestUnknownAtTheTillEndsWithOneVerdict(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault string
		to    pos.State
		first bool // the centre knows the end before it reads of unknown
	}{
		{"paid, known before", "lost", pos.Paid, true},
		{"paid, known after", "lost", pos.Paid, false},
		{"never arrived", "cut", pos.Declined, false},
		{"declined", "decline", pos.Declined, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.bank.fail("payments", c.fault)
			ask := h.pay(h.id(), 4200)
			entries := []any{created(4200, pos.BScanC), h.asking(), moved(pos.Asking, pos.Unknown)}
			h.desk.Pay(t.Context(), till, ask)
			if !c.first {
				h.journal(ask.Payment, entries...)
			}
			h.later(3 * time.Minute)
			if c.first {
				h.journal(ask.Payment, entries...)
			}
			for range 3 {
				h.desk = h.newDesk(h.store)
				h.later(2 * time.Second)
			}
			v := h.verdicts()
			if len(v) != 1 || v[0].Moved == nil || v[0].Moved.From != pos.Unknown || v[0].Moved.To != c.to || v[0].Moved.Source != "centre" {
				t.Fatalf("verdicts are %+v", v)
			}
			h.apply(0)
			h.later(time.Minute)
			if c.to == pos.Paid {
				h.holds(4200, 4200, 0)
			} else {
				h.holds(0, 0, 0)
			}
			if n := len(h.verdicts()); n != 1 {
				t.Errorf("%d verdicts", n)
			}
		})
	}
}

func TestUnknownThatTheTillEndedItselfNeedsNoVerdict(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 10)
	a := h.desk.Pay(t.Context(), till, ask)
	paid := pos.PaymentMoved{
		From: pos.Unknown, To: pos.Paid, Source: "till", Institution: a.Institution,
		InstitutionTxn: a.InstitutionTxn, SettlementDate: a.SettlementDate,
	}
	h.journal(ask.Payment, created(10, pos.BScanC), h.asking(), moved(pos.Asking, pos.Unknown), paid)
	h.later(5 * time.Second)
	if v := h.verdicts(); len(v) != 0 {
		t.Errorf("verdicts are %+v", v)
	}
	h.holds(10, 10, 0)
}

func TestQuestionThatNeverReachedTheCentre(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 10)
	h.journal(ask.Payment, created(10, pos.BScanC), h.asking(), moved(pos.Asking, pos.Unknown))
	h.later(time.Second)
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomeUnknown, "")
	h.later(2 * time.Minute)
	if v := h.verdicts(); len(v) != 1 || v[0].Moved.To != pos.Declined || v[0].Moved.Reason != pos.ErrNotSent {
		t.Errorf("verdicts are %+v", v)
	}
	if h.bank.questions("payments") != 0 {
		t.Error("a belated question was asked")
	}
	// The till gave up before its question arrived; its journal came first.
	late := h.pay(h.id(), 10)
	h.journal(late.Payment, created(10, pos.BScanC), h.asking(), moved(pos.Asking, pos.Abandoned))
	want(t, h.desk.Pay(t.Context(), till, late), pos.OutcomeRejected, pos.ErrExpired)
}

func TestAbandonedInTheJournalAlone(t *testing.T) {
	h := newHouse(t)
	ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
	h.desk.Present(t.Context(), till, ask)
	h.journal(ask.Payment, created(700, pos.CScanB), h.asking(), moved(pos.Asking, pos.Abandoned), pos.DrawerOpened{Reason: "x"})
	h.later(3 * time.Second)
	h.bank.scan(ask.Payment.String())
	h.later(time.Minute)
	h.holds(0, 0, 0)
	if n := h.apply(0); n != 3 {
		t.Errorf("%d verdicts", n)
	}
	h.later(time.Minute)
	h.holds(0, 0, 0)
	if h.bank.net() != 0 {
		t.Errorf("the bank keeps %d", h.bank.net())
	}
}

func TestEvidenceIsSubmittedUntilFinal(t *testing.T) {
	for _, c := range []struct {
		kind string
		to   pos.State
		code pos.Code
	}{
		{"", pos.Credited, ""},
		{"decline", pos.Refused, pos.ErrInsufficient},
		{"double_spend", pos.Conflict, pos.ErrEvidenceSeen},
	} {
		t.Run(string(c.to), func(t *testing.T) {
			h := newHouse(t)
			h.bank.fail("evidence", "unavailable", "cut", "unauthorized", "garbage")
			id := h.id()
			if c.kind != "" {
				h.bank.mu.Lock()
				h.bank.fault["evidence"] = []string{"unavailable", "cut", "unauthorized", c.kind}
				h.bank.mu.Unlock()
			}
			taken := pos.PaymentMoved{
				From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC",
				Evidence: []byte("signed by a wallet"), Wallet: "w", Counter: 7,
			}
			h.journal(id, created(5000, pos.Evidence), taken)
			if got := h.balances(); got["in_transit:ICBC"] != 5000 || got["pending:M1"] != -5000 {
				t.Errorf("books are %v", got)
			}
			want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), id, 1)), pos.OutcomeRejected, pos.ErrNotFound)
			h.later(time.Second)
			want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), id, 1)), pos.OutcomeRejected, pos.ErrNotRefundable)
			h.desk = h.newDesk(h.store)
			h.later(time.Minute)
			v := h.verdicts()
			if len(v) != 1 || v[0].Moved == nil || v[0].Moved.From != pos.AcceptedEvidence || v[0].Moved.To != c.to || v[0].Moved.Reason != c.code {
				t.Fatalf("verdicts are %+v", v)
			}
			h.apply(0)
			h.later(time.Minute)
			if c.to == pos.Credited {
				h.holds(5000, 5000, 0)
				want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), id, 2000)), pos.OutcomeRefunded, "")
				h.holds(3000, 3000, 0)
			} else {
				h.holds(0, 0, map[bool]pos.Money{true: 5000}[c.to == pos.Conflict])
			}
			if got := h.balances(); got["in_transit:ICBC"] != 0 || got["pending:M1"] != 0 {
				t.Errorf("books are %v", got)
			}
		})
	}
}

func TestUnknownRefundAtTheTillEndsWithOneVerdict(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 100)
	a := h.desk.Pay(t.Context(), till, ask)
	h.bank.fail("refunds", "lost")
	r := h.refund(h.id(), ask.Payment, 60)
	h.desk.Refund(t.Context(), till, r)
	start := pos.RefundMoved{RefundID: r.Refund, To: pos.RefundAsking, Amount: 60, Caller: "screen", Key: "r", BodyHash: "h"}
	unknown := pos.RefundMoved{RefundID: r.Refund, From: pos.RefundAsking, To: pos.RefundUnknown}
	paid := pos.PaymentMoved{
		From: pos.Asking, To: pos.Paid, Source: "till", Institution: a.Institution,
		InstitutionTxn: a.InstitutionTxn, SettlementDate: a.SettlementDate,
	}
	h.journal(ask.Payment, created(100, pos.BScanC), h.asking(), paid, start, unknown)
	h.later(time.Minute)
	v := h.verdicts()
	if len(v) != 1 || v[0].Refund == nil || v[0].Refund.From != pos.RefundUnknown || v[0].Refund.To != pos.RefundRefunded || v[0].Refund.Amount != 60 {
		t.Fatalf("verdicts are %+v", v)
	}
	h.apply(0)
	h.later(time.Minute)
	h.holds(40, 40, 0)

	// A refund that never reached the centre is declined, and never asked for.
	lost := h.id()
	h.journal(ask.Payment,
		pos.RefundMoved{RefundID: lost, To: pos.RefundAsking, Amount: 40, Caller: "screen", Key: "r2", BodyHash: "h"},
		pos.RefundMoved{RefundID: lost, From: pos.RefundAsking, To: pos.RefundUnknown})
	h.later(time.Minute)
	v = h.verdicts()
	if len(v) != 2 || v[1].Refund.To != pos.RefundDeclined || v[1].Refund.Reason != pos.ErrNotSent {
		t.Fatalf("verdicts are %+v", v)
	}
	h.apply(1)
	h.later(time.Second)
	h.holds(40, 40, 0)
}

func TestDatabaseThatWasRestoredAsksEveryInstitution(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 777)
	h.desk.Pay(t.Context(), till, ask)
	h.url += ".restored" // the backup is older than the payment
	h.open()
	h.bank.fail("query", "cut")
	want(t, h.query(ask.Payment), pos.OutcomeUnknown, "")
	h.later(30 * time.Second)
	a := h.query(ask.Payment)
	if a.Final() {
		t.Errorf("%s before the journal has told the amount", a.Outcome)
	}
	h.journal(ask.Payment, created(777, pos.BScanC), h.asking(), moved(pos.Asking, pos.Unknown))
	h.later(2 * time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomePaid, "")
	h.holds(777, 777, 0)
	if v := h.verdicts(); len(v) != 1 || v[0].Moved.To != pos.Paid {
		t.Errorf("verdicts are %+v", v)
	}
	want(t, h.desk.Pay(t.Context(), till, ask), pos.OutcomePaid, "")
	if h.bank.questions("payments") != 1 {
		t.Error("the institution was asked again")
	}
}

func TestRestoredDatabaseKnowsRefundsThatWereDone(t *testing.T) {
	h := newHouse(t)
	ask := h.pay(h.id(), 100)
	a := h.desk.Pay(t.Context(), till, ask)
	r := h.refund(h.id(), ask.Payment, 80)
	b := h.desk.Refund(t.Context(), till, r)
	h.url += ".restored"
	h.open()
	h.journal(ask.Payment, created(100, pos.BScanC), h.asking(), pos.PaymentMoved{
		From: pos.Asking, To: pos.Paid, Source: "till", Institution: a.Institution,
		InstitutionTxn: a.InstitutionTxn, SettlementDate: a.SettlementDate,
	}, pos.RefundMoved{RefundID: r.Refund, To: pos.RefundAsking, Amount: 80, Caller: "screen", Key: "r", BodyHash: "h"},
		pos.RefundMoved{RefundID: r.Refund, From: pos.RefundAsking, To: pos.RefundRefunded, RefundTxn: b.InstitutionTxn, Date: b.SettlementDate})
	h.later(2 * time.Minute)
	h.holds(20, 20, 0)
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 80)), pos.OutcomeRejected, pos.ErrRefundTooMuch)
	want(t, h.desk.Refund(t.Context(), till, h.refund(h.id(), ask.Payment, 20)), pos.OutcomeRefunded, "")
	if v := h.verdicts(); len(v) != 0 {
		t.Errorf("verdicts are %+v", v)
	}
	h.holds(0, 0, 0)
}

func TestRestoredDatabaseKnowsWhatAnInstitutionDeclined(t *testing.T) {
	h := newHouse(t)
	h.bank.fail("payments", "decline")
	ask := h.pay(h.id(), 100)
	a := h.desk.Pay(t.Context(), till, ask)
	want(t, a, pos.OutcomeDeclined, a.Reason)
	h.url += ".restored"
	h.open()
	h.journal(ask.Payment, created(100, pos.BScanC), h.asking(), pos.PaymentMoved{
		From: pos.Asking, To: pos.Declined, Source: "centre", Reason: a.Reason, Institution: a.Institution, SettlementDate: "2026-11-22",
	})
	h.later(2 * time.Minute)
	b := h.query(ask.Payment)
	want(t, b, pos.OutcomeDeclined, a.Reason)
	if b.Institution != a.Institution {
		t.Errorf("declined by %q, was %q", b.Institution, a.Institution)
	}
	if v := h.verdicts(); len(v) != 0 {
		t.Errorf("verdicts are %+v", v)
	}
	h.holds(0, 0, 0)
}

func TestOneTillsNonsenseDoesNotStopTheOthers(t *testing.T) {
	h := newHouse(t)
	id := h.id()
	h.journal(id, created(5, pos.Evidence), pos.PaymentMoved{From: pos.Created, To: pos.AcceptedEvidence, Institution: "NOSUCH", Evidence: []byte("x")})
	h.later(time.Minute)
	ask := pos.AskPresent{Env: pos.Lab, Payment: h.id(), Merchant: shop, Amount: 700, ValidMS: 60_000, ExpiresMS: h.clock.Load() + 9000}
	h.desk.Present(t.Context(), till, ask)
	h.journal(ask.Payment, created(700, pos.CScanB), h.asking(), moved(pos.Asking, pos.Abandoned))
	h.later(3 * time.Minute)
	want(t, h.query(ask.Payment), pos.OutcomeDeclined, pos.ErrExpired)
	want(t, h.query(id), pos.OutcomePending, "")
}
