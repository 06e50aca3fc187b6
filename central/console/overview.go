package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dcpos/pos"
)

// maxTills bounds the overview's list.
const maxTills = 2000

// contactAge is after how long without a word a till counts as silent.
const contactAge = 2 * time.Minute

// Totals are the figures at the top of the overview; the event stream carries them too.
type Totals struct {
	Tills       int          `json:"tills"`
	Heard       int          `json:"heard"` // within contactAge
	Gaps        int          `json:"gaps"`
	Quarantined int          `json:"quarantined"`
	Unsent      uint64       `json:"unsent"`
	Today       []StateTotal `json:"today"`
	TodayCount  int64        `json:"today_count"`
	TodayPaid   pos.Money    `json:"today_paid"` // paid and credited
	Open        Open         `json:"open"`
	Date        pos.Date     `json:"date"`
	AtMS        int64        `json:"at_ms"`
}

type overviewBody struct {
	Totals Totals
	Tills  []Till
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request, s Session) {
	totals, tills, err := c.totals(r.Context())
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "overview", s, overviewBody{Totals: totals, Tills: tills})
}

func (c *Console) totals(ctx context.Context) (t Totals, tills []Till, err error) {
	now := c.cfg.Now()
	t.AtMS, t.Date = now.UnixMilli(), pos.DateOf(now, 0)
	if tills, err = c.cfg.Store.Tills(ctx, "", maxTills); err != nil {
		return t, nil, err
	}
	t.Tills = len(tills)
	for _, v := range tills {
		if v.ContactMS > 0 && now.Sub(time.UnixMilli(v.ContactMS)) < contactAge {
			t.Heard++
		}
		if v.GapFrom > 0 {
			t.Gaps++
		}
		if v.State == "quarantined" {
			t.Quarantined++
		}
		t.Unsent += v.Unsent
	}
	if t.Open, err = c.cfg.Store.Open(ctx); err != nil {
		return t, nil, err
	}
	if t.Today, err = c.cfg.Store.Day(ctx, t.Date); err != nil {
		return t, nil, err
	}
	for _, d := range t.Today {
		t.TodayCount += d.Count
		if d.State == pos.Paid || d.State == pos.Credited {
			if t.TodayPaid, err = t.TodayPaid.Add(d.Amount); err != nil {
				return t, nil, err
			}
		}
	}
	return t, tills, nil
}

// The pace of the event stream.
const (
	streamPace  = 2 * time.Second
	streamCheck = 15 // every so many events the session is looked at again
)

// events streams the totals as server-sent events (HTML standard §9.2). The browser
// comes back by itself when the stream ends.
func (c *Console) events(w http.ResponseWriter, r *http.Request, _ Session) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		http.Error(w, "too many streams", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(streamPace)
	defer tick.Stop()
	for n := 1; ; n++ {
		if err := c.event(w, r); err != nil {
			return // the browser went, or the store did: it comes back and is told
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		if n%streamCheck == 0 {
			if _, found, err := c.session(r); err != nil || !found {
				return
			}
		}
	}
}

func (c *Console) event(w http.ResponseWriter, r *http.Request) error {
	totals, _, err := c.totals(r.Context())
	if err != nil {
		return err
	}
	b, err := json.Marshal(totals)
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	if err := rc.SetWriteDeadline(c.deadline()); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprintf(w, "event: totals\ndata: %s\n\n", b); err != nil {
		return err
	}
	return rc.Flush()
}

// deadline is by the machine's clock: it bounds a write, and is not stored.
func (c *Console) deadline() time.Time { return time.Now().Add(10 * time.Second) }

type enrolBody struct {
	Classes []string
	Code    string
	Until   int64
	Devices int
	Shop    string
	Till    string
}

func (c *Console) enrolPage(w http.ResponseWriter, r *http.Request, s Session) {
	c.show(w, r, http.StatusOK, "enrol", s, enrolBody{Classes: classes(), Till: r.URL.Query().Get("till")})
}

func classes() []string {
	return []string{"self-checkout", "counter", "smart-pos", "all-in-one", "sdk"}
}

// enrol makes a code and shows it once; it is not kept in clear anywhere.
func (c *Console) enrol(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Actions.IssueCode == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("enrolment is not available here")))
		return
	}
	q := CodeRequest{
		Shop: strings.TrimSpace(r.PostFormValue("shop")), Class: r.PostFormValue("class"), Devices: 1,
		Terminal: strings.TrimSpace(r.PostFormValue("terminal")), By: s.Account,
	}
	if n := r.PostFormValue("devices"); n != "" {
		if _, err := fmt.Sscanf(n, "%d", &q.Devices); err != nil || q.Devices < 1 {
			c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "devices", err))
			return
		}
	}
	if q.Terminal != "" {
		reason, err := epochReason(r.PostFormValue("reason"))
		if err != nil {
			c.refuse(w, r, s, pos.AsError(err))
			return
		}
		// A code for a quarantined terminal sets it free: that is an approver's decision.
		if !s.Role.May(Approver) {
			c.audit(r.Context(), s.Account, "refused", "new epoch of "+q.Terminal)
			c.refuse(w, r, s, pos.NewError(pos.ErrForbidden, nil))
			return
		}
		q.EpochReason = reason
	}
	code, until, err := c.cfg.Actions.IssueCode(r.Context(), q)
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.show(w, r, http.StatusOK, "enrol", s, enrolBody{
		Classes: classes(), Code: code, Until: until.UnixMilli(), Devices: q.Devices, Shop: q.Shop, Till: q.Terminal,
	})
}

func epochReason(s string) (pos.EpochReason, error) {
	for _, r := range []pos.EpochReason{pos.EpochRestored, pos.EpochForked, pos.EpochKey, pos.EpochDamaged} {
		if s == string(r) {
			return r, nil
		}
	}
	return "", pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("%.32q is no reason for an epoch", s))
}

// release sets a quarantined terminal free; the reason goes into the trail.
func (c *Console) release(w http.ResponseWriter, r *http.Request, s Session) {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if reason == "" || len(reason) > 300 {
		c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "reason", errors.New("say why, in at most 300 bytes")))
		return
	}
	if c.cfg.Actions.Release == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("release is not available here")))
		return
	}
	if err := c.cfg.Actions.Release(r.Context(), r.PathValue("id"), reason, s.Account); err != nil {
		c.fail(w, r, s, err)
		return
	}
	http.Redirect(w, r, "/console/", http.StatusSeeOther)
}
