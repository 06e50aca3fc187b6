package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"dcpos/central/campaign"
	"dcpos/central/campaign/office"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Office is the store of campaigns' publications and draws.
func (s *Store) Office() office.Store { return officeStore{s} }

type officeStore struct{ *Store }

// Known implements office.Store.
func (s officeStore) Known(ctx context.Context) (k campaign.Known, err error) {
	err = s.view(ctx, func(t *Tx) (err error) {
		name := func(row interface{ Scan(...any) error }) (id string, err error) { return id, row.Scan(&id) }
		rows, err := t.Query(ctx, `SELECT id FROM merchants ORDER BY id`)
		if k.Merchants, err = list(rows, err, "merchants", name); err != nil {
			return err
		}
		rows, err = t.Query(ctx, `SELECT id FROM shops ORDER BY id`)
		k.Stores, err = list(rows, err, "shops", name)
		return err
	})
	return k, err
}

// Publish implements office.Store.
func (s officeStore) Publish(ctx context.Context, p office.Publication) error {
	name := p.Published.Definition.Name
	return s.tx(ctx, func(t *Tx) error {
		var have []byte
		found, err := one(t.QueryRow(ctx, `SELECT text FROM campaign_terms WHERE campaign = ?`, name), &have)
		if err != nil {
			return fmt.Errorf("read terms: %w", err)
		}
		if found {
			return same(have, p.Terms, "name", "it is published already, with other terms: they never change; propose its next version (campaign revise), or publish under another name")
		}
		if err := t.putCampaign(ctx, p.Published, p.By); err != nil {
			return err
		}
		if err := t.covers(ctx, p.Fund, p.Published.Definition.Budget); err != nil {
			return err
		}
		if _, err := ledger.Post(ctx, t, p.Reserve); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, `INSERT INTO campaign_terms (campaign, version, text) VALUES (?, ?, ?)`, name, p.Published.Version, p.Terms); err != nil {
			return fmt.Errorf("put terms: %w", err)
		}
		return nil
	})
}

// Release implements office.Store.
func (s officeStore) Release(ctx context.Context, name string, money ledger.Transaction) error {
	return s.tx(ctx, func(t *Tx) error {
		fresh, err := ledger.Post(ctx, t, money)
		if err != nil || !fresh {
			return err
		}
		return t.Audit(ctx, "centre", "campaign_void", name, "its budget was released")
	})
}

// covers refuses a fund that holds less than the budget.
func (t *Tx) covers(ctx context.Context, fund string, budget pos.Money) error {
	var held pos.Money
	if _, err := one(t.QueryRow(ctx, `SELECT CAST(COALESCE(-SUM(balance), 0) AS BIGINT) FROM accounts WHERE name = ?`, fund), &held); err != nil {
		return fmt.Errorf("read fund: %w", err)
	}
	if held < budget {
		e := pos.FieldError(pos.ErrInsufficient, "budget_fen", fmt.Errorf("%s holds %s, the budget is %s", fund, held, budget))
		e.Text = pos.Text{ZH: "资金方账户余额不足以覆盖预算", EN: "the fund does not cover the budget"}
		e.Hint = pos.Text{ZH: "请先登记资金方拨款(campaign deposit)", EN: "book the provider's transfer first (campaign deposit)"}
		return e
	}
	return nil
}

func same(have, want []byte, field, otherwise string) error {
	if bytes.Equal(have, want) {
		return nil
	}
	return pos.FieldError(pos.ErrKeyConflict, field, errors.New(otherwise))
}

// Campaigns implements office.Store.
func (s officeStore) Campaigns(ctx context.Context, known map[string]int64) (all []office.Kept, err error) {
	err = s.view(ctx, func(t *Tx) error {
		all = nil
		rows, err := t.Query(ctx, `SELECT c.name, c.version, c.text, c.area, c.hash, c.published_ms, x.text
			FROM (SELECT campaign, version, text FROM campaign_terms UNION ALL SELECT campaign, version, text FROM campaign_revisions) x
			JOIN campaigns c ON c.name = x.campaign AND c.version = x.version ORDER BY c.name, c.version`)
		type edition struct {
			name string
			office.KeptEdition
		}
		editions, err := list(rows, err, "campaigns", func(row interface{ Scan(...any) error }) (e edition, err error) {
			return e, row.Scan(&e.name, &e.Version, &e.Text, &e.Area, &e.Hash, &e.PublishedMS, &e.Terms)
		})
		if err != nil {
			return err
		}
		for _, e := range editions {
			if n := len(all); n == 0 || all[n-1].Name != e.name {
				all = append(all, office.Kept{Name: e.name, Checkpoints: map[int64][]byte{}})
			}
			k := &all[len(all)-1]
			k.Editions = append(k.Editions, e.KeptEdition)
		}
		return t.logs(ctx, all, known)
	})
	return all, err
}

// line is a numbered text of a campaign.
type line struct {
	campaign string
	n        int64
	text     []byte
}

// records adds what the logs have more than is known.
func (t *Tx) records(ctx context.Context, all []office.Kept, known map[string]int64) (err error) {
	for i := range all {
		k := &all[i]
		if k.Logged, err = t.logged(ctx, k.Name); err != nil {
			return err
		}
		have := known[k.Name]
		if k.Logged <= have {
			continue
		}
		rows, err := t.Query(ctx, `SELECT record FROM campaign_log WHERE campaign = ? AND n > ? ORDER BY n`, k.Name, have)
		if k.Records, err = list(rows, err, "records", func(row interface{ Scan(...any) error }) (b []byte, err error) { return b, row.Scan(&b) }); err != nil {
			return err
		}
	}
	return nil
}

// logs adds records, checkpoints and rounds.
func (t *Tx) logs(ctx context.Context, all []office.Kept, known map[string]int64) error {
	if err := t.records(ctx, all, known); err != nil {
		return err
	}
	at := map[string]int{}
	for i, k := range all {
		at[k.Name] = i
	}
	scan := func(row interface{ Scan(...any) error }) (l line, err error) {
		return l, row.Scan(&l.campaign, &l.n, &l.text)
	}
	rows, err := t.Query(ctx, `SELECT campaign, n, text FROM campaign_checkpoints ORDER BY campaign, n`)
	checkpoints, err := list(rows, err, "checkpoints", scan)
	for _, l := range checkpoints {
		if i, ok := at[l.campaign]; ok {
			all[i].Checkpoints[l.n] = l.text
		}
	}
	if err != nil {
		return err
	}
	rows, err = t.Query(ctx, `SELECT campaign, 0, text FROM campaign_rounds`)
	rounds, err := list(rows, err, "rounds", scan)
	for _, l := range rounds {
		if i, ok := at[l.campaign]; ok {
			all[i].Round = l.text
		}
	}
	return err
}

// Append implements office.Store.
func (s officeStore) Append(ctx context.Context, name string, n int64, record []byte, by string) error {
	return s.tx(ctx, func(t *Tx) error {
		var have []byte
		found, err := one(t.QueryRow(ctx, `SELECT record FROM campaign_log WHERE campaign = ? AND n = ?`, name, n), &have)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if found {
			return same(have, record, "log", fmt.Sprintf("record %d says something else", n))
		}
		last, err := t.logged(ctx, name)
		if err != nil {
			return err
		}
		if n != last+1 {
			return pos.FieldError(pos.ErrIllegalMove, "log", fmt.Errorf("record %d does not follow %d", n, last))
		}
		return t.appendLog(ctx, name, n, record, by)
	})
}

// logged is how many records a campaign's log has.
func (t *Tx) logged(ctx context.Context, name string) (n int64, err error) {
	if _, err = one(t.QueryRow(ctx, `SELECT COALESCE(MAX(n), 0) FROM campaign_log WHERE campaign = ?`, name), &n); err != nil {
		err = fmt.Errorf("read log: %w", err)
	}
	return n, err
}

// appendLog keeps the record after those that are there; the caller has looked.
func (t *Tx) appendLog(ctx context.Context, name string, n int64, record []byte, by string) error {
	if _, err := t.Exec(ctx, `INSERT INTO campaign_log (campaign, n, record) VALUES (?, ?, ?)`, name, n, record); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	return t.Audit(ctx, by, "campaign_logged", name, fmt.Sprintf("record %d", n))
}

// PutCheckpoint implements office.Store.
func (s officeStore) PutCheckpoint(ctx context.Context, name string, n int64, text []byte) error {
	return s.tx(ctx, func(t *Tx) error {
		_, err := t.Exec(ctx, `INSERT INTO campaign_checkpoints (campaign, n, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, name, n, text)
		return err
	})
}

// PutRound implements office.Store.
func (s officeStore) PutRound(ctx context.Context, name string, text []byte, by string) error {
	return s.tx(ctx, func(t *Tx) error {
		var have []byte
		found, err := one(t.QueryRow(ctx, `SELECT text FROM campaign_rounds WHERE campaign = ?`, name), &have)
		if err != nil {
			return fmt.Errorf("read round: %w", err)
		}
		if found {
			return same(have, text, "round", "it was drawn with another round")
		}
		if _, err := t.Exec(ctx, `INSERT INTO campaign_rounds (campaign, text) VALUES (?, ?)`, name, text); err != nil {
			return fmt.Errorf("put round: %w", err)
		}
		return t.Audit(ctx, by, "campaign_round", name, "")
	})
}
