package sdk

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"dcpos/pos"
)

// Payment is a payment with its words.
type Payment struct {
	pos.Payment
	Short      string    `json:"short"`
	StateText  pos.Text  `json:"state_text"`
	ReasonText *pos.Text `json:"reason_text,omitempty"`
	ReasonHint *pos.Text `json:"reason_hint,omitempty"`
}

// StartRequest asks for a payment. Amounts are fen.
type StartRequest struct {
	Key            string    `json:"key,omitempty"` // idempotency key; empty: drawn, and returned in Payment.Key
	OrderID        string    `json:"order_id"`
	OrderAmount    pos.Money `json:"order_amount,omitempty"` // 0: the amount
	Amount         pos.Money `json:"amount"`
	Mode           pos.Mode  `json:"mode"`
	Note           string    `json:"note,omitempty"`
	Institution    string    `json:"institution,omitempty"`
	ConfirmUnknown bool      `json:"confirm_unknown,omitempty"`
	Operator       string    `json:"operator,omitempty"`
}

func at(id pos.PaymentID, rest string) string { return "/v1/payments/" + id.String() + rest }

func (c *Client) pay(ctx context.Context, path string, body any) (Payment, error) {
	var p Payment
	err := c.do(ctx, call{method: http.MethodPost, path: path, body: body}, &p)
	return p, err
}

// Start names a payment; nobody is asked for money yet. The same key with the same
// request gives the same payment. To be safe against the loss of this program too,
// choose the key yourself and keep it before the call.
func (c *Client) Start(ctx context.Context, r StartRequest) (Payment, error) {
	if r.Key == "" {
		r.Key = NewKey()
	}
	return c.pay(ctx, "/v1/payments", r)
}

// Payment reads one payment.
func (c *Client) Payment(ctx context.Context, id pos.PaymentID) (Payment, error) {
	var p Payment
	err := c.do(ctx, call{method: http.MethodGet, path: at(id, "")}, &p)
	return p, err
}

// Query chooses payments; a zero field chooses all.
type Query struct {
	Date   pos.Date
	States []pos.State
	Text   string
	Limit  int // 1 to 200; 0 is 50
}

// Payments lists payments, newest first.
func (c *Client) Payments(ctx context.Context, q Query) ([]Payment, error) {
	v := url.Values{}
	if q.Date != "" {
		v.Set("date", string(q.Date))
	}
	if q.Text != "" {
		v.Set("text", q.Text)
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	states := ""
	for i, s := range q.States {
		if i > 0 {
			states += ","
		}
		states += string(s)
	}
	if states != "" {
		v.Set("state", states)
	}
	var out struct {
		Payments []Payment `json:"payments"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/payments?" + v.Encode()}, &out)
	return out.Payments, err
}

// SubmitCode takes money from the customer's payment code. The payment comes back
// paid, declined, unknown, or asking while the institution is still at it: see Wait. A
// forwardable code may come back stored while there is no network: recorded, not yet charged.
// The goods may go, at the merchant's risk; how it ends comes as an event and a notice.
func (c *Client) SubmitCode(ctx context.Context, id pos.PaymentID, code string) (Payment, error) {
	return c.pay(ctx, at(id, "/code"), map[string]string{"code": code})
}

// Present shows a QR that the customer scans: Payment.QR, or QR for a picture.
func (c *Client) Present(ctx context.Context, id pos.PaymentID) (Payment, error) {
	return c.pay(ctx, at(id, "/present"), nil)
}

// Challenge is what the customer's wallet scans to pay offline.
type Challenge struct {
	Text      string `json:"text"`
	ExpiresMS int64  `json:"expires_ms"`
	Tap       bool   `json:"tap"` // a card or phone held to the reader pays too
}

// Challenge gives the offline challenge of an evidence payment.
func (c *Client) Challenge(ctx context.Context, id pos.PaymentID) (Challenge, error) {
	var out Challenge
	err := c.do(ctx, call{method: http.MethodPost, path: at(id, "/challenge")}, &out)
	return out, err
}

// SubmitEvidence takes the text of the wallet's answer QR.
func (c *Client) SubmitEvidence(ctx context.Context, id pos.PaymentID, text string) (Payment, error) {
	return c.pay(ctx, at(id, "/evidence"), map[string]string{"evidence": text})
}

// Cancel gives a payment up: cancelled before anyone was asked, abandoned afterwards.
func (c *Client) Cancel(ctx context.Context, id pos.PaymentID) (Payment, error) {
	return c.pay(ctx, at(id, "/cancel"), nil)
}

// Refresh asks the centre now what became of the payment.
func (c *Client) Refresh(ctx context.Context, id pos.PaymentID) (Payment, error) {
	return c.pay(ctx, at(id, "/refresh"), nil)
}

// RefundRequest asks to give money back. Amount is fen.
type RefundRequest struct {
	Key      string    `json:"key,omitempty"` // idempotency key; empty: drawn
	Amount   pos.Money `json:"amount"`
	Operator string    `json:"operator,omitempty"`
}

// Refunded is a refund and its payment.
type Refunded struct {
	Payment   Payment    `json:"payment"`
	Refund    pos.Refund `json:"refund"`
	StateText pos.Text   `json:"state_text"`
}

// Refund gives money of a payment back. Offline it is an intent that promises nothing.
func (c *Client) Refund(ctx context.Context, id pos.PaymentID, r RefundRequest) (Refunded, error) {
	if r.Key == "" {
		r.Key = NewKey()
	}
	var out Refunded
	err := c.do(ctx, call{method: http.MethodPost, path: at(id, "/refunds"), body: r}, &out)
	return out, err
}

// QR is what the customer scans as a PNG of size × size pixels.
func (c *Client) QR(ctx context.Context, id pos.PaymentID, size int) ([]byte, error) {
	var png []byte
	err := c.do(ctx, call{method: http.MethodGet, path: at(id, "/qr.png?size="+strconv.Itoa(size))}, &png)
	return png, err
}

// Wait returns the payment once it is neither created, asking nor unknown, or when
// ctx ends. A stored payment is returned at once: it is decided when nobody waits any more. It survives restarts of the till's agent.
func (c *Client) Wait(ctx context.Context, id pos.PaymentID) (Payment, error) {
	var decided Payment
	look := func() error {
		p, err := c.Payment(ctx, id)
		if err != nil {
			return err
		}
		decided = p
		if !p.State.Open() || p.State == pos.Stored {
			return errDecided
		}
		return nil
	}
	err := c.Events(ctx, "", look, func(e Event) error {
		if e.Kind == EventReset || (e.Payment != nil && e.Payment.ID == id) {
			return look()
		}
		return nil
	})
	if errors.Is(err, errDecided) {
		err = nil
	}
	return decided, err
}

var errDecided = errors.New("decided")
