package devices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
)

// errHung is why a device is taken away from a call that did not return in time.
var errHung = errors.New("a call into the driver did not return")

// guard runs f with a limit and does not wait for ever: when f has not returned patience
// after its context's end, guard gives it up with errHung. f then still runs, and is
// counted in calls until it returns; what it writes to must be its own.
func (st *station) guard(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	st.calls.Add(1)
	go func() {
		defer st.calls.Add(-1)
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		st.count(func(h *Healing) { h.Hung++ })
		return fmt.Errorf("%s: %w", st.name, errHung)
	}
}

// take waits for the device's turn. The error names who has it.
func (st *station) take(ctx context.Context, owner string) error {
	select {
	case st.turn <- struct{}{}:
	default:
		select {
		case st.turn <- struct{}{}:
		case <-ctx.Done():
			st.mu.Lock()
			defer st.mu.Unlock()
			return drivers.Trouble(category(st.kind), "take "+st.name, drivers.ErrBusy,
				fmt.Errorf("%s has it: %w", st.owner, ctx.Err()))
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.owner = owner
	return nil
}

func (st *station) give() {
	st.mu.Lock()
	st.owner = ""
	st.mu.Unlock()
	<-st.turn
}

// use gives the open device to owner for as long as f runs, at most hold: f's context
// ends then, and when f does not return either, the device is taken away, closed and
// opened anew. Errors besides f's own: ErrBusy when the turn did not come before ctx
// ended, ErrNoHardware (or why it is not open) when there is no open device, ErrTimeout
// when f hung.
func (st *station) use(ctx context.Context, owner string, f func(context.Context, drivers.Device) error) error {
	if err := st.take(ctx, owner); err != nil {
		return err
	}
	defer st.give()
	st.mu.Lock()
	d, why := st.device, st.why
	st.mu.Unlock()
	if d == nil {
		return drivers.Trouble(category(st.kind), "use "+st.name, drivers.ErrNoHardware, errors.New(why.text.EN))
	}
	err := st.guard(ctx, hold(st.kind), func(ctx context.Context) error { return f(ctx, d) })
	switch {
	case errors.Is(err, errHung):
		st.fail(d, err)
		return drivers.Trouble(category(st.kind), "use "+st.name, drivers.ErrTimeout, err)
	case errors.Is(err, drivers.ErrNoHardware), errors.Is(err, drivers.ErrClosed):
		st.fail(d, err)
	case errors.Is(err, drivers.ErrOffline):
		st.suspected()
	default:
		st.poke() // how it stands may have changed
	}
	return err
}

// suspected has the station ask its device, because somebody found it silent.
func (st *station) suspected() {
	st.mu.Lock()
	st.suspect = true
	st.mu.Unlock()
	st.poke()
}

// fail hands the reason to the station's goroutine, unless the device is another by now.
func (st *station) fail(d drivers.Device, why error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.device != d {
		return
	}
	select {
	case st.broken <- why:
	default:
	}
}
