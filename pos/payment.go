package pos

import (
	"fmt"
	"strings"
)

// Mode is the way the customer pays.
type Mode string

// The modes of the counter.
const (
	BScanC   Mode = "b_scan_c" // the merchant scans the customer's code (被扫)
	CScanB   Mode = "c_scan_b" // the customer scans the merchant's QR (主扫)
	Evidence Mode = "evidence" // both offline: the wallet signs, the till verifies (双离线)
)

// Valid reports whether m is a mode.
func (m Mode) Valid() bool { return m == BScanC || m == CScanB || m == Evidence }

// Limits of what a caller may send. Everything from outside has one.
const (
	MaxAmount   Money = 100_000_000_00 // ¥100 million: far above any till, far below overflow
	MaxOrderID  int   = 64
	MaxKey      int   = 64
	MaxNote     int   = 200
	MaxAttempts int   = 50
)

// Payment is one attempt to take money, as the entries of its journal say.
// It is a projection: Apply is the only way it changes.
type Payment struct {
	ID             PaymentID   `json:"id"`
	Terminal       string      `json:"terminal"`
	Epoch          uint32      `json:"epoch"`
	Env            Environment `json:"env"`
	OrderID        string      `json:"order_id"`
	OrderAmount    Money       `json:"order_amount"`
	Attempt        int         `json:"attempt"`
	Caller         string      `json:"caller"`
	Key            string      `json:"key"`
	BodyHash       string      `json:"body_hash"`
	Amount         Money       `json:"amount"`
	Mode           Mode        `json:"mode"`
	State          State       `json:"state"`
	Reason         Code        `json:"reason,omitempty"`
	Operator       string      `json:"operator"`
	BusinessDate   Date        `json:"business_date"`
	SettlementDate Date        `json:"settlement_date,omitempty"`
	Institution    string      `json:"institution,omitempty"`
	InstitutionTxn string      `json:"institution_txn,omitempty"`
	QR             string      `json:"qr,omitempty"`
	ExpiresMS      int64       `json:"expires_ms,omitempty"`
	CodeHash       []byte      `json:"code_hash,omitempty"`
	Wallet         string      `json:"wallet,omitempty"`
	Counter        uint64      `json:"counter,omitempty"`
	EnvelopePart   Money       `json:"envelope,omitempty"`
	LatePaid       bool        `json:"late_paid,omitempty"` // money came after it was abandoned
	StoredMS       int64       `json:"stored_ms,omitempty"` // when it was stored at the merchant's risk, by the wall clock; ExpiresMS is when its code's validity ends
	Instrument     string      `json:"instrument,omitempty"`
	Refunds        []Refund    `json:"refunds,omitempty"`
	CreatedMS      int64       `json:"created_ms"`
	UpdatedMS      int64       `json:"updated_ms"`
	LastSeq        uint64      `json:"last_seq"`
	Note           string      `json:"note,omitempty"`
}

// Refund is a record of its own that points at a payment.
type Refund struct {
	ID        RefundID    `json:"id"`
	State     RefundState `json:"state"`
	Amount    Money       `json:"amount"`
	Caller    string      `json:"caller"`
	Key       string      `json:"key"`
	BodyHash  string      `json:"body_hash"`
	Auto      bool        `json:"auto,omitempty"`
	Reason    Code        `json:"reason,omitempty"`
	Operator  string      `json:"operator"`
	RefundTxn string      `json:"refund_txn,omitempty"`
	Date      Date        `json:"settlement_date,omitempty"`
	Envelope  Money       `json:"envelope,omitempty"` // the part that goes back to red envelopes, once it is done
	Recalled  Money       `json:"recalled,omitempty"` // the part of Envelope that the fund takes back: it is over
	CreatedMS int64       `json:"created_ms"`
	UpdatedMS int64       `json:"updated_ms"`
}

// Check refuses a PaymentCreated that no till may write: amounts out of range, an empty key or order.
func (c PaymentCreated) Check() error {
	switch {
	case c.Amount <= 0 || c.Amount > MaxAmount:
		return FieldError(ErrBadRequest, "amount", fmt.Errorf("%d fen: want 1 to %d", c.Amount, MaxAmount))
	case c.OrderAmount < c.Amount || c.OrderAmount > MaxAmount:
		return FieldError(ErrBadRequest, "order_amount", fmt.Errorf("%d fen: want at least the amount", c.OrderAmount))
	case !c.Mode.Valid():
		return FieldError(ErrBadRequest, "mode", fmt.Errorf("%q: want %s, %s or %s", c.Mode, BScanC, CScanB, Evidence))
	case !label(c.OrderID, MaxOrderID):
		return FieldError(ErrBadRequest, "order_id", fmt.Errorf("want 1 to %d printable characters", MaxOrderID))
	case !label(c.Key, MaxKey):
		return FieldError(ErrBadRequest, "key", fmt.Errorf("want 1 to %d printable characters", MaxKey))
	case len(c.Note) > MaxNote:
		return FieldError(ErrBadRequest, "note", fmt.Errorf("want at most %d bytes", MaxNote))
	}
	return nil
}

// label reports 1 to limit bytes without control characters.
func label(s string, limit int) bool { //nolint:unparam // limits of different things, equal today
	return s != "" && len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Start makes the payment that a payment_created entry names.
func Start(e Entry, c PaymentCreated) (Payment, error) {
	if err := c.Check(); err != nil {
		return Payment{}, err
	}
	if e.Payment.IsZero() {
		return Payment{}, FieldError(ErrBadRequest, "payment", fmt.Errorf("entry %d names no payment", e.Seq))
	}
	return Payment{
		ID: e.Payment, Terminal: e.Terminal, Epoch: e.Epoch, Env: e.Env,
		OrderID: c.OrderID, OrderAmount: c.OrderAmount, Attempt: c.Attempt,
		Caller: c.Caller, Key: c.Key, BodyHash: c.BodyHash, Amount: c.Amount, Mode: c.Mode,
		State: Created, Operator: e.Operator, BusinessDate: e.BusinessDate,
		CreatedMS: e.At.WallMS, UpdatedMS: e.At.WallMS, LastSeq: e.Seq, Note: c.Note,
	}, nil
}

// Move applies a payment_moved entry: the states must be neighbours and From the
// present one. What the entry does not tell stays as it is.
func (p Payment) Move(e Entry, m PaymentMoved) (Payment, error) {
	if m.From != p.State {
		return p, NewError(ErrIllegalMove, fmt.Errorf("entry %d moves from %s, payment is %s", e.Seq, m.From, p.State))
	}
	if err := CheckMove(m.From, m.To); err != nil {
		return p, err
	}
	p.State, p.Reason = m.To, m.Reason
	keep(&p.Institution, m.Institution)
	keep(&p.InstitutionTxn, m.InstitutionTxn)
	keep(&p.SettlementDate, m.SettlementDate)
	keep(&p.QR, m.QR)
	keep(&p.Wallet, m.Wallet)
	keep(&p.ExpiresMS, m.ExpiresMS)
	keep(&p.Counter, m.Counter)
	keep(&p.EnvelopePart, m.Envelope)
	keep(&p.Instrument, m.Instrument)
	if m.To == Stored {
		p.StoredMS = e.At.WallMS
	}
	if len(m.CodeHash) > 0 {
		p.CodeHash = m.CodeHash
	}
	p.touch(e)
	return p, nil
}

// Late applies a payment_late_paid entry; only an abandoned payment can be paid late, and once.
func (p Payment) Late(e Entry, l LatePaid) (Payment, error) {
	if p.State != Abandoned {
		return p, NewError(ErrIllegalMove, fmt.Errorf("entry %d: late payment of a payment that is %s", e.Seq, p.State))
	}
	if p.LatePaid {
		return p, NewError(ErrIllegalMove, fmt.Errorf("entry %d: late payment recorded before", e.Seq))
	}
	p.LatePaid = true
	p.Institution, p.InstitutionTxn, p.SettlementDate = l.Institution, l.InstitutionTxn, l.SettlementDate
	p.touch(e)
	return p, nil
}

// RefundMove applies a refund_moved entry: the first one starts the refund, and
// the sum of refunds that are not declined never exceeds the amount.
func (p Payment) RefundMove(e Entry, m RefundMoved) (Payment, error) {
	i := p.refundIndex(m.RefundID)
	if i < 0 {
		return p.refundStart(e, m)
	}
	refunds := append([]Refund(nil), p.Refunds...)
	r := refunds[i]
	if r.State != m.From {
		return p, NewError(ErrIllegalMove, fmt.Errorf("entry %d moves a refund from %s, it is %s", e.Seq, m.From, r.State))
	}
	if err := CheckRefundMove(m.From, m.To); err != nil {
		return p, err
	}
	r.State, r.Reason, r.UpdatedMS = m.To, m.Reason, e.At.WallMS
	keep(&r.RefundTxn, m.RefundTxn)
	keep(&r.Date, m.Date)
	keep(&r.Envelope, m.Envelope)
	keep(&r.Recalled, m.Recalled)
	refunds[i] = r
	p.Refunds = refunds
	p.touch(e)
	return p, nil
}

func (p Payment) refundStart(e Entry, m RefundMoved) (Payment, error) {
	if err := CheckRefundMove("", m.To); err != nil || m.From != "" {
		return p, NewError(ErrIllegalMove, fmt.Errorf("entry %d starts a refund as %q", e.Seq, m.To))
	}
	if err := p.CheckRefund(m.Amount); err != nil {
		return p, err
	}
	p.Refunds = append(append([]Refund(nil), p.Refunds...), Refund{
		ID: m.RefundID, State: m.To, Amount: m.Amount, Caller: m.Caller, Key: m.Key, BodyHash: m.BodyHash,
		Auto: m.Auto, Reason: m.Reason, Operator: e.Operator, RefundTxn: m.RefundTxn, Date: m.Date,
		CreatedMS: e.At.WallMS, UpdatedMS: e.At.WallMS,
	})
	p.touch(e)
	return p, nil
}

// Own is the part that goes back to the customer's own money; 0 before the refund is done.
func (r Refund) Own() Money {
	if r.State != RefundRefunded {
		return 0
	}
	return r.Amount - r.Envelope
}

// Refundable reports that the institution holds money of this payment that could go back.
// accepted_evidence is refundable only after credit.
func (p Payment) Refundable() bool {
	return p.State == Paid || p.State == Credited || (p.State == Abandoned && p.LatePaid)
}

// Lost reports goods that went out against a stored code which was then not paid: the
// merchant's loss, as agreed when the code was stored.
func (p Payment) Lost() bool { return p.StoredMS > 0 && p.State == Declined }

// Reserved is the sum of refunds that are done or may still be done.
func (p Payment) Reserved() Money {
	var sum Money
	for _, r := range p.Refunds {
		if r.State != RefundDeclined {
			sum += r.Amount // bounded: CheckRefund keeps the sum at or below Amount
		}
	}
	return sum
}

// Refunded is the sum of refunds that are done.
func (p Payment) Refunded() Money {
	var sum Money
	for _, r := range p.Refunds {
		if r.State == RefundRefunded {
			sum += r.Amount
		}
	}
	return sum
}

// CheckRefund refuses a refund that the payment cannot bear.
func (p Payment) CheckRefund(amount Money) error {
	if !p.Refundable() {
		return NewError(ErrNotRefundable, fmt.Errorf("payment is %s", p.State))
	}
	if amount <= 0 || amount > p.Amount-p.Reserved() {
		return FieldError(ErrRefundTooMuch, "amount",
			fmt.Errorf("%s of %s can be refunded, asked %s", p.Amount-p.Reserved(), p.Amount, amount))
	}
	return nil
}

// Refund finds a refund by id.
func (p Payment) Refund(id RefundID) (Refund, bool) {
	if i := p.refundIndex(id); i >= 0 {
		return p.Refunds[i], true
	}
	return Refund{}, false
}

func (p Payment) refundIndex(id RefundID) int {
	for i, r := range p.Refunds {
		if r.ID == id {
			return i
		}
	}
	return -1
}

func (p *Payment) touch(e Entry) { p.UpdatedMS, p.LastSeq = e.At.WallMS, e.Seq }

func keep[T comparable](field *T, v T) {
	var zero T
	if v != zero {
		*field = v
	}
}
