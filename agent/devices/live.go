package devices

import (
	"context"
	"errors"
	"slices"
	"time"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// live listens to an open device until it cannot go on, and says why.
func (st *station) live(ctx context.Context, d drivers.Device) error {
	var changed <-chan struct{}
	var beat <-chan time.Time
	r, tells := d.(drivers.Reporter)
	if tells {
		changed = r.Changed()
	}
	// A line cannot tell that the box at its end was switched off, and one that was switched
	// on again has forgotten that it was to report.
	line := st.configured().Transport.Kind != drivers.TransportUSB
	if st.kind != profiles.KindScanner && (!tells || !r.Reports() || line) {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		beat = ticker.C
	}
	scans := st.scans(d)
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err = <-st.broken:
		case <-changed:
			err = st.told(ctx, d)
		case <-beat:
			err = st.ask(ctx, d)
		case <-st.kick:
			err = st.kicked(ctx, d)
		case e, ok := <-scans:
			err = st.scanned(ctx, d, e, ok)
			st.keep(ctx, d) // after the code was handed on
		}
		if err != nil {
			return err
		}
	}
}

// greet hears for the first time from a device that was just opened: a printer says how
// it is, from then on it tells; a display shows what it is to show.
func (st *station) greet(ctx context.Context, d drivers.Device) error {
	st.shown = nil
	st.poke() // for what changes meanwhile
	if _, ok := st.printer(d); ok {
		return st.ask(ctx, d)
	}
	if err := st.display(ctx, d); err != nil {
		return err
	}
	st.refresh(d)
	return nil
}

func (st *station) printer(d drivers.Device) (drivers.POSPrinter, bool) {
	p, ok := d.(drivers.POSPrinter)
	return p, ok && st.kind == profiles.KindPrinter
}

func (st *station) scans(d drivers.Device) <-chan drivers.ScanEvent {
	if s, ok := d.(drivers.Scanner); ok && st.kind == profiles.KindScanner {
		return s.Events()
	}
	return nil
}

// told looks at a device that says that something changed. Of what is no printer, only the
// loss of its port is told.
func (st *station) told(ctx context.Context, d drivers.Device) error {
	if _, ok := st.printer(d); !ok {
		return st.ask(ctx, d)
	}
	return st.noticed(ctx, d)
}

// noticed takes over what the device says of itself; one that says it is off-line, and
// nothing more, is asked whether it is there at all before anybody is told.
func (st *station) noticed(ctx context.Context, d drivers.Device) error {
	if p, ok := st.printer(d); ok {
		if _, why := ofPrinter(p.Snapshot()); why.reason == drivers.ErrOffline.Name() {
			return st.ask(ctx, d)
		}
	}
	st.refresh(d)
	return nil
}

// kicked looks at the device because something around it changed.
func (st *station) kicked(ctx context.Context, d drivers.Device) error {
	st.mu.Lock()
	gone, suspect := st.left, st.suspect
	st.suspect = false
	st.mu.Unlock()
	if gone {
		return st.gone()
	}
	if err := st.display(ctx, d); err != nil {
		return err
	}
	if suspect {
		return st.ask(ctx, d)
	}
	return st.noticed(ctx, d)
}

// display has a display show what the set shows, unless it does already.
func (st *station) display(ctx context.Context, d drivers.Device) error {
	display, ok := d.(drivers.LineDisplay)
	lines := st.set.shows()
	if !ok || st.kind != profiles.KindDisplay || lines == nil || slices.Equal(lines, st.shown) {
		return nil
	}
	switch err := st.show(ctx, display, lines); {
	case errors.Is(err, drivers.ErrBusy): // the printer that it hangs on prints: again when that is done
		st.poke()
	case err != nil:
		return err
	default:
		st.shown = lines
	}
	return nil
}

// askLimit bounds a look at a device; a printer's silence is known after its profile's
// offline time, usually 5 s.
const askLimit = 20 * time.Second

// ask asks how the device is, unless somebody uses it: then its next call tells. The
// error is why it cannot go on; a device that is ill goes on.
func (st *station) ask(ctx context.Context, d drivers.Device) error {
	select {
	case st.turn <- struct{}{}:
		defer func() { <-st.turn }()
	default:
		return nil
	}
	err := st.guard(ctx, askLimit, func(ctx context.Context) error {
		if p, ok := st.printer(d); ok {
			_, err := p.Status(ctx)
			return err
		}
		h, err := d.CheckHealth(ctx, drivers.HealthInternal)
		if err == nil && !h.OK && h.Code != 0 {
			err = h.Code
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errHung), errors.Is(err, drivers.ErrNoHardware), errors.Is(err, drivers.ErrClosed),
		errors.Is(err, drivers.ErrOffline):
		return err
	case err != nil && st.kind != profiles.KindPrinter:
		st.become(StateError, troubleOf(err))
		return nil
	}
	st.refresh(d)
	return nil
}

// refresh takes over what the device says of itself without being asked. It answers: if it
// was lost, it is back.
func (st *station) refresh(d drivers.Device) {
	st.mu.Lock()
	if st.device != d {
		st.mu.Unlock()
		return
	}
	st.info, st.lost, st.silent = d.Info(), time.Time{}, false
	advice := st.advice
	st.mu.Unlock()
	if p, ok := st.printer(d); ok {
		st.become(ofPrinter(p.Snapshot()))
		return
	}
	if advice.reason != "" {
		st.become(StateDegraded, advice)
		return
	}
	st.become(StateReady, trouble{})
}

// scanned hands a code on, within the time in which it belongs to the customer who
// showed it.
func (st *station) scanned(ctx context.Context, d drivers.Device, e drivers.ScanEvent, ok bool) error {
	switch {
	case !ok:
		return st.gone()
	case errors.Is(e.Err, drivers.ErrOffline):
		return e.Err
	case errors.Is(e.Err, drivers.ErrExtended): // how it is set wrongly, until codes come
		st.advise(d, troubleOf(e.Err))
		return nil
	}
	st.mu.Lock()
	divert, advised := st.divert, st.advice.reason != ""
	st.mu.Unlock()
	if advised && wellSet(ctx, d) {
		st.advise(d, trouble{})
	}
	if e.Err != nil {
		return nil // the driver has counted it
	}
	if divert != nil {
		select {
		case divert <- e.Data:
		default: // one is enough
		}
		return nil
	}
	timer := time.NewTimer(st.stale())
	defer timer.Stop()
	select {
	case st.set.feed <- e.Data:
	case <-timer.C:
		st.mu.Lock()
		st.past[drivers.FailedReadCount]++
		st.mu.Unlock()
		st.log.WarnContext(ctx, "a code was thrown away: nobody took it in time")
	case <-ctx.Done():
	}
	return nil
}

// wellSet reports whether a scanner takes back that it is set wrongly. A code alone does not
// show it: noise has short ones.
func wellSet(ctx context.Context, d drivers.Device) bool {
	h, err := d.CheckHealth(ctx, drivers.HealthInternal)
	return err == nil && h.OK
}

func (st *station) advise(d drivers.Device, t trouble) {
	st.mu.Lock()
	news := st.advice.reason != t.reason || st.advice.text != t.text
	st.advice = t
	st.mu.Unlock()
	if news {
		st.refresh(d)
	}
}

// staleDefault is for scanners whose profile does not say.
const staleDefault = 3 * time.Second

func (st *station) stale() time.Duration {
	st.mu.Lock()
	name := st.config.Profile
	st.mu.Unlock()
	if p, err := profiles.FindScanner(name); err == nil && p.Framing.StaleMS > 0 {
		return p.Framing.Stale()
	}
	return staleDefault
}

// showLimit bounds one picture on a customer display: 2400 baud need half a second.
const showLimit = 5 * time.Second

func (st *station) show(ctx context.Context, d drivers.LineDisplay, lines []string) error {
	err := st.guard(ctx, showLimit, func(ctx context.Context) error { return d.Show(ctx, lines) })
	if errors.Is(err, errHung) || errors.Is(err, drivers.ErrNoHardware) || errors.Is(err, drivers.ErrOffline) || errors.Is(err, drivers.ErrBusy) {
		return err
	}
	return nil
}
