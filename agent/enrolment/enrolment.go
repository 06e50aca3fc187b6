// Package enrolment is the counter of a till that is not enrolled yet: it answers
// /v1/status and takes one POST /v1/enroll on the local socket, and hands over to the
// full local API once the centre has said yes.
package enrolment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"dcpos/agent/identity"
	"dcpos/pos"
)

// Request is what posctl enroll sends.
type Request struct {
	Centre string `json:"centre"` // the centre's address, such as https://pos.example.cn
	Code   string `json:"code"`   // the one-time code
}

// Answer tells who the till is now.
type Answer struct {
	Enrolled bool   `json:"enrolled"`
	Terminal string `json:"terminal,omitempty"`
	Merchant string `json:"merchant,omitempty"`
	Store    string `json:"store,omitempty"`
	Epoch    uint32 `json:"epoch,omitempty"`
}

// AnswerOf is what a till that is enrolled says.
func AnswerOf(id identity.Identity) Answer {
	return Answer{Enrolled: true, Terminal: id.Terminal, Merchant: id.Merchant, Store: id.Store, Epoch: id.Epoch}
}

// Counter waits for an enrolment. Join asks the centre and makes identity and journal;
// it must be safe to repeat.
type Counter struct {
	Join func(ctx context.Context, r Request) (identity.Identity, error)

	mu   sync.Mutex
	done chan identity.Identity
}

// NewCounter returns a counter with the given way to join.
func NewCounter(join func(ctx context.Context, r Request) (identity.Identity, error)) *Counter {
	return &Counter{Join: join, done: make(chan identity.Identity, 1)}
}

// Done gives the identity once the till is enrolled.
func (c *Counter) Done() <-chan identity.Identity { return c.done }

const maxRequest = 4 << 10

// Handler serves the two resources.
func (c *Counter) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, Answer{})
	})
	mux.HandleFunc("POST /v1/enroll", func(w http.ResponseWriter, r *http.Request) {
		var req Request
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			refuse(w, pos.NewError(pos.ErrBadRequest, err))
			return
		}
		id, err := c.enrol(r.Context(), req)
		if err != nil {
			refuse(w, err)
			return
		}
		write(w, http.StatusOK, AnswerOf(id))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, pos.NewError(pos.ErrNotEnrolled, errors.New("only /v1/status and /v1/enroll before enrolment")))
	})
	return mux
}

// enrol lets one request through at a time; the first that succeeds ends the counter.
func (c *Counter) enrol(ctx context.Context, r Request) (identity.Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Code == "" || r.Centre == "" {
		return identity.Identity{}, pos.NewError(pos.ErrBadRequest, errors.New("code and centre are needed"))
	}
	id, err := c.Join(ctx, r)
	if err != nil {
		return id, fmt.Errorf("enrol at %s: %w", r.Centre, err)
	}
	select {
	case c.done <- id:
	default: // an earlier request has handed over already
	}
	return id, nil
}

// Enrolled is the local API of a till that is enrolled, with an answer for those who
// enrol it again: a till changes its name only by a new epoch or a new data folder.
func Enrolled(id identity.Identity, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/enroll" {
			api.ServeHTTP(w, r)
			return
		}
		e := pos.NewError(pos.ErrForbidden, nil)
		e.Text = pos.Text{ZH: "本机已注册为 " + id.Terminal, EN: "this till is enrolled already, as " + id.Terminal}
		e.Hint = pos.Text{
			ZH: "如需更换,请先清空未上传交易并使用新的数据目录;恢复或分叉后请用 posagent epoch",
			EN: "to change that, upload everything and use a new data folder; after a restore or a fork use posagent epoch",
		}
		write(w, http.StatusConflict, e)
	})
}

func refuse(w http.ResponseWriter, err error) {
	e := pos.AsError(err)
	status := http.StatusForbidden
	switch e.Code { //nolint:exhaustive // everything else is a refusal
	case pos.ErrBadRequest:
		status = http.StatusBadRequest
	case pos.ErrOffline, pos.ErrNotEnrolled:
		status = http.StatusServiceUnavailable
	case pos.ErrInternal, pos.ErrStorage:
		status = http.StatusInternalServerError
	}
	write(w, status, e)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; nothing to tell it
}
