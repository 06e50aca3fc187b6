package pos

import (
	"errors"
	"fmt"
)

// Code names a reason that a program can branch on. Codes are a contract of the
// local API and of sync/wire: they are added to, never renamed.
type Code string

// The codes. text holds their sentences and hints.
const (
	ErrBadRequest      Code = "bad_request"
	ErrNotFound        Code = "not_found"
	ErrKeyConflict     Code = "key_conflict"
	ErrOrderOpen       Code = "order_open"
	ErrOrderUnknown    Code = "order_unknown"
	ErrOrderPaid       Code = "order_paid"
	ErrIllegalMove     Code = "illegal_move"
	ErrNoOperator      Code = "no_operator"
	ErrBadPIN          Code = "bad_pin"
	ErrForbidden       Code = "forbidden"
	ErrOffline         Code = "offline"
	ErrOfflineCode     Code = "offline_code"
	ErrExpired         Code = "expired"
	ErrCodeUsed        Code = "code_used"
	ErrBadCode         Code = "bad_code"
	ErrLimitPayment    Code = "limit_payment"
	ErrLimitTotal      Code = "limit_total"
	ErrLimitCount      Code = "limit_count"
	ErrLimitAge        Code = "limit_age"
	ErrLimitWallet     Code = "limit_wallet"
	ErrLimitSplit      Code = "limit_split"
	ErrLimitTier       Code = "limit_tier"
	ErrPolicyNone      Code = "policy_none"
	ErrPolicyExpired   Code = "policy_expired"
	ErrPolicyForged    Code = "policy_signature"
	ErrPolicyOld       Code = "policy_rollback"
	ErrPolicyScope     Code = "policy_scope"
	ErrRevocationOld   Code = "revocation_old"
	ErrEnvelopeUnknown Code = "envelope_unknown"
	ErrEnvelopeScope   Code = "envelope_scope"
	ErrEnvelopeWindow  Code = "envelope_window"
	ErrEnvelopeSum     Code = "envelope_sum"
	ErrCatalogueOld    Code = "catalogue_old"
	ErrForwardOff      Code = "forward_off"
	ErrForwardUnknown  Code = "forward_instrument"
	ErrFareAgain       Code = "fare_again"
	ErrClock           Code = "clock"
	ErrEvidence        Code = "evidence"
	ErrEvidenceSeen    Code = "evidence_seen"
	ErrEvidenceAmount  Code = "evidence_amount"
	ErrEvidenceReplay  Code = "evidence_replay"
	ErrEvidenceLate    Code = "evidence_late"
	ErrEvidenceOther   Code = "evidence_terminal"
	ErrEvidenceForged  Code = "evidence_forged"
	ErrWalletExpired   Code = "wallet_expired"
	ErrWalletRevoked   Code = "wallet_revoked"
	ErrWalletUnknown   Code = "wallet_unknown"
	ErrTapTorn         Code = "tap_torn"
	ErrTapMany         Code = "tap_many"
	ErrTapNoWallet     Code = "tap_no_wallet"
	ErrTapRefused      Code = "tap_refused"
	ErrEnvironment     Code = "environment"
	ErrInsufficient    Code = "insufficient_funds"
	ErrInstitution     Code = "institution_unavailable"
	ErrRefundTooMuch   Code = "refund_too_much"
	ErrNotRefundable   Code = "not_refundable"
	ErrChainBroken     Code = "chain_broken"
	ErrFork            Code = "fork"
	ErrStorage         Code = "storage"
	ErrSchema          Code = "schema"
	ErrNotEnrolled     Code = "not_enrolled"
	ErrQuarantined     Code = "quarantined"
	ErrUnsentMoney     Code = "unsent_money"
	ErrKeyDevice       Code = "key_device"
	ErrPrinter         Code = "printer"
	ErrTooLarge        Code = "too_large"
	ErrTooMany         Code = "too_many"
	ErrConfig          Code = "config"
	ErrInternal        Code = "internal"
	ErrDeclinedGeneral Code = "declined"
	ErrNotSent         Code = "not_sent"
	ErrSignature       Code = "signature"
	ErrSignatureTime   Code = "signature_time"
	ErrReplay          Code = "replay"
	ErrShopLimit       Code = "limit_shop"
	ErrShopCategory    Code = "category"
)

// Error is an error that a person can act on: a code, what happened and what to
// do, in two languages. Field names the offending input where there is one.
type Error struct {
	Code  Code   `json:"code"`
	Field string `json:"field,omitempty"`
	Text  Text   `json:"text"`
	Hint  Text   `json:"hint"`
	Err   error  `json:"-"`
}

// NewError makes an Error with the catalogue's sentences; err (may be nil) is the cause.
func NewError(code Code, err error) *Error {
	text, hint := code.sentences()
	return &Error{Code: code, Text: text, Hint: hint, Err: err}
}

// FieldError is NewError for one field of an input.
func FieldError(code Code, field string, err error) *Error {
	e := NewError(code, err)
	e.Field = field
	return e
}

// Error is the English sentence, with field and cause, for logs.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Field != "" {
		s += ": " + e.Field
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", s, e.Err)
	}
	return s + ": " + e.Text.EN
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Code: c}) compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Explain is what to print for a person: the sentence and what to do.
func (e *Error) Explain(lang string) string { return e.Text.In(lang) + "\n" + e.Hint.In(lang) }

// CodeOf returns the code of the first *Error in err's chain, ErrInternal when there is none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ErrInternal
}

// AsError returns err as *Error, wrapping a foreign one as ErrInternal; nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return NewError(ErrInternal, err)
}

// Text is the code's sentence, for a decline that came as a code alone.
func (c Code) Text() Text { t, _ := c.sentences(); return t }

// Hint is what to do about it.
func (c Code) Hint() Text { _, h := c.sentences(); return h }

func (c Code) sentences() (text, hint Text) {
	s, ok := catalogue()[c]
	if !ok {
		s, ok = walletCatalogue()[c]
	}
	if !ok {
		s, ok = policyCatalogue()[c]
	}
	if !ok {
		s, ok = shopCatalogue()[c]
	}
	if !ok {
		s = [4]string{"请求未完成", "the request was not completed", "请联系店内技术人员", "call store IT"}
	}
	return Text{ZH: s[0], EN: s[1]}, Text{ZH: s[2], EN: s[3]}
}
