package pos

// What a till asks the centre while the customer waits, and what it is told. The
// road (sync/wire) carries these as they are.

// AskPay asks to take money from the customer's code (B-scan-C).
type AskPay struct {
	Env       Environment `json:"env"`
	Payment   PaymentID   `json:"payment"`
	Merchant  string      `json:"merchant"`
	Amount    Money       `json:"amount"`
	Code      string      `json:"code"`            // bearer secret: never logged, never stored
	Lines     []Line      `json:"lines,omitempty"` // what is bought; empty: not told
	ExpiresMS int64       `json:"expires_ms"`
	SentMS    int64       `json:"sent_ms"`
	// UntilMS is set for a forwardable code that was stored while there was no network, and
	// is when its validity ends: nobody is asked for the money afterwards. 0: the customer waits.
	UntilMS int64 `json:"until_ms,omitempty"`
}

// AskPresent asks for a QR that the customer scans (C-scan-B).
type AskPresent struct {
	Env         Environment `json:"env"`
	Payment     PaymentID   `json:"payment"`
	Merchant    string      `json:"merchant"`
	Amount      Money       `json:"amount"`
	Institution string      `json:"institution,omitempty"` // empty: the centre's default for the terminal
	ValidMS     int64       `json:"valid_ms"`              // how long the QR is to live, milliseconds
	Channel     string      `json:"channel,omitempty"`     // empty: in_store
	Lines       []Line      `json:"lines,omitempty"`       // what is bought; empty: not told
	ExpiresMS   int64       `json:"expires_ms"`
	SentMS      int64       `json:"sent_ms"`
}

// AskQuery asks what became of a payment, or of a refund when Refund is set.
type AskQuery struct {
	Env     Environment `json:"env"`
	Payment PaymentID   `json:"payment"`
	Refund  RefundID    `json:"refund,omitzero"`
}

// AskAbandon tells that the till gave up. The centre queries until the QR's validity
// plus margin and refunds by itself what still arrives.
type AskAbandon struct {
	Env     Environment `json:"env"`
	Payment PaymentID   `json:"payment"`
}

// AskRefund asks for an authorized refund; Refund is its own idempotency key.
type AskRefund struct {
	Env       Environment `json:"env"`
	Refund    RefundID    `json:"refund"`
	Payment   PaymentID   `json:"payment"`
	Amount    Money       `json:"amount"`
	Operator  string      `json:"operator"`
	ExpiresMS int64       `json:"expires_ms"`
	SentMS    int64       `json:"sent_ms"`
}

// Outcome is the centre's word on a question.
type Outcome string

// The outcomes. Only Paid, Declined and Refunded are final.
const (
	OutcomePaid     Outcome = "paid"
	OutcomeDeclined Outcome = "declined" // the institution's no; Reason says why
	OutcomePending  Outcome = "pending"  // in process, or a QR waits to be scanned
	OutcomeUnknown  Outcome = "unknown"  // asked, unanswered: query again
	OutcomeRefunded Outcome = "refunded"
	OutcomeRejected Outcome = "rejected" // the centre refused to start it; nothing was asked
)

// Answer is the centre's answer to pay, present, query, abandon and refund.
type Answer struct {
	Payment        PaymentID `json:"payment"`
	Refund         RefundID  `json:"refund,omitzero"`
	Outcome        Outcome   `json:"outcome"`
	Reason         Code      `json:"reason,omitempty"`
	Detail         string    `json:"detail,omitempty"` // for logs, English
	Institution    string    `json:"institution,omitempty"`
	InstitutionTxn string    `json:"institution_txn,omitempty"`
	SettlementDate Date      `json:"settlement_date,omitempty"`
	// Envelope is the part that red envelopes have paid; of a refund, the part that they get back.
	Envelope Money `json:"envelope,omitempty"`
	// Recalled is what of a refund's Envelope the fund takes back: the envelope is over.
	Recalled     Money  `json:"recalled,omitempty"`
	QR           string `json:"qr,omitempty"`
	ValidUntilMS int64  `json:"valid_until_ms,omitempty"`
	CentreMS     int64  `json:"centre_ms"`
}

// Final reports that the question needs no further query.
func (a Answer) Final() bool {
	switch a.Outcome {
	case OutcomePaid, OutcomeDeclined, OutcomeRefunded, OutcomeRejected:
		return true
	case OutcomePending, OutcomeUnknown:
		return false
	}
	return false
}

// Verdict is a decision about one payment that the till journals and shows.
type Verdict struct {
	Number  uint64    `json:"number"` // per terminal, from 1, without gaps
	Payment PaymentID `json:"payment"`
	// Moved is set for credited, refused, conflict, and for the end of unknown.
	Moved *PaymentMoved `json:"moved,omitempty"`
	// Late is set when money came for an abandoned payment.
	Late *LatePaid `json:"late,omitempty"`
	// Refund is set when a refund moved at the centre, the automatic one included.
	Refund *RefundMoved `json:"refund,omitempty"`
}
