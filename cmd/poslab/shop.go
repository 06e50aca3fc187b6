package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/shop"
)

// ShopCmd is poslab shop.
type ShopCmd struct {
	Centre string `required:"" help:"The centre's address for web shops (webshop.listen). 中心的网店接口地址。"`
	Key    string `required:"" type:"path" help:"File that poscentral webshop key has written. 网店密钥文件。"`
	Listen string `default:"127.0.0.1:8692" help:"Address; port 0 picks one. 监听地址。"`
}

// Help says how the centre reaches it.
func (ShopCmd) Help() string {
	return `A merchant's web shop to look at: goods in categories, the digital-yuan QR, cancel, refund. It takes the centre's
webhooks at http://ADDRESS/hook (poscentral webshop add … --hook). Orders are kept while it runs. 测试 TEST`
}

// Run serves until the context ends.
func (c ShopCmd) Run(ctx context.Context, out *cli.Streams) error {
	file, key, err := shop.ReadKey(c.Key)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	s, err := shop.Open(ctx, &shop.Client{Base: c.Centre, KeyID: file.KeyID, Key: key}, slog.New(slog.NewJSONHandler(out.Err, nil)))
	if err != nil {
		return cli.Exit(cli.Unreachable, err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return cli.Exit(cli.Unreachable, err)
	}
	if _, err := fmt.Fprintf(out.Out, "shop http://%s\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: s, ReadTimeout: 15 * time.Second, WriteTimeout: 45 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })() // a webhook that is cut off comes again
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
