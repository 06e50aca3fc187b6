package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dcpos/central/webshop"
	"dcpos/pos"
)

// Status is how a payment stands, as shops read it.
type Status string

// The statuses. Paid, declined and closed are final; after paid, refunds tell the rest.
const (
	Open     Status = "open"      // a QR waits, or is being asked for
	Paid     Status = "paid"      //
	Declined Status = "declined"  // nothing was charged, or the QR ran out unpaid
	Unknown  Status = "unknown"   // being asked about: do not take the money again
	GivenUp  Status = "abandoned" // cancelled, and watched: money that comes is refunded by itself
	LatePaid Status = "late_paid" // cancelled, then paid: refunded by itself
	Closed   Status = "closed"    // cancelled, and nothing came
)

// Payment is one attempt to be paid.
type Payment struct {
	ID             pos.PaymentID  `json:"id"`
	Order          string         `json:"order_id"`
	Status         Status         `json:"status" enum:"open,paid,declined,unknown,abandoned,late_paid,closed"`
	Final          bool           `json:"final" doc:"the status changes no more"`
	Amount         pos.Money      `json:"amount_fen"`
	Envelope       pos.Money      `json:"envelope_fen,omitempty" doc:"the part that red envelopes paid"`
	Refunded       pos.Money      `json:"refunded_fen,omitempty"`
	QR             string         `json:"qr,omitempty" doc:"text of the QR; as a link it opens the wallet"`
	ValidUntilMS   int64          `json:"valid_until_ms,omitempty" doc:"of the QR, Unix milliseconds"`
	Institution    string         `json:"institution,omitempty"`
	Txn            string         `json:"institution_txn,omitempty"`
	SettlementDate pos.Date       `json:"settlement_date,omitempty"`
	BusinessDate   pos.Date       `json:"business_date"`
	Reason         pos.Code       `json:"reason,omitempty"`
	Text           pos.Text       `json:"text" doc:"the status, or the reason, for the customer"`
	Refunds        []Refund       `json:"refunds,omitempty"`
	Lines          []webshop.Line `json:"lines"`
	CreatedMS      int64          `json:"created_ms"`
}

// Refund is a refund of a payment.
type Refund struct {
	ID     pos.RefundID    `json:"id"`
	Status pos.RefundState `json:"status" doc:"asking, refunded, declined or unknown"`
	Amount pos.Money       `json:"amount_fen"`
	Own    pos.Money       `json:"own_fen,omitempty" doc:"of one that is done: what goes back as the customer's own money, which is first"`
	// Envelope and Recalled are of one that is done, too.
	Envelope pos.Money `json:"envelope_fen,omitempty" doc:"of one that is done: what goes back to red envelopes"`
	Recalled pos.Money `json:"recalled_fen,omitempty" doc:"of envelope_fen: what the fund takes back, because the envelope is over; the customer does not get it"`
	Auto     bool      `json:"auto,omitempty" doc:"by the centre, of money that came late"`
	Reason   pos.Code  `json:"reason,omitempty"`
	Txn      string    `json:"institution_txn,omitempty"`
	Date     pos.Date  `json:"settlement_date,omitempty"`
	Text     pos.Text  `json:"text"`
}

func refundOf(r webshop.Refund) Refund {
	out := Refund{ID: r.ID, Status: r.State, Amount: r.Amount, Auto: r.Auto, Reason: r.Reason, Txn: r.Txn, Date: r.Date, Text: r.State.Text()}
	if r.State == pos.RefundRefunded {
		out.Own, out.Envelope, out.Recalled = r.Amount-r.Envelope, r.Envelope, r.Recalled
	}
	return out
}

func paymentOf(p webshop.Payment, nowMS int64) Payment {
	out := Payment{
		ID: p.ID, Order: p.Order, Amount: p.Amount, Envelope: p.Envelope, Institution: p.Asked, Txn: p.Txn, SettlementDate: p.SettlementDate,
		BusinessDate: p.Date, Reason: p.Reason, Lines: p.Lines, CreatedMS: p.CreatedMS,
	}
	out.Status = statusOf(p, nowMS)
	out.Final = out.Status == Paid || out.Status == Declined || out.Status == Closed
	out.Text = sentence(out.Status, p.Reason)
	if out.Status == Open && p.QR != "" {
		out.QR, out.ValidUntilMS = p.QR, p.ValidUntilMS
	}
	if out.Status == Declined && out.Reason == "" {
		out.Reason = pos.ErrNotSent
	}
	for _, r := range p.Refunds {
		out.Refunds = append(out.Refunds, refundOf(r))
		if r.State == pos.RefundRefunded {
			out.Refunded += r.Amount // bounded: refunds never exceed the payment
		}
	}
	return out
}

func statusOf(p webshop.Payment, nowMS int64) Status {
	switch p.State {
	case pos.Created:
		if p.Refused != "" || nowMS > p.ExpiresMS {
			return Declined
		}
		return Open
	case pos.Paid, pos.Credited:
		return Paid
	case pos.Unknown:
		return Unknown
	case pos.Abandoned:
		switch {
		case p.LatePaid:
			return LatePaid
		case p.Watched:
			return GivenUp
		}
		return Closed
	case pos.Declined, pos.Cancelled, pos.Refused, pos.Conflict:
		return Declined
	case pos.Asking, pos.AcceptedEvidence, pos.Stored:
	}
	return Open
}

// sentence tells a customer how it stands.
func sentence(s Status, reason pos.Code) pos.Text {
	switch s {
	case Open:
		return pos.Text{ZH: "请用数字人民币钱包扫码支付", EN: "scan the code with your digital-yuan wallet"}
	case Paid:
		return pos.Paid.Text()
	case Unknown:
		return pos.Unknown.Text()
	case GivenUp:
		return pos.Text{ZH: "已取消;如已付款,将自动退回", EN: "cancelled; if you have paid all the same, the money comes back by itself"}
	case LatePaid:
		return pos.Text{ZH: "取消后收到付款,正在自动退回", EN: "paid after it was cancelled; the money is on its way back"}
	case Closed:
		return pos.Text{ZH: "已取消,未扣款", EN: "cancelled, nothing was charged"}
	case Declined:
		if reason != "" {
			return reason.Text()
		}
	}
	return pos.Declined.Text()
}

type (
	payInput struct {
		Key  string `header:"Idempotency-Key" required:"false" doc:"the shop's own, 1 to 64 characters, kept for ever"`
		Body struct {
			Order       string         `json:"order_id" required:"false" doc:"the shop's number of the order, one business date"`
			Amount      pos.Money      `json:"amount_fen" required:"false"`
			Lines       []webshop.Line `json:"lines" required:"false" doc:"add up to the amount; categories decide where red envelopes are good for"`
			Institution string         `json:"institution,omitempty" required:"false" doc:"whose QR; without it the shop's"`
			ValidMS     int64          `json:"valid_ms,omitempty" required:"false" doc:"life of the QR, 30000 to 900000; without it 300000"`
		}
	}
	paymentOutput struct {
		Body Payment
	}
	idInput struct {
		ID string `path:"id" maxLength:"36"`
	}
	orderInput struct {
		Order string `query:"order_id" maxLength:"64"`
	}
	orderOutput struct {
		Body struct {
			Payments []Payment `json:"payments"`
		}
	}
	refundInput struct {
		ID   string `path:"id" maxLength:"36"`
		Key  string `header:"Idempotency-Key" required:"false" doc:"of the refund, never the payment's"`
		Body struct {
			Amount pos.Money `json:"amount_fen" required:"false"`
		}
	}
	refundOutput struct {
		Body struct {
			Refund  Refund  `json:"refund"`
			Payment Payment `json:"payment"`
		}
	}
)

// payments registers what shops do with money.
func (a *API) payments(api huma.API) {
	op := func(id, method, path, summary, description string, more ...int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/shop/v1/payments" + path, Summary: summary, Description: description,
			MaxBodyBytes: maxBody, Errors: refusals(more...),
		}
	}
	huma.Register(api, op("pay", http.MethodPost, "", "Ask to be paid for an order: the QR",
		"The same key with the same content is the same payment, as it stands now; with other content it is 409. One order has one amount, at most one open payment, and none beside a paid one.", http.StatusConflict),
		func(ctx context.Context, in *payInput) (*paymentOutput, error) { return answer(ctx, a, a.pay(ctx, in)) })
	huma.Register(api, op("payment", http.MethodGet, "/{id}", "How a payment stands", "What is not final is asked about at the institution."),
		func(ctx context.Context, in *idInput) (*paymentOutput, error) {
			return answer(ctx, a, a.withID(in.ID, func(id pos.PaymentID) (webshop.Payment, error) { return a.cfg.Desk.Find(ctx, callerOf(ctx), id) }))
		})
	huma.Register(api, op("order", http.MethodGet, "", "The payments of an order, oldest first", ""),
		func(ctx context.Context, in *orderInput) (*orderOutput, error) {
			return answer(ctx, a, a.order(ctx, in))
		})
	huma.Register(api, op("cancel", http.MethodPost, "/{id}/cancel", "Give a payment up",
		"A digital-yuan QR cannot be closed: the payment is watched until its validity plus a margin, and money that comes is refunded by itself. What is paid stays paid."),
		func(ctx context.Context, in *idInput) (*paymentOutput, error) {
			return answer(ctx, a, a.withID(in.ID, func(id pos.PaymentID) (webshop.Payment, error) { return a.cfg.Desk.Cancel(ctx, callerOf(ctx), id) }))
		})
	huma.Register(api, op("refund", http.MethodPost, "/{id}/refunds", "Give money back",
		"Own money first, then red envelopes; after a campaign's end the envelope's part is recalled. All refunds together never exceed the payment.", http.StatusConflict),
		func(ctx context.Context, in *refundInput) (*refundOutput, error) {
			return answer(ctx, a, a.refund(ctx, in))
		})
}

func (a *API) nowMS() int64 { return a.cfg.Now().UnixMilli() }

func (a *API) pay(ctx context.Context, in *payInput) func() (*paymentOutput, error) {
	return func() (*paymentOutput, error) {
		p, err := a.cfg.Desk.Pay(ctx, callerOf(ctx), in.Key, webshop.Order{
			ID: in.Body.Order, Amount: in.Body.Amount, Lines: in.Body.Lines, Institution: in.Body.Institution, ValidMS: in.Body.ValidMS,
		})
		return &paymentOutput{paymentOf(p, a.nowMS())}, err
	}
}

func (a *API) withID(text string, do func(pos.PaymentID) (webshop.Payment, error)) func() (*paymentOutput, error) {
	return func() (*paymentOutput, error) {
		id, err := pos.ParsePaymentID(text)
		if err != nil {
			return nil, pos.FieldError(pos.ErrNotFound, "payment", err)
		}
		p, err := do(id)
		return &paymentOutput{paymentOf(p, a.nowMS())}, err
	}
}

func (a *API) order(ctx context.Context, in *orderInput) func() (*orderOutput, error) {
	return func() (*orderOutput, error) {
		all, err := a.cfg.Desk.FindOrder(ctx, callerOf(ctx), in.Order)
		out := &orderOutput{}
		out.Body.Payments = []Payment{}
		for _, p := range all {
			out.Body.Payments = append(out.Body.Payments, paymentOf(p, a.nowMS()))
		}
		return out, err
	}
}

func (a *API) refund(ctx context.Context, in *refundInput) func() (*refundOutput, error) {
	return func() (*refundOutput, error) {
		id, err := pos.ParsePaymentID(in.ID)
		if err != nil {
			return nil, pos.FieldError(pos.ErrNotFound, "payment", err)
		}
		p, r, err := a.cfg.Desk.Refund(ctx, callerOf(ctx), in.Key, id, in.Body.Amount)
		out := &refundOutput{}
		out.Body.Payment, out.Body.Refund = paymentOf(p, a.nowMS()), refundOf(r)
		return out, err
	}
}
