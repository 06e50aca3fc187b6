package store

import (
	"context"
	"fmt"
	"math"
	"slices"

	"dcpos/central/payment"
	"dcpos/pos"
)

const signedColumns = `institution, wallet, counter, statement, payment, terminal, amount, apart, evidence, seen_ms, signed_ms, class, policy, earliest_ms, latest_ms`

func scanSigned(row interface{ Scan(...any) error }) (s payment.Signed, err error) {
	var id string
	var counter int64
	if err = row.Scan(&s.Institution, &s.Wallet, &counter, &s.Statement, &id, &s.Terminal, &s.Amount, &s.Apart, &s.Evidence, &s.AtMS,
		&s.SignedMS, &s.Class, &s.Policy, &s.Time.EarliestMS, &s.Time.LatestMS); err != nil {
		return s, err
	}
	s.Counter = uint64(counter) //nolint:gosec // as it was written: all 64 bits
	s.Payment, err = pos.ParsePaymentID(id)
	return s, err
}

// SignedUnder implements payment.Tx.
func (t paymentTx) SignedUnder(ctx context.Context, institution, wallet string, counter uint64) ([]payment.Signed, error) {
	rows, err := t.Query(ctx, `SELECT `+signedColumns+` FROM wallet_evidence
		WHERE institution = ? AND wallet = ? AND counter = ? ORDER BY seen_ms, payment, statement`,
		word(institution), wallet, int64(counter)) //nolint:gosec // all 64 bits are kept
	return list(rows, err, "statements of a wallet", scanSigned)
}

// PutSigned implements payment.Tx.
func (t paymentTx) PutSigned(ctx context.Context, s payment.Signed) error {
	_, err := t.Exec(ctx, `INSERT INTO wallet_evidence (`+signedColumns+`) VALUES `+rowsOf(15, 1)+`
		ON CONFLICT (institution, wallet, counter, statement) DO UPDATE SET apart = excluded.apart, evidence = excluded.evidence,
			policy = excluded.policy, earliest_ms = excluded.earliest_ms, latest_ms = excluded.latest_ms`,
		word(s.Institution), s.Wallet, int64(s.Counter), s.Statement, s.Payment.String(), s.Terminal, int64(s.Amount), //nolint:gosec // all 64 bits are kept
		flag(s.Apart), s.Evidence, s.AtMS, s.SignedMS, s.Class, int64(min(s.Policy, math.MaxInt64)), //nolint:gosec // bounded
		s.Time.EarliestMS, s.Time.LatestMS)
	if err != nil {
		return fmt.Errorf("write evidence of payment %s: %w", s.Payment, err)
	}
	return nil
}

// Rivals implements payment.Tx.
func (t paymentTx) Rivals(ctx context.Context, id pos.PaymentID) ([]pos.PaymentID, error) {
	rows, err := t.Query(ctx, `SELECT o.payment FROM wallet_evidence w JOIN wallet_evidence o
		ON o.institution = w.institution AND o.wallet = w.wallet AND o.counter = w.counter AND o.statement <> w.statement
		WHERE w.payment = ? AND w.apart = 0 AND o.apart = 0 ORDER BY o.seen_ms, o.payment`, id.String())
	return list(rows, err, "rivals of a payment", func(row interface{ Scan(...any) error }) (pos.PaymentID, error) {
		var text string
		if err := row.Scan(&text); err != nil {
			return pos.PaymentID{}, err
		}
		return pos.ParsePaymentID(text)
	})
}

// AppendConflict implements payment.Tx.
func (t paymentTx) AppendConflict(ctx context.Context, institution, wallet string, counter uint64) (bool, error) {
	n, err := t.Exec(ctx, `INSERT INTO wallet_conflicts (institution, wallet, counter, found_ms) VALUES (?, ?, ?, ?)
		ON CONFLICT (institution, wallet, counter) DO NOTHING`, word(institution), wallet, int64(counter), t.NowMS()) //nolint:gosec // all 64 bits are kept
	if err != nil {
		return false, fmt.Errorf("write conflict of wallet %s: %w", wallet, err)
	}
	return n > 0, nil
}

// Promises implements payment.Tx.
func (t paymentTx) Promises(ctx context.Context, institution, wallet string, afterMS, beforeMS int64, limit int) ([]payment.Promise, error) {
	rows, err := t.Query(ctx, `SELECT payment, terminal, amount, signed_ms, class, policy FROM wallet_evidence
		WHERE institution = ? AND wallet = ? AND apart = 0 AND signed_ms > ? AND signed_ms < ?
		ORDER BY signed_ms DESC, payment DESC LIMIT ?`, word(institution), wallet, afterMS, beforeMS, limit)
	all, err := list(rows, err, "promises of a wallet", func(row interface{ Scan(...any) error }) (p payment.Promise, err error) {
		var id string
		if err := row.Scan(&id, &p.Terminal, &p.Amount, &p.SignedMS, &p.Class, &p.Policy); err != nil {
			return p, err
		}
		p.Payment, err = pos.ParsePaymentID(id)
		return p, err
	})
	slices.Reverse(all)
	return all, err
}

// AppendExcess implements payment.Tx.
func (t paymentTx) AppendExcess(ctx context.Context, x payment.Excess) (bool, error) {
	n, err := t.Exec(ctx, `INSERT INTO wallet_excesses (institution, wallet, cap, period, class, most, sum, count, policy, payment, signed_ms, found_ms)
		VALUES `+rowsOf(12, 1)+` ON CONFLICT (institution, wallet, cap, period) DO NOTHING`,
		word(x.Institution), x.Wallet, string(x.Cap), x.Period, x.Class, int64(x.Most), int64(x.Sum), x.Count, int64(min(x.Policy, math.MaxInt64)), //nolint:gosec // bounded
		x.Payment.String(), x.SignedMS, t.NowMS())
	if err != nil {
		return false, fmt.Errorf("write excess of wallet %s: %w", x.Wallet, err)
	}
	return n > 0, nil
}

// Whereabouts implements payment.Tx.
func (t paymentTx) Whereabouts(ctx context.Context, terminal string) (p pos.Point, told bool, err error) {
	told, err = one(t.QueryRow(ctx, `SELECT s.lat_e6, s.lon_e6 FROM terminals t JOIN shops s ON s.id = t.shop
		WHERE t.id = ? AND s.lat_e6 IS NOT NULL`, terminal), &p.LatE6, &p.LonE6)
	return p, told, err
}

// Elsewhere implements payment.Tx.
func (t paymentTx) Elsewhere(ctx context.Context, institution, wallet string, own payment.Sighting, withinMS int64, limit int) ([]payment.Sighting, error) {
	rows, err := t.Query(ctx, `SELECT w.payment, w.terminal, w.signed_ms, w.earliest_ms, w.latest_ms, w.policy, s.lat_e6, s.lon_e6
		FROM wallet_evidence w JOIN terminals t ON t.id = w.terminal JOIN shops s ON s.id = t.shop
		WHERE w.institution = ? AND w.wallet = ? AND w.apart = 0 AND w.signed_ms > ? AND w.signed_ms < ? AND w.latest_ms > 0
			AND (s.lat_e6 <> ? OR s.lon_e6 <> ?)
		ORDER BY w.signed_ms DESC, w.payment DESC LIMIT ?`,
		word(institution), wallet, own.SignedMS-withinMS, own.SignedMS+withinMS, own.At.LatE6, own.At.LonE6, limit)
	all, err := list(rows, err, "sightings of a wallet", func(row interface{ Scan(...any) error }) (s payment.Sighting, err error) {
		var id string
		if err := row.Scan(&id, &s.Terminal, &s.SignedMS, &s.Time.EarliestMS, &s.Time.LatestMS, &s.Policy, &s.At.LatE6, &s.At.LonE6); err != nil {
			return s, err
		}
		s.Payment, err = pos.ParsePaymentID(id)
		return s, err
	})
	slices.Reverse(all)
	return all, err
}

// AppendJourney implements payment.Tx.
func (t paymentTx) AppendJourney(ctx context.Context, j payment.Journey) (bool, error) {
	n, err := t.Exec(ctx, `INSERT INTO wallet_journeys (institution, wallet, day, first, first_at, second, second_at, metres, most_ms, speed_kmh, slack_km, found_ms)
		VALUES `+rowsOf(12, 1)+` ON CONFLICT (institution, wallet, day) DO NOTHING`,
		word(j.Institution), j.Wallet, j.Day, j.First.Payment.String(), j.First.At.String(), j.Second.Payment.String(), j.Second.At.String(),
		j.Metres, j.Most.Milliseconds(), j.Travel.SpeedKMH, j.Travel.SlackKM, t.NowMS())
	if err != nil {
		return false, fmt.Errorf("write journey of wallet %s: %w", j.Wallet, err)
	}
	return n > 0, nil
}

// PolicyLimits implements payment.Tx.
func (t paymentTx) PolicyLimits(ctx context.Context, version uint64) (pos.Limits, error) {
	all, err := fleetTx(t).policies(ctx, `WHERE version = ?`, int64(min(version, math.MaxInt64))) //nolint:gosec // bounded
	if err == nil && len(all) == 0 {
		all, err = fleetTx(t).Policies(ctx, "", "", 1)
	}
	if err != nil || len(all) == 0 {
		return pos.Limits{}, err
	}
	return all[0].Limits, nil
}

// MarkIndexed implements payment.Tx.
func (t paymentTx) MarkIndexed(ctx context.Context, id pos.PaymentID) error {
	if _, err := t.Exec(ctx, `UPDATE payments SET indexed = 1 WHERE id = ?`, id.String()); err != nil {
		return fmt.Errorf("mark payment %s: %w", id, err)
	}
	return nil
}

// Unindexed implements payment.Store.
func (s paymentStore) Unindexed(ctx context.Context, limit int) (old []payment.Record, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT `+paymentColumns+` FROM payments WHERE indexed = 0 AND evidence IS NOT NULL ORDER BY id LIMIT ?`, limit)
		old, err = list(rows, err, "payments that are not indexed", scanPayment)
		return err
	})
	return old, err
}

const revocationColumns = `institution, wallet, state, reason, proposed_by, proposed_ms, closed_by, closed_ms`

func scanRevocation(row interface{ Scan(...any) error }) (r payment.Revocation, err error) {
	err = row.Scan(&r.Number, &r.Institution, &r.Wallet, &r.State, &r.Reason, &r.ProposedBy, &r.ProposedMS, &r.ClosedBy, &r.ClosedMS)
	return r, err
}

// Revocation implements payment.Tx.
func (t paymentTx) Revocation(ctx context.Context, institution, wallet string) (payment.Revocation, bool, error) {
	return maybe(scanRevocation(t.QueryRow(ctx, `SELECT number, `+revocationColumns+` FROM wallet_revocations
		WHERE institution = ? AND wallet = ? AND state IN ('proposed', 'revoked')`, validText(institution), validText(wallet))))
}

// PutRevocation implements payment.Tx.
func (t paymentTx) PutRevocation(ctx context.Context, r payment.Revocation) error {
	query, args := `INSERT INTO wallet_revocations (`+revocationColumns+`) VALUES `+rowsOf(8, 1),
		[]any{r.Institution, r.Wallet, string(r.State), validText(r.Reason), r.ProposedBy, r.ProposedMS, r.ClosedBy, r.ClosedMS}
	if r.Number > 0 {
		query, args = `UPDATE wallet_revocations SET state = ?, closed_by = ?, closed_ms = ? WHERE number = ?`,
			[]any{string(r.State), r.ClosedBy, r.ClosedMS, r.Number}
	}
	if _, err := t.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("write revocation of wallet %s: %w", r.Wallet, err)
	}
	return nil
}

// Revoked implements payment.Store.
func (s paymentStore) Revoked(ctx context.Context) (all []string, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT wallet FROM wallet_revocations WHERE state = 'revoked' ORDER BY wallet, institution`)
		all, err = list(rows, err, "revoked wallets", func(row interface{ Scan(...any) error }) (serial string, err error) {
			err = row.Scan(&serial)
			return serial, err
		})
		return err
	})
	return all, err
}
