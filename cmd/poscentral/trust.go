package main

import (
	"context"
	"os"
	"time"

	"dcpos/pos/dcep"
)

// trustEvery is how often the trust file is looked at: a revocation reaches the tills that
// are online within seconds.
const trustEvery = time.Second

// watchTrust takes up a trust file that was changed, and tells it on, until ctx ends. One
// that cannot be read, half-written or wrong, changes nothing and is logged.
func (c *centre) watchTrust(ctx context.Context, changed func()) error {
	if c.settings.Trust == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(trustEvery)
	defer tick.Stop()
	seen := trustStamp(c.settings.Trust)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := trustStamp(c.settings.Trust)
		if now == seen {
			continue
		}
		seen = now
		t, err := c.settings.trustOf()
		if err != nil {
			c.log.ErrorContext(ctx, "the trust file is not taken", "err", err)
			continue
		}
		c.believe(t)
		c.log.InfoContext(ctx, "trust renewed", "institutions", len(t.Institutions), "revoked", len(t.Revoked))
		changed()
	}
}

// believe makes t the trust, issued now: tills take none that is older than theirs.
func (c *centre) believe(t dcep.Trust) {
	t.IssuedMS = max(t.IssuedMS, time.Now().UnixMilli())
	c.trust.Store(&t)
}

// stamp tells one state of a file from another.
type stamp struct {
	size, changed int64
}

func trustStamp(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime().UnixNano()}
}
