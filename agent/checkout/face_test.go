package checkout_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// front is a customer display and a buzzer.
type front struct {
	columns, rows int
	chinese       bool
	slow          time.Duration

	mu    sync.Mutex
	shown []string
	tones []drivers.Tone
	err   error
}

func (f *front) Size() (columns, rows int) { return f.columns, f.rows }
func (f *front) Chinese() bool             { return f.chinese }

func (f *front) Show(ctx context.Context, lines []string) error {
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = append(f.shown, strings.Join(lines, "|"))
	return f.err
}

func (f *front) Sound(_ context.Context, t drivers.Tone) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tones = append(f.tones, t)
	return f.err
}

func (f *front) on(c *checkout.Config) { c.Display, c.Tone = f, f }

func TestTheCustomerSeesAmountAndState(t *testing.T) {
	for name, c := range map[string]struct {
		front *front
		want  []string
	}{
		"Chinese": {&front{columns: 20, rows: 2, chinese: true}, []string{
			"王府井书店|欢迎光临 Welcome", "请付款 Please pay|             ￥10.00", "支付中,请稍候|Paying, wait ￥10.00", "已支付 Paid|             ￥10.00", "王府井书店|欢迎光临 Welcome",
		}},
		"Latin": {&front{columns: 20, rows: 2}, []string{
			"Wangfujing Books|Welcome", "Please pay|               10.00", "Paying, wait|               10.00", "Paid|               10.00", "Wangfujing Books|Welcome",
		}},
		"one row":    {&front{columns: 20, rows: 1}, []string{"Wangfujing Books|Welcome", "Please pay 10.00", "Paying, wait 10.00", "Paid 10.00", "Wangfujing Books|Welcome"}},
		"digits":     {&front{columns: 8, rows: 1}, []string{"0.00", "10.00", "0.00"}},
		"not opened": {&front{}, nil},
	} {
		f := c.front
		run(t, name, func(b *bench) {
			time.Sleep(time.Second)
			p := b.start(pos.BScanC, "o1")
			time.Sleep(time.Second)
			b.Host.SetFates(fate(checkouttest.InProcess, "pay"))
			if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(1)); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Minute)
			f.mu.Lock()
			defer f.mu.Unlock()
			if d := cmp.Diff(c.want, f.shown); d != "" {
				b.Error(d)
			}
			if d := cmp.Diff([]drivers.Tone{drivers.ToneGood}, f.tones); d != "" {
				b.Error(d)
			}
		}, f.on)
	}
}

func TestTheCustomerIsNeverToldPaidTooEarly(t *testing.T) {
	f := &front{columns: 20, rows: 2}
	run(t, "unknown, declined and accepted", func(b *bench) {
		for i, s := range []struct {
			fate checkouttest.Fate
			word string
			tone drivers.Tone
		}{{checkouttest.Denied, "Not paid", drivers.ToneBad}, {checkouttest.LostBefore, "Do not pay again", drivers.ToneAttention}} {
			b.Host.SetFates(func(string) checkouttest.Fate { return s.fate })
			p := b.start(pos.BScanC, s.word)
			if _, err := b.till.SubmitCode(b.Context(), p.ID, checkouttest.Code(i)); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Second)
			f.mu.Lock()
			if last := f.shown[len(f.shown)-1]; !strings.HasPrefix(last, s.word) || f.tones[len(f.tones)-1] != s.tone {
				b.Errorf("%s %s", last, f.tones)
			}
			f.mu.Unlock()
		}
		q := b.offline("o2")
		if _, err := b.till.SubmitEvidence(b.Context(), q.ID, b.promise(b.NewWallet(b), q.ID)); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if last := f.shown[len(f.shown)-1]; !strings.HasPrefix(last, "Accepted") || strings.Contains(strings.Join(f.shown, ""), "Paid") {
			b.Errorf("%q", f.shown)
		}
	}, f.on)
}

// What is slow, broken or gone holds up no sale, and of what it missed it shows the last.
func TestASlowDisplayShowsTheLatest(t *testing.T) {
	f := &front{columns: 20, rows: 2, slow: 2 * time.Second, err: errors.New("gone")}
	run(t, "latest wins", func(b *bench) {
		began := time.Now()
		for _, order := range []string{"o1", "o2", "o3", "o4", "o5"} {
			b.paid(order)
		}
		if d := time.Since(began); d > time.Second {
			b.Fatalf("sales took %s", d)
		}
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.shown); n > 4 || !strings.HasPrefix(f.shown[n-1], "Paid") {
			b.Fatalf("%q", f.shown)
		}
	}, f.on)
}

func TestFaceLinesFit(t *testing.T) {
	for _, columns := range []int{16, 20} {
		for _, chinese := range []bool{false, true} {
			for _, s := range pos.States() {
				lines := checkout.FaceLines(pos.Payment{State: s, Amount: pos.MaxAmount / 100}, columns, 2, chinese)
				for _, l := range lines {
					if receipt.Width(l) > columns || strings.TrimSpace(l) == "" {
						t.Errorf("%s, %d columns: %q", s, columns, l)
					}
					if paid := strings.Contains(l, "已支付") || strings.HasPrefix(l, "Paid"); paid && s != pos.Paid && s != pos.Credited {
						t.Errorf("%s says %q", s, l)
					}
				}
			}
		}
	}
}
