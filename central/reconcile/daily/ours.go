package daily

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dcpos/central/reconcile"
	"dcpos/pos"
)

const header = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date\n"

// Prepare writes our lines of a date, a file for each institution, and lets the engine
// partition them, so that the run that follows reads the statements only. It may be called as
// often as payments come: what has not changed is not done again, whether here or in the run.
func (d *Desk) Prepare(ctx context.Context, date pos.Date) error {
	if d.c.Partition == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var ours []reconcile.Source
	for _, code := range d.c.Institutions.Codes() {
		path, _, err := d.writeOurs(ctx, code, date)
		if err != nil {
			return err
		}
		ours = append(ours, reconcile.Source{Path: path})
	}
	if len(ours) == 0 {
		return nil
	}
	return d.c.Partition(ctx, d.job(ours, date))
}

func (d *Desk) job(ours []reconcile.Source, date pos.Date) reconcile.Job {
	rules := reconcile.Tolerating(d.c.Rules.Exact.ToleranceFen)
	if d.c.Splits != nil {
		rules.ShardRows, rules.Splits = d.c.Splits.ShardRows, d.c.Splits.Splits
	}
	return reconcile.Job{
		Ours: ours, Memory: d.c.Memory, Workers: d.c.Workers, SettlementDate: string(date), Rules: rules,
	}
}

// ours writes our lines of the institutions that take part, and the hash of the inputs.
func (d *Desk) ours(ctx context.Context, run *Run) ([]reconcile.Source, error) {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "dcpos-run-2 %s %s %s\n", run.Date, run.Rules, d.c.Rules.Hash) // a hash never fails to write
	var ours []reconcile.Source
	for _, v := range run.Verdicts {
		if !v.InUse {
			continue
		}
		path, hash, err := d.writeOurs(ctx, v.Institution, run.Date)
		if err != nil {
			return nil, err
		}
		ours = append(ours, reconcile.Source{Path: path})
		member, _ := d.c.Institutions.Member(v.Institution) // none: says nothing
		_, _ = fmt.Fprintf(sum, "%s %s %s %s %s\n", v.Institution, v.Format, v.inUse, hash, member.Settlement)
	}
	run.Inputs = hex.EncodeToString(sum.Sum(nil))
	return ours, nil
}

// oursFolder is where our lines wait for their statements; a hidden folder among the results.
func (d *Desk) oursFolder() string { return filepath.Join(d.c.Folder, "reconcile", ".ours") }

// writeOurs writes our lines of one institution. A file that holds them already stays as it
// is, its time too, by which the engine knows it.
func (d *Desk) writeOurs(ctx context.Context, code string, date pos.Date) (path, hash string, err error) {
	path = filepath.Join(d.oursFolder(), string(date), code+".csv")
	before, err := hashOf(path)
	if err != nil {
		return "", "", err
	}
	sum := sha256.New()
	fill := func(w io.Writer) error {
		w = io.MultiWriter(w, sum)
		if _, err := io.WriteString(w, header); err != nil {
			return err
		}
		var line []byte
		err := d.c.Store.Lines(ctx, code, date, func(l Line) error {
			line = l.append(line[:0])
			_, err := w.Write(line)
			return err
		})
		if err != nil {
			return fmt.Errorf("read our lines of %s: %w", code, err)
		}
		if hash = hex.EncodeToString(sum.Sum(nil)); hash == before {
			return errSame
		}
		return nil
	}
	if err := writeWhole(path, fill); err != nil && !errors.Is(err, errSame) {
		return "", "", err
	}
	return path, hash, nil
}

var errSame = errors.New("the file holds this already")

// keepOurs puts our lines beside the results that were made of them: the same files by
// another name, and no longer those of a run before.
func keepOurs(ours []reconcile.Source, folder string) ([]reconcile.Source, error) {
	old, err := filepath.Glob(filepath.Join(folder, "ours-*.csv"))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("keep our lines: %w", err)
		}
	}
	kept := make([]reconcile.Source, len(ours))
	for i, src := range ours {
		kept[i] = src
		kept[i].Path = filepath.Join(folder, "ours-"+filepath.Base(src.Path))
		if err := os.Link(src.Path, kept[i].Path); err != nil {
			return nil, fmt.Errorf("keep our lines: %w", err)
		}
	}
	return kept, nil
}

// Sweep forgets our lines of dates before this one; those that were reconciled lie beside
// their results.
func (d *Desk) Sweep(before pos.Date) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dates, err := os.ReadDir(d.oursFolder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep our lines: %w", err)
	}
	for _, e := range dates {
		if e.Name() < string(before) {
			if err := os.RemoveAll(filepath.Join(d.oursFolder(), e.Name())); err != nil {
				return fmt.Errorf("sweep our lines: %w", err)
			}
		}
	}
	return nil
}
