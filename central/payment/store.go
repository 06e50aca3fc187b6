package payment

import (
	"context"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Store keeps payments and refunds. Every method is durable when it returns.
type Store interface {
	// PaymentTx runs fn in one transaction that no other one of the store can
	// disturb; fn may be run again and has no effect but through tx.
	PaymentTx(ctx context.Context, fn func(tx Tx) error) error
	// FindPayment and FindRefund read one row outside a transaction.
	FindPayment(ctx context.Context, id pos.PaymentID) (Record, bool, error)
	FindRefund(ctx context.Context, id pos.RefundID) (Refund, bool, error)
	// DuePayments lists payments with 0 < NextMS ≤ nowMS, the longest due first, except
	// those of the institutions to skip.
	DuePayments(ctx context.Context, nowMS int64, skip []string, limit int) ([]Record, error)
	// DueRefunds is the same for refunds.
	DueRefunds(ctx context.Context, nowMS int64, limit int) ([]Refund, error)
	// UnreadEntries lists kept journal entries that Tx.Read has not named, in the
	// order of each (terminal, epoch), at most limit. Of kinds other than payment_moved
	// and refund_moved, position and kind are enough.
	UnreadEntries(ctx context.Context, limit int) ([]pos.Entry, error)
}

// Tx is one transaction. The boolean tells whether there is such a row.
type Tx interface {
	Payment(ctx context.Context, id pos.PaymentID) (Record, bool, error)
	// PutPayment inserts or replaces the row of its id.
	PutPayment(ctx context.Context, r Record) error
	Refund(ctx context.Context, id pos.RefundID) (Refund, bool, error)
	// RefundsOf lists the refunds of a payment, oldest first.
	RefundsOf(ctx context.Context, id pos.PaymentID) ([]Refund, error)
	PutRefund(ctx context.Context, r Refund) error
	// Terminal gives the enrolled terminal.
	Terminal(ctx context.Context, name string) (Terminal, bool, error)
	// Journaled gives a payment as the ingested entries of the till say.
	Journaled(ctx context.Context, terminal string, id pos.PaymentID) (pos.Payment, bool, error)
	// Read remembers that the entry was seen; false when it was before.
	Read(ctx context.Context, at pos.Position) (bool, error)
	// AppendVerdict gives the terminal's next verdict its number.
	AppendVerdict(ctx context.Context, terminal string, v pos.Verdict) (number uint64, err error)
	// BookEnvelopes books what envelopes bear of a payment, once; Book of central/issuance.
	BookEnvelopes(ctx context.Context, u EnvelopeUse) error
	// GiveBackEnvelopes books what goes back to envelopes by a refund, once.
	GiveBackEnvelopes(ctx context.Context, b EnvelopeBack) error
	// JudgeEnvelopes refuses evidence whose envelopes are not to be spent so. held: what it
	// needs was recalled, and two people decide; the store keeps it until then.
	JudgeEnvelopes(ctx context.Context, terminal string, u EnvelopeUse) (held bool, err error)
	ledger.Tx
}

// Terminal is what an enrolled terminal may do here.
type Terminal struct {
	Merchant   string
	Shop       string
	Quarantine bool
}
