package usb_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
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
	world   world
	till    *till
	printer *device.Printer
	fuse    *fuse
	scanner *device.Scanner         // CDC-ACM
	hidpos  *device.HIDScanner      // HID-POS, asleep until a feature report wakes it
	typist  *device.KeyboardScanner // in keyboard mode
	reader  *device.CCID
	prints  chan sdk.PrintJob
	taps    chan sdk.Tap
	orders  *int // also of the sub-tests
}

var zebra = usbip.Identity{Vendor: 0x05e0, Product: 0x1701, Release: 0x0100, Maker: "Symbol Technologies, Inc", Model: "Symbol Bar Code Scanner", Serial: "Z1"}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{
		t: t, world: readWorld(t), scanner: device.NewScanner(device.ScannerOptions{}), orders: new(int),
		prints: make(chan sdk.PrintJob, 100), taps: make(chan sdk.Tap, 100),
		hidpos: device.NewHIDScanner(device.HIDScannerOptions{NeedsFeature: true}),
		typist: device.NewKeyboardScanner(device.KeyboardScannerOptions{}),
		reader: device.NewCCID(device.CCIDOptions{}),
	}
	t.Cleanup(s.reader.Close)
	var err error
	s.printer, err = device.NewPrinter(device.PrinterOptions{Maker: "EPSON", Model: "TM-T20II"})
	s.must(err)
	s.fuse = &fuse{Served: s.printer}
	s.till = openTill(t, s.world, t.TempDir(), map[string]any{"receipt": "always"})
	go func() {
		_ = s.till.Events(t.Context(), "", nil, func(e sdk.Event) error { // ends with the test
			if e.Print != nil {
				s.prints <- *e.Print
			}
			if e.Tap != nil {
				s.taps <- *e.Tap
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

func (s *shop) printerBox() usbip.Function {
	return usbip.Printer{Identity: epson, Model: s.fuse, DeviceID: "MFG:EPSON;CMD:ESC/POS;MDL:TM-T20II;CLS:PRINTER;"}
}

// boxes are the devices of the shop by their vid:pid.
func (s *shop) boxes() map[string]usbip.Function {
	return map[string]usbip.Function{
		"04b8:0e15": s.printerBox(),
		"05e0:1701": &usbip.Serial{Identity: zebra, Model: s.scanner},
		"0c2e:0b87": usbip.HID{Identity: honeywell, Model: s.hidpos},
		"05e0:1200": usbip.HID{Identity: typing, Model: s.typist, Keyboard: true, Packet: 8},
		"072f:2200": usbip.CCID{Identity: acr122u, Model: s.reader},
	}
}

// plug plugs one of the shop's devices in, waits until it works, and tells how long that
// took. It comes out with the test.
func (s *shop) plug(id string) (*usbip.Plugged, time.Duration) {
	s.t.Helper()
	s.gone(id) // the last one has been seen to go
	began := time.Now()
	p := plug(s.t, s.boxes()[id])
	eventually(s.t, id+" works", func() error {
		list, err := s.till.Devices(s.t.Context())
		if err != nil {
			return err
		}
		for _, d := range list.Devices {
			if d.USB == id && d.Works() {
				return nil
			}
		}
		return fmt.Errorf("devices: %+v", list)
	})
	return p, time.Since(began)
}

// gone waits until the till does not take a device for working.
func (s *shop) gone(id string) {
	s.t.Helper()
	eventually(s.t, id+" is gone", func() error {
		list, err := s.till.Devices(s.t.Context())
		if err != nil {
			return err
		}
		for _, d := range list.Devices {
			if d.USB == id && d.State != "ABSENT" {
				return fmt.Errorf("it is %s", d.State)
			}
		}
		return nil
	})
}

// sell takes a payment whose code is scanned by one of the scanners.
func (s *shop) sell(scan func(code, symbology string) error) sdk.Payment {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	*s.orders++
	p, err := s.till.Start(ctx, sdk.StartRequest{
		Key: sdk.NewKey(), OrderID: fmt.Sprintf("usb-%d", *s.orders), Amount: pos.Money(100 + *s.orders), Mode: pos.BScanC,
	})
	s.must(err)
	code, err := s.till.wallet.Code(ctx)
	s.must(err)
	s.must(scan(code, "]Q1"))
	p, err = s.till.Wait(ctx, p.ID)
	if err != nil {
		list, asked := s.till.Devices(s.t.Context())
		s.t.Fatalf("wait for the payment: %v; devices: %+v, %v", err, list, asked)
	}
	if p.State != pos.Paid {
		s.t.Fatalf("payment is %s", p.State)
	}
	return p
}

// settled is the payment's receipt once it is over, or waits for a person's word.
func (s *shop) settled(p sdk.Payment) sdk.PrintJob {
	s.t.Helper()
	return s.told(p, func(j sdk.PrintJob) bool { return j.State.Final() || j.Ask })
}

// told waits until the till tells of the payment's receipt what is wanted.
func (s *shop) told(p sdk.Payment, wanted func(sdk.PrintJob) bool) sdk.PrintJob {
	s.t.Helper()
	var last sdk.PrintJob
	patient := time.After(patience)
	for {
		select {
		case job := <-s.prints:
			if job.Payment != p.ID {
				continue
			}
			if wanted(job) {
				return job
			}
			last = job
		case <-patient:
			s.t.Fatalf("the last that the till tells of the receipt is %+v", last)
		}
	}
}

// wantReceipts compares what is on paper of a payment.
func (s *shop) wantReceipts(p sdk.Payment, complete, marked int) {
	s.t.Helper()
	if c, m := s.copies(p); c != complete || m != marked {
		s.t.Errorf("%d complete receipts on paper, %d of them marked as copies; want %d, %d", c, m, complete, marked)
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
		})
	}
	in("from plug to ready", measureReady)
	in("every scanner pays, receipts are confirmed", scanAndPrint)
	in("sold without a printer", printWithout)
	in("unplugged in the middle of a print", unplugMidPrint)
	in("a tap, and a reader pulled out in its middle", unplugMidPayment)
	in("devices come and go", agentCycles)
}

// measureReady plugs each device in twice; the first time the agent has never seen it.
func measureReady(s *shop) {
	for range 2 {
		for _, id := range slices.Sorted(maps.Keys(s.boxes())) {
			p, took := s.plug(id)
			s.t.Logf("%s: works %v after the plug", id, took.Round(time.Millisecond))
			s.must(p.Unplug())
		}
	}
}

// mystery is a device that no profile describes.
type mystery struct{}

func (mystery) Describe() usbip.Description {
	return usbip.Description{
		Identity:   usbip.Identity{Vendor: 0x1234, Product: 0x5678, Maker: "Nobody", Model: "Pad"},
		Interfaces: []usbip.Interface{{Class: 0xff, Endpoints: []usbip.Endpoint{{Address: 0x81, Type: usbip.Bulk, Packet: 64}}}},
	}
}

func (mystery) Control(*usbip.Session, usbip.Setup, []byte) ([]byte, error) {
	return nil, usbip.ErrStall
}

func (mystery) Run(ctx context.Context, _ *usbip.Session) error {
	<-ctx.Done()
	return nil
}

func scanAndPrint(s *shop) {
	for id := range s.boxes() {
		s.plug(id)
	}
	plug(s.t, mystery{})
	for name, scan := range map[string]func(code, symbology string) error{
		"CDC-ACM": s.scanner.Scan, "HID-POS": s.hidpos.Scan, "keyboard": s.typist.Scan,
	} {
		began := time.Now()
		p := s.sell(scan)
		s.t.Logf("%s: paid %v after the order", name, time.Since(began).Round(time.Millisecond))
		if told := s.settled(p); told.State != pos.PrintConfirmed || told.Duplicate {
			s.t.Errorf("told %+v", told)
		}
		s.t.Logf("%s: receipt confirmed %v after the order", name, time.Since(began).Round(time.Millisecond))
		s.wantReceipts(p, 1, 0)
	}
	if u := s.printer.Unknown(); len(u) > 0 {
		s.t.Errorf("the printer does not know %v", u)
	}
	// Exit code 1 would say that a device is not well.
	out, err := exec.CommandContext(s.t.Context(), "/bin/posctl", "devices", "--socket", s.till.socket).CombinedOutput()
	s.t.Logf("posctl devices:\n%s", out)
	if err != nil {
		s.t.Errorf("posctl devices: %v", err)
	}
	for _, want := range []string{"TM-T20II", "ttyACM0", "hidraw", "input/event", "1234:5678"} {
		if !strings.Contains(string(out), want) {
			s.t.Errorf("posctl devices does not tell of %s", want)
		}
	}
}

// printWithout sells while no printer is there: nothing is on paper, so the receipt
// prints by itself, unmarked, when the printer comes.
func printWithout(s *shop) {
	s.plug("05e0:1701")
	s.gone("04b8:0e15")
	p := s.sell(s.scanner.Scan)
	job := s.told(p, func(j sdk.PrintJob) bool { return j.State == pos.PrintPaused })
	if job.Ask || job.OnPaper || job.Reason != "offline" {
		s.t.Errorf("without a printer: %+v", job)
	}
	s.plug("04b8:0e15")
	if job = s.settled(p); job.State != pos.PrintConfirmed || job.Duplicate {
		s.t.Errorf("with the printer back: %+v", job)
	}
	s.wantReceipts(p, 1, 0)
}

// unplugMidPrint pulls the plug in the middle of a receipt. Nobody but a person can say
// what is on paper then: nothing prints until she has, and then it is a marked copy.
func unplugMidPrint(s *shop) {
	plugged, _ := s.plug("04b8:0e15")
	s.plug("05e0:1701")
	s.fuse.left.Store(400)
	p := s.sell(s.scanner.Scan)
	job := s.settled(p)
	if !job.Ask || !job.OnPaper || job.State.Final() {
		s.t.Errorf("a receipt of which 400 bytes were taken is told as %+v", job)
	}
	s.t.Logf("unplugged: %s %s, %s; %s", job.State, job.Reason, job.Text.EN, job.Hint.EN)
	s.wantReceipts(p, 0, 0)
	s.must(plugged.Unplug())
	s.plug("04b8:0e15")
	time.Sleep(2 * time.Second) // four times the pause before it would print by itself
	if now, err := s.till.PrintJob(s.t.Context(), job.ID); err != nil || !now.Ask {
		s.t.Errorf("with the printer back, before anybody answers: %+v, %v", now, err)
	}
	s.wantReceipts(p, 0, 0)
	if _, err := s.till.AnswerPrint(s.t.Context(), job.ID, false); err != nil {
		s.t.Fatal(err)
	}
	if job = s.settled(p); job.State != pos.PrintConfirmed || !job.Duplicate {
		s.t.Errorf("after the answer: %+v", job)
	}
	s.wantReceipts(p, 1, 1)
	if again, err := s.till.Print(s.t.Context(), p.ID); err != nil || again.State != pos.PrintConfirmed || !again.Duplicate {
		s.t.Errorf("asked for once more: %+v, %v", again, err)
	}
	s.wantReceipts(p, 2, 2)
}

// agentCycles plugs and unplugs under the agent's hands, and looks what it holds afterwards.
func agentCycles(s *shop) {
	d := dice(s.t)
	before := s.idle(d) // what is made once is made
	began := time.Now()
	for range *cycles {
		s.agentCycle(d)
	}
	s.t.Logf("%v a cycle", (time.Since(began) / time.Duration(max(*cycles, 1))).Round(time.Millisecond))
	after := s.idle(d)
	eventually(s.t, "the agent has given everything back", func() error { // it may be closing the last one
		after = s.held()
		// A leak is one in every few cycles.
		if after.files > before.files+4 || after.threads > before.threads+8 {
			return fmt.Errorf("before %+v, after %+v", before, after)
		}
		return nil
	})
	s.t.Logf("the agent before %+v, after %+v", before, after)
	if more := after.residentKiB - before.residentKiB; more > 32<<10+*cycles*8 {
		s.t.Errorf("%d KiB more memory", more)
	}
	s.plug("04b8:0e15")
	s.plug("05e0:1701")
	p := s.sell(s.scanner.Scan)
	if job := s.settled(p); job.State != pos.PrintConfirmed || job.Duplicate {
		s.t.Errorf("after the cycles: %+v", job)
	}
	s.wantReceipts(p, 1, 0)
}

// idle is what the agent holds after one more cycle, with nothing plugged in.
func (s *shop) idle(d *rand.Rand) usage {
	s.t.Helper()
	s.agentCycle(d)
	for id := range s.boxes() {
		s.gone(id)
	}
	return s.held()
}

func (s *shop) held() usage {
	s.t.Helper()
	return usageOf(s.t, strconv.Itoa(s.till.agent.PID()))
}

// agentCycle plugs two devices in and pulls them out in any order at any moment.
func (s *shop) agentCycle(d *rand.Rand) {
	s.t.Helper()
	boxes := s.boxes()
	ids := slices.Sorted(maps.Keys(boxes))
	d.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	var plugged []*usbip.Plugged
	for _, id := range ids[:2] {
		p, err := usbip.Plug(s.t.Context(), boxes[id])
		s.must(err)
		plugged = append(plugged, p)
	}
	time.Sleep(time.Duration(d.IntN(1500)) * time.Millisecond)
	d.Shuffle(len(plugged), func(i, j int) { plugged[i], plugged[j] = plugged[j], plugged[i] })
	for _, p := range plugged {
		s.must(p.Unplug())
	}
}
