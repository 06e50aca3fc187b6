package store

import (
	"context"
	"errors"
	"fmt"

	"dcpos/central/campaign"
	"dcpos/pos"
)

// PutCampaign keeps a published campaign. Each version follows the one before; the same
// version again is accepted if it is the same, and never changed.
func (s *Store) PutCampaign(ctx context.Context, p campaign.Published) error {
	return s.tx(ctx, func(t *Tx) error { return t.putCampaign(ctx, p, "publisher") })
}

func (t *Tx) putCampaign(ctx context.Context, p campaign.Published, by string) error {
	name := p.Definition.Name
	var last int
	var hash string
	if _, err := one(t.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM campaigns WHERE name = ?`, name), &last); err != nil {
		return fmt.Errorf("read campaign: %w", err)
	}
	if found, err := one(t.QueryRow(ctx, `SELECT hash FROM campaigns WHERE name = ? AND version = ?`, name, p.Version), &hash); err != nil || found {
		if err == nil && hash != p.Hash {
			err = pos.FieldError(pos.ErrKeyConflict, "version", errors.New("a published version never changes: publish the next"))
		}
		return err
	}
	if p.Version != last+1 {
		return pos.FieldError(pos.ErrIllegalMove, "version", fmt.Errorf("%d does not follow %d", p.Version, last))
	}
	_, err := t.Exec(ctx, `INSERT INTO campaigns (name, version, text, area, hash, published_ms) VALUES (?, ?, ?, ?, ?, ?)`,
		name, p.Version, p.Text, blob(p.Area), p.Hash, t.NowMS())
	if err != nil {
		return fmt.Errorf("put campaign: %w", err)
	}
	return t.Audit(ctx, by, "campaign_published", name, fmt.Sprintf("version %d hash %s", p.Version, p.Hash))
}

// published reads the newest version of every published campaign, verified.
func (t *Tx) published(ctx context.Context) ([]campaign.Published, error) {
	rows, err := t.Query(ctx, `SELECT text, area FROM campaigns c
		WHERE version = (SELECT MAX(version) FROM campaigns n WHERE n.name = c.name) ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list campaigns: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []campaign.Published
	for rows.Next() {
		var text, area []byte
		if err := rows.Scan(&text, &area); err != nil {
			return nil, fmt.Errorf("list campaigns: %w", err)
		}
		p, err := campaign.Open(text, area)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Campaign reads the newest published version, verified.
func (s *Store) Campaign(ctx context.Context, name string) (p campaign.Published, err error) {
	var text, area []byte
	err = s.view(ctx, func(t *Tx) error {
		found, err := one(t.QueryRow(ctx, `SELECT text, area FROM campaigns WHERE name = ? ORDER BY version DESC LIMIT 1`, name), &text, &area)
		if err == nil && !found {
			err = pos.FieldError(pos.ErrNotFound, "campaign", fmt.Errorf("%.40q is not published", name))
		}
		return err
	})
	if err != nil {
		return p, err
	}
	return campaign.Open(text, area)
}

// CampaignVersions lists every published version of a campaign, the newest first, verified,
// with when each was published.
func (s *Store) CampaignVersions(ctx context.Context, name string) (all []campaign.Published, publishedMS []int64, err error) {
	type version struct {
		text, area []byte
		ms         int64
	}
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT text, area, published_ms FROM campaigns WHERE name = ? ORDER BY version DESC`, name)
		list, err := list(rows, err, "versions", func(row interface{ Scan(...any) error }) (v version, err error) {
			return v, row.Scan(&v.text, &v.area, &v.ms)
		})
		all, publishedMS = nil, nil
		for _, v := range list {
			p, err := campaign.Open(v.text, v.area)
			if err != nil {
				return err
			}
			all, publishedMS = append(all, p), append(publishedMS, v.ms)
		}
		return err
	})
	return all, publishedMS, err
}
