package escpos_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
	"dcpos/drivers/transport"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/pos"
)

var labFont = sync.OnceValues(func() (*device.Font, error) { return device.OpenFont("") })

// ourFont is read once: in a bubble of virtual time nothing may wait for a disk.
var ourFont = sync.OnceValue(func() *draw.Font {
	f := draw.NewFont("")
	f.Has('\U000F0000') // opens all files
	return f
})

// rig is a driver and a modelled printer, joined in memory.
type rig struct {
	*escpos.Printer
	model  *device.Printer
	unplug func()
}

func newRig(t *testing.T, p profiles.Printer, o device.PrinterOptions) *rig {
	t.Helper()
	font, err := labFont()
	if err != nil {
		t.Fatal(err)
	}
	o.Font = font
	model, err := device.NewPrinter(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{model: model}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	dial := func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		r.unplug = func() { _ = dev.Close() }
		served.Go(func() {
			if err := model.Serve(ctx, dev); err != nil {
				t.Errorf("model: %v", err)
			}
		})
		return transport.NewStream("memory", host), nil
	}
	r.Printer = escpos.New(p, dial, escpos.Options{Name: "printer", FirstMark: 95*2 + 3, Font: ourFont()})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		served.Wait()
	})
	return r
}

func (r *rig) start(t *testing.T) *rig {
	t.Helper()
	for _, step := range []func(context.Context) error{r.Open, r.Claim, r.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func slip() receipt.Receipt {
	return receipt.New(receipt.Title("王府井"), receipt.Pair("合计", "¥200.70"), receipt.Text("a"), receipt.Text("b"),
		receipt.QR("dcpos:pay:x"), receipt.Text("谢谢"), receipt.Cut())
}

// inBubble runs a check in virtual time against a printer of the profile and model.
func inBubble(t *testing.T, name string, o device.PrinterOptions, check func(t *testing.T, r *rig)) {
	t.Helper()
	inBubbleOf(t, profile(t, name), o, check)
}

func inBubbleOf(t *testing.T, p profiles.Printer, o device.PrinterOptions, check func(t *testing.T, r *rig)) {
	t.Helper()
	if _, err := labFont(); err != nil { // outside: the bubble's clock must not wait for a disk
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { check(t, newRig(t, p, o)) })
}

func wantState(t *testing.T, got drivers.PrintResult, err error, state drivers.PrintState, reason drivers.PauseReason) {
	t.Helper()
	if got.State != state || got.Reason != reason {
		t.Fatalf("got %s %q (%v), want %s %q", got.State, got.Reason, err, state, reason)
	}
	if settled := state == drivers.PrintConfirmed || state == drivers.PrintUnknown; settled != (err == nil) {
		t.Fatalf("%s with error %v", state, err)
	}
	if reason != "" && !errors.Is(err, reason.Code()) {
		t.Fatalf("error %v, want %v inside", err, reason.Code())
	}
	if err == nil {
		return
	}
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || e.Text.ZH == "" || e.Text.EN == "" || e.Hint.ZH == "" || e.Hint.EN == "" {
		t.Fatalf("%v does not say what to do in two languages", err)
	}
}

// The whole conversation, byte by byte, with a printer that has everything.
func TestConversation(t *testing.T) {
	p := profile(t, "epson-tm-t70ii-ch")
	p.Status.GSI = false
	doc := encode(t, p, receipt.Text("元"))
	well := []transporttest.IO{
		{W: []byte("\x10\x04\x02\x1b@"), R: []byte{0x12}},
		{W: []byte("\x10\x04\x01"), R: []byte{0x12}},
		{W: []byte("\x10\x04\x02"), R: []byte{0x12}},
		{W: []byte("\x10\x04\x03"), R: []byte{0x12}},
		{W: []byte("\x10\x04\x04"), R: []byte{0x1E}}, // paper near its end: prints all the same
		{W: []byte("\x1b@\x1da\xff"), R: []byte{0x14, 0, 3, 0x0F}},
	}
	script := append([]transporttest.IO{
		{W: []byte("\x10\x04\x02\x1b@"), R: []byte{0x12}},
		{W: []byte("\x1da\xff"), R: []byte{0x14, 0, 0, 0x0F}}, // enabled: from now on it tells
	}, well...)
	script = append(script,
		transporttest.IO{W: doc.Bytes},
		// An answer to another job's mark does not count.
		transporttest.IO{W: []byte("\x1d(H\x06\x000000! "), Silence: time.Second, R: []byte("\x37\x22    \x00\x37\x2200! \x00")})
	play := &transporttest.Playback{Ops: script}
	printer := escpos.New(p, play.Dial, escpos.Options{FirstMark: (16*95+16)*95*95 + 95})
	for _, step := range []func(context.Context) error{printer.Open, printer.Claim, printer.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := printer.Print(t.Context(), drivers.PrintJob{ID: "7", Receipt: receipt.New(receipt.Text("元"))})
	wantState(t, got, err, drivers.PrintConfirmed, "")
	if got.ConfirmedBy != drivers.ConfirmedByJobID || got.BytesSent != len(doc.Bytes) || got.JobID != "7" {
		t.Errorf("got %+v", got)
	}
	if s := printer.Snapshot(); s.PaperNearEnd.Value != drivers.Yes || s.PaperEnd.Value != drivers.No || s.DrawerOpen.Value != drivers.Unknown {
		t.Errorf("status %+v", s)
	}
	if err := printer.Close(); err != nil {
		t.Error(err)
	}
}

// A printer that answers late, and then twice because it was asked twice: the left over
// answers are taken neither for the state of the paper nor for a confirmation.
func TestLateAnswersAreTakenForNothingElse(t *testing.T) {
	p := profile(t, "pos-5890")
	p.Status = profiles.Status{GSR: true}
	p.Quirks.ChunkDelayMS = 0
	flush := string(make([]byte, 8192))
	doc := encode(t, p, receipt.Text("元"))
	synctest.Test(t, func(t *testing.T) {
		play := &transporttest.Playback{Ops: []transporttest.IO{
			{W: []byte("\x1b@\x1dr\x01")},
			{W: []byte(flush + "\x1b@\x1dr\x01"), R: []byte{0}},
			{Silence: 500 * time.Millisecond, R: []byte{0}},
			{W: doc.Bytes},
			{W: []byte("\x1dr\x01")},
		}}
		printer := escpos.New(p, play.Dial, escpos.Options{})
		if err := errors.Join(printer.Open(t.Context()), printer.Claim(t.Context()), printer.Enable(t.Context())); err != nil {
			t.Fatal(err)
		}
		got, err := printer.Print(t.Context(), drivers.PrintJob{Receipt: receipt.New(receipt.Text("元"))})
		wantState(t, got, err, drivers.PrintUnknown, "")
		if err := printer.Close(); err != nil {
			t.Error(err)
		}
	})
	p.Status = profiles.Status{DLEEOT: true}
	hello := "\x10\x04\x02\x1b@"
	synctest.Test(t, func(t *testing.T) {
		play := &transporttest.Playback{Ops: []transporttest.IO{
			{W: []byte(hello)},
			{W: []byte(flush + hello), R: []byte{0x32}},
			{Silence: 300 * time.Millisecond, R: []byte{0x32}},
			{W: []byte(hello), R: []byte{0x32}},
			{W: []byte("\x10\x04\x01"), R: []byte{0x1a}},
			{W: []byte("\x10\x04\x02"), R: []byte{0x32}},
			{W: []byte("\x10\x04\x03"), R: []byte{0x12}},
			{W: []byte("\x10\x04\x04"), R: []byte{0x7e}},
		}}
		printer := escpos.New(p, play.Dial, escpos.Options{})
		if err := errors.Join(printer.Open(t.Context()), printer.Claim(t.Context()), printer.Enable(t.Context())); err != nil {
			t.Fatal(err)
		}
		got, err := printer.Print(t.Context(), drivers.PrintJob{Receipt: receipt.New(receipt.Text("元"))})
		wantState(t, got, err, drivers.PrintPaused, drivers.PausedPaper)
		if s := printer.Snapshot(); s.CoverOpen.Value != drivers.No || s.Fault.Value != drivers.No || s.Online.Value != drivers.No {
			t.Errorf("answers went to other questions: %+v", s)
		}
		if err := printer.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestConfirmedOnPaper(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{StartsWithoutChinese: true}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		if i := r.Info(); i.Maker != "DCPOS-LAB" || i.Model != "LAB-80" || i.Firmware == "" {
			t.Errorf("info %+v", i)
		}
		for range 2 {
			got, err := r.Print(t.Context(), drivers.PrintJob{ID: "1", Receipt: slip()})
			wantState(t, got, err, drivers.PrintConfirmed, "")
		}
		if n := len(r.model.Receipts()); n != 2 {
			t.Errorf("%d receipts", n)
		}
		stats := r.Statistics()
		if stats[drivers.PaperCutCount] != 2 || stats[drivers.BarcodePrintedCount] != 2 || stats[drivers.ReceiptLinePrintedCount] != 10 {
			t.Errorf("statistics %v", stats)
		}
	})
}

func TestTroubleBeforeTheFirstByte(t *testing.T) {
	for _, tc := range []struct {
		reason drivers.PauseReason
		spoil  func(*device.Printer)
		mend   func(*device.Printer)
	}{
		{drivers.PausedCover, func(p *device.Printer) { p.SetCover(true) }, func(p *device.Printer) { p.SetCover(false) }},
		{drivers.PausedPaper, func(p *device.Printer) { p.SetPaper(false) }, func(p *device.Printer) { p.SetPaper(true) }},
		{drivers.PausedOffline, func(p *device.Printer) { p.SetSilent(true) }, func(p *device.Printer) { p.SetSilent(false) }},
		{drivers.PausedOffline, func(p *device.Printer) { p.SetStalled(true) }, func(p *device.Printer) { p.SetStalled(false) }},
	} {
		t.Run(string(tc.reason), func(t *testing.T) {
			inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
				t.Helper()
				r.start(t)
				tc.spoil(r.model)
				got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
				wantState(t, got, err, drivers.PrintPaused, tc.reason)
				if got.MayBeOnPaper() {
					t.Errorf("nothing was sent: %+v", got)
				}
				if r.State() != drivers.StateError {
					t.Errorf("state %v", r.State())
				}
				if h, err := r.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || h.OK || h.Code != tc.reason.Code() {
					t.Errorf("health %+v, %v", h, err)
				}
				tc.mend(r.model)
				got, err = r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
				wantState(t, got, err, drivers.PrintConfirmed, "")
				if n := len(r.model.Receipts()); n != 1 || r.State() != drivers.StateIdle {
					t.Errorf("%d receipts on paper, state %v", n, r.State())
				}
			})
		})
	}
}

func TestPaperEndsWithinAReceipt(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		r.model.SetPaperLeft(60)
		got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintPaused, drivers.PausedPaper)
		if !got.MayBeOnPaper() {
			t.Error("a part of it is on paper")
		}
		synctest.Wait()
		if n := r.model.Pending(); n != 0 {
			t.Errorf("%d bytes would come out with the new paper", n)
		}
		r.model.Tear()
		r.model.SetPaper(true)
		got, err = r.Print(t.Context(), drivers.PrintJob{Receipt: slip(), Duplicate: true})
		wantState(t, got, err, drivers.PrintConfirmed, "")
		papers := r.model.Receipts()
		if last := papers[len(papers)-1].Text(); !strings.Contains(last, "补打  DUPLICATE") || !strings.Contains(last, "谢谢") {
			t.Errorf("the second print:\n%s", last)
		}
	})
}

func TestSilenceIsUnknown(t *testing.T) {
	t.Run("no confirmation though all seems well", func(t *testing.T) {
		inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{Answers: &device.Answers{DLEEOT: true, ASB: true}}, func(t *testing.T, r *rig) {
			t.Helper()
			r.start(t)
			start := time.Now()
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
			wantState(t, got, err, drivers.PrintUnknown, "")
			if d := time.Since(start); d < 15*time.Second || d > 30*time.Second {
				t.Errorf("after %v", d)
			}
		})
	})
	t.Run("a printer that answers nothing at all", func(t *testing.T) {
		p := profile(t, "pos-5890")
		p.Status = profiles.Status{}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, p, device.PrinterOptions{WidthMM: 58, NoCutter: true, Answers: &device.Answers{}}).start(t)
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
			wantState(t, got, err, drivers.PrintUnknown, "")
			if s := r.Snapshot(); s.Online.Value != drivers.Unknown || s.PaperEnd.Value != drivers.Unknown {
				t.Errorf("nobody asked: %+v", s)
			}
			time.Sleep(3 * time.Second)
			if n := len(r.model.Receipts()); n != 1 {
				t.Errorf("%d receipts", n)
			}
		})
	})
	t.Run("enabling a printer that should answer", func(t *testing.T) {
		p := profile(t, "epson-tm-t70ii-ch")
		inBubble(t, p.Name, device.PrinterOptions{}, func(t *testing.T, r *rig) {
			t.Helper()
			r.model.SetSilent(true)
			if err := errors.Join(r.Open(t.Context()), r.Claim(t.Context())); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := r.Enable(t.Context()); !errors.Is(err, drivers.ErrOffline) || time.Since(start) != 10*time.Second+p.Timing.Answer() {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	})
}

func TestCableIsPulled(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{Answers: &device.Answers{DLEEOT: true, ASB: true}}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		go func() {
			time.Sleep(5 * time.Second) // while it waits for the confirmation
			r.unplug()
		}()
		got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintUnknown, "")
		got, err = r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintPaused, drivers.PausedOffline)
		if !errors.Is(err, transport.ErrGone) || got.MayBeOnPaper() {
			t.Errorf("got %+v, %v", got, err)
		}
		for what, err := range map[string]error{"print": err, "status": second(r.Status(t.Context())), "drawer": r.OpenDrawer(t.Context())} {
			if !errors.Is(err, drivers.ErrNoHardware) || !errors.Is(err, drivers.ErrOffline) {
				t.Errorf("%s: got %v, want ErrNoHardware, so that the port is opened anew", what, err)
			}
		}
		// Released and claimed again it works, as after plugging in.
		if err := errors.Join(r.Release(t.Context()), r.Claim(t.Context()), r.Enable(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Status(t.Context()); err != nil {
			t.Errorf("status: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestPictureThatWasCutOffIsFlushed(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		host, dev := device.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.model.Serve(ctx, dev) }()
		// Another program dies within a picture of 72 × 100 bytes.
		if _, err := io.WriteString(host, "\x1dv0\x00\x48\x00\x64\x00half"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.start(t)
		got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintConfirmed, "")
		if text := r.model.Receipts()[0].Text(); !strings.Contains(text, "王府井") || !strings.Contains(text, "谢谢") {
			t.Errorf("the receipt was eaten:\n%s", text)
		}
	})
}

func TestStuckCutterGetsOneChance(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		r.model.SetCutterStuck(true)
		got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintConfirmed, "")
	})
}

func TestCancelled(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got, err := r.Print(ctx, drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintCancelled, "")
		if !errors.Is(err, context.Canceled) || got.MayBeOnPaper() {
			t.Errorf("got %+v, %v", got, err)
		}
		r.model.SetStalled(true)
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		got, err = r.Print(ctx, drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintCancelled, "")
	})
}

func TestReceiptsOfSeveralCallersDoNotMix(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				line := strings.Repeat(string(rune('a'+i)), 20)
				var job receipt.Receipt
				for range 30 {
					job.Add(receipt.Text(line))
				}
				job.Add(receipt.Cut())
				got, err := r.Print(t.Context(), drivers.PrintJob{ID: line, Receipt: job})
				if err != nil || got.State != drivers.PrintConfirmed {
					t.Errorf("%s: %+v, %v", line, got, err)
				}
			})
		}
		calls.Wait()
		papers := r.model.Receipts()
		for _, p := range papers {
			if p.Text() != strings.Repeat(p.Lines[0]+"\n", 30) {
				t.Errorf("mixed:\n%s", p.Text())
			}
		}
		if len(papers) != 8 {
			t.Errorf("%d receipts", len(papers))
		}
	})
}

func TestDrawer(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		if err := r.OpenDrawer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := r.DrawerOpened(t.Context()); err != nil || got.Value != drivers.Unknown {
			t.Errorf("wiring not known: got %v, %v", got, err)
		}
		r.model.SetCover(true)
		err := r.OpenDrawer(t.Context())
		r.model.SetCover(false)
		synctest.Wait()
		if !errors.Is(err, drivers.ErrCoverOpen) || r.model.Kicks() != 1 {
			t.Errorf("off-line: %v, %d kicks; a late pulse opens the drawer when nobody looks", err, r.model.Kicks())
		}
	})
	p := profile(t, "epson-tm-t70ii-ch")
	p.Drawer.OpenLevel = "high"
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p, device.PrinterOptions{}).start(t)
		for _, open := range []bool{true, false} {
			r.model.SetDrawer(open)
			if got, err := r.DrawerOpened(t.Context()); err != nil || got.Value != drivers.TriOf(open) {
				t.Errorf("drawer open %v: got %v, %v", open, got, err)
			}
		}
	})
	p.Drawer = profiles.Drawer{}
	none := escpos.New(p, nil, escpos.Options{})
	if err := none.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := none.DrawerOpened(t.Context()); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("no drawer: got %v", err)
	}
}

func TestSuite(t *testing.T) {
	drivertest.RunPrinter(t, func(t *testing.T) drivers.POSPrinter {
		t.Helper()
		return newRig(t, profile(t, "escpos-80mm-gb18030"), device.PrinterOptions{}).Printer
	})
}
