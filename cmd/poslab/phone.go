package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/phone"
)

// PhoneCmd is poslab phone.
type PhoneCmd struct {
	Listen string `default:"127.0.0.1:8691" help:"Address; port 0 picks one. 监听地址。"`
}

// Help says how the centre reaches it.
func (PhoneCmd) Help() string {
	return `Everybody's phone: takes the short messages of a centre whose campaign.sms is http://ADDRESS/messages, and shows
them on a page. GET /messages?phone=NUMBER gives the newest to a number. 测试 TEST`
}

// Run serves until the context ends.
func (c PhoneCmd) Run(ctx context.Context, out *cli.Streams) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return cli.Exit(cli.Unreachable, err)
	}
	if _, err := fmt.Fprintf(out.Out, "phone http://%s\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{Handler: phone.New().Handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })() // messages are short; who sends one sends it again
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
