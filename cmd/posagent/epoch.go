package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/enrolment"
	"dcpos/agent/identity"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
)

type epochCmd struct {
	Centre string `required:"" help:"The centre's address. 中心地址。"`
	Code   string `required:"" help:"Code of poscentral code --terminal. 中心为本终端签发的新纪元码。"`
	Reason string `default:"damaged" enum:"restored,forked,key_changed,damaged" help:"Why. 原因。"`
}

// Help says when an epoch is opened.
func (epochCmd) Help() string {
	return `Opens the till's next epoch, with the agent stopped: after a restore, a fork or damage. A journal that
verifies goes on in its file; one that does not is kept aside as journal.db.epoch-N, for
"posctl journal export --salvage", and a new file is begun. Nothing is deleted.
开启新纪元:原账簿完好则续写,损坏则另存,绝不删除。`
}

// Run asks the centre for the epoch and opens it.
func (e epochCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	s, class, err := load(g.Config)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if answers(ctx, s.API.Unix) {
		return cli.Exit(cli.Usage, fmt.Errorf("an agent answers on %s: stop it first", s.API.Unix))
	}
	a := agent{settings: s, class: class, log: slog.New(slog.NewTextHandler(out.Err, nil)), folder: identity.Folder(s.Data)}
	before, err := a.folder.Load()
	if err != nil {
		return pos.NewError(pos.ErrNotEnrolled, err)
	}
	if a.keys, err = a.openKeys(); err != nil {
		return err
	}
	if a.clock, err = clock.New(clock.Options{}, 0); err != nil {
		return err
	}
	id, err := a.ask(ctx, enrolment.Request{Centre: e.Centre, Code: e.Code})
	if err != nil {
		return err
	}
	if id.Terminal != before.Terminal || id.Epoch <= before.Epoch {
		return pos.NewError(pos.ErrForbidden, fmt.Errorf("the code is for %s epoch %d, this is %s epoch %d",
			id.Terminal, id.Epoch, before.Terminal, before.Epoch))
	}
	kept, err := a.openEpoch(ctx, id, before.Epoch, pos.EpochReason(e.Reason))
	if err != nil {
		return err
	}
	if err := a.folder.Save(ctx, id); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.Out, "%s: epoch 纪元 %d\n%s", id.Terminal, id.Epoch, kept)
	return err
}

// openEpoch goes on in the file when it verifies; else it keeps the file aside and begins another.
func (a *agent) openEpoch(ctx context.Context, id identity.Identity, before uint32, why pos.EpochReason) (kept string, err error) {
	cfg := offline.Config{Path: a.folder.Journal(), Signer: a.keys.Journal, Env: id.Env, Terminal: id.Terminal, Log: a.log}
	first := pos.EpochOpened{
		Reason: why, Suite: a.keys.Journal.Suite().Name(), PublicKey: a.keys.Journal.Public(),
		Merchant: id.Merchant, Store: id.Store,
	}
	at, date := a.clock.Instant(), pos.DateOf(time.Now(), a.settings.Cutover)
	keyless := cfg
	keyless.Signer = nil // the last epoch's key may be another one, or be lost
	store, err := offline.Open(ctx, keyless)
	if err == nil {
		err = store.OpenEpoch(ctx, a.keys.Journal, id.Epoch, first, at, date, pos.OperatorSystem)
		return "", errors.Join(err, store.Close())
	}
	broken := errors.Is(err, &pos.Error{Code: pos.ErrChainBroken}) || errors.Is(err, offline.ErrNotDatabase) ||
		errors.Is(err, fs.ErrNotExist)
	if !broken {
		return "", err // such as a schema of a newer program: that is no damage
	}
	aside := fmt.Sprintf("%s.epoch-%d", cfg.Path, before)
	if err := keepAside(cfg.Path, aside); err != nil {
		return "", err
	}
	first.Reason, first.PrevEpoch = pos.EpochDamaged, before
	if store, err = offline.Create(ctx, cfg, first, id.Epoch, at, date); err != nil {
		return "", err
	}
	return fmt.Sprintf("kept aside 原账簿另存 %s; posctl journal export --salvage reads it\n", aside), store.Close()
}

// keepAside renames the file with its companions; it never overwrites.
func keepAside(path, aside string) error {
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: move it away by hand", aside)
	}
	for _, suffix := range append(offline.Suffixes(), "") {
		err := os.Rename(path+suffix, aside+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the journal aside: %w", err)
		}
	}
	return nil
}

func answers(ctx context.Context, socket string) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was said
	return true
}
