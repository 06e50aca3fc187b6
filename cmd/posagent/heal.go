package main

import (
	"context"
	"time"

	"dcpos/agent/checkout"
	"dcpos/offline"
)

// healEvery is how often a journal whose disk failed is tried again.
const healEvery = 2 * time.Second

// heal watches the journal until ctx ends. When its disk has failed it says so, and tries
// until the disk is well; a healed till sells on without a restart.
func (a *agent) heal(ctx context.Context, store *offline.Store, till *checkout.Till) error {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		failed := store.Failed()
		if failed == nil {
			continue
		}
		till.StorageFailed(failed)
		if err := store.Heal(ctx); err != nil {
			a.log.ErrorContext(ctx, "the journal's disk is not well", "err", err)
			continue
		}
		a.log.InfoContext(ctx, "the journal's disk is well again", "after", failed)
		till.StorageRecovered()
	}
}
