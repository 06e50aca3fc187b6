package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers/scanner/router"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// tryStore stores a forwardable code for which the centre cannot be asked now; false when it
// is to be asked. Nothing is stored that could not be charged: the code lies sealed beside
// its entry when that is written, and goes when the payment is final.
func (t *Till) tryStore(ctx context.Context, id pos.PaymentID, code string, hash []byte) (bool, error) {
	if router.Classify(code) != router.KindForward {
		return false, nil
	}
	c, err := dcep.ParseForward(code)
	if err != nil {
		return false, err
	}
	stored := false
	_, err = t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		stored = false
		p, err := find(v, id)
		if err != nil || p.State != pos.Created {
			stored = p.State == pos.Stored && string(p.CodeHash) == string(hash) // the same code again
			return nil, err
		}
		order, err := v.Order(p.Caller, p.BusinessDate, p.OrderID)
		if err != nil {
			return nil, fmt.Errorf("read order: %w", err)
		}
		order.Attempts = others(order.Attempts, id)
		notSent, err := lastNotSent(order)
		if t.c.Host.Connected() && !notSent {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		d, err := t.storing(v, p, c, code, hash)
		if err != nil {
			return nil, err
		}
		stored = true
		return t.owing(v, p, pos.Stored, []pos.Draft{d})
	})
	if err != nil || !stored {
		return false, err
	}
	t.watch(id)
	return true, nil
}

// storing is the entry that stores a code, with the code sealed beside it. Errors:
// ErrForwardOff (this till, or the policy, stores none), ErrForwardUnknown (the institution
// does not mark it), ErrCodeUsed, ErrLimit…, ErrClock, ErrPolicy….
func (t *Till) storing(v pos.JournalView, p pos.Payment, c dcep.ForwardCode, code string, hash []byte) (pos.Draft, error) {
	if p.Mode != pos.BScanC {
		return pos.Draft{}, pos.NewError(pos.ErrIllegalMove, fmt.Errorf("payment is a %s", p.Mode))
	}
	if err := unused(v, hash); err != nil {
		return pos.Draft{}, err
	}
	if !t.c.Forward {
		return pos.Draft{}, pos.NewError(pos.ErrForwardOff, errors.New("this class of till stores none"))
	}
	policy, at, err := t.policy()
	if err != nil {
		return pos.Draft{}, err
	}
	if policy.Limits.Forward.PerPayment == 0 {
		return pos.Draft{}, pos.NewError(pos.ErrForwardOff, fmt.Errorf("policy %d stores none", policy.Version))
	}
	instrument, err := t.instrument(c, policy.Limits, at)
	if err != nil {
		return pos.Draft{}, err
	}
	held, err := v.Forwarded()
	if err != nil {
		return pos.Draft{}, fmt.Errorf("read stored money: %w", err)
	}
	if err := policy.Limits.AdmitForward(p.Amount, held, at); err != nil {
		return pos.Draft{}, err
	}
	who, err := t.whoFor(p)
	if err != nil {
		return pos.Draft{}, err
	}
	sealed, err := dcep.SealCode(t.c.Suite, t.c.CodeKey, p.ID, code)
	if err != nil {
		return pos.Draft{}, err
	}
	d := t.moved(p, who, pos.PaymentMoved{
		From: p.State, To: pos.Stored, Source: sourceTill, Institution: c.Institution, Instrument: c.Instrument,
		ExpiresMS: at.EarliestMS + instrument.ValidMS, CodeHash: hash, Time: &at, Policy: policy.Version,
	})
	d.Secret = sealed
	return d, nil
}

// unused refuses a code that another payment has used, unless its question provably never left.
func unused(v pos.JournalView, hash []byte) error {
	id, seen, err := v.CodeSeen(hash)
	if err != nil || !seen {
		return err
	}
	other, err := find(v, id)
	if err != nil || other.State == pos.Declined && other.Reason == pos.ErrNotSent {
		return err
	}
	return pos.FieldError(pos.ErrCodeUsed, "code", fmt.Errorf("used by payment %s", id))
}

// instrument finds what the institution's description, in the centre's signed catalogue, says
// of a code. A catalogue that is too old says nothing.
func (t *Till) instrument(c dcep.ForwardCode, l pos.Limits, at pos.Interval) (pos.Instrument, error) {
	cat := t.c.catalogue()
	if age := at.Age(cat.IssuedMS); cat.IssuedMS == 0 || age > l.CatalogueMax {
		return pos.Instrument{}, pos.NewError(pos.ErrForwardUnknown, fmt.Errorf("the catalogue is %s old, at most %s", age.Round(time.Minute), l.CatalogueMax))
	}
	i, ok := cat.Forwardable(c.Institution, c.Instrument)
	if !ok {
		return i, pos.FieldError(pos.ErrForwardUnknown, "code", fmt.Errorf("%s of %s is not forwardable", c.Instrument, c.Institution))
	}
	return i, nil
}

var errNoCode = errors.New("the stored code is gone or not readable")

// forward asks for the money of a stored payment while its validity lasts, and afterwards
// what became of it: whether an earlier question was heard only the centre knows.
func (t *Till) forward(ctx context.Context, p pos.Payment) (pos.Answer, error) {
	now := t.clock.Centre()
	until := time.UnixMilli(p.ExpiresMS)
	query := pos.AskQuery{Env: t.c.Env, Payment: p.ID}
	if !now.Before(until) || t.clock.Interval().Over(p.ExpiresMS) {
		return t.c.Host.Query(ctx, query)
	}
	code, err := t.storedCode(ctx, p.ID)
	if err != nil { // a bit has flipped, or the key is another's: the centre ends it when its time is over
		t.log.ErrorContext(ctx, "stored code", "payment", p.ID.String(), "err", err)
		return pos.Answer{}, err
	}
	expires := now.Add(t.timing.Expiry)
	if expires.After(until) {
		expires = until
	}
	return t.c.Host.Pay(ctx, pos.AskPay{
		Env: t.c.Env, Payment: p.ID, Merchant: t.c.Merchant, Amount: p.Amount, Code: code,
		ExpiresMS: expires.UnixMilli(), SentMS: now.UnixMilli(), UntilMS: p.ExpiresMS,
	})
}

func (t *Till) storedCode(ctx context.Context, id pos.PaymentID) (string, error) {
	var sealed []byte
	err := t.c.Journal.View(ctx, func(v pos.JournalView) error {
		b, ok, err := v.Secret(id)
		if err == nil && !ok {
			err = errNoCode
		}
		sealed = b
		return err
	})
	if err != nil {
		return "", err
	}
	return dcep.OpenCode(t.c.Suite, t.c.CodeKey, id, sealed)
}

// forwarded is the move that an answer about a stored payment stands for. Only the
// institution's word ends it, or the centre's that none can come any more: silence, a refusal
// to start and a question that never left change nothing.
func forwarded(p pos.Payment, a pos.Answer, asked error) (pos.PaymentMoved, bool) {
	m := pos.PaymentMoved{From: p.State, Source: sourceCentre}
	if asked != nil {
		return m, false
	}
	m.Institution, m.InstitutionTxn, m.SettlementDate = a.Institution, a.InstitutionTxn, a.SettlementDate
	switch a.Outcome {
	case pos.OutcomePaid:
		m.To, m.Envelope = pos.Paid, a.Envelope
		return m, true
	case pos.OutcomeDeclined:
		m.To, m.Reason = pos.Declined, a.Reason
		if m.Reason == "" {
			m.Reason = pos.ErrDeclinedGeneral
		}
		return m, true
	case pos.OutcomePending, pos.OutcomeUnknown, pos.OutcomeRefunded, pos.OutcomeRejected:
	}
	return m, false
}

// tellForwarded tells how a stored payment ended: nobody was waiting for it any more.
func (t *Till) tellForwarded(p pos.Payment) {
	switch {
	case p.State == pos.Paid:
		t.notify(p.ID, pos.Text{
			ZH: "先记后扣 " + nameOf(p) + " 已扣款 " + p.Amount.String() + " 元",
			EN: "stored payment " + nameOf(p) + ": " + p.Amount.String() + " yuan were charged",
		})
	case p.Lost():
		t.notify(p.ID, pos.Text{
			ZH: "先记后扣 " + nameOf(p) + " 扣款失败(" + p.Reason.Text().ZH + "),损失 " + p.Amount.String() + " 元由商户承担",
			EN: "stored payment " + nameOf(p) + " was not charged (" + p.Reason.Text().EN + "); " + p.Amount.String() + " yuan are the merchant's loss",
		})
	}
}
