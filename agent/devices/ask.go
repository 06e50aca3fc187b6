package devices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// OwnerCheckout uses devices for the sale at hand. Others are "kernel", "selftest",
// "doctor" and "api:" with the caller's name.
const OwnerCheckout = "checkout"

// Status is how each device stands, the pinned first.
func (s *Set) Status() []Status {
	list := []Status{}
	for _, st := range s.all() {
		list = append(list, st.status())
	}
	return list
}

func (s *Set) all() []*station {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stations)
}

// of is the device that does the kind's work: the first that works, else the first that
// is there, else the first.
func (s *Set) of(kind profiles.Kind) *station {
	var best *station
	rank := func(st *station) int {
		st.mu.Lock()
		defer st.mu.Unlock()
		switch {
		case st.device != nil && st.state.Works():
			return 3
		case st.device != nil:
			return 2
		case st.state != StateAbsent:
			return 1
		}
		return 0
	}
	for _, st := range s.all() {
		if st.kind == kind && (best == nil || rank(st) > rank(best)) {
			if best != nil && best.pinned && !st.pinned {
				continue // what the configuration names is not replaced by what is found
			}
			best = st
		}
	}
	return best
}

func (s *Set) named(name string) (*station, error) {
	for _, st := range s.all() {
		if st.name == name {
			return st, nil
		}
	}
	return nil, pos.NewError(pos.ErrNotFound, fmt.Errorf("device %q", name))
}

// HasPrinter reports whether there is, was, or should be a printer.
func (s *Set) HasPrinter() bool { return s.of(profiles.KindPrinter) != nil }

// Columns are those of the open printer's paper; 0 while none is open.
func (s *Set) Columns() int {
	st := s.of(profiles.KindPrinter)
	if st == nil {
		return 0
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if p, open := st.printer(st.device); open {
		return p.Columns()
	}
	return 0
}

// Unconfirmed reports that the printer cannot tell that it has printed: its profile names
// neither of the two questions that say so.
func (s *Set) Unconfirmed() bool {
	st := s.of(profiles.KindPrinter)
	if st == nil {
		return false
	}
	p, err := profiles.FindPrinter(st.configured().Profile)
	return err == nil && !p.Status.GSH && !p.Status.GSR
}

// none is the error of a kind of which there is no device.
func none(kind profiles.Kind, operation string) error {
	return drivers.Trouble(category(kind), operation, drivers.ErrNoService, nil)
}

// Print prints on the till's printer. The result is always filled in: PAUSED with
// drivers.ErrNoHardware while no printer is open (ErrNoService: there is none), and
// UNKNOWN when the printer's driver hung, for then nobody knows what is on the paper.
func (s *Set) Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	return s.print(ctx, s.of(profiles.KindPrinter), OwnerCheckout, job)
}

func (s *Set) print(ctx context.Context, st *station, owner string, job drivers.PrintJob) (drivers.PrintResult, error) {
	result := drivers.PrintResult{
		JobID: job.ID, State: drivers.PrintPaused, Reason: drivers.PausedOffline, ConfirmedBy: drivers.ConfirmedByNone, At: time.Now(),
	}
	if st == nil {
		return result, none(profiles.KindPrinter, "print")
	}
	results := make(chan drivers.PrintResult, 1) // a call that hangs may still write to it
	err := st.use(ctx, owner, func(ctx context.Context, d drivers.Device) error {
		r, err := d.(drivers.POSPrinter).Print(ctx, job) //nolint:forcetypeassert // a printer's station opens printers
		results <- r
		return err
	})
	if errors.Is(err, errHung) {
		// The driver was given the job and did not come back: bytes may have left. One byte
		// "sent" is what makes the next print of it a duplicate.
		result.State, result.Reason, result.BytesSent, result.BytesTotal = drivers.PrintUnknown, "", 1, 1
		result.Notes = []string{"the call into the driver did not return"}
		return result, nil
	}
	select {
	case r := <-results:
		return r, err
	default:
		return result, err
	}
}

// OpenDrawer opens the drawer that hangs on the printer; drivers.ErrIllegal when it has none.
func (s *Set) OpenDrawer(ctx context.Context) error {
	st := s.of(profiles.KindPrinter)
	if st == nil {
		return none(profiles.KindPrinter, "open drawer")
	}
	return st.use(ctx, OwnerCheckout, func(ctx context.Context, d drivers.Device) error {
		drawer, ok := d.(drivers.CashDrawer)
		if !ok {
			return drivers.Trouble(drivers.CategoryCashDrawer, "open drawer", drivers.ErrIllegal, nil)
		}
		return drawer.OpenDrawer(ctx)
	})
}

// Customer is what faces the customer: every customer display of the till as one.
type Customer struct{ set *Set }

// Customer returns the till's customer displays; it shows nothing while there is none.
func (s *Set) Customer() Customer { return Customer{s} }

// HasDisplay reports whether there is, was, or should be a customer display.
func (s *Set) HasDisplay() bool { return s.of(profiles.KindDisplay) != nil }

// Show has every display show the lines, now and when it is opened again; no lines clear
// it. It waits for no display and never fails: a display's own trouble is in its state.
func (c Customer) Show(_ context.Context, lines []string) error {
	c.set.mu.Lock()
	c.set.lines = slices.Clone(lines)
	c.set.mu.Unlock()
	for _, st := range c.set.all() {
		if st.kind == profiles.KindDisplay {
			st.poke()
		}
	}
	return nil
}

// Size is the open display's, or 20 by 2, the usual one, while none is open.
func (c Customer) Size() (columns, rows int) {
	if d, ok := c.open(); ok {
		return d.Size()
	}
	return 20, 2
}

// Chinese reports whether the open display shows Chinese.
func (c Customer) Chinese() bool {
	d, ok := c.open()
	return ok && d.Chinese()
}

func (c Customer) open() (drivers.LineDisplay, bool) {
	st := c.set.of(profiles.KindDisplay)
	if st == nil {
		return nil, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	d, ok := st.device.(drivers.LineDisplay)
	return d, ok
}

// Sound sounds a tone on the first device that has a buzzer; drivers.ErrIllegal when none has.
func (s *Set) Sound(ctx context.Context, t drivers.Tone) error {
	for _, st := range s.all() {
		st.mu.Lock()
		_, sounds := st.device.(drivers.ToneIndicator)
		st.mu.Unlock()
		if !sounds {
			continue
		}
		err := st.use(ctx, OwnerCheckout, func(ctx context.Context, d drivers.Device) error {
			tone, ok := d.(drivers.ToneIndicator)
			if !ok {
				return drivers.ErrIllegal
			}
			return tone.Sound(ctx, t)
		})
		if !errors.Is(err, drivers.ErrIllegal) {
			return err
		}
	}
	return drivers.Trouble(drivers.CategoryToneIndicator, "sound", drivers.ErrIllegal, nil)
}

// HasReader reports whether there is, was, or should be a contactless reader.
func (s *Set) HasReader() bool { return s.of(profiles.KindNFC) != nil }

// WithReader lends the contactless reader to owner while f runs, at most five minutes;
// f's context ends then. f must not keep the reader or a card. Errors besides f's own are
// those of a device that is taken (ErrBusy), not there (ErrNoService, ErrNoHardware) or hung (ErrTimeout).
func (s *Set) WithReader(ctx context.Context, owner string, f func(context.Context, drivers.NFCReader) error) error {
	st := s.of(profiles.KindNFC)
	if st == nil {
		return none(profiles.KindNFC, "use reader")
	}
	return st.use(ctx, owner, func(ctx context.Context, d drivers.Device) error {
		return f(ctx, d.(drivers.NFCReader)) //nolint:forcetypeassert // a reader's station opens readers
	})
}

// Detail is one device with all that is kept of it.
type Detail struct {
	Status

	// Statistics are the UnifiedPOS counters since the agent began.
	Statistics map[drivers.StatisticName]int64 `json:"statistics"`
	Healing    Healing                         `json:"healing"`
}

// Detail returns one device; pos.ErrNotFound when there is none of that name.
func (s *Set) Detail(name string) (Detail, error) {
	st, err := s.named(name)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Status: st.status()}
	d.Statistics, d.Healing = st.statistics()
	return d, nil
}
