package institution

import (
	"net/http"
	"strconv"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

func (s *Simulator) envelopeRules(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.EnvelopeRules
	if read(w, r, &q) {
		reply(w, r, struct{}{}, h.books.Rules(q))
	}
}

func (s *Simulator) orderEnvelopes(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.EnvelopeOrders
	if !read(w, r, &q) {
		return
	}
	h.spoiled(w, r, func() (any, error) {
		words, err := h.books.OrderEnvelopes(q.Orders)
		return api.EnvelopeWords{Answers: words}, err
	})
}

func (s *Simulator) recallEnvelopes(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.EnvelopeRecall
	if !read(w, r, &q) {
		return
	}
	h.spoiled(w, r, func() (any, error) {
		words, err := h.books.RecallEnvelopes(q)
		return api.EnvelopeWords{Answers: words}, err
	})
}

func (s *Simulator) restoreEnvelope(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.EnvelopeRestore
	if read(w, r, &q) {
		h.spoiled(w, r, func() (any, error) { return struct{}{}, h.books.RestoreEnvelope(q) })
	}
}

func (s *Simulator) envelopeClaims(h *house, w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.FormValue("after"), 10, 64)
	limit, err2 := strconv.Atoi(r.FormValue("limit"))
	if err != nil || err2 != nil || after < 0 || limit < 1 || limit > api.MaxOrders {
		refuse(w, r, pos.FieldError(pos.ErrBadRequest, "after", err))
		return
	}
	h.spoiled(w, r, func() (any, error) {
		page, err := h.books.EnvelopeClaims(after, limit)
		return api.EnvelopeClaims{Claims: page}, err
	})
}

func (s *Simulator) claimEnvelopes(h *house, w http.ResponseWriter, r *http.Request) {
	reply(w, r, struct{}{}, h.books.Claim(r.PathValue("id")))
}

// spoiled does a piece of work about envelopes, with the fault that was ordered for it.
func (h *house) spoiled(w http.ResponseWriter, r *http.Request, work func() (any, error)) {
	f := h.faults.take(api.OpEnvelopes, 0)
	if f.Kind == api.Unavailable {
		unavailable(w, r)
		return
	}
	v, err := work()
	if err != nil {
		refuse(w, r, err)
		return
	}
	if words, ok := v.(api.EnvelopeWords); ok && f.Kind == api.Decline && len(words.Answers) > 0 {
		words.Answers[0] = api.EnvelopeWord{Envelope: words.Answers[0].Envelope, Status: api.Failed, Reason: f.Reason}
		v = words
	}
	deliver(w, r, f, func() { answer(w, r, http.StatusOK, v) })
}
