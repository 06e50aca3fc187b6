package payment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/central/institution"
	"dcpos/pos"
)

// Bounds of a QR's life, and what it is when the till names none.
const (
	minQR     = 10 * time.Second
	maxQR     = 15 * time.Minute
	defaultQR = 2 * time.Minute
)

// grace is added to an institution's time-out before a question that is still
// "asking" is taken up by Run: this process, or the one before it, lost it.
const grace = 2 * time.Second

// Pay takes money by the customer's code. The answer may be "unknown" or "pending";
// Query tells the end. A repeat of the question gives the present state.
func (d *Desk) Pay(ctx context.Context, terminal string, ask pos.AskPay) pos.Answer {
	return d.observed("pay", func() pos.Answer { return d.takePay(ctx, terminal, ask) })
}

func (d *Desk) takePay(ctx context.Context, terminal string, ask pos.AskPay) pos.Answer {
	m, err := d.cfg.Institutions.Route(ask.Code)
	if err == nil {
		err = d.check(ask.Env, ask.Payment, ask.Amount, m)
	}
	if err == nil {
		err = d.forwardable(m, ask)
	}
	if err == nil {
		err = pos.CheckLines(ask.Lines, ask.Amount)
	}
	if err != nil {
		return d.rejected(ctx, ask.Payment, pos.RefundID{}, err)
	}
	body := []any{"pay", terminal, ask.Payment, ask.Merchant, int64(ask.Amount), ask.Code}
	for _, l := range ask.Lines {
		body = append(body, l.Category, int64(l.Amount))
	}
	rec := Record{
		ID: ask.Payment, Terminal: terminal, Merchant: ask.Merchant, Mode: pos.BScanC, Amount: ask.Amount,
		Institution: m.Code, State: pos.Asking, ExpiresMS: ask.ExpiresMS, UntilMS: ask.UntilMS, Place: Place{Lines: ask.Lines},
		Body: d.fingerprint(body...),
	}
	return d.start(ctx, rec, m, func(ctx context.Context, store string) (institution.Answer, error) {
		return m.Adapter.Pay(ctx, institution.PayRequest{
			ID: ask.Payment, Merchant: ask.Merchant, Terminal: terminal, Amount: ask.Amount,
			Code: ask.Code, ExpiresMS: ask.ExpiresMS, Lines: ask.Lines, Store: store,
		})
	})
}

// Present asks for a QR that the customer scans. A repeat of the question shows the
// open QR again.
func (d *Desk) Present(ctx context.Context, terminal string, ask pos.AskPresent) pos.Answer {
	return d.observed("present", func() pos.Answer { return d.takePresent(ctx, terminal, ask) })
}

func (d *Desk) takePresent(ctx context.Context, terminal string, ask pos.AskPresent) pos.Answer {
	code := ask.Institution
	if code == "" {
		code = d.cfg.Default
	}
	m, ok := d.cfg.Institutions.Member(code)
	err := error(pos.FieldError(pos.ErrBadRequest, "institution", fmt.Errorf("%q is not known here", code)))
	if ok {
		err = d.check(ask.Env, ask.Payment, ask.Amount, m)
	}
	valid := time.Duration(ask.ValidMS) * time.Millisecond
	if valid == 0 {
		valid = defaultQR
	}
	if err == nil {
		err = pos.CheckLines(ask.Lines, ask.Amount)
	}
	if err == nil && (ask.ValidMS < 0 || ask.ValidMS > maxQR.Milliseconds() || valid < minQR) {
		err = pos.FieldError(pos.ErrBadRequest, "valid_ms", fmt.Errorf("want %s to %s", minQR, maxQR))
	}
	if err != nil {
		return d.rejected(ctx, ask.Payment, pos.RefundID{}, err)
	}
	body := []any{"present", terminal, ask.Payment, ask.Merchant, int64(ask.Amount), code}
	if ask.Channel != "" {
		body = append(body, ask.Channel)
	}
	for _, l := range ask.Lines {
		body = append(body, l.Category, int64(l.Amount))
	}
	rec := Record{
		ID: ask.Payment, Terminal: terminal, Merchant: ask.Merchant, Mode: pos.CScanB, Amount: ask.Amount,
		Institution: m.Code, State: pos.Asking, ExpiresMS: ask.ExpiresMS, Place: Place{Channel: ask.Channel, Lines: ask.Lines},
		ValidUntilMS: d.nowMS() + valid.Milliseconds(),
		Body:         d.fingerprint(body...),
	}
	order := institution.OrderRequest{
		ID: ask.Payment, Merchant: ask.Merchant, Terminal: terminal, Amount: ask.Amount, ValidUntilMS: rec.ValidUntilMS,
		Channel: ask.Channel, Lines: ask.Lines,
	}
	return d.start(ctx, rec, m, func(ctx context.Context, store string) (institution.Answer, error) {
		order.Store = store
		a, err := m.Adapter.Order(ctx, order)
		if err != nil && institution.ClassOf(err) == institution.MayHaveArrived {
			// To make an order moves no money, and the same order again is the same QR.
			if again, err := m.Adapter.Order(ctx, order); err == nil {
				return again, nil
			}
		}
		return a, err
	})
}

func (d *Desk) check(env pos.Environment, id pos.PaymentID, amount pos.Money, m institution.Member) error {
	switch {
	case env != d.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("question is %q, this centre is %s", env, d.cfg.Env))
	case id.IsZero():
		return pos.FieldError(pos.ErrBadRequest, "payment", errors.New("want an id"))
	case amount <= 0 || amount > pos.MaxAmount:
		return pos.FieldError(pos.ErrBadRequest, "amount", fmt.Errorf("%d fen: want 1 to %d", amount, pos.MaxAmount))
	case amount > m.Limits.PerPayment:
		return pos.FieldError(pos.ErrLimitPayment, "amount", fmt.Errorf("%s over %s of %s", amount, m.Limits.PerPayment, m.Code))
	}
	return nil
}

// start writes the payment down and asks once. The till's patience does not end the
// question: what was asked is heard to its end.
func (d *Desk) start(ctx context.Context, rec Record, m institution.Member,
	ask func(ctx context.Context, store string) (institution.Answer, error),
) pos.Answer {
	release, ok := d.claim(rec.ID, rec.Institution)
	if ok {
		defer release()
	}
	patience := m.Timeouts.Ask.Duration
	if rec.Mode == pos.CScanB {
		patience *= 2 // an order is asked for twice
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience+grace)
	defer cancel()
	rec, fresh, err := d.begin(ctx, rec, patience)
	if err != nil {
		return d.rejected(ctx, rec.ID, pos.RefundID{}, err)
	}
	if !fresh {
		return rec.answer(d.nowMS())
	}
	heard := heard{asked: true, institution: rec.Institution}
	heard.Answer, heard.err = ask(ctx, rec.Place.Store)
	after, err := d.hear(context.WithoutCancel(ctx), rec.ID, heard)
	if err != nil {
		return d.silent(ctx, rec.ID, pos.RefundID{}, err)
	}
	return after.answer(d.nowMS())
}

// begin inserts the row, or finds that the question was asked before. Nothing may be
// asked unless fresh is true and the transaction is committed.
func (d *Desk) begin(ctx context.Context, rec Record, patience time.Duration) (out Record, fresh bool, err error) {
	err = d.shared(ctx, func(t *turn) error {
		out, fresh = rec, false
		have, found, err := t.Payment(ctx, rec.ID)
		if err != nil {
			return err
		}
		if found {
			if err := d.sameQuestion(have, rec); err != nil || !mayGoOn(have, rec) {
				out = have
				return err
			}
			out.CreatedMS, out.Told = have.CreatedMS, have.Told
		}
		is, err := d.mayStart(ctx, t, rec)
		if err != nil {
			return err
		}
		if out.Place.Channel != pos.ChannelOnline {
			out.Place.Store = is.Shop
		}
		out.CreatedMS, out.UpdatedMS = cmp.Or(out.CreatedMS, t.now), t.now
		out.NextMS = t.now + (patience + 2*grace).Milliseconds()
		fresh = true
		return t.PutPayment(ctx, out)
	})
	return out, fresh, err
}

// sameQuestion refuses another body under the id. A row without body is known from
// the till's journal only: the question came too late and is not started.
func (d *Desk) sameQuestion(have, asked Record) error {
	if have.Terminal != asked.Terminal || (len(have.Body) > 0 && !bytes.Equal(have.Body, asked.Body)) {
		return pos.FieldError(pos.ErrKeyConflict, "payment", fmt.Errorf("payment %s was asked with another content", have.ID))
	}
	return nil
}

func (d *Desk) mayStart(ctx context.Context, t *turn, rec Record) (is Terminal, err error) {
	if rec.ExpiresMS <= t.now {
		return is, pos.FieldError(pos.ErrExpired, "expires_ms", fmt.Errorf("expired %d ms ago", t.now-rec.ExpiresMS))
	}
	if is, err = d.mayAsk(ctx, t, rec.Terminal, rec.Merchant); err != nil {
		return is, err
	}
	told, found, err := t.Journaled(ctx, rec.Terminal, rec.ID)
	if err != nil {
		return is, err
	}
	if !found {
		return is, nil
	}
	return is, agrees(told, rec)
}

// mayAsk checks that the terminal is enrolled, free and of the merchant it names.
func (d *Desk) mayAsk(ctx context.Context, t *turn, terminal, merchant string) (Terminal, error) {
	is, found, err := t.Terminal(ctx, terminal)
	switch {
	case err != nil:
		return is, err
	case !found:
		return is, pos.NewError(pos.ErrNotEnrolled, fmt.Errorf("terminal %s", terminal))
	case is.Quarantine:
		return is, pos.NewError(pos.ErrQuarantined, fmt.Errorf("terminal %s", terminal))
	case is.Merchant != merchant:
		return is, pos.FieldError(pos.ErrForbidden, "merchant", fmt.Errorf("terminal %s is of another merchant", terminal))
	}
	return is, nil
}
