package main

import (
	"context"
	"time"

	"dcpos/offline"
	"dcpos/pos"
)

// forgetPace is how often old entries are looked for, forgetRest how long the till rests after some were found.
const (
	forgetPace = 6 * time.Hour
	forgetRest = time.Minute
)

// forgetDaily removes entries that the centre has receipted long ago. A failure is logged and tried again: what
// is not forgotten is only kept longer.
func (a *agent) forgetDaily(store *offline.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		for wait := forgetRest; ; {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
			f, err := store.Forget(ctx, a.settings.Keep, a.clock.Instant(), pos.DateOf(a.clock.Now(), a.settings.Cutover))
			if wait = forgetPace; err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "old entries are not forgotten", "err", err)
			} else if f.Entries > 0 {
				wait = forgetRest // there may be more
				a.log.InfoContext(ctx, "forgot entries behind a checkpoint", "entries", f.Entries, "epoch", f.Epoch, "seq", f.Seq)
			}
		}
	}
}
