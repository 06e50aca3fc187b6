package institution

import (
	"errors"
	"fmt"

	"dcpos/pos"
)

// Class tells what an error proves about the request.
type Class int

// The classes. Whatever is not proven is MayHaveArrived.
const (
	MayHaveArrived Class = iota // no answer, or one that cannot be read: ask again, never assume
	NotSent                     // no byte of the request left this machine
	Refused                     // the institution answered that it did not accept the request (4xx)
)

// String names the class for logs.
func (c Class) String() string {
	switch c {
	case MayHaveArrived:
		return "may_have_arrived"
	case NotSent:
		return "not_sent"
	case Refused:
		return "refused"
	}
	return "unknown"
}

// ErrNotReady is returned for a statement that the institution has not made yet.
var ErrNotReady = errors.New("statement is not ready")

// ErrBusy is the cause of a NotSent error when the institution's slots are taken.
var ErrBusy = errors.New("too many requests in flight")

// ErrResting is the cause of a NotSent error while the circuit breaker is open.
var ErrResting = errors.New("resting after consecutive failures")

// Error is an institution's call that gave no answer.
type Error struct {
	Class       Class
	Institution string
	Op          string // "pay", "order", "query", "refund", "evidence", "statement"
	HTTP        int    // status of the answer, 0 without one
	Code        string // the institution's own error code, if it gave one
	Err         error
}

// Error is one line for logs; it never contains the request.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Institution, e.Op, e.Class)
	if e.HTTP != 0 {
		s += fmt.Sprintf(" (HTTP %d %s)", e.HTTP, e.Code)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first *Error in err's chain; MayHaveArrived when there is none.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return MayHaveArrived
}

// ReasonCode maps an institution's reason to the code that tills know. What is
// not known is ErrDeclinedGeneral.
func ReasonCode(reason string) pos.Code {
	switch reason {
	case "insufficient_funds":
		return pos.ErrInsufficient
	case "expired", "expired_code", "code_expired":
		return pos.ErrExpired
	case "code_used":
		return pos.ErrCodeUsed
	case "bad_code", "unknown_code":
		return pos.ErrBadCode
	case "double_spend":
		return pos.ErrEvidenceSeen
	case "bad_signature", "revoked", "unknown_wallet":
		return pos.ErrEvidence
	case "not_found":
		return pos.ErrNotFound
	case "refund_too_much":
		return pos.ErrRefundTooMuch
	case "not_refundable":
		return pos.ErrNotRefundable
	}
	return pos.ErrDeclinedGeneral
}
