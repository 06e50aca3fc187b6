package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/enrolment"
	"dcpos/agent/identity"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/sync/enrol"
	"dcpos/sync/wire"
)

// join makes this device a terminal. Every step may be repeated: the keys are made
// once, the centre takes the same code with the same keys again, and the identity is
// written last.
func (a *agent) join(ctx context.Context, r enrolment.Request) (identity.Identity, error) {
	id, err := a.ask(ctx, r)
	if err != nil {
		return id, err
	}
	return id, a.folder.Save(ctx, id)
}

// ask shows the centre the code and this device's keys.
func (a *agent) ask(ctx context.Context, r enrolment.Request) (identity.Identity, error) {
	nats, err := a.keys.NATSPublic()
	if err != nil {
		return identity.Identity{}, err
	}
	proof, err := enrol.Proof(a.keys.Journal, r.Code)
	if err != nil {
		return identity.Identity{}, err
	}
	answer, err := enrol.Client{Base: r.Centre}.Enrol(ctx, wire.EnrolRequest{
		Code: r.Code, Env: a.settings.Env, Class: a.settings.Class, Suite: a.keys.Journal.Suite().Name(),
		PublicKey: a.keys.Journal.Public(), NATSKey: nats, Proof: proof,
	})
	if err != nil {
		return identity.Identity{}, err
	}
	return identity.Identity{
		Env: a.settings.Env, Class: a.settings.Class, Terminal: answer.Terminal, Merchant: answer.Merchant,
		Store: answer.Store, StoreName: answer.StoreName, Epoch: answer.Epoch,
		CentreKey: answer.CentreKey, Suite: answer.Suite, NATSURL: answer.NATSURL,
		Policies: answer.Policies, Trust: answer.Trust,
	}, nil
}

// journal opens the till's journal, making it where enrolment got no further than the identity.
func (a *agent) journal(ctx context.Context, id identity.Identity, c *clock.Clock) (*offline.Store, error) {
	centre, err := centreKey(id)
	if err != nil {
		return nil, err
	}
	cfg := offline.Config{
		Path: a.folder.Journal(), Signer: a.keys.Journal, Env: id.Env, Terminal: id.Terminal, Centre: centre, Reserve: offline.Reserve, Log: a.log,
	}
	store, err := offline.Open(ctx, cfg)
	if !errors.Is(err, fs.ErrNotExist) {
		return store, err
	}
	a.log.InfoContext(ctx, "make the journal", "terminal", id.Terminal, "epoch", id.Epoch)
	first := pos.EpochOpened{
		Reason: pos.EpochEnrolled, Suite: a.keys.Journal.Suite().Name(), PublicKey: a.keys.Journal.Public(),
		Merchant: id.Merchant, Store: id.Store,
	}
	store, err = offline.Create(ctx, cfg, first, id.Epoch, c.Instant(), pos.DateOf(time.Now(), a.settings.Cutover))
	if err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	return store, nil
}
