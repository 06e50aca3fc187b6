package bench

import (
	"bytes"
	"context"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"dcpos/internal/testbin"
)

// tiny is the least that still measures something.
func tiny() Sizes {
	return Sizes{
		Offline: 12, Online: 3, Sales: 8, Entries: 400, Starts: 2, Rows: 60, Backlog: 60, Tills: 2, Each: 10, Lines: 5000, Also: []int{8000}, Stored: 40, Plugs: 3,
	}
}

// TestEveryBenchMeasures runs each with the real programs and asks for sane figures; how
// fast this machine is today is nobody's failure.
func TestEveryBenchMeasures(t *testing.T) {
	bin := testbin.Dir(t)
	want := map[string]int{
		"offline-decision": 12, "online-sale": 4, "agent-size": 5, "journal-append": 4,
		"drain": 3, "ingest": 2, "reconcile": 15, "signatures": 4,
		"scan": 2, "receipt": 6, "plug": 2, "idle-devices": 2,
		"tap": 4, "stored": 5,
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			figures, err := Run(t.Context(), Options{
				Names: []string{name}, Repeat: 100 * time.Millisecond, Dir: dir, Bin: bin, Sizes: tiny(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(figures) != want[name] {
				t.Errorf("%d figures, want %d", len(figures), want[name])
			}
			seen := map[string]bool{}
			for _, f := range figures {
				if seen[f.Name] {
					t.Errorf("%s is reported twice", f.Name)
				}
				seen[f.Name] = true
				sane(t, name, f)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func sane(t *testing.T, bench string, f Figure) {
	t.Helper()
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) && !math.IsNaN(v) }
	if f.Bench != bench || f.Name == "" || f.Unit == "" || f.Means.ZH == "" || f.Means.EN == "" || !positive(f.Value) {
		t.Errorf("%+v", f)
	}
	if f.Peer != nil && (f.Peer.Name == "" || !positive(f.Peer.Value) || !positive(f.Ratio)) {
		t.Errorf("%s: peer %+v, ratio %v", f.Name, *f.Peer, f.Ratio)
	}
}

func TestAFailureIsToldAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	figures, err := Run(t.Context(), Options{
		Names: []string{"online-sale", "signatures"}, Repeat: time.Millisecond, Dir: dir, Bin: t.TempDir(), Sizes: tiny(),
	})
	if err == nil || !strings.Contains(err.Error(), "online-sale: ") {
		t.Errorf("without programs: %v", err)
	}
	if len(figures) != 4 { // of signatures, which needs none
		t.Errorf("figures: %+v", figures)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(ctx, Options{Names: []string{"signatures"}}); err == nil {
		t.Error("a run that was stopped tells no error")
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"an unknown bench":        {Names: []string{"speed"}},
		"no such folder":          {Dir: "/nonexistent"},
		"negative time":           {Repeat: -1},
		"a negative size":         {Sizes: Sizes{Backlog: -1}},
		"a further size of 0":     {Sizes: Sizes{Also: []int{0}}},
		"more than a till stores": {Sizes: Sizes{Offline: 401}},
	} {
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestPercentilesAreByNearestRank(t *testing.T) {
	var s samples
	for i := 100; i > 0; i-- {
		s = append(s, time.Duration(i)*time.Millisecond)
	}
	for p, want := range map[int]float64{50: 50, 99: 99, 100: 100} {
		if got := s.at(p); got != want {
			t.Errorf("p%d is %v, want %v", p, got, want)
		}
	}
	if got := (samples{3 * time.Millisecond}).at(50); got != 3 {
		t.Errorf("of one: %v", got)
	}
	if got := samples(nil).at(50); got != 0 {
		t.Errorf("of none: %v", got)
	}
	if got := (samples{time.Second, 3 * time.Second}).rate(); got != 0.5 {
		t.Errorf("rate %v", got)
	}
}

func TestTheTableIsAligned(t *testing.T) {
	var out bytes.Buffer
	err := Print(&out, []Figure{
		{Bench: "a", Name: "x", Value: 1234567.8, Unit: "1/s", Peer: &Peer{Name: "floor", Value: 2}, Ratio: 617283.9},
		{Bench: "a", Name: "longer", Value: 0.123, Unit: "ms"},
		{Bench: "b", Name: "y", Value: 12.34, Unit: "s"},
	}, "en")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	want := []string{
		"a",
		"  x       1,234,568 1/s  ×617,284  2.00 floor",
		"  longer  0.12 ms",
		"b",
		"  y       12.3 s",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
