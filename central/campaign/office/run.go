package office

import (
	"context"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// every is how often Run looks; a close must not wait long.
const every = 2 * time.Second

// Run does what needs no decision until ctx ends: terms are witnessed where that failed,
// registration is closed in time, personal data destroyed when it is due. What fails is
// logged and tried again.
func (o *Office) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		o.Tend(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Tend is one round of Run.
func (o *Office) Tend(ctx context.Context) {
	all, err := o.Campaigns(ctx)
	if err != nil {
		o.complain(ctx, "", "read", err)
		return
	}
	for _, c := range all {
		step, err := o.tend(ctx, c)
		o.complain(ctx, c.Definition.Name, step, err)
	}
}

func (o *Office) tend(ctx context.Context, c Campaign) (step string, err error) {
	now := o.now()
	state := c.State(now)
	switch {
	case state == Published && c.TermsSeen().IsZero():
		_, err = o.witnessTerms(ctx, c, "centre")
		return "witness terms", err
	case state == Closed && c.ListSeen().IsZero():
		_, err = o.Close(ctx, c.Definition.Name, "centre")
		return "close", err
	case state == Drawn && c.Seen[int64(len(c.Log.Records))].IsZero():
		return "announce", o.Announce(ctx, c.Definition.Name)
	}
	if state == Void {
		if err := o.release(ctx, c, now); err != nil {
			return "release budget", err
		}
	}
	if err := o.forget(ctx, c, now); err != nil {
		return "destroy personal data", err
	}
	return "folder", o.tidy(c) // also where another centre took the step
}

// forget destroys a campaign's key when its time is over.
func (o *Office) forget(ctx context.Context, c Campaign, now time.Time) error {
	d := c.Definition
	if o.destroyed[d.Name] || now.Before(d.Spend.Until.AddDate(0, 0, d.Registration.KeepDays)) {
		return nil
	}
	desk, err := o.desk(c.Published)
	if err == nil {
		err = desk.Destroy(ctx, "centre")
	}
	o.destroyed[d.Name] = err == nil
	return err
}

// voidFor is how long a campaign is void before its budget is given back: a signature that
// another centre got in time would be kept by then.
const voidFor = 24 * time.Hour

// release gives a void campaign's budget back to its provider. Nothing of it was given out,
// and nothing can be.
func (o *Office) release(ctx context.Context, c Campaign, now time.Time) error {
	since := c.opening()
	if !c.TermsSeen().IsZero() {
		since = c.RoundAt
	}
	if now.Before(since.Add(voidFor)) || o.released[c.Hash] {
		return nil
	}
	d := c.Definition
	if err := o.cfg.Store.Release(ctx, d.Name, ledger.Released(d.Name, d.Funding, d.Budget, pos.DateOf(since, 0))); err != nil {
		return err
	}
	o.released[c.Hash] = true
	return nil
}

func (o *Office) complain(ctx context.Context, name, step string, err error) {
	if err != nil && ctx.Err() == nil {
		o.cfg.Log.WarnContext(ctx, "campaign", "campaign", name, "step", step, "err", err)
	}
}
