package store

import (
	"context"
	"time"

	"dcpos/central/campaign/statement"
	"dcpos/pos"
)

// first is 1 for the first share of a payment that the campaign owes, 0 for those after it:
// a payment out of two envelopes is one payment with one price.
const first = `(CASE WHEN EXISTS (SELECT 1 FROM envelope_spends q WHERE q.payment = p.payment AND q.n < p.n AND q.campaign = p.campaign
	AND q.reason = '') THEN 0 ELSE 1 END)`

// others is what other campaigns' envelopes have paid of a payment, told at its first share.
const others = first + ` * COALESCE((SELECT SUM(q.amount) FROM envelope_spends q WHERE q.payment = p.payment AND q.campaign <> p.campaign
	AND q.reason = ''), 0)`

// CampaignLines are a campaign's payments for its statement, shares that are not owed left out.
// Days are Shanghai's, whose clock has been 8 hours ahead since 1991.
func (s *Store) CampaignLines(ctx context.Context, campaign string) (all []statement.Line, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT (p.at_ms + 28800000) / 86400000 AS day, COALESCE(h.district, '') AS place, p.merchant, p.category,
				p.channel, p.tier, CAST(SUM(`+first+`) AS BIGINT), CAST(SUM(p.price * `+first+`) AS BIGINT), CAST(SUM(p.amount) AS BIGINT),
				CAST(SUM(`+others+`) AS BIGINT), CAST(SUM(p.returned) AS BIGINT)
			FROM envelope_spends p LEFT JOIN shops h ON h.id = p.store
			WHERE p.campaign = ? AND p.reason = '' GROUP BY (p.at_ms + 28800000) / 86400000, COALESCE(h.district, ''), p.merchant, p.category, p.channel, p.tier
			ORDER BY 1, 2, 3, 4, 5, 6`, campaign)
		all, err = list(rows, err, "campaign lines", func(row interface{ Scan(...any) error }) (l statement.Line, err error) {
			var day int64
			err = row.Scan(&day, &l.District, &l.Merchant, &l.Category, &l.Channel, &l.Tier, &l.Payments, &l.Price, &l.Envelope, &l.Others, &l.Returned)
			l.Day = pos.DateOf(time.Unix(day*86400, 0).UTC().Add(-8*time.Hour), 0) //nolint:mnd // midnight in Shanghai
			return l, err
		})
		return err
	})
	return all, err
}
