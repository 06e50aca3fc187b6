package office

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Revision is a definition that one person wants to be a campaign's next version. It waits
// for another person; what she confirms are these bytes.
type Revision struct {
	Number    int64
	Published campaign.Published
	Terms     []byte // terms.json of the version
	Reason    string
	By        string
	AtMS      int64
}

// lastCall is how long before registration opens the last version must be published: the
// witness needs time to see it.
const lastCall = time.Minute

// maxReason bounds a person's words, in bytes.
const maxReason = 500

// MayChange reports that a next version may still be proposed at a moment.
func (c Campaign) MayChange(now time.Time) bool {
	return !c.TermsSeen().IsZero() && now.Before(c.Definition.Register.From.Add(-lastCall))
}

// CheckRevision says what would be refused of a campaign's next version, and what there is
// of the campaign now. Where DrawAt is zero and registration closes as before, the beacon's
// round stays.
func (o *Office) CheckRevision(ctx context.Context, d Draft) (c Campaign, p campaign.Published, terms draw.Terms, err error) {
	if c, err = o.Campaign(ctx, d.Definition.Name); err != nil {
		return c, p, terms, err
	}
	if d.DrawAt.IsZero() && d.Chain == c.Terms.Beacon.Chain && d.Definition.Register.Until.Equal(c.Definition.Register.Until) {
		d.DrawAt = c.RoundAt.Add(-1) // the first round after it is this one
	}
	if p, terms, err = o.check(d, c.Version+1); err != nil {
		return c, p, terms, err
	}
	return c, p, terms, o.mayFollow(ctx, c, p, terms)
}

// mayFollow refuses what may not be the campaign's next version now.
func (o *Office) mayFollow(ctx context.Context, c Campaign, p campaign.Published, terms draw.Terms) error {
	now := o.now()
	refuse := func(code pos.Code, field, format string, args ...any) error {
		return pos.FieldError(code, field, fmt.Errorf(format, args...))
	}
	switch last := c.Definition.Register.From.Add(-lastCall); {
	case p.Version > draw.MaxVersions:
		return refuse(pos.ErrIllegalMove, "version", "a campaign has at most %d", draw.MaxVersions)
	case p.Version != c.Version+1:
		return refuse(pos.ErrIllegalMove, "version", "%d does not follow %d", p.Version, c.Version)
	case !now.Before(last):
		return refuse(pos.ErrIllegalMove, "register", "the last moment for a new version was %s, %s before registration opens", shanghai(last), lastCall)
	case !now.Before(p.Definition.Register.From.Add(-lastCall)):
		return refuse(pos.ErrIllegalMove, "register.from", "want at least %s from now", lastCall)
	case c.TermsSeen().IsZero():
		return refuse(pos.ErrIllegalMove, "witness", "version %d is not witnessed yet", c.Version)
	case p.Definition.Funding != c.Definition.Funding:
		return refuse(pos.ErrBadRequest, "funding", "%s has the budget reserved: the provider stays", c.Definition.Funding)
	}
	if err := terms.Continues(c.Terms); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "beacon", err)
	}
	if len(campaign.Changes(c.Published, p)) == 0 && terms.Beacon == c.Terms.Beacon {
		return refuse(pos.ErrBadRequest, "definition", "nothing differs from version %d", c.Version)
	}
	return o.exist(ctx, p.Definition)
}

// Propose asks for a next version, which another person confirms or rejects by Decide.
func (o *Office) Propose(ctx context.Context, d Draft, reason string) error {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > maxReason || d.By == "" {
		return pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("want 1 to %d bytes, and a name", maxReason))
	}
	_, p, terms, err := o.CheckRevision(ctx, d)
	if err != nil {
		return err
	}
	text, err := terms.Encode()
	if err != nil {
		return err
	}
	return o.cfg.Store.Propose(ctx, Revision{Published: p, Terms: text, Reason: reason, By: d.By, AtMS: o.now().UnixMilli()})
}

// Revisions are those that wait for a second person.
func (o *Office) Revisions(ctx context.Context) ([]Revision, error) {
	return o.cfg.Store.Revisions(ctx)
}

// Decide publishes a revision as the campaign's next version, for good, or rejects it; who
// proposed it cannot. When the witness does not sign, the version is published, the error says
// so, and Run asks her again; one that she never saw in time makes the campaign void, so she
// is asked for a sign of life before.
func (o *Office) Decide(ctx context.Context, number int64, by string, confirm bool) error {
	r, err := o.revision(ctx, number)
	switch {
	case err != nil:
		return err
	case r.By == by || by == "":
		return pos.FieldError(pos.ErrForbidden, "by", errors.New("another person than who proposed it must decide"))
	case !confirm:
		return o.cfg.Store.Reject(ctx, r, by)
	}
	c, err := o.Campaign(ctx, r.Published.Definition.Name)
	if err != nil {
		return err
	}
	terms, err := draw.DecodeTerms(r.Terms)
	if err != nil {
		return err
	}
	if err := o.mayFollow(ctx, c, r.Published, terms); err != nil {
		return err
	}
	n := int64(c.Version)
	if _, err := o.cfg.Ask.Cosign(ctx, c.Log, n, n, c.Definition.Name, o.cfg.Desk.Publisher); err != nil {
		return unseen(err)
	}
	change, err := changeOf(c, r, by)
	if err != nil {
		return err
	}
	if err := o.cfg.Store.Revise(ctx, r, change); err != nil {
		return err
	}
	if c, err = o.again(ctx, c.Definition.Name); err != nil {
		return err
	}
	_, err = o.witnessTerms(ctx, c, by)
	return err
}

func (o *Office) revision(ctx context.Context, number int64) (Revision, error) {
	all, err := o.cfg.Store.Revisions(ctx)
	for _, r := range all {
		if r.Number == number {
			return r, nil
		}
	}
	if err == nil {
		err = pos.FieldError(pos.ErrNotFound, "number", fmt.Errorf("revision %d does not wait", number))
	}
	return Revision{}, err
}

// changeOf is what the revision does to log and budget.
func changeOf(c Campaign, r Revision, by string) (Change, error) {
	line, err := draw.Record{Kind: draw.RecordTerms, SHA256: sum(r.Terms)}.Line()
	if err != nil {
		return Change{}, err
	}
	d := r.Published.Definition
	change := Change{Record: line, More: d.Budget - c.Definition.Budget, Fund: ledger.Fund(d.Funding), By: by}
	if change.More != 0 {
		t := ledger.Rebudgeted(d.Name, d.Funding, r.Published.Version, change.More, pos.DateOf(d.Register.From, 0))
		change.Money = &t
	}
	return change, nil
}

// unseen says that nothing was published, because the witness is away.
func unseen(err error) error {
	e := pos.FieldError(pos.ErrInstitution, "witness", err)
	e.Text = pos.Text{ZH: "见证方没有应答,新版本未发布", EN: "the witness does not answer: the version was not published"}
	e.Hint = pos.Text{ZH: "请检查见证方后再确认", EN: "see to the witness, then confirm again"}
	return e
}
