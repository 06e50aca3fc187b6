package escpos_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/transporttest"
	"dcpos/lab/device"
	"dcpos/pos"
)

func TestHealth(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		h, err := r.CheckHealth(t.Context(), drivers.HealthInternal)
		if err != nil || !h.OK || len(r.model.Receipts()) != 0 {
			t.Errorf("internal: %+v, %v, %d slips", h, err, len(r.model.Receipts()))
		}
		h, err = r.CheckHealth(t.Context(), drivers.HealthExternal)
		if err != nil || !h.OK || len(r.model.Receipts()) != 1 || !h.Question.IsZero() {
			t.Errorf("external: %+v, %v, %d slips", h, err, len(r.model.Receipts()))
		}
		seen := map[string]bool{}
		for range 3 {
			h, err = r.CheckHealth(t.Context(), drivers.HealthInteractive)
			if err != nil || !h.OK || h.Question.ZH == "" || h.Question.EN == "" {
				t.Fatalf("interactive: %+v, %v", h, err)
			}
			papers := r.model.Receipts()
			number := strings.TrimSpace(papers[len(papers)-1].Lines[2])
			if len(number) != 4 || !strings.Contains(h.Question.ZH, number) || !strings.Contains(h.Question.EN, number) || seen[number] {
				t.Errorf("slip %q, question %+v", number, h.Question)
			}
			seen[number] = true
		}
		r.model.SetCover(true)
		h, err = r.CheckHealth(t.Context(), drivers.HealthInteractive)
		if err != nil || h.OK || !h.Question.IsZero() || h.Code != drivers.ErrCoverOpen || h.Hint.IsZero() {
			t.Errorf("cover open: %+v, %v", h, err)
		}
		s := r.Statistics()
		for name, want := range map[drivers.StatisticName]int64{drivers.ReceiptCoverOpenCount: 1, drivers.PaperCutCount: 4} {
			if s[name] != want {
				t.Errorf("%s: got %d, want %d", name, s[name], want)
			}
		}
	})
}

func TestBuzzer(t *testing.T) {
	p := profile(t, "epson-tm-t70ii-ch")
	p.Buzzer = "esc_b"
	if _, err := labFont(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, p, device.PrinterOptions{Buzzer: true})
		if err := r.Sound(t.Context(), drivers.ToneGood); !errors.Is(err, drivers.ErrClosed) {
			t.Errorf("closed: got %v", err)
		}
		r.start(t)
		for tone, want := range map[drivers.Tone]int{drivers.ToneGood: 1, drivers.ToneBad: 2, drivers.ToneAttention: 3} {
			before := r.model.Beeps()
			if err := r.Sound(t.Context(), tone); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := r.model.Beeps() - before; n != want {
				t.Errorf("%s: %d beeps, want %d", tone, n, want)
			}
		}
		if err := r.Sound(t.Context(), "la la"); !errors.Is(err, drivers.ErrIllegal) {
			t.Errorf("no such tone: got %v", err)
		}
		before := r.model.Beeps()
		r.model.SetCover(true)
		err := r.Sound(t.Context(), drivers.ToneGood)
		r.model.SetCover(false)
		synctest.Wait()
		if !errors.Is(err, drivers.ErrCoverOpen) || r.model.Beeps() != before {
			t.Errorf("off-line: %v, and it sounded later", err)
		}
		if n := r.Statistics()[drivers.ToneSoundedCount]; n != 3 {
			t.Errorf("%d tones counted", n)
		}
	})
	p.Lamp = "esc_c"
	inBubbleOf(t, p, device.PrinterOptions{Buzzer: true, Lamp: true}, func(t *testing.T, r *rig) {
		t.Helper()
		if err := r.start(t).Sound(t.Context(), drivers.ToneBad); err != nil {
			t.Fatal(err)
		}
		h, err := r.CheckHealth(t.Context(), drivers.HealthInteractive)
		synctest.Wait()
		if err != nil || !h.OK || !strings.Contains(h.Question.EN, "beep and flash") || !strings.Contains(h.Question.ZH, "闪灯") {
			t.Errorf("self-test: %+v, %v", h, err)
		}
		if b, f := r.model.Beeps(), r.model.Flashes(); b != 5 || f != 5 {
			t.Errorf("%d beeps, %d flashes; want 5 and 5", b, f)
		}
	})
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		if err := r.start(t).Sound(t.Context(), drivers.ToneGood); !errors.Is(err, drivers.ErrIllegal) {
			t.Errorf("no buzzer: got %v", err)
		}
	})
}

// A printer of another language is named, with what to do about it.
func TestPrinterOfAnotherLanguage(t *testing.T) {
	p := profile(t, "epson-tm-t70ii-ch")
	p.Timing.OfflineMS = 1000
	hello := []byte("\x10\x04\x02\x1b@")
	for name, answer := range map[string][]byte{
		"Star": {0x23, 0x86, 0, 0, 0, 0, 0, 0, 0},
		"SII":  {0xB0},
	} {
		synctest.Test(t, func(t *testing.T) {
			play := &transporttest.Playback{Ops: []transporttest.IO{{W: hello, Silence: time.Second}, {W: []byte("\x1b\x06\x01"), R: answer}}}
			printer := escpos.New(p, play.Dial, escpos.Options{})
			if err := errors.Join(printer.Open(t.Context()), printer.Claim(t.Context())); err != nil {
				t.Fatal(err)
			}
			err := printer.Enable(t.Context())
			e, ok := errors.AsType[*pos.Error](err)
			if !ok || !errors.Is(err, drivers.ErrIllegal) || !strings.Contains(e.Text.ZH, name) || !strings.Contains(e.Text.EN, name) || !strings.Contains(e.Hint.EN, "ESC/POS") {
				t.Errorf("%s: got %v", name, err)
			}
			if err := printer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStatisticsOfTrouble(t *testing.T) {
	inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
		t.Helper()
		r.start(t)
		r.model.SetJam(true)
		got, err := r.Print(context.Background(), drivers.PrintJob{Receipt: slip()})
		wantState(t, got, err, drivers.PrintPaused, drivers.PausedError)
		r.model.SetJam(false)
		got, err = r.Print(context.Background(), drivers.PrintJob{Receipt: slip(), Duplicate: true})
		wantState(t, got, err, drivers.PrintConfirmed, "")
		s := r.Statistics()
		for name, want := range map[drivers.StatisticName]int64{
			drivers.FailedPaperCutCount: 1, drivers.PaperCutCount: 1, drivers.ReceiptLinePrintedCount: 6, drivers.ReceiptLineFeedCount: 6,
			drivers.BarcodePrintedCount: 1, drivers.CommunicationErrorCount: 0,
		} {
			if s[name] != want {
				t.Errorf("%s: got %d, want %d", name, s[name], want)
			}
		}
	})
}
