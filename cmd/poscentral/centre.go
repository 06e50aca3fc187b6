package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dcpos/central/fleet"
	"dcpos/central/httpapi"
	"dcpos/central/institution"
	"dcpos/central/link"
	"dcpos/central/payment"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/breaks"
	"dcpos/central/reconcile/daily"
	"dcpos/central/reconcile/match"
	"dcpos/central/store"
	"dcpos/central/webshop"
	"dcpos/internal/cli"
	"dcpos/pos/dcep"
)

// centre is the program: what its file says, its database and the rooms that need no
// network. Commands use it as it is; serve adds the link and the pages.
type centre struct {
	settings settings
	log      *slog.Logger
	keys     keys
	trust    atomic.Pointer[dcep.Trust] // of file and revoked
	file     dcep.Trust                 // the trust file; open's and watchTrust's alone
	revoked  []string                   // by people here; likewise
	store    *store.Store
	banks    *institution.Set
	fleet    *fleet.Fleet
	desk     *payment.Desk
	daily    *daily.Desk
	shards   *link.Shards // set by serve, when others may share reconciliations
	breaks   *breaks.Desk
	online   *webshop.Desk
	metrics  *prometheus.Registry

	changed func(terminal string) // set by serve: rights changed
	nudge   func(terminal string) // set by serve: a verdict was written
}

// open reads the configuration and opens the database. The caller closes it.
func open(ctx context.Context, path string, logs io.Writer) (*centre, error) {
	s, err := load(path)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	c := &centre{settings: s, metrics: prometheus.NewRegistry(), changed: func(string) {}, nudge: func(string) {}}
	if c.log, err = logger(logs, s.Log); err != nil {
		return nil, cli.Exit(cli.Usage, fmt.Errorf("%s: %w", path, err))
	}
	if c.file, err = s.trustOf(); err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	t := c.file
	c.trust.Store(&t)
	if c.keys, err = loadKeys(s.Data, s.Suite); err != nil {
		return nil, err
	}
	if c.banks, err = s.connect(time.Now); err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	if c.store, err = store.Open(ctx, store.Config{URL: s.Database, Env: s.Env, Log: c.log}); err != nil {
		return nil, err
	}
	if err := c.rooms(); err != nil {
		return nil, errors.Join(err, c.store.Close())
	}
	if _, err := c.revocations(ctx); err != nil {
		return nil, errors.Join(err, c.store.Close())
	}
	c.believe()
	return c, nil
}

// vouchEvery is how often tills are told that the list of revoked wallets still holds;
// they stop trusting one that is older than the limits' revocation_max.
const vouchEvery = 6 * time.Hour

// vouched is the trust, issued when it was read or at the last full vouchEvery.
func (c *centre) vouched() dcep.Trust {
	t := *c.trust.Load()
	t.IssuedMS = max(t.IssuedMS, time.Now().Truncate(vouchEvery).UnixMilli())
	return t
}

// rooms makes the nouns over the database.
func (c *centre) rooms() error {
	observe, err := httpapi.PaymentMetrics(c.metrics)
	if err != nil {
		return err
	}
	url := c.settings.NATS.Advertise
	if url == "" {
		url = c.settings.NATS.URL
	}
	if url == "" {
		url = "nats://" + c.settings.NATS.Listen
	}
	c.fleet = fleet.New(fleet.Config{
		Store: c.store.Fleet(), Env: c.settings.Env,
		CentreKey: c.keys.centre.Public(), CentreSuite: c.keys.centre.Suite().Name(),
		Signer: c.keys.centre, NATSURL: url, Trust: c.vouched,
		Changed: func(terminal string) { c.changed(terminal) },
	})
	byDefault := c.settings.DefaultInstitution
	if codes := c.banks.Codes(); byDefault == "" && len(codes) > 0 {
		byDefault = codes[0]
	}
	c.desk, err = payment.New(payment.Config{
		Env: c.settings.Env, Store: c.store.Payments(), Institutions: c.banks, Default: byDefault, Trust: c.vouched,
		Key: c.keys.questions, Log: c.log, Nudge: func(terminal string) { c.nudge(terminal) }, Observe: observe,
	})
	if err != nil {
		return err
	}
	if c.online, err = c.webshopRoom(); err != nil {
		return err
	}
	rules, err := match.Read(c.settings.Reconcile.Rules)
	if err != nil {
		return err
	}
	splits, err := splitRules(c.settings.Reconcile.Splits)
	if err != nil {
		return err
	}
	c.breaks = breaks.New(breaks.Config{
		Store: c.store.Breaks(), Payments: refunds{c.desk}, FourEyes: c.settings.Reconcile.FourEyes, Log: c.log,
	})
	c.daily, err = daily.New(daily.Config{
		Store: c.store.Reconciliations(), Breaks: c.breaks, Institutions: c.banks, Rules: rules, Splits: splits,
		Folder: filepath.Clean(c.settings.Reports), Memory: c.settings.Reconcile.Memory, Log: c.log, Engine: c.engine, Partition: c.partition,
	})
	return err
}

// splitRules reads how dates are split into shards; nil without a file.
func splitRules(path string) (*reconcile.Rules, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // none
	}
	splits, err := reconcile.ReadRules(path)
	if err != nil {
		return nil, fmt.Errorf("reconcile.splits: %w", err)
	}
	if splits.AmountToleranceFen != 0 {
		return nil, fmt.Errorf("reconcile.splits: %s has amount_tolerance_fen: the matching rules (reconcile.rules) say the tolerance", path)
	}
	return splits, nil
}

// refunds lets remedies of breaks ask the payment room.
type refunds struct{ desk *payment.Desk }

// RefundBreak implements breaks.Payments.
func (r refunds) RefundBreak(ctx context.Context, o breaks.RefundOrder) (breaks.RefundWord, error) {
	got, err := r.desk.RefundBreak(ctx, payment.BreakRefund{
		ID: o.ID, Payment: o.Payment, Amount: o.Amount, Taken: o.Taken, Source: o.Source, Operator: o.Operator,
	})
	return breaks.RefundWord{State: got.State, Reason: got.Reason, Detail: got.Detail}, err
}
