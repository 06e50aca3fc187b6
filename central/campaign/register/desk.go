package register

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign"
	"dcpos/central/campaign/fence"
	"dcpos/pos"
)

// SMS sends messages to phones.
type SMS interface {
	Send(ctx context.Context, phone string, text pos.Text) error
}

// Known is what the authority says of a person.
type Known struct {
	Real     bool // name and document fit
	Resident bool // she belongs to the campaign's residents
}

// Authority checks people. It may take its time; an error is "try again", never a refusal.
type Authority interface {
	Look(ctx context.Context, p Personal) (Known, error)
}

// Config is what a Desk needs.
type Config struct {
	Campaign  campaign.Published
	Store     Store
	Publisher note.Signer
	SMS       SMS
	// Authority is asked about everybody where it is set, and must be where residents count.
	Authority Authority
	// Master wraps the campaigns' keys: 32 bytes that are kept outside of the store.
	Master []byte
	Now    func() time.Time
	// PerSource is how many submissions a minute one source and one device may make; 0 is 60.
	PerSource int
}

// Desk takes the registrations of one campaign. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	rules  campaign.Definition
	area   *fence.Fence // nil: no fence
	wrap   cipher.AEAD
	limits Limiter

	mu   sync.Mutex
	keys *keys // cached; nil before the first use and after Destroy
}

// Open makes the desk of a published campaign.
func Open(cfg Config) (*Desk, error) {
	if cfg.Store == nil || cfg.SMS == nil || cfg.Publisher == nil || cfg.Campaign.Hash == "" {
		return nil, pos.NewError(pos.ErrConfig, errors.New("registration: want campaign, store, SMS and publisher"))
	}
	if len(cfg.Master) != keySize {
		return nil, pos.FieldError(pos.ErrConfig, "master", fmt.Errorf("want %d bytes", keySize))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PerSource == 0 {
		cfg.PerSource = 60
	}
	d := &Desk{cfg: cfg, rules: cfg.Campaign.Definition}
	if cfg.Authority == nil && needsAuthority(d.rules) {
		return nil, pos.FieldError(pos.ErrConfig, "authority", errors.New("this campaign asks who is a resident"))
	}
	var err error
	if d.wrap, err = gcm(cfg.Master); err != nil {
		return nil, err
	}
	if d.rules.Fence != "" {
		if d.area, err = fence.Parse(cfg.Campaign.Area); err != nil {
			return nil, pos.FieldError(pos.ErrConfig, "fence", err)
		}
	}
	return d, nil
}

func needsAuthority(d campaign.Definition) bool {
	return d.Presence == campaign.Resident || slices.ContainsFunc(d.Strata, func(s campaign.Stratum) bool {
		return s.Who == campaign.Residents || s.Who == campaign.Visitors
	})
}

// open reports whether the window is open at now.
func (d *Desk) open(now time.Time) error {
	switch {
	case now.Before(d.rules.Register.From):
		return refuse(NotOpen, "", nil)
	case !now.Before(d.rules.Register.Until):
		return refuse(Closed, "", nil)
	}
	return nil
}

// secrets are the campaign's keys, made at their first use.
func (d *Desk) secrets(ctx context.Context) (*keys, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys != nil {
		return d.keys, nil
	}
	fresh, wrapped := newKey(d.wrap, d.rules.Name)
	var key []byte
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		have, found, err := tx.Key(ctx, d.rules.Name)
		if err != nil {
			return err
		}
		if found {
			key, err = unwrap(d.wrap, d.rules.Name, have)
			return err
		}
		key = fresh
		return tx.PutKey(ctx, d.rules.Name, wrapped)
	})
	if err != nil {
		return nil, fmt.Errorf("campaign key: %w", err)
	}
	d.keys, err = keysOf(key, d.rules.Name)
	return d.keys, err
}

// place is the verdict on a position: Inside where nobody asks.
func (d *Desk) place(fix *fence.Fix) (fence.Verdict, error) {
	if d.area == nil {
		return fence.Inside, nil
	}
	if fix == nil {
		return "", refuse(NoPlace, "position", nil)
	}
	v, err := d.area.Locate(*fix)
	if err != nil {
		return "", refuse(NoPlace, "position", errors.New("not a position"))
	}
	if v == fence.Outside {
		return v, refuse(OutsideArea, "position", nil)
	}
	return v, nil
}

// stratum is the first whose rule fits, or a refusal.
func (d *Desk) stratum(id Identity, known Known) (string, error) {
	if d.rules.Presence == campaign.Resident && !known.Resident {
		return "", refuse(NotEligible, "", errors.New("not a resident"))
	}
	if len(d.rules.Strata) == 0 {
		return "", nil
	}
	for _, s := range d.rules.Strata {
		fits := false
		switch s.Who {
		case campaign.Anyone:
			fits = true
		case campaign.Foreigners:
			fits = id.Foreign()
		case campaign.Residents:
			fits = known.Resident
		case campaign.Visitors:
			fits = !id.Foreign() && !known.Resident
		}
		if fits {
			return s.Name, nil
		}
	}
	return "", refuse(NotEligible, "", errors.New("no stratum fits"))
}
