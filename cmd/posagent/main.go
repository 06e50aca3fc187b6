// Command posagent is the daemon of a till: it takes payments, keeps them, prints, and
// carries them to the centre. It is wiring only; the rooms do the work.
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
	Config string `placeholder:"FILE" help:"Configuration file; else /etc/dcpos/posagent.yaml where it exists, else defaults. 配置文件。"`

	Serve      serveCmd      `cmd:"" default:"withargs" help:"Run the till until SIGTERM (the default). 运行终端。"`
	Operator   operatorCmd   `cmd:"" help:"Who may sign in at this till. 收银员。"`
	Epoch      epochCmd      `cmd:"" help:"Open the next epoch after a restore, a fork or damage. 开启新纪元。"`
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
	_, err := fmt.Fprintln(out.Out, "posagent", version)
	return err
}

type serveCmd struct{}

// Run starts the agent and returns when the context ends.
func (serveCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	s, class, err := load(g.Config)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Log)); err != nil {
		return cli.Exit(cli.Usage, fmt.Errorf("%s: log: %w", g.Config, err))
	}
	a := agent{settings: s, class: class, log: slog.New(slog.NewJSONHandler(out.Err, &slog.HandlerOptions{Level: level}))}
	return a.run(ctx)
}

func main() {
	os.Exit(run(os.Args[1:], cli.OS()))
}

func run(args []string, out *cli.Streams) int {
	return cli.Main("posagent", "The daemon of a till. 收银终端守护进程。\n"+
		"Exit codes: 0 stopped as asked, 1 stopped by an error, 2 bad configuration.", &grammar{}, args, out)
}
