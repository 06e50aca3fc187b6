package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/central/reconcile/statement"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// ReconcileCarryCmd follows open lines over the cut-over.
type ReconcileCarryCmd struct {
	Dir       string `arg:"" placeholder:"DIR" help:"The day's results, with breaks.csv. 当日对账结果目录。"`
	Date      string `required:"" placeholder:"D" help:"Their settlement date (yyyy-MM-dd). 清算日期。"`
	Open      string `placeholder:"FILE" help:"open.csv of the day before; none on the first day. 前一日的 open.csv。"`
	Out       string `required:"" placeholder:"DIR" help:"Where open.csv and carried.csv go. 输出目录。"`
	Days      int    `default:"1" help:"How many days a line may stay open before it is overdue. 挂账天数。"`
	Tolerance int64  `default:"0" help:"Fen by which the two amounts may differ. 金额容差(分)。"`
}

// Help is the long help text.
func (c *ReconcileCarryCmd) Help() string {
	return `A line that one side books before the cut-over and the other after it is a miss on both days. carry puts the
misses of today beside what was open: partners that came resolve each other, those that came otherwise are shown, what
has more than one candidate is shown and never resolved, the rest stays open, and what is too old is overdue. All but what
stays open is in carried.csv; a line that a person has closed is to be taken out of open.csv. This is one rule alone: match
tries it with all the others, and writes an open.csv of its own.
Exit codes: 0 nothing for a person to look at, 1 something differs, is ambiguous or overdue, 2 bad input.`
}

// Run implements the command.
func (c *ReconcileCarryCmd) Run(out *cli.Streams) error {
	if err := settlementDate(c.Date); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	open, err := readOpen(c.Open)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	breaks := reconcile.ReadBreaks(filepath.Join(c.Dir, "breaks.csv"))
	r, err := carry.Day(breaks, open, c.Date, carry.Rules{Days: c.Days, ToleranceFen: pos.Money(c.Tolerance)})
	if err == nil {
		err = r.Write(c.Out)
	}
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	for _, row := range []struct {
		n    int
		text pos.Text
	}{
		{len(r.Resolved), pos.Text{ZH: "已由另一方次日入账核销", EN: "resolved: the partner came"}},
		{len(r.Differing), pos.Text{ZH: "另一方到账但金额或状态不同,需人工处理", EN: "the partner came with another amount or status: look at them"}},
		{len(r.Ambiguous), pos.Text{ZH: "有多个候选,未自动核销,需人工处理", EN: "lines with more than one candidate, not resolved: look at them"}},
		{len(r.Open), pos.Text{ZH: "继续挂账", EN: "carried to the next day"}},
		{len(r.Overdue), pos.Text{ZH: "挂账超期,需人工处理", EN: "overdue: look at them"}},
	} {
		if _, err := fmt.Fprintf(out.Out, "%8d  %s\n", row.n, row.text.In(cli.Language())); err != nil {
			return err
		}
	}
	if len(r.Differing)+len(r.Ambiguous)+len(r.Overdue) > 0 {
		text := pos.Text{ZH: "需人工处理的见 %s\n", EN: "what is for a person: %s\n"}
		if _, err := fmt.Fprintf(out.Out, text.In(cli.Language()), filepath.Join(c.Out, carry.FoundFile)); err != nil {
			return err
		}
		return cli.Exit(cli.Negative, nil)
	}
	return nil
}

func settlementDate(date string) error {
	if _, err := pos.ParseDate(date); err != nil {
		return &reconcile.InputError{Why: pos.Text{
			ZH: fmt.Sprintf("清算日期 %q 不是日期(yyyy-MM-dd)", date), EN: fmt.Sprintf("settlement date %q is not a date (yyyy-MM-dd)", date),
		}}
	}
	return nil
}

func readOpen(path string) ([]carry.Item, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New(pos.Text{
			ZH: path + " 不存在:首日请不要给出 --open", EN: path + " does not exist: leave --open out on the first day",
		}.In(cli.Language()))
	}
	if err != nil {
		return nil, statement.Unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	items, err := carry.ReadOpen(f)
	if err != nil {
		return nil, &reconcile.InputError{File: path, Why: pos.Text{ZH: "不是前一日的 open.csv", EN: "is not the open.csv of the day before"}, Err: err}
	}
	return items, nil
}
