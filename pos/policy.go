package pos

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Policy is what a till may accept offline, from an instant on. The centre signs it
// (dcep.SealPolicy). Versions are one row for the whole fleet, so a later word always has
// a higher number; the till never goes back below what it has taken of a scope.
//
// Of the policies of one scope the highest version whose instant has come is in force: a
// later word takes the place of an earlier plan. A terminal's own is before its store's,
// a store's before the fleet's; one that has expired gives way to the wider scope, never to
// the one that it had replaced.
type Policy struct {
	Env       Environment `json:"env"`
	Version   uint64      `json:"version"`
	Store     string      `json:"store,omitempty"`    // of this store alone
	Terminal  string      `json:"terminal,omitempty"` // of this terminal alone
	FromMS    int64       `json:"from_ms"`            // in force from this instant on
	ExpiresMS int64       `json:"expires_ms,omitempty"`
	IssuedMS  int64       `json:"issued_ms"`
	Limits    Limits      `json:"limits"`
}

// Check refuses a policy that nobody may publish.
func (p Policy) Check() error {
	switch {
	case !p.Env.Valid():
		return FieldError(ErrBadRequest, "env", fmt.Errorf("%q: want live or lab", p.Env))
	case p.Version == 0:
		return FieldError(ErrBadRequest, "version", errors.New("want 1 or more"))
	case p.Store != "" && p.Terminal != "":
		return FieldError(ErrBadRequest, "store", errors.New("want a store or a terminal, not both"))
	case p.ExpiresMS != 0 && p.ExpiresMS <= p.FromMS:
		return FieldError(ErrBadRequest, "expires", errors.New("want it after from"))
	}
	return p.Limits.Check()
}

// Scope names whom the policy is for: "fleet", "store S1", "terminal S1-001".
func (p Policy) Scope() string {
	switch {
	case p.Terminal != "":
		return "terminal " + p.Terminal
	case p.Store != "":
		return "store " + p.Store
	}
	return "fleet"
}

// Covers reports that the policy is for this terminal of this store.
func (p Policy) Covers(store, terminal string) bool {
	return (p.Terminal == "" || p.Terminal == terminal) && (p.Store == "" || p.Store == store)
}

func (p Policy) rank() int {
	switch {
	case p.Terminal != "":
		return 2
	case p.Store != "":
		return 1
	}
	return 0
}

func (p Policy) expired(ms int64) bool { return p.ExpiresMS != 0 && ms >= p.ExpiresMS }

// Schedule is what a till holds: for each scope that covers it the policy in force and
// those to come.
type Schedule []Policy

// at gives the policy in force at a moment.
func (s Schedule) at(ms int64) (Policy, error) {
	var best [3]Policy
	for _, p := range s {
		if r := p.rank(); p.FromMS <= ms && p.Version > best[r].Version {
			best[r] = p
		}
	}
	why := NewError(ErrPolicyNone, fmt.Errorf("of %d none is in force", len(s)))
	for _, p := range slices.Backward(best[:]) {
		switch {
		case p.Version == 0:
		case p.expired(ms):
			why = NewError(ErrPolicyExpired, fmt.Errorf("version %d of the %s has expired", p.Version, p.Scope()))
		default:
			return p, nil
		}
	}
	return Policy{}, why
}

// In gives what is in force throughout the interval: the policy, and limits that hold at
// each of its moments where the policy changes within it. ErrPolicyNone or ErrPolicyExpired
// when at one of them none is.
func (s Schedule) In(iv Interval) (Policy, error) {
	moments := []int64{iv.EarliestMS, iv.LatestMS}
	for _, p := range s {
		for _, ms := range []int64{p.FromMS, p.ExpiresMS} {
			if iv.EarliestMS < ms && ms < iv.LatestMS {
				moments = append(moments, ms)
			}
		}
	}
	slices.Sort(moments)
	var now Policy
	for i, ms := range moments {
		p, err := s.at(ms)
		if err != nil {
			return Policy{}, err
		}
		if i == 0 {
			now = p
		} else if p.Version != now.Version {
			p.Limits = p.Limits.Strictest(now.Limits)
			now = p
		}
	}
	return now, nil
}

// Next is the policy that will take the place of the one in force, and when; false when
// none is known.
func (s Schedule) Next(iv Interval) (Policy, int64, bool) {
	now, err := s.at(iv.LatestMS)
	var changes []int64
	for _, p := range s {
		for _, ms := range []int64{p.FromMS, p.ExpiresMS} {
			if ms > iv.LatestMS {
				changes = append(changes, ms)
			}
		}
	}
	slices.Sort(changes)
	for _, ms := range changes {
		if p, e := s.at(ms); e == nil && (err != nil || p.Version != now.Version) {
			return p, ms, true
		}
	}
	return Policy{}, 0, false
}

// Prune drops what can never be in force again at or after a moment, in order of version.
func (s Schedule) Prune(ms int64) Schedule {
	list := slices.Clone(s)
	slices.SortFunc(list, func(a, b Policy) int { return cmp.Compare(a.Version, b.Version) })
	return slices.DeleteFunc(list, func(p Policy) bool {
		return slices.ContainsFunc(s, func(o Policy) bool {
			return o.Scope() == p.Scope() && o.Version > p.Version && o.FromMS <= max(ms, p.FromMS)
		})
	})
}
