package main

import (
	"context"
	"sync/atomic"

	"dcpos/agent/checkout"
	"dcpos/agent/identity"
	"dcpos/agent/operator"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// memory is the till's journal as the checkout wants it: offline.Store with the
// checkout's own names for a query and an operator.
type memory struct{ *offline.Store }

func (m memory) Payments(ctx context.Context, q checkout.Query) ([]pos.Payment, error) {
	return m.Store.Payments(ctx, offline.Query(q))
}

func (m memory) Operator(ctx context.Context, number string) (operator.Operator, bool, error) {
	o, ok, err := m.Store.Operator(ctx, number)
	return operator.Operator{
		Number: o.Number, Name: o.Name, Role: operator.Role(o.Role), PINHash: o.PINHash,
		Active: o.Active, Failures: o.Failures, LockedUntilMS: o.LockedUntilMS,
	}, ok, err
}

// proof is what a receipt's QR proves; empty for a payment whose last entry is forgotten.
func (m memory) proof(ctx context.Context, id pos.PaymentID) (string, error) {
	slip, ok, err := m.Slip(ctx, id)
	if err != nil || !ok {
		return "", err
	}
	return slip.Text()
}

// beliefs is whom the till may believe, as the centre last said. It is kept with the
// identity, so that a till that starts without a network knows it.
type beliefs struct {
	folder  identity.Folder
	current atomic.Pointer[identity.Identity]
}

func newBeliefs(folder identity.Folder, id identity.Identity) *beliefs {
	b := &beliefs{folder: folder}
	b.current.Store(&id)
	return b
}

func (b *beliefs) trust() dcep.Trust { return b.current.Load().Trust }

// keep writes a newer trust, then uses it. An older one changes nothing.
func (b *beliefs) keep(ctx context.Context, t dcep.Trust) error {
	next := *b.current.Load()
	if t.Env != next.Env || t.IssuedMS < next.Trust.IssuedMS {
		return nil
	}
	next.Trust = t
	if err := b.folder.Save(ctx, next); err != nil {
		return err
	}
	b.current.Store(&next)
	return nil
}
