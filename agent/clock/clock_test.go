package clock_test

import (
	"errors"
	"testing"
	"time"

	"dcpos/agent/clock"
	"dcpos/pos"
)

const limit = 120 * time.Second

type machine struct{ wall, mono time.Duration }

func (m *machine) options() clock.Options {
	return clock.Options{
		Wall:   func() time.Time { return time.UnixMilli(1_700_000_000_000).Add(m.wall) },
		Mono:   func() time.Duration { return m.mono },
		BootID: "boot",
	}
}

func (m *machine) pass(d time.Duration) { m.wall += d; m.mono += d }

func TestTrusted(t *testing.T) {
	const start = int64(1_700_000_000_000)
	for name, c := range map[string]struct {
		kept int64
		do   func(*machine, *clock.Clock)
		want bool
	}{
		"never told":                    {0, func(*machine, *clock.Clock) {}, false},
		"told before this boot":         {start - 5000, func(*machine, *clock.Clock) {}, true},
		"wall before last centre time":  {start + 3_600_000, func(*machine, *clock.Clock) {}, false},
		"heard now":                     {0, func(_ *machine, k *clock.Clock) { k.Heard(start) }, true},
		"off by an hour at the contact": {0, func(_ *machine, k *clock.Clock) { k.Heard(start - 3_600_000) }, false},
		"a day passes":                  {0, func(m *machine, k *clock.Clock) { k.Heard(start); m.pass(24 * time.Hour) }, true},
		"set forward after contact":     {0, func(m *machine, k *clock.Clock) { k.Heard(start); m.wall += time.Hour }, false},
		"set back after contact":        {0, func(m *machine, k *clock.Clock) { k.Heard(start); m.wall -= time.Hour }, false},
		"set forward, heard again": {0, func(m *machine, k *clock.Clock) {
			k.Heard(start)
			m.wall += time.Hour
			k.Heard(start + 3_600_000)
		}, true},
		"an older time changes nothing": {start, func(_ *machine, k *clock.Clock) { k.Heard(start - 3_600_000) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{mono: time.Hour}
			k, err := clock.New(m.options(), c.kept)
			if err != nil {
				t.Fatal(err)
			}
			c.do(m, k)
			err = k.Trusted(limit)
			if got := err == nil; got != c.want {
				t.Fatalf("trusted = %v (%v), want %v", got, err, c.want)
			}
			if err != nil && !errors.Is(err, &pos.Error{Code: pos.ErrClock}) {
				t.Fatalf("error %v has not the code of the clock", err)
			}
		})
	}
}

func TestJumpIsToldOnce(t *testing.T) {
	m := &machine{mono: time.Hour}
	k, err := clock.New(m.options(), 0)
	if err != nil {
		t.Fatal(err)
	}
	m.pass(time.Hour)
	if by, ok := k.Jump(); ok {
		t.Fatalf("time that passes is no jump, got %s", by)
	}
	m.wall -= 10 * time.Minute
	if by, ok := k.Jump(); !ok || by != -10*time.Minute {
		t.Fatalf("got %s %v, want -10m", by, ok)
	}
	if by, ok := k.Jump(); ok {
		t.Fatalf("told twice: %s", by)
	}
}

func TestCentreTimeDoesNotFollowTheWallClock(t *testing.T) {
	m := &machine{mono: time.Hour}
	k, err := clock.New(m.options(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Centre(); !got.Equal(k.Now()) {
		t.Fatalf("before the centre is heard: %s", got)
	}
	const centre = int64(1_700_003_600_000)
	k.Heard(centre)
	m.pass(time.Minute)
	m.wall -= 5 * time.Hour
	if got := k.Centre().UnixMilli(); got != centre+60_000 {
		t.Fatalf("got %d, want a minute after %d", got, centre)
	}
}

func TestTheMachinesOwnSources(t *testing.T) {
	k, err := clock.New(clock.Options{}, 7)
	if err != nil {
		t.Fatal(err)
	}
	i := k.Instant()
	if i.MonoMS <= 0 || len(i.BootID) != 36 || i.CentreMS != 7 || i.WallMS == 0 {
		t.Fatalf("instant %+v", i)
	}
}
