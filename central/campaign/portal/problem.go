package portal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// Problem is an error as programs and people read it.
type Problem struct {
	Code   pos.Code        `json:"code"`
	Reason register.Reason `json:"reason,omitempty"` // of a refusal
	Field  string          `json:"field,omitempty"`
	Text   pos.Text        `json:"text"`
	Hint   pos.Text        `json:"hint"`

	status int
}

// Error implements error.
func (p *Problem) Error() string { return p.Text.EN }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.status }

// MarshalJSON keeps huma from adding to it.
func (p *Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	return json.Marshal((*plain)(p))
}

// problem turns an error into its answer. What is not the caller's doing is logged, and
// its cause is not told.
func (p *Portal) problem(ctx context.Context, err error) *Problem {
	e := pos.AsError(err)
	out := &Problem{Code: e.Code, Field: e.Field, Text: e.Text, Hint: e.Hint, status: status(e.Code)}
	var refusal *register.Refusal
	if errors.As(err, &refusal) {
		out.Reason = refusal.Reason
	}
	if out.status >= http.StatusInternalServerError {
		p.cfg.Log.ErrorContext(ctx, "campaign request", "err", err)
	}
	return out
}

func status(c pos.Code) int {
	switch c { //nolint:exhaustive // the others are not for citizens
	case pos.ErrBadRequest:
		return http.StatusBadRequest
	case pos.ErrForbidden, pos.ErrIllegalMove:
		return http.StatusForbidden
	case pos.ErrNotFound:
		return http.StatusNotFound
	case pos.ErrKeyConflict:
		return http.StatusConflict
	case pos.ErrTooMany:
		return http.StatusTooManyRequests
	case pos.ErrTooLarge:
		return http.StatusRequestEntityTooLarge
	case pos.ErrInstitution, pos.ErrStorage:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
