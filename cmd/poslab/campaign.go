package main

import (
	"context"

	"dcpos/cmd/poslab/campaign"
	"dcpos/internal/cli"
)

// CampaignCmd is poslab campaign.
type CampaignCmd struct {
	Name     string  `arg:"" help:"A campaign that ships, such as wangfujing-2021. 内置活动名。"`
	Scale    float64 `default:"0.001" help:"Of its envelopes and budget; 1 is full size. 规模。"`
	Entrants int     `help:"Who register; default: three for each envelope. 报名人数。"`
	Seed     uint64  `default:"1" help:"The same seed makes the same people. 随机种子。"`
	Dir      string  `required:"" type:"path" help:"Folder for what the run leaves: draw/, statement.*, truth.json. 目录。"`
	Database string  `help:"The centre's database, such as postgres://USER@HOST/NAME; SQLite in DIR without it. 中心数据库。" placeholder:"URL"`
}

// Help says what is real and what is judged.
func (CampaignCmd) Help() string {
	return `Publishes a shipped campaign with a practice beacon, lets people register and confirm, draws, offers, lets winners open
wallets at the banks that they chose, spend and bring back, recalls what is left, and makes the statement. The centre's rooms, database,
institutions and witness are the real ones on one clock; only the simulated banks' books are not flushed. The truth about the people shares no code with them.
Exit 0 only if every payment was split as the notice says, the books balance and the statement is the truth. 测试 TEST`
}

// Run plays it.
func (c CampaignCmd) Run(ctx context.Context, out *cli.Streams) error {
	return campaign.Run(ctx, campaign.Options{
		Name: c.Name, Scale: c.Scale, Entrants: c.Entrants, Seed: c.Seed, Dir: c.Dir, Database: c.Database, Out: out.Out,
	})
}
