package payment

import (
	"context"
	"strings"

	"dcpos/pos"
)

// onlinePrefix begins the name under which a web shop asks. No till has such a name: a
// store's name has no colon.
const onlinePrefix = "web:"

// OnlineTerminal is the name under which the web shop's payments are kept.
func OnlineTerminal(shop string) string { return onlinePrefix + shop }

// Online reports that the name is a web shop's, not a till's.
func Online(terminal string) bool { return strings.HasPrefix(terminal, onlinePrefix) }

// Event is a step of an online payment, or of a refund of it, that its web shop is told.
// Its ID is made of what moved and of the step, so that the same step, decided twice, is
// one event.
type Event struct {
	ID             string // such as 0195c1a0-0000-7000-8000-000000000000.paid
	Shop           string
	Kind           string // such as payment.paid
	Payment        pos.PaymentID
	Refund         pos.RefundID // zero for a step of the payment itself
	Amount         pos.Money
	Envelope       pos.Money // the part that red envelopes paid, or that goes back to them
	Reason         pos.Code
	Institution    string
	Txn            string
	SettlementDate pos.Date
	AtMS           int64
}

// PutPayment writes the row and, where a web shop asked, the event of its step.
func (t *turn) PutPayment(ctx context.Context, r Record) error {
	if err := t.Tx.PutPayment(ctx, r); err != nil {
		return err
	}
	step := onlineStep(r)
	if step == "" || !Online(r.Terminal) {
		return nil
	}
	return t.Announce(ctx, Event{
		ID: r.ID.String() + "." + step, Shop: strings.TrimPrefix(r.Terminal, onlinePrefix), Kind: "payment." + step,
		Payment: r.ID, Amount: r.Amount, Envelope: r.Envelope, Reason: r.Reason, Institution: r.Institution, Txn: r.Txn,
		SettlementDate: r.SettlementDate, AtMS: t.now,
	})
}

// onlineStep names the state as events do; empty where there is nothing to tell.
func onlineStep(r Record) string {
	switch r.State {
	case pos.Paid, pos.Declined, pos.Unknown:
		return string(r.State)
	case pos.Abandoned:
		switch {
		case r.LatePaid:
			return "late_paid"
		case r.NextMS == 0:
			return "lapsed" // the watch is over, nothing came
		}
		return "abandoned"
	case pos.Created, pos.Asking, pos.Cancelled, pos.AcceptedEvidence, pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
	}
	return ""
}

// PutRefund is the same for a refund.
func (t *turn) PutRefund(ctx context.Context, r Refund) error {
	if err := t.Tx.PutRefund(ctx, r); err != nil {
		return err
	}
	if !Online(r.Terminal) || r.State == pos.RefundAsking || r.State == pos.RefundIntent {
		return nil
	}
	return t.Announce(ctx, Event{
		ID: r.ID.String() + "." + string(r.State), Shop: strings.TrimPrefix(r.Terminal, onlinePrefix), Kind: "refund." + string(r.State),
		Payment: r.Payment, Refund: r.ID, Amount: r.Amount, Envelope: r.Envelope, Reason: r.Reason, Txn: r.Txn, SettlementDate: r.Date, AtMS: t.now,
	})
}
