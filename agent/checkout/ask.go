package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/drivers/scanner/router"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// maxCode bounds what is taken for a payment code.
const maxCode = 64

// otherScheme refuses a payment code of another scheme by its name.
func otherScheme(kind router.Kind) error {
	var zh, en string
	switch kind {
	case router.KindWeChat:
		zh, en = "微信支付", "WeChat Pay"
	case router.KindAlipay:
		zh, en = "支付宝", "Alipay"
	case router.KindUnionPay:
		zh, en = "银联", "UnionPay"
	case router.KindECNY, router.KindForward, router.KindPayment, router.KindEvidence, router.KindGoods,
		router.KindGS1, router.KindCampaign, router.KindLink, router.KindUnknown:
		return nil
	default:
		return nil
	}
	return &pos.Error{
		Code: pos.ErrBadCode, Field: "code",
		Text: pos.Text{ZH: "这是" + zh + "付款码,不是数字人民币付款码", EN: "this is a payment code of " + en + ", not of digital yuan"},
		Hint: pos.Text{ZH: "请客户打开数字人民币钱包的付款码", EN: "ask the customer to open the digital-yuan wallet's payment code"},
		Err:  fmt.Errorf("code is a %s", kind),
	}
}

// checkCode refuses everything but a digital-yuan payment code and a forwardable one.
func checkCode(code string) error {
	if len(code) > maxCode {
		return pos.FieldError(pos.ErrBadCode, "code", fmt.Errorf("%d characters", len(code)))
	}
	kind := router.Classify(code)
	if err := otherScheme(kind); err != nil {
		return err
	}
	if kind == router.KindForward {
		_, err := dcep.ParseForward(code)
		return err
	}
	if kind != router.KindECNY {
		return pos.FieldError(pos.ErrBadCode, "code", fmt.Errorf("code is a %s", kind))
	}
	return nil
}

// SubmitCode takes money from the customer's payment code (B-scan-C). The question is
// journaled before it leaves. It waits for the answer; when ctx ends sooner, the
// question goes on and the payment is returned as it is. The same code again gives
// the payment as it is.
//
// The payment comes back paid, declined, unknown, or asking while the institution is
// still at it. Declined with the reason ErrNotSent: the question provably never
// left, nothing was charged. A forwardable code that cannot be asked about now is stored
// (store): the payment comes back stored, 已登记,尚未扣款. Errors: ErrBadCode, ErrOfflineCode, ErrCodeUsed,
// ErrIllegalMove, ErrNotFound, ErrNoOperator, ErrStorage.
func (t *Till) SubmitCode(ctx context.Context, id pos.PaymentID, code string) (pos.Payment, error) {
	code = strings.TrimSpace(code)
	if err := checkCode(code); err != nil {
		return pos.Payment{}, err
	}
	if err := t.running(ctx); err != nil {
		return pos.Payment{}, err
	}
	hash := dcep.CodeHash(t.c.Suite, t.c.CodeKey, code)
	if stored, err := t.tryStore(ctx, id, code, hash); stored || err != nil {
		if err != nil {
			return pos.Payment{}, err
		}
		return t.Payment(context.WithoutCancel(ctx), id)
	}
	var ask pos.AskPay
	entries, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, id)
		if err != nil || bytes.Equal(p.CodeHash, hash) {
			return nil, err
		}
		who, err := t.mayAsk(p, pos.BScanC, pos.ErrOfflineCode)
		if err != nil {
			return nil, err
		}
		if err := used(v, hash); err != nil {
			return nil, err
		}
		now := t.clock.Centre() // the centre compares with its own time
		ask = pos.AskPay{
			Env: t.c.Env, Payment: id, Merchant: t.c.Merchant, Amount: p.Amount, Code: code, Lines: t.c.lines(p.Amount),
			ExpiresMS: now.Add(t.timing.Expiry).UnixMilli(), SentMS: now.UnixMilli(),
		}
		return []pos.Draft{t.moved(p, who, pos.PaymentMoved{
			From: p.State, To: pos.Asking, Source: sourceTill, ExpiresMS: ask.ExpiresMS, CodeHash: hash,
		})}, nil
	})
	if err != nil {
		return pos.Payment{}, err
	}
	if len(entries) > 0 {
		err = t.do(ctx, func(ctx context.Context) {
			c, cancel := context.WithTimeout(ctx, t.timing.Answer)
			defer cancel()
			a, err := t.c.Host.Pay(c, ask)
			t.first(ctx, id, a, err)
		})
		if err != nil {
			return pos.Payment{}, err
		}
	}
	return t.Payment(context.WithoutCancel(ctx), id)
}

// used refuses a code that another payment has used.
func used(v pos.JournalView, hash []byte) error {
	other, seen, err := v.CodeSeen(hash)
	switch {
	case err != nil:
		return fmt.Errorf("read code: %w", err)
	case seen:
		return pos.FieldError(pos.ErrCodeUsed, "code", fmt.Errorf("used by payment %s", other))
	}
	return nil
}

// mayAsk tells whether the centre may be asked for the first time, and who asks.
func (t *Till) mayAsk(p pos.Payment, mode pos.Mode, offline pos.Code) (string, error) {
	if p.Mode != mode {
		return "", pos.NewError(pos.ErrIllegalMove, fmt.Errorf("payment is a %s", p.Mode))
	}
	if err := pos.CheckMove(p.State, pos.Asking); err != nil {
		return "", err
	}
	if !t.c.Host.Connected() {
		return "", pos.NewError(offline, errors.New("not connected"))
	}
	return t.whoFor(p)
}

// first takes the outcome of the question that was asked first.
func (t *Till) first(ctx context.Context, id pos.PaymentID, a pos.Answer, err error) {
	if cerr := t.conclude(ctx, id, a, err, true); cerr != nil {
		t.log.ErrorContext(ctx, "answer is not journaled, will be asked again", "payment", id.String(), "err", cerr)
	}
	t.watch(id)
}

var errOtherPayment = errors.New("the answer is for another payment")

// conclude journals what an answer means. first: the answer is to the question that
// may take money, so that a question that provably never left ends the payment.
func (t *Till) conclude(ctx context.Context, id pos.PaymentID, a pos.Answer, asked error, first bool) error {
	if asked == nil && a.Payment != id {
		asked = errOtherPayment
	}
	ctx, cancel := saving(ctx)
	defer cancel()
	var from pos.State
	entries, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, id)
		if err != nil {
			return nil, err
		}
		from = p.State
		m, ok := meaning(p, a, asked, first)
		if !ok {
			return nil, nil
		}
		return t.owing(v, p, m.To, []pos.Draft{t.moved(p, t.silently(p), m)})
	})
	if err != nil || len(entries) == 0 {
		return err
	}
	t.after(ctx, id, from)
	return nil
}

// silently names who stands behind an entry that follows from an answer: the
// operator whose question it was, or nobody once the question had become unknown.
func (t *Till) silently(p pos.Payment) string {
	if p.State == pos.Unknown || p.State == pos.Stored {
		return pos.OperatorSystem
	}
	return p.Operator
}

// meaning is the move that an outcome stands for; false when it changes nothing.
func meaning(p pos.Payment, a pos.Answer, asked error, first bool) (pos.PaymentMoved, bool) {
	m := pos.PaymentMoved{From: p.State, Source: sourceTill}
	switch p.State {
	case pos.Stored:
		return forwarded(p, a, asked)
	case pos.Asking, pos.Unknown:
	case pos.Created, pos.Paid, pos.Declined, pos.Abandoned, pos.Cancelled,
		pos.AcceptedEvidence, pos.Credited, pos.Refused, pos.Conflict:
		return m, false
	}
	inDoubt := first && p.Mode == pos.BScanC && p.State == pos.Asking
	if asked != nil {
		if first && p.State == pos.Asking && errors.Is(asked, &pos.Error{Code: pos.ErrNotSent}) {
			m.To, m.Reason = pos.Declined, pos.ErrNotSent
			return m, true
		}
		m.To = pos.Unknown
		return m, inDoubt
	}
	m.Source = sourceCentre
	m.Institution, m.InstitutionTxn, m.SettlementDate = a.Institution, a.InstitutionTxn, a.SettlementDate
	switch a.Outcome {
	case pos.OutcomePaid:
		m.To, m.Envelope = pos.Paid, a.Envelope
		return m, true
	case pos.OutcomeDeclined, pos.OutcomeRejected:
		if a.Outcome == pos.OutcomeRejected && !first {
			return m, false // the query was refused; that says nothing about the money
		}
		m.To, m.Reason = pos.Declined, a.Reason
		if m.Reason == "" {
			m.Reason = pos.ErrDeclinedGeneral
		}
		return m, true
	case pos.OutcomeUnknown:
		m.To = pos.Unknown
		return m, p.State == pos.Asking && p.Mode == pos.BScanC
	case pos.OutcomePending, pos.OutcomeRefunded:
		return m, false
	}
	m.To, m.Source = pos.Unknown, sourceTill // a word that this version does not know is neither yes nor no
	return m, inDoubt
}

// after does what follows a move that is journaled.
func (t *Till) after(ctx context.Context, id pos.PaymentID, from pos.State) {
	if from != pos.Unknown && from != pos.Stored {
		return
	}
	p, err := t.Payment(ctx, id)
	switch {
	case err != nil:
	case from == pos.Stored:
		t.tellForwarded(p)
	case p.State == pos.Paid:
		t.checkOverpaid(ctx, p)
	}
}

// checkOverpaid tells the cashier when a confirmed second attempt and the unknown
// one were both paid.
func (t *Till) checkOverpaid(ctx context.Context, p pos.Payment) {
	var over bool
	err := t.c.Journal.View(ctx, func(v pos.JournalView) error {
		o, err := v.Order(p.Caller, p.BusinessDate, p.OrderID)
		over = o.Held() > o.Amount
		return err
	})
	if err == nil && over {
		t.notify(p.ID, pos.Text{
			ZH: "订单 " + p.OrderID + " 已重复支付,请为其中一笔退款",
			EN: "order " + p.OrderID + " was paid twice; refund one of the payments",
		})
	}
}

// Present shows a QR for the customer to scan (C-scan-B). The question is journaled
// before it leaves; the payment comes back with its QR, valid until ExpiresMS. Asked
// again it gives the same QR. Offline no QR is offered (ErrOffline). When the centre
// gives no answer the payment stays asking and Present may be called again.
func (t *Till) Present(ctx context.Context, id pos.PaymentID) (pos.Payment, error) {
	if err := t.running(ctx); err != nil {
		return pos.Payment{}, err
	}
	if p, err := t.Payment(ctx, id); err != nil || p.QR != "" {
		return p, err
	}
	var ask pos.AskPresent
	var again bool
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, id)
		if err != nil {
			return nil, err
		}
		var institution string
		t.with(id, func(s *sale) { institution = s.institution })
		if p.Institution != "" {
			institution = p.Institution
		}
		now := t.clock.Centre()
		ask = pos.AskPresent{
			Env: t.c.Env, Payment: id, Merchant: t.c.Merchant, Amount: p.Amount, Institution: institution, Lines: t.c.lines(p.Amount),
			ValidMS: t.timing.QRValid.Milliseconds(), SentMS: now.UnixMilli(),
			ExpiresMS: now.Add(t.timing.Expiry).UnixMilli(),
		}
		if again = p.Mode == pos.CScanB && p.State == pos.Asking; again {
			if !t.c.Host.Connected() {
				return nil, pos.NewError(pos.ErrOffline, errors.New("not connected"))
			}
			return nil, nil
		}
		who, err := t.mayAsk(p, pos.CScanB, pos.ErrOffline)
		if err != nil {
			return nil, err
		}
		return []pos.Draft{t.moved(p, who, pos.PaymentMoved{
			From: p.State, To: pos.Asking, Source: sourceTill, Institution: institution,
			ExpiresMS: now.Add(t.timing.QRValid).UnixMilli(),
		})}, nil
	})
	if err != nil {
		return pos.Payment{}, err
	}
	var unanswered error
	err = t.do(ctx, func(ctx context.Context) { unanswered = t.present(ctx, ask, !again) })
	if err != nil {
		return pos.Payment{}, err
	}
	p, err := t.Payment(context.WithoutCancel(ctx), id)
	if err == nil && p.State == pos.Asking && p.QR == "" && ctx.Err() == nil {
		return p, pos.NewError(pos.ErrOffline, fmt.Errorf("no QR came: %w", unanswered))
	}
	return p, err
}

var errNoQR = errors.New("the answer has no QR")

func (t *Till) present(ctx context.Context, ask pos.AskPresent, first bool) error {
	c, cancel := context.WithTimeout(ctx, t.timing.Answer)
	defer cancel()
	a, err := t.c.Host.Present(c, ask)
	switch {
	case err == nil && a.Payment == ask.Payment && a.Outcome == pos.OutcomePending && a.QR != "":
		save, done := saving(ctx)
		t.keepQR(save, ask.Payment, a)
		if p, err := t.Payment(save, ask.Payment); err == nil {
			t.publish(Event{Kind: EventPayment, Payment: &p})
		}
		done()
	case err == nil:
		err = errNoQR
		if cerr := t.conclude(ctx, ask.Payment, a, nil, first); cerr != nil {
			t.log.ErrorContext(ctx, "answer is not journaled, will be asked again", "payment", ask.Payment.String(), "err", cerr)
		}
	default:
		if cerr := t.conclude(ctx, ask.Payment, a, err, first); cerr != nil {
			t.log.ErrorContext(ctx, "failure is not journaled, will be asked again", "payment", ask.Payment.String(), "err", cerr)
		}
	}
	t.watch(ask.Payment)
	return err
}

// expiry is the moment, in the centre's time, after which a shown QR is given up.
func (t *Till) expiry(p pos.Payment) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := p.ExpiresMS
	if s := t.sales[p.ID]; s != nil {
		at = max(at, s.validUntil)
	}
	return time.UnixMilli(at)
}
