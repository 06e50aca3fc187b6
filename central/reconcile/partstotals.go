package reconcile

import (
	"context"
	"encoding/json"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
)

// addTotals adds up the control totals of ours.
func (p *parts) addTotals(ctx context.Context, indexes []*segmentIndex) error {
	sums := newLedgerTotals(p.tuning.totals, p.totals)
	if err := p.sumTotals(ctx, indexes, sums); err != nil {
		return err
	}
	return sums.flush()
}

func (p *parts) sumTotals(ctx context.Context, indexes []*segmentIndex, sums *ledgerTotals) error {
	key, err := p.totalsKey()
	if err != nil {
		return err
	}
	if kept, err := p.depot.load(ctx, key); err != nil {
		return err
	} else if kept != nil && kept.Result != nil {
		var x resultIndex
		if err := segment.ReadIndex(ctx, p.depot.Store, *kept.Result, &x); err != nil {
			return err
		}
		return p.pairs(ctx, *kept.Result, x.Totals, sums.take)
	}
	for n, x := range indexes {
		if err := p.pairs(ctx, p.spec.Segments[n], x.Totals, sums.take); err != nil {
			return err
		}
	}
	return nil
}

// totalsKey names the control totals of these segments of ours together.
func (p *parts) totalsKey() (string, error) {
	of := []any{doTotals, secretID(p.spec.Secret)}
	for n, ref := range p.spec.Segments {
		if p.spec.Texts[p.spec.Portions[n].Text].Side == ours {
			of = append(of, ref.Object)
		}
	}
	return nameOf(kindStep, of...)
}

// keepTotals adds up the control totals of what was prepared, so that the run need not.
func (p *parts) keepTotals(ctx context.Context, tmp string) error {
	key, err := p.totalsKey()
	if err != nil {
		return err
	}
	if kept, err := p.depot.load(ctx, key); kept != nil || err != nil {
		return err
	}
	sorter := spill.NewSorter(tmp, p.tuning.sort)
	defer sorter.Close()
	sums := newLedgerTotals(p.tuning.totals*int64(p.tuning.workers), sorter)
	for _, ref := range p.spec.Segments {
		x := new(segmentIndex)
		if err := segment.ReadIndex(ctx, p.depot.Store, ref, x); err != nil {
			return err
		}
		if err := p.pairs(ctx, ref, x.Totals, sums.take); err != nil {
			return err
		}
	}
	if err := sums.flush(); err != nil {
		return err
	}
	out := segment.NewWriter(p.depot.Store, tmp, p.key)
	defer out.Close()
	var x resultIndex
	if x.Totals, err = writePairs(out, sorter); err != nil {
		return err
	}
	ref, err := out.Finish(ctx, kindResult, &x, 0)
	if err != nil {
		return err
	}
	note, err := json.Marshal(outcome{Result: &ref})
	if err == nil {
		_, err = p.depot.Notes.Keep(ctx, key, note)
	}
	return err
}
