package daily

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// longestHoliday is how many days later the file may be looked for that holds a date as well.
const longestHoliday = 10

// covered takes, for a date that has no statement of its own, an accepted statement of a later date that
// holds this one too: after holidays some institutions send one file for all of them. It is read where
// it lies, so that its corrections are corrections of all its dates.
func (d *Desk) covered(ctx context.Context, date pos.Date, v *Verdict) error {
	at, err := time.Parse(time.DateOnly, string(date))
	if err != nil {
		return fmt.Errorf("statement of %s: %w", date, err)
	}
	day := yyyymmdd(date)
	for ahead := 1; ahead <= longestHoliday; ahead++ {
		later := pos.Date(at.AddDate(0, 0, ahead).Format(time.DateOnly))
		path := d.statementOf(v, later)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for a statement that holds %s: %w", date, err)
		}
		report, err := statement.Check(ctx, reconcile.Source{Path: path, Format: v.source.Format})
		if err != nil {
			return fmt.Errorf("look for a statement that holds %s: %w", date, err)
		}
		if report.From == 0 || report.From > day || report.To < day {
			continue
		}
		if v.inUse, err = hashOf(path); err != nil {
			return err
		}
		v.source.Path, v.InUse, v.report = path, true, report
		if v.Kind == Refused { // what came instead; its reason stays
			return nil
		}
		v.Kind, v.File, v.Size = Accepted, v.inUse, info.Size()
		v.Reason = pos.Text{ZH: "包含在 " + string(later) + " 的对账单中", EN: "is part of the statement of " + string(later)}
		v.count(day)
		return nil
	}
	return nil
}

// count takes the number of a day's lines from the report.
func (v *Verdict) count(day int32) {
	at := slices.IndexFunc(v.report.Days, func(x statement.Day) bool { return x.Date == day })
	if v.Empty = at < 0; !v.Empty {
		v.Lines = v.report.Days[at].Lines
	}
}

// Correction is who asks for a date of which another date's statement says something else than before.
const Correction = "correction"

// touched lists the other dates that the statement which is about to be accepted changes: those of which
// it says something else than the one before it (nothing, if there was none), and which have no
// statement of their own but this one.
func (d *Desk) touched(ctx context.Context, date pos.Date, v *Verdict) ([]pos.Date, error) {
	before := &statement.Report{}
	if v.InUse {
		var err error
		if before, err = statement.Check(ctx, v.source); err != nil {
			return nil, fmt.Errorf("compare with the statement before: %w", err)
		}
	}
	var dates []pos.Date
	for _, day := range before.OtherDays(v.report) {
		other := pos.Date(fmt.Sprintf("%04d-%02d-%02d", day/10000, day/100%100, day%100))
		if other == date {
			continue
		}
		own, err := hashOf(d.statementOf(v, other))
		if err != nil {
			return nil, err
		}
		if own == "" && other < date || own != "" && own == v.inUse {
			dates = append(dates, other)
		}
	}
	return dates, nil
}

// askAgain has dates reconciled again.
func (d *Desk) askAgain(ctx context.Context, dates []pos.Date) error {
	for _, date := range dates {
		if _, err := d.c.Store.PutAsk(ctx, date, Correction, d.c.Now().UnixMilli()); err != nil {
			return err
		}
	}
	if len(dates) > 0 {
		d.nudge()
	}
	return nil
}
