package daily

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"

	"dcpos/central/institution"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/account"
	"dcpos/central/reconcile/breaks"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// settle compares each statement that took part with the net credit of its date.
func (d *Desk) settle(ctx context.Context, run *Run) error {
	broken := map[string]pos.Money{}
	for b, err := range reconcile.ReadBreaks(filepath.Join(run.Folder, "breaks.csv")) {
		if err != nil {
			return err
		}
		if b.Theirs != nil {
			broken[b.Bank] += b.Theirs.Effective()
		}
	}
	for i := range run.Verdicts {
		v := &run.Verdicts[i]
		if v.Account || !v.InUse {
			continue
		}
		if v.report == nil {
			var err error
			if v.report, err = statement.Check(ctx, v.source); err != nil {
				return err
			}
		}
		leg := d.of(v, run.Date)
		leg.Matched = leg.Gross - broken[v.Institution]
		if err := d.leg(ctx, run, leg); err != nil {
			return err
		}
	}
	return nil
}

// of is what a statement comes to on a date.
func (d *Desk) of(v *Verdict, date pos.Date) breaks.Leg {
	leg := breaks.Leg{Bank: v.Institution, Date: date}
	day := slices.IndexFunc(v.report.Days, func(x statement.Day) bool { return x.Date == yyyymmdd(date) })
	if day < 0 {
		return leg
	}
	sum := v.report.Days[day]
	leg.Gross, leg.Fees = sum.Effective, sum.Fee
	if member, ok := d.c.Institutions.Member(v.Institution); ok {
		leg.Apart = member.Settlement.Apart(sum.Fee, sum.Refunds)
	}
	return leg
}

// settleAgain looks at the credits of a date whose lines have not changed.
func (d *Desk) settleAgain(ctx context.Context, run *Run) error {
	before, err := d.c.Breaks.Settlements(ctx, run.Date)
	if err != nil {
		return err
	}
	for _, s := range before {
		if err := d.leg(ctx, run, breaks.Leg{Bank: s.Bank, Date: s.Date, Matched: s.Matched, Gross: s.Gross, Fees: s.Fees, Apart: s.Apart}); err != nil {
			return err
		}
	}
	if slices.EqualFunc(before, run.Settlements, func(a, b pos.Settlement) bool { return a.Revision == b.Revision && a.State == b.State }) {
		return nil
	}
	return d.explain(ctx, run) // a credit may have closed breaks
}

// leg asks for the account's statement of the date and settles. One that cannot be used says
// so, and the date waits.
func (d *Desk) leg(ctx context.Context, run *Run, leg breaks.Leg) error {
	v := Verdict{Institution: leg.Bank, Account: true, Format: "mt940"}
	credit, err := d.credited(ctx, run.Date, &v)
	if err != nil {
		return err
	}
	if v.Kind == Accepted {
		leg.Arrived, leg.Credit, leg.File = true, credit, v.File
	} else {
		d.c.Log.WarnContext(ctx, "account statement cannot be used", "institution", leg.Bank, "date", run.Date, "why", v.Reason.EN)
	}
	leg.Rule = d.c.Rules.Name("net-credit")
	if rule, ok := d.c.Rules.Credit(); ok {
		leg.Rule, leg.MostLines, leg.Resolve = d.c.Rules.Name(rule.ID), rule.MostLines, rule.Resolve
	}
	run.Verdicts = append(run.Verdicts, v)
	s, err := d.c.Breaks.Settle(ctx, leg)
	run.Settlements = append(run.Settlements, s)
	return err
}

func (d *Desk) credited(ctx context.Context, date pos.Date, v *Verdict) (pos.Money, error) {
	member, ok := d.c.Institutions.Member(v.Institution)
	if !ok {
		v.Kind, v.Reason = Missing, pos.Text{ZH: "机构未接入", EN: "the institution is not connected"}
		return 0, nil
	}
	var b bytes.Buffer
	err := member.Adapter.Account(ctx, date, &bounded{b: &b})
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.Is(err, institution.ErrNotReady):
		v.Kind, v.Reason = Missing, pos.Text{ZH: "机构尚未生成,请稍后重跑", EN: "the institution has not made it yet: run again later"}
		return 0, nil
	case err != nil: // the verdict says it
		v.Kind, v.Reason = Missing, pos.Text{ZH: "无法获取:" + err.Error(), EN: "cannot be had: " + err.Error()}
		return 0, nil //nolint:nilerr // see above
	}
	sum := sha256.Sum256(b.Bytes())
	v.File, v.Size = hex.EncodeToString(sum[:]), int64(b.Len())
	s, err := account.Parse(&b)
	if err != nil {
		e := pos.AsError(err)
		v.Kind, v.Reason = Refused, pos.Text{ZH: e.Text.ZH + " " + err.Error(), EN: err.Error()}
		return 0, nil
	}
	v.Kind, v.InUse, v.Lines = Accepted, true, int64(len(s.Entries))
	return s.Credit(date), nil
}

// accountLimit bounds an account's statement of one day.
const accountLimit = 8 << 20

type bounded struct{ b *bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > accountLimit {
		return 0, pos.NewError(pos.ErrTooLarge, errors.New("account statement is larger than any day's"))
	}
	return w.b.Write(p)
}
