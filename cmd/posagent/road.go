package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/agent/checkout"
	"dcpos/agent/health"
	"dcpos/agent/identity"
	"dcpos/agent/policy"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/dial"
	"dcpos/sync/downlink"
	"dcpos/sync/uplink"
)

// road is the till's connection with both of its lanes.
type road struct {
	nc   *nats.Conn
	up   *uplink.Uplink
	down *downlink.Downlink
}

// dial starts the connection; the lanes are added by lanes once the till exists.
func (a *agent) dial(ctx context.Context, id identity.Identity, onLink func()) (*nats.Conn, error) {
	return dial.Connect(ctx, dial.Config{
		URL: id.NATSURL, Terminal: id.Terminal, Seed: a.keys.NATS, Log: a.log,
		OnLink: func(bool) { onLink() },
	})
}

func (a *agent) lanes(nc *nats.Conn, id identity.Identity, centre dcep.Verifier, store *offline.Store, word centreWord) road {
	up := uplink.New(uplink.Config{
		Conn: nc, Terminal: id.Terminal, Signer: a.keys.Journal, Journal: store, Log: a.log, Now: a.clock.Now,
	})
	down := downlink.New(downlink.Config{
		Conn: nc, Env: id.Env, Terminal: id.Terminal, Version: version, BootID: a.clock.Instant().BootID, Centre: centre,
		Journal: store, Till: word, Log: a.log, Now: a.clock.Now, OnProgress: up.Kick, OnResend: up.ResendFrom,
	})
	return road{nc: nc, up: up, down: down}
}

// centreKey verifies what the centre signs, with the key that was pinned at enrolment.
func centreKey(id identity.Identity) (dcep.Verifier, error) {
	suite, err := dcep.SuiteByName(id.Suite)
	if err != nil {
		return nil, fmt.Errorf("centre's key: %w", err)
	}
	v, err := suite.Verifier(id.CentreKey)
	if err != nil {
		return nil, fmt.Errorf("centre's key: %w", err)
	}
	return v, nil
}

// centreWord hands what the centre says to the rooms that it concerns.
type centreWord struct {
	till    *checkout.Till
	book    *policy.Book
	beliefs *beliefs
	health  *health.Tracker
	log     func(ctx context.Context, err error)
}

func (w centreWord) Verdicts(context.Context) (uint64, error) { return w.till.LastVerdict(), nil }

func (w centreWord) ApplyVerdict(ctx context.Context, v pos.Verdict) error {
	return w.till.ApplyVerdict(ctx, v)
}

func (w centreWord) PolicyVersion() uint64 { return w.book.Highest() }

func (w centreWord) TrustIssued() int64 { return w.beliefs.trust().IssuedMS }

func (w centreWord) CatalogueIssued() int64 { return w.book.Catalogue().IssuedMS }

func (w centreWord) SetPolicies(ctx context.Context, list []dcep.Sealed) error {
	return w.book.Take(ctx, list)
}

func (w centreWord) SetTrust(ctx context.Context, t dcep.Trust) error { return w.beliefs.keep(ctx, t) }

func (w centreWord) SetCatalogue(ctx context.Context, c dcep.Sealed) error {
	return w.book.TakeCatalogue(ctx, c)
}

func (w centreWord) SetQuarantine(on bool) {
	if on {
		w.health.Set(health.QuarantineCondition(), "the centre found two branches of this till's journal")
		return
	}
	w.health.Clear(health.QuarantineCondition())
}

func (w centreWord) SetCentreTime(ctx context.Context, ms int64, trip time.Duration) {
	if err := w.till.HeardCentre(ctx, ms, trip); err != nil {
		w.log(ctx, err)
	}
}
