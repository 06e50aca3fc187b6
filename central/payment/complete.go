package payment

import (
	"context"
	"errors"
	"fmt"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Completion is a sale whose institution's statement proves that it was paid while our books do not know (补单):
// the remedy of a break.
type Completion struct {
	Payment     pos.PaymentID
	Institution string
	Merchant    string
	Amount      pos.Money
	Date        pos.Date // the statement's settlement date
	Remedy      string   // who says so, for the record
}

// Complete makes the payment paid within tx, books it as an institution's yes would be, and tells the till that
// took it, when that says unknown. It is done once: done is false where there is no sale to complete (nobody here
// knows the payment, or it ended otherwise: its till may not call it paid any more), and whoever holds the break
// books its money alone. A payment that is paid meanwhile, or is of another merchant, institution or amount, is
// pos.ErrIllegalMove.
func Complete(ctx context.Context, tx Tx, nowMS int64, c Completion) (done bool, err error) {
	t := &turn{Tx: tx, now: nowMS}
	r, found, err := t.Payment(ctx, c.Payment)
	if err != nil {
		return false, err
	}
	if !found {
		if r, found, err = t.missing(ctx, c); err != nil || !found {
			return false, err
		}
	}
	switch r.State {
	case pos.Asking, pos.Unknown:
	case pos.Paid, pos.Credited:
		return false, illegal(r, "它已支付,请重新对账", "it is paid meanwhile: reconcile the date again")
	case pos.AcceptedEvidence:
		return false, illegal(r, "机构仍在处理,请等待结果", "its institution is still being asked: wait for the answer")
	case pos.Created, pos.Declined, pos.Abandoned, pos.Cancelled, pos.Refused, pos.Conflict, pos.Stored:
		return false, nil
	}
	if r.Merchant != c.Merchant || r.Amount != c.Amount || r.Institution != "" && r.Institution != c.Institution {
		return false, illegal(r, "商户、金额或机构不符,请改用调账", "merchant, amount or institution differ: adjust instead")
	}
	r.Institution, r.SettlementDate, r.State, r.Reason, r.NextMS, r.UpdatedMS = c.Institution, c.Date, pos.Paid, "", 0, nowMS
	r.Detail = "completed by remedy " + c.Remedy
	p, known, err := t.pos(ctx, r)
	if err != nil {
		return false, err
	}
	if !known {
		return false, fmt.Errorf("payment %s: amount and merchant are not known", r.ID)
	}
	if _, err := ledger.Post(ctx, t, ledger.Paid(p.merchant, p.Payment)); err != nil {
		return false, err
	}
	if r, err = t.tellEnd(ctx, r); err != nil {
		return false, err
	}
	return true, t.PutPayment(ctx, r)
}

// missing makes the row of a payment that only its till's journal knows.
func (t *turn) missing(ctx context.Context, c Completion) (Record, bool, error) {
	terminal, found, err := t.TerminalOf(ctx, c.Payment)
	if err != nil || !found {
		return Record{}, false, err
	}
	till, found, err := t.Journaled(ctx, terminal, c.Payment)
	if err != nil || !found {
		return Record{}, false, err
	}
	is, _, err := t.Terminal(ctx, terminal)
	return Record{
		ID: c.Payment, Terminal: terminal, Merchant: is.Merchant, Mode: till.Mode, Amount: till.Amount, State: till.State,
		Institution: till.Institution, ExpiresMS: till.ExpiresMS, CreatedMS: t.now,
	}, true, err
}

func illegal(r Record, zh, en string) error {
	e := pos.FieldError(pos.ErrIllegalMove, "payment", errors.New(en))
	e.Hint = pos.Text{ZH: "支付" + r.State.Text().ZH + ":" + zh, EN: "the payment is " + r.State.Text().EN + ": " + en}
	return e
}
