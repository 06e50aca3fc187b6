package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// actor is who the audit trail names for what is done at the command line.
func actor() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return "cli:" + u
	}
	return fmt.Sprintf("cli:uid%d", os.Getuid())
}

// with opens the centre for one command and closes it after.
func with(ctx context.Context, g *grammar, out *cli.Streams, do func(*centre) error) (err error) {
	c, err := open(ctx, g.Config, out.Err)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.store.Close()) }()
	return do(c)
}

type accountCmd struct {
	Add accountAddCmd `cmd:"" help:"Make an account; the password is read from the terminal or standard input. 新建账号。"`
}

type accountAddCmd struct {
	Name string `arg:"" help:"Name to sign in with. 账号名。"`
	Role string `required:"" enum:"viewer,operator,approver" help:"viewer looks, operator also makes codes, approver also releases. 角色。"`
}

// Run makes the account.
func (a accountAddCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	password, err := readPassword(out)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return with(ctx, g, out, func(c *centre) error {
		if err := console.CreateAccount(ctx, c.store.Console(), a.Name, console.Role(a.Role), password, actor()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.Out, "account %s (%s) is ready 账号已建立\n", a.Name, a.Role)
		return err
	})
}

// maxPassword bounds what is read.
const maxPassword = 1 << 10

func readPassword(out *cli.Streams) (string, error) {
	if f, ok := out.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(out.Err, "password 密码: ")
		b, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(out.Err)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(out.In, maxPassword))
	return strings.TrimRight(string(b), "\r\n"), err
}

type shopCmd struct {
	ID         string   `arg:"" help:"Short name; it begins the names of its terminals, such as SZ01. 门店编号。"`
	Merchant   string   `required:"" help:"The merchant that is paid. 商户号。"`
	NameZH     string   `name:"name-zh" required:"" help:"Name in Chinese. 中文名。"`
	NameEN     string   `name:"name-en" required:"" help:"Name in English. 英文名。"`
	District   string   `help:"Part of town, as statements of campaigns name it, such as 东城区. 所在区域。"`
	Lat        *float64 `help:"Latitude of the store in degrees, WGS-84 (a Chinese map's GCJ-02 is near enough), with --lon; without them nobody asks whether a wallet can have come from another store. 纬度。"`
	Lon        *float64 `help:"Longitude, likewise. A store whose tills are carried about has none. 经度。流动终端请勿填写。"`
	MerchantZH string   `name:"merchant-zh" help:"The merchant's name in Chinese; the store's without it. 商户中文名。"`
	MerchantEN string   `name:"merchant-en" help:"The merchant's name in English; the store's without it. 商户英文名。"`
}

// Run registers merchant and store.
func (s shopCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	name := pos.Text{ZH: s.NameZH, EN: s.NameEN}
	merchant := pos.Text{ZH: s.MerchantZH, EN: s.MerchantEN}
	if merchant.ZH == "" {
		merchant.ZH = name.ZH
	}
	if merchant.EN == "" {
		merchant.EN = name.EN
	}
	at, err := s.at()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return with(ctx, g, out, func(c *centre) error {
		if err := c.fleet.AddMerchant(ctx, fleet.Merchant{ID: s.Merchant, Name: merchant}, actor()); err != nil {
			return err
		}
		return c.fleet.AddShop(ctx, fleet.Shop{ID: s.ID, Merchant: s.Merchant, Name: name, District: s.District, At: at}, actor())
	})
}

// at is where the store stands; nil when that is not told.
func (s shopCmd) at() (*pos.Point, error) {
	switch {
	case s.Lat == nil && s.Lon == nil:
		return nil, nil //nolint:nilnil // nothing is told
	case s.Lat == nil || s.Lon == nil:
		return nil, pos.FieldError(pos.ErrBadRequest, "place", errors.New("want --lat and --lon, or neither"))
	}
	p, err := pos.PointAt(*s.Lat, *s.Lon)
	return &p, err
}

type codeCmd struct {
	Shop     string `arg:"" help:"The store. 门店编号。"`
	Class    string `help:"Only for this terminal class. 仅限该终端类型。"`
	Devices  int    `default:"1" help:"For how many devices. 台数。"`
	Terminal string `help:"Open this terminal's next epoch instead. 为该终端开启新纪元。"`
	Reason   string `default:"restored" enum:"restored,forked,key_changed,damaged" help:"Why the epoch is opened. 原因。"`
	JSON     bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run prints the code, which is shown once.
func (k codeCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		request := fleet.CodeRequest{Shop: k.Shop, Class: k.Class, Devices: k.Devices, Terminal: k.Terminal, By: actor()}
		if k.Terminal != "" {
			request.Reason = pos.EpochReason(k.Reason)
		}
		code, expires, err := c.fleet.IssueCode(ctx, request)
		if err != nil {
			return err
		}
		if k.JSON {
			return json.NewEncoder(out.Out).Encode(map[string]any{"code": code, "expires": expires.Format(time.RFC3339)})
		}
		_, err = fmt.Fprintf(out.Out, "%s\nvalid until 有效至 %s\n", code, expires.In(pos.Shanghai()).Format(time.DateTime))
		return err
	})
}

type reconcileCmd struct {
	Date string `arg:"" help:"Settlement date, yyyy-mm-dd. 清算日期。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run reconciles; exit 1 when there are breaks.
func (r reconcileCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	date, err := pos.ParseDate(r.Date)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return with(ctx, g, out, func(c *centre) error {
		run, err := c.daily.Reconcile(ctx, date)
		if err != nil {
			return err
		}
		if r.JSON {
			err = json.NewEncoder(out.Out).Encode(run)
		} else {
			_, err = fmt.Fprintf(out.Out, "%s: ours 我方 %d, theirs 对方 %d, matched 匹配 %d, breaks 差异 %d; %s\n",
				run.Date, run.Ours, run.Theirs, run.Matched, run.Breaks, run.Folder)
		}
		if err == nil && run.Breaks > 0 {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
}
