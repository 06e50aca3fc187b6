package issuance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dcpos/central/institution"
	"dcpos/pos"
)

// The pace of Run, and what a Config that says nothing means.
const (
	pace             = time.Second
	defaultPerSecond = 500
	maxParallel      = 16
	firstRetry       = time.Second
	lastRetry        = 5 * time.Minute
)

// Source is the draw's result.
type Source interface {
	// Winners lists the winners of a campaign with a rank above after, in order.
	Winners(ctx context.Context, campaign string, after int64, limit int) ([]Winner, error)
	// Waiting lists a stratum's waiting list from a place above after, in order.
	Waiting(ctx context.Context, campaign, stratum string, after int64, limit int) ([]Winner, error)
	// Announce makes the moves of the waiting list public that were logged so far: co-signed by
	// the witness and in the published files. Again, it is a repeat.
	Announce(ctx context.Context, campaign string) error
}

// People tells the phones behind tickets, for as long as personal data is kept. Each look is
// audited; who cannot be told is left out.
type People interface {
	Phones(ctx context.Context, campaign string, tickets [][32]byte) (map[[32]byte]string, error)
}

// SMS sends messages to phones.
type SMS interface {
	Send(ctx context.Context, phone string, text pos.Text) error
}

// Config is what a Desk needs.
type Config struct {
	Store        Store
	Institutions *institution.Set
	Source       Source
	People       People
	SMS          SMS
	// PerSecond bounds the envelopes that one institution is sent in a second, those of all
	// campaigns together, unless Pace has said otherwise; 0 is 500.
	PerSecond int
	Now       func() time.Time
	Log       *slog.Logger
}

// Desk gives envelopes out and takes them back. It is safe for concurrent use; several
// processes on one database do the same work twice, never another.
type Desk struct {
	cfg   Config
	mu    sync.Mutex
	ruled map[string]bool // institution and plan that know one another, in this process
}

// New checks the configuration.
func New(cfg Config) (*Desk, error) {
	if cfg.Store == nil || cfg.Institutions == nil || cfg.Source == nil || cfg.People == nil || cfg.SMS == nil {
		return nil, pos.NewError(pos.ErrConfig, errors.New("issuance needs store, institutions, source, people and sms"))
	}
	if cfg.PerSecond <= 0 {
		cfg.PerSecond = defaultPerSecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{cfg: cfg, ruled: map[string]bool{}}, nil
}

func (d *Desk) nowMS() int64 { return d.cfg.Now().UnixMilli() }

// Begin lets a drawn campaign be given out. The same plan again is a repeat; another one
// is pos.ErrKeyConflict.
func (d *Desk) Begin(ctx context.Context, p Plan, by string) error {
	switch {
	case len(p.Tiers) == 0 || len(p.Institutions) == 0 || p.FromMS >= p.UntilMS:
		return pos.FieldError(pos.ErrBadRequest, "plan", errors.New("want tiers, institutions and a window"))
	case p.ClaimUntilMS <= 0 || p.ClaimUntilMS > p.UntilMS:
		return pos.FieldError(pos.ErrBadRequest, "claim_until", errors.New("want a moment up to the end of the spend window"))
	case p.GraceMS < 0:
		return pos.FieldError(pos.ErrBadRequest, "grace", errors.New("want 0 or more"))
	}
	for _, code := range p.Institutions {
		if _, err := d.bank(code); err != nil {
			return err
		}
	}
	want, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		have, found, err := tx.Issuance(ctx, p.Campaign)
		if err != nil {
			return err
		}
		if found {
			if old, err := json.Marshal(have.Plan); err != nil || string(old) != string(want) {
				return pos.FieldError(pos.ErrKeyConflict, "plan", errors.New("it is given out by another plan already"))
			}
			return nil
		}
		if err := tx.PutIssuance(ctx, Issuance{Plan: p, Standing: Issuing}); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_begun", p.Campaign, p.Hash)
	})
}

// bank finds an institution that gives out envelopes.
func (d *Desk) bank(code string) (institution.Envelopes, error) {
	m, ok := d.cfg.Institutions.Member(code)
	if !ok {
		return nil, pos.FieldError(pos.ErrConfig, "institution", fmt.Errorf("%q is not described", code))
	}
	e, ok := m.Adapter.(institution.Envelopes)
	if !ok {
		return nil, pos.FieldError(pos.ErrConfig, "institution", fmt.Errorf("%s gives out no envelopes", code))
	}
	return e, nil
}

// Run does rounds until ctx ends, one a second: what an institution may be sent in a second
// is what a round sends it.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		if _, err := d.Round(ctx); err != nil && ctx.Err() == nil {
			d.cfg.Log.WarnContext(ctx, "issuance round ended early", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Drain does rounds at the pace of Run until nothing is to be done now.
func (d *Desk) Drain(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		busy, err := d.Round(ctx)
		if err != nil || !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Round does what is due once, for every campaign; busy tells that there is more to do
// now. It goes on where another one, or another process, stopped at whatever line.
func (d *Desk) Round(ctx context.Context) (busy bool, err error) {
	var all []Issuance
	var paces map[string]int
	if err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		if all, err = tx.Issuances(ctx); err == nil {
			paces, err = tx.Paces(ctx)
		}
		return err
	}); err != nil {
		return false, fmt.Errorf("read issuances: %w", err)
	}
	left := d.allowances(all, paces)
	claims, err := d.claims(ctx, all)
	busy = claims
	for _, is := range all {
		more, err2 := d.tend(ctx, is, left)
		busy, err = busy || more, errors.Join(err, err2)
	}
	return busy, err
}

// tend does one round of a campaign.
func (d *Desk) tend(ctx context.Context, is Issuance, left map[string]*int) (busy bool, err error) {
	now := d.nowMS()
	switch {
	case is.Standing == Reclaimed:
		return false, nil
	case is.Standing == Expired:
		return d.recall(ctx, is)
	case now >= is.UntilMS:
		return true, d.expire(ctx, is)
	case is.Standing == Suspended:
		return false, nil
	case is.Standing == Cancelled:
		return d.withdraw(ctx, is, Reserved, Offered)
	}
	withdrawn := false
	if now >= is.ClaimUntilMS { // who was not told yet, and who follows, has until the window's end
		if withdrawn, err = d.withdraw(ctx, is, Offered); err != nil {
			return withdrawn, err
		}
	}
	seeded, err := d.seed(ctx, is)
	if err != nil {
		return seeded, err
	}
	hidden := error(nil)
	if is.Waiting && now >= is.ClaimUntilMS {
		hidden = d.announce(ctx, is) // no offer of those who moved up, but those of others
	}
	offered, err := d.offer(ctx, is, left)
	return withdrawn || seeded || offered, errors.Join(hidden, err)
}

// each runs work for every institution of a plan side by side.
func (d *Desk) each(codes []string, work func(code string) (bool, error)) (busy bool, err error) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, code := range codes {
		wait.Go(func() {
			more, failed := work(code)
			mu.Lock()
			defer mu.Unlock()
			busy = busy || more
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", code, failed))
			}
		})
	}
	wait.Wait()
	return busy, err
}

// retry puts off a row that failed: 1, 2, 4 s … up to 5 minutes.
func (d *Desk) retry(e Issued, why string) Issued {
	e.NextMS = d.nowMS() + min(lastRetry, firstRetry<<min(e.Tries, 10)).Milliseconds()
	e.Tries++
	e.Detail = why
	return e
}

// write keeps rows that are still as they were read. A row that moved meanwhile (a claim
// that was quicker than its message) stays as it is.
func (d *Desk) write(ctx context.Context, rows []Issued, from ...State) error {
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		var still []Issued
		for _, r := range rows {
			have, found, err := tx.Envelope(ctx, r.ID)
			if err != nil {
				return err
			}
			for _, s := range from {
				if found && have.State == s {
					still = append(still, r)
				}
			}
		}
		return tx.PutEnvelopes(ctx, still)
	})
}
