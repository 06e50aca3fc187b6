package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"dcpos/pos"
)

// problem is a *pos.Error as an HTTP answer.
type problem struct {
	err    *pos.Error
	status int
}

// Error implements error.
func (p problem) Error() string { return p.err.Error() }

// MarshalJSON gives the error as tills and clients know it.
func (p problem) MarshalJSON() ([]byte, error) { return json.Marshal(p.err) }

// GetStatus implements huma.StatusError.
func (p problem) GetStatus() int { return p.status }

// refuse turns an error into its answer. What is not the caller's doing is logged, and
// its cause is not told.
func refuse(ctx context.Context, log *slog.Logger, err error) error {
	e := pos.AsError(err)
	p := problem{err: e, status: Status(e.Code)}
	if p.status >= http.StatusInternalServerError {
		log.ErrorContext(ctx, "request failed", "err", err)
	}
	return p
}

// statuses are the codes that are not 400 (the caller's) or 500 (ours).
func statuses() map[pos.Code]int {
	return map[pos.Code]int{
		pos.ErrNotFound: http.StatusNotFound, pos.ErrForbidden: http.StatusForbidden,
		pos.ErrKeyConflict: http.StatusConflict, pos.ErrFork: http.StatusConflict,
		pos.ErrQuarantined: http.StatusForbidden, pos.ErrNotEnrolled: http.StatusForbidden,
		pos.ErrTooLarge: http.StatusRequestEntityTooLarge, pos.ErrTooMany: http.StatusTooManyRequests,
		pos.ErrInternal: http.StatusInternalServerError, pos.ErrStorage: http.StatusServiceUnavailable,
		pos.ErrConfig: http.StatusInternalServerError, pos.ErrSchema: http.StatusInternalServerError,
	}
}

// Status is the HTTP status of a code.
func Status(c pos.Code) int {
	if s, ok := statuses()[c]; ok {
		return s
	}
	return http.StatusBadRequest
}
