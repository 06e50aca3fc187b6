package main

import (
	"context"
	"fmt"

	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
)

// metaProgram is where the journal's file says which program has written it last.
const metaProgram = "program_version"

// guardVersion refuses to go on with an older program while money is unsent or undecided: it might not know what the
// newer one has written. The schema's own number refuses what it cannot read at all. Versions that are no releases
// ("dev") are not compared.
func guardVersion(ctx context.Context, store *offline.Store, own string) error {
	last, _, err := store.Meta(ctx, metaProgram)
	if err != nil {
		return err
	}
	if cli.Older(own, last) {
		u, err := store.Unfinished(ctx)
		if err != nil {
			return err
		}
		if !u.Clear() {
			e := pos.NewError(pos.ErrUnsentMoney, fmt.Errorf("downgrade from %s to %s: %d entries unsent (¥%s in %d payments), %d payments open",
				last, own, u.Unsent, u.Amount, u.Payments, u.Open))
			e.Hint = pos.Text{
				ZH: "装回 " + last + ",联网上传全部交易后再降级",
				EN: "put " + last + " back, connect until everything is uploaded, then downgrade",
			}
			return e
		}
	}
	if own == last {
		return nil
	}
	return store.SetMeta(ctx, metaProgram, own)
}
