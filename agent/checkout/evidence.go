package checkout

import (
	"context"
	"errors"
	"fmt"

	"dcpos/agent/kernel"
	"dcpos/pos"
)

// offlineOnly refuses evidence while the centre can be asked, unless the order's last
// question provably never left, and for an order that has a question out.
func (t *Till) offlineOnly(order pos.Order) error {
	notSent, err := lastNotSent(order)
	if err != nil {
		return err
	}
	if t.c.Host.Connected() && !notSent {
		return &pos.Error{
			Code: pos.ErrIllegalMove, Field: "mode",
			Text: pos.Text{ZH: "当前已连接中心,不能离线收款", EN: "the centre can be reached; nothing is taken offline"},
			Hint: pos.Text{ZH: "请使用付款码或收款二维码", EN: "use the payment code or the QR"},
			Err:  errors.New("connected"),
		}
	}
	return nil
}

// lastNotSent reports that the order's last question provably never left; an order that has a
// question out is refused.
func lastNotSent(order pos.Order) (notSent bool, err error) {
	for _, p := range order.Attempts {
		switch p.State {
		case pos.Asking:
			return false, pos.FieldError(pos.ErrOrderOpen, "order_id", fmt.Errorf("payment %s is asking", p.ID))
		case pos.Unknown:
			return false, pos.FieldError(pos.ErrOrderUnknown, "order_id", fmt.Errorf("payment %s is unknown", p.ID))
		case pos.Declined:
			notSent = p.Reason == pos.ErrNotSent
		case pos.Created, pos.Paid, pos.Abandoned, pos.Cancelled, pos.AcceptedEvidence,
			pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
		}
	}
	return notSent, nil
}

// mayTake tells whether the payment may be taken by evidence, inside an Update or a View.
func mayTake(v pos.JournalView, id pos.PaymentID) (pos.Payment, pos.Order, error) {
	p, err := find(v, id)
	if err != nil {
		return p, pos.Order{}, err
	}
	if p.Mode != pos.Evidence {
		return p, pos.Order{}, pos.NewError(pos.ErrIllegalMove, fmt.Errorf("payment is a %s", p.Mode))
	}
	if err := pos.CheckMove(p.State, pos.AcceptedEvidence); err != nil {
		return p, pos.Order{}, err
	}
	o, err := v.Order(p.Caller, p.BusinessDate, p.OrderID)
	return p, o, err
}

// Challenge gives what the customer's wallet scans to pay offline, and arms the reader,
// where there is one, with the same challenge: the first answer that is kept wins. Until it
// expires the same challenge is given again. Nothing is taken offline while the centre can be
// asked, beyond a guard, or when the clock cannot be trusted. Errors: ErrIllegalMove,
// ErrLimit…, ErrClock, ErrEvidence (no trust), ErrEnvironment, ErrNotFound.
func (t *Till) Challenge(ctx context.Context, id pos.PaymentID) (kernel.Prompt, error) {
	p, err := t.prompt(ctx, id)
	if err == nil {
		t.arm(id)
	}
	return p, err
}

// prompt is the challenge of a payment that may be taken offline now.
func (t *Till) prompt(ctx context.Context, id pos.PaymentID) (kernel.Prompt, error) {
	if err := t.kernelReady(ctx); err != nil {
		return kernel.Prompt{}, err
	}
	at := t.clock.Interval()
	now := t.now()
	var payment pos.Payment
	err := t.c.Journal.View(ctx, func(v pos.JournalView) error {
		p, order, err := mayTake(v, id)
		if err != nil {
			return err
		}
		payment = p
		order.Attempts = others(order.Attempts, id)
		if err := t.offlineOnly(order); err != nil {
			return err
		}
		_, _, err = t.guards(v, p.Amount, order, kernel.Wallet{})
		return err
	})
	if err != nil {
		return kernel.Prompt{}, err
	}
	if _, err := t.whoFor(payment); err != nil {
		return kernel.Prompt{}, err
	}
	var kept kernel.Prompt
	t.with(id, func(s *sale) { kept = s.prompt })
	if kept.Text != "" && now.Before(kept.Expires) {
		return kept, nil
	}
	prompt, err := t.c.Kernel.Begin(ctx, kernel.Request{
		Env: t.c.Env, Terminal: t.c.Terminal, Merchant: t.c.Merchant, Payment: id, Amount: payment.Amount,
		At: now, Expires: now.Add(t.timing.Prompt), Category: t.offered(id, at),
	})
	if err != nil {
		return kernel.Prompt{}, err
	}
	t.with(id, func(s *sale) { s.prompt = prompt })
	return prompt, nil
}

func others(list []pos.Payment, id pos.PaymentID) []pos.Payment {
	var rest []pos.Payment
	for _, p := range list {
		if p.ID != id {
			rest = append(rest, p)
		}
	}
	return rest
}

func (t *Till) kernelReady(ctx context.Context) error {
	if t.c.Kernel == nil {
		return pos.NewError(pos.ErrEvidence, errors.New("no kernel is configured"))
	}
	if env := t.c.Kernel.Env(); env != t.c.Env {
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("kernel of %q in a till of %q", env, t.c.Env))
	}
	if _, _, err := t.policy(); err != nil {
		return err
	}
	return t.c.Kernel.Ready(ctx, t.now())
}

// SubmitEvidence takes the wallet's answer to the challenge. It is verified, the
// guards are applied in the same step that journals it, and the payment comes back
// as accepted_evidence: 已受理,待入账. Evidence for a payment that is accepted already
// changes nothing. Errors: ErrEvidence, ErrEvidenceSeen, ErrLimit…, ErrClock,
// ErrIllegalMove, ErrOrderUnknown, ErrNotFound, ErrStorage.
func (t *Till) SubmitEvidence(ctx context.Context, id pos.PaymentID, answer string) (pos.Payment, error) {
	if err := t.running(ctx); err != nil {
		return pos.Payment{}, err
	}
	if p, err := t.Payment(ctx, id); err != nil || p.State == pos.AcceptedEvidence {
		return p, err
	}
	if err := t.kernelReady(ctx); err != nil {
		return pos.Payment{}, err
	}
	var prompt kernel.Prompt
	t.with(id, func(s *sale) { prompt = s.prompt })
	if prompt.Text == "" {
		return pos.Payment{}, pos.NewError(pos.ErrEvidence, errors.New("no challenge was shown"))
	}
	taken, err := t.c.Kernel.Verify(ctx, prompt, answer, t.now())
	if err != nil {
		return pos.Payment{}, err
	}
	return t.accept(ctx, id, taken)
}

// accept journals a wallet's promise. A payment that another promise has paid already is
// ErrOrderPaid.
func (t *Till) accept(ctx context.Context, id pos.PaymentID, taken kernel.Taken) (pos.Payment, error) {
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) { return t.take(v, id, taken) })
	if aboutEnvelopes(err) {
		t.withoutEnvelopes(id)
	}
	if err != nil {
		return pos.Payment{}, err
	}
	p, err := t.Payment(context.WithoutCancel(ctx), id)
	if err == nil && (p.Wallet != taken.Wallet || p.Counter != taken.Counter) {
		return p, pos.NewError(pos.ErrOrderPaid, fmt.Errorf("payment %s is paid by wallet %s already", id, p.Wallet))
	}
	return p, err
}

func (t *Till) take(v pos.JournalView, id pos.PaymentID, taken kernel.Taken) ([]pos.Draft, error) {
	if p, err := find(v, id); err != nil || p.State == pos.AcceptedEvidence {
		return nil, err
	}
	p, order, err := mayTake(v, id)
	if err != nil {
		return nil, err
	}
	for _, a := range order.Attempts {
		if a.ID != id && (a.State == pos.Asking || a.State == pos.Unknown) {
			return nil, pos.FieldError(pos.ErrOrderUnknown, "order_id", fmt.Errorf("payment %s is %s", a.ID, a.State))
		}
	}
	if other, seen, err := v.EvidenceSeen(taken.Wallet, taken.Counter); err != nil || seen {
		if err != nil {
			return nil, fmt.Errorf("read evidence: %w", err)
		}
		return nil, pos.NewError(pos.ErrEvidenceSeen, fmt.Errorf("taken by payment %s", other))
	}
	order.Attempts = others(order.Attempts, id)
	policy, at, err := t.guards(v, p.Amount, order, kernel.Wallet{Serial: taken.Wallet, Institution: taken.Institution, Tier: taken.Tier})
	if err != nil {
		return nil, err
	}
	envelopes, err := t.admitEnvelopes(taken.Envelopes, p.Amount, policy.Limits, at)
	if err != nil {
		return nil, err
	}
	who, err := t.whoFor(p)
	if err != nil {
		return nil, err
	}
	return t.owing(v, p, pos.AcceptedEvidence, []pos.Draft{t.moved(p, who, pos.PaymentMoved{
		From: p.State, To: pos.AcceptedEvidence, Source: sourceWallet, Institution: taken.Institution,
		Evidence: taken.Evidence, Wallet: taken.Wallet, Counter: taken.Counter, Envelope: envelopes,
		Time: &at, Policy: policy.Version,
	})})
}
