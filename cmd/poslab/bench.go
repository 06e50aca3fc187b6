package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"dcpos/cmd/poslab/bench"
	"dcpos/internal/cli"
)

// BenchCmd measures every figure of docs/PERFORMANCE.md.
type BenchCmd struct {
	Names    []string `arg:"" optional:"" name:"name" help:"Benches to run; all without one. 要运行的项目。"`
	JSON     bool     `name:"json" help:"Print a JSON array. 以 JSON 输出。"`
	Seconds  int      `default:"5" help:"Seconds of each measurement that repeats something. 重复测量的秒数。"`
	Dir      string   `type:"path" placeholder:"DIR" help:"Folder on the disk to measure; a temporary folder is made in it and removed. 被测磁盘上的目录。"`
	Bin      string   `type:"path" placeholder:"DIR" help:"Folder of posagent, poscentral, posctl and poslab; this program's own without it. 程序目录。"`
	Postgres string   `default:"auto" placeholder:"URL" help:"An empty PostgreSQL database; auto starts a server of its own; none leaves it out. PostgreSQL 数据库。"`
	DuckDB   bool     `name:"duckdb" default:"true" negatable:"" help:"Measure DuckDB beside reconcile; npm brings it the first time. 与 DuckDB 对照。"`
	Compare  bool     `help:"With reconcile: compare its breaks with DuckDB's on random data full of oddities, byte for byte, and measure nothing. 与 DuckDB 逐行比较。"`
	Seed     uint64   `default:"1" help:"Of the data of --compare. 种子。"`
	Offline  int      `default:"300" help:"Offline acceptances (at most 400). 离线受理次数。"`
	Online   int      `default:"300" help:"Online sales. 联网收款次数。"`
	Sales    int      `default:"1000" help:"Online sales before the agent's memory is read again. 读内存前的收款笔数。"`
	Entries  int      `default:"100000" help:"Entries of the journal with which an agent starts. 启动时的账目条数。"`
	Backlog  int      `default:"20000" help:"Entries of a backlog that is drained. 积压条数。"`
	Stored   int      `default:"100000" help:"Payments that a journal holds. 账簿中的支付笔数。"`
	Lines    []int    `default:"1000000" placeholder:"N,…" help:"Lines of each side in reconcile; of further sizes the cost per row is measured. 对账每侧行数;其余规模只测每行成本。"`
	Breaks   int      `placeholder:"PERCENT" help:"Of the lines in reconcile; 0.29 without it. 差异占比(百分数)。"`
}

// Help names the benches.
func (BenchCmd) Help() string {
	return `Every figure has a unit, says what it means, and stands beside a floor or a peer that was measured in the
same run; × is the ratio to it. The machine should have nothing else to do; where it has, trust the ratios.
Benches: ` + strings.Join(bench.Names(), ", ") + `.
A bench that fails is named on standard error and the exit code is 1; the others are measured all the same.
每个数字都附有单位、含义,以及同一次运行中测得的下限或对照;机器有其他负载时请看比值。`
}

// Run implements the command.
func (c BenchCmd) Run(ctx context.Context, out *cli.Streams) error {
	if c.Seconds <= 0 || len(c.Lines) == 0 || min(c.Offline, c.Online, c.Sales, c.Entries, c.Backlog, c.Stored, slices.Min(c.Lines)) <= 0 {
		return cli.Exit(cli.Usage, errors.New("sizes and seconds are greater than 0"))
	}
	if c.Breaks < 0 || c.Breaks > 90 {
		return cli.Exit(cli.Usage, errors.New("breaks: 0 to 90 percent"))
	}
	o := bench.Options{
		Names: c.Names, Repeat: time.Duration(c.Seconds) * time.Second, Dir: c.Dir, Bin: c.Bin, Postgres: c.Postgres, DuckDB: c.DuckDB,
		Compare: c.Compare, Seed: c.Seed,
		Sizes: bench.Sizes{
			Offline: c.Offline, Online: c.Online, Sales: c.Sales, Entries: c.Entries, Backlog: c.Backlog, Stored: c.Stored,
			Lines: c.Lines[0], Also: c.Lines[1:], Breaks: c.Breaks,
		},
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Bin = filepath.Dir(self)
	}
	if err := o.Check(); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if f, ok := out.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Progress = out.Err
	}
	figures, err := bench.Run(ctx, o)
	if c.JSON {
		encoder := json.NewEncoder(out.Out)
		encoder.SetIndent("", "  ")
		return errors.Join(err, encoder.Encode(figures))
	}
	return errors.Join(err, bench.Print(out.Out, figures, cli.Language()))
}
