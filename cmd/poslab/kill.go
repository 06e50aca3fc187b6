package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/term"

	"dcpos/internal/cli"
	"dcpos/lab/drill"
)

// KillCmd kills tills and centre and cuts their power under load, and judges from
// outside what became of the money.
type KillCmd struct {
	Bin        string `type:"path" help:"Folder of posagent, poscentral, posctl and poslab; this program's own without it. 程序目录。"`
	Dir        string `type:"path" help:"Folder for data and logs, absent or empty; a temporary one without it. 数据目录。"`
	AgentKills int    `default:"200" help:"SIGKILLs of posagent. 强制结束终端次数。"`
	CentreKill int    `name:"centre-kills" default:"50" help:"SIGKILLs of poscentral. 强制结束中心次数。"`
	AgentCuts  int    `default:"200" help:"Power cuts of a till; needs root and /dev/fuse. 终端断电次数。"`
	CentreCuts int    `default:"200" help:"Power cuts of the centre; needs root and /dev/fuse. 中心断电次数。"`
	Tills      int    `default:"2" help:"Tills that sell. 终端台数。"`
	Clients    int    `default:"3" help:"Clients of each till. 每台终端的客户端数。"`
	Seed       uint64 `help:"Repeats moments and amounts; 0 draws one. 随机种子。"`
	JSON       bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Help says what is judged.
func (KillCmd) Help() string {
	return `Customers pay by code, by QR and offline, refunds run, the link breaks, institutions lose answers; at random
moments a program is killed, or its disk forgets what was not synced. Afterwards every payment that a till ever
called paid or accepted must stand exactly once with its institution and in the centre's ledger, sums must be
equal, journals must verify, reconciliation must find nothing. Exit 1 names what does not hold.
强杀与断电演练:凡终端确认过的收款,必须在机构与总账中恰好各一笔;对不上的逐条列出,退出码为 1。`
}

// Run implements the command.
func (c KillCmd) Run(ctx context.Context, out *cli.Streams) error {
	o, err := c.options(out)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if !c.JSON {
		_, _ = fmt.Fprintf(out.Out, "测试 TEST: 种子 seed %d, %s\n", o.Seed, o.Dir)
	}
	r, err := drill.Run(ctx, o)
	if c.JSON {
		if e := json.NewEncoder(out.Out).Encode(r); e != nil && err == nil {
			err = e
		}
	} else {
		printDrill(out.Out, r)
	}
	switch {
	case err != nil:
		return cli.Exit(cli.Usage, err)
	case !r.OK():
		return cli.Exit(cli.Negative, nil)
	}
	return nil
}

func (c KillCmd) options(out *cli.Streams) (drill.Options, error) {
	o := drill.Options{
		Bin: c.Bin, Dir: c.Dir, Tills: c.Tills, Clients: c.Clients, Seed: c.Seed,
		Strikes: map[drill.Strike]int{
			drill.AgentKill: c.AgentKills, drill.CentreKill: c.CentreKill,
			drill.AgentCut: c.AgentCuts, drill.CentreCut: c.CentreCuts,
		},
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return o, err
		}
		o.Bin = filepath.Dir(self)
	}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "poslab-kill")
		if err != nil {
			return o, err
		}
		o.Dir = dir
	}
	if f, ok := out.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Progress = func(done, all int) {
			_, _ = fmt.Fprintf(out.Err, "\r%d/%d", done, all)
			if done == all {
				_, _ = fmt.Fprintln(out.Err)
			}
		}
	}
	return o, nil
}

func printDrill(w io.Writer, r drill.Result) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	for _, k := range slices.Sorted(maps.Keys(r.Strikes)) {
		say("%-12s %d", k, r.Strikes[k])
	}
	say("支付 payments %d, 金额 amount ¥%s, 确认 acknowledged %d, 退款 refunds %d, 迟到 late %d",
		r.Payments, r.Amount, r.Acked, r.Refunds, r.Late)
	for _, s := range slices.Sorted(maps.Keys(r.States)) {
		say("  %-17s %d", s, r.States[s])
	}
	for _, f := range r.Findings {
		say("不符 finding: %s", f)
	}
	verdict := "通过 passed"
	if !r.OK() {
		verdict = "不通过 FAILED"
	}
	say("%s: %d 项不符 findings, %.0f s, 种子 seed %d", verdict, len(r.Findings), r.Seconds, r.Seed)
}
