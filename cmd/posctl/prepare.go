package main

import (
	"context"

	"dcpos/central/reconcile"
	"dcpos/internal/cli"
)

// ReconcilePrepareCmd partitions our side.
type ReconcilePrepareCmd struct {
	Ours           fileList `required:"" placeholder:"FILE …" help:"Our lines, such as one file per institution and settlement date; as in the run that follows. 我方明细。"`
	Segments       string   `required:"" type:"path" placeholder:"DIR" help:"Where segments are kept; give it to the run. 增量对账目录。"`
	SettlementDate string   `placeholder:"D" help:"Only lines of this settlement date, as in the run that follows. 清算日期。"`
	Memory         byteSize `default:"1GiB" placeholder:"SIZE" help:"Memory to stay within. 内存上限。"`
	Workers        int      `placeholder:"N" help:"Workers; one per core by default. 并行数。"`
}

// Help is the long help text.
func (c *ReconcilePrepareCmd) Help() string {
	return `Run it for our files as they are complete (an institution's settlement date is cut over before its statement comes).
The run then takes our side from DIR: posctl reconcile --segments DIR --ours … --theirs … --out …
Files are known again by their content; one that has changed since is partitioned again, its unchanged parts are not.
Exit codes: 0 prepared, 2 bad input.`
}

// Run implements the command.
func (c *ReconcilePrepareCmd) Run(ctx context.Context, out *cli.Streams) error {
	job := reconcile.Job{Memory: int64(c.Memory), Workers: c.Workers, SettlementDate: c.SettlementDate}
	for _, path := range c.Ours {
		job.Ours = append(job.Ours, reconcile.Source{Path: path})
	}
	progress, finish := progressOn(out.Err, cli.Language())
	defer finish()
	job.Progress = progress
	if err := reconcile.PrepareIn(ctx, c.Segments, job); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return nil
}
