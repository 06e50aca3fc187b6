package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/clock"
	"dcpos/agent/enrolment"
	"dcpos/agent/health"
	"dcpos/agent/identity"
	"dcpos/agent/kernel"
	"dcpos/agent/localapi"
	"dcpos/agent/policy"
	"dcpos/agent/screen"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos/dcep"
	"dcpos/sync/host"
)

// agent is the program: what its file says and what it made of it.
type agent struct {
	settings settings
	class    profiles.Class
	log      *slog.Logger

	folder identity.Folder
	keys   identity.Keys
	clock  *clock.Clock
	health *health.Tracker
}

// run lives until ctx ends: first at the enrolment counter where the device is not
// enrolled, then as a till.
func (a *agent) run(ctx context.Context) error {
	a.folder = identity.Folder(a.settings.Data)
	var err error
	if a.keys, err = a.openKeys(); err != nil {
		return err
	}
	if a.clock, err = clock.New(clock.Options{}, 0); err != nil {
		return err
	}
	a.health = health.New(a.clock.Now)
	id, err := a.folder.Load()
	if errors.Is(err, identity.ErrNone) {
		id, err = a.waitForEnrolment(ctx)
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	return a.sell(ctx, id)
}

// openKeys opens the device's keys, or makes them.
func (a *agent) openKeys() (identity.Keys, error) {
	suite, err := dcep.SuiteByName(a.settings.Suite)
	if err != nil {
		return identity.Keys{}, err
	}
	keeper, err := a.settings.Key.keeper()
	if err != nil {
		return identity.Keys{}, err
	}
	return a.folder.Keys(suite, keeper)
}

// waitForEnrolment serves the counter of a till that is not enrolled.
func (a *agent) waitForEnrolment(ctx context.Context) (identity.Identity, error) {
	counter := enrolment.NewCounter(a.join)
	l, err := localapi.ListenUnix(ctx, a.settings.API.Unix)
	if err != nil {
		return identity.Identity{}, err
	}
	a.log.InfoContext(ctx, "not enrolled: waiting for posctl enroll", "socket", a.settings.API.Unix)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- localapi.Serve(serving, l, counter.Handler()) }()
	select {
	case id := <-counter.Done():
		stop()
		return id, <-served
	case err := <-served:
		return identity.Identity{}, err
	}
}

// answerLimit bounds a question to the centre; the checkout's own limits are nearer.
const answerLimit = time.Minute

// sell is the life of an enrolled till.
func (a *agent) sell(ctx context.Context, id identity.Identity) (err error) {
	store, err := a.journal(ctx, id, a.clock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := guardVersion(ctx, store, version); err != nil {
		return err
	}

	link := &linkWord{}
	nc, err := a.dial(ctx, id, link.changed)
	if err != nil {
		return err
	}
	defer nc.Close()

	centre, err := centreKey(id)
	if err != nil {
		return err
	}
	book, err := a.policies(ctx, id, store, centre)
	if err != nil {
		return err
	}
	who := newBeliefs(a.folder, id)
	set := a.devices(id, store)
	till, err := checkout.New(ctx, a.checkout(id, store, host.New(nc, id.Terminal, answerLimit), who, book, set))
	if err != nil {
		return err
	}
	word := centreWord{till: till, book: book, beliefs: who, health: a.health, log: func(ctx context.Context, err error) {
		a.log.ErrorContext(ctx, "keep the centre's time", "err", err)
	}}
	r := a.lanes(nc, id, centre, store, word)
	link.tell(func() { r.up.Kick(); r.down.Kick() })
	return a.together(ctx, id, till, set, r,
		func(ctx context.Context) error { return a.heal(ctx, store, till) }, a.forgetDaily(store))
}

// policies opens the book of what the till may accept offline. A till whose journal has
// none yet begins with those of its enrolment.
func (a *agent) policies(ctx context.Context, id identity.Identity, store *offline.Store, centre dcep.Verifier) (*policy.Book, error) {
	book, err := policy.Open(ctx, policy.Config{
		Memory: store, Centre: centre, Env: id.Env, Store: id.Store, Terminal: id.Terminal,
		Clock: a.clock, Cutover: a.settings.Cutover, Health: a.health,
	})
	if err != nil || book.Highest() > 0 || len(id.Policies) == 0 {
		return book, err
	}
	if err := book.Take(ctx, id.Policies); err != nil {
		a.log.WarnContext(ctx, "policies of the enrolment", "err", err)
	}
	return book, nil
}

func (a *agent) checkout(
	id identity.Identity, store *offline.Store, h checkout.Host, who *beliefs, book *policy.Book, set *bench,
) checkout.Config {
	t := a.settings.Timing
	c := checkout.Config{
		Env: id.Env, Terminal: id.Terminal, Merchant: id.Merchant, Store: id.Store, StoreName: id.StoreName,
		Suite: a.keys.Journal.Suite(), CodeKey: a.keys.Code,
		Journal: memory{store}, Host: h, Operators: memory{store}, Clock: a.clock, Health: a.health, Log: a.log,
		Policies: book, Catalogue: book.Catalogue, Trust: who.trust, Category: a.settings.Category, SignIn: *a.settings.SignIn, CashierRefunds: a.settings.CashierRefunds,
		Receipt: checkout.Policy(a.settings.Receipt), Cutover: a.settings.Cutover, CampaignHost: a.settings.CampaignHost,
		Timing: checkout.Timing{Expiry: t.Expiry, Answer: t.Answer, Query: t.Query, Fast: t.Fast, QRValid: t.QRValid, Prompt: t.Prompt},
	}
	if a.class.Defaults.WalletEvidence {
		c.Kernel = &kernel.NFC{QR: kernel.QR{Trust: who.trust, RevocationMax: a.revocationMax(book)}}
		c.Reader = set
	}
	c.Forward = a.class.Defaults.StoreAndForward
	if f := a.settings.Fare; f.Amount > 0 {
		c.Fare = checkout.Fare{Amount: f.Amount, Again: f.Again}
	}
	if a.prints() {
		c.Printer, c.Reprint, c.PrinterReady = set, checkout.Reprint(a.settings.Reprint), set.ready
		c.Proof = memory{store}.proof
		c.HasPrinter, c.Unconfirmed, c.SelfTest, c.Columns = set.HasPrinter, set.Unconfirmed, set.Ticket, set.Columns
		c.Tone = set // the buzzer of a printer, display or scanner
		if a.settings.Drawer {
			c.Drawer = set
		}
	}
	if a.faces() {
		c.Display = set.Customer()
	}
	return c
}

// revocationMax is how old the list of revoked wallets may be: as the policy in force
// says, and none at all without one.
func (a *agent) revocationMax(book *policy.Book) func() time.Duration {
	return func() time.Duration {
		p, err := book.In(a.clock.Interval())
		if err != nil {
			return time.Nanosecond
		}
		return p.Limits.RevocationMax
	}
}

// together runs the till, its devices, both lanes, what keeps the journal and the local API
// until one of them ends or ctx does, then waits for all.
func (a *agent) together(ctx context.Context, id identity.Identity, till *checkout.Till, set *bench, r road,
	keep ...func(context.Context) error,
) error {
	servers, err := a.servers(ctx, id, till, set)
	if err != nil {
		return err
	}
	parts := append(servers,
		till.Run, r.up.Run, r.down.Run,
		func(ctx context.Context) error { return a.serveDevices(ctx, till, set) })
	return cli.Together(ctx, append(parts, keep...)...)
}

// servers are the listeners of the local API.
func (a *agent) servers(ctx context.Context, id identity.Identity, till *checkout.Till, set *bench) ([]func(context.Context) error, error) {
	key := string(a.keys.Screen)
	api, err := localapi.New(localapi.Options{
		Till: till, Devices: set, Tokens: a.settings.API.Tokens, Screen: a.screen(), ScreenKey: key, Version: version,
		FontFile: a.font(),
	})
	if err != nil {
		return nil, err
	}
	var servers []func(context.Context) error
	if a.settings.API.Unix != "" {
		l, err := localapi.ListenUnix(ctx, a.settings.API.Unix)
		if err != nil {
			return nil, err
		}
		servers = append(servers, func(ctx context.Context) error { return localapi.Serve(ctx, l, enrolment.Enrolled(id, api.Unix())) })
	}
	if a.settings.API.Listen != "" {
		l, err := localapi.ListenLoopback(ctx, a.settings.API.Listen)
		if err != nil {
			return nil, err
		}
		if err := a.tellAddress(l.Addr(), key); err != nil {
			return nil, err
		}
		servers = append(servers, func(ctx context.Context) error { return localapi.Serve(ctx, l, api.Loopback()) })
	}
	return servers, nil
}

// screen are the pages, laid out as the terminal's class says; nil where it has none.
func (a *agent) screen() http.Handler {
	layout := a.class.Screen
	if layout.Layout == "none" {
		return nil
	}
	return screen.New(screen.Options{
		Layout: layout.Layout, Language: layout.Language, Env: a.settings.Env,
		IdleReset: time.Duration(layout.IdleResetS) * time.Second,
	})
}

// tellAddress writes where the screens are, with the key that opens them, for the
// browser that the kiosk's session starts. The file is the owner's only.
func (a *agent) tellAddress(addr net.Addr, key string) error {
	path := a.settings.API.Address
	if path == "" {
		path = filepath.Join(a.settings.Data, "screen.url")
	}
	url := fmt.Sprintf("http://%s%s?key=%s\n", addr, localapi.EnterPath, key)
	if err := os.WriteFile(path, []byte(url), 0o600); err != nil {
		return fmt.Errorf("tell the screen's address: %w", err)
	}
	return nil
}

// linkWord carries "the connection came or went" to parts that are made after it.
type linkWord struct {
	mu   sync.Mutex
	kick func()
}

func (l *linkWord) tell(kick func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kick = kick
}

func (l *linkWord) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kick != nil {
		l.kick()
	}
}
