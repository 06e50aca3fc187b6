package store

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"dcpos/central/console"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/daily"
	"dcpos/pos"
)

// ConsoleRuns shows the daily reconciliations on the console. The breaks themselves lie
// in each run's folder.
func (s *Store) ConsoleRuns() console.Runs { return consoleRuns{s.Reconciliations()} }

type consoleRuns struct{ store daily.Store }

func consoleRun(r daily.Run) console.Run {
	var files []console.StatementFile
	for _, v := range r.Verdicts {
		tone := map[daily.VerdictKind]string{daily.Refused: "bad", daily.Missing: "warn", daily.Corrected: "info"}[v.Kind]
		if tone == "" {
			tone = "ok"
		}
		files = append(files, console.StatementFile{
			Institution: v.Institution, Account: v.Account, Verdict: v.Kind.Text(), Tone: tone, Lines: v.Lines, Hash: v.File[:min(len(v.File), 12)],
			Reason: v.Reason,
		})
	}
	return console.Run{
		Rules: r.Rules, Files: files,
		ID: r.ID, Date: r.Date, Started: time.UnixMilli(r.StartedMS), Summary: filepath.Join(r.Folder, "summary.json"),
		Matched: r.Matched, Breaks: r.Breaks, Closes: r.Closes, Waiting: r.Waiting,
	}
}

// Runs implements console.Runs.
func (c consoleRuns) Runs(ctx context.Context, limit int) ([]console.Run, error) {
	runs, err := c.store.Runs(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]console.Run, 0, len(runs))
	for _, r := range runs {
		out = append(out, consoleRun(r))
	}
	return out, nil
}

// Asks implements console.Runs.
func (c consoleRuns) Asks(ctx context.Context, limit int) ([]console.RunAsk, error) {
	asks, err := c.store.Asks(ctx, limit)
	out := make([]console.RunAsk, len(asks))
	for i, a := range asks {
		out[i] = console.RunAsk(a)
	}
	return out, err
}

// Breaks implements console.Runs.
func (c consoleRuns) Breaks(ctx context.Context, id string, limit int) (console.Run, []console.Break, error) {
	run, found, err := c.store.Run(ctx, id)
	if err != nil {
		return console.Run{}, nil, err
	}
	if !found {
		return console.Run{}, nil, pos.FieldError(pos.ErrNotFound, "id", fmt.Errorf("no run %.64q", id))
	}
	var breaks []console.Break
	for b, err := range reconcile.ReadBreaks(filepath.Join(run.Folder, "breaks.csv")) {
		if err != nil {
			return console.Run{}, nil, err
		}
		if len(breaks) == limit {
			break
		}
		breaks = append(breaks, consoleBreak(b))
	}
	return consoleRun(run), breaks, nil
}

func consoleBreak(b reconcile.Break) console.Break {
	out := console.Break{
		Kind: b.Kind, Txn: b.TxnID, Bank: b.Bank, Merchant: b.MerchantID, Field: b.Field,
		OursValue: b.Values[0], TheirsValue: b.Values[1],
	}
	if b.Ours != nil {
		out.Ours, out.OursStatus = b.Ours.Amount.String(), b.Ours.Status
	}
	if b.Theirs != nil {
		out.Theirs, out.TheirStatus = b.Theirs.Amount.String(), b.Theirs.Status
	}
	return out
}
