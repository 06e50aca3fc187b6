// Package labclock is a clock that a lab can set, so that a campaign of 2021 can be
// played today: a file holds the duration that is added to the machine's clock.
// Whoever uses it must refuse it outside of the lab.
package labclock

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Clock reads the file at every look.
type Clock struct {
	path string

	mu    sync.Mutex
	shift time.Duration
}

// Open reads the file; one that is absent or holds no duration is an error.
func Open(path string) (*Clock, error) {
	c := &Clock{path: path}
	return c, c.read()
}

// Now is the machine's clock and the shift. A file that cannot be read just now leaves
// the shift as it was.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.read() // the old shift stands
	return time.Now().Add(c.shift)
}

func (c *Clock) read() error {
	b, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("lab clock: %w", err)
	}
	shift, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("lab clock: %s: %w", c.path, err)
	}
	c.shift = shift
	return nil
}

// Set writes the file so that the clock shows t now. It is replaced whole.
func Set(path string, t time.Time) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(time.Until(t).String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("set lab clock: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("set lab clock: %w", err)
	}
	return nil
}
