package clock_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/agent/clock"
	"dcpos/pos"
)

const epoch = int64(1_700_000_000_000)

// world is a machine in true time: its monotonic clock may drift, its wall clock be set to
// anything, and it may lose power.
type world struct {
	truth, mono, wall time.Duration
	drift             int64 // parts in DriftPart, -1 to 1, of the monotonic clock
	boot              string
}

func (w *world) options() clock.Options {
	return clock.Options{
		Wall:   func() time.Time { return time.UnixMilli(epoch).Add(w.wall) },
		Mono:   func() time.Duration { return w.mono },
		BootID: w.boot,
	}
}

func (w *world) pass(d time.Duration) {
	w.truth += d
	w.mono += d + d*time.Duration(w.drift)/clock.DriftPart
	w.wall += d
}

func (w *world) now() int64 { return time.UnixMilli(epoch).Add(w.truth).UnixMilli() }

// Whatever is done to the wall clock, across restarts and reboots: the true time is never
// before the earliest, and while the boot has heard the centre never after the latest; and
// a wall clock that would date anything wrongly by more than limit is not trusted.
func TestTheTrueTimeIsInTheInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{boot: "a", mono: time.Minute, drift: rapid.Int64Range(-1, 1).Draw(t, "drift")}
		c, err := clock.New(w.options(), 0)
		if err != nil {
			t.Fatal(err)
		}
		boots, heard := 0, false
		restart := func(kept clock.Kept) {
			if c, err = clock.New(w.options(), 0); err != nil {
				t.Fatal(err)
			}
			c.Restore(kept)
		}
		t.Repeat(map[string]func(*rapid.T){
			"pass":   func(t *rapid.T) { w.pass(time.Duration(rapid.Int64Range(0, int64(40*time.Hour)).Draw(t, "d"))) },
			"moment": func(t *rapid.T) { w.pass(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "d"))) },
			"set": func(t *rapid.T) {
				w.wall += time.Duration(rapid.Int64Range(int64(-10*365*24*time.Hour), int64(10*365*24*time.Hour)).Draw(t, "by"))
			},
			"set right": func(*rapid.T) { w.wall = w.truth },
			"answer": func(t *rapid.T) {
				signed, began := w.now(), w.mono
				w.pass(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "trip")))
				trip := w.mono - began
				c.HeardLate(signed, trip+trip/clock.DriftPart+time.Millisecond)
				heard = true
			},
			"nudge that was held back": func(t *rapid.T) {
				signed := w.now()
				w.pass(time.Duration(rapid.Int64Range(0, int64(90*time.Hour)).Draw(t, "held")))
				c.HeardLate(signed, -1)
			},
			"restart": func(*rapid.T) { restart(c.Keep()) },
			"power cut": func(t *rapid.T) {
				kept := c.Keep()
				w.pass(time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "off")))
				boots++
				w.boot, w.mono, heard = string(rune('a'+boots%20)), time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "up")), false
				restart(kept)
			},
			"": func(t *rapid.T) {
				i, now := c.Interval(), w.now()
				if i.EarliestMS > now {
					t.Fatalf("earliest is %d ms after the truth", i.EarliestMS-now)
				}
				if i.LatestMS < i.EarliestMS || heard && i.LatestMS < now {
					t.Fatalf("latest is %d ms before the truth", now-i.LatestMS)
				}
				const limit = 2 * time.Minute
				off := (w.wall - w.truth).Milliseconds()
				slack := limit.Milliseconds() + i.LatestMS - i.EarliestMS
				if heard && (off > slack || off < -slack) && c.Trusted(limit) == nil {
					t.Fatalf("a clock that is off by %d ms is trusted", off)
				}
				if heard && off == 0 && c.Trusted(limit) != nil {
					t.Fatalf("a clock that is right is not trusted: %v", c.Trusted(limit))
				}
			},
		})
	})
}

// A wall clock that is set back makes nothing younger, in this boot or the next.
func TestSetBack(t *testing.T) {
	w := &world{boot: "a", mono: time.Hour}
	c, err := clock.New(w.options(), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Heard(epoch)
	w.pass(10 * time.Hour)
	before := c.Interval()
	w.wall -= 9 * time.Hour
	if got := c.Interval(); got != before {
		t.Fatalf("%+v, before %+v", got, before)
	}
	if err := c.Trusted(2 * time.Minute); pos.CodeOf(err) != pos.ErrClock {
		t.Fatal(err)
	}
	kept := c.Keep()
	w.boot, w.mono = "b", 0
	if c, err = clock.New(w.options(), 0); err != nil {
		t.Fatal(err)
	}
	c.Restore(kept)
	if got := c.Interval(); got.EarliestMS < before.EarliestMS || got.LatestMS < before.EarliestMS {
		t.Fatalf("after a reboot %+v, before %+v", got, before)
	}
	if err := c.Trusted(2 * time.Minute); pos.CodeOf(err) != pos.ErrClock {
		t.Fatalf("after a reboot: %v", err)
	}
	w.wall += 9 * time.Hour
	if err := c.Trusted(2 * time.Minute); err != nil {
		t.Fatalf("set right again: %v", err)
	}
}

// The edge of trust is to the millisecond.
func TestTrustedAtItsEdge(t *testing.T) {
	for by, want := range map[time.Duration]bool{
		2 * time.Minute: true, 2*time.Minute + time.Millisecond: false, -2 * time.Minute: true, -2*time.Minute - time.Millisecond: false,
	} {
		w := &world{boot: "a", mono: time.Hour}
		c, err := clock.New(w.options(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Heard(epoch)
		w.wall += by
		if got := c.Trusted(2*time.Minute) == nil; got != want {
			t.Errorf("off by %s: trusted %v", by, got)
		}
	}
}
