package all_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/hid"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// bench runs the device of a profile, on a model that is set as the profile says.
type bench func(t *testing.T, profile string)

// benches are the benches by driver. A driver that a profile names has its row here.
func benches() map[string]bench {
	return map[string]bench{
		"escpos":           printerBench,
		"serial-scanner":   serialScannerBench,
		"hidpos-scanner":   hidScannerBench,
		"keyboard-scanner": keyboardScannerBench,
		"linedisplay":      displayBench,
		"pcsc":             readerBench(pcscModel),
		"ccid":             readerBench(ccidModel),
		"pn532":            readerBench(pn532Model),
	}
}

// driverNames are the drivers that ship.
func driverNames() []string {
	var names []string
	for _, some := range all.Drivers() {
		names = append(names, some...)
	}
	return names
}

// Every shipped profile with a driver is run: what a file says about a model is held
// against the model of a device that behaves so.
func TestEveryProfileRunsOnTheBench(t *testing.T) {
	catalogue, err := profiles.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	ran := map[profiles.Kind]int{}
	for _, e := range catalogue {
		run, ok := benches()[e.Driver]
		switch {
		case ok && !slices.Contains(driverNames(), e.Driver):
			t.Errorf("%s %s: driver %q does not ship", e.Kind, e.Name, e.Driver)
		case ok:
			t.Run(string(e.Kind)+" "+e.Name, func(t *testing.T) { run(t, e.Name) })
			if !e.Unverified {
				ran[e.Kind]++
			}
		case e.Driver == "" && e.Unverified:
		default:
			t.Errorf("%s %s: driver %q has no bench: give it its row in benches", e.Kind, e.Name, e.Driver)
		}
	}
	if ran[profiles.KindPrinter] < 15 || ran[profiles.KindScanner] < 5 || ran[profiles.KindDisplay] < 5 || ran[profiles.KindNFC] < 3 {
		t.Errorf("verified models that ran: %v", ran)
	}
	t.Logf("verified models that ran on the bench: %v", ran)
}

// served is a device.Served as the dial of a driver; every dial is a new line.
func served(t *testing.T, d device.Served) transport.Dial {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		group.Go(func() { _ = d.Serve(ctx, dev) })
		return transport.NewStream("bench", host), nil
	}
}

// closing closes a driver before its device stops.
func closing[D drivers.Device](t *testing.T, d D) D {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func up(t *testing.T, d drivers.Device) {
	t.Helper()
	for _, step := range []func(context.Context) error{d.Open, d.Claim, d.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var font = sync.OnceValues(func() (*device.Font, error) { return device.OpenFont("") }) // read once

func printerBench(t *testing.T, name string) {
	t.Helper()
	p, err := profiles.FindPrinter(name)
	if err != nil {
		t.Fatal(err)
	}
	glyphs, err := font()
	if err != nil {
		t.Fatal(err)
	}
	build := func(t *testing.T) (drivers.POSPrinter, *device.Printer) {
		t.Helper()
		width := 80
		if p.Paper.WidthMM < 70 {
			width = 58
		}
		model, err := device.NewPrinter(device.PrinterOptions{
			WidthMM: width, Font: glyphs, NoCutter: p.Cutter == "none", TearAfter: time.Minute,
			Answers: &device.Answers{DLEEOT: p.Status.DLEEOT, ASB: p.Status.ASB, GSR: p.Status.GSR, GSI: p.Status.GSI, GSH: p.Status.GSH},
			Chinese: map[string]device.ChineseFont{"gbk": device.GBK, "gb2312": device.GB2312, "none": device.LatinOnly}[p.CJK.Encoding],
			Buzzer:  p.Buzzer == "esc_b", Lamp: p.Lamp == "esc_c", ChineseSizeByFS: p.CJK.FSSize, LosesChinese: p.Quirks.ImageLosesCJK,
			StartsWithoutChinese: strings.HasPrefix(p.Name, "epson"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return closing(t, all.Printers()[p.Driver](p, served(t, model), "", "")), model
	}
	drivertest.RunPrinter(t, func(t *testing.T) drivers.POSPrinter {
		t.Helper()
		d, _ := build(t)
		return d
	})
	t.Run("a receipt is on the paper as it was meant", func(t *testing.T) {
		d, model := build(t)
		up(t, d)
		result, err := d.Print(t.Context(), drivers.PrintJob{ID: "bench", Receipt: receipt.New(
			receipt.Title("数字人民币"), receipt.Pair("合计 Total", "￥1,234.50"), receipt.QR("https://example.com/r/1"), receipt.Pair("付款方式", "硬钱包"), receipt.Cut())})
		if err != nil || result.State != drivers.PrintConfirmed {
			t.Fatalf("%+v, %v", result, err)
		}
		model.Tear()
		all := model.Receipts()
		if len(all) != 1 {
			t.Fatalf("%d receipts", len(all))
		}
		for _, want := range []string{"数字人民币", "合计 Total", "￥1,234.50", "付款方式", "硬钱包"} {
			if !strings.Contains(all[0].Text(), want) {
				t.Errorf("%q is not on\n%s", want, all[0].Text())
			}
		}
		if unknown := model.Unknown(); len(unknown) > 0 {
			t.Errorf("the printer does not know %v", unknown)
		}
		if d.Info().Profile != name || d.Columns() != p.Paper.Columns {
			t.Errorf("%+v", d.Info())
		}
	})
}

func serialScannerBench(t *testing.T, name string) {
	t.Helper()
	p, err := profiles.FindScanner(name)
	if err != nil {
		t.Fatal(err)
	}
	opt := device.ScannerOptions{Prefix: p.Framing.Prefix, AIM: p.Framing.AIM, NoSuffix: p.Framing.IdleMS > 0}
	if !opt.NoSuffix && !p.Framing.Learn {
		opt.Suffix = strings.Join(p.Framing.End, "") // CR and LF: also the sequence
	}
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		model := device.NewScanner(opt)
		s := closing(t, all.Scanners()[p.Driver](p, served(t, model), ""))
		return s, func(code string) {
			if err := model.Scan(code, "]Q1"); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * p.Framing.Idle()) // a hand is slower than the silence that ends a code, and so is a busy machine
		}
	})
	t.Run("symbology", func(t *testing.T) {
		model := device.NewScanner(opt)
		s := closing(t, all.Scanners()[p.Driver](p, served(t, model), ""))
		up(t, s)
		if err := model.Scan("6901028075862", "]E0"); err != nil {
			t.Fatal(err)
		}
		e := <-s.Events()
		if e.Err != nil || e.Data.Text() != "6901028075862" || (e.Data.Symbology == "]E0") != p.Framing.AIM {
			t.Errorf("got %+v", e)
		}
	})
}

// reports is the kernel's device file of a modelled HID device, in memory.
type reports struct {
	device.HIDModel
	encode func(report []byte) []byte
	once   sync.Once
	closed chan struct{}
}

func (r *reports) Read(b []byte) (int, error) {
	for {
		select {
		case report := <-r.Reports():
			if out := r.encode(report); len(out) > 0 {
				return copy(b, out), nil
			}
		case <-r.closed:
			return 0, os.ErrClosed
		}
	}
}

func (r *reports) Write(b []byte) (int, error) {
	r.Output(b)
	return len(b), nil
}

func (r *reports) SetFeature(report []byte) error {
	r.HIDModel.SetFeature(report[0], report[1:])
	return nil
}

func (r *reports) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func hidScannerBench(t *testing.T, name string) {
	t.Helper()
	p, err := profiles.FindScanner(name)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		model := device.NewHIDScanner(device.HIDScannerOptions{
			Reserved: strings.HasPrefix(name, "newland"), NeedsFeature: len(p.HID.Feature) > 0, VendorSymbology: p.HID.Symbology != "",
		})
		d, err := hid.ParseDescriptor(model.ReportDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		dial := func(context.Context) (transport.Conn, error) {
			return hid.NewConn("hid:bench", d, &reports{HIDModel: model, encode: func(r []byte) []byte { return r }, closed: make(chan struct{})}), nil
		}
		return closing(t, all.Scanners()[p.Driver](p, dial, "")), scanOn(t, model)
	})
}

func keyboardScannerBench(t *testing.T, name string) {
	t.Helper()
	p, err := profiles.FindScanner(name)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		model := device.NewKeyboardScanner(device.KeyboardScannerOptions{})
		var before []byte
		start := time.Now()
		dial := func(context.Context) (transport.Conn, error) {
			encode := func(r []byte) []byte {
				events := device.KeyEvents(before, r)
				before = r
				if len(events) == 0 {
					return nil
				}
				return device.EncodeKeyEvents(time.Since(start), events...)
			}
			return transport.NewStream("evdev:bench", &reports{HIDModel: model, encode: encode, closed: make(chan struct{})}), nil
		}
		return closing(t, all.Scanners()[p.Driver](p, dial, "")), scanOn(t, model)
	})
}

func scanOn(t *testing.T, model interface {
	Scan(code, symbology string) error
},
) func(string) {
	t.Helper()
	return func(code string) {
		if err := model.Scan(code, "]Q1"); err != nil {
			t.Error(err)
		}
	}
}

func displayBench(t *testing.T, name string) {
	t.Helper()
	p, err := profiles.FindLineDisplay(name)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.RunLineDisplay(t, func(t *testing.T) drivertest.DisplayRig {
		t.Helper()
		model, err := device.NewLineDisplay(device.LineDisplayOptions{
			Language: p.Language, Columns: p.Size.Columns, Rows: p.Size.Rows, Chinese: p.CJK.Encoding != "none", Labels: p.Labels,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if unknown := model.Unknown(); len(unknown) > 0 {
				t.Errorf("the display does not know %v", unknown)
			}
		})
		d := closing(t, all.LineDisplays()[p.Driver](p, served(t, model), ""))
		return drivertest.DisplayRig{Driver: d, Shown: model.Lines, Received: model.Received, Digits: p.Language == "led8"}
	})
}

func TestACustomerDisplayOnARealLine(t *testing.T) {
	model, err := device.NewLineDisplay(device.LineDisplayOptions{Language: "cd5220"})
	if err != nil {
		t.Fatal(err)
	}
	line, err := device.Start(context.Background(), model)
	if err != nil {
		t.Fatal(err)
	}
	d, err := all.OpenLineDisplay(t.Context(), drivers.DeviceConfig{Name: "customer", Profile: "cd5220", Transport: onTTY(line.Path)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Show(t.Context(), []string{"Total", "12.50"}); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); !slices.Equal(model.Lines(), []string{"Total", "12.50"}); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("shown %q", model.Lines())
		}
	}
	if err := errors.Join(d.Close(), line.Unplug()); err != nil {
		t.Error(err)
	}
}

// A display behind a printer shows the amount while receipts are printed, and nothing
// that is for one reaches the other.
func TestADisplayBehindAPrinter(t *testing.T) {
	display, err := device.NewLineDisplay(device.LineDisplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	glyphs, err := font()
	if err != nil {
		t.Fatal(err)
	}
	model, err := device.NewPrinter(device.PrinterOptions{Font: glyphs, Display: display, StartsWithoutChinese: true})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := profiles.FindPrinter("epson-tm-t88")
	if err != nil {
		t.Fatal(err)
	}
	p := closing(t, all.Printers()[profile.Driver](profile, served(t, model), "front", ""))
	if _, err := all.OpenLineDisplayBehind(t.Context(), p, drivers.DeviceConfig{Profile: "epson-dm-d-shared"}); !errors.Is(err, drivers.ErrNoHardware) {
		t.Errorf("printer not open: got %v", err)
	}
	up(t, p)
	if _, err := all.OpenLineDisplayBehind(t.Context(), p, drivers.DeviceConfig{Profile: "cd5220"}); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("a display with a line of its own: got %v", err)
	}
	d, err := all.OpenLineDisplayBehind(t.Context(), p, drivers.DeviceConfig{Profile: "epson-dm-d-shared"})
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		for range 20 {
			if r, err := p.Print(t.Context(), drivers.PrintJob{ID: "r", Receipt: receipt.New(receipt.Pair("合计", "1.00"), receipt.Cut())}); err != nil {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
	both.Go(func() {
		for i := range 200 {
			if err := d.Show(t.Context(), []string{"Total", strings.Repeat("9", i%20)}); err != nil {
				t.Error(err)
			}
		}
	})
	both.Wait()
	if err := d.Show(t.Context(), []string{"Paid", "1.00"}); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); !slices.Equal(display.Lines(), []string{"Paid", "1.00"}); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("shown %q", display.Lines())
		}
	}
	if n := len(model.Receipts()); n != 20 {
		t.Errorf("%d receipts", n)
	}
	for _, r := range model.Receipts() {
		if r.Text() != model.Receipts()[0].Text() {
			t.Errorf("a receipt reads\n%s", r.Text())
		}
	}
	if unknown := slices.Concat(model.Unknown(), display.Unknown()); len(unknown) > 0 {
		t.Errorf("unknown: %v", unknown)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if p.Info().Port == "" {
		t.Error("closing the display closed the printer")
	}
}
