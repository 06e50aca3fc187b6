package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"dcpos/central/reconcile/statement"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// StatementCmd groups what is done with institutions' statements.
type StatementCmd struct {
	Check   StatementCheckCmd   `cmd:"" help:"Read a statement and show what it was understood to say. 检查对账单。"`
	Formats StatementFormatsCmd `cmd:"" help:"List the formats that FILE@FORMAT may name. 列出对账单格式。"`
}

// StatementCheckCmd reads one statement.
type StatementCheckCmd struct {
	File   string `arg:"" placeholder:"FILE" help:"The statement (plain, .gz, .zst). 对账单文件。"`
	Format string `default:"dcpos" placeholder:"F" help:"Its format; posctl statement formats lists them. 文件格式。"`
	JSON   bool   `name:"json" help:"Print JSON. 输出 JSON。"`
}

// Help is the long help text.
func (c *StatementCheckCmd) Help() string {
	return `Every line is read and checked as posctl reconcile would, and so are header and trailer.
Exit codes: 0 the statement is whole, 2 it is not (file, line, column, why).
Example: posctl statement check icbc-20261121.txt --format icbc`
}

// Run implements the command.
func (c *StatementCheckCmd) Run(ctx context.Context, out *cli.Streams) error {
	report, err := statement.Check(ctx, statement.Source{Path: c.File, Format: c.Format})
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if c.JSON {
		e := json.NewEncoder(out.Out)
		e.SetIndent("", " ")
		return e.Encode(report)
	}
	_, err = io.WriteString(out.Out, reportText(report, cli.Language()))
	return err
}

func reportText(r *statement.Report, lang string) string {
	in := func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(lang) }
	var b strings.Builder
	fmt.Fprintf(&b, in("格式 %s\n", "format %s\n"), r.Format)
	if note := r.Note.In(lang); note != "" {
		fmt.Fprintf(&b, "%s\n", note)
	}
	fmt.Fprintf(&b, "%12d  %s\n", r.Lines, in("笔明细", "lines"))
	names := map[string]pos.Text{
		"S": {ZH: "成功", EN: "success"}, "F": {ZH: "失败", EN: "failed"}, "P": {ZH: "处理中", EN: "pending"}, "R": {ZH: "退款", EN: "refund"},
	}
	for _, s := range r.ByStatus {
		fmt.Fprintf(&b, "%12d  %s %s ¥%s\n", s.Lines, s.Status, names[s.Status].In(lang), s.Amount)
	}
	for _, d := range r.Days {
		fmt.Fprintf(&b, "%12d  %s %d\n", d.Lines, in("清算日期", "settlement date"), d.Date)
	}
	fmt.Fprintf(&b, in("手续费合计 ¥%s\n", "fees ¥%s\n"), pos.Money(r.Fee))
	for _, c := range r.Controls {
		fmt.Fprintf(&b, in("相符:%s\n", "agrees: the %s\n"), c.Text().In(lang))
	}
	for _, s := range r.First {
		number, says, _ := strings.Cut(strings.TrimSpace(s.String()), ": ")
		fmt.Fprintf(&b, in("第 %s 行:%s\n", "line %s: %s\n"), number, says)
	}
	return b.String()
}

// StatementFormatsCmd lists the formats.
type StatementFormatsCmd struct{}

// Run implements the command.
func (StatementFormatsCmd) Run(out *cli.Streams) error {
	all, err := statement.Descriptions()
	if err != nil {
		return err
	}
	dcpos := pos.Text{ZH: "本系统的 CSV(默认)", EN: "the house's own CSV (the default)"}.In(cli.Language())
	if _, err := fmt.Fprintf(out.Out, "%-8s %s\n", "dcpos", dcpos); err != nil {
		return err
	}
	for _, d := range all {
		if _, err := fmt.Fprintf(out.Out, "%-8s %s\n", d.Name, d.Note.In(cli.Language())); err != nil {
			return err
		}
	}
	return nil
}
