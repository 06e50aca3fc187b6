package drivertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers"
)

// DisplayRig is a display driver on a display that can be looked at.
type DisplayRig struct {
	Driver drivers.LineDisplay
	// Shown is what the display shows, a row each, without blanks at the end.
	Shown func() []string
	// Received is how many bytes have come to the display.
	Received func() int
	// Digits: the display shows nothing but the last amount.
	Digits bool
}

// RunLineDisplay checks a display driver; build returns a closed one on a display that
// is switched on.
func RunLineDisplay(t *testing.T, build func(t *testing.T) DisplayRig) {
	t.Helper()
	runDevice(t, func(t *testing.T) drivers.Device { t.Helper(); return build(t).Driver }, func(ctx context.Context, d drivers.Device) error {
		return d.(drivers.LineDisplay).Show(ctx, []string{"1.00"})
	})
	for name, check := range map[string]func(t *testing.T, r DisplayRig){
		"shows lines, and clears":                  showsAndClears,
		"the same again sends nothing":             sameAgain,
		"too long is cut at a whole character":     cutsWhole,
		"commands in a text are not carried out":   noCommands,
		"claimed anew it shows the same text anew": shownAnew,
		"released it shows nothing":                releasedIsDark,
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t)
			start(t, r.Driver)
			if columns, rows := r.Driver.Size(); columns < 4 || rows < 1 {
				t.Fatalf("size %d x %d", columns, rows)
			}
			check(t, r)
			must(t, r.Driver.Close())
		})
	}
}

// see waits until the display shows what it should.
func (r DisplayRig) see(t *testing.T, want ...string) {
	t.Helper()
	_, rows := r.Driver.Size()
	for len(want) < rows {
		want = append(want, "")
	}
	deadline := time.Now().Add(patience)
	for {
		got := r.Shown()
		diff := cmp.Diff(want[:rows], got)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("shown (-want +got):\n%s", diff)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// two is a text of two lines and what the display shows of it.
func (r DisplayRig) two(first, second string) (lines, want []string) {
	lines = []string{first, second}
	if r.Digits {
		return lines, []string{second}
	}
	if _, rows := r.Driver.Size(); rows < 2 {
		return lines, []string{first}
	}
	return lines, lines
}

func showsAndClears(t *testing.T, r DisplayRig) {
	t.Helper()
	lines, want := r.two("Total", "12.50")
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	lines, want = r.two("Paid", "7.00") // shorter: nothing of the last text may stay
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	must(t, r.Driver.Show(t.Context(), []string{"9.99"}))
	r.see(t, "9.99")
	must(t, r.Driver.Clear(t.Context()))
	r.see(t)
	must(t, r.Driver.Show(t.Context(), append([]string{"1.00", "1.00"}, make([]string, 50)...)))
	if lines, want = r.two("1.00", "1.00"); len(lines) > 0 {
		r.see(t, want...)
	}
	if r.Driver.Chinese() {
		must(t, r.Driver.Show(t.Context(), []string{"合计 ￥12.50", "请出示付款码"}))
		r.see(t, "合计 ￥12.50", "请出示付款码")
	}
}

func sameAgain(t *testing.T, r DisplayRig) {
	t.Helper()
	lines, want := r.two("Total", "12.50")
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	before := r.Received()
	for range 3 {
		must(t, r.Driver.Show(t.Context(), lines))
	}
	lines, want = r.two("Total", "12.51")
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	if got := r.Received() - before; got > 60 {
		t.Errorf("%d bytes for one changed row", got)
	}
}

func cutsWhole(t *testing.T, r DisplayRig) {
	t.Helper()
	columns, _ := r.Driver.Size()
	if r.Digits {
		return // amounts are not cut: the driver's own test
	}
	must(t, r.Driver.Show(t.Context(), []string{strings.Repeat("0123456789", 20)}))
	r.see(t, strings.Repeat("0123456789", 20)[:columns])
	if r.Driver.Chinese() {
		must(t, r.Driver.Show(t.Context(), []string{"a" + strings.Repeat("汉", 200)}))
		r.see(t, "a"+strings.Repeat("汉", (columns-1)/2))
	}
}

func noCommands(t *testing.T, r DisplayRig) {
	t.Helper()
	if r.Digits {
		must(t, r.Driver.Show(t.Context(), []string{"\x1b@5.00\r\x0c"}))
		r.see(t, "5.00")
		return
	}
	must(t, r.Driver.Show(t.Context(), []string{"a\x1b@b\x0c\r\n\x1f\x00c\x7f\u0085\u200bd"}))
	r.see(t, "a@bcd")
}

func shownAnew(t *testing.T, r DisplayRig) {
	t.Helper()
	lines, want := r.two("Total", "12.50")
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	must(t, r.Driver.Release(t.Context()))
	start(t, r.Driver)
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
}

func releasedIsDark(t *testing.T, r DisplayRig) {
	t.Helper()
	lines, want := r.two("Total", "12.50")
	must(t, r.Driver.Show(t.Context(), lines))
	r.see(t, want...)
	must(t, r.Driver.Release(t.Context()))
	r.see(t)
}
