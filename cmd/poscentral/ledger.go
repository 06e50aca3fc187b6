package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"dcpos/central/console"
	"dcpos/central/ledger"
	"dcpos/internal/cli"
	"dcpos/pos"
)

type ledgerCmd struct {
	JSON         bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
	Payments     bool `help:"With every payment and its state at the till and here. 列出全部支付。"`
	Transactions bool `help:"With every transaction and its postings. 列出全部分录。"`
}

// Help says when it is right to look.
func (ledgerCmd) Help() string {
	return `Reads the ledger, also beside a running centre: balances, their sum (zero), terminals.
Exit 1: the sum is not zero, or a balance is not the sum of its postings.
只读查看总账;合计不为零时退出码为 1。`
}

// ledgerReport is what the command prints as JSON. Amounts are fen.
type ledgerReport struct {
	Balanced     bool                 `json:"balanced"`
	Sum          pos.Money            `json:"sum"`
	Wrong        []string             `json:"wrong,omitempty"`
	Accounts     []ledger.Balance     `json:"accounts"`
	Open         console.Open         `json:"open"` // what the centre is still asking about
	Terminals    []terminalReport     `json:"terminals"`
	Payments     []paymentReport      `json:"payments,omitempty"`
	Transactions []ledger.Transaction `json:"transactions,omitempty"`
}

// terminalReport is how the centre stands with one terminal.
type terminalReport struct {
	ID     string `json:"id"`
	State  string `json:"state"` // active, quarantined, suspended
	Reason string `json:"reason,omitempty"`
	Epoch  uint32 `json:"epoch"`
	Kept   uint64 `json:"kept"` // last entry of the open epoch that is kept
	Gap    uint64 `json:"gap,omitempty"`
	Unsent uint64 `json:"unsent"`
}

// paymentReport is one payment; Till is the journal's state, Centre the centre's.
type paymentReport struct {
	ID             string    `json:"id"`
	Terminal       string    `json:"terminal"`
	Merchant       string    `json:"merchant"`
	Amount         pos.Money `json:"amount"`
	Till           pos.State `json:"till,omitempty"`
	Centre         pos.State `json:"centre,omitempty"`
	Institution    string    `json:"institution,omitempty"`
	SettlementDate pos.Date  `json:"settlement_date,omitempty"`
}

// Run prints the ledger.
func (l ledgerCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		r, err := l.read(ctx, c)
		if err != nil {
			return err
		}
		if l.JSON {
			err = json.NewEncoder(out.Out).Encode(r)
		} else {
			err = r.print(out.Out)
		}
		if err == nil && !r.Balanced {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
}

func (l ledgerCmd) read(ctx context.Context, c *centre) (ledgerReport, error) {
	book := c.store.Ledger()
	trial, err := book.Trial(ctx, "")
	if err != nil {
		return ledgerReport{}, err
	}
	r := ledgerReport{Balanced: trial.Balanced(), Sum: trial.Sum, Wrong: trial.Wrong, Accounts: trial.Accounts}
	if r.Terminals, err = terminals(ctx, c.store.Console()); err != nil {
		return r, err
	}
	if r.Open, err = c.store.Console().Open(ctx); err != nil {
		return r, err
	}
	if l.Payments {
		if r.Payments, err = payments(ctx, c.store.Console()); err != nil {
			return r, err
		}
	}
	if l.Transactions {
		r.Transactions, err = transactions(ctx, book, trial.Accounts)
	}
	return r, err
}

// page is how much is read at once.
const page = 1000

func terminals(ctx context.Context, s console.Store) ([]terminalReport, error) {
	var all []terminalReport
	for after := ""; ; {
		list, err := s.Tills(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			all = append(all, terminalReport{
				ID: t.ID, State: t.State, Reason: t.Reason, Epoch: t.Epoch, Kept: t.Kept, Gap: t.GapFrom, Unsent: t.Unsent,
			})
			after = t.ID
		}
		if len(list) < page {
			return all, nil
		}
	}
}

// maxPayments bounds a listing; a ledger with more is read by date in the console.
const maxPayments = 1_000_000

func payments(ctx context.Context, s console.Store) ([]paymentReport, error) {
	list, err := s.Payments(ctx, console.Filter{Limit: maxPayments})
	if err != nil {
		return nil, err
	}
	all := make([]paymentReport, 0, len(list))
	for _, p := range list {
		all = append(all, paymentReport{
			ID: p.ID, Terminal: p.Terminal, Merchant: p.Merchant, Amount: p.Amount, Till: p.Till, Centre: p.Centre,
			Institution: p.Institution, SettlementDate: p.SettlementDate,
		})
	}
	return all, nil
}

// transactions joins the accounts' statements to transactions, in the order of posting.
func transactions(ctx context.Context, book ledger.Book, accounts []ledger.Balance) ([]ledger.Transaction, error) {
	found := make(map[int64]ledger.Transaction)
	for _, a := range accounts {
		for after := int64(0); ; {
			lines, err := book.Statement(ctx, a.Account, after, page)
			if err != nil {
				return nil, err
			}
			for _, l := range lines {
				t := found[l.Number]
				t.Key, t.Date = l.Key, l.Date
				t.Postings = append(t.Postings, ledger.Posting{Account: l.Account, Amount: l.Amount})
				found[l.Number], after = t, l.Number
			}
			if len(lines) < page {
				break
			}
		}
	}
	all := make([]ledger.Transaction, 0, len(found))
	for _, n := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[n])
	}
	return all, nil
}

func (r ledgerReport) print(w io.Writer) error {
	var b strings.Builder
	for _, a := range r.Accounts {
		fmt.Fprintf(&b, "%16s  %s\n", a.Amount, a.Account)
	}
	fmt.Fprintf(&b, "%16s  合计 sum\n", r.Sum)
	fmt.Fprintf(&b, "待查 open: %d payments, %d refunds\n", r.Open.Payments, r.Open.Refunds)
	for _, name := range r.Wrong {
		fmt.Fprintf(&b, "错误 wrong: %s\n", name)
	}
	for _, t := range r.Terminals {
		fmt.Fprintf(&b, "%s %s %s epoch %d kept %d unsent %d\n", t.ID, t.State, t.Reason, t.Epoch, t.Kept, t.Unsent)
	}
	for _, p := range r.Payments {
		fmt.Fprintf(&b, "%s %s %10s till %s centre %s %s\n", p.ID, p.Terminal, p.Amount, p.Till, p.Centre, p.Institution)
	}
	for _, t := range r.Transactions {
		fmt.Fprintf(&b, "%s\n", t)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
