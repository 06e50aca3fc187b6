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
	// SharedTx is PaymentTx for many at once: what waits while one transaction commits shares the next,
	// at most 256. Each stands or falls by itself, and none returns before the commit.
	SharedTx(ctx context.Context, fn func(tx Tx) error) error
	// FindPayment and FindRefund read one row outside a transaction.
	FindPayment(ctx context.Context, id pos.PaymentID) (Record, bool, error)
	FindRefund(ctx context.Context, id pos.RefundID) (Refund, bool, error)
	// DuePayments lists payments with 0 < NextMS ≤ nowMS, the longest due first, except
	// those of the institutions to skip.
	DuePayments(ctx context.Context, nowMS int64, skip []string, limit int) ([]Record, error)
	// DueRefunds is the same for refunds.
	DueRefunds(ctx context.Context, nowMS int64, limit int) ([]Refund, error)
	// UnreadEntries lists kept journal entries that Tx.Read has not named, in the
	// order of each (terminal, epoch, branch), at most limit. Of kinds other than payment_moved
	// and refund_moved, position and kind are enough.
	UnreadEntries(ctx context.Context, limit int) ([]Unread, error)
	// Unindexed lists payments with evidence that MarkIndexed has not named.
	Unindexed(ctx context.Context, limit int) ([]Record, error)
	// Revoked lists the serials of the wallets whose revocation stands, sorted.
	Revoked(ctx context.Context) ([]string, error)
}

// Unread is an entry with the branch of its journal: 0 is the journal proper, others are a fork's
// further branches and the islands of salvage files.
type Unread struct {
	pos.Entry
	Branch int
}

func (u Unread) sameBranch(o Unread) bool {
	return u.Terminal == o.Terminal && u.Epoch == o.Epoch && u.Branch == o.Branch
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
	// TerminalOf names the terminal whose journal has the payment.
	TerminalOf(ctx context.Context, id pos.PaymentID) (string, bool, error)
	// Read remembers that the entry was seen; false when it was before.
	Read(ctx context.Context, at pos.Position, branch int) (bool, error)
	// SignedUnder lists the statements of a wallet under a counter, the first seen first.
	SignedUnder(ctx context.Context, institution, wallet string, counter uint64) ([]Signed, error)
	// PutSigned inserts a statement, or replaces the one that was apart.
	PutSigned(ctx context.Context, s Signed) error
	// Rivals lists the payments, of journals proper, whose evidence was signed under the counter of
	// this one's, the first seen first.
	Rivals(ctx context.Context, id pos.PaymentID) ([]pos.PaymentID, error)
	// AppendConflict remembers that a counter has several statements; false when it was known.
	AppendConflict(ctx context.Context, institution, wallet string, counter uint64) (bool, error)
	// Promises lists what journals proper have of a wallet, signed after one moment and before
	// another, in order of time; of more than limit the last ones.
	Promises(ctx context.Context, institution, wallet string, afterMS, beforeMS int64, limit int) ([]Promise, error)
	// AppendExcess remembers a finding; false when the cap's period has one.
	AppendExcess(ctx context.Context, x Excess) (bool, error)
	// Whereabouts is where the store of a terminal stands; false when that is not told.
	Whereabouts(ctx context.Context, terminal string) (pos.Point, bool, error)
	// Elsewhere lists what journals proper have of a wallet at other places than own's, whose time is told, signed less than so
	// long before or after own, in order of time; of more than limit the last ones.
	Elsewhere(ctx context.Context, institution, wallet string, own Sighting, withinMS int64, limit int) ([]Sighting, error)
	// AppendJourney remembers a finding; false when the wallet's day has one.
	AppendJourney(ctx context.Context, j Journey) (bool, error)
	// PolicyLimits gives the limits of a policy; of a version that is not known here the newest of
	// the fleet's, and without one the zero value, which caps nothing.
	PolicyLimits(ctx context.Context, version uint64) (pos.Limits, error)
	MarkIndexed(ctx context.Context, id pos.PaymentID) error
	// Revocation finds what is proposed or stands for a wallet.
	Revocation(ctx context.Context, institution, wallet string) (Revocation, bool, error)
	// PutRevocation inserts one without a number, else writes its end.
	PutRevocation(ctx context.Context, r Revocation) error
	// Audit adds to the trail of operations.
	Audit(ctx context.Context, actor, what, subject, detail string) error
	// AppendVerdict gives the terminal's next verdict its number.
	AppendVerdict(ctx context.Context, terminal string, v pos.Verdict) (number uint64, err error)
	// Announce keeps an event for its web shop; an id that is kept already changes nothing.
	Announce(ctx context.Context, e Event) error
	// BookEnvelopes books what envelopes bear of a payment, once; Book of central/issuance.
	BookEnvelopes(ctx context.Context, u EnvelopeUse) error
	// GiveBackEnvelopes books what goes back to envelopes by a refund, once, and says how much.
	GiveBackEnvelopes(ctx context.Context, b EnvelopeBack) (GivenBack, error)
	// JudgeEnvelopes refuses evidence whose envelopes are not to be spent so. held: what it
	// needs was recalled, and two people decide; the store keeps it until then.
	JudgeEnvelopes(ctx context.Context, terminal string, u EnvelopeUse) (held bool, err error)
	// Held reports that a payment waits for two people since JudgeEnvelopes.
	Held(ctx context.Context, id pos.PaymentID) (bool, error)
	// LetGo takes a payment that has ended from what waits for people; of one that does not, nothing.
	LetGo(ctx context.Context, id pos.PaymentID) error
	ledger.Tx
}

// Terminal is what an enrolled terminal, or a web shop, may do here.
type Terminal struct {
	Merchant   string
	Shop       string
	Quarantine bool
}
