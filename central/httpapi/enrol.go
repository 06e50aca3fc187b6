package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dcpos/pos"
	"dcpos/sync/wire"
)

// maxEnrol bounds an enrolment's body; keys and a code are below 2 KiB.
const maxEnrol = 16 << 10

// Enroller makes a device a terminal (central/fleet). The same request again gives the
// same answer; errors are *pos.Error.
type Enroller interface {
	Enrol(ctx context.Context, r wire.EnrolRequest) (wire.EnrolAnswer, error)
}

type enrolInput struct {
	Body wire.EnrolRequest
}

type enrolOutput struct {
	Body wire.EnrolAnswer
}

func (s *Server) registerEnrol(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "enrol", Method: http.MethodPost, Path: wire.EnrolPath,
		Summary:      "Make a device a terminal by a one-time code",
		Description:  "The same code with the same keys is a repeat and gives the same answer; with other keys it is refused.",
		MaxBodyBytes: maxEnrol,
		Errors: []int{
			http.StatusBadRequest, http.StatusForbidden, http.StatusConflict,
			http.StatusRequestEntityTooLarge, http.StatusTooManyRequests,
		},
		Middlewares: huma.Middlewares{s.limitTries},
	}, func(ctx context.Context, in *enrolInput) (*enrolOutput, error) {
		a, err := s.cfg.Enroller.Enrol(ctx, in.Body)
		if err != nil {
			return nil, refuse(ctx, s.cfg.Log, err)
		}
		return &enrolOutput{Body: a}, nil
	})
}

// limitTries answers 429 to an address that guesses codes, before its body is read.
func (s *Server) limitTries(c huma.Context, next func(huma.Context)) {
	if s.tries.allow(c.RemoteAddr()) {
		next(c)
		return
	}
	s.refused.Inc()
	c.SetHeader("Retry-After", "10")
	writeProblem(c, pos.NewError(pos.ErrTooMany, nil))
}
