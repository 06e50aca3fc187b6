package drivertest

import (
	"context"
	"errors"
	"testing"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// RunPrinter checks a printer driver; build returns a closed one on a printer that is
// ready to print.
func RunPrinter(t *testing.T, build func(t *testing.T) drivers.POSPrinter) {
	t.Helper()
	runDevice(t, func(t *testing.T) drivers.Device { t.Helper(); return build(t) }, func(ctx context.Context, d drivers.Device) error {
		_, err := d.(drivers.POSPrinter).Print(ctx, job())
		return err
	})
	t.Run("prints and tells its status", func(t *testing.T) {
		p := build(t)
		start(t, p)
		result, err := p.Print(t.Context(), job())
		if err != nil || result.State != drivers.PrintConfirmed && result.State != drivers.PrintUnknown {
			t.Errorf("got %+v, %v", result, err)
		}
		if result.JobID != "suite" || result.BytesSent != result.BytesTotal || result.BytesTotal == 0 || result.At.IsZero() {
			t.Errorf("result %+v", result)
		}
		if s, err := p.Status(t.Context()); err != nil || s.Online.Value == drivers.No {
			t.Errorf("status %+v, %v", s, err)
		}
		if p.Columns() < 16 {
			t.Errorf("%d columns", p.Columns())
		}
	})
	t.Run("a receipt that cannot be printed is refused and nothing is sent", func(t *testing.T) {
		p := build(t)
		start(t, p)
		result, err := p.Print(t.Context(), drivers.PrintJob{Receipt: receipt.New(receipt.Item{Kind: "poem"})})
		if !errors.Is(err, drivers.ErrIllegal) || result.MayBeOnPaper() {
			t.Errorf("got %+v, %v", result, err)
		}
	})
}

// RunScanner checks a scanner driver; build returns a closed one and how to scan a code
// with its device.
func RunScanner(t *testing.T, build func(t *testing.T) (s drivers.Scanner, scan func(code string))) {
	t.Helper()
	runDevice(t, func(t *testing.T) drivers.Device {
		t.Helper()
		s, _ := build(t)
		return s
	}, nil)
	t.Run("delivers codes in order, one at a time", func(t *testing.T) {
		s, scan := build(t)
		start(t, s)
		codes := []string{"6901028075862", "0100320229316139647", "https://example.com/x"}
		for _, c := range codes {
			scan(c)
		}
		for _, want := range codes {
			e := <-s.Events()
			if e.Err != nil || e.Data.Text() != want || e.Data.At.IsZero() {
				t.Errorf("got %q, %v; want %q", e.Data.Text(), e.Err, want)
			}
		}
		if n := s.Statistics()[drivers.GoodScanCount]; n < 2 {
			t.Errorf("%d good scans", n)
		}
	})
	t.Run("release ends the events", func(t *testing.T) {
		s, _ := build(t)
		start(t, s)
		events := s.Events()
		if err := s.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, ok := <-events; ok {
			t.Errorf("got %+v", e)
		}
	})
}

func job() drivers.PrintJob {
	return drivers.PrintJob{ID: "suite", Receipt: receipt.New(receipt.Title("测试"), receipt.Pair("合计", "1.00"), receipt.Cut())}
}

func start(t *testing.T, d drivers.Device) {
	t.Helper()
	for _, step := range []func(context.Context) error{d.Open, d.Claim, d.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// runDevice checks the life cycle; use (may be nil) is a call that needs an enabled device.
func runDevice(t *testing.T, build func(t *testing.T) drivers.Device, use func(context.Context, drivers.Device) error) {
	t.Helper()
	t.Run("steps out of order are refused by the name of what is missing", func(t *testing.T) {
		d := build(t)
		want := func(what string, err error, code drivers.ErrorCode) {
			t.Helper()
			if !errors.Is(err, code) {
				t.Errorf("%s: got %v, want %v", what, err, code)
			}
			if e, ok := errors.AsType[*pos.Error](err); !ok || e.Text.IsZero() || e.Hint.IsZero() {
				t.Errorf("%s: %v does not tell a person what to do", what, err)
			}
		}
		using := func() error {
			if use == nil {
				_, err := d.CheckHealth(t.Context(), drivers.HealthInternal)
				return err
			}
			return use(t.Context(), d)
		}
		if d.State() != drivers.StateClosed {
			t.Errorf("new: state %v", d.State())
		}
		want("claim before open", d.Claim(t.Context()), drivers.ErrClosed)
		want("use before open", using(), drivers.ErrClosed)
		must(t, d.Open(t.Context()))
		want("enable before claim", d.Enable(t.Context()), drivers.ErrNotClaimed)
		want("use before claim", using(), drivers.ErrNotClaimed)
		must(t, d.Claim(t.Context()))
		want("use before enable", using(), drivers.ErrDisabled)
		must(t, d.Enable(t.Context()))
		must(t, using())
		must(t, d.Release(t.Context()))
		want("use after release", using(), drivers.ErrNotClaimed)
		must(t, d.Close())
		want("use after close", using(), drivers.ErrClosed)
	})
	t.Run("repeated steps succeed", func(t *testing.T) {
		d := build(t)
		for range 2 {
			must(t, d.Open(t.Context()))
		}
		for range 2 {
			must(t, d.Claim(t.Context()))
		}
		for range 2 {
			must(t, d.Enable(t.Context()))
		}
		if d.State() != drivers.StateIdle || d.Info().Port == "" {
			t.Errorf("state %v, info %+v", d.State(), d.Info())
		}
		for range 2 {
			must(t, d.Release(t.Context()))
		}
		for range 2 {
			must(t, d.Close())
		}
	})
	t.Run("released it can be claimed again", func(t *testing.T) {
		d := build(t)
		start(t, d)
		must(t, d.Release(t.Context()))
		start(t, d)
		if h, err := d.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || !h.OK || h.At.IsZero() {
			t.Errorf("health %+v, %v", h, err)
		}
		levels(t, d)
	})
}

// levels checks that a health level is refused, or asks a person what it says it asks.
func levels(t *testing.T, d drivers.Device) {
	t.Helper()
	if h, err := d.CheckHealth(t.Context(), drivers.HealthInteractive); !errors.Is(err, drivers.ErrIllegal) && (err != nil || h.OK && h.Question.IsZero()) {
		t.Errorf("a level that asks a person: no question and not refused: %+v, %v", h, err)
	}
	if _, err := d.CheckHealth(t.Context(), 99); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("a level that is none: got %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
