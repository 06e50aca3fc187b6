package devices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
)

// interactiveLimit is how long a person has for what HealthInteractive wants of her.
const interactiveLimit = 30 * time.Second

// CheckHealth checks a device's health for owner. HealthInternal disturbs nobody.
// HealthExternal makes the device act: a printer prints a slip. HealthInteractive also
// wants a person within half a minute: to scan any code, which then goes nowhere else, to
// hold a card to the reader; of other devices it is HealthExternal, and the person looks.
// Errors: pos.ErrNotFound, drivers.ErrBusy while another owner has the device, and those
// of the driver's CheckHealth; an ill device is no error.
func (s *Set) CheckHealth(ctx context.Context, name, owner string, level drivers.HealthLevel) (drivers.Health, error) {
	st, err := s.named(name)
	if err != nil {
		return drivers.Health{}, err
	}
	answers := make(chan drivers.Health, 1)
	err = st.use(ctx, owner, func(ctx context.Context, d drivers.Device) error {
		h, err := st.check(ctx, d, level)
		answers <- h
		return err
	})
	select {
	case h := <-answers:
		if !h.OK && (h.Code == drivers.ErrNoHardware || h.Code == drivers.ErrOffline) { // it is told as ready, and is not
			st.suspected()
		}
		return h, err
	default:
	}
	if errors.Is(err, drivers.ErrBusy) { // somebody uses it: that is no illness
		return drivers.Health{Level: level}, err
	}
	return ill(level, err), nil
}

func (st *station) check(ctx context.Context, d drivers.Device, level drivers.HealthLevel) (drivers.Health, error) {
	if level != drivers.HealthInteractive {
		return d.CheckHealth(ctx, level)
	}
	ctx, cancel := context.WithTimeout(ctx, interactiveLimit)
	defer cancel()
	var err error
	switch device := d.(type) {
	case drivers.Scanner:
		err = st.awaitScan(ctx)
	case drivers.NFCReader:
		var card drivers.Card
		if card, err = device.WaitCard(ctx); err == nil {
			err = card.Close()
		}
	default:
		h, err := d.CheckHealth(ctx, drivers.HealthExternal)
		h.Level = level
		return h, err
	}
	if err != nil {
		return ill(level, err), nil
	}
	return drivers.Health{OK: true, Level: level, At: time.Now()}, nil
}

// awaitScan waits for the next code of this scanner, which then reaches nobody else.
func (st *station) awaitScan(ctx context.Context) error {
	codes := make(chan drivers.ScanData, 1)
	st.mu.Lock()
	st.divert = codes
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.divert = nil
	}()
	select {
	case <-codes:
		return nil
	case <-ctx.Done():
		return drivers.Trouble(drivers.CategoryScanner, "wait for a scan at "+st.name, drivers.ErrTimeout, ctx.Err())
	}
}

// ill is the health of a device that could not be asked, or did not do what was wanted.
func ill(level drivers.HealthLevel, err error) drivers.Health {
	h := drivers.Health{Level: level, Code: drivers.ErrNoHardware, At: time.Now()}
	if code, ok := errors.AsType[drivers.ErrorCode](err); ok {
		h.Code = code
	}
	h.Text, h.Hint = h.Code.Text(), h.Code.Hint()
	return h
}

// Ticket is the self-test ticket of the till's printer as it stands, for who prints it
// himself; an empty receipt while no printer is open.
func (s *Set) Ticket() receipt.Receipt {
	st := s.of(profiles.KindPrinter)
	if st == nil || s.o.SelfTest == nil {
		return receipt.New()
	}
	st.mu.Lock()
	p, open := st.printer(st.device)
	st.mu.Unlock()
	if !open {
		return receipt.New()
	}
	return s.o.SelfTest(p.Info(), p.Columns(), p.Snapshot())
}

// SelfTest has a device show what it can, for owner: a printer prints the ticket of
// Options.SelfTest, others do their HealthExternal. Result is of printers only.
func (s *Set) SelfTest(ctx context.Context, name, owner string) (drivers.Health, *drivers.PrintResult, error) {
	st, err := s.named(name)
	if err != nil {
		return drivers.Health{}, nil, err
	}
	if st.kind != profiles.KindPrinter || s.o.SelfTest == nil {
		h, err := s.CheckHealth(ctx, name, owner, drivers.HealthExternal)
		return h, nil, err
	}
	st.mu.Lock()
	p, open := st.printer(st.device)
	st.mu.Unlock()
	if !open {
		return ill(drivers.HealthExternal, drivers.ErrNoHardware), nil, nil
	}
	job := drivers.PrintJob{
		ID: fmt.Sprintf("selftest-%d", time.Now().UnixMilli()), Receipt: s.o.SelfTest(p.Info(), p.Columns(), p.Snapshot()),
	}
	r, err := s.print(ctx, st, owner, job)
	if errors.Is(err, drivers.ErrBusy) {
		return drivers.Health{}, nil, err
	}
	if err != nil {
		return ill(drivers.HealthExternal, err), &r, nil
	}
	return drivers.Health{OK: r.State == drivers.PrintConfirmed, Level: drivers.HealthExternal, At: r.At}, &r, nil
}
