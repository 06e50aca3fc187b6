package daily

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// longestHoliday is how many days later the file may be looked for that holds a date as well.
const longestHoliday = 10

// covered takes, for a date of which nothing comes, an accepted statement of a later date that holds this
// one too: after holidays some institutions send one file for all of them. The first that does is kept
// under this date's name; its corrections are for the date that they are sent for.
func (d *Desk) covered(ctx context.Context, date pos.Date, v *Verdict) error {
	at, err := time.Parse(time.DateOnly, string(date))
	if err != nil {
		return fmt.Errorf("statement of %s: %w", date, err)
	}
	day := yyyymmdd(date)
	for ahead := 1; ahead <= longestHoliday; ahead++ {
		later := at.AddDate(0, 0, ahead).Format(time.DateOnly)
		path := filepath.Join(filepath.Dir(v.source.Path), v.Institution+"-"+later+filepath.Ext(v.source.Path))
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
		if v.File, err = hashOf(path); err != nil {
			return err
		}
		if err := os.Link(path, v.source.Path); err != nil {
			return fmt.Errorf("keep the statement of %s: %w", later, err)
		}
		v.Kind, v.InUse, v.inUse, v.Size, v.report = Accepted, true, v.File, info.Size(), report
		v.Reason = pos.Text{ZH: "包含在 " + later + " 的对账单中", EN: "is part of the statement of " + later}
		if i := slices.IndexFunc(report.Days, func(x statement.Day) bool { return x.Date == day }); i >= 0 {
			v.Lines = report.Days[i].Lines
		} else {
			v.Empty = true
		}
		return nil
	}
	return nil
}
