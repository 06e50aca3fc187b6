package labclock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/internal/labclock"
)

func TestAClockIsSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if _, err := labclock.Open(path); err == nil {
		t.Error("a clock without a file")
	}
	for _, want := range []time.Time{
		time.Date(2021, 2, 7, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if err := labclock.Set(path, want); err != nil {
			t.Fatal(err)
		}
		c, err := labclock.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Now().Sub(want); got < 0 || got > time.Hour {
			t.Errorf("set to %s, shows %s", want, c.Now())
		}
		again := want.AddDate(1, 0, 0)
		if err := labclock.Set(path, again); err != nil {
			t.Fatal(err)
		}
		if got := c.Now().Sub(again); got < 0 || got > time.Hour {
			t.Errorf("set again to %s, shows %s", again, c.Now())
		}
		if err := os.WriteFile(path, []byte("tomorrow"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := c.Now().Sub(again); got < 0 || got > time.Hour {
			t.Errorf("a file that cannot be read moved the clock to %s", c.Now())
		}
	}
}
