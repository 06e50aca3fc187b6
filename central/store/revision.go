package store

import (
	"context"
	"errors"
	"fmt"

	"dcpos/central/campaign"
	"dcpos/central/campaign/office"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Propose implements office.Store.
func (s officeStore) Propose(ctx context.Context, r office.Revision) error {
	p := r.Published
	return s.tx(ctx, func(t *Tx) error {
		var text []byte
		found, err := one(t.QueryRow(ctx, `SELECT text FROM campaign_drafts WHERE campaign = ? AND state = 'open'`, p.Definition.Name), &text)
		if err != nil {
			return fmt.Errorf("read drafts: %w", err)
		}
		if found {
			return same(text, p.Text, "campaign", "another version waits for a decision already: decide about it first")
		}
		if _, err := t.Exec(ctx, `INSERT INTO campaign_drafts
			(campaign, version, text, area, terms, reason, proposed_by, proposed_ms, state, closed_by, closed_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', '', 0)`,
			p.Definition.Name, p.Version, p.Text, blob(p.Area), r.Terms, validText(r.Reason), word(r.By), r.AtMS); err != nil {
			return fmt.Errorf("put draft: %w", err)
		}
		return t.Audit(ctx, r.By, "campaign_proposed", p.Definition.Name, fmt.Sprintf("version %d hash %s: %s", p.Version, p.Hash, r.Reason))
	})
}

// Revisions implements office.Store.
func (s officeStore) Revisions(ctx context.Context) (all []office.Revision, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT number, text, area, terms, reason, proposed_by, proposed_ms FROM campaign_drafts
			WHERE state = 'open' ORDER BY number`)
		all, err = list(rows, err, "drafts", func(row interface{ Scan(...any) error }) (r office.Revision, err error) {
			var text, area []byte
			if err := row.Scan(&r.Number, &text, &area, &r.Terms, &r.Reason, &r.By, &r.AtMS); err != nil {
				return r, err
			}
			r.Published, err = campaign.Open(text, area)
			return r, err
		})
		return err
	})
	return all, err
}

// closeDraft ends the wait of a revision.
func (t *Tx) closeDraft(ctx context.Context, r office.Revision, by, state string) error {
	n, err := t.Exec(ctx, `UPDATE campaign_drafts SET state = ?, closed_by = ?, closed_ms = ? WHERE number = ? AND state = 'open'`,
		state, word(by), t.NowMS(), r.Number)
	if err == nil && n != 1 {
		err = pos.FieldError(pos.ErrIllegalMove, "number", fmt.Errorf("revision %d does not wait", r.Number))
	}
	if err != nil {
		return err
	}
	return t.Audit(ctx, by, "campaign_decided", r.Published.Definition.Name, fmt.Sprintf("version %d %s", r.Published.Version, state))
}

// Reject implements office.Store.
func (s officeStore) Reject(ctx context.Context, r office.Revision, by string) error {
	return s.tx(ctx, func(t *Tx) error { return t.closeDraft(ctx, r, by, "rejected") })
}

// Revise implements office.Store.
func (s officeStore) Revise(ctx context.Context, r office.Revision, change office.Change) error {
	p := r.Published
	name := p.Definition.Name
	return s.tx(ctx, func(t *Tx) error {
		if err := t.closeDraft(ctx, r, change.By, "confirmed"); err != nil {
			return err
		}
		last, err := t.logged(ctx, name)
		if err != nil {
			return err
		}
		if last != int64(p.Version)-1 {
			return pos.FieldError(pos.ErrIllegalMove, "version", errors.New("it does not follow the newest version, or the list is fixed"))
		}
		if err := t.putCampaign(ctx, p, change.By); err != nil {
			return err
		}
		if err := t.rebudget(ctx, change); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, `INSERT INTO campaign_revisions (campaign, version, text) VALUES (?, ?, ?)`, name, p.Version, r.Terms); err != nil {
			return fmt.Errorf("put terms: %w", err)
		}
		return t.appendLog(ctx, name, last+1, change.Record, change.By)
	})
}

// rebudget books what the budget's change moves.
func (t *Tx) rebudget(ctx context.Context, change office.Change) error {
	if change.Money == nil {
		return nil
	}
	if change.More > 0 {
		if err := t.covers(ctx, change.Fund, change.More); err != nil {
			return err
		}
	}
	_, err := ledger.Post(ctx, t, *change.Money)
	return err
}
