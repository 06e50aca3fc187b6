package webshop

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dcpos/central/webshop/sign"
	"dcpos/pos"
)

// Tags keep a signature for one purpose from being used for another (RFC 9421 §2.3).
const (
	RequestTag = "dcpos-shop-1"
	HookTag    = "dcpos-hook-1"
)

// Window is how far the moment of a signature may be from now, to both sides.
const Window = 120 * time.Second

// nonceLife is how long nonces are kept: longer than any signature is good for.
const nonceLife = 4 * Window

// Caller is a shop whose signature holds.
type Caller struct {
	Shop Shop
	Key  Key
}

// Authenticate tells whose request it is. Errors: pos.ErrSignature, pos.ErrSignatureTime,
// pos.ErrReplay (a request that changes something and was received before), and
// pos.ErrTooMany.
func (d *Desk) Authenticate(ctx context.Context, r *http.Request, body []byte) (Caller, error) {
	s, err := sign.Parse(r)
	if err != nil {
		return Caller{}, pos.NewError(pos.ErrSignature, err)
	}
	if s.Tag != RequestTag {
		return Caller{}, pos.FieldError(pos.ErrSignature, "tag", fmt.Errorf("want %q", RequestTag))
	}
	now := d.cfg.Now()
	if off := now.Sub(s.Created); off > Window || off < -Window {
		return Caller{}, pos.FieldError(pos.ErrSignatureTime, "created", fmt.Errorf("%s off, at most %s", off.Truncate(time.Second), Window))
	}
	var c Caller
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		var found bool
		var err error
		if c.Key, found, err = tx.Key(ctx, s.KeyID); err != nil {
			return err
		}
		if !found || c.Key.RevokedMS > 0 {
			return pos.FieldError(pos.ErrSignature, "keyid", fmt.Errorf("key %s is not in force", s.KeyID))
		}
		c.Shop, _, err = tx.Shop(ctx, c.Key.Shop)
		return err
	})
	if err != nil {
		return Caller{}, err
	}
	if err := s.Verify(r, body, c.Key.Public); err != nil {
		return Caller{}, pos.NewError(pos.ErrSignature, err)
	}
	if !d.limits.allow(c.Shop.ID, c.Shop.PerMinute, now) {
		return Caller{}, pos.NewError(pos.ErrTooMany, nil)
	}
	if r.Method == http.MethodGet {
		return c, nil // it changes nothing
	}
	return c, d.cfg.Store.Write(ctx, func(tx Tx) error {
		fresh, err := tx.UseNonce(ctx, s.KeyID, s.Nonce, now.UnixMilli())
		if err == nil && !fresh {
			err = pos.FieldError(pos.ErrReplay, "nonce", nil)
		}
		return err
	})
}

// limiter is a token bucket per shop, a minute's worth deep. Shops are few.
type limiter struct {
	mu   sync.Mutex
	full map[string]*bucket
}

type bucket struct {
	left float64 // requests, not money
	at   time.Time
}

func (l *limiter) allow(shop string, perMinute int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.full[shop]
	if !ok {
		b = &bucket{left: float64(perMinute), at: now}
		l.full[shop] = b
	}
	b.left = min(float64(perMinute), b.left+max(0, now.Sub(b.at).Minutes())*float64(perMinute))
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
