package payment

import (
	"context"
	"fmt"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// heard is what came back from an institution.
type heard struct {
	institution.Answer
	err         error
	asked       bool   // it answers the question itself, not a query
	institution string // who was asked; empty when all were and none knew it
}

// word is what an answer proves.
type word int

const (
	silence word = iota // nothing: ask again
	pending             // it is there and not decided
	yes                 // the money moved
	no                  // it did not, finally
	never               // the question never arrived, or was not accepted, and cannot arrive any more
)

// word judges an answer about a payment. "Not found" is believed only after the
// moment from which the institution starts nothing of it.
func (h heard) word(r Record, nowMS, marginMS int64) word {
	if h.err != nil {
		if h.asked && institution.ClassOf(h.err) != institution.MayHaveArrived {
			return never
		}
		return silence
	}
	switch h.Status {
	case institution.Success:
		return yes
	case institution.Failed:
		return no
	case institution.InProcess:
		return pending
	case institution.NotFound:
		if !h.asked && nowMS > r.deadline()+marginMS {
			return never
		}
		return silence
	}
	return silence
}

// reason is the code and the detail of a payment that came to nothing.
func (h heard) reason(w word) (pos.Code, string) {
	switch {
	case w == no:
		return institution.ReasonCode(h.Reason), h.Reason
	case h.err == nil:
		return pos.ErrNotSent, "never arrived"
	case institution.ClassOf(h.err) == institution.NotSent:
		return pos.ErrInstitution, h.err.Error()
	}
	return pos.ErrDeclinedGeneral, h.err.Error()
}

// hear applies an answer. What was final before stays as it is.
func (d *Desk) hear(ctx context.Context, id pos.PaymentID, h heard) (Record, error) {
	var out Record
	err := d.shared(ctx, func(t *turn) error {
		r, found, err := t.Payment(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("payment %s has no row", id)
		}
		if r.NextMS == 0 {
			out = r
			return nil
		}
		if out, err = d.judge(ctx, t, r, h); err != nil {
			return err
		}
		out.UpdatedMS = t.now
		return t.PutPayment(ctx, out)
	})
	return out, err
}

func (d *Desk) judge(ctx context.Context, t *turn, r Record, h heard) (Record, error) {
	if r.Institution == "" && h.institution != "" {
		r.Institution = h.institution
	}
	w := h.word(r, t.now, d.cfg.Margin.Milliseconds())
	if h.err == nil {
		r.learn(h.Answer)
	} else {
		r.Detail = h.err.Error()
	}
	switch r.State {
	case pos.Asking, pos.Unknown:
		return d.judgeAsked(ctx, t, r, h, w)
	case pos.Abandoned:
		return d.judgeAbandoned(ctx, t, r, h, w)
	case pos.AcceptedEvidence:
		return d.judgeEvidence(ctx, t, r, h, w)
	case pos.Stored:
		return d.judgeStored(ctx, t, r, h, w)
	case pos.Created, pos.Paid, pos.Declined, pos.Cancelled, pos.Credited, pos.Refused, pos.Conflict:
		r.NextMS = 0 // nothing is asked about these
	}
	return r, nil
}

// learn keeps what an answer tells beside its status.
func (r *Record) learn(a institution.Answer) {
	r.Detail = a.Reason
	if a.Status == institution.Failed && a.SettlementDate != "" {
		r.SettlementDate = a.SettlementDate // statements name what failed, too
	}
	if a.Status == institution.Success {
		r.Txn, r.SettlementDate, r.Fee, r.Envelope = a.Txn, a.SettlementDate, a.Fee, a.Envelope
	}
	if a.Status == institution.Failed && a.SettlementDate != "" {
		r.SettlementDate = a.SettlementDate // its statement has a line for the failure too
	}
	if a.QR != "" && a.ValidUntilMS > 0 {
		r.QR, r.ValidUntilMS = a.QR, a.ValidUntilMS
	}
}

func (r *Record) again(nowMS int64) {
	r.NextMS = nowMS + backoff(r.Step)
	r.Step++
}

func (d *Desk) judgeAsked(ctx context.Context, t *turn, r Record, h heard, w word) (Record, error) {
	switch w {
	case yes:
		p, known, err := t.pos(ctx, r)
		if err != nil || !known {
			r.again(t.now) // paid, but the journal has not told yet how much: nothing can be booked
			return r, err
		}
		r.Amount, r.Merchant = p.Amount, p.merchant
		r.State, r.Reason, r.NextMS = pos.Paid, "", 0
		if err := d.book(ctx, t, ledger.Paid(p.merchant, p.Payment)); err != nil {
			return r, err
		}
		if err := d.envelopes(ctx, t, r, h); err != nil {
			return r, err
		}
		return t.tellEnd(ctx, r)
	case no, never:
		if w == never && h.retry(r, t.now) {
			return d.store(r), nil
		}
		r.State, r.NextMS = pos.Declined, 0
		r.Reason, r.Detail = h.reason(w)
		return t.tellEnd(ctx, r)
	case silence:
		if h.asked {
			r.State = pos.Unknown
		}
	case pending:
	}
	r.again(t.now)
	return r, nil
}

// tellEnd gives the verdict on the end of a payment whose till says unknown or stored, once.
func (t *turn) tellEnd(ctx context.Context, r Record) (Record, error) {
	if r.Told || (r.State != pos.Paid && r.State != pos.Declined) {
		return r, nil
	}
	till, found, err := t.Journaled(ctx, r.Terminal, r.ID)
	if err != nil || !found || till.State != pos.Unknown && till.State != pos.Stored {
		return r, err
	}
	r.Told = true
	return r, t.tell(ctx, r.Terminal, pos.Verdict{Payment: r.ID, Moved: &pos.PaymentMoved{
		From: till.State, To: r.State, Reason: r.Reason, Source: "centre", Institution: r.Institution,
		InstitutionTxn: r.Txn, SettlementDate: r.SettlementDate, Envelope: r.Envelope,
	}})
}

func (d *Desk) judgeAbandoned(ctx context.Context, t *turn, r Record, h heard, w word) (Record, error) {
	switch w {
	case yes:
		return d.late(ctx, t, r, h)
	case no, never:
		r.NextMS = 0
		r.Reason, r.Detail = h.reason(w)
		return r, nil
	case silence, pending:
	}
	r.again(t.now)
	return r, nil
}

// late books money that came for an abandoned payment, tells the till, and starts
// its refund.
func (d *Desk) late(ctx context.Context, t *turn, r Record, h heard) (Record, error) {
	p, known, err := t.pos(ctx, r)
	if err != nil || !known {
		r.again(t.now)
		return r, err
	}
	r.Amount, r.Merchant = p.Amount, p.merchant
	r.LatePaid, r.NextMS, r.Reason = true, 0, ""
	p.LatePaid = true
	if err := d.book(ctx, t, ledger.Late(p.Payment)); err != nil {
		return r, err
	}
	if err := d.envelopes(ctx, t, r, h); err != nil {
		return r, err
	}
	refund := Refund{
		ID: LateRefund(r.ID), Payment: r.ID, Terminal: r.Terminal, Merchant: r.Merchant, Amount: r.Amount,
		State: pos.RefundAsking, Auto: true, Authorized: true, Operator: pos.OperatorSystem,
		NextMS: t.now, CreatedMS: t.now, UpdatedMS: t.now,
	}
	if err := t.PutRefund(ctx, refund); err != nil {
		return r, err
	}
	if p.told { // before this database was restored
		return r, nil
	}
	if err := t.tell(ctx, r.Terminal, pos.Verdict{Payment: r.ID, Late: &pos.LatePaid{
		Institution: r.Institution, InstitutionTxn: r.Txn, SettlementDate: r.SettlementDate, RefundID: refund.ID,
	}}); err != nil {
		return r, err
	}
	return r, t.tell(ctx, r.Terminal, refund.verdict("", r.Institution))
}

func (d *Desk) judgeEvidence(ctx context.Context, t *turn, r Record, h heard, w word) (Record, error) {
	if w != yes && w != no {
		r.again(t.now) // the wallet signed: only the institution's word ends this
		return r, nil
	}
	p, known, err := t.pos(ctx, r)
	if err != nil || !known {
		r.again(t.now)
		return r, err
	}
	r.NextMS = 0
	if w == yes {
		r.State = pos.Credited
		if err = d.book(ctx, t, ledger.Credited(p.merchant, p.transit, p.Payment)); err == nil {
			err = d.envelopes(ctx, t, r, h)
		}
	} else {
		r.State = pos.Refused
		booking := ledger.Refused(p.merchant, p.transit, p.Payment)
		if h.Reason == "double_spend" {
			r.State, booking = pos.Conflict, ledger.Conflicted(p.merchant, p.transit, p.Payment)
		}
		r.Reason, r.Detail = h.reason(w)
		err = d.book(ctx, t, booking)
	}
	if err == nil {
		err = d.ended(ctx, t, r)
	}
	if err != nil || p.state != pos.AcceptedEvidence {
		return r, err
	}
	return r, t.tell(ctx, r.Terminal, pos.Verdict{Payment: r.ID, Moved: &pos.PaymentMoved{
		From: pos.AcceptedEvidence, To: r.State, Reason: r.Reason, Source: "centre", Institution: r.Institution,
		InstitutionTxn: r.Txn, SettlementDate: r.SettlementDate, Envelope: r.Envelope,
	}})
}

// booked is a payment as the ledger's rules want it.
type booked struct {
	pos.Payment
	merchant string
	transit  string    // the institution under which evidence was accepted
	state    pos.State // what the till says
	told     bool      // the till knows that it was paid late
}

// pos joins the row with the till's journal. known is false while neither tells the
// amount.
func (t *turn) pos(ctx context.Context, r Record) (p booked, known bool, err error) {
	till, found, err := t.Journaled(ctx, r.Terminal, r.ID)
	if err != nil {
		return p, false, err
	}
	p = booked{Payment: till, merchant: r.Merchant, transit: till.Institution, state: till.State, told: till.LatePaid}
	if p.merchant == "" {
		is, _, err := t.Terminal(ctx, r.Terminal)
		if err != nil {
			return p, false, err
		}
		p.merchant = is.Merchant
	}
	p.ID, p.Terminal, p.Institution, p.SettlementDate, p.LatePaid = r.ID, r.Terminal, r.Institution, r.SettlementDate, r.LatePaid
	if r.Amount > 0 {
		p.Amount = r.Amount
	}
	if !found {
		p.BusinessDate = r.SettlementDate
	}
	return p, p.Amount > 0 && p.merchant != "", nil
}
