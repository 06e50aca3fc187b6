package usb_test

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/lab/device"
	"dcpos/lab/usbip"
	"dcpos/pos"
	"dcpos/sdk"
)

// fuse is a printer's line that ends in the middle of a print: it pulls the plug when
// so many bytes more have been taken.
type fuse struct {
	device.Served
	left atomic.Int64 // 0: never
}

func (f *fuse) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return f.Served.Serve(ctx, &fusedLine{rw, f})
}

type fusedLine struct {
	io.ReadWriteCloser
	fuse *fuse
}

func (l *fusedLine) Read(b []byte) (int, error) {
	left := l.fuse.left.Load()
	if left > 0 && int64(len(b)) > left {
		b = b[:left]
	}
	n, err := l.ReadWriteCloser.Read(b)
	if left > 0 && l.fuse.left.Add(-int64(n)) <= 0 {
		l.fuse.left.Store(0)
		_ = l.Close() // the plug is out
	}
	return n, err
}

// shop is a till in the guest, with devices that are plugged in by USB. Its centre and the
// institutions run on the host.
type shop struct {
	t       *testing.T
	till    *till
	printer *device.Printer
	fuse    *fuse
	scanner *device.Scanner
	prints  chan sdk.PrintJob
	orders  int
}

var zebra = usbip.Identity{Vendor: 0x05e0, Product: 0x1701, Release: 0x0100, Maker: "Symbol Technologies, Inc", Model: "Symbol Bar Code Scanner", Serial: "Z1"}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, scanner: device.NewScanner(device.ScannerOptions{}), prints: make(chan sdk.PrintJob, 100)}
	var err error
	s.printer, err = device.NewPrinter(device.PrinterOptions{Maker: "EPSON", Model: "TM-T20II"})
	s.must(err)
	s.fuse = &fuse{Served: s.printer}
	s.till = openTill(t, readWorld(t), t.TempDir(), map[string]any{
		"receipt": "always",
		"printer": map[string]any{"profile": "escpos-80mm-gb18030", "transport": map[string]any{"kind": "usb", "vid": "04b8", "pid": "0e15"}},
		"scanner": map[string]any{"profile": "serial-cr", "transport": map[string]any{"kind": "serial", "path": "/dev/ttyACM0"}},
	})
	go func() {
		_ = s.till.Events(t.Context(), "", nil, func(e sdk.Event) error { // ends with the test
			if e.Print != nil {
				s.prints <- *e.Print
			}
			return nil
		})
	}()
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) plugPrinter() *usbip.Plugged {
	s.t.Helper()
	s.stands("POSPrinter", "CLOSED") // it has seen that the last one was pulled out
	return plug(s.t, usbip.Printer{Identity: epson, Model: s.fuse, DeviceID: "MFG:EPSON;CMD:ESC/POS;MDL:TM-T20II;CLS:PRINTER;"})
}

func (s *shop) plugScanner() *usbip.Plugged {
	s.t.Helper()
	s.stands("Scanner", "CLOSED")
	return plug(s.t, &usbip.Serial{Identity: zebra, Model: s.scanner})
}

// stands waits until a category's device is in a state.
func (s *shop) stands(category, state string) sdk.Device {
	s.t.Helper()
	var d sdk.Device
	eventually(s.t, category+" is "+state, func() error {
		list, err := s.till.Devices(s.t.Context())
		if err != nil {
			return err
		}
		for _, d = range list {
			if d.Category == category && d.State == state {
				return nil
			}
		}
		return fmt.Errorf("devices: %+v", list)
	})
	return d
}

// sell takes a payment whose code comes from the scanner.
func (s *shop) sell() sdk.Payment {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	s.orders++
	p, err := s.till.Start(ctx, sdk.StartRequest{
		Key: sdk.NewKey(), OrderID: fmt.Sprintf("usb-%d", s.orders), Amount: pos.Money(100 + s.orders), Mode: pos.BScanC,
	})
	s.must(err)
	code, err := s.till.wallet.Code(ctx)
	s.must(err)
	s.must(s.scanner.Scan(code, "]Q1"))
	p, err = s.till.Wait(ctx, p.ID)
	s.must(err)
	if p.State != pos.Paid {
		s.t.Fatalf("payment is %s", p.State)
	}
	return p
}

// printed is what the till told of the payment's first receipt.
func (s *shop) printed(p sdk.Payment) sdk.PrintJob {
	s.t.Helper()
	patient := time.After(patience)
	for {
		select {
		case told := <-s.prints:
			if told.Payment == p.ID && told.State != pos.PrintQueued && told.State != pos.PrintSending {
				return told
			}
		case <-patient:
			s.t.Fatal("the till tells nothing of the receipt")
		}
	}
}

// copies are the complete receipts of a payment on the paper, and those of them that
// say that they are copies. A receipt that was interrupted lacks its last lines.
func (s *shop) copies(p sdk.Payment) (complete, marked int) {
	for _, r := range s.printer.Receipts() {
		if text := r.Text(); strings.Contains(text, p.OrderID) {
			complete += strings.Count(text, "打印 Printed")
			marked += min(1, strings.Count(text, "补打"))
		}
	}
	return complete, marked
}

func testProgram(t *testing.T) {
	s := openShop(t)
	in := func(name string, f func(s *shop)) {
		t.Run(name, func(t *testing.T) {
			inner := *s
			inner.t = t
			f(&inner)
			s.orders = inner.orders
		})
	}
	in("from plug to ready", measureReady)
	in("scan, payment, confirmed receipt", scanAndPrint)
	in("unplugged in the middle of a print", unplugMidPrint)
}

func measureReady(s *shop) {
	for round := range 3 {
		began := time.Now()
		p := s.plugPrinter()
		s.stands("POSPrinter", "IDLE")
		s.t.Logf("printer, round %d: ready %v after the plug", round, time.Since(began).Round(time.Millisecond))
		s.must(p.Unplug())
	}
}

func scanAndPrint(s *shop) {
	s.plugPrinter()
	s.plugScanner()
	s.stands("POSPrinter", "IDLE")
	s.stands("Scanner", "IDLE")
	began := time.Now()
	p := s.sell()
	s.t.Logf("paid %v after the order", time.Since(began).Round(time.Millisecond))
	if told := s.printed(p); told.State != "CONFIRMED" || told.Duplicate {
		s.t.Errorf("told %+v", told)
	}
	s.t.Logf("receipt confirmed %v after the order", time.Since(began).Round(time.Millisecond))
	if complete, marked := s.copies(p); complete != 1 || marked != 0 {
		s.t.Errorf("%d receipts on paper, %d of them marked; want one, unmarked", complete, marked)
	}
	if u := s.printer.Unknown(); len(u) > 0 {
		s.t.Errorf("the printer does not know %v", u)
	}
	out, err := exec.CommandContext(s.t.Context(), "/bin/posctl", "devices", "--socket", s.till.socket).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "POSPrinter") || !strings.Contains(string(out), "Scanner") || !strings.Contains(string(out), "ttyACM0") {
		s.t.Errorf("posctl devices: %v\n%s", err, out)
	}
	s.t.Logf("posctl devices:\n%s", out)
}

func unplugMidPrint(s *shop) {
	plugged := s.plugPrinter()
	s.plugScanner()
	s.stands("POSPrinter", "IDLE")
	s.stands("Scanner", "IDLE")
	s.fuse.left.Store(400)
	p := s.sell()
	told := s.printed(p)
	if told.State == "CONFIRMED" {
		s.t.Errorf("a receipt of which 400 bytes were taken is told as %+v", told)
	}
	s.t.Logf("unplugged: %s %s", told.State, told.Text.EN)
	if complete, _ := s.copies(p); complete != 0 {
		s.t.Errorf("%d complete receipts on paper", complete)
	}
	s.must(plugged.Unplug())
	s.plugPrinter()
	s.stands("POSPrinter", "IDLE")
	again, err := s.till.Print(s.t.Context(), p.ID)
	if err != nil || again.State != "CONFIRMED" || !again.Duplicate {
		s.t.Errorf("printed again: %+v, %v", again, err)
	}
	if complete, marked := s.copies(p); complete != 1 || marked != 1 {
		s.t.Errorf("%d receipts on paper, %d marked; want one, marked as a copy", complete, marked)
	}
}
