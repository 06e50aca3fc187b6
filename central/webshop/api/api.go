package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dcpos/central/webshop"
	"dcpos/pos"
)

// maxBody bounds a request: a hundred lines are below 40 KiB.
const maxBody = 64 << 10

// maxEvents bounds a page of events.
const maxEvents = 500

// Config is what an API needs.
type Config struct {
	Version string
	Env     pos.Environment
	Desk    *webshop.Desk
	Log     *slog.Logger
	Now     func() time.Time
}

// API serves web shops. It is safe for concurrent use.
type API struct {
	cfg Config
	mux *http.ServeMux
}

// New builds the routes.
func New(cfg Config) (*API, error) {
	if cfg.Desk == nil {
		return nil, pos.NewError(pos.ErrConfig, errors.New("api: want a desk"))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &API{cfg: cfg, mux: http.NewServeMux()}
	a.routes()
	return a, nil
}

type callerKey struct{}

func callerOf(ctx context.Context) webshop.Caller {
	c, _ := ctx.Value(callerKey{}).(webshop.Caller)
	return c
}

// ServeHTTP answers one request. Only the description and the centre's key are for
// everybody.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/shop/v1/openapi.json", "/shop/v1/openapi.yaml", "/shop/v1/hook-key", "/healthz":
		a.mux.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		code := pos.ErrBadRequest
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			code = pos.ErrTooLarge
		}
		a.write(w, a.problem(r.Context(), pos.NewError(code, err)))
		return
	}
	c, err := a.cfg.Desk.Authenticate(r.Context(), r, body)
	if err != nil {
		a.write(w, a.problem(r.Context(), err))
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mux.ServeHTTP(w, r)
}

// Problem is an error as programs and people read it.
type Problem struct {
	Code   pos.Code `json:"code" doc:"to branch on; codes are added to, never renamed"`
	Field  string   `json:"field,omitempty"`
	Detail string   `json:"detail,omitempty" doc:"for the shop's programmers, English"`
	Text   pos.Text `json:"text" doc:"what happened, Chinese and English"`
	Hint   pos.Text `json:"hint" doc:"what to do about it"`

	status int
}

// Error implements error.
func (p *Problem) Error() string { return p.Text.EN }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.status }

// problem turns an error into its answer. What is not the caller's doing is logged, and
// its cause is not told.
func (a *API) problem(ctx context.Context, err error) *Problem {
	e := pos.AsError(err)
	p := &Problem{Code: e.Code, Field: e.Field, Text: e.Text, Hint: e.Hint, status: status(e.Code)}
	if p.status >= http.StatusInternalServerError {
		a.cfg.Log.ErrorContext(ctx, "web shop's request", "err", err)
	} else if e.Err != nil {
		p.Detail = e.Err.Error()
	}
	return p
}

func (a *API) write(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if p.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(p) // the peer may be gone: nobody to tell
}

// statuses are the codes that are not 422 (the caller's, and not to be sent again as it is).
func statuses() map[pos.Code]int {
	return map[pos.Code]int{
		pos.ErrBadRequest: http.StatusBadRequest, pos.ErrSignature: http.StatusUnauthorized, pos.ErrSignatureTime: http.StatusUnauthorized,
		pos.ErrReplay: http.StatusUnauthorized, pos.ErrForbidden: http.StatusForbidden, pos.ErrNotFound: http.StatusNotFound,
		pos.ErrKeyConflict: http.StatusConflict, pos.ErrOrderOpen: http.StatusConflict, pos.ErrOrderPaid: http.StatusConflict,
		pos.ErrOrderUnknown: http.StatusConflict, pos.ErrTooLarge: http.StatusRequestEntityTooLarge,
		pos.ErrTooMany: http.StatusTooManyRequests, pos.ErrInternal: http.StatusInternalServerError,
		pos.ErrStorage: http.StatusServiceUnavailable, pos.ErrConfig: http.StatusInternalServerError,
	}
}

func status(c pos.Code) int {
	if s, ok := statuses()[c]; ok {
		return s
	}
	return http.StatusUnprocessableEntity
}

func (a *API) routes() {
	c := huma.DefaultConfig("dcpos web shops", a.cfg.Version)
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil // no page that loads scripts from elsewhere
	c.OpenAPIPath = "/shop/v1/openapi"
	c.AllowAdditionalPropertiesByDefault = true // a newer shop may say more
	c.Info.Description = "Merchants' web shops take digital yuan. Every request is signed with the shop's Ed25519 key by RFC 9421; docs/PROTOCOL.md, " +
		"section 10, says which parts and how. Amounts are integers of fen. Errors say in Chinese and English what happened and what to do."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"signature": {Type: "apiKey", In: "header", Name: "Signature", Description: "RFC 9421, label dcpos, Ed25519, tag dcpos-shop-1"},
	}
	c.Security = []map[string][]string{{"signature": {}}}
	c.Transformers = append(c.Transformers, plainErrors)
	api := humago.New(a.mux, c)
	a.payments(api)
	a.events(api)
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// plainErrors gives what huma finds wrong with a request the form of all other errors.
func plainErrors(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := pos.ErrBadRequest
	if m.Status == http.StatusRequestEntityTooLarge {
		code = pos.ErrTooLarge
	}
	e := pos.NewError(code, nil)
	p := &Problem{Code: e.Code, Detail: m.Detail, Text: e.Text, Hint: e.Hint, status: m.Status}
	if len(m.Errors) > 0 {
		p.Field, p.Detail = m.Errors[0].Location, m.Errors[0].Message
	}
	return p, nil
}

// refusals are what every operation may answer.
func refusals(more ...int) []int {
	return append([]int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge,
		http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}, more...)
}

// answer runs an operation and turns its error into a Problem.
func answer[T any](ctx context.Context, a *API, run func() (*T, error)) (*T, error) {
	out, err := run()
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return out, nil
}

type (
	eventsInput struct {
		After int64 `query:"after" minimum:"0" doc:"the number of the last event that was seen"`
		Limit int   `query:"limit" minimum:"1" maximum:"500" default:"100"`
	}
	eventsOutput struct {
		Body struct {
			Events []webshop.Message `json:"events"`
			More   bool              `json:"more" doc:"there are further ones"`
		}
	}
	hookKeyOutput struct {
		Body struct {
			KeyID     string `json:"keyid"`
			Algorithm string `json:"alg"`
			Public    string `json:"public_key" doc:"SubjectPublicKeyInfo, DER, base64"`
			Tag       string `json:"tag"`
		}
	}
)

func (a *API) events(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/shop/v1/events", Summary: "What webhooks say, to be fetched", Errors: refusals(),
		Description: "In order of number. A shop without a webhook, or one that missed some, fetches from the last number that it has.",
	}, func(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
		return answer(ctx, a, func() (*eventsOutput, error) {
			limit := min(in.Limit, maxEvents)
			all, err := a.cfg.Desk.FetchEvents(ctx, callerOf(ctx), in.After, limit+1)
			out := &eventsOutput{}
			out.Body.Events, out.Body.More = []webshop.Message{}, len(all) > limit
			for _, e := range all[:min(len(all), limit)] {
				out.Body.Events = append(out.Body.Events, webshop.Said(e, a.cfg.Env))
			}
			return out, err
		})
	})
	huma.Register(api, huma.Operation{
		OperationID: "hook-key", Method: http.MethodGet, Path: "/shop/v1/hook-key", Summary: "The key that signs webhooks",
		Security: []map[string][]string{},
	}, func(ctx context.Context, _ *struct{}) (*hookKeyOutput, error) {
		return answer(ctx, a, func() (*hookKeyOutput, error) {
			id, public := a.cfg.Desk.HookKey()
			der, err := x509.MarshalPKIXPublicKey(public)
			out := &hookKeyOutput{}
			out.Body.KeyID, out.Body.Algorithm, out.Body.Tag = id, "ed25519", webshop.HookTag
			out.Body.Public = base64.StdEncoding.EncodeToString(der)
			return out, err
		})
	})
}
