package institution

import (
	"context"
	"io"

	"dcpos/pos"
)

// Status is an institution's word on a request.
type Status string

// The statuses of docs/PROTOCOL.md, "institution".
const (
	Success   Status = "S" // the money moved, or was credited
	Failed    Status = "F" // a final no
	InProcess Status = "P" // not decided; for an order: nobody paid yet
	NotFound  Status = "N" // on queries: the request never arrived
)

// Valid reports whether s is one of the four.
func (s Status) Valid() bool {
	switch s {
	case Success, Failed, InProcess, NotFound:
		return true
	}
	return false
}

// Answer is what an institution says about a payment, an order, a refund or evidence.
type Answer struct {
	Status         Status    `json:"status"`
	Txn            string    `json:"txn_id"`
	Reason         string    `json:"reason"`
	SettlementDate pos.Date  `json:"settlement_date"`
	Fee            pos.Money `json:"fee_fen"`
	Envelope       pos.Money `json:"envelope_fen"`
	Envelopes      []Share   `json:"envelopes"` // parts of Envelope, in the order of spending or of giving back
	WalletHint     string    `json:"wallet_hint"`
	QR             string    `json:"qr"`
	ValidUntilMS   int64     `json:"valid_until_ms"`
}

// PayRequest takes money by the customer's payment code (B-scan-C).
type PayRequest struct {
	ID        pos.PaymentID `json:"request_id"`
	Merchant  string        `json:"merchant"`
	Terminal  string        `json:"terminal"`
	Amount    pos.Money     `json:"amount_fen"`
	Code      string        `json:"code"` // bearer secret: never logged
	ExpiresMS int64         `json:"expires_ms"`
	Channel   string        `json:"channel,omitempty"` // as in OrderRequest
	Lines     []pos.Line    `json:"lines,omitempty"`
	Store     string        `json:"store,omitempty"` // where the till stands; none online
}

// OrderRequest asks for a QR that the customer scans (C-scan-B). An order cannot be closed.
type OrderRequest struct {
	ID           pos.PaymentID `json:"request_id"`
	Merchant     string        `json:"merchant"`
	Terminal     string        `json:"terminal"`
	Amount       pos.Money     `json:"amount_fen"`
	ValidUntilMS int64         `json:"valid_until_ms"`
	// Channel and Lines tell where and for what, so that the institution can hold an
	// envelope to its scope; empty: in_store, not told.
	Channel string     `json:"channel,omitempty"`
	Lines   []pos.Line `json:"lines,omitempty"`
	Store   string     `json:"store,omitempty"` // where the till stands; none online
}

// RefundRequest gives money of a payment back.
type RefundRequest struct {
	ID       pos.RefundID  `json:"request_id"`
	Original pos.PaymentID `json:"orig_request_id"`
	Amount   pos.Money     `json:"amount_fen"`
}

// EvidenceRequest submits a wallet's signed statement for credit.
type EvidenceRequest struct {
	ID       pos.PaymentID `json:"request_id"`
	Evidence []byte        `json:"evidence"` // canonical bytes of dcep.Evidence
}

// Adapter is one institution. Every request is idempotent by its id and content.
// Errors are *Error: their Class tells whether the request may have arrived, and
// only NotSent and Refused license "no money moved".
type Adapter interface {
	Pay(ctx context.Context, r PayRequest) (Answer, error)
	Order(ctx context.Context, r OrderRequest) (Answer, error)
	// Payment asks what became of a payment or an order; it never fails fast.
	Payment(ctx context.Context, id pos.PaymentID) (Answer, error)
	Refund(ctx context.Context, r RefundRequest) (Answer, error)
	// RefundStatus asks what became of a refund; it never fails fast.
	RefundStatus(ctx context.Context, id pos.RefundID) (Answer, error)
	Evidence(ctx context.Context, r EvidenceRequest) (Answer, error)
	// Statement writes the statement of a settlement date to w; ErrNotReady while
	// the institution has not made it.
	Statement(ctx context.Context, date pos.Date, w io.Writer) error
	// Account writes the statement of the settlement account for the date (MT940) to w;
	// ErrNotReady while the institution has not made it.
	Account(ctx context.Context, date pos.Date, w io.Writer) error
}
