// Package clock gives time as evidence: what the till's wall clock says, how long
// the machine has been up, in which boot, and the last time that the centre had
// signed. It tells jumps of the wall clock and whether it may be trusted offline.
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
	offset   time.Duration // wall - mono when the centre was last heard, or at the start
	last     time.Duration // wall - mono at the last Jump
	skew     time.Duration // wall - centre when the centre was last heard
	heardAt  time.Duration // mono then
}

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
	c.offset = c.between()
	c.last = c.offset
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

// Restore puts in the last signed centre time that this till has kept, before the
// centre is heard in this run.
func (c *Clock) Restore(centreMS int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.centreMS = max(c.centreMS, centreMS)
}

// Heard records a time that the centre signed; an older one than the last changes
// nothing. It reports whether it was news, so that the caller keeps it.
func (c *Clock) Heard(centreMS int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if centreMS < c.centreMS || centreMS <= 0 {
		return false
	}
	c.centreMS, c.heard = centreMS, true
	c.offset, c.heardAt = c.between(), c.mono()
	c.skew = c.wall().Sub(time.UnixMilli(centreMS))
	return true
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

// Trusted returns pos.ErrClock when the wall clock must not date an offline
// payment: it was never told the time, it is before the last signed centre time, it
// was off by more than limit when the centre was last heard, or it has moved by
// more than limit since.
func (c *Clock) Trusted(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := c.between() - c.offset
	switch {
	case c.centreMS == 0:
		return pos.NewError(pos.ErrClock, fmt.Errorf("the centre never told the time"))
	case c.wall().UnixMilli() < c.centreMS-limit.Milliseconds():
		return pos.NewError(pos.ErrClock, fmt.Errorf("wall clock is before the last signed time %s",
			time.UnixMilli(c.centreMS).UTC().Format(time.RFC3339)))
	case c.heard && c.skew.Abs() > limit:
		return pos.NewError(pos.ErrClock, fmt.Errorf("wall clock was off by %s at the last contact", c.skew))
	case moved.Abs() > limit:
		return pos.NewError(pos.ErrClock, fmt.Errorf("wall clock moved by %s", moved))
	}
	return nil
}
