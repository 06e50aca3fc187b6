package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/agent/operator"
	"dcpos/pos"
)

// who names the operator of an entry.
func (t *Till) who(caller, told string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.operator != nil:
		return t.operator.Number, nil
	case t.c.SignIn:
		return "", pos.NewError(pos.ErrNoOperator, nil)
	case told != "":
		return told, nil
	case t.c.DefaultOperator != "":
		return t.c.DefaultOperator, nil
	}
	return caller, nil
}

// whoFor is who for a later step of a payment: without a sign-in, whoever began it.
func (t *Till) whoFor(p pos.Payment) (string, error) { return t.who(p.Caller, p.Operator) }

func (t *Till) mayRefund() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.operator != nil && t.operator.Role != operator.Supervisor && !t.c.CashierRefunds {
		return pos.NewError(pos.ErrForbidden, fmt.Errorf("operator %s may not refund", t.operator.Number))
	}
	return nil
}

// Operator is who is signed in.
func (t *Till) Operator() (operator.Operator, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.operator == nil {
		return operator.Operator{}, false
	}
	return *t.operator, true
}

// absentPIN is checked for numbers that do not exist, so that they take as long as
// those that do. It is the hash of no PIN.
const absentPIN = "$argon2id$v=19$m=19456,t=2,p=1$MDAwMDAwMDAwMDAwMDAwMA$MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA"

// SignInOperator signs a person in by number and PIN; who was signed in before is
// signed out. Both are journaled. Errors: ErrBadPIN, ErrTooMany while the number is
// locked, ErrStorage.
func (t *Till) SignInOperator(ctx context.Context, number, pin string) (operator.Operator, error) {
	if number == "" || len(number) > operator.MaxNumber || len(pin) > operator.MaxPIN || t.c.Operators == nil {
		return operator.Operator{}, pos.NewError(pos.ErrBadPIN, errors.New("no such operator"))
	}
	t.signing.Lock() // two tries at once would count as one
	defer t.signing.Unlock()
	o, known, err := t.c.Operators.Operator(ctx, number)
	if err != nil {
		return operator.Operator{}, fmt.Errorf("read operator: %w", err)
	}
	if !known || !o.Active || !o.Role.Valid() {
		_, _ = operator.Verify(absentPIN, pin)
		return operator.Operator{}, pos.NewError(pos.ErrBadPIN, errors.New("no such operator"))
	}
	if wait := time.UnixMilli(o.LockedUntilMS).Sub(t.clock.Now()); wait > 0 {
		return operator.Operator{}, pinLocked(wait)
	}
	wrong := max(o.Failures, t.wrong[number])
	right, err := operator.Verify(o.PINHash, pin)
	if err != nil {
		return operator.Operator{}, fmt.Errorf("check pin of %s: %w", number, err)
	}
	if !right {
		n, err := t.c.Operators.RecordSignInFailure(ctx, number, operator.LockUntil(wrong+1, t.clock.Now()))
		if err != nil {
			return operator.Operator{}, fmt.Errorf("count wrong pin: %w", err)
		}
		t.wrong[number] = n
		return operator.Operator{}, pos.NewError(pos.ErrBadPIN, fmt.Errorf("%d wrong", n))
	}
	if wrong > 0 {
		if err := t.c.Operators.ClearSignInFailures(ctx, number); err != nil {
			return operator.Operator{}, fmt.Errorf("forget wrong pins: %w", err)
		}
		delete(t.wrong, number)
	}
	if err := t.changeShift(ctx, &o); err != nil {
		return operator.Operator{}, err
	}
	return o, nil
}

func pinLocked(wait time.Duration) error {
	e := pos.NewError(pos.ErrTooMany, fmt.Errorf("locked for %s", wait.Round(time.Second)))
	e.Text = pos.Text{ZH: "PIN 多次错误,已暂时锁定", EN: "locked for a while after several wrong PINs"}
	e.Hint = pos.Text{
		ZH: fmt.Sprintf("请 %d 秒后再试,或请主管登录", int(wait.Seconds())+1),
		EN: fmt.Sprintf("try again in %d seconds, or let a supervisor sign in", int(wait.Seconds())+1),
	}
	return e
}

// SignOutOperator ends the shift of who is signed in; nobody is a success.
func (t *Till) SignOutOperator(ctx context.Context) error { return t.changeShift(ctx, nil) }

func (t *Till) changeShift(ctx context.Context, in *operator.Operator) error {
	out, was := t.Operator()
	_, err := t.update(ctx, func(pos.JournalView) ([]pos.Draft, error) {
		var drafts []pos.Draft
		if was {
			drafts = append(drafts, t.draft(pos.KindShift, pos.PaymentID{}, out.Number, pos.Shift{Operator: out.Number}))
		}
		if in != nil {
			drafts = append(drafts, t.draft(pos.KindShift, pos.PaymentID{}, in.Number, pos.Shift{Operator: in.Number, In: true}))
		}
		return drafts, nil
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.operator = in
	t.mu.Unlock()
	t.publish(Event{Kind: EventOperator, Operator: in})
	return nil
}
