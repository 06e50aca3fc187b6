package devices

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/agent/devices/sysfs"
)

func TestPresence(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	gun := []sysfs.Device{{Port: "1-1", VID: "0c2e", PID: "0b87", Serial: "7"}}
	for name, c := range map[string]struct {
		looks []int // milliseconds; negative: the look finds it
		gone  bool
	}{
		"there":                       {[]int{-1}, false},
		"two misses":                  {[]int{-1, 500, 5000}, false},
		"three misses within a flap":  {[]int{-1, 10, 20, 30}, false},
		"three misses and a second":   {[]int{-1, 10, 500, 1010}, true},
		"back in between":             {[]int{-1, 10, 500, -900, 1010, 1500}, false},
		"many misses within a second": {[]int{-1, 10, 20, 30, 40, 500, 1009}, false},
	} {
		var p presence
		for _, ms := range c.looks {
			if ms < 0 {
				p.look(at(-ms), gun)
				continue
			}
			p.look(at(ms), nil)
		}
		if _, known, _ := p.at("serial 7 0c2e:0b87"); known == c.gone {
			t.Errorf("%s: known %v", name, known)
		}
	}
}

func TestKeys(t *testing.T) {
	a := sysfs.Device{Port: "1-1", VID: "0416", PID: "5011"}
	b := sysfs.Device{Port: "1-2", VID: "0416", PID: "5011", Serial: "Printer"}
	c := sysfs.Device{Port: "1-3", VID: "0416", PID: "5011", Serial: "Printer"} // a maker who gives all the same
	for _, x := range []struct {
		d    sysfs.Device
		all  []sysfs.Device
		want string
	}{
		{a, []sysfs.Device{a, b}, "port 1-1 0416:5011"},
		{b, []sysfs.Device{a, b}, "serial Printer 0416:5011"},
		{b, []sysfs.Device{a, b, c}, "port 1-2 0416:5011"},
	} {
		if got, _ := keyOf(x.d, x.all); got != x.want {
			t.Errorf("got %s, want %s", got, x.want)
		}
	}
}

// TestPresenceIsNeverWrongForLong: whatever happens, what stays away is given up within
// three looks and a second, and what is there is known at once.
func TestPresenceIsNeverWrongForLong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p presence
		now := time.UnixMilli(0)
		d := sysfs.Device{Port: "1-1", VID: "0416", PID: "5011"}
		key, _ := keyOf(d, nil)
		misses, since := 0, now
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "ms")) * time.Millisecond)
			there := rapid.Bool().Draw(t, "there")
			var found []sysfs.Device
			if there {
				found, misses = []sysfs.Device{d}, 0
			} else {
				if misses == 0 {
					since = now
				}
				misses++
			}
			again := p.look(now, found)
			_, known, seen := p.at(key)
			switch late := misses >= missesMost && now.Sub(since) >= flap; {
			case there && (!known || !seen || again):
				t.Fatal("it is there and is not known, or is looked for again")
			case !there && late && known:
				t.Fatal("gone and still known")
			case !there && known && (!again || seen):
				t.Fatal("missed, and nobody looks again")
			}
		}
	})
}
