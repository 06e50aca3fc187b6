package payment

import (
	"context"
	"errors"
	"fmt"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Refund authorizes a refund and asks the institution once. Its id is its key: a
// repeat gives the present state, another content is a conflict. The sum of refunds
// that are done or may be done never exceeds the payment.
func (d *Desk) Refund(ctx context.Context, terminal string, ask pos.AskRefund) pos.Answer {
	return d.observed("refund", func() pos.Answer { return d.takeRefund(ctx, terminal, ask) })
}

func (d *Desk) takeRefund(ctx context.Context, terminal string, ask pos.AskRefund) pos.Answer {
	if err := d.checkRefund(ask); err != nil {
		return d.rejected(ctx, ask.Payment, ask.Refund, err)
	}
	release, ok := d.claim(ask.Refund, "")
	if ok {
		defer release()
	}
	ctx = context.WithoutCancel(ctx)
	r, p, fresh, err := d.reserve(ctx, terminal, ask)
	if err != nil {
		if code := pos.AsError(err).Code; code == pos.ErrInternal || code == pos.ErrStorage {
			return d.silent(ctx, ask.Payment, ask.Refund, err) // it may be written all the same, and Run asks for it then
		}
		return d.rejected(ctx, ask.Payment, ask.Refund, err)
	}
	if !fresh {
		return r.answer(p.Institution, d.nowMS())
	}
	after, err := d.hearRefund(ctx, r.ID, d.askRefund(ctx, p, r))
	if err != nil {
		return d.silent(ctx, ask.Payment, ask.Refund, err)
	}
	return after.answer(p.Institution, d.nowMS())
}

func (d *Desk) checkRefund(ask pos.AskRefund) error {
	switch {
	case ask.Env != d.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("question is %q, this centre is %s", ask.Env, d.cfg.Env))
	case ask.Refund.IsZero() || ask.Payment.IsZero():
		return pos.FieldError(pos.ErrBadRequest, "refund", errors.New("want the ids of refund and payment"))
	case ask.Amount <= 0 || ask.Amount > pos.MaxAmount:
		return pos.FieldError(pos.ErrBadRequest, "amount", fmt.Errorf("%d fen: want 1 to %d", ask.Amount, pos.MaxAmount))
	}
	return nil
}

// reserve writes the refund down against its payment, or finds it.
func (d *Desk) reserve(ctx context.Context, terminal string, ask pos.AskRefund) (r Refund, p Record, fresh bool, err error) {
	err = d.shared(ctx, func(t *turn) error {
		fresh = false
		var found bool
		var err error
		if p, _, err = t.Payment(ctx, ask.Payment); err != nil {
			return err
		}
		if r, found, err = t.Refund(ctx, ask.Refund); err != nil {
			return err
		}
		if found {
			if r.Payment != ask.Payment || r.Terminal != terminal || r.Amount != ask.Amount {
				return pos.FieldError(pos.ErrKeyConflict, "refund", fmt.Errorf("refund %s was asked with another content", r.ID))
			}
			return nil
		}
		if err := d.mayRefund(ctx, t, terminal, p, ask); err != nil {
			return err
		}
		r = Refund{
			ID: ask.Refund, Payment: p.ID, Terminal: terminal, Merchant: p.Merchant, Amount: ask.Amount,
			State: pos.RefundAsking, Authorized: true, Operator: ask.Operator, Step: 1, CreatedMS: t.now, UpdatedMS: t.now,
			NextMS: t.now + d.patience(p.Institution),
		}
		fresh = true
		return t.PutRefund(ctx, r)
	})
	return r, p, fresh, err
}

func (d *Desk) patience(code string) int64 {
	m, _ := d.cfg.Institutions.Member(code)
	return (m.Timeouts.Ask.Duration + 2*grace).Milliseconds()
}

func (d *Desk) mayRefund(ctx context.Context, t *turn, terminal string, p Record, ask pos.AskRefund) error {
	if ask.ExpiresMS <= t.now {
		return pos.FieldError(pos.ErrExpired, "expires_ms", fmt.Errorf("expired %d ms ago", t.now-ask.ExpiresMS))
	}
	if p.ID.IsZero() {
		return pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s", ask.Payment))
	}
	if _, err := d.mayAsk(ctx, t, terminal, p.Merchant); err != nil {
		return err
	}
	if !p.refundable() {
		return pos.NewError(pos.ErrNotRefundable, fmt.Errorf("payment is %s", p.State))
	}
	reserved, err := reserved(ctx, t, p.ID)
	if err != nil {
		return err
	}
	if ask.Amount > p.Amount-reserved {
		return pos.FieldError(pos.ErrRefundTooMuch, "amount",
			fmt.Errorf("%s of %s can be refunded, asked %s", p.Amount-reserved, p.Amount, ask.Amount))
	}
	return nil
}

// reserved is the sum of refunds that are done or may be done.
func reserved(ctx context.Context, t *turn, id pos.PaymentID) (pos.Money, error) {
	refunds, err := t.RefundsOf(ctx, id)
	if err != nil {
		return 0, err
	}
	var sum pos.Money
	for _, r := range refunds {
		if r.State == pos.RefundDeclined {
			continue
		}
		if sum, err = sum.Add(r.Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// askRefund asks the institution to refund; the same refund again is the same refund.
func (d *Desk) askRefund(ctx context.Context, p Record, r Refund) heard {
	h := heard{asked: true, institution: p.Institution}
	m, ok := d.cfg.Institutions.Member(p.Institution)
	if !ok {
		h.err = fmt.Errorf("institution %q is not described", p.Institution)
		return h
	}
	h.Answer, h.err = m.Adapter.Refund(ctx, institution.RefundRequest{ID: r.ID, Original: p.ID, Amount: r.Amount})
	return h
}

// hearRefund applies an answer about a refund. What was final before stays as it is.
func (d *Desk) hearRefund(ctx context.Context, id pos.RefundID, h heard) (Refund, error) {
	var out Refund
	err := d.shared(ctx, func(t *turn) error {
		r, found, err := t.Refund(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("refund %s has no row", id)
		}
		if r.NextMS == 0 {
			out = r
			return nil
		}
		if out, err = d.judgeRefund(ctx, t, r, h); err != nil {
			return err
		}
		out.UpdatedMS = t.now
		return t.PutRefund(ctx, out)
	})
	return out, err
}

func (d *Desk) judgeRefund(ctx context.Context, t *turn, r Refund, h heard) (Refund, error) {
	r.Detail = h.Reason
	if h.err != nil {
		r.Detail = h.err.Error()
	}
	switch {
	case h.err == nil && h.Status == institution.Success:
		return d.refunded(ctx, t, r, h)
	case h.err == nil && h.Status == institution.Failed:
		r.Reason = institution.ReasonCode(h.Reason)
		return d.refundDeclined(ctx, t, r)
	case h.err == nil && h.Status == institution.NotFound && !r.Authorized:
		r.Reason = pos.ErrNotSent
		return d.refundDeclined(ctx, t, r)
	case h.err != nil && h.asked && r.firstQuestion() && institution.ClassOf(h.err) != institution.MayHaveArrived:
		_, r.Detail = h.reason(never)
		r.Reason = pos.ErrInstitution
		return d.refundDeclined(ctx, t, r)
	case h.err != nil && h.asked:
		r.State = pos.RefundUnknown
	}
	r.NextMS = t.now + backoff(max(0, r.Step-1))
	r.Step++
	return r, nil
}

func (d *Desk) refunded(ctx context.Context, t *turn, r Refund, h heard) (Refund, error) {
	row, found, err := t.Payment(ctx, r.Payment)
	if err != nil {
		return r, err
	}
	if !found {
		return r, fmt.Errorf("refund %s: payment %s has no row", r.ID, r.Payment)
	}
	p, _, err := t.pos(ctx, row)
	if err != nil {
		return r, err
	}
	r.State, r.Reason, r.NextMS, r.Txn, r.Date = pos.RefundRefunded, "", 0, h.Txn, h.SettlementDate
	booking := ledger.Refunded(p.merchant, p.Payment, r.ID, r.Amount, r.Date)
	if r.Source != "" {
		booking = ledger.RefundedFrom(r.Source, row.Institution, r.ID, r.Amount, booking.Date)
	}
	if err := d.book(ctx, t, booking); err != nil {
		return r, err
	}
	if r, err = d.giveBack(ctx, t, row, r, h); err != nil {
		return r, err
	}
	return d.tellRefund(ctx, t, r)
}

func (d *Desk) refundDeclined(ctx context.Context, t *turn, r Refund) (Refund, error) {
	r.State, r.NextMS = pos.RefundDeclined, 0
	if r.Auto { // the money stays in suspense, with its age, until a person decides
		d.cfg.Log.ErrorContext(ctx, "automatic refund declined", "payment", r.Payment.String(), "reason", string(r.Reason))
	}
	return d.tellRefund(ctx, t, r)
}

// tellRefund gives the verdict on a refund's end, once: of the centre's own unless the
// till has it already, of a till's when its journal says unknown.
func (d *Desk) tellRefund(ctx context.Context, t *turn, r Refund) (Refund, error) {
	if r.Told || !r.State.Final() {
		return r, nil
	}
	row, _, err := t.Payment(ctx, r.Payment)
	if err != nil {
		return r, err
	}
	till, _, err := t.Journaled(ctx, r.Terminal, r.Payment)
	if err != nil {
		return r, err
	}
	has, known := till.Refund(r.ID)
	from := pos.RefundUnknown
	if r.Auto {
		from = pos.RefundAsking
	}
	if (r.Auto && known && has.State.Final()) || (!r.Auto && (!known || has.State != pos.RefundUnknown)) {
		return r, nil
	}
	r.Told = true
	return r, t.tell(ctx, r.Terminal, r.verdict(from, row.Institution))
}

// verdict says how the refund moved. The first one of the centre's own refunds is
// from "" to asking, so that the till's journal begins it.
func (r Refund) verdict(from pos.RefundState, code string) pos.Verdict {
	m := pos.RefundMoved{
		RefundID: r.ID, From: from, To: r.State, Amount: r.Amount, Reason: r.Reason, Auto: r.Auto,
		Institution: code, RefundTxn: r.Txn, Date: r.Date, Envelope: r.Envelope, Recalled: r.Recalled,
	}
	if r.Auto {
		m.Caller, m.Key, m.BodyHash = LateCaller, LateKey(r.Payment), LateKey(r.Payment)
	}
	return pos.Verdict{Payment: r.Payment, Refund: &m}
}
