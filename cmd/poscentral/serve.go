package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/central/httpapi"
	"dcpos/central/link"
	"dcpos/central/store"
	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/web"
)

// serve runs the link, the payment room, the daily reconciliation and the pages until
// ctx ends or one of them does.
func (c *centre) serve(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, c.store.Close()) }()
	if err := c.fleet.Begin(ctx); err != nil {
		return err
	}
	conveyor, err := c.conveyor()
	if err != nil {
		return err
	}
	l, err := link.Start(ctx, link.Config{
		Store: c.store.Link(), Env: c.settings.Env, Signer: c.keys.centre, Conveyor: conveyor,
		Asks: c.desk, Observer: c.desk, Trust: c.vouched, Instruments: c.banks.Instruments(), Workers: c.settings.Reconcile.WorkerKeys, Log: c.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c.changed, c.nudge = l.Changed, l.Nudge

	if err := c.share(ctx, l); err != nil {
		return err
	}
	rooms, err := c.campaignRooms()
	if err != nil {
		return err
	}
	listener, server, err := c.pages(ctx, rooms)
	if err != nil {
		return err
	}
	campaigns, err := c.campaigns(ctx, rooms)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	shops, err := c.shops(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	c.log.InfoContext(ctx, "centre is up", "http", listener.Addr().String(), "nats", l.URL(),
		"institutions", len(c.banks.Codes()), "database", string(c.store.Engine()))
	return cli.Together(ctx, append(append(campaigns, shops...),
		func(ctx context.Context) error { return server.Run(ctx, listener) },
		func(ctx context.Context) error { return c.watchTrust(ctx, l.TrustChanged) },
		c.desk.Run, c.breaks.Run, c.work, c.prepare, c.everyDay, c.reconcile)...)
}

// listPolicies gives the console what was published.
func (c *centre) listPolicies(ctx context.Context) ([]console.Policy, error) {
	list, err := c.fleet.Policies(ctx, maxListed)
	var out []console.Policy
	for _, r := range list {
		out = append(out, console.Policy{Policy: r.Policy, By: r.By, AtMS: r.AtMS})
	}
	return out, err
}

// takeFile takes in a file that was uploaded, as the command does.
func (c *centre) takeFile(ctx context.Context, in io.ReadSeeker, by string) (console.Taken, error) {
	r, err := c.linkDesk().TakeFile(ctx, in, by)
	if err != nil {
		return console.Taken{}, err
	}
	t := console.Taken{
		Terminal: r.Terminal, Sealed: r.Sealed, Entries: r.Entries, New: r.New, Known: r.Known, Apart: r.Apart, Refused: r.Refused,
		Problem: r.Problem, Reasons: r.Reasons, Fenced: r.Fenced,
	}
	for _, g := range r.Gaps {
		t.Gaps = append(t.Gaps, console.TakenGap{Epoch: g.Epoch, From: g.From, To: g.To})
	}
	if r.Receipt != nil {
		t.Epoch, t.Seq = r.Receipt.Epoch, r.Receipt.Seq
		t.Receipt, err = dcep.Marshal(r.Receipt)
	}
	return t, err
}

func (c *centre) conveyor() (link.Conveyor, error) {
	n := c.settings.NATS
	conveyor := link.Conveyor{
		URL: n.URL, Account: n.Account, Listen: n.Listen, StoreDir: filepath.Join(c.settings.Data, "nats"),
		MaxStore: n.MaxStore, Replicas: n.Replicas,
	}
	if n.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(n.TLSCert, n.TLSKey)
		if err != nil {
			return conveyor, fmt.Errorf("nats: %w", err)
		}
		conveyor.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	for path, into := range map[string]*[]byte{
		n.CentreSeed: &conveyor.CentreSeed, n.IssuerSeed: &conveyor.IssuerSeed, n.SystemSeed: &conveyor.SystemSeed,
	} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return conveyor, fmt.Errorf("nats: read seed: %w", err)
		}
		*into = b
	}
	return conveyor, nil
}

// pages makes the HTTP side: enrolment, console, health and metrics.
func (c *centre) pages(ctx context.Context, rooms *campaignPages) (net.Listener, *httpapi.Server, error) {
	c.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config := console.Config{
		Env: c.settings.Env, Store: c.store.Console(), Ledger: c.store.Ledger(), Suspense: c.store.Suspense(), Runs: c.store.ConsoleRuns(),
		Breaks:   store.ConsoleBreaks(c.breaks, c.store),
		Webshops: console.Webshops{List: c.listWebshops, Switch: c.switchWebshop},
		Actions: console.Actions{
			IssueCode: c.issueCode, Release: c.fleet.Release, Policies: c.listPolicies, Publish: c.fleet.Publish, Take: c.takeFile,
			ProposeRevocation: c.desk.ProposeRevocation, DecideRevocation: c.desk.DecideRevocation, LiftRevocation: c.desk.LiftRevocation,
			Reconcile: func(ctx context.Context, date pos.Date, by string) (console.RunAsk, error) {
				a, err := c.daily.Ask(ctx, date, by)
				return console.RunAsk(a), err
			},
		}, Log: c.log, Now: time.Now,
	}
	if rooms != nil { // a nil pointer in an interface is not nil
		config.Campaigns = rooms
	}
	page, err := console.New(config)
	if err != nil {
		return nil, nil, err
	}
	segments, err := c.segments()
	if err != nil {
		return nil, nil, err
	}
	server, err := httpapi.New(httpapi.Config{
		Version: version, Enroller: c.fleet, Metrics: c.metrics, MetricsToken: c.settings.HTTP.MetricsToken,
		Console: page, Assets: web.Handler(), Segments: segments, Log: c.log, Now: time.Now,
	})
	if err != nil {
		return nil, nil, err
	}
	l, _, err := front{name: "http", listen: c.settings.HTTP.Listen, addressFile: c.settings.HTTP.AddressFile}.open(ctx)
	return l, server, err
}

func (c *centre) issueCode(ctx context.Context, r console.CodeRequest) (string, time.Time, error) {
	return c.fleet.IssueCode(ctx, fleet.CodeRequest{
		Shop: r.Shop, Class: r.Class, Devices: r.Devices, Terminal: r.Terminal, Reason: r.EpochReason, By: r.By,
	})
}

// reconcile answers whoever asks for a date: people, and the hour.
func (c *centre) reconcile(ctx context.Context) error {
	if len(c.banks.Codes()) == 0 {
		<-ctx.Done()
		return nil
	}
	return c.daily.Serve(ctx)
}

// everyDay asks at the configured hour, in Shanghai, for the settlement date before, and at start for
// those whose hour has passed while the centre was away.
func (c *centre) everyDay(ctx context.Context) error {
	if c.settings.Reconcile.At == "" || len(c.banks.Codes()) == 0 {
		<-ctx.Done()
		return nil
	}
	at, err := time.Parse("15:04", c.settings.Reconcile.At)
	if err != nil {
		return fmt.Errorf("reconcile.at: %w", err)
	}
	now := time.Now().In(pos.Shanghai())
	next := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, pos.Shanghai())
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	const passed = 2 // days: the date before the hour before
	for begin, last := false, next.AddDate(0, 0, -passed); ; begin, last = true, next.AddDate(0, 0, -passed) {
		if err := c.daily.Catch(ctx, pos.DateOf(last, 0), begin); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "reconciliation is not asked for", "date", pos.DateOf(last, 0), "err", err)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		c.sweep(ctx, next)
		next = next.AddDate(0, 0, 1)
	}
}
