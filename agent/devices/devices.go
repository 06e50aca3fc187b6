// Package devices keeps the till's scanner and printer open: it opens what is
// configured, opens it again when it went away, feeds scanned codes to the checkout,
// prints for it, and tells how each device stands.
package devices

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/pos"
)

// Config names the devices; nil where there is none.
type Config struct {
	Printer *drivers.DeviceConfig `json:"printer,omitempty" yaml:"printer,omitempty"`
	Scanner *drivers.DeviceConfig `json:"scanner,omitempty" yaml:"scanner,omitempty"`
}

// Opener makes open devices; All is the one that ships.
type Opener struct {
	Printer func(context.Context, drivers.DeviceConfig) (drivers.POSPrinter, error)
	Scanner func(context.Context, drivers.DeviceConfig) (drivers.Scanner, error)
}

// All opens every device that ships.
func All() Opener { return Opener{Printer: all.OpenPrinter, Scanner: all.OpenScanner} }

// Status is how one device stands.
type Status struct {
	Category string    `json:"category"`
	Name     string    `json:"name"`
	Profile  string    `json:"profile"`
	Port     string    `json:"port,omitempty"`
	Maker    string    `json:"maker,omitempty"`
	Model    string    `json:"model,omitempty"`
	Firmware string    `json:"firmware,omitempty"`
	State    string    `json:"state"` // CLOSED, IDLE, BUSY, ERROR: the names of UnifiedPOS
	Text     *pos.Text `json:"text,omitempty"`
	Hint     *pos.Text `json:"hint,omitempty"`
	// Printer is the last known answer to each question; of printers only.
	Printer *drivers.PrinterStatus `json:"printer,omitempty"`
}

// The waits between two tries to open a device.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
	watchEvery = 5 * time.Second
)

// slot is one configured device.
type slot[D drivers.Device] struct {
	category string
	config   drivers.DeviceConfig

	mu      sync.Mutex
	device  D
	open    bool
	trouble error
}

func (s *slot[D]) set(d D, open bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.device, s.open, s.trouble = d, open, err
}

func (s *slot[D]) get() (D, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.device, s.open, s.trouble
}

func (s *slot[D]) status() Status {
	d, open, trouble := s.get()
	st := Status{Category: s.category, Name: s.config.Name, Profile: s.config.Profile, State: drivers.StateClosed.String()}
	if st.Name == "" {
		st.Name = s.config.Profile
	}
	if open {
		i := d.Info()
		st.Port, st.Maker, st.Model, st.Firmware = i.Port, i.Maker, i.Model, i.Firmware
		st.State = d.State().String()
	}
	if trouble != nil {
		e := pos.AsError(trouble)
		st.Text, st.Hint = &e.Text, &e.Hint
	}
	return st
}

// Set is the devices of one till. It implements the checkout's Printer and Drawer.
type Set struct {
	open    Opener
	log     *slog.Logger
	printer *slot[drivers.POSPrinter]
	scanner *slot[drivers.Scanner]
}

// New makes the set; Run opens it. log may be nil.
func New(c Config, open Opener, log *slog.Logger) *Set {
	if log == nil {
		log = slog.Default()
	}
	s := &Set{open: open, log: log}
	if c.Printer != nil {
		s.printer = &slot[drivers.POSPrinter]{category: drivers.CategoryPOSPrinter, config: *c.Printer}
	}
	if c.Scanner != nil {
		s.scanner = &slot[drivers.Scanner]{category: drivers.CategoryScanner, config: *c.Scanner}
	}
	return s
}

// Run keeps the devices open until ctx ends, then closes them. scan is called for
// each code, one after the other; nil takes none.
func (s *Set) Run(ctx context.Context, scan func(ctx context.Context, code, symbology string)) {
	var group sync.WaitGroup
	if s.printer != nil {
		group.Go(func() { keep(ctx, s.log, s.printer, s.open.Printer, watchPrinter) })
	}
	if s.scanner != nil && scan != nil {
		group.Go(func() {
			keep(ctx, s.log, s.scanner, s.open.Scanner, func(ctx context.Context, d drivers.Scanner) error { return feed(ctx, d, scan) })
		})
	}
	group.Wait()
}

// keep opens a device, uses it until it fails, and begins again, later each time.
func keep[D drivers.Device](ctx context.Context, log *slog.Logger, s *slot[D],
	open func(context.Context, drivers.DeviceConfig) (D, error), use func(context.Context, D) error,
) {
	var none D
	wait := retryFirst
	for ctx.Err() == nil {
		d, err := open(ctx, s.config)
		if err == nil {
			wait = retryFirst
			s.set(d, true, nil)
			log.InfoContext(ctx, "device opened", "device", s.config.Profile)
			err = use(ctx, d)
			if cerr := d.Close(); cerr != nil {
				err = errors.Join(err, cerr)
			}
		}
		s.set(none, false, err)
		if ctx.Err() != nil {
			return
		}
		log.WarnContext(ctx, "device is not open", "device", s.config.Profile, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
		wait = min(2*wait, retryLast)
	}
}

// watchPrinter asks the printer now and then; it ends when its port is gone.
func watchPrinter(ctx context.Context, d drivers.POSPrinter) error {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		if d.State() != drivers.StateBusy {
			if _, err := d.Status(ctx); errors.Is(err, drivers.ErrNoHardware) || errors.Is(err, drivers.ErrClosed) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

func gone() error { return drivers.Trouble(drivers.CategoryScanner, "read", drivers.ErrOffline, nil) }

func feed(ctx context.Context, d drivers.Scanner, scan func(context.Context, string, string)) error {
	events := d.Events()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events:
			switch {
			case !ok:
				return gone()
			case errors.Is(e.Err, drivers.ErrOffline):
				return e.Err
			case e.Err == nil:
				scan(ctx, e.Data.Text(), e.Data.Symbology)
			}
		}
	}
}

// Status is how each configured device stands.
func (s *Set) Status() []Status {
	list := []Status{}
	if s.printer != nil {
		st := s.printer.status()
		if d, open, _ := s.printer.get(); open {
			snapshot := d.Snapshot()
			st.Printer = &snapshot
		}
		list = append(list, st)
	}
	if s.scanner != nil {
		list = append(list, s.scanner.status())
	}
	return list
}

// HasPrinter reports whether a printer is configured.
func (s *Set) HasPrinter() bool { return s.printer != nil }

func (s *Set) usePrinter() (drivers.POSPrinter, error) {
	if s.printer == nil {
		return nil, drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrNoService, nil)
	}
	d, open, trouble := s.printer.get()
	if !open {
		return nil, drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrNoHardware, trouble)
	}
	return d, nil
}

// Print prints on the configured printer; drivers.ErrNoHardware while it is not open.
func (s *Set) Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	d, err := s.usePrinter()
	if err != nil {
		return drivers.PrintResult{
			JobID: job.ID, State: drivers.PrintPaused, Reason: drivers.PausedOffline, ConfirmedBy: drivers.ConfirmedByNone, At: time.Now(),
		}, err
	}
	return d.Print(ctx, job)
}

// OpenDrawer opens the drawer that hangs on the printer; drivers.ErrIllegal when it has none.
func (s *Set) OpenDrawer(ctx context.Context) error {
	d, err := s.usePrinter()
	if err != nil {
		return err
	}
	drawer, ok := d.(drivers.CashDrawer)
	if !ok {
		return drivers.Trouble(drivers.CategoryCashDrawer, "open drawer", drivers.ErrIllegal, nil)
	}
	return drawer.OpenDrawer(ctx)
}
