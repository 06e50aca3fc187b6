package payment

import (
	"context"
	"errors"
	"fmt"

	"dcpos/central/institution"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// A payment that a till stored without a network is known here from its journal, or from the
// till's question, whichever comes first. The row is stored while nobody is being asked; the
// code is the till's, which asks again with each question. A question that provably never
// arrived makes the row stored again, until the validity is over: then the centre alone ends
// it, once every institution that could know has said that it never came.

// forwardable refuses a question for a stored payment that no institution has allowed: the
// code must be of an instrument that its description marks, and no validity may end later
// than one that begins now.
func (d *Desk) forwardable(m institution.Member, ask pos.AskPay) error {
	if ask.UntilMS == 0 {
		return nil
	}
	c, err := dcep.ParseForward(ask.Code)
	if err != nil {
		return err
	}
	i, ok := m.Instrument(c.Instrument)
	switch now := d.nowMS(); {
	case !ok:
		return pos.FieldError(pos.ErrForwardUnknown, "code", fmt.Errorf("%s of %s is not forwardable", c.Instrument, m.Code))
	case ask.UntilMS > now+i.Validity.Milliseconds():
		return pos.FieldError(pos.ErrForwardUnknown, "until_ms", fmt.Errorf("%d ms ahead, %s of %s is valid for %s", ask.UntilMS-now, c.Instrument, m.Code, i.Validity))
	case ask.ExpiresMS > ask.UntilMS:
		return pos.FieldError(pos.ErrExpired, "expires_ms", errors.New("after the end of the validity"))
	}
	return nil
}

// mayGoOn reports that a question takes up a row that waits for it.
func mayGoOn(have, asked Record) bool { return have.State == pos.Stored && asked.UntilMS > 0 }

// agrees refuses a question that the till's journal, as far as it is known, contradicts.
func agrees(told pos.Payment, rec Record) error {
	asks := told.State == pos.Created || told.State == pos.Asking
	if rec.UntilMS > 0 {
		asks = told.State == pos.Created || told.State == pos.Stored && told.ExpiresMS == rec.UntilMS
	}
	if !asks {
		return pos.NewError(pos.ErrExpired, fmt.Errorf("the till's journal says %s until %d already", told.State, told.ExpiresMS))
	}
	if told.Amount != rec.Amount {
		return pos.FieldError(pos.ErrKeyConflict, "amount", errors.New("the till's journal says another amount"))
	}
	return nil
}

// store makes the row wait for the till's next question, or for the end of the validity.
func (d *Desk) store(r Record) Record {
	r.State, r.ExpiresMS, r.Step = pos.Stored, r.UntilMS, 0
	r.NextMS = r.UntilMS + d.cfg.Margin.Milliseconds() + 1
	return r
}

// heedStored takes up a payment that a till stored, and tells its end where that is known.
func (d *Desk) heedStored(ctx context.Context, t *turn, e pos.Entry, m *pos.PaymentMoved) error {
	r, found, err := t.Payment(ctx, e.Payment)
	if err != nil {
		return err
	}
	if found {
		after, err := t.tellEnd(ctx, r)
		if err != nil || after.Told == r.Told {
			return err
		}
		return t.PutPayment(ctx, after)
	}
	if r, err = d.orphan(ctx, t, e.Terminal, e.Payment, pos.Stored); err != nil {
		return err
	}
	r.UntilMS = m.ExpiresMS
	return t.PutPayment(ctx, d.store(r))
}

// judgeStored hears, when the validity is over, what became of a payment for which nobody
// came to ask.
func (d *Desk) judgeStored(ctx context.Context, t *turn, r Record, h heard, w word) (Record, error) {
	switch w {
	case yes, no:
		return d.judgeAsked(ctx, t, r, h, w)
	case never:
		r.State, r.NextMS = pos.Declined, 0
		r.Reason, r.Detail = pos.ErrExpired, "nobody asked while it was valid"
		return t.tellEnd(ctx, r)
	case silence, pending:
	}
	r.NextMS = max(r.NextMS, t.now+backoff(r.Step))
	r.Step++
	return r, nil
}

// retry reports that a question which took no money may be asked once more by the till that
// has the code.
func (h heard) retry(r Record, nowMS int64) bool {
	return r.UntilMS > nowMS && (h.err == nil || institution.ClassOf(h.err) == institution.NotSent)
}
