package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

func deviceForPeople(d sdk.Device) string {
	s := strings.Join([]string{cmp.Or(d.Model, d.Name), d.State, d.Port}, "  ")
	if d.Text != nil {
		s += "  " + d.Text.In(cli.Language())
	}
	if d.Hint != nil {
		s += " — " + d.Hint.In(cli.Language())
	}
	return s
}

// DevicesCmd is posctl devices.
type DevicesCmd struct{ tillAt }

// Run lists the devices; exit 1 when one is not well.
func (d DevicesCmd) Run(ctx context.Context, out *cli.Streams) error {
	return d.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		list, err := c.Devices(ctx)
		if err != nil {
			return err
		}
		ill := false
		err = d.show(out.Out, list, func(w io.Writer) error {
			for _, x := range list {
				if _, err := fmt.Fprintf(w, "%-12s %s\n", x.Category, deviceForPeople(x)); err != nil {
					return err
				}
			}
			return nil
		})
		for _, x := range list {
			ill = ill || x.State == "ERROR" || x.State == "CLOSED"
		}
		if err == nil && ill {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
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

// DoctorCmd is posctl doctor.
type DoctorCmd struct{ tillAt }

// check is one thing that the doctor looked at.
type check struct {
	What   pos.Text `json:"what"`
	OK     bool     `json:"ok"`
	Detail string   `json:"detail,omitempty"`
	Hint   pos.Text `json:"hint,omitzero"`
}

// Run looks at everything that store IT would and says what to do; exit 1 when something is wrong.
func (d DoctorCmd) Run(ctx context.Context, out *cli.Streams) error {
	return d.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		checks := examine(st, time.Now())
		err = d.show(out.Out, checks, func(w io.Writer) error {
			for _, k := range checks {
				mark, more := "✓", ""
				if !k.OK {
					mark, more = "✗", " — "+k.Hint.In(cli.Language())
				}
				if _, err := fmt.Fprintf(w, "%s %s  %s%s\n", mark, k.What.In(cli.Language()), k.Detail, more); err != nil {
					return err
				}
			}
			return nil
		})
		for _, k := range checks {
			if err == nil && !k.OK {
				return cli.Exit(cli.Negative, nil)
			}
		}
		return err
	})
}

// clockTolerance is how far the agent's clock may be from the caller's: they are one machine.
const clockTolerance = 5 * time.Second

func examine(s sdk.Status, now time.Time) []check {
	list := []check{
		{
			What: pos.Text{ZH: "已注册", EN: "enrolled"}, OK: s.Terminal != "", Detail: s.Terminal,
			Hint: pos.ErrNotEnrolled.Hint(),
		},
		{
			What: pos.Text{ZH: "与中心连接", EN: "connected to the centre"}, OK: s.Connected,
			Hint: pos.Text{ZH: "检查网络与防火墙(NATS 端口);离线收款仍可用", EN: "check network and firewall (NATS port); offline payments still work"},
		},
		{
			What: pos.Text{ZH: "交易均已上传", EN: "everything is uploaded"}, OK: s.Outbox.Unsent == 0,
			Detail: fmt.Sprintf("%d", s.Outbox.Unsent), Hint: pos.ErrUnsentMoney.Hint(),
		},
		{
			What: pos.Text{ZH: "离线额度充足", EN: "room for offline payments"}, OK: !s.Room.Near,
			Detail: "¥" + s.Room.TotalLeft.String(), Hint: pos.ErrLimitTotal.Hint(),
		},
		{
			What: pos.Text{ZH: "代理时钟", EN: "the agent's clock"}, OK: now.Sub(time.UnixMilli(s.TimeMS)).Abs() < clockTolerance,
			Hint: pos.ErrClock.Hint(),
		},
	}
	for _, d := range s.Devices {
		k := check{What: pos.Text{ZH: d.Category, EN: d.Category}, OK: d.State == "IDLE" || d.State == "BUSY", Detail: deviceForPeople(d)}
		if d.Hint != nil {
			k.Hint = *d.Hint
		}
		list = append(list, k)
	}
	for _, f := range s.Findings {
		list = append(list, check{What: f.Text, OK: f.Severity == "info", Detail: f.Detail, Hint: f.Hint})
	}
	if _, err := os.Stat("/sys/module/pn533_usb"); err == nil {
		list = append(list, check{
			What: pos.Text{ZH: "内核模块 pn533", EN: "kernel module pn533"}, Detail: "/sys/module/pn533_usb",
			Hint: pos.Text{ZH: "该模块会占用 NFC 读卡器,请加入黑名单", EN: "it takes the NFC reader; blacklist it"},
		})
	}
	return list
}
