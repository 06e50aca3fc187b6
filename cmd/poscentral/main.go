// Command poscentral is the centre: it takes in tills' journals, asks the operating
// institutions, keeps the ledger, reconciles, and serves the operations page. It is
// wiring only; the rooms do the work.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"dcpos/internal/cli"
)

// version is set by the linker for releases.
var version = "dev" //nolint:gochecknoglobals // -ldflags -X needs a variable

type grammar struct {
	Config string `placeholder:"FILE" help:"Configuration file; else /etc/dcpos/poscentral.yaml where it exists, else everything is embedded, in /var/lib/poscentral. 配置文件。"`

	Serve      serveCmd      `cmd:"" default:"withargs" help:"Run the centre until SIGTERM (the default). 运行中心。"`
	Account    accountCmd    `cmd:"" help:"Accounts of the operations page. 运维账号。"`
	Shop       shopCmd       `cmd:"" help:"Register a store and its merchant. 登记门店与商户。"`
	Code       codeCmd       `cmd:"" help:"Make an enrolment code for a store's devices. 生成终端注册码。"`
	Policy     policyCmd     `cmd:"" help:"What tills may accept offline: show, list, publish. 离线收款规则。"`
	Reconcile  reconcileCmd  `cmd:"" help:"Reconcile one settlement date now. 立即对账。"`
	Worker     workerCmd     `cmd:"" help:"Take shards of a centre's reconciliations, on any machine. 对账工作节点。"`
	Campaign   campaignCmd   `cmd:"" help:"Red-envelope campaigns: publish, close, draw. 红包活动。"`
	Webshop    webshopCmd    `cmd:"" help:"Merchants' web shops: register, keys, webhooks. 网店。"`
	Ledger     ledgerCmd     `cmd:"" help:"Show balances, terminals and, if asked, every payment and posting. 查看总账。"`
	Take       takeCmd       `cmd:"" help:"Take in the file of a till that cannot send: posctl journal export. 导入终端导出文件。"`
	Suspense   suspenseCmd   `cmd:"" help:"What waits in suspense for a person, and deciding it by four eyes. 挂账处理。"`
	Backup     backupCmd     `cmd:"" help:"Copy the database, also beside a running centre. 备份。"`
	Restore    restoreCmd    `cmd:"" help:"Make the database from a backup; tills then send again. 还原。"`
	HelpConfig helpConfigCmd `cmd:"" help:"Print every configuration key with its default and meaning. 列出所有配置项。"`
	Version    versionCmd    `cmd:"" help:"Print the version. 显示版本。"`
}

type helpConfigCmd struct{}

// Run prints the keys.
func (helpConfigCmd) Run(out *cli.Streams) error {
	_, err := io.WriteString(out.Out, configHelp)
	return err
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out *cli.Streams) error {
	_, err := fmt.Fprintln(out.Out, "poscentral", version)
	return err
}

type serveCmd struct{}

// Run serves until ctx ends.
func (serveCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	c, err := open(ctx, g.Config, out.Err)
	if err != nil {
		return err
	}
	return c.serve(ctx)
}

// logger writes JSON lines at the level that the configuration names.
func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}

func main() {
	os.Exit(run(os.Args[1:], cli.OS()))
}

func run(args []string, out *cli.Streams) int {
	return cli.Main("poscentral", "The centre of dcpos. 数字人民币收款中心。\n"+
		"Exit codes: 0 stopped as asked, 1 stopped by an error or a negative finding, 2 bad configuration or usage.",
		&grammar{}, args, out)
}
