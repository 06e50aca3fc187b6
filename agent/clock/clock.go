// Package clock gives time as evidence: what the till's wall clock says, how long
// the machine has been up, in which boot, and the last time that the centre had
// signed. From these it tells in which interval the true time lies, jumps of the wall
// clock, and whether the wall clock may be trusted offline. DESIGN.md says why.
package clock

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/pos"
)

// JumpMin is the smallest move of the wall clock against the monotonic one that
// counts as a jump; less is what time synchronisation does while it slews.
const JumpMin = 2 * time.Second

// Options are the sources. The zero value is the machine's own.
type Options struct {
	// Wall is the wall clock. Default: time.Now.
	Wall func() time.Time
	// Mono is the time since boot, suspension included. Default: CLOCK_BOOTTIME
	// (clock_gettime(2)).
	Mono func() time.Duration
	// BootID names the boot. Default: /proc/sys/kernel/random/boot_id (random(4)).
	BootID string
}

// Clock makes instants. It is safe for concurrent use.
type Clock struct {
	wall   func() time.Time
	mono   func() time.Duration
	bootID string

	mu       sync.Mutex
	centreMS int64
	heard    bool
	last     time.Duration // wall - mono at the last Jump
	heardAt  time.Duration // mono when the centre was last heard
	low      anchor        // the true time was not before it
	high     anchor        // nor after it; at < 0 without one in this boot
}

// anchor is a bound of the true time at a moment of the monotonic clock.
type anchor struct {
	ms int64
	at time.Duration
}

// DriftPart is how much the monotonic clock may run wrong: one part in so many. Linux lets
// time synchronisation slew it by 500 parts in a million at most (adjtimex(2); MAXFREQ of
// RFC 5905), and crystals are better than that.
const DriftPart = 2000

// least is the bound a while later, should the clock run too fast; rounded down.
func (a anchor) least(mono time.Duration) int64 {
	passed := max(0, mono-a.at)
	return a.ms + (passed - passed/DriftPart).Milliseconds()
}

// most is the bound a while later, should the clock run too slow; rounded up.
func (a anchor) most(mono time.Duration) int64 {
	passed := max(0, mono-a.at)
	return a.ms + ceil(passed+passed/(DriftPart-1))
}

// ceil is d in milliseconds, rounded up.
func ceil(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }

// New makes a clock. centreMS is the last signed centre time that this till has
// kept, 0 for none.
func New(o Options, centreMS int64) (*Clock, error) {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Mono == nil {
		if _, err := bootTime(); err != nil {
			return nil, err
		}
		o.Mono = func() time.Duration {
			d, _ := bootTime() // it worked when the clock was made
			return d
		}
	}
	if o.BootID == "" {
		b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			return nil, fmt.Errorf("read boot id: %w", err)
		}
		o.BootID = strings.TrimSpace(string(b))
	}
	c := &Clock{wall: o.Wall, mono: o.Mono, bootID: o.BootID, centreMS: centreMS}
	c.last = c.between()
	c.low, c.high = anchor{ms: centreMS, at: c.mono()}, anchor{at: -1}
	return c, nil
}

func bootTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

func (c *Clock) between() time.Duration { return time.Duration(c.wall().UnixNano()) - c.mono() }

// Now is the wall clock.
func (c *Clock) Now() time.Time { return c.wall() }

// Instant is the present moment as evidence.
func (c *Clock) Instant() pos.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pos.Instant{
		WallMS: c.wall().UnixMilli(), MonoMS: c.mono().Milliseconds(), BootID: c.bootID, CentreMS: c.centreMS,
	}
}

// Kept is what is written down so that the next run, of this boot or another, knows what
// this one knew.
type Kept struct {
	CentreMS   int64  `json:"centre_ms"`
	EarliestMS int64  `json:"earliest_ms"`
	LatestMS   int64  `json:"latest_ms,omitempty"` // 0: there is no upper bound
	MonoMS     int64  `json:"mono_ms"`
	BootID     string `json:"boot_id"`
}

// Keep gives what is to be written down now.
func (c *Clock) Keep() Kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := c.mono()
	k := Kept{CentreMS: c.centreMS, EarliestMS: c.low.least(mono), MonoMS: mono.Milliseconds(), BootID: c.bootID}
	if c.high.at >= 0 {
		k.LatestMS = c.high.most(mono)
	}
	return k
}

// Restore takes up what an earlier run has kept. Within one boot the monotonic clock has
// gone on, and so has the interval; after another boot only the lower bound holds.
func (c *Clock) Restore(k Kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.centreMS = max(c.centreMS, k.CentreMS)
	c.raise(max(k.EarliestMS, k.CentreMS), c.mono())
	at := time.Duration(k.MonoMS) * time.Millisecond
	if k.BootID != c.bootID || at > c.mono() {
		return
	}
	c.raise(anchor{k.EarliestMS, at}.least(c.mono()), c.mono())
	if k.LatestMS > 0 && c.high.at < 0 {
		c.high = anchor{k.LatestMS, at}
	}
}

// NotBefore raises the lower bound by something dated that lies behind, such as an
// earlier entry of the chain.
func (c *Clock) NotBefore(ms int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raise(ms, c.mono())
}

func (c *Clock) raise(ms int64, mono time.Duration) {
	if ms > c.low.least(mono) {
		c.low = anchor{ms, mono}
	}
}

// Heard is HeardLate of a time that was signed this very moment.
func (c *Clock) Heard(centreMS int64) bool { return c.HeardLate(centreMS, 0) }

// HeardLate records a time that the centre signed and that was underway for at most trip;
// below 0 it is not known how long, and nothing follows for the upper bound. An older time
// than the last changes nothing. It reports whether it was news, so that the caller keeps it.
func (c *Clock) HeardLate(centreMS int64, trip time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if centreMS < c.centreMS || centreMS <= 0 {
		return false
	}
	mono := c.mono()
	c.centreMS = centreMS
	c.raise(centreMS, mono)
	if trip < 0 {
		return true
	}
	c.heard, c.heardAt = true, mono
	by := centreMS + ceil(trip)
	if c.high.at < 0 || by < c.high.most(mono) {
		c.high = anchor{by, mono}
	}
	return true
}

// Interval is where the true time lies. Without an upper bound of this boot the wall clock
// stands for it: Trusted says whether that may date anything.
func (c *Clock) Interval() pos.Interval {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interval()
}

func (c *Clock) interval() pos.Interval {
	mono := c.mono()
	i := pos.Interval{EarliestMS: c.low.least(mono), LatestMS: c.wall().UnixMilli()}
	if c.high.at >= 0 {
		i.LatestMS = c.high.most(mono)
	}
	i.LatestMS = max(i.LatestMS, i.EarliestMS)
	return i
}

// Centre is the centre's time as far as this till can tell: counted on from when the
// centre was last heard in this run, whatever became of the wall clock; the wall
// clock before that.
func (c *Clock) Centre() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heard {
		return c.wall()
	}
	return time.UnixMilli(c.centreMS).Add(c.mono() - c.heardAt)
}

// Jump returns by how much the wall clock moved against the monotonic one since the
// last call; false when it is below JumpMin.
func (c *Clock) Jump() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.between()
	by := now - c.last
	if by.Abs() < JumpMin {
		return 0, false
	}
	c.last = now
	return by, true
}

// Trusted returns pos.ErrClock when the wall clock must not date an offline payment: the
// centre never told the time, or the wall clock lies outside the interval by more than
// limit. A clock that is set right again is trusted again.
func (c *Clock) Trusted(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, wall := c.interval(), c.wall().UnixMilli()
	switch {
	case c.centreMS == 0:
		return pos.NewError(pos.ErrClock, fmt.Errorf("the centre never told the time"))
	case wall < i.EarliestMS-limit.Milliseconds():
		return pos.NewError(pos.ErrClock, fmt.Errorf("wall clock is %s before the earliest that it can be",
			time.Duration(i.EarliestMS-wall)*time.Millisecond))
	case c.high.at >= 0 && wall > i.LatestMS+limit.Milliseconds():
		return pos.NewError(pos.ErrClock, fmt.Errorf("wall clock is %s after the latest that it can be",
			time.Duration(wall-i.LatestMS)*time.Millisecond))
	}
	return nil
}
