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

// policy is what the centre last said a till may do and whom it may believe. It is
// kept with the identity, so that a till that starts without a network knows it.
type policy struct {
	folder  identity.Folder
	current atomic.Pointer[identity.Identity]
}

func newPolicy(folder identity.Folder, id identity.Identity) *policy {
	p := &policy{folder: folder}
	p.current.Store(&id)
	return p
}

func (p *policy) limits() pos.Limits { return p.current.Load().Limits }
func (p *policy) trust() dcep.Trust  { return p.current.Load().Trust }

// keep writes newer limits and trust, then uses them. An older version of the limits
// is refused: it could bring back a generous past.
func (p *policy) keep(ctx context.Context, l *pos.Limits, t *dcep.Trust) error {
	next := *p.current.Load()
	if l != nil && l.Version >= next.Limits.Version {
		next.Limits = *l
	}
	if t != nil && t.Env == next.Env && t.IssuedMS >= next.Trust.IssuedMS {
		next.Trust = *t
	}
	if err := p.folder.Save(ctx, next); err != nil {
		return err
	}
	p.current.Store(&next)
	return nil
}
