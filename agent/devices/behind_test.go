package devices_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
)

// A display behind the printer, on a real serial line: what is for the customer is on the
// glass, what is for the paper on paper, and both come back when the cable does.
func TestADisplayBehindThePrinter(t *testing.T) {
	glass, err := device.NewLineDisplay(device.LineDisplayOptions{Language: "epson-dm", Columns: 20, Rows: 2})
	if err != nil {
		t.Fatal(err)
	}
	printer, err := device.NewPrinter(device.PrinterOptions{Display: glass})
	if err != nil {
		t.Fatal(err)
	}
	socket := device.Socket{Path: filepath.Join(t.TempDir(), "printer")}
	plug := func() {
		t.Helper()
		if err := socket.Plug(t.Context(), printer); err != nil {
			t.Fatal(err)
		}
	}
	plug()
	t.Cleanup(func() { _ = socket.Unplug() })
	set := devices.New(devices.Config{
		Printer: &drivers.DeviceConfig{
			Profile: "epson-tm-t88", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: socket.Path},
		},
		Display: &drivers.DeviceConfig{Profile: "epson-dm-d-shared", Transport: drivers.TransportConfig{Kind: drivers.TransportPrinter}},
	}, devices.All(), devices.Options{Tree: sysfstest.Plant(t, ""), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx, nil) }()
	t.Cleanup(func() { cancel(); <-done })
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never %s: %q, %+v", what, glass.Lines(), set.Status())
			}
		}
	}
	shows := func(word string) func() bool {
		return func() bool {
			return slices.ContainsFunc(glass.Lines(), func(l string) bool { return strings.Contains(l, word) })
		}
	}
	display := func() devices.Status { return set.Status()[1] }
	show := func(lines ...string) {
		t.Helper()
		if err := set.Customer().Show(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	until("open", func() bool { return display().State.Works() })
	if s := display(); s.Bound != "printer" || s.Port != "printer:printer" {
		t.Errorf("%+v", s)
	}
	show("Please pay", "12.00")
	until("on the glass", shows("Please pay"))

	printed := make(chan error, 1)
	go func() {
		_, err := set.Print(t.Context(), drivers.PrintJob{ID: "1", Receipt: receipt.New(receipt.Text("TOTAL 12.00"), receipt.QR("https://example.cn/r"), receipt.Cut())})
		printed <- err
	}()
	show("Paid", "12.00") // while it prints: in its turn, never among the receipt's bytes
	until("on the glass", shows("Paid"))
	if err := <-printed; err != nil {
		t.Fatal(err)
	}

	_ = socket.Unplug()
	until("gone", func() bool { return display().State == devices.StateAbsent })
	if s := display(); s.Hint == nil || !strings.Contains(s.Hint.EN, "printer first") || s.Hint.ZH == "" {
		t.Errorf("%+v", s)
	}
	show("Thank you")
	plug()
	until("back with the latest", shows("Thank you"))

	for _, r := range printer.Receipts() {
		for _, l := range r.Lines {
			if strings.Contains(l, "Paid") || strings.Contains(l, "Please") || strings.Contains(l, "Thank") {
				t.Errorf("%q is on paper", l)
			}
		}
	}
	if !slices.ContainsFunc(printer.Receipts()[0].Lines, func(l string) bool { return strings.Contains(l, "TOTAL 12.00") }) {
		t.Errorf("%q", printer.Receipts()[0].Lines)
	}
	for _, l := range glass.Lines() {
		if strings.Contains(l, "TOTAL") {
			t.Errorf("%q is on the glass", l)
		}
	}
}

func TestADisplayBehindAPrinterThatIsNotThere(t *testing.T) {
	set := devices.New(devices.Config{
		Display: &drivers.DeviceConfig{Profile: "epson-dm-d-shared", Transport: drivers.TransportConfig{Kind: drivers.TransportPrinter}},
	}, devices.All(), devices.Options{Tree: sysfstest.Plant(t, ""), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx, nil) }()
	defer func() { cancel(); <-done }()
	for end := time.Now().Add(time.Minute); set.Status()[0].Hint == nil; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", set.Status())
		}
	}
	if _, err := set.CheckHealth(t.Context(), "display", "doctor", drivers.HealthInternal); errors.Is(err, drivers.ErrBusy) {
		t.Error(err)
	}
}
