package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"dcpos/pos"
)

// RefundRequest asks to give money of a payment back.
type RefundRequest struct {
	Caller   string
	Key      string // the caller's idempotency key for refunds, unique per caller for ever
	Payment  pos.PaymentID
	Amount   pos.Money
	Operator string // as Request.Operator
}

// Refund journals a refund and asks the centre. Online it comes back refunded,
// declined or unknown; offline it is an intent that pays and promises nothing, and is
// asked when the centre is back. The same key with the same body gives the same
// refund. Errors: ErrNotRefundable, ErrRefundTooMuch, ErrForbidden, ErrKeyConflict,
// ErrNotFound, ErrNoOperator, ErrStorage.
func (t *Till) Refund(ctx context.Context, r RefundRequest) (pos.Payment, pos.Refund, error) {
	var none pos.Refund
	if r.Key == "" || len(r.Key) > pos.MaxKey || r.Caller == "" || len(r.Caller) > maxName || len(r.Operator) > maxName ||
		!utf8.ValidString(r.Caller+r.Key+r.Operator) {
		return pos.Payment{}, none, pos.FieldError(pos.ErrBadRequest, "key", fmt.Errorf("want 1 to %d characters", pos.MaxKey))
	}
	if err := t.running(ctx); err != nil {
		return pos.Payment{}, none, err
	}
	hash, err := bodyHash(t.c.Suite, "refund", r.Payment.String(), r.Amount)
	if err != nil {
		return pos.Payment{}, none, err
	}
	id, err := t.newID()
	if err != nil {
		return pos.Payment{}, none, err
	}
	if err := t.keepRefund(ctx, openRefund{Payment: r.Payment, Refund: id}); err != nil {
		return pos.Payment{}, none, err
	}
	entries, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, found, ok, err := v.RefundByKey(r.Caller, r.Key)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if ok {
			known, _ := p.Refund(found)
			if known.BodyHash != hash {
				return nil, pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("key names refund %s", found))
			}
			id = found
			return nil, nil
		}
		return t.refundDrafts(v, r, id, hash)
	})
	if err != nil {
		return pos.Payment{}, none, err
	}
	if len(entries) > 0 && t.c.Host.Connected() {
		if err := t.do(ctx, func(ctx context.Context) { t.stepRefund(ctx, r.Payment, id) }); err != nil {
			return pos.Payment{}, none, err
		}
	}
	t.watchRefund(r.Payment, id)
	p, err := t.Payment(context.WithoutCancel(ctx), r.Payment)
	refund, _ := p.Refund(id)
	return p, refund, err
}

func (t *Till) refundDrafts(v pos.JournalView, r RefundRequest, id pos.RefundID, hash string) ([]pos.Draft, error) {
	p, err := find(v, r.Payment)
	if err != nil {
		return nil, err
	}
	who, err := t.who(r.Caller, r.Operator)
	if err != nil {
		return nil, err
	}
	if err := t.mayRefund(); err != nil {
		return nil, err
	}
	if err := p.CheckRefund(r.Amount); err != nil {
		return nil, err
	}
	// An intent first, always: only stepRefund asks, so that there is one way to ask.
	return []pos.Draft{t.draft(pos.KindRefundMoved, p.ID, who, pos.RefundMoved{
		RefundID: id, To: pos.RefundIntent, Amount: r.Amount, Caller: r.Caller, Key: r.Key, BodyHash: hash,
	})}, nil
}

// openRefund is a refund that may not be final. The list of them is written before
// the journal is, so that it never lacks one; those that are final or never came to
// be are taken out at the next start.
type openRefund struct {
	Payment pos.PaymentID `json:"payment"`
	Refund  pos.RefundID  `json:"refund"`
}

func (t *Till) openRefunds(ctx context.Context) ([]openRefund, error) {
	s, ok, err := t.c.Journal.Meta(ctx, metaRefunds)
	if err != nil || !ok {
		return nil, err
	}
	var list []openRefund
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return nil, fmt.Errorf("read open refunds: %w", err)
	}
	return list, nil
}

func (t *Till) keepRefunds(ctx context.Context, list []openRefund) error {
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("keep open refunds: %w", err)
	}
	return t.c.Journal.SetMeta(ctx, metaRefunds, string(b))
}

func (t *Till) keepRefund(ctx context.Context, r openRefund) error {
	t.refunds.Lock()
	defer t.refunds.Unlock()
	list, err := t.openRefunds(ctx)
	if err != nil {
		return err
	}
	return t.keepRefunds(ctx, append(list, r))
}

func (t *Till) forgetRefund(ctx context.Context, id pos.RefundID) {
	t.refunds.Lock()
	defer t.refunds.Unlock()
	list, err := t.openRefunds(ctx)
	if err == nil {
		list = slices.DeleteFunc(list, func(o openRefund) bool { return o.Refund == id })
		err = t.keepRefunds(ctx, list)
	}
	if err != nil {
		t.log.WarnContext(ctx, "decided refund stays on the list of open ones", "refund", id.String(), "err", err)
	}
}

func (t *Till) resumeRefunds(ctx context.Context) error {
	t.refunds.Lock()
	defer t.refunds.Unlock()
	list, err := t.openRefunds(ctx)
	if err != nil {
		return err
	}
	var open []openRefund
	for _, o := range list {
		p, err := t.Payment(ctx, o.Payment)
		if err != nil && !errors.Is(err, &pos.Error{Code: pos.ErrNotFound}) {
			return err
		}
		if r, ok := p.Refund(o.Refund); ok && !r.State.Final() {
			open = append(open, o)
			t.watchRefund(o.Payment, o.Refund)
		}
	}
	if len(open) == len(list) {
		return nil
	}
	return t.keepRefunds(ctx, open)
}

func (t *Till) watchRefund(payment pos.PaymentID, id pos.RefundID) {
	t.once(id, func(ctx context.Context) {
		began := time.Now()
		for {
			p, err := t.Payment(ctx, payment)
			if r, ok := p.Refund(id); err == nil && (!ok || r.State.Final()) {
				t.forgetRefund(ctx, id)
				return
			}
			back := t.reconnected()
			timer := time.NewTimer(t.pace(time.Since(began)))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-back:
				timer.Stop()
				began = time.Now()
			case <-timer.C:
			}
			t.stepRefund(ctx, payment, id)
		}
	})
}

// stepRefund takes a refund one step on: an intent is asked, what was asked is queried.
func (t *Till) stepRefund(ctx context.Context, payment pos.PaymentID, id pos.RefundID) {
	if !t.c.Host.Connected() {
		return
	}
	var r pos.Refund
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, payment)
		if err != nil {
			return nil, err
		}
		r, _ = p.Refund(id)
		if r.State != pos.RefundIntent {
			return nil, nil
		}
		return []pos.Draft{t.refunded(p, r, pos.RefundAsking, pos.Answer{})}, nil
	})
	if err != nil {
		t.log.ErrorContext(ctx, "refund is not journaled", "payment", payment.String(), "err", err)
		return
	}
	c, cancel := context.WithTimeout(ctx, t.timing.Answer)
	defer cancel()
	var a pos.Answer
	first := r.State == pos.RefundIntent
	switch {
	case first:
		now := t.clock.Now()
		a, err = t.c.Host.Refund(c, pos.AskRefund{
			Env: t.c.Env, Refund: id, Payment: payment, Amount: r.Amount, Operator: r.Operator,
			ExpiresMS: t.clock.Centre().Add(t.timing.Expiry).UnixMilli(), SentMS: now.UnixMilli(),
		})
	case r.State == pos.RefundAsking || r.State == pos.RefundUnknown:
		a, err = t.c.Host.Query(c, pos.AskQuery{Env: t.c.Env, Payment: payment, Refund: id})
	default:
		return
	}
	if err == nil && a.Refund != id {
		err = errOtherPayment
	}
	if err := t.concludeRefund(ctx, payment, id, a, err, first); err != nil {
		t.log.ErrorContext(ctx, "answer is not journaled, will be asked again", "payment", payment.String(), "err", err)
	}
}

func (t *Till) concludeRefund(ctx context.Context, payment pos.PaymentID, id pos.RefundID, a pos.Answer, asked error, first bool) error {
	ctx, cancel := saving(ctx)
	defer cancel()
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, payment)
		if err != nil {
			return nil, err
		}
		r, ok := p.Refund(id)
		if !ok {
			return nil, nil
		}
		to := refundMeaning(r.State, a, asked, first)
		if to == "" || pos.CheckRefundMove(r.State, to) != nil {
			return nil, nil //nolint:nilerr // somebody else has decided it meanwhile
		}
		return []pos.Draft{t.refunded(p, r, to, a)}, nil
	})
	return err
}

// refundMeaning is the state that an outcome stands for; empty when it changes nothing.
func refundMeaning(from pos.RefundState, a pos.Answer, asked error, first bool) pos.RefundState {
	if asked != nil {
		switch {
		case first && errors.Is(asked, &pos.Error{Code: pos.ErrNotSent}):
			return pos.RefundIntent
		case from == pos.RefundAsking:
			return pos.RefundUnknown
		}
		return ""
	}
	switch a.Outcome {
	case pos.OutcomeRefunded:
		return pos.RefundRefunded
	case pos.OutcomeDeclined:
		return pos.RefundDeclined
	case pos.OutcomeRejected:
		if first {
			return pos.RefundDeclined
		}
		return "" // the query was refused; that says nothing about the money
	case pos.OutcomeUnknown:
		return pos.RefundUnknown
	case pos.OutcomePending, pos.OutcomePaid:
		return ""
	}
	return ""
}

func (t *Till) refunded(p pos.Payment, r pos.Refund, to pos.RefundState, a pos.Answer) pos.Draft {
	who := r.Operator
	if r.State == pos.RefundUnknown {
		who = pos.OperatorSystem
	}
	m := pos.RefundMoved{
		RefundID: r.ID, From: r.State, To: to, Amount: r.Amount, Caller: r.Caller, Key: r.Key, BodyHash: r.BodyHash, Auto: r.Auto,
		Institution: a.Institution, RefundTxn: a.InstitutionTxn, Date: a.SettlementDate,
	}
	if to == pos.RefundRefunded {
		m.Envelope, m.Recalled = a.Envelope, a.Recalled
	}
	if to == pos.RefundDeclined {
		if m.Reason = a.Reason; m.Reason == "" {
			m.Reason = pos.ErrDeclinedGeneral
		}
	}
	return t.draft(pos.KindRefundMoved, p.ID, who, m)
}
