package payment

import (
	"context"
	"crypto/sha256"
	"fmt"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Record is what the centre knows of one payment.
type Record struct {
	ID             pos.PaymentID
	Terminal       string
	Merchant       string
	Mode           pos.Mode
	Amount         pos.Money
	Body           []byte // keyed fingerprint of the question; empty: known from the till's journal only
	Institution    string // empty: not known which institution was asked, if any
	State          pos.State
	Reason         pos.Code
	Detail         string // the institution's own reason, or what went wrong last
	Txn            string
	SettlementDate pos.Date
	Fee            pos.Money
	Envelope       pos.Money
	QR             string
	ValidUntilMS   int64 // of the QR
	ExpiresMS      int64 // of the question
	UntilMS        int64 // of a payment that a till stored: nobody is asked for it afterwards
	Evidence       []byte
	Indexed        bool // the evidence was looked at for the index of counters
	Place          Place
	LatePaid       bool  // money came after it was abandoned
	Told           bool  // the till was given the verdict on the end of unknown
	Step           int   // how many times it was asked about
	NextMS         int64 // when it is asked about again; 0: never
	CreatedMS      int64
	UpdatedMS      int64
}

// deadline is the moment after which the institution starts nothing of it any more.
func (r Record) deadline() int64 { return max(r.ExpiresMS, r.ValidUntilMS) }

// refundable reports that the institution holds money that may go back.
func (r Record) refundable() bool {
	return r.State == pos.Paid || r.State == pos.Credited || (r.State == pos.Abandoned && r.LatePaid)
}

// answer is what the till is told.
func (r Record) answer(nowMS int64) pos.Answer {
	a := pos.Answer{
		Payment: r.ID, Reason: r.Reason, Detail: r.Detail, Institution: r.Institution, InstitutionTxn: r.Txn,
		SettlementDate: r.SettlementDate, Envelope: r.Envelope, CentreMS: nowMS,
	}
	switch r.State {
	case pos.Paid, pos.Credited:
		a.Outcome = pos.OutcomePaid
	case pos.Declined, pos.Refused, pos.Conflict, pos.Cancelled:
		a.Outcome = pos.OutcomeDeclined
	case pos.Unknown:
		a.Outcome = pos.OutcomeUnknown
	case pos.Abandoned:
		a.Outcome = pos.OutcomePending
		if r.NextMS == 0 && !r.LatePaid {
			a.Outcome = pos.OutcomeDeclined // the watch is over, nothing came
		}
	case pos.Created, pos.Asking, pos.AcceptedEvidence, pos.Stored:
		a.Outcome = pos.OutcomePending
		a.QR, a.ValidUntilMS = r.QR, r.ValidUntilMS
	}
	return a
}

// Refund is what the centre knows of one refund.
type Refund struct {
	ID         pos.RefundID
	Payment    pos.PaymentID
	Terminal   string // that asked, and that is told
	Merchant   string
	Amount     pos.Money
	State      pos.RefundState
	Auto       bool   // of a late payment, by the centre
	Authorized bool   // reserved here; false: known from the till's journal only, never asked for again
	Source     string // ledger account that bears it; empty: the merchant, or late money's suspense
	Operator   string
	Reason     pos.Code
	Detail     string
	Txn        string
	Date       pos.Date
	Envelope   pos.Money // the part that went back to envelopes
	Recalled   pos.Money // of Envelope: what the fund takes back, as it is over
	Told       bool      // the till was given the verdict on its end
	Step       int       // how many times the institution was asked
	NextMS     int64     // when it is asked again; 0: never
	CreatedMS  int64
	UpdatedMS  int64
}

// firstQuestion reports that no question about this refund can have left before.
func (r Refund) firstQuestion() bool { return !r.Auto && r.State == pos.RefundAsking && r.Step == 1 }

func (r Refund) answer(institution string, nowMS int64) pos.Answer {
	a := pos.Answer{
		Payment: r.Payment, Refund: r.ID, Reason: r.Reason, Detail: r.Detail, Institution: institution,
		InstitutionTxn: r.Txn, SettlementDate: r.Date, Envelope: r.Envelope, Recalled: r.Recalled, CentreMS: nowMS,
	}
	switch r.State {
	case pos.RefundRefunded:
		a.Outcome = pos.OutcomeRefunded
	case pos.RefundDeclined:
		a.Outcome = pos.OutcomeDeclined
	case pos.RefundUnknown:
		a.Outcome = pos.OutcomeUnknown
	case pos.RefundIntent, pos.RefundAsking:
		a.Outcome = pos.OutcomePending
	}
	return a
}

// lateDomain separates this hash from every other; a change of the rule is a new domain.
const lateDomain = "dcpos-late-refund-1"

// LateRefund is the id of the refund of a late payment: the 48 bits of time of the
// payment's id, then bits of SHA-256(domain ‖ 0x00 ‖ id), with version 8 and variant
// as RFC 9562 §5.8 says. The same payment has the same refund for ever.
func LateRefund(id pos.PaymentID) pos.RefundID { return derived(lateDomain, id) }

func derived(domain string, id pos.PaymentID) pos.RefundID {
	sum := sha256.Sum256(append(append([]byte(domain), 0), id[:]...))
	var r pos.RefundID
	copy(r[:6], id[:6])
	copy(r[6:], sum[:10])
	r[6] = r[6]&0x0f | 0x80
	r[8] = r[8]&0x3f | 0x80
	return r
}

// LateKey is the idempotency key under which the till journals that refund.
func LateKey(id pos.PaymentID) string { return "late:" + id.String() }

// LateCaller is the caller of that refund.
const LateCaller = "centre"

// retryDomain separates this hash from every other; a change of the rule is a new domain.
const retryDomain = "dcpos-late-retry-1"

// RetryLate asks for the refund of late money once more, after its institution has declined the one before: a refund of
// its own, which suspense bears. The n-th has the same id for ever. The till was told of the first one's end; of this
// one it hears nothing.
func RetryLate(ctx context.Context, tx Tx, nowMS int64, id pos.PaymentID, by string) error {
	r, found, err := tx.Payment(ctx, id)
	if err != nil {
		return err
	}
	if !found || !r.LatePaid {
		return pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s is no late one", id))
	}
	before, err := tx.RefundsOf(ctx, id)
	if err != nil {
		return err
	}
	for _, b := range before {
		if b.State != pos.RefundDeclined {
			return pos.FieldError(pos.ErrIllegalMove, "payment", fmt.Errorf("refund %s is %s", b.ID, b.State))
		}
	}
	return tx.PutRefund(ctx, Refund{
		ID: derived(fmt.Sprintf("%s %d", retryDomain, len(before)), id), Payment: id, Terminal: r.Terminal, Merchant: r.Merchant, Amount: r.Amount,
		State: pos.RefundAsking, Authorized: true, Told: true, Source: ledger.SuspenseLate(id), Operator: by,
		NextMS: nowMS, CreatedMS: nowMS, UpdatedMS: nowMS,
	})
}

// backoff is how long to wait before asking the n-th time again, in milliseconds.
func backoff(n int) int64 {
	steps := [...]int64{1, 2, 3, 5, 8, 13, 21, 34, 60}
	return steps[min(n, len(steps)-1)] * 1000
}
