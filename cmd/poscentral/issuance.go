package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/office"
	"dcpos/central/issuance"
	"dcpos/cmd/poscentral/envelopes"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// issuing opens the room that gives envelopes out. Its clock is the campaigns'.
func (c *centre) issuing(o *office.Office) (*issuance.Desk, error) {
	sms, err := c.settings.Campaign.sms()
	if err != nil {
		return nil, cli.Exit(cli.Usage, fmt.Errorf("campaign.sms: %w", err))
	}
	return issuance.New(issuance.Config{
		Store: c.store.Issuances(), Institutions: c.banks, Source: &envelopes.Drawn{Office: o}, People: envelopes.People{Office: o},
		SMS: sms, Now: o.Now, Log: c.log,
	})
}

// withIssuance opens the centre, its campaigns and issuance for one command.
func withIssuance(ctx context.Context, g *grammar, out *cli.Streams, do func(c *centre, o *office.Office, d *issuance.Desk) error) error {
	return withOffice(ctx, g, out, func(c *centre, o *office.Office) error {
		d, err := c.issuing(o)
		if err != nil {
			return err
		}
		return do(c, o, d)
	})
}

type campaignOfferCmd struct {
	Name       string        `arg:"" help:"A drawn campaign. 已抽签的活动。"`
	ClaimUntil string        `help:"'yyyy-mm-dd hh:mm' in Shanghai; who has not claimed by then claims no more; default: the end of the spend window. 领取截止。"`
	Grace      time.Duration `default:"168h" help:"How long the recall waits for tills that come late. 收回宽限期。"`
	Now        bool          `help:"Do what is due now, without a running centre. 立即执行到期工作。"`
}

// Help says who does the work.
func (campaignOfferCmd) Help() string {
	return `Begins to give a drawn campaign's envelopes out. A running centre does the rest by itself: it orders envelopes at the
institutions that winners chose, tells the winners, books claims, withdraws what nobody has claimed, and recalls what is left
after the window. Again it is a repeat. 开始发放;运行中的中心自动完成通知、领取入账与到期收回。`
}

// Run begins; with --now it also does the rounds.
func (k campaignOfferCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	terms := envelopes.Terms{Grace: k.Grace}
	if k.ClaimUntil != "" {
		var err error
		if terms.ClaimUntil, err = campaign.ParseFirst(k.ClaimUntil); err != nil {
			return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "claim_until", err))
		}
	}
	return withIssuance(ctx, g, out, func(_ *centre, o *office.Office, d *issuance.Desk) error {
		if err := envelopes.Begin(ctx, o, d, k.Name, terms, actor()); err != nil {
			return refusedAsNegative(err)
		}
		if k.Now {
			if err := d.Drain(ctx); err != nil {
				return err
			}
		}
		return progress(ctx, out.Out, d, k.Name, false)
	})
}

// refusedAsNegative gives what is no failure, but not to be done now, its exit code.
func refusedAsNegative(err error) error {
	if pos.CodeOf(err) == pos.ErrIllegalMove {
		return cli.Exit(cli.Negative, err)
	}
	return err
}

type campaignPaceCmd struct {
	Institution string `arg:"" help:"Its code. 机构代码。"`
	PerSecond   int    `arg:"" help:"Envelopes a second, by all campaigns together; 0 stops it. 每秒发送数。"`
}

// Run sets the pace of an institution.
func (k campaignPaceCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(_ *centre, _ *office.Office, d *issuance.Desk) error {
		if err := d.Pace(ctx, k.Institution, k.PerSecond, actor()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.Out, "%s: %d a second, from the next round on 每秒 %d 个\n", k.Institution, k.PerSecond, k.PerSecond)
		return err
	})
}

type campaignProgressCmd struct {
	Name string `arg:"" help:"The campaign. 活动名。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run shows how far issuance is.
func (k campaignProgressCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(_ *centre, _ *office.Office, d *issuance.Desk) error {
		return progress(ctx, out.Out, d, k.Name, k.JSON)
	})
}

func progress(ctx context.Context, out io.Writer, d *issuance.Desk, name string, asJSON bool) error {
	is, p, err := d.Progress(ctx, name)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			Campaign string            `json:"campaign"`
			Standing issuance.Standing `json:"standing"`
			Seeded   int64             `json:"seeded"`
			issuance.Progress
		}{name, is.Standing, is.Seeded, p})
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(what string, v any) { _, _ = fmt.Fprintf(w, "%s\t%v\n", what, v) } // Flush tells of an error
	line("campaign 活动", name)
	line("issuance 发放", is.Standing.Text().Both())
	for _, s := range issuance.States() {
		if n := p.Counts[s]; n > 0 {
			line(s.Text().Both(), fmt.Sprintf("%d, ¥%s", n, p.Faces[s]))
		}
	}
	line("claimed in all 累计领取", fmt.Sprintf("%d, ¥%s", p.Claimed, p.Activated))
	line("spent 已使用", "¥"+p.Spent.String())
	line("back from wallets 从钱包收回", "¥"+p.Recalled.String())
	for _, x := range []struct {
		what string
		n    int64
	}{
		{"tries failed 失败重试", p.Failing},
		{"books differ 余额不符", p.Differs},
		{"shares not recognised 不予承认", p.Refused},
		{"late, two people decide 待双人裁定", p.Held},
		{"tills behind 未同步终端", p.Behind},
	} {
		if x.n > 0 {
			line(x.what, x.n)
		}
	}
	if p.Example != "" {
		line("such as 例如", p.Example)
	}
	_, _ = fmt.Fprintln(w, "\ninstitution 机构\toffered 已通知\tclaimed 已领取\tspent 已使用\tback 已收回\tfailing 失败\tper second 每秒")
	for _, code := range is.Institutions {
		b := p.Banks[code]
		_, _ = fmt.Fprintf(w, "%s\t%d/%d\t%d\t¥%s\t¥%s\t%d\t%d\n", code, b.Offered, b.Envelopes, b.Claimed, b.Spent, b.Recalled, b.Failing, b.PerSecond)
	}
	return w.Flush()
}

type campaignSuspendCmd struct {
	Name   string `arg:"" help:"The campaign. 活动名。"`
	Resume bool   `help:"Go on instead. 恢复发放。"`
}

// Run suspends or resumes.
func (k campaignSuspendCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(_ *centre, _ *office.Office, d *issuance.Desk) error {
		turn := d.Suspend
		if k.Resume {
			turn = d.Resume
		}
		if err := turn(ctx, k.Name, actor()); err != nil {
			return err
		}
		return progress(ctx, out.Out, d, k.Name, false)
	})
}

type campaignProposeCmd struct {
	What    string `arg:"" enum:"cancel,honour,refuse" help:"cancel a campaign's issuance, honour or refuse a late payment. 取消发放、承认或拒绝迟到支付。"`
	Subject string `arg:"" help:"The campaign, or the payment's id. 活动名或支付编号。"`
	Reason  string `required:"" help:"Why; the other person reads it. 理由。"`
}

// Run proposes; somebody else decides.
func (k campaignProposeCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(_ *centre, _ *office.Office, d *issuance.Desk) (err error) {
		name, id := k.Subject, pos.PaymentID{}
		if k.What != string(issuance.Cancel) {
			if id, err = pos.ParsePaymentID(k.Subject); err != nil {
				return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "payment", err))
			}
			name = ""
		}
		if err := d.Propose(ctx, issuance.Action(k.What), name, id, actor(), k.Reason); err != nil {
			return err
		}
		return waiting(ctx, out.Out, d)
	})
}

type campaignDecideCmd struct {
	Number int64 `arg:"" optional:"" help:"The proposal; without it, all that waits is listed. 提议编号。"`
	Reject bool  `help:"Reject instead of confirming. 驳回。"`
}

// Run lists what waits, or decides; who proposed cannot.
func (k campaignDecideCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(_ *centre, _ *office.Office, d *issuance.Desk) error {
		if k.Number > 0 {
			if err := d.Decide(ctx, k.Number, actor(), !k.Reject); err != nil {
				return err
			}
		}
		return waiting(ctx, out.Out, d)
	})
}

func waiting(ctx context.Context, out io.Writer, d *issuance.Desk) error {
	lates, open, err := d.Waiting(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, l := range lates {
		_, _ = fmt.Fprintf(w, "late 迟到支付\t%s\t%s\t%s\n", l.Payment, l.Campaign, l.Terminal)
	}
	for _, p := range open {
		_, _ = fmt.Fprintf(w, "proposal 提议 %d\t%s\t%s\t%s: %s\n", p.Number, p.What, p.Campaign, p.By, p.Reason)
	}
	return w.Flush()
}

type campaignStatementCmd struct {
	Name string `arg:"" help:"The campaign. 活动名。"`
	Out  string `type:"path" default:"." help:"Folder for NAME.json and for .csv, .xlsx and .pdf in both languages. 输出目录。"`
}

// Run writes the statement for the government.
func (k campaignStatementCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withIssuance(ctx, g, out, func(c *centre, o *office.Office, d *issuance.Desk) error {
		s, err := envelopes.Statement(ctx, o, d, c.store, k.Name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(k.Out, 0o750); err != nil {
			return err
		}
		for _, file := range [][2]string{{"json", ""}, {"csv", "zh"}, {"csv", "en"}, {"xlsx", "zh"}, {"xlsx", "en"}, {"pdf", "zh"}, {"pdf", "en"}} {
			name := k.Name
			if file[1] != "" {
				name += "." + file[1]
			}
			f, err := os.Create(filepath.Join(k.Out, name+"."+file[0])) //nolint:gosec // the folder that the operator names
			if err != nil {
				return err
			}
			if err := errors.Join(s.Export(f, file[0], file[1]), f.Close()); err != nil {
				return err
			}
		}
		w := tabwriter.NewWriter(out.Out, 0, 4, 2, ' ', 0)
		for _, f := range s.Figures() {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", f.Text.Both(), f)
		}
		return w.Flush()
	})
}
