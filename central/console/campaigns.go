package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dcpos/pos"
)

// Campaigns are red-envelope campaigns and the giving out of their envelopes; whoever runs
// them implements it, and writes what people do into the audit trail. Errors are *pos.Error;
// an unknown campaign is pos.ErrNotFound.
type Campaigns interface {
	// Campaigns lists those that are published, by name.
	Campaigns(ctx context.Context) ([]CampaignLine, error)
	Campaign(ctx context.Context, name string) (CampaignFile, error)
	// Waiting lists payments from a window that came after the recall, and what one person has
	// asked for and another decides.
	Waiting(ctx context.Context) ([]LateEnvelope, []CampaignProposal, error)

	// Drafts names the definitions that ship; Draft reads one.
	Drafts() []string
	Draft(name string) (CampaignDraft, error)
	// Check says what would be published, or refuses the draft with the field and the reason.
	Check(ctx context.Context, d CampaignDraft) (CheckedDraft, error)
	Publish(ctx context.Context, d CampaignDraft, by string) error
	// Published is the newest version of a published campaign, as a draft of the next one.
	Published(ctx context.Context, name string) (CampaignDraft, error)
	// ProposeVersion asks for a draft as the next version of its campaign; another person
	// confirms or rejects it by DecideVersion.
	ProposeVersion(ctx context.Context, d CampaignDraft, reason, by string) error
	DecideVersion(ctx context.Context, number int64, confirm bool, by string) error

	// Offer begins to give a drawn campaign's envelopes out; again with the same terms is a repeat.
	Offer(ctx context.Context, name string, terms OfferTerms, by string) error
	Suspend(ctx context.Context, name, by string) error
	Resume(ctx context.Context, name, by string) error
	// Pace sets how many envelopes an institution is sent in a second, by all campaigns together.
	Pace(ctx context.Context, institution string, perSecond int, by string) error
	// Propose asks for what another person confirms or rejects by Decide: cancel (of a campaign),
	// honour or refuse (of a late payment).
	Propose(ctx context.Context, what, campaign, payment, reason, by string) error
	Decide(ctx context.Context, number int64, confirm bool, by string) error

	// Plausibility counts a campaign's registrations by score and by its reasons.
	Plausibility(ctx context.Context, name string) (Plausibility, error)

	Statement(ctx context.Context, name string) (CampaignStatement, error)
	// Export writes the statement as csv, xlsx, pdf or json.
	Export(ctx context.Context, w io.Writer, name, format, lang string) error
}

// CampaignLine is a campaign in the list.
type CampaignLine struct {
	Name          string    `json:"name"`
	Title         pos.Text  `json:"title"`
	City          pos.Text  `json:"city"`
	State         string    `json:"state"` // published, registering, closed, drawn, void
	StateText     pos.Text  `json:"-"`
	Standing      string    `json:"standing"` // of its issuance; empty: not begun
	StandingText  pos.Text  `json:"-"`
	RegisterMS    [2]int64  `json:"register_ms"` // half-open
	SpendMS       [2]int64  `json:"spend_ms"`
	Envelopes     int64     `json:"envelopes"`
	Budget        pos.Money `json:"budget_fen"`
	Version       int       `json:"version"`
	PublishedMS   int64     `json:"published_ms"`
	Hash          string    `json:"hash"`
	ClockMS       int64     `json:"now_ms"` // of the campaigns' clock
	ClaimUntilMS  int64     `json:"claim_until_ms,omitempty"`
	GraceUntilMS  int64     `json:"grace_until_ms,omitempty"`
	WinnersSeeded int64     `json:"seeded,omitempty"` // winners that have their envelope's row
}

// CampaignFact is one line of a definition, as people read it.
type CampaignFact struct {
	Text  pos.Text
	Value pos.Text
}

// CampaignStep is a step of a campaign's life; AtMS is 0 before it happened.
type CampaignStep struct {
	Text pos.Text
	AtMS int64
	Note string
}

// CampaignVersion is one published version; it never changes.
type CampaignVersion struct {
	Version     int
	Hash        string // SHA-256 of the text, hexadecimal
	PublishedMS int64
	Text        string // the canonical definition, indented
}

// VersionChange is one field that the next version of a definition has differently.
type VersionChange struct {
	Field    string
	Text     pos.Text
	Old, New string
}

// ProposedVersion is a next version that one person asks for; another one decides.
type ProposedVersion struct {
	Number  int64
	Version int
	Hash    string
	Reason  string
	By      string
	AtMS    int64
	More    pos.Money // of the budget; below 0: less
	Changes []VersionChange
}

// CampaignFile is all that a page shows of a campaign.
type CampaignFile struct {
	CampaignLine
	Steps    []CampaignStep     `json:"-"`
	Facts    []CampaignFact     `json:"-"`
	Versions []CampaignVersion  `json:"-"`
	Next     *ProposedVersion   `json:"-"`                  // nil: none waits
	Changing bool               `json:"-"`                  // a next version may still be proposed
	Progress *CampaignProgress  `json:"progress,omitempty"` // nil before the issuance begins
	Open     []CampaignProposal `json:"open,omitempty"`
	Lates    []LateEnvelope     `json:"lates,omitempty"`
	CSRF     string             `json:"csrf,omitempty"` // for programs that act
}

// CampaignProgress is how far issuance, spending and recall are.
type CampaignProgress struct {
	States    []EnvelopeState `json:"states"`
	Banks     []BankProgress  `json:"institutions"`
	Envelopes int64           `json:"envelopes"`
	Offered   int64           `json:"offered"`
	Claimed   int64           `json:"claimed"`
	Activated pos.Money       `json:"activated_fen"`
	Spent     pos.Money       `json:"spent_fen"`
	Left      pos.Money       `json:"left_fen"`
	Recalled  pos.Money       `json:"recalled_fen"`
	Failing   int64           `json:"failing"`
	Differs   int64           `json:"differs"`
	Refused   int64           `json:"refused"`
	Held      int64           `json:"held"`
	Behind    int64           `json:"behind"`
	Example   string          `json:"example,omitempty"`
}

// EnvelopeState is how many envelopes are in a state.
type EnvelopeState struct {
	State string    `json:"state"`
	Text  pos.Text  `json:"-"`
	Count int64     `json:"count"`
	Faces pos.Money `json:"faces_fen"`
}

// BankProgress is how far the envelopes of one institution are.
type BankProgress struct {
	Institution string    `json:"institution"`
	Envelopes   int64     `json:"envelopes"`
	Waiting     int64     `json:"waiting"` // drawn, not offered yet
	Offered     int64     `json:"offered"` // ever
	Claimed     int64     `json:"claimed"` // ever
	Pending     int64     `json:"pending"` // wait for the recall
	Back        int64     `json:"back"`    // recalled, or never claimed and withdrawn
	Activated   pos.Money `json:"activated_fen"`
	Spent       pos.Money `json:"spent_fen"`
	Left        pos.Money `json:"left_fen"`
	Recalled    pos.Money `json:"recalled_fen"`
	Failing     int64     `json:"failing"`
	Differs     int64     `json:"differs"`
	Example     string    `json:"example,omitempty"`
	PerSecond   int       `json:"per_second"`
}

// LateEnvelope is a payment from the window that came after the recall.
type LateEnvelope struct {
	Payment  string    `json:"payment"`
	Terminal string    `json:"terminal"`
	Campaign string    `json:"campaign"`
	Amount   pos.Money `json:"amount_fen"` // out of envelopes
	AtMS     int64     `json:"at_ms"`
}

// CampaignProposal is what one person asks for; another one decides.
type CampaignProposal struct {
	Number   int64    `json:"number"`
	What     string   `json:"what"` // cancel, honour, refuse; version: a next version of the definition
	Text     pos.Text `json:"-"`
	Campaign string   `json:"campaign"`
	Payment  string   `json:"payment,omitempty"`
	Reason   string   `json:"reason"`
	By       string   `json:"by"`
	AtMS     int64    `json:"at_ms"`
}

// Plausibility is how doubtful a campaign's registrations are. It decides nothing.
type Plausibility struct {
	CampaignLine
	Scores  []ScoreCount `json:"scores"`
	Reasons []DoubtCount `json:"reasons"`
}

// ScoreCount is how many registrations have a score from From to To, both included.
type ScoreCount struct {
	From      int   `json:"from"`
	To        int   `json:"to"`
	Count     int64 `json:"registrations"`
	Confirmed int64 `json:"confirmed"`
}

// DoubtCount is how many registrations have a reason to be doubted.
type DoubtCount struct {
	Doubt     string   `json:"doubt"`
	Text      pos.Text `json:"-"`
	Points    int      `json:"points"`
	Count     int64    `json:"registrations"`
	Confirmed int64    `json:"confirmed"`
}

// OfferTerms are what no definition fixes of an issuance.
type OfferTerms struct {
	ClaimUntil time.Time     // zero: the end of the spend window
	Grace      time.Duration // for tills that come late
}

func (c *Console) campaignRoutes() {
	c.mux.Handle("GET /console/campaigns", c.page(Viewer, c.withCampaigns(c.campaigns)))
	c.mux.Handle("GET /console/campaigns/{name}", c.page(Viewer, c.withCampaigns(c.campaign)))
	c.mux.Handle("POST /console/campaigns/{name}/offer", c.form(Approver, c.withCampaigns(c.offerCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/suspend", c.form(Operator, c.withCampaigns(c.suspendCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/resume", c.form(Approver, c.withCampaigns(c.resumeCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/pace", c.form(Operator, c.withCampaigns(c.paceCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/propose", c.form(Operator, c.withCampaigns(c.proposeCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/decide", c.form(Approver, c.withCampaigns(c.decideCampaign)))
	c.mux.Handle("POST /console/campaigns/{name}/version", c.form(Approver, c.withCampaigns(c.decideVersion)))
	c.mux.Handle("GET /console/campaigns/{name}/plausibility", c.page(Viewer, c.withCampaigns(c.plausibility)))
	c.mux.Handle("GET /console/campaigns/{name}/statement", c.page(Viewer, c.withCampaigns(c.campaignStatement)))
	c.mux.Handle("GET /console/campaigns/{name}/statement/{file}", c.page(Viewer, c.withCampaigns(c.exportStatement)))
	c.mux.Handle("GET /console/draft", c.page(Operator, c.withCampaigns(c.draftPage)))
	c.mux.Handle("POST /console/draft", c.page(Operator, c.withCampaigns(c.draft))) // it looks at its token itself: a definition is no short form
}

// withCampaigns refuses where the centre runs none.
func (c *Console) withCampaigns(next signed) signed {
	return func(w http.ResponseWriter, r *http.Request, s Session) {
		if c.cfg.Campaigns == nil {
			c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("this centre runs no campaigns (campaign.witness is not set)")))
			return
		}
		next(w, r, s)
	}
}

type campaignsBody struct {
	List  []CampaignLine
	Open  []CampaignProposal
	Lates []LateEnvelope
}

func (c *Console) campaigns(w http.ResponseWriter, r *http.Request, s Session) {
	list, err := c.cfg.Campaigns.Campaigns(r.Context())
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	if wantsJSON(r) {
		c.json(w, r, list)
		return
	}
	lates, open, err := c.cfg.Campaigns.Waiting(r.Context())
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.show(w, r, http.StatusOK, "campaigns", s, campaignsBody{list, open, lates})
}

func (c *Console) campaign(w http.ResponseWriter, r *http.Request, s Session) {
	file, err := c.cfg.Campaigns.Campaign(r.Context(), r.PathValue("name"))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	if wantsJSON(r) {
		file.CSRF = s.CSRF
		c.json(w, r, file)
		return
	}
	c.show(w, r, http.StatusOK, "campaign", s, file)
}

func (c *Console) plausibility(w http.ResponseWriter, r *http.Request, s Session) {
	p, err := c.cfg.Campaigns.Plausibility(r.Context(), r.PathValue("name"))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	if wantsJSON(r) {
		c.json(w, r, p)
		return
	}
	c.show(w, r, http.StatusOK, "plausibility", s, p)
}

// act does something to a campaign and shows it again.
func (c *Console) act(w http.ResponseWriter, r *http.Request, s Session, err error) {
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	http.Redirect(w, r, "/console/campaigns/"+url.PathEscape(r.PathValue("name")), http.StatusSeeOther)
}

func (c *Console) offerCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	terms, err := offerTerms(r)
	if err == nil {
		err = c.cfg.Campaigns.Offer(r.Context(), r.PathValue("name"), terms, s.Account)
	}
	c.act(w, r, s, err)
}

func offerTerms(r *http.Request) (t OfferTerms, err error) {
	if v := r.PostFormValue("claim_until"); v != "" {
		if t.ClaimUntil, err = time.ParseInLocation("2006-01-02T15:04", v, pos.Shanghai()); err != nil {
			return t, pos.FieldError(pos.ErrBadRequest, "claim_until", fmt.Errorf("want yyyy-mm-ddThh:mm: %w", err))
		}
	}
	hours, err := strconv.Atoi(r.PostFormValue("grace_hours"))
	if err != nil || hours < 0 || hours > 24*366 {
		return t, pos.FieldError(pos.ErrBadRequest, "grace_hours", errors.New("want whole hours, up to a year"))
	}
	t.Grace = time.Duration(hours) * time.Hour
	return t, nil
}

func (c *Console) suspendCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	c.act(w, r, s, c.cfg.Campaigns.Suspend(r.Context(), r.PathValue("name"), s.Account))
}

func (c *Console) resumeCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	c.act(w, r, s, c.cfg.Campaigns.Resume(r.Context(), r.PathValue("name"), s.Account))
}

func (c *Console) paceCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	n, err := strconv.Atoi(strings.TrimSpace(r.PostFormValue("per_second")))
	if err != nil {
		err = pos.FieldError(pos.ErrBadRequest, "per_second", errors.New("want a whole number"))
	} else {
		err = c.cfg.Campaigns.Pace(r.Context(), r.PostFormValue("institution"), n, s.Account)
	}
	c.act(w, r, s, err)
}

func (c *Console) proposeCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	c.act(w, r, s, c.cfg.Campaigns.Propose(r.Context(), r.PostFormValue("what"), r.PathValue("name"), r.PostFormValue("payment"),
		r.PostFormValue("reason"), s.Account))
}

func (c *Console) decideCampaign(w http.ResponseWriter, r *http.Request, s Session) {
	c.answered(w, r, s, c.cfg.Campaigns.Decide)
}

func (c *Console) decideVersion(w http.ResponseWriter, r *http.Request, s Session) {
	c.answered(w, r, s, c.cfg.Campaigns.DecideVersion)
}

// answered carries an answer to a proposal out.
func (c *Console) answered(
	w http.ResponseWriter, r *http.Request, s Session, do func(ctx context.Context, number int64, confirm bool, by string) error,
) {
	number, err := strconv.ParseInt(r.PostFormValue("number"), 10, 64)
	answer := r.PostFormValue("answer")
	switch {
	case err != nil:
		err = pos.FieldError(pos.ErrBadRequest, "number", errors.New("want a proposal's number"))
	case answer != "confirm" && answer != "reject":
		err = pos.FieldError(pos.ErrBadRequest, "answer", errors.New("want confirm or reject"))
	default:
		err = do(r.Context(), number, answer == "confirm", s.Account)
	}
	c.act(w, r, s, err)
}

// lifeTone is the badge's class of a campaign's state or of its issuance's standing.
func lifeTone(state string) string {
	switch state {
	case "registering", "issuing":
		return "ok"
	case "closed", "suspended", "expired":
		return "warn"
	case "void", "cancelled":
		return "bad"
	case "published", "drawn":
		return "info"
	}
	return ""
}

// percent is a part of a whole, rounded down.
func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole //nolint:mnd // per cent
}
