package issuance

import (
	"context"
	"fmt"
	"strconv"

	"dcpos/pos"
)

// MaxPerSecond bounds what people may set: beyond it institutions' answers, not ours, set the pace.
const MaxPerSecond = 10_000

// Pace sets how many envelopes an institution is sent in a second, those of all campaigns
// together; 0 stops offers to it until another pace is set. It holds from the next round on.
func (d *Desk) Pace(ctx context.Context, bank string, perSecond int, by string) error {
	if perSecond < 0 || perSecond > MaxPerSecond {
		return pos.FieldError(pos.ErrBadRequest, "per_second", fmt.Errorf("%d: want 0 to %d", perSecond, MaxPerSecond))
	}
	if _, err := d.bank(bank); err != nil {
		return pos.FieldError(pos.ErrNotFound, "institution", err)
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		if err := tx.PutPace(ctx, bank, perSecond); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_pace", bank, strconv.Itoa(perSecond))
	})
}

func (d *Desk) perSecond(paces map[string]int, bank string) int {
	if n, set := paces[bank]; set {
		return n
	}
	return d.cfg.PerSecond
}

// allowances are what each institution may be sent in one round. Campaigns are tended one
// after the other, and an institution by one goroutine: nobody shares a counter.
func (d *Desk) allowances(all []Issuance, paces map[string]int) map[string]*int {
	left := map[string]*int{}
	for _, is := range all {
		for _, code := range is.Institutions {
			n := d.perSecond(paces, code)
			left[code] = &n
		}
	}
	return left
}
