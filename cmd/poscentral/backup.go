package main

import (
	"context"
	"encoding/json"
	"fmt"

	"dcpos/central/store"
	"dcpos/internal/cli"
)

type backupCmd struct {
	Dir  string `arg:"" type:"path" help:"Absent or empty folder. 目录,须为空。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run writes a consistent copy of the database beside a running centre.
func (b backupCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		m, err := c.store.Backup(ctx, b.Dir)
		if err != nil {
			return err
		}
		if b.JSON {
			return json.NewEncoder(out.Out).Encode(m)
		}
		_, err = fmt.Fprintf(out.Out, "%s: %d bytes, SHA-256 %s\n", m.File, m.Size, m.SHA256)
		return err
	})
}

type restoreCmd struct {
	Dir  string `arg:"" type:"existingdir" help:"Folder of a backup. 备份目录。"`
	Note string `default:"" help:"Why; kept in the audit trail. 原因。"`
}

// Help says what a restore means for the tills.
func (restoreCmd) Help() string {
	return `Makes the configured database, which must not exist or be empty, from a backup, and begins a new
restore generation: tills learn it from the next receipt and send again what the centre lacks.
The centre must be stopped, and its keys (centre.pem, questions.key) be those of before.
还原数据库并开启新的还原代;终端将自动补传。`
}

// Run restores.
func (r restoreCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	s, err := load(g.Config)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	log, err := logger(out.Err, s.Log)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	generation, err := store.Restore(ctx, store.Config{URL: s.Database, Env: s.Env, Log: log}, r.Dir, r.Note)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.Out, "restored; generation 还原代 %d\n", generation)
	return err
}
