package institution

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// slotWait is how long a question waits for a slot before it is refused as busy:
// a customer stands at the till, and a queue would only hide the load.
const slotWait = 250 * time.Millisecond

// gate bounds what is in flight to one institution and fails fast while it is
// down. Queries pass a gate without breaker: what is unknown must be asked.
type gate struct {
	slots    chan struct{}
	failures int           // consecutive failures that open the breaker; 0 = never
	rest     time.Duration // how long it stays open before one question may try
	now      func() time.Time

	mu     sync.Mutex
	failed int
	until  time.Time
	trying bool
}

func newGate(slots, failures int, rest time.Duration, now func() time.Time) *gate {
	return &gate{slots: make(chan struct{}, slots), failures: failures, rest: rest, now: now}
}

type verdict int

const (
	good    verdict = iota // the institution answered
	bad                    // it did not
	neutral                // nobody can tell: the caller gave up
)

// enter takes a slot. The caller calls leave once with what the call proved.
func (g *gate) enter(ctx context.Context) (leave func(verdict), err error) {
	probe, err := g.admit()
	if err != nil {
		return nil, err
	}
	if err := g.take(ctx); err != nil {
		g.settle(probe, neutral)
		return nil, err
	}
	return func(v verdict) {
		<-g.slots
		g.settle(probe, v)
	}, nil
}

func (g *gate) take(ctx context.Context) error {
	if g.failures == 0 {
		select {
		case g.slots <- struct{}{}:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for a slot: %w", ctx.Err())
		}
	}
	t := time.NewTimer(slotWait)
	defer t.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-t.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("wait for a slot: %w", ctx.Err())
	}
}

func (g *gate) admit() (probe bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures == 0 || g.failed < g.failures {
		return false, nil
	}
	if g.trying || g.now().Before(g.until) {
		return false, ErrResting
	}
	g.trying = true
	return true, nil
}

func (g *gate) settle(probe bool, v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		g.trying = false
	}
	switch v {
	case good:
		g.failed = 0
	case bad:
		g.failed++
		if g.failed >= g.failures {
			g.until = g.now().Add(g.rest)
		}
	case neutral:
	}
}

// open reports whether the breaker refuses questions now.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures > 0 && g.failed >= g.failures && (g.trying || g.now().Before(g.until))
}
