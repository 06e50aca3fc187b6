package console

import (
	"context"
	"errors"
	"net/http"

	"dcpos/pos"
)

// Webshops are merchants' web shops; whoever runs the online channel implements it.
type Webshops struct {
	List func(ctx context.Context) ([]Webshop, error)
	// Switch changes one thing: suspend, resume, hook_off, hook_on, resend of a shop, or
	// revoke of a key, whose id is then given.
	Switch func(ctx context.Context, id, change, by string) error
}

// Webshop is a web shop as operations see it.
type Webshop struct {
	ID         string            `json:"id"`
	Merchant   string            `json:"merchant"`
	Name       pos.Text          `json:"name"`
	Categories []string          `json:"categories"`
	PerPayment pos.Money         `json:"per_payment_fen"`
	PerDay     pos.Money         `json:"per_day_fen"`
	Hook       string            `json:"hook"`
	HookOn     bool              `json:"hook_on"`
	Suspended  bool              `json:"suspended"`
	Waiting    int64             `json:"waiting"` // events that were not taken
	Keys       []WebshopKey      `json:"keys"`
	Deliveries []WebshopDelivery `json:"deliveries"` // the last tries, newest first
}

// WebshopKey is a key of a web shop.
type WebshopKey struct {
	ID        string `json:"id"`
	CreatedMS int64  `json:"created_ms"`
	RevokedMS int64  `json:"revoked_ms"` // 0: in force
}

// WebshopDelivery is one try to deliver an event.
type WebshopDelivery struct {
	Event  string `json:"event"`
	Try    int    `json:"try"`
	AtMS   int64  `json:"at_ms"`
	TookMS int64  `json:"took_ms"`
	Status int    `json:"status"`
	Error  string `json:"error"`
}

func (c *Console) webshopRoutes() {
	c.mux.Handle("GET /console/webshops", c.page(Viewer, c.webshops))
	c.mux.Handle("POST /console/webshops", c.form(Approver, c.switchWebshop))
}

func (c *Console) webshops(w http.ResponseWriter, r *http.Request, s Session) {
	var all []Webshop
	if c.cfg.Webshops.List != nil {
		var err error
		if all, err = c.cfg.Webshops.List(r.Context()); err != nil {
			c.fail(w, r, s, err)
			return
		}
	}
	c.show(w, r, http.StatusOK, "webshops", s, all)
}

func (c *Console) switchWebshop(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Webshops.Switch == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("web shops are not available here")))
		return
	}
	if err := c.cfg.Webshops.Switch(r.Context(), r.PostFormValue("id"), r.PostFormValue("change"), s.Account); err != nil {
		c.fail(w, r, s, err)
		return
	}
	http.Redirect(w, r, "/console/webshops", http.StatusSeeOther)
}
