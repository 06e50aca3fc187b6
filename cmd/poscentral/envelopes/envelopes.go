// Package envelopes joins the rooms of campaigns and issuance, which do not know one
// another: what a draw's result is to issuance, and what both and the store are to a
// campaign's statement.
package envelopes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/statement"
	"dcpos/central/issuance"
	"dcpos/central/store"
	"dcpos/pos"
)

// Terms of issuance that no definition fixes.
type Terms struct {
	ClaimUntil time.Time     // zero: to the end of the spend window
	Grace      time.Duration // after it, for tills that come late
}

// Plan is how a published campaign is given out.
func Plan(p campaign.Published, t Terms) issuance.Plan {
	d := p.Definition
	if t.ClaimUntil.IsZero() {
		t.ClaimUntil = d.Spend.Until
	}
	plan := issuance.Plan{
		Campaign: d.Name, Hash: p.Hash, Title: d.Title, Provider: d.Funding, Budget: d.Budget,
		FromMS: d.Spend.From.UnixMilli(), UntilMS: d.Spend.Until.UnixMilli(), ClaimUntilMS: t.ClaimUntil.UnixMilli(), GraceMS: t.Grace.Milliseconds(),
		Merchants: d.Scope.Merchants, Stores: d.Scope.Stores, Categories: d.Scope.Categories, Waiting: d.Waiting > 0,
	}
	for _, tier := range d.Tiers {
		x := issuance.Tier{Amount: tier.Value()}
		if tier.Coupon != nil {
			x.Threshold = tier.Coupon.Threshold
		}
		plan.Tiers = append(plan.Tiers, x)
	}
	for _, c := range d.Scope.Channels {
		plan.Channels = append(plan.Channels, string(c))
	}
	for _, i := range d.Institutions {
		plan.Institutions = append(plan.Institutions, i.Code)
	}
	return plan
}

// Begin begins to give a drawn campaign's envelopes out; again with the same terms is a
// repeat. A campaign that was not drawn is pos.ErrIllegalMove.
func Begin(ctx context.Context, o *office.Office, d *issuance.Desk, name string, t Terms, by string) error {
	c, err := o.Campaign(ctx, name)
	if err != nil {
		return err
	}
	if c.State(o.Now()) != office.Drawn {
		return pos.FieldError(pos.ErrIllegalMove, "campaign", errors.New("it was not drawn yet"))
	}
	return d.Begin(ctx, Plan(c.Published, t), by)
}

// Drawn is issuance.Source over the office's published results.
type Drawn struct {
	Office *office.Office

	mu    sync.Mutex
	lists map[string]lists
}

type lists struct {
	winners []issuance.Winner
	waiting map[string][]issuance.Winner
}

// Winners implements issuance.Source.
func (d *Drawn) Winners(ctx context.Context, name string, after int64, limit int) ([]issuance.Winner, error) {
	l, err := d.read(ctx, name)
	return part(l.winners, after, limit), err
}

// Waiting implements issuance.Source.
func (d *Drawn) Waiting(ctx context.Context, name, stratum string, after int64, limit int) ([]issuance.Winner, error) {
	l, err := d.read(ctx, name)
	return part(l.waiting[stratum], after, limit), err
}

// Announce implements issuance.Source.
func (d *Drawn) Announce(ctx context.Context, name string) error { return d.Office.Announce(ctx, name) }

func part(all []issuance.Winner, after int64, limit int) []issuance.Winner {
	from := min(max(after, 0), int64(len(all)))
	return all[from:min(int64(len(all)), from+int64(limit))]
}

func (d *Drawn) read(ctx context.Context, name string) (lists, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.lists[name]; ok {
		return l, nil
	}
	c, err := d.Office.Campaign(ctx, name)
	if err != nil {
		return lists{}, err
	}
	winners, waiting, err := d.Office.Lists(ctx, c)
	if err != nil {
		return lists{}, err
	}
	l := lists{waiting: map[string][]issuance.Winner{}}
	for i, w := range winners {
		tier := slices.IndexFunc(c.Definition.Tiers, func(t campaign.Tier) bool { return t.Value() == w.Face })
		if tier < 0 || w.Rank != int64(i)+1 {
			return lists{}, fmt.Errorf("winner %d has rank %d and a face of %s", i+1, w.Rank, w.Face)
		}
		l.winners = append(l.winners, issuance.Winner{
			Rank: w.Rank, Ticket: w.Ticket, Stratum: w.Stratum, Institution: w.Institution, Tier: tier,
		})
	}
	for _, w := range waiting {
		l.waiting[w.Stratum] = append(l.waiting[w.Stratum], issuance.Winner{
			Rank: int64(len(l.waiting[w.Stratum])) + 1, Ticket: w.Ticket, Stratum: w.Stratum, Institution: w.Institution,
		})
	}
	if d.lists == nil {
		d.lists = map[string]lists{}
	}
	d.lists[name] = l
	return l, nil
}

// People is issuance.People over the registrations, each look audited.
type People struct{ Office *office.Office }

// Phones implements issuance.People.
func (p People) Phones(ctx context.Context, name string, tickets [][32]byte) (map[[32]byte]string, error) {
	desk, err := p.Office.Desk(ctx, name)
	if err != nil {
		return nil, err
	}
	all := make([]draw.Ticket, len(tickets))
	for i, t := range tickets {
		all[i] = t
	}
	people, err := desk.Reveal(ctx, all, "issuance")
	phones := make(map[[32]byte]string, len(people))
	for ticket, who := range people {
		phones[ticket] = who.Phone
	}
	return phones, err
}

// Statement makes the account of a campaign.
func Statement(ctx context.Context, o *office.Office, desk *issuance.Desk, db *store.Store, name string) (statement.Statement, error) {
	c, err := o.Campaign(ctx, name)
	if err != nil {
		return statement.Statement{}, err
	}
	is, p, err := desk.Progress(ctx, name)
	if err != nil {
		return statement.Statement{}, err
	}
	lines, err := db.CampaignLines(ctx, name)
	if err != nil {
		return statement.Statement{}, err
	}
	f := statement.Facts{
		Campaign: name, Title: c.Definition.Title, Notice: c.Definition.Env.Notice(), Budget: is.Budget, Activated: p.Claimed, ActiveFace: p.Activated, Left: p.Left, Recalled: p.Recalled,
		Refused: p.Refused, Offered: p.Offered, Lines: lines,
	}
	for s, n := range p.Counts {
		f.Envelopes += n
		f.Face += p.Faces[s]
	}
	f.Registered = c.Entries()
	moves, err := o.Moves(ctx, c)
	if err != nil {
		return statement.Statement{}, err
	}
	for _, m := range moves { // their envelopes were drawn once, for others
		if m.Up {
			f.MovedUp, f.Envelopes, f.Face = f.MovedUp+1, f.Envelopes-1, f.Face-m.Face
		}
	}
	return statement.Make(f), nil
}
