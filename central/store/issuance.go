package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/central/issuance"
	"dcpos/central/payment"
	"dcpos/pos"
)

// Issuances is the store of envelopes.
func (s *Store) Issuances() issuance.Store { return issuanceStore{s} }

type issuanceStore struct{ *Store }

type issuanceTx struct{ *Tx }

// Write implements issuance.Store.
func (s issuanceStore) Write(ctx context.Context, fn func(tx issuance.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(issuanceTx{t}) })
}

// Read implements issuance.Store.
func (s issuanceStore) Read(ctx context.Context, fn func(tx issuance.Tx) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(issuanceTx{t}) })
}

func scanIssuance(row interface{ Scan(...any) error }) (i issuance.Issuance, err error) {
	var plan []byte
	if err := row.Scan(&plan, &i.Standing, &i.Seeded); err != nil {
		return i, err
	}
	return i, json.Unmarshal(plan, &i.Plan)
}

// Issuances implements issuance.Tx.
func (t issuanceTx) Issuances(ctx context.Context) ([]issuance.Issuance, error) {
	rows, err := t.Query(ctx, `SELECT plan, standing, seeded FROM issuances ORDER BY campaign`)
	return list(rows, err, "issuances", scanIssuance)
}

// Issuance implements issuance.Tx.
func (t issuanceTx) Issuance(ctx context.Context, campaign string) (issuance.Issuance, bool, error) {
	if have, read := t.issuances[campaign]; read {
		return have, true, nil
	}
	rows, err := t.Query(ctx, `SELECT plan, standing, seeded FROM issuances WHERE campaign = ?`, campaign)
	all, err := list(rows, err, "issuances", scanIssuance)
	if err != nil || len(all) == 0 {
		return issuance.Issuance{}, false, err
	}
	if t.issuances == nil {
		t.issuances = map[string]issuance.Issuance{}
	}
	t.issuances[campaign] = all[0]
	return all[0], true, nil
}

// PutIssuance implements issuance.Tx.
func (t issuanceTx) PutIssuance(ctx context.Context, i issuance.Issuance) error {
	delete(t.issuances, i.Campaign)
	plan, err := json.Marshal(i.Plan)
	if err != nil {
		return fmt.Errorf("plan of %s: %w", i.Campaign, err)
	}
	_, err = t.Exec(ctx, `INSERT INTO issuances (campaign, plan, standing, seeded) VALUES (?, ?, ?, ?)
		ON CONFLICT (campaign) DO UPDATE SET standing = excluded.standing, seeded = excluded.seeded`,
		i.Campaign, plan, string(i.Standing), i.Seeded)
	return err
}

const envelopeColumns = `id, campaign, ticket, tier, rank, stratum, institution, state, face, left_fen, spent, recalled,
	threshold, from_ms, until_ms, wallet, next_ms, tries, detail, offered_ms, claimed_ms`

func scanEnvelope(row interface{ Scan(...any) error }) (e issuance.Issued, err error) {
	var ticket []byte
	var from, until int64
	if err := row.Scan(&e.ID, &e.Campaign, &ticket, &e.Tier, &e.Rank, &e.Stratum, &e.Institution, &e.State, &e.Face, &e.Left, &e.Spent,
		&e.Recalled, &e.Threshold, &from, &until, &e.Wallet, &e.NextMS, &e.Tries, &e.Detail, &e.OfferedMS, &e.ClaimedMS); err != nil {
		return e, err
	}
	if copy(e.Ticket[:], ticket) != len(e.Ticket) {
		return e, errors.New("ticket is short")
	}
	e.From, e.Until = time.UnixMilli(from), time.UnixMilli(until)
	return e, nil
}

// Envelope implements issuance.Tx.
func (t issuanceTx) Envelope(ctx context.Context, id string) (issuance.Issued, bool, error) {
	rows, err := t.Query(ctx, `SELECT `+envelopeColumns+` FROM envelopes WHERE id = ?`, word(id))
	all, err := list(rows, err, "envelopes", scanEnvelope)
	if err != nil || len(all) == 0 {
		return issuance.Issued{}, false, err
	}
	return all[0], true, nil
}

// envelopesAtOnce is how many rows one statement writes.
const envelopesAtOnce = 64

// PutEnvelopes implements issuance.Tx.
func (t issuanceTx) PutEnvelopes(ctx context.Context, all []issuance.Issued) error {
	for len(all) > 0 {
		n := 1
		if len(all) >= envelopesAtOnce {
			n = envelopesAtOnce // two shapes: each is prepared once
		}
		args := make([]any, 0, 22*n)
		for _, e := range all[:n] {
			if err := e.Check(); err != nil {
				return err
			}
			args = append(args, e.ID, e.Campaign, e.Ticket[:], e.Tier, e.Rank, e.Stratum, e.Institution, string(e.State), int64(e.Face), int64(e.Left),
				int64(e.Spent), int64(e.Recalled), int64(e.Threshold), e.From.UnixMilli(), e.Until.UnixMilli(), word(e.Wallet), e.NextMS, e.Tries,
				detail(e.Detail), e.OfferedMS, e.ClaimedMS, t.NowMS())
		}
		if _, err := t.Exec(ctx, `INSERT INTO envelopes (`+envelopeColumns+`, updated_ms) VALUES `+rowsOf(22, n)+`
			ON CONFLICT (id) DO UPDATE SET state = excluded.state, left_fen = excluded.left_fen, spent = excluded.spent,
				recalled = excluded.recalled, wallet = excluded.wallet, next_ms = excluded.next_ms, tries = excluded.tries,
				detail = excluded.detail, offered_ms = excluded.offered_ms, claimed_ms = excluded.claimed_ms,
				updated_ms = excluded.updated_ms`, args...); err != nil {
			return fmt.Errorf("put envelopes: %w", err)
		}
		all = all[n:]
	}
	return nil
}

// Due implements issuance.Tx.
func (t issuanceTx) Due(
	ctx context.Context, campaign, code string, states []issuance.State, nowMS int64, limit int,
) (due []issuance.Issued, err error) {
	for _, s := range states {
		var w where
		w.and("campaign = ? AND state = ? AND next_ms <= ?", campaign, string(s), nowMS)
		order := ""
		if code != "" { // the index has this order; without an institution it has none, and none is needed
			w.and("institution = ?", code)
			order = ` ORDER BY next_ms, rank`
		}
		rows, err := t.Query(ctx, `SELECT `+envelopeColumns+` FROM envelopes WHERE `+w.String()+order+` LIMIT ?`,
			append(w.args, limit-len(due))...)
		part, err := list(rows, err, "due envelopes", scanEnvelope)
		if err != nil {
			return nil, err
		}
		if due = append(due, part...); len(due) >= limit {
			break
		}
	}
	return due, nil
}

// NextWaiting implements issuance.Tx.
func (t issuanceTx) NextWaiting(ctx context.Context, campaign, stratum string) (n int64, err error) {
	_, err = one(t.QueryRow(ctx, `SELECT COUNT(*) FROM envelopes WHERE campaign = ? AND stratum = ? AND rank < 0`, campaign, stratum), &n)
	return n, err
}

// Unannounced implements issuance.Tx. Those that wait for the log are not due before the end
// of the window, at its very moment: issuance writes them so.
func (t issuanceTx) Unannounced(ctx context.Context, campaign, code string, untilMS int64, limit int) ([]issuance.Issued, error) {
	rows, err := t.Query(ctx, `SELECT `+envelopeColumns+` FROM envelopes
		WHERE campaign = ? AND state = ? AND institution = ? AND next_ms = ? AND rank < 0 ORDER BY rank DESC LIMIT ?`,
		campaign, string(issuance.Reserved), code, untilMS, limit)
	return list(rows, err, "unannounced envelopes", scanEnvelope)
}

// Advance implements issuance.Tx.
func (t issuanceTx) Advance(ctx context.Context, campaign string, out, in [32]byte, reason string) error {
	line, err := draw.Record{Kind: draw.RecordAdvance, Out: draw.Ticket(out).String(), In: draw.Ticket(in).String(), Reason: reason}.Line()
	if err != nil {
		return err
	}
	last, err := t.logged(ctx, campaign)
	if err != nil {
		return err
	}
	var before []byte
	if _, err := one(t.QueryRow(ctx, `SELECT record FROM campaign_log WHERE campaign = ? AND n = ?`, campaign, last), &before); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if kind := kindOf(before); kind != draw.RecordResult && kind != draw.RecordAdvance { // else nobody could read the log any more
		return pos.FieldError(pos.ErrIllegalMove, "log", fmt.Errorf("%.40q was not drawn yet", campaign))
	}
	return t.appendLog(ctx, campaign, last+1, line, "centre")
}

func kindOf(record []byte) draw.RecordKind {
	var r draw.Record
	if json.Unmarshal(record, &r) != nil {
		return ""
	}
	return r.Kind
}

// Feed implements issuance.Tx.
func (t issuanceTx) Feed(ctx context.Context, code string) (n int64, err error) {
	_, err = one(t.QueryRow(ctx, `SELECT n FROM envelope_feeds WHERE institution = ?`, code), &n)
	return n, err
}

// PutFeed implements issuance.Tx.
func (t issuanceTx) PutFeed(ctx context.Context, code string, n int64) error {
	_, err := t.Exec(ctx, `INSERT INTO envelope_feeds (institution, n) VALUES (?, ?)
		ON CONFLICT (institution) DO UPDATE SET n = excluded.n`, code, n)
	return err
}

const spendColumns = `payment, n, envelope, campaign, tier, institution, merchant, store, channel, category, price, amount, returned, at_ms, date, reason`

// SpendsOf implements issuance.Tx.
func (t issuanceTx) SpendsOf(ctx context.Context, id pos.PaymentID) ([]issuance.Spend, error) {
	rows, err := t.Query(ctx, `SELECT `+spendColumns+` FROM envelope_spends WHERE payment = ? ORDER BY n`, id.String())
	return list(rows, err, "shares", func(row interface{ Scan(...any) error }) (s issuance.Spend, err error) {
		var name string
		if err := row.Scan(&name, &s.N, &s.Envelope, &s.Campaign, &s.Tier, &s.Institution, &s.Merchant, &s.Store, &s.Channel, &s.Category,
			&s.Price, &s.Amount, &s.Returned, &s.AtMS, &s.Date, &s.Reason); err != nil {
			return s, err
		}
		s.Payment, err = pos.ParsePaymentID(name)
		return s, err
	})
}

// PutSpends implements issuance.Tx.
func (t issuanceTx) PutSpends(ctx context.Context, all []issuance.Spend) error {
	for _, s := range all {
		if _, err := t.Exec(ctx, `INSERT INTO envelope_spends (`+spendColumns+`) VALUES `+rowsOf(16, 1)+`
			ON CONFLICT (payment, n) DO UPDATE SET returned = excluded.returned`,
			s.Payment.String(), s.N, word(s.Envelope), s.Campaign, s.Tier, s.Institution, s.Merchant, s.Store, word(s.Channel), word(s.Category),
			int64(s.Price), int64(s.Amount), int64(s.Returned), s.AtMS, string(s.Date), s.Reason); err != nil {
			return fmt.Errorf("put share: %w", err)
		}
	}
	return nil
}

// PutReturns implements issuance.Tx.
func (t issuanceTx) PutReturns(ctx context.Context, all []issuance.Returned) error {
	for _, r := range all {
		if _, err := t.Exec(ctx, `INSERT INTO envelope_returns (refund, payment, envelope, campaign, amount, recalled, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.Refund.String(), r.Payment.String(), r.Envelope, r.Campaign, int64(r.Amount), flag(r.Recalled), r.AtMS); err != nil {
			return fmt.Errorf("put return: %w", err)
		}
	}
	return nil
}

// Behind implements issuance.Tx. A till that never spoke over the road holds nothing: it
// has no policy to take payments offline by. What has arrived from before the moment counts
// until the payment room has read it, and until its institution has decided.
func (t issuanceTx) Behind(ctx context.Context, untilMS int64) (n int64, err error) {
	err = t.QueryRow(ctx, `SELECT
		(SELECT COUNT(*) FROM terminals t JOIN contacts c ON c.terminal = t.id WHERE c.at_ms < ? OR c.unsent > 0) +
		(SELECT COUNT(*) FROM payments WHERE state = 'accepted_evidence' AND next_ms > 0) +
		(SELECT COUNT(*) FROM heads h
			LEFT JOIN payment_cursors c ON h.branch = 0 AND c.terminal = h.terminal AND c.epoch = h.epoch
			LEFT JOIN branch_cursors b ON h.branch > 0 AND b.terminal = h.terminal AND b.epoch = h.epoch AND b.branch = h.branch
			WHERE h.seq > COALESCE(c.seq, b.seq, 0) AND EXISTS (SELECT 1 FROM entries e WHERE e.terminal = h.terminal AND e.epoch = h.epoch
				AND e.branch = h.branch AND e.seq > COALESCE(c.seq, b.seq, 0) AND e.wall_ms < ?))`, untilMS, untilMS).Scan(&n)
	return n, err
}

// Proposals implements issuance.Tx.
func (t issuanceTx) Proposals(ctx context.Context) ([]issuance.Proposal, error) {
	rows, err := t.Query(ctx, `SELECT number, campaign, what, payment, reason, proposed_by, proposed_ms FROM issuance_proposals
		WHERE state = 'open' ORDER BY number`)
	return list(rows, err, "proposals", func(row interface{ Scan(...any) error }) (p issuance.Proposal, err error) {
		var of string
		if err := row.Scan(&p.Number, &p.Campaign, &p.What, &of, &p.Reason, &p.By, &p.AtMS); err != nil || of == "" {
			return p, err
		}
		p.Payment, err = pos.ParsePaymentID(of)
		return p, err
	})
}

// PutProposal implements issuance.Tx; one that is open stands for others alike.
func (t issuanceTx) PutProposal(ctx context.Context, p issuance.Proposal) error {
	id := ""
	if !p.Payment.IsZero() {
		id = p.Payment.String()
	}
	_, err := t.Exec(ctx, `INSERT INTO issuance_proposals (campaign, what, payment, reason, proposed_by, proposed_ms, state, closed_by, closed_ms)
		VALUES (?, ?, ?, ?, ?, ?, 'open', '', 0) ON CONFLICT DO NOTHING`, p.Campaign, string(p.What), id, validText(p.Reason), word(p.By), p.AtMS)
	return err
}

// CloseProposal implements issuance.Tx.
func (t issuanceTx) CloseProposal(ctx context.Context, number int64, by string, confirmed bool) error {
	state := "rejected"
	if confirmed {
		state = "confirmed"
	}
	n, err := t.Exec(ctx, `UPDATE issuance_proposals SET state = ?, closed_by = ?, closed_ms = ? WHERE number = ? AND state = 'open'`,
		state, word(by), t.NowMS(), number)
	if err == nil && n != 1 {
		err = pos.FieldError(pos.ErrIllegalMove, "number", fmt.Errorf("proposal %d is not open", number))
	}
	return err
}

// PutLate implements issuance.Tx.
func (t issuanceTx) PutLate(ctx context.Context, l issuance.Late) error {
	shares, err := json.Marshal(l.Shares)
	if err != nil {
		return err
	}
	_, err = t.Exec(ctx, `INSERT INTO envelope_lates (payment, terminal, campaign, shares, at_ms, decided) VALUES (?, ?, ?, ?, ?, '')
		ON CONFLICT DO NOTHING`, l.Payment.String(), l.Terminal, l.Campaign, shares, l.AtMS)
	return err
}

// Lates implements issuance.Tx.
func (t issuanceTx) Lates(ctx context.Context) ([]issuance.Late, error) {
	rows, err := t.Query(ctx, `SELECT payment, terminal, campaign, shares, at_ms FROM envelope_lates WHERE decided = '' ORDER BY at_ms, payment`)
	return list(rows, err, "late payments", func(row interface{ Scan(...any) error }) (l issuance.Late, err error) {
		var of string
		var shares []byte
		if err := row.Scan(&of, &l.Terminal, &l.Campaign, &shares, &l.AtMS); err != nil {
			return l, err
		}
		if err := json.Unmarshal(shares, &l.Shares); err != nil {
			return l, err
		}
		l.Payment, err = pos.ParsePaymentID(of)
		return l, err
	})
}

// Resume implements issuance.Tx.
func (t issuanceTx) Resume(ctx context.Context, id pos.PaymentID, honour bool) error {
	decided := "refused"
	if honour {
		decided = "honoured"
	}
	if err := t.decideLate(ctx, id, decided); err != nil {
		return err
	}
	return payment.Resume(ctx, paymentTx(t), t.NowMS(), id, honour)
}

func (t *Tx) decideLate(ctx context.Context, id pos.PaymentID, decided string) error {
	if _, err := t.Exec(ctx, `UPDATE envelope_lates SET decided = ? WHERE payment = ? AND decided = ''`, decided, id.String()); err != nil {
		return fmt.Errorf("decide late payment %s: %w", id, err)
	}
	return nil
}
