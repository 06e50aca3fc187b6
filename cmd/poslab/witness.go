package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"dcpos/internal/cli"
	"dcpos/internal/labclock"
	"dcpos/lab/witness"
)

// WitnessCmd is poslab witness.
type WitnessCmd struct {
	State   string            `required:"" type:"path" help:"Her file: key and what she saw last; mode 0600. 状态文件。"`
	Name    string            `default:"witness.lab" help:"Her name in signatures. 见证方名称。"`
	Listen  string            `default:"127.0.0.1:8690" help:"Address; port 0 picks one. 监听地址。"`
	Watch   map[string]string `mapsep:"," help:"ORIGIN=KEY of a log to co-sign; may be given again. 日志来源与公钥。"`
	Clock   string            `type:"existingfile" help:"File with the duration that is added to her clock, to play a campaign of another year. 时钟偏移文件。"`
	ShowKey bool              `help:"Print her public key and end. 显示公钥。"`
}

// Help says what a witness is.
func (WitnessCmd) Help() string {
	return `A party of its own that co-signs the checkpoints of a public log, with her clock, and only those that continue
what she saw last (C2SP tlog-witness, tlog-cosignature). A draw without her signature is none. 测试 TEST`
}

// Run serves until the context ends.
func (c WitnessCmd) Run(ctx context.Context, out *cli.Streams) error {
	now := time.Now
	if c.Clock != "" {
		clock, err := labclock.Open(c.Clock)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		now = clock.Now
	}
	w, err := witness.Open(c.State, c.Name, now)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if c.ShowKey {
		_, err := fmt.Fprintln(out.Out, w.VerifierKey())
		return err
	}
	for origin, key := range c.Watch {
		if err := w.Watch(origin, key); err != nil {
			return cli.Exit(cli.Usage, err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return cli.Exit(cli.Unreachable, err)
	}
	if _, err := fmt.Fprintf(out.Out, "witness http://%s\nkey %s\n", l.Addr(), w.VerifierKey()); err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{Handler: w.Handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })() // requests are short and safe to repeat
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
