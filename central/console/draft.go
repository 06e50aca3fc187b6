package console

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"dcpos/pos"
)

// maxDraft bounds a posted definition with its fence.
const maxDraft = 2 << 20

// CampaignDraft is what is to be published.
type CampaignDraft struct {
	Definition string    // YAML or JSON
	Area       string    // GeoJSON of the fence; empty: the one that ships under the definition's name of it
	Practice   bool      // a practice beacon, in the lab alone
	DrawAt     time.Time // the first round after it decides; zero: an hour after the close
}

// CheckedDraft is what a draft would be.
type CheckedDraft struct {
	Name      string
	Title     pos.Text
	Envelopes int64
	Total     pos.Money
	Round     uint64
	RoundMS   int64
	Hash      string
	Facts     []CampaignFact
	Version   int             // above 1: the next one of a campaign that is published
	More      pos.Money       // of the budget than the version before; below 0: less
	Changes   []VersionChange // against the version before
}

type draftBody struct {
	Shipped []string
	From    string
	Draft   CampaignDraft
	DrawAt  string
	Reason  string
	Checked *CheckedDraft
	Refused *pos.Error
}

func (c *Console) draftPage(w http.ResponseWriter, r *http.Request, s Session) {
	body := draftBody{Shipped: c.cfg.Campaigns.Drafts(), From: r.URL.Query().Get("from"), Draft: CampaignDraft{Practice: c.cfg.Env == pos.Lab}}
	if name := r.URL.Query().Get("revise"); name != "" {
		var err error
		if body.Draft, err = c.cfg.Campaigns.Published(r.Context(), name); err != nil {
			c.fail(w, r, s, err)
			return
		}
	} else if body.From != "" {
		practice := body.Draft.Practice
		var err error
		if body.Draft, err = c.cfg.Campaigns.Draft(body.From); err != nil {
			c.fail(w, r, s, err)
			return
		}
		body.Draft.Practice = practice
	}
	c.show(w, r, http.StatusOK, "draft", s, body)
}

// draft checks a definition, publishes it for good, which approvers alone may, or proposes it
// as the next version of its campaign. What is refused is shown beside the text, which stays
// as it was typed.
func (c *Console) draft(w http.ResponseWriter, r *http.Request, s Session) {
	r.Body = http.MaxBytesReader(w, r.Body, maxDraft)
	if !genuine(r, s) {
		c.audit(r.Context(), s.Account, "refused", r.URL.Path+" without token")
		c.refuse(w, r, s, pos.FieldError(pos.ErrForbidden, "csrf", nil))
		return
	}
	publish, propose := r.PostFormValue("do") == "publish", r.PostFormValue("do") == "propose"
	if publish && !s.Role.May(Approver) {
		c.audit(r.Context(), s.Account, "refused", r.URL.Path)
		c.refuse(w, r, s, pos.NewError(pos.ErrForbidden, nil))
		return
	}
	body := draftBody{Shipped: c.cfg.Campaigns.Drafts(), From: r.PostFormValue("from"), DrawAt: r.PostFormValue("draw_at"), Reason: r.PostFormValue("reason")}
	body.Draft = CampaignDraft{
		Definition: r.PostFormValue("definition"), Area: strings.TrimSpace(r.PostFormValue("area")), Practice: r.PostFormValue("practice") != "",
	}
	checked, err := c.checkDraft(r, &body)
	if err == nil && (publish || propose) {
		if publish {
			err = c.cfg.Campaigns.Publish(r.Context(), body.Draft, s.Account)
		} else {
			err = c.cfg.Campaigns.ProposeVersion(r.Context(), body.Draft, body.Reason, s.Account)
		}
		if err == nil {
			http.Redirect(w, r, "/console/campaigns/"+checked.Name, http.StatusSeeOther)
			return
		}
	}
	status := http.StatusOK
	if err != nil {
		if body.Refused = pos.AsError(err); body.Refused.Code == pos.ErrInternal || body.Refused.Code == pos.ErrStorage {
			c.broken(w, r, err)
			return
		}
		status = http.StatusBadRequest
	} else {
		body.Checked = &checked
	}
	c.show(w, r, status, "draft", s, body)
}

func (c *Console) checkDraft(r *http.Request, body *draftBody) (CheckedDraft, error) {
	if body.DrawAt != "" {
		at, err := time.ParseInLocation("2006-01-02T15:04", body.DrawAt, pos.Shanghai())
		if err != nil {
			return CheckedDraft{}, pos.FieldError(pos.ErrBadRequest, "draw_at", errors.New("want yyyy-mm-ddThh:mm"))
		}
		body.Draft.DrawAt = at
	}
	return c.cfg.Campaigns.Check(r.Context(), body.Draft)
}
