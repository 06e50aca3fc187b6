package localapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dcpos/drivers"
	"dcpos/pos"
)

// Error is the body of every answer that is not 2xx.
type Error struct {
	Code   pos.Code `json:"code" doc:"What a program branches on; never renamed"`
	Field  string   `json:"field,omitempty" doc:"The input that is wrong, where there is one"`
	Text   pos.Text `json:"text" doc:"What happened"`
	Hint   pos.Text `json:"hint" doc:"What to do"`
	Detail string   `json:"detail,omitempty" doc:"For logs, English"`

	status int
}

// Error is the code with its detail.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// GetStatus is the HTTP status, for huma.
func (e *Error) GetStatus() int { return e.status }

// fail gives an error of the till its HTTP form.
func fail(err error) error {
	if err == nil {
		return nil
	}
	e := pos.AsError(err)
	return toError(HTTPStatus(e.Code), e)
}

func toError(status int, e *pos.Error) *Error {
	out := &Error{Code: e.Code, Field: e.Field, Text: e.Text, Hint: e.Hint, status: status}
	if e.Err != nil && e.Code != pos.ErrInternal { // a foreign error is for our log, not for others
		out.Detail = e.Err.Error()
	}
	return out
}

func writeError(w http.ResponseWriter, status int, e *pos.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(toError(status, e)) // the client is gone
}

// HTTPStatus is the HTTP status of a code.
func HTTPStatus(c pos.Code) int {
	switch c {
	case pos.ErrBadRequest, pos.ErrBadCode, pos.ErrEvidence, pos.ErrEvidenceForged, pos.ErrWalletUnknown, pos.ErrPolicyForged,
		pos.ErrForwardUnknown:
		return http.StatusUnprocessableEntity
	case pos.ErrNotFound:
		return http.StatusNotFound
	case pos.ErrKeyConflict, pos.ErrOrderOpen, pos.ErrOrderUnknown, pos.ErrOrderPaid, pos.ErrIllegalMove,
		pos.ErrCodeUsed, pos.ErrEvidenceSeen, pos.ErrRefundTooMuch, pos.ErrNotRefundable, pos.ErrExpired,
		pos.ErrLimitPayment, pos.ErrLimitTotal, pos.ErrLimitCount, pos.ErrLimitAge, pos.ErrLimitWallet,
		pos.ErrLimitSplit, pos.ErrLimitTier, pos.ErrPolicyNone, pos.ErrPolicyExpired, pos.ErrPolicyOld, pos.ErrPolicyScope,
		pos.ErrRevocationOld, pos.ErrEnvelopeUnknown, pos.ErrEnvelopeScope, pos.ErrEnvelopeWindow, pos.ErrEnvelopeSum,
		pos.ErrCatalogueOld, pos.ErrFareAgain, pos.ErrForwardOff,
		pos.ErrClock, pos.ErrEnvironment, pos.ErrUnsentMoney, pos.ErrInsufficient, pos.ErrDeclinedGeneral,
		pos.ErrEvidenceAmount, pos.ErrEvidenceReplay, pos.ErrEvidenceLate, pos.ErrEvidenceOther,
		pos.ErrWalletExpired, pos.ErrWalletRevoked, pos.ErrTapTorn, pos.ErrTapMany, pos.ErrTapNoWallet, pos.ErrTapRefused:
		return http.StatusConflict
	case pos.ErrNoOperator, pos.ErrBadPIN, pos.ErrForbidden:
		return http.StatusForbidden
	case pos.ErrOffline, pos.ErrOfflineCode, pos.ErrInstitution, pos.ErrStorage, pos.ErrKeyDevice, pos.ErrNotSent, pos.ErrPrinter,
		drivers.CodeDevice, pos.ErrNotEnrolled, pos.ErrQuarantined, pos.ErrChainBroken, pos.ErrFork, pos.ErrSchema:
		return http.StatusServiceUnavailable
	case pos.ErrTooLarge:
		return http.StatusRequestEntityTooLarge
	case pos.ErrTooMany:
		return http.StatusTooManyRequests
	case pos.ErrConfig, pos.ErrInternal,
		pos.ErrSignature, pos.ErrSignatureTime, pos.ErrReplay, pos.ErrShopLimit, pos.ErrShopCategory: // of web shops: no till says them
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// ourErrors turns what huma itself finds wrong into our form.
func ourErrors(_ huma.Context, _ string, v any) (any, error) {
	var m *huma.ErrorModel
	if err, ok := v.(error); !ok || !errors.As(err, &m) {
		return v, nil
	}
	code := pos.ErrBadRequest
	switch m.Status {
	case http.StatusNotFound:
		code = pos.ErrNotFound
	case http.StatusRequestEntityTooLarge:
		code = pos.ErrTooLarge
	case http.StatusInternalServerError:
		code = pos.ErrInternal
	}
	e := toError(m.Status, pos.NewError(code, nil))
	e.Detail = m.Detail
	if len(m.Errors) > 0 && m.Errors[0] != nil {
		e.Field = strings.TrimPrefix(m.Errors[0].Location, "body.")
		e.Detail += ": " + m.Errors[0].Message
	}
	return e, nil
}
