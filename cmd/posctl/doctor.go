package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/doctor"
	"dcpos/agent/devices/sysfs"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/sdk"
)

// DoctorCmd is posctl doctor.
type DoctorCmd struct {
	tillAt

	Class string `help:"The terminal's class, to tell which devices it needs; else only what is there is looked at. 终端类型。"`
	All   bool   `help:"Also list what is well. 同时列出正常项。"`
}

// Help says how far it sees.
func (DoctorCmd) Help() string {
	return `Looks at the kernel's devices and at the running agent, and says for each finding what it is, by what it was
seen, and what to do. Without an agent it tells what the kernel shows. Run it as the agent's user: permissions
are those of who asks. Exit 1 when a finding is an error.
检查外设与终端:发现什么、依据什么、怎么办;有错误时退出码为 1。`
}

// Run looks at everything that store IT would; exit 1 when a finding is an error.
func (d DoctorCmd) Run(ctx context.Context, out *cli.Streams) error {
	bench := doctor.Bench{Tree: sysfs.Host()}
	if d.Class != "" {
		class, err := profiles.FindClass(d.Class)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		bench.Class = &class
	}
	var findings []doctor.Finding
	err := d.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if findings = examine(st, time.Now()); st.Terminal == "" {
			return nil // its devices are not in use yet
		}
		bench.Asked = true
		bench.Devices, err = asked(ctx, c)
		return err
	})
	if err != nil {
		findings = append(findings, silence(err))
	}
	more, err := doctor.Examine(bench)
	if err != nil {
		return err
	}
	findings = append(findings, more...)
	if err := d.show(out.Out, findings, func(w io.Writer) error { return d.forPeople(w, findings) }); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Severity == doctor.Error {
			return cli.Exit(cli.Negative, nil)
		}
	}
	return nil
}

// asked are the agent's devices with what was done to heal them.
func asked(ctx context.Context, c *sdk.Client) ([]doctor.Device, error) {
	list, err := c.Devices(ctx)
	if err != nil {
		return nil, err
	}
	out := []doctor.Device{}
	for _, d := range list.Devices {
		detail, err := c.Device(ctx, d.Name)
		if err != nil {
			return nil, err
		}
		x := doctor.Device{
			Name: d.Name, Role: d.Role, Category: d.Category, Profile: d.Profile, Port: d.Port, USB: d.USB,
			Bound: d.Bound, Pinned: d.Pinned,
			State: devices.State(d.State), Reason: d.Reason, Hung: detail.Healing["hung"],
		}
		if d.Framing != nil {
			x.Framing, x.Learned = framing(*d.Framing), d.Framing.From == devices.FramingLearned
		}
		if d.Text != nil && d.Hint != nil {
			x.Text, x.Hint = *d.Text, *d.Hint
		}
		if d.Works() && d.Owner == "" { // politely: who uses it goes first
			x.Ill, x.Advice = ill(ctx, c, d.Name)
		}
		out = append(out, x)
	}
	return out, nil
}

// ill is what a device's own check finds wrong; nothing when it could not be asked.
func ill(ctx context.Context, c *sdk.Client, name string) (text, hint pos.Text) {
	h, err := c.CheckDevice(ctx, name, "internal")
	if err != nil || h.OK || h.Text == nil || h.Hint == nil {
		return text, hint
	}
	return *h.Text, *h.Hint
}

// silence is the finding that no agent answers.
func silence(err error) doctor.Finding {
	return doctor.Finding{
		Code: "agent", Severity: doctor.Error, Evidence: err.Error(),
		Text: pos.Text{ZH: "收银代理没有应答,只检查了内核可见的部分", EN: "no agent answers; only what the kernel shows was looked at"},
		Hint: pos.Text{
			ZH: "systemctl status posagent;套接字路径可用 --socket 指定,当前用户须有权限",
			EN: "systemctl status posagent; --socket names its socket, which this user has to be allowed to open",
		},
	}
}

func (d DoctorCmd) forPeople(w io.Writer, findings []doctor.Finding) error {
	lang := cli.Language()
	count := map[doctor.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
		if f.Severity == doctor.OK && !d.All {
			continue
		}
		sign := map[doctor.Severity]string{doctor.Error: "✗", doctor.Warning: "!", doctor.Info: "·", doctor.OK: "✓"}[f.Severity]
		if _, err := fmt.Fprintf(w, "%s %s\n", sign, f.Text.In(lang)); err != nil {
			return err
		}
		if f.Evidence != "" {
			if _, err := fmt.Fprintf(w, "    %s\n", f.Evidence); err != nil {
				return err
			}
		}
		if hint := f.Hint.In(lang); hint != "" && f.Severity != doctor.OK {
			if _, err := fmt.Fprintf(w, "    → %s\n", hint); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, say("%d 个错误,%d 个警告,%d 个提示,%d 项正常\n", "%d errors, %d warnings, %d notes, %d well\n"),
		count[doctor.Error], count[doctor.Warning], count[doctor.Info], count[doctor.OK])
	return err
}

// clockTolerance is how far the agent's clock may be from the caller's: they are one machine.
const clockTolerance = 5 * time.Second

// examine looks at the till itself.
func examine(s sdk.Status, now time.Time) []doctor.Finding {
	look := func(code string, well bool, bad doctor.Severity, text pos.Text, evidence string, hint pos.Text) doctor.Finding {
		if well {
			bad = doctor.OK
		}
		return doctor.Finding{Code: code, Severity: bad, Text: text, Evidence: evidence, Hint: hint}
	}
	enrolled := look("enrolled", s.Terminal != "", doctor.Error, pos.Text{ZH: "注册", EN: "enrolment"}, s.Terminal, pos.ErrNotEnrolled.Hint())
	if s.Terminal == "" { // then it does nothing yet that could be looked at
		return []doctor.Finding{enrolled, look("unused", false, doctor.Info,
			pos.Text{ZH: "注册后才启用外设,只检查了内核可见的部分", EN: "devices are used once the till is enrolled; only what the kernel shows was looked at"}, "", pos.Text{})}
	}
	list := []doctor.Finding{
		enrolled,
		look("centre", s.Connected, doctor.Error, pos.Text{ZH: "与中心的连接", EN: "connection to the centre"}, "",
			pos.Text{ZH: "检查网络与防火墙(NATS 端口);离线收款仍可用", EN: "check network and firewall (NATS port); offline payments still work"}),
		look("unsent", s.Outbox.Unsent == 0, doctor.Warning, pos.Text{ZH: "上传交易", EN: "upload of payments"},
			fmt.Sprintf("%d unsent 未上传", s.Outbox.Unsent), pos.ErrUnsentMoney.Hint()),
		look("room", !s.Room.Near, doctor.Warning, pos.Text{ZH: "离线额度", EN: "room for offline payments"},
			"¥"+s.Room.TotalLeft.String(), pos.ErrLimitTotal.Hint()),
		look("clock", now.Sub(time.UnixMilli(s.TimeMS)).Abs() < clockTolerance, doctor.Error, pos.Text{ZH: "时钟", EN: "the clock"},
			time.UnixMilli(s.TimeMS).Format(time.RFC3339), pos.ErrClock.Hint()),
	}
	for _, f := range s.Findings {
		severity := map[string]doctor.Severity{"info": doctor.Info, "warning": doctor.Warning, "stop": doctor.Error}[f.Severity]
		list = append(list, doctor.Finding{Code: f.Code, Severity: severity, Text: f.Text, Evidence: f.Detail, Hint: f.Hint})
	}
	return list
}
