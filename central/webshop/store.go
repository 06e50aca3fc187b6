package webshop

import (
	"context"

	"dcpos/pos"
)

// Store keeps shops, requests and events. What Write has written is durable when it
// returns; fn may be run again and has no effect but through tx.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction. The boolean tells whether there is such a row.
type Tx interface {
	Shop(ctx context.Context, id string) (Shop, bool, error)
	Shops(ctx context.Context) ([]Shop, error)
	// PutShop inserts or replaces; pos.ErrNotFound when the merchant is not registered.
	PutShop(ctx context.Context, s Shop) error
	Key(ctx context.Context, id string) (Key, bool, error)
	Keys(ctx context.Context, shop string) ([]Key, error)
	PutKey(ctx context.Context, k Key) error

	// UseNonce remembers the nonce; false when the key has used it before.
	UseNonce(ctx context.Context, key, nonce string, atMS int64) (bool, error)
	// ForgetNonces drops those from before the instant.
	ForgetNonces(ctx context.Context, beforeMS int64) error

	Request(ctx context.Context, shop, key string) (Request, bool, error)
	PutRequest(ctx context.Context, r Request) error

	// Payment joins the shop's attempt with what the payment room has of it.
	Payment(ctx context.Context, id pos.PaymentID) (Payment, bool, error)
	// OrderPayments lists the attempts of an order, oldest first.
	OrderPayments(ctx context.Context, shop, order string, limit int) ([]Payment, error)
	PutPayment(ctx context.Context, p Payment) error
	// DayTotal is the sum of a business date's attempts that are paid or may still be.
	DayTotal(ctx context.Context, shop string, date pos.Date, nowMS int64) (pos.Money, error)

	// Due lists events with 0 < NextMS ≤ nowMS of shops whose hook is on, oldest first.
	Due(ctx context.Context, nowMS int64, limit int) ([]Event, error)
	// Claim moves NextMS of an event that nobody has claimed since it was listed.
	Claim(ctx context.Context, e Event, nextMS int64) (bool, error)
	// Delivered notes a try and when the next one is; 0: none.
	Delivered(ctx context.Context, d Delivery, nextMS, doneMS int64) error
	// Events lists a shop's events with a number above after, in order.
	Events(ctx context.Context, shop string, after int64, limit int) ([]Event, error)
	// Deliveries lists tries, newest first; of all shops when shop is empty.
	Deliveries(ctx context.Context, shop string, limit int) ([]Delivery, error)
	// Waiting counts the events of a shop that are not delivered.
	Waiting(ctx context.Context, shop string) (int64, error)
	// Again makes the undelivered events of a shop due.
	Again(ctx context.Context, shop string, nowMS int64) (int64, error)

	Audit(ctx context.Context, actor, what, subject, detail string) error
}

// Request is an idempotency key and what was asked under it.
type Request struct {
	Shop  string
	Key   string
	Body  []byte // hash of the content
	ID    pos.PaymentID
	KeyID string // of the signature
	AtMS  int64
}

// Payment is one attempt of a web shop to be paid.
type Payment struct {
	ID          pos.PaymentID
	Shop        string
	Order       string
	Date        pos.Date // business date of the request
	Amount      pos.Money
	Lines       []Line
	Institution string
	ValidMS     int64
	ExpiresMS   int64    // the question cannot start after this
	Refused     pos.Code // the payment room would not start it
	CreatedMS   int64

	// What the payment room has; State is pos.Created while it has nothing.
	State          pos.State
	Reason         pos.Code
	Asked          string // institution
	Txn            string
	SettlementDate pos.Date
	Envelope       pos.Money
	QR             string
	ValidUntilMS   int64
	LatePaid       bool
	Watched        bool // the centre still asks about it
	Refunds        []Refund
}

// Refund is a refund of a web shop's payment.
type Refund struct {
	ID        pos.RefundID
	Amount    pos.Money
	Envelope  pos.Money // of Amount: what goes back to red envelopes; the rest is own money
	Recalled  pos.Money // of Envelope: what the fund takes back, as it is over
	State     pos.RefundState
	Auto      bool
	Reason    pos.Code
	Txn       string
	Date      pos.Date
	CreatedMS int64
}

// over reports that the attempt has come to nothing and cannot come to anything any more.
func (p Payment) over(nowMS int64) bool {
	switch p.State {
	case pos.Created:
		return p.Refused != "" || nowMS > p.ExpiresMS
	case pos.Declined:
		return true
	case pos.Abandoned:
		return !p.LatePaid && !p.Watched
	case pos.Asking, pos.Paid, pos.Unknown, pos.Cancelled, pos.AcceptedEvidence, pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
	}
	return false
}
