package main

import (
	"context"
	"os"
	"slices"
	"time"
)

// trustEvery is how often the trust file is looked at: a revocation reaches the tills that
// are online within seconds.
const trustEvery = time.Second

// watchTrust takes up a trust file that was changed, and wallets that people here have revoked, and tells it on,
// until ctx ends. A file that cannot be read, half-written or wrong, changes nothing and is logged.
func (c *centre) watchTrust(ctx context.Context, changed func()) error {
	tick := time.NewTicker(trustEvery)
	defer tick.Stop()
	seen := trustStamp(c.settings.Trust)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		news, err := c.revocations(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "the wallets revoked here are not known", "err", err)
		}
		if now := trustStamp(c.settings.Trust); now != seen {
			seen = now
			t, err := c.settings.trustOf()
			if err != nil {
				c.log.ErrorContext(ctx, "the trust file is not taken", "err", err)
			} else {
				c.file, news = t, true
			}
		}
		if !news {
			continue
		}
		c.believe()
		t := c.trust.Load()
		c.log.InfoContext(ctx, "trust renewed", "institutions", len(t.Institutions), "revoked", len(t.Revoked))
		changed()
	}
}

// revocations reads which wallets people here have revoked; news tells that they are others than before.
func (c *centre) revocations(ctx context.Context) (news bool, err error) {
	now, err := c.desk.Revoked(ctx)
	if err != nil {
		return false, err
	}
	news = !slices.Equal(now, c.revoked)
	c.revoked = now
	return news, nil
}

// believe makes the trust of what the file and people here say, issued now: tills take none that is
// older than theirs.
func (c *centre) believe() {
	t := c.file
	t.Revoked = slices.Concat(t.Revoked, c.revoked)
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
