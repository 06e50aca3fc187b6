package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dcpos/central/ledger"
	"dcpos/internal/cli"
	"dcpos/pos"
)

type suspenseCmd struct {
	List    suspenseListCmd    `cmd:"" default:"withargs" help:"List what waits (the default). 列出挂账。"`
	Propose suspenseProposeCmd `cmd:"" help:"Say what was found; nothing moves yet. 提议处理方式。"`
	Confirm suspenseConfirmCmd `cmd:"" help:"Carry a proposal out; another person than who proposed. 由另一人确认。"`
	Reject  suspenseRejectCmd  `cmd:"" help:"End a proposal; the money stays. 驳回提议。"`
}

type suspenseListCmd struct {
	JSON bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// maxHeld bounds a listing.
const maxHeld = 10_000

// Run lists; exit 1 when anything waits.
func (l suspenseListCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		held, err := c.store.Suspense().Waiting(ctx, maxHeld)
		if err != nil {
			return err
		}
		if l.JSON {
			err = json.NewEncoder(out.Out).Encode(held)
		}
		for _, h := range held {
			if l.JSON || err != nil {
				break
			}
			said := ""
			if p := h.Proposal; p != nil {
				said = fmt.Sprintf(" %s — %s: %s", p.Decision.Text().Both(), p.By, p.Reason)
			}
			_, err = fmt.Fprintf(out.Out, "%s %s %10s %s%s\n", h.Key, h.Terminal, h.Amount, h.Date, said)
		}
		if err == nil && len(held) > 0 {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
}

type suspenseProposeCmd struct {
	Key      string `arg:"" help:"As the list shows it. 挂账编号。"`
	Decision string `arg:"" enum:"credit,write_off,retry,pay_out" help:"credit: the merchant gets it; write_off: it never was; of late money, retry: ask for the refund once more; pay_out: the customer got it back otherwise. 处理方式。"`
	Reason   string `required:"" help:"Why. 原因。"`
}

// Run proposes.
func (p suspenseProposeCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		return ledger.Propose(ctx, c.store.Suspense(), p.Key, ledger.Decision(p.Decision), p.Reason, actor())
	})
}

type suspenseConfirmCmd struct {
	Key string `arg:"" help:"As the list shows it. 挂账编号。"`
}

// Run confirms.
func (k suspenseConfirmCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		return ledger.Confirm(ctx, c.store.Suspense(), k.Key, actor(), pos.DateOf(time.Now(), 0))
	})
}

type suspenseRejectCmd struct {
	Key string `arg:"" help:"As the list shows it. 挂账编号。"`
}

// Run rejects.
func (k suspenseRejectCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error { return ledger.Reject(ctx, c.store.Suspense(), k.Key, actor()) })
}
