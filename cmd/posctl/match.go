package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/central/reconcile/match"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// ReconcileMatchCmd tries the matching rules on what a reconciliation left.
type ReconcileMatchCmd struct {
	Dir    string   `arg:"" placeholder:"DIR" help:"The results, with breaks.csv; explained.csv and open.csv go there. 对账结果目录。"`
	Ours   fileList `required:"" placeholder:"FILE …" help:"The same files as of the reconciliation. 我方明细。"`
	Theirs fileList `required:"" placeholder:"FILE[@FORMAT] …" help:"The same files as of the reconciliation. 机构对账单。"`
	Date   string   `required:"" placeholder:"D" help:"Settlement date (yyyy-MM-dd). 清算日期。"`
	Rules  string   `placeholder:"FILE" help:"Rule set (YAML); those that ship without it. 匹配规则文件。"`
	Open   string   `placeholder:"FILE" help:"open.csv of the day before. 前一日的 open.csv。"`
}

// Help is the long help text.
func (c *ReconcileMatchCmd) Help() string {
	return `Puts refunds to their originals, reversals to what they reversed, lines to what the other day has, batches to
their totals, and suggests sums of what is left. Every break gets the name of the rule that made it, in explained.csv; what
has two candidates is shown and never resolved. breaks.csv stays as it is. What has not met its partner is in open.csv, for
the next day: match NEXT … --open DIR/open.csv.
Exit codes: 0 everything is explained or waits for the next day, 1 something is for a person, 2 bad input.`
}

// Run implements the command.
func (c *ReconcileMatchCmd) Run(ctx context.Context, out *cli.Streams) error {
	rules, err := match.Read(c.Rules)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if err := settlementDate(c.Date); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	result, err := c.apply(ctx, rules)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	overdue := result.Overdue(c.Date)
	person := len(overdue)
	says := rules.Says(result, c.Date)
	err = match.WriteExplained(c.Dir, filepath.Join(c.Dir, "breaks.csv"), func(b *reconcile.Break) match.Said {
		said := says(b)
		if said.Outcome != match.Matched && said.Outcome != match.Carried {
			person++
		}
		return said
	})
	if err == nil {
		err = carry.WriteOpen(c.Dir, result.Open())
	}
	if err == nil {
		err = c.print(out.Out, rules, result, overdue, person)
	}
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if person > 0 {
		return cli.Exit(cli.Negative, nil)
	}
	return nil
}

func (c *ReconcileMatchCmd) print(w io.Writer, rules *match.RuleSet, result *match.Result, overdue []match.Line, person int) error {
	lang := cli.Language()
	var b strings.Builder
	for i := range result.Groups {
		b.WriteString(result.Groups[i].Text().In(lang) + "\n")
	}
	text := pos.Text{ZH: "%s:逾期未到(%s %s,自 %s)\n", EN: "%s: overdue (%s %s, since %s)\n"}
	for i := range overdue {
		l := &overdue[i]
		fmt.Fprintf(&b, text.In(lang), cmp.Or(result.CarryRule(), rules.Name("exact")), l.Whose().In(lang), l.TxnID, l.Since)
	}
	text = pos.Text{
		ZH: "%s:归组 %d 组,继续挂账 %d 笔,需人工 %d 笔;见 %s\n",
		EN: "%s: %d groups, %d lines carried, %d lines for a person; see %s\n",
	}
	fmt.Fprintf(&b, text.In(lang), rules.Name(rules.Hash[:12]), len(result.Groups), len(result.Carried), person, filepath.Join(c.Dir, match.ExplainedFile))
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *ReconcileMatchCmd) apply(ctx context.Context, rules *match.RuleSet) (*match.Result, error) {
	var sides [2][]reconcile.Source
	for _, path := range c.Ours {
		sides[0] = append(sides[0], reconcile.Source{Path: path})
	}
	for _, arg := range c.Theirs {
		src, err := reconcile.ParseSource(arg)
		if err != nil {
			return nil, err
		}
		sides[1] = append(sides[1], src)
	}
	lines, err := match.Misses(ctx, filepath.Join(c.Dir, "breaks.csv"), sides[0], sides[1], c.Date)
	if err != nil {
		return nil, err
	}
	var open []carry.Item
	if open, err = readOpen(c.Open); err != nil {
		return nil, err
	}
	for _, item := range open {
		lines = append(lines, match.Line{Item: item})
	}
	return rules.Apply(lines, c.Date)
}
