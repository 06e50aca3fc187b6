package payment

import (
	"context"
	"errors"
	"fmt"

	"dcpos/pos"
)

// BreakRefund gives back what an institution took and our books do not have: the remedy of a
// break that reconciliation found. Source, a suspense account, bears it.
type BreakRefund struct {
	ID       pos.RefundID // names it for ever
	Payment  pos.PaymentID
	Amount   pos.Money
	Taken    pos.Money // what the statement says was taken: all refunds together stay below it
	Source   string
	Operator string
}

// RefundBreak asks the institution for the refund once and says how it stands; Run follows it
// to its end. The same refund again gives its present state, with another content it is a
// conflict. The till is not told: it knows nothing of the money. pos.ErrNotFound when no
// payment of the centre has the id.
func (d *Desk) RefundBreak(ctx context.Context, b BreakRefund) (Refund, error) {
	if b.ID.IsZero() || b.Payment.IsZero() || b.Amount <= 0 || b.Amount > b.Taken || b.Source == "" {
		return Refund{}, pos.FieldError(pos.ErrBadRequest, "refund", fmt.Errorf("%s of %s from %q", b.Amount, b.Taken, b.Source))
	}
	release, ok := d.claim(b.ID, "")
	if ok {
		defer release()
	}
	ctx = context.WithoutCancel(ctx)
	r, p, fresh, err := d.reserveBreak(ctx, b)
	if err != nil || !fresh {
		return r, err
	}
	return d.hearRefund(ctx, r.ID, d.askRefund(ctx, p, r))
}

func (d *Desk) reserveBreak(ctx context.Context, b BreakRefund) (r Refund, p Record, fresh bool, err error) {
	err = d.turn(ctx, func(t *turn) error {
		fresh = false
		var found bool
		var err error
		if r, found, err = t.Refund(ctx, b.ID); err != nil {
			return err
		}
		if found {
			if r.Payment != b.Payment || r.Amount != b.Amount || r.Source != b.Source {
				return pos.FieldError(pos.ErrKeyConflict, "refund", fmt.Errorf("refund %s was asked with another content", r.ID))
			}
			return nil
		}
		if p, found, err = t.Payment(ctx, b.Payment); err != nil {
			return err
		}
		if !found {
			return pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s is not known here", b.Payment))
		}
		if p.Institution == "" {
			return pos.NewError(pos.ErrNotRefundable, errors.New("it is not known which institution took it"))
		}
		done, err := reserved(ctx, t, p.ID)
		if err != nil {
			return err
		}
		if b.Amount > b.Taken-done {
			return pos.FieldError(pos.ErrRefundTooMuch, "amount", fmt.Errorf("%s of %s is refunded already, asked %s", done, b.Taken, b.Amount))
		}
		r = Refund{
			ID: b.ID, Payment: p.ID, Terminal: p.Terminal, Merchant: p.Merchant, Amount: b.Amount, State: pos.RefundAsking,
			Authorized: true, Told: true, Source: b.Source, Operator: b.Operator, Step: 1, CreatedMS: t.now, UpdatedMS: t.now,
			NextMS: t.now + d.patience(p.Institution),
		}
		fresh = true
		return t.PutRefund(ctx, r)
	})
	return r, p, fresh, err
}
