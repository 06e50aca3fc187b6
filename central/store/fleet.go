package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/central/fleet"
	"dcpos/pos"
)

// Fleet is the registry's store.
func (s *Store) Fleet() fleet.Store { return fleetStore{s} }

type fleetStore struct{ *Store }

// Write implements fleet.Store.
func (s fleetStore) Write(ctx context.Context, fn func(tx fleet.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(fleetTx{t}) })
}

// Read implements fleet.Store.
func (s fleetStore) Read(ctx context.Context, fn func(tx fleet.Tx) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(fleetTx{t}) })
}

type fleetTx struct{ *Tx }

// PutMerchant implements fleet.Tx.
func (t fleetTx) PutMerchant(ctx context.Context, m fleet.Merchant) error {
	_, err := t.Exec(ctx, `INSERT INTO merchants (id, name_zh, name_en) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en`,
		m.ID, m.Name.ZH, m.Name.EN)
	return err
}

// PutShop implements fleet.Tx.
func (t fleetTx) PutShop(ctx context.Context, s fleet.Shop) error {
	var lat, lon sql.NullInt64
	if s.At != nil {
		lat, lon = sql.NullInt64{Int64: s.At.LatE6, Valid: true}, sql.NullInt64{Int64: s.At.LonE6, Valid: true}
	}
	_, err := t.Exec(ctx, `INSERT INTO shops (id, merchant, name_zh, name_en, terminals, district, lat_e6, lon_e6) VALUES (?, ?, ?, ?, 0, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, district = excluded.district,
			lat_e6 = excluded.lat_e6, lon_e6 = excluded.lon_e6`,
		s.ID, s.Merchant, s.Name.ZH, s.Name.EN, s.District, lat, lon)
	return err
}

// Shop implements fleet.Tx.
func (t fleetTx) Shop(ctx context.Context, id string) (s fleet.Shop, found bool, err error) {
	s.ID = id
	var lat, lon sql.NullInt64
	found, err = one(t.QueryRow(ctx, `SELECT merchant, name_zh, name_en, district, lat_e6, lon_e6 FROM shops WHERE id = ?`, id),
		&s.Merchant, &s.Name.ZH, &s.Name.EN, &s.District, &lat, &lon)
	if lat.Valid && lon.Valid {
		s.At = &pos.Point{LatE6: lat.Int64, LonE6: lon.Int64}
	}
	return s, found, err
}

// one scans a row that may be absent.
func one(row *sql.Row, into ...any) (found bool, err error) {
	switch err := row.Scan(into...); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// PutCode implements fleet.Tx.
func (t fleetTx) PutCode(ctx context.Context, c fleet.Code) error {
	_, err := t.Exec(ctx, `INSERT INTO enrol_codes (hash, shop, class, terminal, reason, uses_left, expires_ms, issued_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Hash, c.Shop, c.Class, c.Terminal, string(c.Reason), c.Left, c.ExpiresMS, c.By)
	return err
}

// Code implements fleet.Tx.
func (t fleetTx) Code(ctx context.Context, hash []byte) (c fleet.Code, found bool, err error) {
	c.Hash = hash
	found, err = one(t.QueryRow(ctx, `SELECT shop, class, terminal, reason, uses_left, expires_ms, issued_by
		FROM enrol_codes WHERE hash = ?`, hash), &c.Shop, &c.Class, &c.Terminal, &c.Reason, &c.Left, &c.ExpiresMS, &c.By)
	return c, found, err
}

// UseCode implements fleet.Tx.
func (t fleetTx) UseCode(ctx context.Context, hash []byte) error {
	_, err := t.Exec(ctx, `UPDATE enrol_codes SET uses_left = uses_left - 1 WHERE hash = ?`, hash)
	return err
}

// Enrolment implements fleet.Tx.
func (t fleetTx) Enrolment(
	ctx context.Context, hash, publicKey []byte, natsKey string,
) (terminal string, epoch uint32, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT terminal, epoch FROM enrolments
		WHERE hash = ? AND public_key = ? AND nats_key = ?`, hash, publicKey, natsKey), &terminal, &epoch)
	return terminal, epoch, found, err
}

// AppendEnrolment implements fleet.Tx.
func (t fleetTx) AppendEnrolment(
	ctx context.Context, hash, publicKey []byte, natsKey, terminal string, epoch uint32,
) error {
	_, err := t.Exec(ctx, `INSERT INTO enrolments (hash, public_key, nats_key, terminal, epoch, at_ms)
		VALUES (?, ?, ?, ?, ?, ?)`, hash, publicKey, natsKey, terminal, epoch, t.NowMS())
	return err
}

// CountTerminal implements fleet.Tx.
func (t fleetTx) CountTerminal(ctx context.Context, shop string) (number int, err error) {
	err = t.QueryRow(ctx, `UPDATE shops SET terminals = terminals + 1 WHERE id = ? RETURNING terminals`, shop).Scan(&number)
	return number, err
}

// PutTerminal implements fleet.Tx.
func (t fleetTx) PutTerminal(ctx context.Context, v fleet.Terminal) error {
	_, err := t.Exec(ctx, `INSERT INTO terminals
			(id, merchant, shop, env, class, nats_key, epoch, state, reason, enrolled_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
			nats_key = excluded.nats_key, epoch = excluded.epoch, state = excluded.state, reason = excluded.reason`,
		v.ID, v.Merchant, v.Shop, string(v.Env), v.Class, v.NATSKey, v.Epoch, string(v.State), v.Reason, v.EnrolledMS)
	return err
}

const terminalColumns = `t.id, t.merchant, t.shop, t.env, t.class, t.nats_key, t.epoch, t.state, t.reason, t.enrolled_ms`

func terminalFields(v *fleet.Terminal) []any {
	return []any{
		&v.ID, &v.Merchant, &v.Shop, &v.Env, &v.Class, &v.NATSKey, &v.Epoch, &v.State, &v.Reason, &v.EnrolledMS,
	}
}

// Terminal implements fleet.Tx.
func (t fleetTx) Terminal(ctx context.Context, id string) (v fleet.Terminal, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT `+terminalColumns+` FROM terminals t WHERE t.id = ?`, id), terminalFields(&v)...)
	return v, found, err
}

// TerminalByNATSKey implements fleet.Tx.
func (t fleetTx) TerminalByNATSKey(ctx context.Context, key string) (v fleet.Terminal, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT `+terminalColumns+` FROM terminals t WHERE t.nats_key = ?`, key), terminalFields(&v)...)
	return v, found, err
}

// OpenEpoch implements fleet.Tx.
func (t fleetTx) OpenEpoch(ctx context.Context, e fleet.Epoch) error {
	if _, err := t.Exec(ctx, `UPDATE epochs SET closed_ms = ? WHERE terminal = ? AND closed_ms = 0`,
		e.OpenedMS, e.Terminal); err != nil {
		return err
	}
	_, err := t.Exec(ctx, `INSERT INTO epochs (terminal, epoch, suite, public_key, reason, opened_ms, closed_ms)
		VALUES (?, ?, ?, ?, ?, ?, 0)`, e.Terminal, e.Epoch, e.Suite, e.PublicKey, string(e.Reason), e.OpenedMS)
	return err
}

// Epoch implements fleet.Tx.
func (t fleetTx) Epoch(ctx context.Context, terminal string, epoch uint32) (e fleet.Epoch, found bool, err error) {
	e.Terminal, e.Epoch = terminal, epoch
	found, err = one(t.QueryRow(ctx, `SELECT suite, public_key, reason, opened_ms, closed_ms FROM epochs
		WHERE terminal = ? AND epoch = ?`, terminal, epoch), &e.Suite, &e.PublicKey, &e.Reason, &e.OpenedMS, &e.ClosedMS)
	return e, found, err
}

// KeyOwner implements fleet.Tx.
func (t fleetTx) KeyOwner(ctx context.Context, publicKey []byte) (terminal string, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT terminal FROM epochs WHERE public_key = ? LIMIT 1`, publicKey), &terminal)
	return terminal, found, err
}

// Listings implements fleet.Tx.
func (t fleetTx) Listings(ctx context.Context, after string, limit int) ([]fleet.Listing, error) {
	rows, err := t.Query(ctx, `SELECT `+terminalColumns+`,
			COALESCE(c.at_ms, 0), COALESCE(c.epoch, 0), COALESCE(c.seq, 0), COALESCE(c.receipt, 0), COALESCE(c.verdict, 0),
			COALESCE(c.skew_ms, 0), COALESCE(c.boot_id, ''), COALESCE(c.version, ''), COALESCE(c.policies, 0), COALESCE(c.unsent, 0),
			COALESCE(h.seq, 0), COALESCE(g.from_seq, 0)
		FROM terminals t LEFT JOIN contacts c ON c.terminal = t.id
			LEFT JOIN heads h ON h.terminal = t.id AND h.epoch = t.epoch AND h.branch = 0
			LEFT JOIN gaps g ON g.terminal = t.id AND g.epoch = t.epoch
		WHERE t.id > ? ORDER BY t.id LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list terminals: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []fleet.Listing
	for rows.Next() {
		var l fleet.Listing
		c := &l.Contact
		if err := rows.Scan(append(terminalFields(&l.Terminal), &c.AtMS, &c.Epoch, &c.Seq, &c.Receipt, &c.Verdict,
			&c.SkewMS, &c.BootID, &c.Version, &c.Policies, &l.Unsent, &l.Kept, &l.GapFrom)...); err != nil {
			return nil, fmt.Errorf("list terminals: %w", err)
		}
		c.Terminal = l.ID
		list = append(list, l)
	}
	return list, rows.Err()
}
