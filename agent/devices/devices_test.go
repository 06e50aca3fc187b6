package devices_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/devices"
	"dcpos/drivers"
)

// fake is a device of both categories that tests make go away.
type fake struct {
	drivers.POSPrinter
	events chan drivers.ScanEvent

	mu     sync.Mutex
	gone   bool
	closed int
}

func (f *fake) Info() drivers.DeviceInfo { return drivers.DeviceInfo{Port: "port", Model: "model"} }
func (f *fake) State() drivers.State     { return drivers.StateIdle }

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) Status(context.Context) (drivers.PrinterStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return drivers.PrinterStatus{}, drivers.Trouble(drivers.CategoryPOSPrinter, "ask", drivers.ErrNoHardware, nil)
	}
	return drivers.PrinterStatus{}, nil
}

func (f *fake) Snapshot() drivers.PrinterStatus {
	return drivers.PrinterStatus{Online: drivers.Reading{Value: drivers.Yes}}
}

func (f *fake) Print(_ context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	return drivers.PrintResult{JobID: job.ID, State: drivers.PrintConfirmed}, nil
}

func (f *fake) Events() <-chan drivers.ScanEvent { return f.events }

func configs() devices.Config {
	return devices.Config{Printer: &drivers.DeviceConfig{Profile: "p"}, Scanner: &drivers.DeviceConfig{Name: "gun", Profile: "s"}}
}

func TestDevicesAreKeptOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var printers, scanners []*fake
		refuse := true
		set := devices.New(configs(), devices.Opener{
			Printer: func(context.Context, drivers.DeviceConfig) (drivers.POSPrinter, error) {
				mu.Lock()
				defer mu.Unlock()
				if refuse {
					return nil, drivers.Trouble(drivers.CategoryPOSPrinter, "open", drivers.ErrNoHardware, nil)
				}
				printers = append(printers, &fake{})
				return printers[len(printers)-1], nil
			},
			Scanner: func(context.Context, drivers.DeviceConfig) (drivers.Scanner, error) {
				mu.Lock()
				defer mu.Unlock()
				scanners = append(scanners, &fake{events: make(chan drivers.ScanEvent)})
				return scanners[len(scanners)-1], nil
			},
		}, slog.New(slog.DiscardHandler))
		var codes []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			set.Run(ctx, func(_ context.Context, code, _ string) {
				mu.Lock()
				defer mu.Unlock()
				codes = append(codes, code)
			})
		}()
		time.Sleep(10 * time.Second)
		if _, err := set.Print(ctx, drivers.PrintJob{ID: "j"}); !errors.Is(err, drivers.ErrNoHardware) {
			t.Fatalf("printing without a printer: %v", err)
		}
		if s := set.Status(); s[0].State != "CLOSED" || s[0].Hint == nil || s[1].State != "IDLE" || s[1].Name != "gun" {
			t.Fatalf("%+v", s)
		}
		mu.Lock()
		refuse = false
		gun := scanners[0]
		mu.Unlock()
		time.Sleep(31 * time.Second)
		if r, err := set.Print(ctx, drivers.PrintJob{ID: "j"}); err != nil || r.State != drivers.PrintConfirmed {
			t.Fatalf("%+v %v", r, err)
		}
		if s := set.Status(); s[0].State != "IDLE" || s[0].Printer == nil || s[0].Model != "model" || s[0].Text != nil {
			t.Fatalf("%+v", s[0])
		}
		if err := set.OpenDrawer(ctx); !errors.Is(err, drivers.ErrIllegal) {
			t.Fatalf("a printer without a drawer: %v", err)
		}
		gun.events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("one")}}
		gun.events <- drivers.ScanEvent{Err: drivers.ErrBadFormat}
		close(gun.events)
		mu.Lock()
		printers[0].mu.Lock()
		printers[0].gone = true
		printers[0].mu.Unlock()
		mu.Unlock()
		time.Sleep(10 * time.Second)
		mu.Lock()
		if len(scanners) != 2 || gun.closed != 1 || len(printers) != 2 || printers[0].closed != 1 {
			t.Fatalf("%d scanners, %d printers; closed %d and %d times", len(scanners), len(printers), gun.closed, printers[0].closed)
		}
		if len(codes) != 1 || codes[0] != "one" {
			t.Fatalf("%v", codes)
		}
		mu.Unlock()
		cancel()
		<-done
		if scanners[1].closed != 1 || printers[1].closed != 1 {
			t.Fatal("devices stay open")
		}
	})
}

func TestNothingConfigured(t *testing.T) {
	set := devices.New(devices.Config{}, devices.All(), nil)
	set.Run(t.Context(), nil)
	if len(set.Status()) != 0 || set.HasPrinter() {
		t.Fatal("devices out of nothing")
	}
	if _, err := set.Print(t.Context(), drivers.PrintJob{}); !errors.Is(err, drivers.ErrNoService) {
		t.Fatal(err)
	}
}
