package main

import (
	"io"

	"dcpos/central/reconcile"
	"dcpos/internal/cli"
)

// ReconcilePlanCmd draws plan.json.
type ReconcilePlanCmd struct {
	Dir string `arg:"" placeholder:"DIR" help:"The results' directory, or a plan.json. 结果目录。"`
	All bool   `help:"Draw every shard; otherwise equal ones are drawn together. 画出全部分片。"`
}

// Run implements the command.
func (c *ReconcilePlanCmd) Run(out *cli.Streams) error {
	text, err := reconcile.DrawPlan(c.Dir, cli.Language(), c.All)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	_, err = io.WriteString(out.Out, text)
	return err
}
