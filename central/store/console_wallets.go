package store

import (
	"context"
	"fmt"
	"time"

	"dcpos/central/console"
	"dcpos/central/ledger"
	"dcpos/central/payment"
	"dcpos/pos"
)

// DoubleSpends implements console.Store.
func (s consoleStore) DoubleSpends(ctx context.Context, before int64, limit int) (all []console.DoubleSpend, err error) {
	err = s.view(ctx, func(t *Tx) error {
		query, args := `SELECT number, institution, wallet, counter, found_ms FROM wallet_conflicts`, []any{}
		if before > 0 {
			query, args = query+` WHERE number < ?`, append(args, before)
		}
		rows, err := t.Query(ctx, query+` ORDER BY number DESC LIMIT ?`, append(args, limit)...)
		all, err = list(rows, err, "double spendings", func(row interface{ Scan(...any) error }) (d console.DoubleSpend, err error) {
			var counter int64
			err = row.Scan(&d.Number, &d.Institution, &d.Wallet, &counter, &d.FoundMS)
			d.Counter = uint64(counter) //nolint:gosec // as it was written: all 64 bits
			return d, err
		})
		for i := range all {
			if err != nil {
				return err
			}
			err = t.spentSides(ctx, &all[i])
		}
		return err
	})
	return all, err
}

func (t *Tx) spentSides(ctx context.Context, d *console.DoubleSpend) error {
	signed, err := paymentTx{t}.SignedUnder(ctx, d.Institution, d.Wallet, d.Counter)
	if err != nil {
		return err
	}
	for _, s := range signed {
		side := console.SpentSide{
			Payment: s.Payment.String(), Terminal: s.Terminal, Amount: s.Amount, SeenMS: s.AtMS, Apart: s.Apart, Evidence: s.Evidence,
		}
		if !s.Apart {
			r, found, err := paymentTx{t}.Payment(ctx, s.Payment)
			if err != nil {
				return err
			}
			if found {
				side.State, side.Evidence, side.Waits = r.State, r.Evidence, r.State == pos.AcceptedEvidence && r.NextMS == 0
			}
			if side.Held, err = (paymentTx{t}).Held(ctx, s.Payment); err != nil {
				return err
			}
			if side.Decided, err = t.decidedConflict(ctx, s.Payment); err != nil {
				return err
			}
		}
		d.Sides = append(d.Sides, side)
	}
	return nil
}

func (t *Tx) decidedConflict(ctx context.Context, id pos.PaymentID) (string, error) {
	held := ledger.RefusedKey(id)
	for key, decision := range map[string]ledger.Decision{
		ledger.CreditKey(held): ledger.DecideCredit, ledger.WriteOffKey(held): ledger.DecideWriteOff,
	} {
		var number int64
		found, err := one(t.QueryRow(ctx, `SELECT number FROM ledger_transactions WHERE key = ?`, key), &number)
		if err != nil {
			return "", fmt.Errorf("look up %s: %w", key, err)
		}
		if found {
			return string(decision), nil
		}
	}
	return "", nil
}

// partsShown is how many payments of an excess are shown.
const partsShown = 20

// Excesses implements console.Store.
func (s consoleStore) Excesses(ctx context.Context, before int64, limit int) (all []console.Excess, err error) {
	err = s.view(ctx, func(t *Tx) error {
		query, args := `SELECT number, institution, wallet, cap, period, class, most, sum, count, policy, signed_ms, found_ms FROM wallet_excesses`, []any{}
		if before > 0 {
			query, args = query+` WHERE number < ?`, append(args, before)
		}
		spans := map[int64]int64{} // of the excess with this number
		rows, err := t.Query(ctx, query+` ORDER BY number DESC LIMIT ?`, append(args, limit)...)
		all, err = list(rows, err, "excesses", func(row interface{ Scan(...any) error }) (x console.Excess, err error) {
			var name payment.Cap
			var signed int64
			err = row.Scan(&x.Number, &x.Institution, &x.Wallet, &name, &x.Period, &x.Class, &x.Most, &x.Sum, &x.Count, &x.Policy, &signed, &x.FoundMS)
			x.Cap, spans[x.Number] = name.Text(), signed
			return x, err
		})
		for i := range all {
			if err != nil {
				return err
			}
			err = t.excessParts(ctx, &all[i], spans[all[i].Number])
		}
		return err
	})
	return all, err
}

// excessParts adds the last payments of the sum, which ends at a moment.
func (t *Tx) excessParts(ctx context.Context, x *console.Excess, endMS int64) error {
	last, err := paymentTx{t}.Promises(ctx, x.Institution, x.Wallet, -1, endMS+1, min(x.Count, partsShown))
	for _, p := range last {
		if err != nil {
			return err
		}
		part := console.ExcessPart{Payment: p.Payment.String(), Terminal: p.Terminal, Amount: p.Amount, SignedMS: p.SignedMS}
		var r payment.Record
		if r, _, err = (paymentTx{t}).Payment(ctx, p.Payment); err == nil {
			part.State = r.State
			x.Parts = append(x.Parts, part)
		}
	}
	return err
}

// Journeys implements console.Store.
func (s consoleStore) Journeys(ctx context.Context, before int64, limit int) (all []console.Journey, err error) {
	err = s.view(ctx, func(t *Tx) error {
		query, args := `SELECT number, institution, wallet, first, first_at, second, second_at, metres, most_ms, speed_kmh, slack_km, found_ms
			FROM wallet_journeys`, []any{}
		if before > 0 {
			query, args = query+` WHERE number < ?`, append(args, before)
		}
		rows, err := t.Query(ctx, query+` ORDER BY number DESC LIMIT ?`, append(args, limit)...)
		all, err = list(rows, err, "journeys", func(row interface{ Scan(...any) error }) (j console.Journey, err error) {
			j.Stops = make([]console.Stop, 2)
			var most int64
			err = row.Scan(&j.Number, &j.Institution, &j.Wallet, &j.Stops[0].Payment, &j.Stops[0].At, &j.Stops[1].Payment, &j.Stops[1].At,
				&j.Metres, &most, &j.Travel.SpeedKMH, &j.Travel.SlackKM, &j.FoundMS)
			j.Most = time.Duration(most) * time.Millisecond
			return j, err
		})
		for i := range all {
			for n := range all[i].Stops {
				if err == nil {
					err = t.stop(ctx, &all[i].Stops[n])
				}
			}
		}
		return err
	})
	return all, err
}

// stop adds what is known of a stop's payment.
func (t *Tx) stop(ctx context.Context, s *console.Stop) error {
	_, err := one(t.QueryRow(ctx, `SELECT w.terminal, w.amount, w.earliest_ms, w.latest_ms, s.name_zh, s.name_en, s.district, p.state
		FROM wallet_evidence w JOIN terminals t ON t.id = w.terminal JOIN shops s ON s.id = t.shop JOIN payments p ON p.id = w.payment
		WHERE w.payment = ? AND w.apart = 0 LIMIT 1`, s.Payment),
		&s.Terminal, &s.Amount, &s.Time.EarliestMS, &s.Time.LatestMS, &s.Store.ZH, &s.Store.EN, &s.District, &s.State)
	if err != nil {
		return fmt.Errorf("look up payment %s: %w", s.Payment, err)
	}
	return nil
}

// Revocations implements console.Store.
func (s consoleStore) Revocations(ctx context.Context, limit int) (all []console.Revocation, err error) {
	err = s.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT number, `+revocationColumns+` FROM wallet_revocations ORDER BY number DESC LIMIT ?`, limit)
		all, err = list(rows, err, "revocations", func(row interface{ Scan(...any) error }) (console.Revocation, error) {
			r, err := scanRevocation(row)
			return console.Revocation{
				Institution: r.Institution, Wallet: r.Wallet, State: string(r.State), Text: r.State.Text(), Reason: r.Reason,
				ProposedBy: r.ProposedBy, ProposedMS: r.ProposedMS, ClosedBy: r.ClosedBy, ClosedMS: r.ClosedMS,
			}, err
		})
		return err
	})
	return all, err
}
