package store

import (
	"context"
	"fmt"

	"dcpos/central/fleet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// maxAhead bounds by how much the version that a till tells may exceed ours: after a
// restore versions go on above what tills have taken, but no till can use them up.
const maxAhead = 1_000_000

// PolicyVersion implements fleet.Tx: the highest version that was published, or that a
// till has taken of a centre whose database was restored since.
func (t fleetTx) PolicyVersion(ctx context.Context) (uint64, error) {
	var own, told int64
	if err := t.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM policies`).Scan(&own); err != nil {
		return 0, err
	}
	err := t.QueryRow(ctx, `SELECT COALESCE(MAX(policies), 0) FROM contacts WHERE policies <= ?`, own+maxAhead).Scan(&told)
	return uint64(max(own, told)), err
}

// AppendPolicy implements fleet.Tx.
func (t fleetTx) AppendPolicy(ctx context.Context, r fleet.PolicyRecord) error {
	_, err := t.Exec(ctx, `INSERT INTO policies (version, store, terminal, body, sig, set_by, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		int64(r.Version), r.Store, r.Terminal, r.Sealed.Body, r.Sealed.Sig, r.By, t.NowMS())
	return err
}

// Policies implements fleet.PolicyReader.
func (t fleetTx) Policies(ctx context.Context, store, terminal string, limit int) ([]fleet.PolicyRecord, error) {
	return t.policies(ctx, `WHERE store = ? AND terminal = ? ORDER BY version DESC LIMIT ?`, store, terminal, limit)
}

// AllPolicies implements fleet.Tx.
func (t fleetTx) AllPolicies(ctx context.Context, limit int) ([]fleet.PolicyRecord, error) {
	return t.policies(ctx, `ORDER BY version DESC LIMIT ?`, limit)
}

func (t fleetTx) policies(ctx context.Context, clause string, args ...any) ([]fleet.PolicyRecord, error) {
	rows, err := t.Query(ctx, `SELECT body, sig, set_by, at_ms FROM policies `+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []fleet.PolicyRecord
	for rows.Next() {
		var r fleet.PolicyRecord
		if err := rows.Scan(&r.Sealed.Body, &r.Sealed.Sig, &r.By, &r.AtMS); err != nil {
			return nil, fmt.Errorf("list policies: %w", err)
		}
		if err := dcep.UnmarshalExact(r.Sealed.Body, &r.Policy); err != nil {
			return nil, fmt.Errorf("read policy: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Policies implements link.Reader.
func (t linkTx) Policies(ctx context.Context, terminal string, nowMS int64) (list []dcep.Sealed, highest uint64, err error) {
	is, found, err := fleetTx(t).Terminal(ctx, terminal)
	if err != nil || !found {
		return nil, 0, err
	}
	covering, err := fleet.Covering(ctx, fleetTx(t), is.Shop, is.ID, nowMS)
	for _, r := range covering {
		list, highest = append(list, r.Sealed), max(highest, r.Version)
	}
	return list, highest, err
}

// PolicyVersion implements link.Reader.
func (t linkTx) PolicyVersion(ctx context.Context) (version uint64, err error) {
	err = t.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM policies`).Scan(&version)
	return version, err
}

// CatalogueIssued implements link.Reader.
func (t linkTx) CatalogueIssued(ctx context.Context) (ms int64, err error) {
	err = t.QueryRow(ctx, `SELECT COALESCE(MAX(published_ms), 0) FROM campaigns`).Scan(&ms)
	return ms, err
}

// Campaigns implements link.Reader.
func (t linkTx) Campaigns(ctx context.Context, terminal string, sinceMS int64) ([]pos.CampaignScope, error) {
	is, found, err := fleetTx(t).Terminal(ctx, terminal)
	if err != nil || !found {
		return nil, err
	}
	all, err := t.published(ctx)
	if err != nil {
		return nil, err
	}
	var list []pos.CampaignScope
	for _, p := range all {
		if s := p.ScopeAt(is.Merchant, is.Shop); p.Definition.Env == is.Env && s.UntilMS > sinceMS {
			list = append(list, s)
		}
	}
	return list, nil
}
