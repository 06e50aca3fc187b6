package daily

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dcpos/pos"
)

// Hour is who asks when no person does.
const Hour = "hour"

// Ask is a settlement date that somebody wants reconciled. It is due until it is answered, whatever
// is killed meanwhile.
type Ask struct {
	Date pos.Date `json:"date"`
	// Number grows each time the date is asked for: an answer is one to the number that was due when
	// its run began, so that a statement that came meanwhile is looked at.
	Number int64    `json:"number"`
	By     string   `json:"by"` // an account of the console, Hour or Correction
	AtMS   int64    `json:"at_ms"`
	DueMS  int64    `json:"due_ms"` // when it is tried next; 0: answered
	Tries  int      `json:"tries"`
	Lacks  pos.Text `json:"lacks,omitzero"` // what the last try lacked, or how it failed
}

// Answered reports that nothing more will be done for it.
func (a *Ask) Answered() bool { return a.DueMS == 0 }

// How asks are answered. What is not there in the morning comes within a day, or never by itself.
const (
	lookEvery  = 2 * time.Second // another process may have asked
	retryEvery = 30 * time.Minute
	mostTries  = 48
)

// Ask has the date reconciled by the centre that serves, now. A date that is due already stays due
// once; one that was answered is reconciled again, which costs nothing when nothing has changed.
func (d *Desk) Ask(ctx context.Context, date pos.Date, by string) (Ask, error) {
	now := d.c.Now()
	last := pos.DateOf(now.AddDate(0, 0, 1), 0) // days end before midnight at some institutions
	if _, err := pos.ParseDate(string(date)); err != nil || date > last {
		e := pos.FieldError(pos.ErrBadRequest, "date", fmt.Errorf("%.32q: want a settlement date, %s at the latest", date, last))
		e.Hint = pos.Text{ZH: "请填写清算日,格式 yyyy-mm-dd,最晚 " + string(last), EN: "Give a settlement date as yyyy-mm-dd, " + string(last) + " at the latest."}
		return Ask{}, e
	}
	a, err := d.c.Store.PutAsk(ctx, date, by, now.UnixMilli())
	if err == nil {
		d.nudge()
	}
	return a, err
}

func (d *Desk) nudge() {
	select {
	case d.asked <- struct{}{}:
	default: // it will look anyway
	}
}

// lookBack bounds how old a date may be that the hour still asks for.
const lookBack = 31 // days

// Catch asks, for the hour, for every date up to last that it has not asked for yet (after an outage
// these are several; the first time it is last alone), and again for those before that still lack a
// statement or a credit. Before its first hour it asks for nothing unless begin.
func (d *Desk) Catch(ctx context.Context, last pos.Date, begin bool) error {
	before, err := d.c.Store.LastAsk(ctx, Hour)
	if err != nil || before == "" && !begin {
		return err
	}
	at, err := time.Parse(time.DateOnly, string(last))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", last, err)
	}
	day := func(back int) pos.Date { return pos.Date(at.AddDate(0, 0, -back).Format(time.DateOnly)) }
	dates := []pos.Date{}
	if begin {
		if dates, err = d.c.Store.Lacking(ctx, day(lookBack)); err != nil {
			return err
		}
	}
	for back := range lookBack {
		if date := day(back); date > before && (before != "" || back == 0) {
			dates = append(dates, date)
		}
	}
	slices.Sort(dates)
	for _, date := range slices.Compact(dates) {
		if date > last {
			continue
		}
		if _, err := d.c.Store.PutAsk(ctx, date, Hour, d.c.Now().UnixMilli()); err != nil {
			return err
		}
	}
	d.nudge()
	return nil
}

// Serve answers what is due, the oldest date first, until ctx ends. A date that lacks a statement or a
// credit is tried again every half hour for a day.
func (d *Desk) Serve(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		due, err := d.c.Store.DueAsks(ctx, d.c.Now().UnixMilli())
		for i := range due {
			if err == nil {
				err = d.answer(ctx, due[i])
			}
		}
		if err != nil && ctx.Err() == nil {
			d.c.Log.ErrorContext(ctx, "reconciliations that are due", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.asked:
		case <-tick.C:
		}
	}
}

// answer makes one try.
func (d *Desk) answer(ctx context.Context, a Ask) error {
	run, err := d.Reconcile(ctx, a.Date)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it stays due
	}
	a.Tries++
	a.DueMS, a.Lacks = 0, run.lacks()
	if err != nil {
		a.Lacks = failed(err)
		d.c.Log.ErrorContext(ctx, "reconcile", "date", a.Date, "asked_by", a.By, "try", a.Tries, "err", err)
	} else {
		d.c.Log.InfoContext(ctx, "reconciled", "date", a.Date, "asked_by", a.By, "ours", run.Ours, "theirs", run.Theirs,
			"breaks", run.Breaks, "same", run.Same, "lacks", a.Lacks.EN)
	}
	if a.Lacks != (pos.Text{}) && a.Tries < mostTries {
		a.DueMS = d.c.Now().Add(retryEvery).UnixMilli()
	}
	return d.c.Store.AnswerAsk(ctx, a)
}

// failed says why a try failed: what the error tells a person to do, else the error itself.
func failed(err error) pos.Text {
	e := pos.AsError(err)
	if e.Hint != e.Code.Hint() {
		return e.Hint
	}
	return pos.Text{ZH: e.Text.ZH + ":" + err.Error(), EN: err.Error()}
}

// lacks says what has not come yet, or was refused and why; nothing when all has come.
func (r *Run) lacks() pos.Text {
	var zh, en []string
	if len(r.Waiting) > 0 {
		list := strings.Join(r.Waiting, " ")
		zh, en = append(zh, "缺对账单:"+list), append(en, "no statement of "+list)
	}
	for i := range r.Verdicts {
		if v := &r.Verdicts[i]; v.Kind == Refused && !v.InUse {
			zh = append(zh, v.Institution+" "+v.file().ZH+"已拒收("+v.Reason.ZH+")")
			en = append(en, v.Institution+"'s "+v.file().EN+" was refused ("+v.Reason.EN+")")
		}
	}
	var banks []string
	for _, s := range r.Settlements {
		if s.State == pos.SettlementWaiting {
			banks = append(banks, s.Bank)
		}
	}
	if len(banks) > 0 {
		list := strings.Join(banks, " ")
		zh, en = append(zh, "待到账:"+list), append(en, "no credit of "+list)
	}
	return pos.Text{ZH: strings.Join(zh, ";"), EN: strings.Join(en, "; ")}
}
