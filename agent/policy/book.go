// Package policy keeps what the centre lets this till do offline: the signed policies,
// now and next, and the catalogue of envelopes' scopes. It takes nothing that the centre
// did not sign for this till, and never an older word after a newer one. What was taken is
// kept beside the journal and named in it, so that neither a restart nor an old copy of
// the settings brings a generous past back.
//
// To add a guard: a field of pos.Limits with its default, its rule in Limits.Admit and
// its edge in Limits.Room; the book carries it.
package policy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/health"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Memory is the till's journal as the book needs it.
type Memory interface {
	Update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error)
	Meta(ctx context.Context, key string) (string, bool, error)
	SetMeta(ctx context.Context, key, value string) error
	// ConfigVersion is the highest version of a config_changed entry about what; 0 without one.
	ConfigVersion(ctx context.Context, what string) (uint64, error)
}

// Config is what a Book is made of.
type Config struct {
	Memory   Memory
	Centre   dcep.Verifier // the centre's key, pinned at enrolment
	Env      pos.Environment
	Store    string
	Terminal string
	Clock    *clock.Clock
	Cutover  time.Duration   // of the business day
	Health   *health.Tracker // nil: nobody is told of refusals
}

// Book is safe for concurrent use.
type Book struct {
	c Config

	taking    sync.Mutex // one writer
	mu        sync.Mutex
	held      []held
	floor     map[string]uint64 // by scope: the highest version ever taken
	catalogue pos.Catalogue
}

// held is a policy with the bytes that prove it.
type held struct {
	pos.Policy
	sealed dcep.Sealed
}

// The keys of what is kept beside the journal.
const (
	metaPolicies  = "policy.held"
	metaCatalogue = "policy.catalogue"
)

// what names a scope in the journal.
func what(scope string) string { return "policy " + scope }

// Open reads what was kept, and verifies it again.
func Open(ctx context.Context, c Config) (*Book, error) {
	b := &Book{c: c, floor: map[string]uint64{}}
	var kept []dcep.Sealed
	if err := b.load(ctx, metaPolicies, &kept); err != nil {
		return nil, err
	}
	for _, s := range kept {
		p, err := dcep.OpenPolicy(c.Centre, s)
		if err == nil {
			err = b.fits(p)
		}
		if err != nil {
			b.tell(err)
			continue
		}
		b.held = append(b.held, held{p, s})
		b.floor[p.Scope()] = max(b.floor[p.Scope()], p.Version)
	}
	for _, scope := range []string{"fleet", "store " + c.Store, "terminal " + c.Terminal} {
		journaled, err := c.Memory.ConfigVersion(ctx, what(scope))
		if err != nil {
			return nil, err
		}
		if journaled > b.floor[scope] {
			b.drop(scope, journaled)
		}
	}
	var s dcep.Sealed
	if err := b.load(ctx, metaCatalogue, &s); err != nil || s.Body == nil {
		return b, err
	}
	cat, err := dcep.OpenCatalogue(c.Centre, s)
	if err == nil && cat.Env == c.Env && cat.Terminal == c.Terminal {
		b.catalogue = cat
	}
	return b, nil
}

// drop forgets the policies of a scope of which the journal names a newer one than was
// kept: somebody has put an old copy in their place.
func (b *Book) drop(scope string, journaled uint64) {
	if had := b.floor[scope]; had > 0 {
		b.tell(pos.NewError(pos.ErrPolicyOld, fmt.Errorf("version %d of the %s is kept, the journal names %d", had, scope, journaled)))
	}
	b.floor[scope] = journaled
	rest := b.held[:0]
	for _, h := range b.held {
		if h.Scope() != scope {
			rest = append(rest, h)
		}
	}
	b.held = rest
}

func (b *Book) load(ctx context.Context, key string, into any) error {
	text, ok, err := b.c.Memory.Meta(ctx, key)
	if err != nil || !ok {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func (b *Book) save(ctx context.Context, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	return b.c.Memory.SetMeta(ctx, key, string(text))
}

// fits refuses a policy that is not for this till.
func (b *Book) fits(p pos.Policy) error {
	if p.Env != b.c.Env {
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("policy of %q in a till of %q", p.Env, b.c.Env))
	}
	if !p.Covers(b.c.Store, b.c.Terminal) {
		return pos.NewError(pos.ErrPolicyScope, fmt.Errorf("version %d is for the %s", p.Version, p.Scope()))
	}
	return nil
}

// tell shows why something was refused; nil takes it back.
func (b *Book) tell(err error) {
	if b.c.Health != nil {
		b.c.Health.Put(health.PolicyCondition(), err)
	}
}

// judge tells whether a policy is to be taken; one that is held, or that has been replaced
// by another of the same message, is no news. top are the message's highest versions.
func (b *Book) judge(h held, top map[string]uint64) (news bool, err error) {
	for _, have := range b.held {
		if have.Version == h.Version && have.Scope() == h.Scope() {
			if bytes.Equal(have.sealed.Body, h.sealed.Body) {
				return false, nil
			}
			return false, pos.NewError(pos.ErrPolicyOld, fmt.Errorf("another version %d for the %s was taken", h.Version, h.Scope()))
		}
	}
	floor := b.floor[h.Scope()]
	switch {
	case h.Version <= floor && top[h.Scope()] >= floor:
		return false, nil
	case h.Version <= floor:
		return false, pos.NewError(pos.ErrPolicyOld, fmt.Errorf("version %d for the %s, version %d was taken", h.Version, h.Scope(), floor))
	}
	return true, nil
}

// genuine reads the policies that the centre signed for this till, and why others are not.
func (b *Book) genuine(list []dcep.Sealed) (good []held, refusals []error) {
	for _, s := range list {
		p, err := dcep.OpenPolicy(b.c.Centre, s)
		if err == nil {
			err = b.fits(p)
		}
		if err != nil {
			refusals = append(refusals, err)
			continue
		}
		good = append(good, held{p, s})
	}
	return good, refusals
}

// Take takes the policies that are new, in order of version. Those that it refuses change
// nothing; the error joins why: ErrPolicyForged (not signed by the centre), ErrPolicyOld
// (an older word, or another under a version that was taken), ErrPolicyScope,
// ErrEnvironment. One that has expired on its way is never in force, and told as
// ErrPolicyExpired; it is kept, for what it replaced is over. What was taken is durable when
// it returns.
func (b *Book) Take(ctx context.Context, list []dcep.Sealed) error {
	b.taking.Lock()
	defer b.taking.Unlock()
	if len(list) > maxPolicies {
		return pos.NewError(pos.ErrTooLarge, fmt.Errorf("%d policies, at most %d", len(list), maxPolicies))
	}
	good, refusals := b.genuine(list)
	top := map[string]uint64{}
	for _, h := range good {
		top[h.Scope()] = max(top[h.Scope()], h.Version)
	}
	var fresh []held
	for _, h := range good {
		news, err := b.judge(h, top)
		if err != nil {
			refusals = append(refusals, err)
		} else if news {
			fresh = append(fresh, h)
		}
	}
	if err := b.keep(ctx, fresh); err != nil {
		return errors.Join(append(refusals, err)...)
	}
	b.tell(errors.Join(refusals...))
	for _, h := range fresh {
		if h.ExpiresMS != 0 && b.c.Clock.Interval().Over(h.ExpiresMS) {
			refusals = append(refusals, pos.NewError(pos.ErrPolicyExpired, fmt.Errorf("version %d for the %s came too late", h.Version, h.Scope())))
		}
	}
	return errors.Join(refusals...)
}

// maxPolicies bounds one message: three scopes, each with the policy in force and a few to come.
const maxPolicies = 32

// keep makes fresh policies durable, names them in the journal, then uses them.
func (b *Book) keep(ctx context.Context, fresh []held) error {
	if len(fresh) == 0 {
		return nil
	}
	next := b.pruned(append(append([]held(nil), b.held...), fresh...))
	var kept []dcep.Sealed
	for _, h := range next {
		kept = append(kept, h.sealed)
	}
	if err := b.save(ctx, metaPolicies, kept); err != nil {
		return err
	}
	if _, err := b.c.Memory.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) { return b.drafts(fresh) }); err != nil {
		return fmt.Errorf("journal policy: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = next
	for _, h := range fresh {
		b.floor[h.Scope()] = max(b.floor[h.Scope()], h.Version)
	}
	return nil
}

func (b *Book) drafts(fresh []held) ([]pos.Draft, error) {
	var drafts []pos.Draft
	for _, h := range fresh {
		at := b.c.Clock.Instant()
		drafts = append(drafts, pos.Draft{
			Kind: pos.KindConfig, Operator: pos.OperatorSystem, At: at,
			BusinessDate: pos.DateOf(time.UnixMilli(at.WallMS), b.c.Cutover),
			Body:         pos.ConfigChanged{What: what(h.Scope()), Version: h.Version, Hash: fmt.Sprintf("%x", sha256.Sum256(h.sealed.Body))},
		})
	}
	return drafts, nil
}

// pruned drops what can never be in force again.
func (b *Book) pruned(all []held) []held {
	var s pos.Schedule
	for _, h := range all {
		s = append(s, h.Policy)
	}
	var next []held
	for _, p := range s.Prune(b.c.Clock.Interval().EarliestMS) {
		for _, h := range all {
			if h.Version == p.Version && h.Scope() == p.Scope() {
				next = append(next, h)
				break
			}
		}
	}
	return next
}

func (b *Book) schedule() pos.Schedule {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := make(pos.Schedule, 0, len(b.held))
	for _, h := range b.held {
		s = append(s, h.Policy)
	}
	return s
}

// In is the policy in force throughout the interval; ErrPolicyNone, ErrPolicyExpired.
func (b *Book) In(at pos.Interval) (pos.Policy, error) { return b.schedule().In(at) }

// Next is the policy to come, and when.
func (b *Book) Next(at pos.Interval) (pos.Policy, int64, bool) { return b.schedule().Next(at) }

// Highest is the highest version that was ever taken, of any scope: what is newer comes
// with the next mark.
func (b *Book) Highest() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var v uint64
	for _, f := range b.floor {
		v = max(v, f)
	}
	return v
}

// TakeCatalogue keeps a newer catalogue. An older one changes nothing.
func (b *Book) TakeCatalogue(ctx context.Context, s dcep.Sealed) error {
	b.taking.Lock()
	defer b.taking.Unlock()
	cat, err := dcep.OpenCatalogue(b.c.Centre, s)
	if err != nil {
		return err
	}
	if cat.Env != b.c.Env || cat.Terminal != b.c.Terminal {
		return pos.NewError(pos.ErrPolicyScope, fmt.Errorf("catalogue is for %s %.32q", cat.Env, cat.Terminal))
	}
	if cat.IssuedMS <= b.Catalogue().IssuedMS {
		return nil
	}
	if err := b.save(ctx, metaCatalogue, s); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.catalogue = cat
	return nil
}

// Catalogue is what was taken last; one of IssuedMS 0 is none.
func (b *Book) Catalogue() pos.Catalogue {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.catalogue
}
