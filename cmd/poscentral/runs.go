package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dcpos/central/console"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/daily"
	"dcpos/pos"
)

// runs shows the daily reconciliations to the console.
type runs struct{ store daily.Store }

func (r runs) Runs(ctx context.Context, limit int) ([]console.Run, error) {
	list, err := r.store.Runs(ctx, limit)
	var out []console.Run
	for _, run := range list {
		out = append(out, shown(run))
	}
	return out, err
}

func shown(r daily.Run) console.Run {
	whom := "全部机构 all institutions"
	if len(r.Waiting) > 0 {
		whom = "缺 without " + strings.Join(r.Waiting, ", ")
	}
	return console.Run{
		ID: r.ID, Date: r.Date, Institution: whom, Started: time.UnixMilli(r.StartedMS),
		Summary: filepath.Join(r.Folder, "summary.json"), Breaks: r.Breaks,
	}
}

func (r runs) Breaks(ctx context.Context, id string, limit int) (console.Run, []console.Break, error) {
	run, ok, err := r.store.Run(ctx, id)
	if err == nil && !ok {
		err = pos.NewError(pos.ErrNotFound, fmt.Errorf("reconciliation %q", id))
	}
	if err != nil {
		return console.Run{}, nil, err
	}
	var out []console.Break
	for b, err := range reconcile.ReadBreaks(filepath.Join(run.Folder, "breaks.csv")) {
		if err != nil {
			return shown(run), nil, err
		}
		if len(out) == limit {
			break
		}
		out = append(out, console.Break{
			Kind: b.Kind, Txn: b.TxnID, Bank: b.Bank, Merchant: b.MerchantID,
			OursFen: fenOf(b.Ours), TheirsFen: fenOf(b.Theirs), OursStatus: statusOf(b.Ours), TheirStatus: statusOf(b.Theirs),
			Field: b.Field, OursValue: b.Values[0], TheirsValue: b.Values[1],
		})
	}
	return shown(run), out, nil
}

func fenOf(l *reconcile.BreakLine) string {
	if l == nil {
		return ""
	}
	return strconv.FormatInt(int64(l.Amount), 10)
}

func statusOf(l *reconcile.BreakLine) string {
	if l == nil {
		return ""
	}
	return string(l.Status)
}
