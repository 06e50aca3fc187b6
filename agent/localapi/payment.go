package localapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/skip2/go-qrcode"

	"dcpos/agent/checkout"
	"dcpos/pos"
)

func errorType() reflect.Type { return reflect.TypeFor[Error]() }

// Payment is a payment with its words.
type Payment struct {
	pos.Payment
	Short      string    `json:"short" doc:"Last eight digits of the id, for people"`
	StateText  pos.Text  `json:"state_text"`
	ReasonText *pos.Text `json:"reason_text,omitempty"`
	ReasonHint *pos.Text `json:"reason_hint,omitempty"`
}

func present(p pos.Payment) Payment {
	p.CodeHash = nil // the till's own
	out := Payment{Payment: p, Short: p.ID.Short(), StateText: p.State.Text()}
	if p.Reason != "" {
		text, hint := p.Reason.Text(), p.Reason.Hint()
		out.ReasonText, out.ReasonHint = &text, &hint
	}
	return out
}

type paymentOutput struct{ Body Payment }

func paymentOut(p pos.Payment, err error) (*paymentOutput, error) {
	if err != nil {
		return nil, err
	}
	return &paymentOutput{Body: present(p)}, nil
}

// PaymentPath names the payment in the path. It is exported for the sake of reflection.
type PaymentPath struct {
	ID string `path:"id" maxLength:"36" doc:"Payment id"`
}

func (i PaymentPath) id() (pos.PaymentID, error) {
	id, err := pos.ParsePaymentID(i.ID)
	if err != nil {
		return id, pos.FieldError(pos.ErrNotFound, "id", err)
	}
	return id, nil
}

// KeyHeader is the idempotency key as a header. It is exported for the sake of reflection.
type KeyHeader struct {
	Header string `header:"Idempotency-Key" maxLength:"64" doc:"Unique per client for ever; or the field key"`
}

func (k KeyHeader) key(field string) (string, error) {
	if k.Header != "" && field != "" && k.Header != field {
		return "", pos.FieldError(pos.ErrBadRequest, "key", fmt.Errorf("header and field differ"))
	}
	if field == "" {
		field = k.Header
	}
	if field == "" {
		return "", pos.FieldError(pos.ErrBadRequest, "key", fmt.Errorf("an idempotency key is required"))
	}
	return field, nil
}

// StartRequest is the body that starts a payment.
type StartRequest struct {
	Key            string    `json:"key,omitempty" maxLength:"64"`
	OrderID        string    `json:"order_id" minLength:"1" maxLength:"64"`
	OrderAmount    pos.Money `json:"order_amount,omitempty" minimum:"0" doc:"Fen; 0: the amount"`
	Amount         pos.Money `json:"amount" minimum:"1" doc:"Fen"`
	Mode           pos.Mode  `json:"mode" enum:"b_scan_c,c_scan_b,evidence"`
	Note           string    `json:"note,omitempty" maxLength:"200"`
	Institution    string    `json:"institution,omitempty" maxLength:"12" doc:"Of the QR; empty: the centre's default"`
	ConfirmUnknown bool      `json:"confirm_unknown,omitempty" doc:"The cashier allows another attempt beside an unknown one"`
	Operator       string    `json:"operator,omitempty" maxLength:"64" doc:"The client's own operator, where the till demands no sign-in"`
}

type startInput struct {
	KeyHeader
	Body StartRequest
}

func (a *API) start(ctx context.Context, in *startInput) (*paymentOutput, error) {
	key, err := in.key(in.Body.Key)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b.OrderAmount == 0 {
		b.OrderAmount = b.Amount
	}
	return paymentOut(a.till.Start(ctx, checkout.Request{
		Caller: who(ctx).name, Key: key, OrderID: b.OrderID, OrderAmount: b.OrderAmount, Amount: b.Amount, Mode: b.Mode,
		Note: b.Note, Institution: b.Institution, ConfirmUnknown: b.ConfirmUnknown, Operator: b.Operator,
	}))
}

func (a *API) payment(ctx context.Context, in *PaymentPath) (*paymentOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	return paymentOut(a.till.Payment(ctx, id))
}

type listInput struct {
	Date  string   `query:"date" maxLength:"10" doc:"Business date, yyyy-mm-dd"`
	State []string `query:"state" maxItems:"12"`
	Text  string   `query:"text" maxLength:"64" doc:"Part of the order, the id or the institution's number"`
	Limit int      `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// PaymentList is the answer to a list.
type PaymentList struct {
	Payments []Payment `json:"payments"`
}

type listOutput struct{ Body PaymentList }

func (a *API) list(ctx context.Context, in *listInput) (*listOutput, error) {
	q := checkout.Query{Text: in.Text, Limit: in.Limit}
	if in.Date != "" {
		d, err := pos.ParseDate(in.Date)
		if err != nil {
			return nil, pos.FieldError(pos.ErrBadRequest, "date", err)
		}
		q.Date = d
	}
	for _, s := range in.State {
		if !pos.State(s).Valid() {
			return nil, pos.FieldError(pos.ErrBadRequest, "state", fmt.Errorf("no state %q", s))
		}
		q.States = append(q.States, pos.State(s))
	}
	list, err := a.till.Payments(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: PaymentList{Payments: []Payment{}}}
	for _, p := range list {
		out.Body.Payments = append(out.Body.Payments, present(p))
	}
	return out, nil
}

type codeInput struct {
	PaymentPath
	Body struct {
		Code string `json:"code" minLength:"1" maxLength:"64" doc:"The customer's payment code, or a forwardable code, which may come back stored; never logged"`
	}
}

func (a *API) code(ctx context.Context, in *codeInput) (*paymentOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	return paymentOut(a.till.SubmitCode(ctx, id, in.Body.Code))
}

// step is an operation that needs only the payment.
func step(f func(context.Context, pos.PaymentID) (pos.Payment, error)) func(context.Context, *PaymentPath) (*paymentOutput, error) {
	return func(ctx context.Context, in *PaymentPath) (*paymentOutput, error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		return paymentOut(f(ctx, id))
	}
}

// Challenge is what the customer's wallet scans to pay offline.
type Challenge struct {
	Text      string `json:"text" doc:"What the QR holds"`
	ExpiresMS int64  `json:"expires_ms"`
	Tap       bool   `json:"tap" doc:"A card or phone held to the reader pays too"`
}

type challengeOutput struct{ Body Challenge }

func (a *API) challenge(ctx context.Context, in *PaymentPath) (*challengeOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	p, err := a.till.Challenge(ctx, id)
	if err != nil {
		return nil, err
	}
	return &challengeOutput{Body: Challenge{Text: p.Text, ExpiresMS: p.Expires.UnixMilli(), Tap: a.till.Armed(id)}}, nil
}

type evidenceInput struct {
	PaymentPath
	Body struct {
		Evidence string `json:"evidence" minLength:"1" maxLength:"4096" doc:"The text of the wallet's answer QR"`
	}
}

func (a *API) evidence(ctx context.Context, in *evidenceInput) (*paymentOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	return paymentOut(a.till.SubmitEvidence(ctx, id, in.Body.Evidence))
}

// RefundRequest is the body that asks for a refund.
type RefundRequest struct {
	Key      string    `json:"key,omitempty" maxLength:"64"`
	Amount   pos.Money `json:"amount" minimum:"1" doc:"Fen"`
	Operator string    `json:"operator,omitempty" maxLength:"64"`
}

type refundInput struct {
	PaymentPath
	KeyHeader
	Body RefundRequest
}

// Refunded is a refund and its payment.
type Refunded struct {
	Payment   Payment    `json:"payment"`
	Refund    pos.Refund `json:"refund"`
	StateText pos.Text   `json:"state_text"`
}

type refundOutput struct{ Body Refunded }

func (a *API) refund(ctx context.Context, in *refundInput) (*refundOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	key, err := in.key(in.Body.Key)
	if err != nil {
		return nil, err
	}
	p, r, err := a.till.Refund(ctx, checkout.RefundRequest{
		Caller: who(ctx).name, Key: key, Payment: id, Amount: in.Body.Amount, Operator: in.Body.Operator,
	})
	if err != nil {
		return nil, err
	}
	return &refundOutput{Body: Refunded{Payment: present(p), Refund: r, StateText: r.State.Text()}}, nil
}

type qrInput struct {
	PaymentPath
	Size int `query:"size" minimum:"64" maximum:"1024" default:"320" doc:"Pixels of each side"`
}

type imageOutput struct {
	Type  string `header:"Content-Type"`
	Cache string `header:"Cache-Control"`
	Body  []byte
}

// qr draws what the customer scans: the institution's QR of a payment that shows
// one, the challenge of an offline payment.
func (a *API) qr(ctx context.Context, in *qrInput) (*imageOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	p, err := a.till.Payment(ctx, id)
	if err != nil {
		return nil, err
	}
	text := ""
	switch {
	case p.Mode == pos.CScanB && p.State == pos.Asking:
		text = p.QR
	case p.Mode == pos.Evidence && p.State == pos.Created:
		c, err := a.till.Challenge(ctx, id)
		if err != nil {
			return nil, err
		}
		text = c.Text
	}
	if text == "" {
		return nil, pos.NewError(pos.ErrIllegalMove, fmt.Errorf("payment is %s and shows no QR", p.State))
	}
	code, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return nil, fmt.Errorf("draw QR: %w", err)
	}
	png, err := code.PNG(in.Size)
	if err != nil {
		return nil, fmt.Errorf("draw QR: %w", err)
	}
	return &imageOutput{Type: "image/png", Cache: "no-store", Body: png}, nil
}

func (a *API) registerPayments() {
	const one = "/v1/payments/{id}"
	post, get := http.MethodPost, http.MethodGet
	operation(a, "startPayment", post, "/v1/payments", ScopePay, "Name a payment; nobody is asked for money yet", a.start)
	operation(a, "listPayments", get, "/v1/payments", ScopeRead, "Payments, newest first", a.list)
	operation(a, "payment", get, one, ScopeRead, "One payment", a.payment)
	operation(a, "submitCode", post, one+"/code", ScopePay, "Take money from the customer's payment code", a.code)
	operation(a, "presentQR", post, one+"/present", ScopePay, "Show a QR for the customer to scan", step(a.till.Present))
	operation(a, "challenge", post, one+"/challenge", ScopePay, "The offline challenge for the customer's wallet", a.challenge)
	operation(a, "submitEvidence", post, one+"/evidence", ScopePay, "Take the wallet's answer to the challenge", a.evidence)
	operation(a, "cancelPayment", post, one+"/cancel", ScopePay, "Give a payment up", step(a.till.Cancel))
	operation(a, "refreshPayment", post, one+"/refresh", ScopePay, "Ask the centre now what became of it", step(a.till.Refresh))
	operation(a, "refund", post, one+"/refunds", ScopeRefund, "Give money back", a.refund)
	operation(a, "paymentQR", get, one+"/qr.png", ScopeRead, "What the customer scans, as a picture", a.qr)
}
