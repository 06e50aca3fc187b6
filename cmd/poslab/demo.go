package main

import (
	"context"

	"dcpos/cmd/poslab/demo"
	"dcpos/internal/cli"
)

// DemoCmd is poslab demo.
type DemoCmd struct {
	Dir      string `type:"path" help:"Folder for everything that the demo leaves; absent or empty. 目录,须为空。" placeholder:"DIR"`
	Database string `help:"The centre's database, such as postgres://USER@HOST/NAME; SQLite in DIR without it. 中心数据库。" placeholder:"URL"`
	Once     bool   `help:"End after the story; exit 0 only if every check held. 演完即止。"`
}

// Run plays the day.
func (d DemoCmd) Run(ctx context.Context, out *cli.Streams) error {
	return demo.Run(ctx, demo.Options{Dir: d.Dir, Once: d.Once, Database: d.Database, Out: out.Out})
}
