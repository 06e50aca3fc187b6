package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/internal/cli"
	"dcpos/pos"
)

type campaignReviseCmd struct {
	draftArgs
	Reason string `help:"Why; without it nothing is proposed, the difference is shown. 理由;不填则只显示差异。"`
}

// Help says what follows.
func (campaignReviseCmd) Help() string {
	return `Proposes the definition as the next version of the published campaign of its name. Another person confirms it (campaign adopt, or
the console); then it is published for good like the first one: logged, witnessed, the budget's change booked. A published version
never changes. The last moment is one minute before registration opens.
提议新版本,须另一人确认;报名开始前一分钟截止;已发布的版本不变。`
}

// Run shows the difference, and proposes.
func (k campaignReviseCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	d, err := k.draft()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		c, p, t, err := o.CheckRevision(ctx, d)
		if err == nil && k.Reason != "" {
			err = o.Propose(ctx, d, k.Reason)
		}
		if err != nil {
			return cli.Exit(cli.Negative, err)
		}
		if err := showChanges(out.Out, c, p); err != nil {
			return err
		}
		at, err := draw.TimeOf(t.Beacon.Chain, t.Beacon.Round)
		if err != nil {
			return err
		}
		word := "can be proposed 可提议"
		if k.Reason != "" {
			word = "waits for another person 待另一人确认"
		}
		_, err = fmt.Fprintf(out.Out, "%s: %s; version 版本 %d; round 轮次 %d at %s; sha256 %s\n",
			p.Definition.Name, word, p.Version, t.Beacon.Round, at.In(pos.Shanghai()).Format(time.DateTime), p.Hash)
		return err
	})
}

// showChanges prints what the next version has differently.
func showChanges(out io.Writer, c office.Campaign, p campaign.Published) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "part 内容\tfield 字段\tin force 现行\tnext 新版") // Flush tells of an error
	for _, x := range campaign.Changes(c.Published, p) {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Text.Both(), x.Field, x.Old, x.New)
	}
	if more := p.Definition.Budget - c.Definition.Budget; more != 0 {
		_, _ = fmt.Fprintf(w, "budget's change 预算变动\t\t\t¥%s\n", more)
	}
	return w.Flush()
}

type campaignAdoptCmd struct {
	Number int64 `arg:"" optional:"" help:"Of the proposed version; without it they are listed. 提议编号;不填则列出。"`
	Reject bool  `help:"Reject it instead. 驳回。"`
}

// Run lists what waits, or decides.
func (k campaignAdoptCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		if k.Number != 0 {
			if err := o.Decide(ctx, k.Number, actor(), !k.Reject); err != nil {
				return refusedAsNegative(err)
			}
			return nil
		}
		all, err := o.Revisions(ctx)
		if err != nil {
			return err
		}
		for _, r := range all {
			c, err := o.Campaign(ctx, r.Published.Definition.Name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out.Out, "%d  %s  version 版本 %d  by %s: %s  sha256 %s\n",
				r.Number, r.Published.Definition.Name, r.Published.Version, r.By, r.Reason, r.Published.Hash)
			if err = errors.Join(err, showChanges(out.Out, c, r.Published)); err != nil {
				return err
			}
		}
		return nil
	})
}
