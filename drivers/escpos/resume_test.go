package escpos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
)

// asked collects what a job says while it waits.
type asked struct {
	mu      sync.Mutex
	reasons []string
}

func (a *asked) stopped(r drivers.PauseReason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reasons = append(a.reasons, string(r))
}

// long is a receipt longer than the memory between two looks at the printer.
func long() receipt.Receipt {
	r := receipt.New(receipt.Title("王府井"))
	for i := range 200 {
		r.Add(receipt.Pair(fmt.Sprintf("第 %d 行", i), "1.00"))
	}
	r.Add(receipt.Text("谢谢"), receipt.Cut())
	return r
}

// newRoll is what a person does who puts one in.
func newRoll(p *device.Printer) {
	p.SetCover(true)
	synctest.Wait()
	p.SetPaper(true)
	synctest.Wait()
	p.SetCover(false)
}

// A person helps in time: one receipt, whole, without a mark, and confirmed.
func TestJobGoesOnAfterAPersonHelped(t *testing.T) {
	for _, tc := range []struct {
		name    string
		model   device.PrinterOptions
		receipt receipt.Receipt
		spoil   func(*device.Printer)
		mend    func(*device.Printer)
		reasons []string
	}{
		{
			"new paper, and it goes on by itself",
			device.PrinterOptions{},
			slip(),
			func(p *device.Printer) { p.SetPaperLeft(100) }, func(p *device.Printer) { p.SetPaper(true) },
			[]string{"paper", ""},
		},
		{
			"an open cover is an error, and it wants DLE ENQ 1",
			device.PrinterOptions{CoverIsError: true},
			slip(),
			func(p *device.Printer) { p.SetPaperLeft(100) }, newRoll,
			[]string{"paper", "cover", "error", ""},
		},
		{
			"paper in a long receipt",
			device.PrinterOptions{CoverIsError: true},
			long(),
			func(p *device.Printer) { p.SetPaperLeft(500) }, newRoll,
			[]string{"paper", "cover", "error", ""},
		},
		{
			"the cover is opened for the new roll",
			device.PrinterOptions{},
			slip(),
			func(p *device.Printer) { p.SetPaperLeft(100) }, newRoll,
			[]string{"paper", "cover", ""},
		},
		{
			"a jam is cleared",
			device.PrinterOptions{},
			slip(),
			func(p *device.Printer) { p.SetJam(true) }, func(p *device.Printer) { p.SetJam(false) },
			[]string{"error", ""},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, "epson-tm-t70ii-ch", tc.model, func(t *testing.T, r *rig) {
				t.Helper()
				r.start(t)
				tc.spoil(r.model)
				go func() {
					time.Sleep(3*time.Minute + time.Second)
					tc.mend(r.model)
				}()
				var says asked
				start := time.Now()
				got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: tc.receipt, Patience: 5 * time.Minute, Stopped: says.stopped})
				wantState(t, got, err, drivers.PrintConfirmed, "")
				if d := time.Since(start); !got.Resumed || d < 3*time.Minute || d > 4*time.Minute {
					t.Errorf("resumed %v after %v", got.Resumed, d)
				}
				if diff := cmp.Diff(tc.reasons, says.reasons); diff != "" {
					t.Errorf("what the cashier sees: %s", diff)
				}
				papers := r.model.Receipts()
				text, _ := tc.receipt.Text(48)
				if len(papers) != 1 || strings.Count(papers[0].Text(), "王府井") != 1 || len(papers[0].Lines) < strings.Count(text, "\n") {
					t.Errorf("%d receipts on paper; the first:\n%s", len(papers), papers[0].Text())
				}
			})
		})
	}
}

// Nobody helps: PAUSED for the true reason, and nothing comes out later by itself.
func TestNobodyHelps(t *testing.T) {
	for reason, spoil := range map[drivers.PauseReason]func(*device.Printer){
		drivers.PausedPaper: func(p *device.Printer) { p.SetPaperLeft(100) },
		drivers.PausedError: func(p *device.Printer) { p.SetJam(true) },
	} {
		for _, patience := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprint(reason, patience), func(t *testing.T) {
				inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
					t.Helper()
					r.start(t)
					spoil(r.model)
					start := time.Now()
					got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: slip(), Patience: patience})
					wantState(t, got, err, drivers.PrintPaused, reason)
					if d := time.Since(start); d < patience || d > patience+10*time.Second || got.Resumed {
						t.Errorf("after %v, resumed %v", d, got.Resumed)
					}
					synctest.Wait()
					if n := r.model.Pending(); n != 0 || !got.MayBeOnPaper() {
						t.Errorf("%d bytes would come out later; may be on paper: %v", n, got.MayBeOnPaper())
					}
				})
			})
		}
	}
}

// A printer that takes no more bytes, because it is full and out of paper, is waited for
// as well; one that hangs without a reason is not.
func TestFullMemoryIsWaitedForAndAHangIsNot(t *testing.T) {
	big := receipt.New(receipt.Image(pngOf(t, 576, 400, func(x, y int) bool { return (x+y)%3 == 0 })), receipt.Text("谢谢"), receipt.Cut())
	p := profile(t, "epson-tm-t70ii-ch")
	p.Quirks.MaxRasterRows = 50 // slices that fit the small memory
	t.Run("full", func(t *testing.T) {
		inBubbleOf(t, p, device.PrinterOptions{Memory: 8 << 10}, func(t *testing.T, r *rig) {
			t.Helper()
			r.start(t)
			r.model.SetPaperLeft(20)
			go func() {
				time.Sleep(2 * time.Minute)
				r.model.SetPaper(true)
			}()
			var says asked
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: big, Patience: 10 * time.Minute, Stopped: says.stopped})
			wantState(t, got, err, drivers.PrintConfirmed, "")
			if !got.Resumed || len(r.model.Receipts()) != 1 || len(says.reasons) != 2 {
				t.Errorf("%+v, %d receipts, said %q", got, len(r.model.Receipts()), says.reasons)
			}
		})
	})
	t.Run("hang", func(t *testing.T) {
		inBubbleOf(t, p, device.PrinterOptions{BytesPerSecond: 1000}, func(t *testing.T, r *rig) {
			t.Helper()
			r.start(t)
			go func() {
				time.Sleep(5 * time.Second)
				r.model.SetStalled(true)
			}()
			start := time.Now()
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: big, Patience: 10 * time.Minute})
			wantState(t, got, err, drivers.PrintPaused, drivers.PausedOffline)
			if d := time.Since(start); d > time.Minute {
				t.Errorf("after %v", d)
			}
			r.model.SetStalled(false)
		})
	})
}

func TestCancelledWhileItWaits(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		r.model.SetPaperLeft(100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := r.Print(ctx, drivers.PrintJob{Receipt: slip(), Patience: time.Hour})
		wantState(t, got, err, drivers.PrintPaused, drivers.PausedPaper)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// shortTalk is more than the bytes of a conversation besides the receipt.
const shortTalk = 120

// caller prints as the checkout does: again until it is confirmed, marked as a duplicate
// once anything may have been on paper. It reports the last result.
func (r *rig) caller(t *testing.T, job drivers.PrintJob) drivers.PrintResult {
	t.Helper()
	var got drivers.PrintResult
	for range 4 {
		var err error
		got, err = r.Print(t.Context(), job)
		if got.State == drivers.PrintConfirmed {
			return got
		}
		job.Duplicate = job.Duplicate || got.MayBeOnPaper()
		if errors.Is(err, drivers.ErrNoHardware) || got.State == drivers.PrintUnknown {
			r.again(t)
		}
	}
	return got
}

// again opens the port anew; the cable may just now be pulled once more.
func (r *rig) again(t *testing.T) {
	t.Helper()
	var err error
	for range 2 {
		if err = errors.Join(r.Release(t.Context()), r.Claim(t.Context()), r.Enable(t.Context())); err == nil {
			return
		}
	}
	t.Fatalf("plugged in again: %v", err)
}

func fourLines() receipt.Receipt {
	return receipt.New(receipt.Title("王府井"), receipt.Pair("合计", "¥200.70"), receipt.Text("𠮷", receipt.Style{Bold: true}), receipt.Text("谢谢"), receipt.Cut())
}

// honest checks the promises against what is on paper: a CONFIRMED job is on it whole,
// and what is there twice has its mark.
func honest(t *testing.T, what string, got drivers.PrintResult, papers []device.Receipt) {
	t.Helper()
	unmarked, whole := 0, 0
	for _, p := range papers {
		text := p.Text()
		complete := strings.Contains(text, "王府井") && strings.Contains(text, "￥200.70") && strings.Contains(text, "谢谢")
		if complete && p.Cut {
			whole++
		}
		if strings.Contains(text, "王府井") && !strings.Contains(text, "补打") {
			unmarked += strings.Count(text, "王府井")
		}
	}
	if got.State == drivers.PrintConfirmed && whole == 0 {
		t.Errorf("%s: CONFIRMED and not on paper", what)
	}
	if unmarked > 1 {
		t.Errorf("%s: %d receipts without the mark of a duplicate", what, unmarked)
	}
	if got.State != drivers.PrintConfirmed {
		t.Errorf("%s: a mended printer ends with %s", what, got.State)
	}
}

// The cable is pulled, or the power fails, after every single byte of a job.
func TestUnpluggedAtEveryByte(t *testing.T) {
	if _, err := labFont(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"epson-tm-t70ii-ch", "escpos-80mm-gb18030"} {
		p := profile(t, name)
		doc := encode(t, p, fourLines().Items...)
		for _, power := range []bool{false, true} {
			for n := 1; n < len(doc.Bytes)+shortTalk; n++ {
				if n > 150 && n < len(doc.Bytes)-100 && n%7 != 0 {
					continue // within the drawn line one byte is like another
				}
				if name != "epson-tm-t70ii-ch" && n%3 != 0 {
					continue
				}
				what := fmt.Sprintf("%s, power %v, after %d bytes", name, power, n)
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, p, device.PrinterOptions{}).start(t)
					r.model.PullCableAfter(n, power)
					honest(t, what, r.caller(t, drivers.PrintJob{ID: what, Receipt: fourLines()}), r.model.Receipts())
				})
			}
		}
	}
}

// fault is something that goes wrong while a job is printed, and is mended later.
type fault struct {
	name        string
	spoil, mend func(p *device.Printer)
}

func faults() []fault {
	return []fault{
		{"cover", func(p *device.Printer) { p.SetCover(true) }, func(p *device.Printer) { p.SetCover(false) }},
		{"paper", func(p *device.Printer) { p.SetPaper(false) }, func(p *device.Printer) { p.SetPaper(true) }},
		{"cutter", func(p *device.Printer) { p.SetCutterStuck(true) }, func(p *device.Printer) { p.SetCutterStuck(false) }},
		{"jam", func(p *device.Printer) { p.SetJam(true) }, func(p *device.Printer) { p.SetJam(false) }},
		{"silence", func(p *device.Printer) { p.SetSilent(true) }, func(p *device.Printer) { p.SetSilent(false) }},
		{"stall", func(p *device.Printer) { p.SetStalled(true) }, func(p *device.Printer) { p.SetStalled(false) }},
	}
}

// Any trouble at any moment of a job on a slow line, with and without patience: the same
// promises hold.
func TestAnyTroubleAtAnyMoment(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(faults()).Draw(rt, "fault")
		at := time.Duration(rapid.IntRange(0, 700).Draw(rt, "at ms")) * time.Millisecond
		last := time.Duration(rapid.IntRange(1, 40_000).Draw(rt, "for ms")) * time.Millisecond
		patience := time.Duration(rapid.SampledFrom([]int{0, 5, 60}).Draw(rt, "patience s")) * time.Second
		p := profile(t, rapid.SampledFrom([]string{"epson-tm-t70ii-ch", "escpos-80mm-gb18030"}).Draw(rt, "profile"))
		coverIsError := rapid.Bool().Draw(rt, "cover is an error")
		what := fmt.Sprintf("%s: %s at %v for %v, patience %v, an open cover is an error %v", p.Name, f.name, at, last, patience, coverIsError)
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, p, device.PrinterOptions{BytesPerSecond: 1000, CoverIsError: coverIsError}).start(t)
			go func() {
				time.Sleep(at)
				f.spoil(r.model)
				time.Sleep(last)
				f.mend(r.model)
			}()
			job := drivers.PrintJob{ID: what, Receipt: fourLines(), Patience: patience}
			var got drivers.PrintResult
			for range 60 { // the caller tries again every few seconds
				got, _ = r.Print(t.Context(), job)
				if got.State == drivers.PrintConfirmed {
					break
				}
				job.Duplicate = job.Duplicate || got.MayBeOnPaper()
				time.Sleep(2 * time.Second)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			honest(t, what, got, r.model.Receipts())
		})
		if t.Failed() {
			rt.Fatal(what)
		}
	})
}
