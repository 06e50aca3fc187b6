package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"dcpos/agent/identity"
	"dcpos/agent/operator"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
)

type operatorCmd struct {
	Add    operatorAddCmd    `cmd:"" help:"Add an operator, or give one a new name, role and PIN. 新增或修改收银员。"`
	Remove operatorRemoveCmd `cmd:"" help:"Bar an operator from signing in. 停用收银员。"`
	List   operatorListCmd   `cmd:"" help:"List the operators. 收银员列表。"`
}

type operatorAddCmd struct {
	Number string `arg:"" help:"Number to sign in with. 工号。"`
	Name   string `required:"" help:"Name on receipts. 姓名。"`
	Role   string `default:"cashier" enum:"cashier,supervisor" help:"cashier, or supervisor who may refund. 角色。"`
}

// Run adds the operator; the PIN is read from the terminal or standard input.
func (o operatorAddCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	pin, err := readPIN(out)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	hash, err := operator.Hash(pin)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return withStore(ctx, g, func(s *offline.Store) error {
		return s.AddOperator(ctx, o.Number, o.Name, o.Role, hash)
	})
}

type operatorRemoveCmd struct {
	Number string `arg:"" help:"Number. 工号。"`
}

// Run bars the operator.
func (o operatorRemoveCmd) Run(ctx context.Context, g *grammar) error {
	return withStore(ctx, g, func(s *offline.Store) error { return s.RemoveOperator(ctx, o.Number) })
}

type operatorListCmd struct{}

// Run lists number, role and name.
func (operatorListCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withStore(ctx, g, func(s *offline.Store) error {
		list, err := s.Operators(ctx)
		if err != nil {
			return err
		}
		for _, o := range list {
			state := ""
			if !o.Active {
				state = "停用 barred"
			}
			if _, err := fmt.Fprintf(out.Out, "%-8s %-11s %s %s\n", o.Number, o.Role, o.Name, state); err != nil {
				return err
			}
		}
		return nil
	})
}

// withStore opens the journal beside a running agent: without its key, so that no
// entry can be written here.
func withStore(ctx context.Context, g *grammar, do func(*offline.Store) error) (err error) {
	s, _, err := load(g.Config)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	folder := identity.Folder(s.Data)
	id, err := folder.Load()
	if err != nil {
		return pos.NewError(pos.ErrNotEnrolled, err)
	}
	store, err := offline.Open(ctx, offline.Config{Path: folder.Journal(), Env: id.Env, Terminal: id.Terminal})
	if errors.Is(err, fs.ErrNotExist) {
		return pos.NewError(pos.ErrNotEnrolled, err)
	}
	if err != nil {
		return err
	}
	defer func() {
		// The agent beside us keeps the WAL; that it stays is no failure of ours.
		_ = store.Close()
	}()
	return do(store)
}

// maxPIN bounds what is read.
const maxPIN = 256

func readPIN(out *cli.Streams) (string, error) {
	if f, ok := out.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(out.Err, "PIN: ")
		b, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(out.Err)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(out.In, maxPIN))
	return strings.TrimRight(string(b), "\r\n"), err
}
