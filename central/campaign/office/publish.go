package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Draft is what is to be published.
type Draft struct {
	Definition campaign.Definition
	Area       []byte    // GeoJSON of the fence
	Chain      string    // of the beacon; draw.PracticeChain only in the lab
	DrawAt     time.Time // the first round after it decides; zero: an hour after the close
	By         string
}

// defaultDraw is how long after the close the round comes: time enough to freeze the
// list, to have it co-signed, and for the witness to be away for a while.
const defaultDraw = time.Hour

// minMargin is the least time between close and round.
const minMargin = time.Minute

// Check says what would be refused of a first version, but for a fund that does not cover it.
func (o *Office) Check(ctx context.Context, d Draft) (campaign.Published, draw.Terms, error) {
	p, terms, err := o.check(d, 1)
	if err == nil {
		err = o.exist(ctx, d.Definition)
	}
	return p, terms, err
}

// exist refuses a definition that names a merchant, a store or an institution that is not here.
func (o *Office) exist(ctx context.Context, d campaign.Definition) error {
	known, err := o.cfg.Store.Known(ctx)
	if err != nil {
		return err
	}
	known.Institutions = o.cfg.Institutions
	return d.CheckKnown(known)
}

func (o *Office) check(d Draft, version int) (campaign.Published, draw.Terms, error) {
	none, noTerms := campaign.Published{}, draw.Terms{}
	def := d.Definition
	if def.Env != o.cfg.Env {
		return none, noTerms, pos.FieldError(pos.ErrEnvironment, "env", fmt.Errorf("the campaign is %q, this centre is %q", def.Env, o.cfg.Env))
	}
	if d.DrawAt.IsZero() {
		d.DrawAt = def.Register.Until.Add(defaultDraw)
	}
	if d.DrawAt.Before(def.Register.Until.Add(minMargin)) {
		return none, noTerms, pos.FieldError(pos.ErrBadRequest, "draw_at", fmt.Errorf("want at least %s after registration closes", minMargin))
	}
	if d.DrawAt.After(def.Spend.Until) {
		return none, noTerms, pos.FieldError(pos.ErrBadRequest, "draw_at", errors.New("the envelopes would have expired"))
	}
	p, err := campaign.Publish(def, version, d.Area)
	if err != nil {
		return none, noTerms, err
	}
	round, err := draw.RoundAfter(d.Chain, d.DrawAt)
	if err != nil {
		return none, noTerms, pos.FieldError(pos.ErrBadRequest, "beacon", err)
	}
	switch at, err := draw.TimeOf(d.Chain, round); {
	case err != nil:
		return none, noTerms, pos.FieldError(pos.ErrBadRequest, "beacon", err)
	case !at.Before(def.Spend.Until): // a chain that began later than the campaign
		return none, noTerms, pos.FieldError(pos.ErrBadRequest, "beacon",
			fmt.Errorf("its first round after %s is at %s: the envelopes would have expired", shanghai(d.DrawAt), shanghai(at)))
	case o.cfg.Witness == "":
		return none, noTerms, pos.FieldError(pos.ErrConfig, "campaign.witness", errors.New("is not configured"))
	}
	terms, err := p.Terms(campaign.Conduct{
		Beacon: draw.Beacon{Chain: d.Chain, Round: round}, Practice: d.Chain == draw.PracticeChain,
		Publisher: o.cfg.PublisherKey, Witness: o.cfg.Witness,
	})
	if err == nil {
		err = terms.CheckKeys()
	}
	if err != nil {
		return none, noTerms, pos.FieldError(pos.ErrConfig, "terms", err)
	}
	_, err = o.desk(p) // an authority where residents count
	return p, terms, err
}

// Publish publishes a campaign for good and has its terms co-signed. When the witness
// cannot be reached it is published and the error says so: the same call again, or Run,
// asks her again. The same draft again is a repeat.
func (o *Office) Publish(ctx context.Context, d Draft) (Campaign, error) {
	p, terms, err := o.check(d, 1)
	if err != nil {
		return Campaign{}, err
	}
	name := p.Definition.Name
	if now := o.now(); !now.Before(p.Definition.Register.From) {
		if c, err := o.Campaign(ctx, name); err == nil && c.Hash == p.Hash && !c.TermsSeen().IsZero() {
			return c, nil
		}
		return Campaign{}, pos.FieldError(pos.ErrIllegalMove, "register", errors.New("registration would be open already: what rules it is published before"))
	}
	if err := o.exist(ctx, p.Definition); err != nil {
		return Campaign{}, err
	}
	text, err := terms.Encode()
	if err != nil {
		return Campaign{}, err
	}
	err = o.cfg.Store.Publish(ctx, Publication{
		Published: p, Terms: text, By: d.By, Fund: ledger.Fund(p.Definition.Funding),
		Reserve: ledger.Reserved(name, p.Definition.Funding, p.Definition.Budget, pos.DateOf(p.Definition.Register.From, 0)),
	})
	if err != nil {
		return Campaign{}, err
	}
	c, err := o.again(ctx, name)
	if err != nil {
		return c, err
	}
	return o.witnessTerms(ctx, c, d.By)
}

// witnessTerms logs the terms and has them co-signed.
func (o *Office) witnessTerms(ctx context.Context, c Campaign, by string) (Campaign, error) {
	var err error
	if len(c.Log.Records) == 0 {
		if c, err = o.append(ctx, c, draw.Record{Kind: draw.RecordTerms, SHA256: sum(c.TermsText)}, by); err != nil {
			return c, err
		}
	}
	if c, err = o.cosign(ctx, c, int64(c.Version), c.termsInTime); err != nil {
		return c, err
	}
	return c, o.lay(c)
}
