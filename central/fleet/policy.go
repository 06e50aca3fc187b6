package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// PolicyRecord is a policy as it was published, with who did.
type PolicyRecord struct {
	pos.Policy
	Sealed dcep.Sealed `json:"-"`
	By     string      `json:"by"`
	AtMS   int64       `json:"at_ms"`
}

// scopeDepth is how many policies of one scope are looked at, newest first: the one in
// force and more to come than anybody plans.
const scopeDepth = 16

// policyLag is how far behind a till's earliest time may be: what was in force then is
// still sent.
const policyLag = time.Hour

// PolicyReader is what Covering needs of a transaction.
type PolicyReader interface {
	// Policies lists the policies of exactly this scope, newest first, limit at most.
	Policies(ctx context.Context, store, terminal string, limit int) ([]PolicyRecord, error)
}

// Covering lists the policies that a terminal is to hold at a moment, in force and to
// come, by version.
func Covering(ctx context.Context, tx PolicyReader, store, terminal string, nowMS int64) ([]PolicyRecord, error) {
	var all []PolicyRecord
	var schedule pos.Schedule
	for _, scope := range [][2]string{{}, {store, ""}, {"", terminal}} {
		list, err := tx.Policies(ctx, scope[0], scope[1], scopeDepth)
		if err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		for _, r := range list {
			all, schedule = append(all, r), append(schedule, r.Policy)
		}
	}
	var covering []PolicyRecord
	for _, p := range schedule.Prune(nowMS - policyLag.Milliseconds()) {
		for _, r := range all {
			if r.Version == p.Version {
				covering = append(covering, r)
			}
		}
	}
	return covering, nil
}

// Policies lists what was published, newest first.
func (f *Fleet) Policies(ctx context.Context, limit int) (list []PolicyRecord, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		list, err = tx.AllPolicies(ctx, limit)
		return err
	})
	return list, err
}

// TerminalPolicies lists what a terminal is to hold now, by version.
func (f *Fleet) TerminalPolicies(ctx context.Context, id string) (list []PolicyRecord, err error) {
	err = f.cfg.Store.Read(ctx, func(tx Tx) error {
		t, err := find(ctx, tx, id)
		if err != nil {
			return err
		}
		list, err = Covering(ctx, tx, t.Shop, t.ID, f.cfg.Now().UnixMilli())
		return err
	})
	return list, err
}

// Publish signs a policy under the next version, which it returns, and keeps it. Env,
// Version and IssuedMS are set here; FromMS 0 is now. The scope must exist. Tills take it
// with their next mark.
func (f *Fleet) Publish(ctx context.Context, p pos.Policy, by string) (version uint64, err error) {
	err = f.cfg.Store.Write(ctx, func(tx Tx) error {
		if err := f.scope(ctx, tx, p); err != nil {
			return err
		}
		version, err = f.publish(ctx, tx, p, by)
		return err
	})
	return version, err
}

func (f *Fleet) scope(ctx context.Context, tx Tx, p pos.Policy) error {
	if p.Terminal != "" {
		if _, err := find(ctx, tx, p.Terminal); err != nil {
			return err
		}
	}
	if p.Store != "" {
		if _, found, err := tx.Shop(ctx, p.Store); err != nil || !found {
			if err == nil {
				err = pos.FieldError(pos.ErrNotFound, "store", fmt.Errorf("no store %.32q", p.Store))
			}
			return err
		}
	}
	return nil
}

// publish is Publish within tx.
func (f *Fleet) publish(ctx context.Context, tx Tx, p pos.Policy, by string) (uint64, error) {
	if f.cfg.Signer == nil {
		return 0, pos.NewError(pos.ErrConfig, errors.New("this centre has no key to sign policies with"))
	}
	now := f.cfg.Now().UnixMilli()
	last, err := tx.PolicyVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read version of policies: %w", err)
	}
	p.Env, p.Version, p.IssuedMS = f.cfg.Env, last+1, now
	if p.FromMS == 0 {
		p.FromMS = now
	}
	if p.ExpiresMS != 0 && p.ExpiresMS <= now {
		return 0, pos.FieldError(pos.ErrBadRequest, "expires", errors.New("it has expired already"))
	}
	sealed, err := dcep.SealPolicy(f.cfg.Signer, p)
	if err != nil {
		return 0, err
	}
	if err := tx.AppendPolicy(ctx, PolicyRecord{Policy: p, Sealed: sealed, By: by}); err != nil {
		return 0, fmt.Errorf("publish policy: %w", err)
	}
	return p.Version, tx.Audit(ctx, by, "policy_published", fmt.Sprint(p.Version), p.Scope())
}

// Begin publishes the defaults where no policy was ever published, so that every till has one.
func (f *Fleet) Begin(ctx context.Context) error {
	return f.cfg.Store.Write(ctx, func(tx Tx) error {
		list, err := tx.AllPolicies(ctx, 1)
		if err != nil || len(list) > 0 {
			return err
		}
		_, err = f.publish(ctx, tx, pos.Policy{FromMS: 1, Limits: pos.DefaultLimits()}, pos.OperatorSystem)
		return err
	})
}
