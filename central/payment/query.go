package payment

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// fresh is how young an answer may be to be given again instead of asking once more.
const fresh = 300 // milliseconds

// Query tells what became of a payment, or of a refund when one is named. What is not
// final is asked about now.
func (d *Desk) Query(ctx context.Context, terminal string, ask pos.AskQuery) pos.Answer {
	return d.observed("query", func() pos.Answer { return d.takeQuery(ctx, terminal, ask) })
}

func (d *Desk) takeQuery(ctx context.Context, terminal string, ask pos.AskQuery) pos.Answer {
	if ask.Env != d.cfg.Env {
		return d.rejected(ctx, ask.Payment, ask.Refund,
			pos.NewError(pos.ErrEnvironment, fmt.Errorf("question is %q, this centre is %s", ask.Env, d.cfg.Env)))
	}
	if !ask.Refund.IsZero() {
		return d.queryRefund(ctx, terminal, ask)
	}
	r, err := d.row(ctx, terminal, ask.Payment, pos.Unknown)
	if err != nil {
		return d.unanswered(ctx, ask, err)
	}
	if r.NextMS == 0 || d.nowMS()-r.UpdatedMS < fresh && r.Step > 0 {
		return r.answer(d.nowMS())
	}
	release, ok := d.claim(r.ID, r.Institution)
	if !ok { // somebody is asking at this moment
		return r.answer(d.nowMS())
	}
	defer release()
	after, err := d.step(ctx, r)
	if err != nil {
		return d.silent(ctx, ask.Payment, ask.Refund, err)
	}
	return after.answer(d.nowMS())
}

// unanswered tells apart what a till must not ask and what could not be looked up.
func (d *Desk) unanswered(ctx context.Context, ask pos.AskQuery, err error) pos.Answer {
	if foreign(err) {
		return d.rejected(ctx, ask.Payment, ask.Refund, err)
	}
	return d.silent(ctx, ask.Payment, ask.Refund, err)
}

// row finds the payment, or makes a row in the state so that a belated question
// finds it taken and every institution is asked.
func (d *Desk) row(ctx context.Context, terminal string, id pos.PaymentID, state pos.State) (Record, error) {
	r, found, err := d.cfg.Store.FindPayment(ctx, id)
	if err != nil {
		return r, err
	}
	if !found {
		err = d.turn(ctx, func(t *turn) error {
			var err error
			if r, found, err = t.Payment(ctx, id); err != nil || found {
				return err
			}
			r, err = d.orphan(ctx, t, terminal, id, state)
			return err
		})
		if err != nil {
			return r, err
		}
	}
	if r.Terminal != terminal {
		return r, pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s is not of %s", id, terminal))
	}
	return r, nil
}

// orphan makes the row of a payment that this database never started.
func (d *Desk) orphan(ctx context.Context, t *turn, terminal string, id pos.PaymentID, state pos.State) (Record, error) {
	r, err := unasked(ctx, t, terminal, id, state)
	if err != nil {
		return Record{}, err
	}
	return r, t.PutPayment(ctx, r)
}

// unasked is what the journal tells of such a payment.
func unasked(ctx context.Context, t *turn, terminal string, id pos.PaymentID, state pos.State) (Record, error) {
	if id.IsZero() {
		return Record{}, pos.FieldError(pos.ErrBadRequest, "payment", errors.New("want an id"))
	}
	is, found, err := t.Terminal(ctx, terminal)
	if err != nil {
		return Record{}, err
	}
	if !found {
		return Record{}, pos.NewError(pos.ErrNotEnrolled, fmt.Errorf("terminal %s", terminal))
	}
	till, _, err := t.Journaled(ctx, terminal, id)
	if err != nil {
		return Record{}, err
	}
	return Record{
		ID: id, Terminal: terminal, Merchant: is.Merchant, Mode: till.Mode, Amount: till.Amount, State: state,
		ExpiresMS: till.ExpiresMS, NextMS: t.now, CreatedMS: t.now, UpdatedMS: t.now,
	}, nil
}

// step asks about a payment once and applies what is heard.
func (d *Desk) step(ctx context.Context, r Record) (Record, error) {
	h := heard{institution: r.Institution}
	m, ok := d.cfg.Institutions.Member(r.Institution)
	switch {
	case r.Institution == "" && r.State != pos.AcceptedEvidence:
		h = d.search(ctx, r.ID)
	case !ok:
		h.err = fmt.Errorf("institution %q is not described", r.Institution)
	case r.State == pos.AcceptedEvidence && r.Reason != "":
		return d.givenUp(ctx, r)
	case r.State == pos.AcceptedEvidence:
		h.asked = true
		h.Answer, h.err = m.Adapter.Evidence(ctx, institution.EvidenceRequest{ID: r.ID, Evidence: r.Evidence})
	default:
		h.Answer, h.err = m.Adapter.Payment(ctx, r.ID)
	}
	d.answered(r.ID)
	return d.hear(context.WithoutCancel(ctx), r.ID, h)
}

// search asks every institution about a payment of which nobody knows where it was
// asked. "Not found" needs the word of all.
func (d *Desk) search(ctx context.Context, id pos.PaymentID) heard {
	codes := d.cfg.Institutions.Codes()
	all := make([]heard, len(codes))
	var wait sync.WaitGroup
	for i, code := range codes {
		wait.Go(func() {
			m, _ := d.cfg.Institutions.Member(code)
			all[i].institution = code
			all[i].Answer, all[i].err = m.Adapter.Payment(ctx, id)
		})
	}
	wait.Wait()
	none := heard{Answer: institution.Answer{Status: institution.NotFound}}
	for _, h := range all {
		if h.err == nil && h.Status != institution.NotFound {
			return h
		}
		if h.err != nil {
			none.err = h.err
		}
	}
	return none
}

// Abandon tells that the till gave up. The payment is watched until its validity plus
// the margin; money that comes is refunded by itself. What was paid already counts as
// come late, because the till's journal says abandoned.
func (d *Desk) Abandon(ctx context.Context, terminal string, ask pos.AskAbandon) pos.Answer {
	return d.observed("abandon", func() pos.Answer { return d.takeAbandon(ctx, terminal, ask) })
}

func (d *Desk) takeAbandon(ctx context.Context, terminal string, ask pos.AskAbandon) pos.Answer {
	if ask.Env != d.cfg.Env {
		return d.rejected(ctx, ask.Payment, pos.RefundID{},
			pos.NewError(pos.ErrEnvironment, fmt.Errorf("question is %q, this centre is %s", ask.Env, d.cfg.Env)))
	}
	var r Record
	err := d.turn(ctx, func(t *turn) error {
		var err error
		r, err = d.giveUp(ctx, t, terminal, ask.Payment)
		return err
	})
	if err != nil {
		return d.unanswered(ctx, pos.AskQuery{Payment: ask.Payment}, err)
	}
	d.poke()
	return r.answer(d.nowMS())
}

// giveUp marks a payment as abandoned, in the transaction of whoever learned it.
func (d *Desk) giveUp(ctx context.Context, t *turn, terminal string, id pos.PaymentID) (Record, error) {
	r, found, err := t.Payment(ctx, id)
	if err != nil {
		return r, err
	}
	if !found {
		return d.orphan(ctx, t, terminal, id, pos.Abandoned)
	}
	if r.Terminal != terminal {
		return r, pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s is not of %s", id, terminal))
	}
	switch r.State {
	case pos.Asking, pos.Unknown:
		r.State, r.Step, r.NextMS, r.UpdatedMS = pos.Abandoned, 0, t.now, t.now
	case pos.Paid:
		if Online(terminal) {
			return r, nil // a web shop is answered "paid", and gives back by a refund of its own
		}
		if r, err = d.paidAbandoned(ctx, t, r); err != nil {
			return r, err
		}
	case pos.Created, pos.Declined, pos.Abandoned, pos.Cancelled,
		pos.AcceptedEvidence, pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
		return r, nil // nothing that could still come, or known before
	}
	return r, t.PutPayment(ctx, r)
}

// paidAbandoned turns a payment that was booked as paid into a late one: the till
// never learned of it. A payment that was refunded, or that the till's journal calls
// paid, stays as it is.
func (d *Desk) paidAbandoned(ctx context.Context, t *turn, r Record) (Record, error) {
	refunds, err := t.RefundsOf(ctx, r.ID)
	if err != nil || len(refunds) > 0 {
		return r, err
	}
	p, _, err := t.pos(ctx, r)
	if err != nil || p.state == pos.Paid {
		return r, err
	}
	undo := ledger.Paid(p.merchant, p.Payment)
	undo.Key = "unpaid:" + r.ID.String()
	for i := range undo.Postings {
		undo.Postings[i].Amount = -undo.Postings[i].Amount
	}
	if err := d.book(ctx, t, undo); err != nil {
		return r, err
	}
	r.State, r.UpdatedMS = pos.Abandoned, t.now
	return d.late(ctx, t, r, heard{}) // its envelopes were booked when it was paid
}

func (d *Desk) queryRefund(ctx context.Context, terminal string, ask pos.AskQuery) pos.Answer {
	r, found, err := d.cfg.Store.FindRefund(ctx, ask.Refund)
	if err == nil && !found {
		r, err = d.orphanRefundOf(ctx, terminal, ask)
	}
	if err == nil && (r.Terminal != terminal || r.Payment != ask.Payment) {
		err = pos.FieldError(pos.ErrNotFound, "refund", fmt.Errorf("refund %s is not of %s", ask.Refund, terminal))
	}
	if err != nil {
		return d.unanswered(ctx, ask, err)
	}
	p, _, err := d.cfg.Store.FindPayment(ctx, r.Payment)
	if err != nil {
		return d.silent(ctx, ask.Payment, ask.Refund, err)
	}
	if release, ok := d.claim(r.ID, p.Institution); ok {
		defer release()
		if r.NextMS > 0 {
			if r, err = d.stepRefund(ctx, r); err != nil {
				return d.silent(ctx, ask.Payment, ask.Refund, err)
			}
		}
	}
	return r.answer(p.Institution, d.nowMS())
}

func (d *Desk) orphanRefundOf(ctx context.Context, terminal string, ask pos.AskQuery) (r Refund, err error) {
	err = d.turn(ctx, func(t *turn) error {
		var found bool
		if r, found, err = t.Refund(ctx, ask.Refund); err != nil || found {
			return err
		}
		r, err = d.orphanRefund(ctx, t, terminal, ask.Payment, ask.Refund)
		return err
	})
	return r, err
}

// orphanRefund makes the row of a refund that this database never authorized: it is
// asked about, never asked for.
func (d *Desk) orphanRefund(ctx context.Context, t *turn, terminal string, id pos.PaymentID, refund pos.RefundID) (Refund, error) {
	till, _, err := t.Journaled(ctx, terminal, id)
	if err != nil {
		return Refund{}, err
	}
	has, known := till.Refund(refund)
	p, found, err := t.Payment(ctx, id)
	if err != nil {
		return Refund{}, err
	}
	if !found || !known || p.Terminal != terminal {
		return Refund{}, pos.FieldError(pos.ErrNotFound, "refund", fmt.Errorf("refund %s of payment %s", refund, id))
	}
	r := Refund{
		ID: refund, Payment: id, Terminal: terminal, Merchant: p.Merchant, Amount: has.Amount,
		State: pos.RefundUnknown, Operator: has.Operator, NextMS: t.now, CreatedMS: t.now, UpdatedMS: t.now, Step: 1,
	}
	return r, t.PutRefund(ctx, r)
}

// stepRefund asks about a refund once. One that never arrived is asked for again: it
// is authorized and reserved, and the same refund twice is one refund.
func (d *Desk) stepRefund(ctx context.Context, r Refund) (Refund, error) {
	p, found, err := d.cfg.Store.FindPayment(ctx, r.Payment)
	if err != nil {
		return r, err
	}
	m, ok := d.cfg.Institutions.Member(p.Institution)
	h := heard{institution: p.Institution}
	switch {
	case !found || !ok:
		h.err = fmt.Errorf("institution %q is not described", p.Institution)
	case r.Step == 0:
		h = d.askRefund(ctx, p, r)
	default:
		h.Answer, h.err = m.Adapter.RefundStatus(ctx, r.ID)
		if h.err == nil && h.Status == institution.NotFound && r.Authorized {
			h = d.askRefund(ctx, p, r)
		}
	}
	return d.hearRefund(context.WithoutCancel(ctx), r.ID, h)
}
