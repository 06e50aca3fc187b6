package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/sdk"
)

// tillAt says which running agent is meant.
type tillAt struct {
	Socket  string        `default:"/run/posagent/api.sock" env:"DCPOS_SOCKET" help:"The agent's Unix socket. 本地接口套接字。"`
	URL     string        `help:"Instead of the socket: the agent's loopback address. 本机网址。" env:"DCPOS_URL"`
	Token   string        `help:"Token for --url. 访问令牌。" env:"DCPOS_TOKEN"`
	Timeout time.Duration `default:"10s" help:"How long to wait. 超时。"`
	JSON    bool          `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// ask runs do with a client and a deadline, and turns "nobody there" into exit 3.
func (t tillAt) ask(ctx context.Context, do func(context.Context, *sdk.Client) error) error {
	o := sdk.Options{Socket: t.Socket, Caller: "posctl", Tries: 2}
	if t.URL != "" {
		o = sdk.Options{URL: t.URL, Token: t.Token, Tries: 2}
	}
	c, err := sdk.New(o)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	err = do(ctx, c)
	if _, nobody := errors.AsType[*sdk.Unreachable](err); nobody {
		return cli.Exit(cli.Unreachable, err)
	}
	return err
}

func (t tillAt) show(w io.Writer, v any, people func(w io.Writer) error) error {
	if t.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return people(w)
}

// StatusCmd is posctl status.
type StatusCmd struct{ tillAt }

// Run prints how the till stands; exit 1 when something stops it from selling.
func (s StatusCmd) Run(ctx context.Context, out *cli.Streams) error {
	return s.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if err := s.show(out.Out, st, func(w io.Writer) error { return statusForPeople(w, st) }); err != nil {
			return err
		}
		for _, f := range st.Findings {
			if f.Severity == "stop" {
				return cli.Exit(cli.Negative, nil)
			}
		}
		if st.Terminal == "" {
			return cli.Exit(cli.Negative, nil)
		}
		return nil
	})
}

func say(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(cli.Language()) }

func statusForPeople(out io.Writer, s sdk.Status) error {
	if s.Terminal == "" {
		_, err := fmt.Fprintln(out, say("本机尚未注册;请运行 posctl enroll", "this till is not enrolled; run posctl enroll"))
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(what, v string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", what, v) }
	line(say("终端", "terminal"), s.Terminal+"  "+s.Notice.Both())
	line(say("门店", "store"), s.StoreName.In(cli.Language())+" ("+s.Store+", "+s.Merchant+")")
	link := say("已连接", "connected")
	if !s.Connected {
		link = say("未连接", "not connected")
	}
	line(say("中心", "centre"), link)
	line(say("账簿", "journal"), fmt.Sprintf(say("纪元 %d,第 %d 条,未上传 %d 条", "epoch %d, entry %d, %d unsent"), s.Outbox.Epoch, s.Outbox.Seq, s.Outbox.Unsent))
	line(say("离线", "offline"), fmt.Sprintf(say("%d 笔 ¥%s,还可受理 ¥%s", "%d payments ¥%s, room for ¥%s"),
		s.Room.Stored.Count, s.Room.Stored.Total, s.Room.TotalLeft))
	line(say("规则", "policy"), policyForPeople(s.Rules))
	for _, e := range s.Room.Edges {
		line("! "+string(e.Code), e.Text.In(cli.Language())+" — "+e.Hint.In(cli.Language()))
	}
	if f := s.Fare; f != nil && f.Open {
		line(say("闸机", "gate"), "¥"+f.Amount.String())
	} else if f != nil && f.Why != nil {
		line(say("闸机", "gate"), f.Why.Text.In(cli.Language())+" — "+f.Why.Hint.In(cli.Language()))
	}
	if s.Operator != nil {
		line(say("收银员", "operator"), s.Operator.Number+" "+s.Operator.Name)
	}
	for _, d := range s.Devices {
		line(d.Category, deviceForPeople(d))
	}
	for _, f := range s.Findings {
		line("! "+f.Code, f.Text.In(cli.Language())+" — "+f.Hint.In(cli.Language()))
	}
	for _, n := range s.Notices {
		line("* "+time.UnixMilli(n.AtMS).Format(time.TimeOnly), n.Text.In(cli.Language()))
	}
	return w.Flush()
}

func policyForPeople(r sdk.Rules) string {
	if r.Version == 0 {
		return say("无", "none")
	}
	text := fmt.Sprintf(say("第 %d 版(%s)", "version %d of the %s"), r.Version, r.Scope)
	if r.ExpiresMS > 0 {
		text += say(",到期 ", ", expires ") + time.UnixMilli(r.ExpiresMS).Format(time.DateTime)
	}
	if r.NextVersion > 0 {
		text += fmt.Sprintf(say(";第 %d 版 %s 生效", "; version %d from %s"), r.NextVersion, time.UnixMilli(r.NextMS).Format(time.DateTime))
	}
	return text
}

func deviceForPeople(d sdk.Device) string {
	s := strings.Join([]string{cmp.Or(d.Model, d.Name), d.StateText.In(cli.Language()), d.Port}, "  ")
	if d.Text != nil {
		s += "  " + d.Text.In(cli.Language())
	}
	if d.Hint != nil {
		s += " — " + d.Hint.In(cli.Language())
	}
	return s
}

// OutboxCmd is posctl outbox.
type OutboxCmd struct {
	tillAt
	Empty bool `help:"Exit 1 unless everything is receipted: the gate before updates. 未清空则退出码 1。"`
}

// Run prints what the centre has not receipted.
func (o OutboxCmd) Run(ctx context.Context, out *cli.Streams) error {
	return o.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		box := st.Outbox
		err = o.show(out.Out, box, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, say("未上传 %d 条,其中离线收款 %d 笔 ¥%s;纪元 %d,第 %d 条,已确认至第 %d 条\n",
				"%d entries unsent, %d offline payments of ¥%s among them; epoch %d, entry %d, receipted up to %d\n"),
				box.Unsent, box.Money.Count, box.Money.Total, box.Epoch, box.Seq, box.Receipted)
			return err
		})
		if err == nil && o.Empty && box.Unsent > 0 {
			return cli.Exit(cli.Negative, pos.NewError(pos.ErrUnsentMoney, fmt.Errorf("%d entries", box.Unsent)))
		}
		return err
	})
}

// EnrollCmd is posctl enroll.
type EnrollCmd struct {
	tillAt
	Centre string `required:"" help:"The centre's address, such as https://pos.example.cn. 中心地址。"`
	Code   string `required:"" help:"The one-time code. 一次性注册码。"`
}

// Run makes the running agent a terminal.
func (e EnrollCmd) Run(ctx context.Context, out *cli.Streams) error {
	return e.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		who, err := c.Enroll(ctx, e.Centre, e.Code)
		if err != nil {
			return err
		}
		return e.show(out.Out, who, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, say("已注册为 %s(门店 %s,商户 %s)\n", "enrolled as %s (store %s, merchant %s)\n"),
				who.Terminal, who.Store, who.Merchant)
			return err
		})
	})
}
