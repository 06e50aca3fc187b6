package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/proxy"
)

// ProxyCmd is a bad network on loopback; it runs until quit on the control socket
// or SIGTERM.
type ProxyCmd struct {
	Listen  string        `default:"127.0.0.1:0" help:"Loopback address to accept on."`
	Target  string        `required:"" help:"Address to carry connections to." placeholder:"HOST:PORT"`
	Delay   time.Duration `help:"One-way delay; 300ms is a round trip of 600 ms."`
	Rate    int64         `help:"Bytes a second, each direction of each connection; 0 is no limit." placeholder:"BYTES"`
	Control string        `help:"Unix socket that takes the lines: status, cut, freeze, restore, quit." placeholder:"SOCKET"`
}

// Help is shown by --help.
func (c *ProxyCmd) Help() string {
	return `Delays without limiting throughput. cut resets every connection and refuses new ones,
freeze accepts and delivers nothing, restore mends both:
  poslab proxy --target 127.0.0.1:4222 --delay 300ms --control /tmp/p.sock &
  echo freeze | nc -U /tmp/p.sock
模拟差网络:时延、断网(cut)、假死(freeze)、恢复(restore)。`
}

// Run prints the address and carries connections until the end.
func (c *ProxyCmd) Run(ctx context.Context, out *cli.Streams) error {
	p, err := proxy.New(ctx, c.Target, proxy.Options{Listen: c.Listen, Delay: c.Delay, BytesPerSecond: c.Rate})
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	_, _ = fmt.Fprintln(out.Out, p.Addr())
	if c.Control == "" {
		<-ctx.Done()
		return p.Close()
	}
	return errors.Join(p.ServeControl(ctx, c.Control), p.Close())
}
