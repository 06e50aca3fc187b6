package console

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// pageSize bounds every list but the tills'.
const pageSize = 200

type paymentsBody struct {
	Filter Filter
	Lines  []PaymentLine
}

var idForm = regexp.MustCompile(`^[0-9a-f-]{1,36}$`)

func (c *Console) payments(w http.ResponseWriter, r *http.Request, s Session) {
	q := r.URL.Query()
	f := Filter{
		ID: q.Get("id"), Terminal: q.Get("terminal"), State: pos.State(q.Get("state")),
		Date: pos.Date(q.Get("date")), Limit: pageSize,
	}
	if f.ID == "" && !q.Has("date") {
		f.Date = pos.DateOf(c.cfg.Now(), 0)
	}
	_, dateErr := pos.ParseDate(string(f.Date))
	switch {
	case f.ID != "" && !idForm.MatchString(f.ID):
		c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "id", errors.New("want digits 0-9 a-f")))
		return
	case f.State != "" && !f.State.Valid():
		c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "state", nil))
		return
	case f.Date != "" && dateErr != nil, len(f.Terminal) > 32:
		c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "date", dateErr))
		return
	}
	lines, err := c.cfg.Store.Payments(r.Context(), f)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "payments", s, paymentsBody{Filter: f, Lines: lines})
}

func (c *Console) payment(w http.ResponseWriter, r *http.Request, s Session) {
	id, err := pos.ParsePaymentID(r.PathValue("id"))
	if err != nil {
		c.refuse(w, r, s, pos.FieldError(pos.ErrNotFound, "id", err))
		return
	}
	p, found, err := c.cfg.Store.Payment(r.Context(), id)
	switch {
	case err != nil:
		c.broken(w, r, err)
	case !found:
		c.refuse(w, r, s, pos.FieldError(pos.ErrNotFound, "id", nil))
	default:
		c.show(w, r, http.StatusOK, "payment", s, p)
	}
}

func (c *Console) ledger(w http.ResponseWriter, r *http.Request, s Session) {
	trial, err := c.cfg.Ledger.Trial(r.Context(), "")
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "ledger", s, trial)
}

type accountBody struct {
	Balance ledger.Balance
	Lines   []ledger.Line
	Next    int64
}

func (c *Console) account(w http.ResponseWriter, r *http.Request, s Session) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64) // nonsense is the beginning
	name := r.PathValue("account")
	b, err := c.cfg.Ledger.Balance(r.Context(), name)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	lines, err := c.cfg.Ledger.Statement(r.Context(), name, after, pageSize)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	body := accountBody{Balance: b, Lines: lines}
	if len(lines) == pageSize {
		body.Next = lines[len(lines)-1].Number
	}
	c.show(w, r, http.StatusOK, "account", s, body)
}

type auditBody struct {
	Lines []AuditLine
	Next  int64
}

func (c *Console) auditPage(w http.ResponseWriter, r *http.Request, s Session) {
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // nonsense is the end
	lines, err := c.cfg.Store.AuditLog(r.Context(), before, pageSize)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	body := auditBody{Lines: lines}
	if len(lines) == pageSize {
		body.Next = lines[len(lines)-1].Number
	}
	c.show(w, r, http.StatusOK, "audit", s, body)
}
