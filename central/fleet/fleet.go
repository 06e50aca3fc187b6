package fleet

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Config is what a Fleet needs.
type Config struct {
	Store Store
	Env   pos.Environment
	// CentreKey is the centre's public key (PKIX DER), which tills pin; CentreSuite its suite.
	CentreKey   []byte
	CentreSuite string
	// Signer is the centre's key, with which policies are signed; nil publishes none.
	Signer dcep.Signer
	// NATSURL is where enrolled tills connect.
	NATSURL string
	// Trust is what tills are to believe; nil says nothing.
	Trust func() dcep.Trust
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Changed, when set, is called after a terminal's state or keys changed, so that
	// connections can be cut.
	Changed func(terminal string)
}

// Fleet is the registry. It is safe for concurrent use.
type Fleet struct{ cfg Config }

// New makes a Fleet; it reads nothing yet.
func New(cfg Config) *Fleet {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Fleet{cfg}
}

var (
	merchantForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	shopForm     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,24}$`) // leaves room for the terminal's number
)

// AddMerchant registers a merchant or renames it.
func (f *Fleet) AddMerchant(ctx context.Context, m Merchant, by string) error {
	if !merchantForm.MatchString(m.ID) {
		return pos.FieldError(pos.ErrBadRequest, "id", fmt.Errorf("want %s", merchantForm))
	}
	return f.cfg.Store.Write(ctx, func(tx Tx) error {
		if err := tx.PutMerchant(ctx, m); err != nil {
			return fmt.Errorf("add merchant %s: %w", m.ID, err)
		}
		return tx.Audit(ctx, by, "merchant_added", m.ID, m.Name.Both())
	})
}

// maxDistrict bounds the name of a part of town, in characters.
const maxDistrict = 40

// AddShop registers a store of a merchant, or renames it and moves it; an empty district and no
// place leave what is known. It never changes its merchant.
func (f *Fleet) AddShop(ctx context.Context, s Shop, by string) error {
	if !shopForm.MatchString(s.ID) {
		return pos.FieldError(pos.ErrBadRequest, "id", fmt.Errorf("want %s", shopForm))
	}
	s.District = strings.TrimSpace(s.District)
	if utf8.RuneCountInString(s.District) > maxDistrict || strings.ContainsFunc(s.District, unicode.IsControl) || !utf8.ValidString(s.District) {
		return pos.FieldError(pos.ErrBadRequest, "district", fmt.Errorf("want at most %d printable characters", maxDistrict))
	}
	return f.cfg.Store.Write(ctx, func(tx Tx) error {
		have, found, err := tx.Shop(ctx, s.ID)
		if err != nil {
			return fmt.Errorf("add store %s: %w", s.ID, err)
		}
		if found && have.Merchant != s.Merchant {
			return pos.FieldError(pos.ErrKeyConflict, "merchant", fmt.Errorf("store %s is of merchant %s", s.ID, have.Merchant))
		}
		if s.District == "" {
			s.District = have.District
		}
		if s.At == nil {
			s.At = have.At
		}
		if err := tx.PutShop(ctx, s); err != nil {
			return fmt.Errorf("add store %s: %w", s.ID, err)
		}
		return tx.Audit(ctx, by, "store_added", s.ID, s.told())
	})
}

// told is a store for the trail.
func (s Shop) told() string {
	text := strings.TrimSpace(s.Name.Both() + " " + s.District)
	if s.At != nil {
		text += " " + s.At.String()
	}
	return text
}

// Terminal finds a terminal; an absent one is pos.ErrNotFound.
func (f *Fleet) Terminal(ctx context.Context, id string) (t Terminal, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		t, err = find(ctx, tx, id)
		return err
	})
	return t, err
}

// ByNATSKey finds the terminal whose NATS user has this public key; an absent one is
// pos.ErrNotFound.
func (f *Fleet) ByNATSKey(ctx context.Context, key string) (t Terminal, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		var found bool
		if t, found, err = tx.TerminalByNATSKey(ctx, key); err == nil && !found {
			err = pos.NewError(pos.ErrNotFound, fmt.Errorf("no terminal has NATS key %.56q", key))
		}
		return err
	})
	return t, err
}

// Epoch finds the key of one epoch; an absent one is pos.ErrNotFound.
func (f *Fleet) Epoch(ctx context.Context, terminal string, epoch uint32) (e Epoch, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		var found bool
		if e, found, err = tx.Epoch(ctx, terminal, epoch); err == nil && !found {
			err = pos.NewError(pos.ErrNotFound, fmt.Errorf("terminal %.32q has no epoch %d", terminal, epoch))
		}
		return err
	})
	return e, err
}

// List gives terminals in order of id, after the named one.
func (f *Fleet) List(ctx context.Context, after string, limit int) (list []Listing, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		list, err = tx.Listings(ctx, after, limit)
		return err
	})
	return list, err
}

// Suspend keeps a terminal from connecting.
func (f *Fleet) Suspend(ctx context.Context, id, reason, by string) error {
	return f.set(ctx, id, Suspended, reason, by)
}

// Quarantine lets a terminal deliver its journal and nothing else.
func (f *Fleet) Quarantine(ctx context.Context, id, reason, by string) error {
	return f.set(ctx, id, Quarantined, reason, by)
}

// Release makes a terminal active again. After a fork the till needs a new epoch too.
func (f *Fleet) Release(ctx context.Context, id, reason, by string) error {
	return f.set(ctx, id, Active, reason, by)
}

func (f *Fleet) set(ctx context.Context, id string, state State, reason, by string) error {
	err := f.cfg.Store.Write(ctx, func(tx Tx) error {
		t, err := find(ctx, tx, id)
		if err != nil {
			return err
		}
		t.State, t.Reason = state, reason
		if state == Active {
			t.Reason = ""
		}
		if err := tx.PutTerminal(ctx, t); err != nil {
			return fmt.Errorf("set terminal %s %s: %w", id, state, err)
		}
		return tx.Audit(ctx, by, "terminal_"+string(state), id, reason)
	})
	if err == nil && f.cfg.Changed != nil {
		f.cfg.Changed(id)
	}
	return err
}

// Trust is what tills are to believe.
func (f *Fleet) Trust() dcep.Trust {
	if f.cfg.Trust == nil {
		return dcep.Trust{Env: f.cfg.Env}
	}
	return f.cfg.Trust()
}
