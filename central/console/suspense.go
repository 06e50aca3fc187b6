package console

import (
	"net/http"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// suspense lists what waits for a person: the money of a fork's second branch, and of entries that a salvage file
// brought without those before them.
func (c *Console) suspense(w http.ResponseWriter, r *http.Request, s Session) {
	var held []ledger.Held
	if c.cfg.Suspense != nil {
		var err error
		if held, err = c.cfg.Suspense.Waiting(r.Context(), pageSize); err != nil {
			c.broken(w, r, err)
			return
		}
	}
	c.show(w, r, http.StatusOK, "suspense", s, held)
}

// propose notes one person's finding; decide is another's yes or no.
func (c *Console) proposeFor(w http.ResponseWriter, r *http.Request, s Session) {
	c.settle(w, r, s, func(key string) error {
		return ledger.Propose(r.Context(), c.cfg.Suspense, key, ledger.Decision(r.PostFormValue("decision")), r.PostFormValue("reason"), s.Account)
	})
}

func (c *Console) decideHeld(w http.ResponseWriter, r *http.Request, s Session) {
	c.settle(w, r, s, func(key string) error {
		if r.PostFormValue("answer") != "confirm" {
			return ledger.Reject(r.Context(), c.cfg.Suspense, key, s.Account)
		}
		return ledger.Confirm(r.Context(), c.cfg.Suspense, key, s.Account, pos.DateOf(c.cfg.Now(), 0))
	})
}

func (c *Console) settle(w http.ResponseWriter, r *http.Request, s Session, do func(key string) error) {
	if c.cfg.Suspense == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	if err := do(r.PostFormValue("key")); err != nil {
		c.fail(w, r, s, err)
		return
	}
	http.Redirect(w, r, "/console/suspense", http.StatusSeeOther)
}
