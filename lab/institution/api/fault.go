package api

import "dcpos/pos"

// Op names what a fault strikes.
type Op string

// The operations; OpQuery is GET of payments and refunds.
const (
	OpPayments   Op = "payments"
	OpOrders     Op = "orders"
	OpRefunds    Op = "refunds"
	OpEvidence   Op = "evidence"
	OpQuery      Op = "query"
	OpStatements Op = "statements"
	OpAccount    Op = "account"   // the settlement account's statement
	OpEnvelopes  Op = "envelopes" // orders, recalls and claims; decline strikes one of a batch's answers
)

// Kind names what goes wrong.
type Kind string

// The kinds of fault.
const (
	Slow        Kind = "slow"         // booked at once, answered after the delay
	LostAnswer  Kind = "lost_answer"  // booked, then the connection is cut
	Duplicate   Kind = "duplicate"    // booked once, two lines in the statement
	Decline     Kind = "decline"      // answered F with the reason
	Unavailable Kind = "unavailable"  // 503, nothing booked
	ExpiredCode Kind = "expired_code" // the code is treated as older than a minute
	Late        Kind = "late"         // the statement is not ready yet
	Planted     Kind = "planted"      // one statement line is dropped or changed
	Damaged     Kind = "damaged"      // the statement arrives spoilt, once
	ShortCredit Kind = "short_credit" // so much less is credited to the settlement account (at least 1 fen)
)

// Damages of a statement, in a fault's Reason; the empty one is DamageCut.
const (
	DamageCut   = "cut"   // the trailer is missing
	DamageTotal = "total" // the trailer's last number is another
	DamageNUL   = "nul"   // a NUL byte before the trailer
	DamageLong  = "long"  // a line of 70 KiB
	DamageEmpty = "empty" // no byte
	DamageStale = "stale" // the statement of the day before
)

// Changes of a planted difference, in a fault's Reason; the empty one is ChangeDrop.
const (
	ChangeDrop   = "drop"   // the line is missing
	ChangeAmount = "amount" // one fen more
	ChangeStatus = "status" // S becomes F
	ChangeFee    = "fee"    // one fen more
)

// MaxDelayMS and MaxCount bound a fault.
const (
	MaxDelayMS = 120_000
	MaxCount   = 1_000_000
)

// Fault is ordered by a test or a demonstration, never by chance.
type Fault struct {
	Op      Op        `json:"op"`
	Kind    Kind      `json:"kind"`
	Count   int       `json:"count"`                // how many requests it strikes; 0 is read as 1
	DelayMS int64     `json:"delay_ms,omitempty"`   // of slow
	Reason  string    `json:"reason,omitempty"`     // of decline; of planted the change
	Amount  pos.Money `json:"amount_fen,omitempty"` // only requests (or lines) of this amount; 0 is any
}

// Check implements Checker; it also reads a Count of 0 as 1.
func (f *Fault) Check() error {
	if f.Count == 0 {
		f.Count = 1
	}
	switch {
	case f.Count < 0 || f.Count > MaxCount:
		return bad("count", "want 1 to %d", MaxCount)
	case f.DelayMS < 0 || f.DelayMS > MaxDelayMS:
		return bad("delay_ms", "want 0 to %d", MaxDelayMS)
	case len(f.Reason) > maxLabel:
		return bad("reason", "want at most %d bytes", maxLabel)
	case f.Amount < 0:
		return bad("amount_fen", "want 0 or more")
	case f.Amount > 0 && (f.Op == OpQuery || f.Op == OpEnvelopes || (f.Op == OpStatements && f.Kind != Planted) || (f.Op == OpAccount && f.Kind != ShortCredit)):
		return bad("amount_fen", "%s carries no amount", f.Op)
	}
	return f.checkKind()
}

func (f *Fault) checkKind() error {
	posted := f.Op == OpPayments || f.Op == OpOrders || f.Op == OpRefunds || f.Op == OpEvidence
	if !posted && f.Op != OpEnvelopes && f.Op != OpQuery && f.Op != OpStatements && f.Op != OpAccount {
		return bad("op", "%q: want payments, orders, refunds, evidence, envelopes, query, statements or account", f.Op)
	}
	fits := false
	switch f.Kind {
	case Slow, LostAnswer, Unavailable:
		fits = true
	case Duplicate:
		fits = posted
	case Decline:
		fits = posted || f.Op == OpEnvelopes
	case ExpiredCode:
		fits = f.Op == OpPayments
	case Late:
		fits = f.Op == OpStatements || f.Op == OpAccount
	case ShortCredit:
		fits = f.Op == OpAccount
	case Damaged:
		fits = f.Op == OpStatements
		switch f.Reason {
		case "", DamageCut, DamageTotal, DamageNUL, DamageLong, DamageEmpty, DamageStale:
		default:
			return bad("reason", "%q: want cut, total, nul, long, empty or stale", f.Reason)
		}
	case Planted:
		fits = f.Op == OpStatements
		switch f.Reason {
		case "", ChangeDrop, ChangeAmount, ChangeStatus, ChangeFee:
		default:
			return bad("reason", "%q: want drop, amount, status or fee", f.Reason)
		}
	}
	if !fits {
		return bad("kind", "%q does not fit op %q", f.Kind, f.Op)
	}
	return nil
}

// PlantedLine is a difference that stands in the statements as delivered, until
// the faults are deleted.
type PlantedLine struct {
	Date   pos.Date `json:"date"`
	TxnID  string   `json:"txn_id"` // of the statement: the request id
	Change string   `json:"change"`
}

// Faults answers GET /faults: what is still to strike, and what was planted.
type Faults struct {
	Faults  []Fault       `json:"faults"`
	Planted []PlantedLine `json:"planted"`
}
