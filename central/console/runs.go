package console

import (
	"net/http"
	"strings"

	"dcpos/pos"
)

// RunsAnswer is the reconciliations for programs.
type RunsAnswer struct {
	Runs []Run    `json:"runs"`
	Asks []RunAsk `json:"asks"`
	CSRF string   `json:"csrf"`
}

// RunAnswer is what asking for a date answers.
type RunAnswer struct {
	Ask RunAsk `json:"ask"`
}

type runsBody struct {
	RunsAnswer
	Open  bool // something is due or waits
	Until pos.Date
	Since pos.Date
}

func (c *Console) runRoutes() {
	c.mux.Handle("GET /console/reconcile", c.page(Viewer, c.runs))
	c.mux.Handle("POST /console/reconcile", c.form(Operator, c.askForRun))
	c.mux.Handle("GET /console/reconcile/{id}", c.page(Viewer, c.run))
}

func (c *Console) runs(w http.ResponseWriter, r *http.Request, s Session) {
	body := runsBody{Until: pos.DateOf(c.cfg.Now().AddDate(0, 0, 1), 0), Since: pos.DateOf(c.cfg.Now().AddDate(0, 0, -1), 0)}
	body.CSRF = s.CSRF
	if c.cfg.Runs != nil {
		var err error
		if body.Runs, err = c.cfg.Runs.Runs(r.Context(), pageSize); err != nil {
			c.broken(w, r, err)
			return
		}
		if body.Asks, err = c.cfg.Runs.Asks(r.Context(), pageSize); err != nil {
			c.broken(w, r, err)
			return
		}
	}
	for i := range body.Asks {
		body.Open = body.Open || body.Asks[i].DueMS != 0
	}
	if wantsJSON(r) {
		c.json(w, r, body.RunsAnswer)
		return
	}
	c.show(w, r, http.StatusOK, "runs", s, body)
}

// askForRun has the serving centre reconcile a date. To ask again while it is due changes nothing.
func (c *Console) askForRun(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Actions.Reconcile == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	date := pos.Date(strings.TrimSpace(r.PostFormValue("date")))
	a, err := c.cfg.Actions.Reconcile(r.Context(), date, s.Account)
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.audit(r.Context(), s.Account, "reconcile_asked", string(date))
	if wantsJSON(r) {
		c.json(w, r, RunAnswer{Ask: a})
		return
	}
	http.Redirect(w, r, "/console/reconcile", http.StatusSeeOther)
}

type runBody struct {
	Run    Run
	Breaks []Break
}

func (c *Console) run(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Runs == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	run, breaks, err := c.cfg.Runs.Breaks(r.Context(), r.PathValue("id"), 5*pageSize)
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.show(w, r, http.StatusOK, "run", s, runBody{Run: run, Breaks: breaks})
}
