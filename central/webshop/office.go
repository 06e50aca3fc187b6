package webshop

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"dcpos/pos"
)

// maxKeys bounds the keys in force of one shop: the old one and the new one, and room.
const maxKeys = 8

// AddShop registers a web shop, or changes one. Its merchant must be registered, and
// never changes: money of the past is his.
func (d *Desk) AddShop(ctx context.Context, s Shop, by string) error {
	if err := s.Check(d.cfg.Env); err != nil {
		return err
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		have, found, err := tx.Shop(ctx, s.ID)
		if err != nil {
			return err
		}
		if found && have.Merchant != s.Merchant {
			return pos.FieldError(pos.ErrKeyConflict, "merchant", fmt.Errorf("web shop %s is of merchant %s", s.ID, have.Merchant))
		}
		s.CreatedMS, s.Suspended = d.nowMS(), have.Suspended
		if found {
			s.CreatedMS = have.CreatedMS
		}
		if err := tx.PutShop(ctx, s); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "webshop_put", s.ID, fmt.Sprintf("per payment %s, per day %s, categories %s, hook %q on %v",
			s.PerPayment, s.PerDay, strings.Join(s.Categories, ","), s.Hook, s.HookOn))
	})
}

// AddKey puts a key of the shop in force. With public nil a pair is made, and the private
// half is given back, this once: it is not kept.
func (d *Desk) AddKey(ctx context.Context, shop string, public ed25519.PublicKey, by string) (k Key, private ed25519.PrivateKey, err error) {
	if public == nil {
		if public, private, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return k, nil, fmt.Errorf("make key: %w", err)
		}
	}
	if len(public) != ed25519.PublicKeySize {
		return k, nil, pos.FieldError(pos.ErrBadRequest, "public", errors.New("want an Ed25519 key"))
	}
	k = Key{ID: newKeyID(), Shop: shop, Public: public, CreatedMS: d.nowMS()}
	err = d.cfg.Store.Write(ctx, func(tx Tx) error {
		if _, found, err := tx.Shop(ctx, shop); err != nil || !found {
			return orNotFound(err, "shop", shop)
		}
		all, err := tx.Keys(ctx, shop)
		if err != nil {
			return err
		}
		inForce := 0
		for _, have := range all {
			if have.RevokedMS == 0 {
				inForce++
			}
		}
		if inForce >= maxKeys {
			return pos.FieldError(pos.ErrTooMany, "key", fmt.Errorf("%d keys are in force; revoke one first", inForce))
		}
		if err := tx.PutKey(ctx, k); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "webshop_key", shop, k.ID)
	})
	return k, private, err
}

// RevokeKey ends a key at once and for ever. Again, it is the same.
func (d *Desk) RevokeKey(ctx context.Context, id, by string) error {
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		k, found, err := tx.Key(ctx, id)
		if err != nil || !found {
			return orNotFound(err, "key", id)
		}
		if k.RevokedMS > 0 {
			return nil
		}
		k.RevokedMS = d.nowMS()
		if err := tx.PutKey(ctx, k); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "webshop_revoke", k.Shop, k.ID)
	})
}

// Change is what can be switched on a shop.
type Change string

// The switches.
const (
	Suspend Change = "suspend"  // takes no more money
	Resume  Change = "resume"   //
	HookOff Change = "hook_off" // events wait
	HookOn  Change = "hook_on"  // and go again
	Resend  Change = "resend"   // what was given up is due again
)

// Switch changes one thing of a shop.
func (d *Desk) Switch(ctx context.Context, shop string, what Change, by string) error {
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		s, found, err := tx.Shop(ctx, shop)
		if err != nil || !found {
			return orNotFound(err, "shop", shop)
		}
		switch what {
		case Suspend, Resume:
			s.Suspended = what == Suspend
		case HookOff, HookOn:
			s.HookOn = what == HookOn
		case Resend:
			if _, err := tx.Again(ctx, shop, d.nowMS()); err != nil {
				return err
			}
		default:
			return pos.FieldError(pos.ErrBadRequest, "change", fmt.Errorf("%.20q is none", what))
		}
		if err := tx.PutShop(ctx, s); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "webshop_"+string(what), shop, "")
	})
}

func orNotFound(err error, field, id string) error {
	if err != nil {
		return err
	}
	return pos.FieldError(pos.ErrNotFound, field, fmt.Errorf("%.40q", id))
}

// Standing is a shop as operations see it.
type Standing struct {
	Shop
	Keys       []Key
	Waiting    int64 // events that are not delivered
	Deliveries []Delivery
}

// List gives all shops with their keys and last deliveries.
func (d *Desk) List(ctx context.Context, deliveries int) (all []Standing, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		all = nil
		shops, err := tx.Shops(ctx)
		if err != nil {
			return err
		}
		for _, s := range shops {
			x := Standing{Shop: s}
			if x.Keys, err = tx.Keys(ctx, s.ID); err != nil {
				return err
			}
			if x.Waiting, err = tx.Waiting(ctx, s.ID); err != nil {
				return err
			}
			if x.Deliveries, err = tx.Deliveries(ctx, s.ID, deliveries); err != nil {
				return err
			}
			all = append(all, x)
		}
		return nil
	})
	return all, err
}
