package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dcpos/central/payment"
	"dcpos/central/webshop"
	"dcpos/pos"
)

// Webshops is the store of the online channel.
func (s *Store) Webshops() webshop.Store { return webshopStore{s} }

type webshopStore struct{ *Store }

// Write implements webshop.Store.
func (s webshopStore) Write(ctx context.Context, fn func(tx webshop.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error { return fn(webshopTx{t}) })
}

// Read implements webshop.Store.
func (s webshopStore) Read(ctx context.Context, fn func(tx webshop.Tx) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(webshopTx{t}) })
}

type webshopTx struct{ *Tx }

// Announce implements payment.Tx. An event is due at once, whether or not its shop has a
// webhook: it may get one.
func (t paymentTx) Announce(ctx context.Context, e payment.Event) error {
	refund := ""
	if !e.Refund.IsZero() {
		refund = e.Refund.String()
	}
	_, err := t.Exec(ctx, `INSERT INTO webshop_events (id, shop, kind, payment, refund, amount, envelope, reason, institution, txn,
			settlement_date, at_ms, tries, next_ms, done_ms) VALUES `+rowsOf(15, 1)+` ON CONFLICT (id) DO NOTHING`,
		e.ID, e.Shop, e.Kind, e.Payment.String(), refund, int64(e.Amount), int64(e.Envelope), string(e.Reason), word(e.Institution),
		validText(e.Txn), string(e.SettlementDate), e.AtMS, 0, e.AtMS, 0)
	if err != nil {
		return fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return nil
}

const webshopColumns = `id, merchant, name_zh, name_en, institution, categories, per_payment, per_day, per_minute, hook, hook_on,
	suspended, created_ms`

type scanner = interface{ Scan(into ...any) error }

func scanWebshop(row scanner) (s webshop.Shop, err error) {
	var categories string
	err = row.Scan(&s.ID, &s.Merchant, &s.Name.ZH, &s.Name.EN, &s.Institution, &categories, &s.PerPayment, &s.PerDay, &s.PerMinute,
		&s.Hook, &s.HookOn, &s.Suspended, &s.CreatedMS)
	s.Categories = strings.Split(categories, " ")
	return s, err
}

// Shop implements webshop.Tx.
func (t webshopTx) Shop(ctx context.Context, id string) (s webshop.Shop, found bool, err error) {
	rows, err := t.Query(ctx, `SELECT `+webshopColumns+` FROM webshops WHERE id = ?`, id)
	all, err := list(rows, err, "web shop", scanWebshop)
	if err != nil || len(all) == 0 {
		return s, false, err
	}
	return all[0], true, nil
}

// Shops implements webshop.Tx.
func (t webshopTx) Shops(ctx context.Context) ([]webshop.Shop, error) {
	rows, err := t.Query(ctx, `SELECT `+webshopColumns+` FROM webshops ORDER BY id`)
	return list(rows, err, "web shops", scanWebshop)
}

// PutShop implements webshop.Tx.
func (t webshopTx) PutShop(ctx context.Context, s webshop.Shop) error {
	var n int
	if known, err := one(t.QueryRow(ctx, `SELECT 1 FROM merchants WHERE id = ?`, s.Merchant), &n); err != nil || !known {
		if err == nil {
			err = pos.FieldError(pos.ErrNotFound, "merchant", fmt.Errorf("merchant %.40q is not registered", s.Merchant))
		}
		return err
	}
	_, err := t.Exec(ctx, `INSERT INTO webshops (`+webshopColumns+`) VALUES `+rowsOf(13, 1)+`
		ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, institution = excluded.institution,
			categories = excluded.categories, per_payment = excluded.per_payment, per_day = excluded.per_day,
			per_minute = excluded.per_minute, hook = excluded.hook, hook_on = excluded.hook_on, suspended = excluded.suspended`,
		s.ID, s.Merchant, s.Name.ZH, s.Name.EN, s.Institution, strings.Join(s.Categories, " "), int64(s.PerPayment), int64(s.PerDay),
		s.PerMinute, s.Hook, flag(s.HookOn), flag(s.Suspended), s.CreatedMS)
	if err != nil {
		return fmt.Errorf("write web shop %s: %w", s.ID, err)
	}
	return nil
}

func scanWebshopKey(row scanner) (k webshop.Key, err error) {
	err = row.Scan(&k.ID, &k.Shop, (*[]byte)(&k.Public), &k.CreatedMS, &k.RevokedMS)
	return k, err
}

// Key implements webshop.Tx.
func (t webshopTx) Key(ctx context.Context, id string) (k webshop.Key, found bool, err error) {
	rows, err := t.Query(ctx, `SELECT id, shop, public_key, created_ms, revoked_ms FROM webshop_keys WHERE id = ?`, id)
	all, err := list(rows, err, "key", scanWebshopKey)
	if err != nil || len(all) == 0 {
		return k, false, err
	}
	return all[0], true, nil
}

// Keys implements webshop.Tx.
func (t webshopTx) Keys(ctx context.Context, shop string) ([]webshop.Key, error) {
	rows, err := t.Query(ctx, `SELECT id, shop, public_key, created_ms, revoked_ms FROM webshop_keys
		WHERE shop = ? ORDER BY created_ms, id`, shop)
	return list(rows, err, "keys", scanWebshopKey)
}

// PutKey implements webshop.Tx.
func (t webshopTx) PutKey(ctx context.Context, k webshop.Key) error {
	_, err := t.Exec(ctx, `INSERT INTO webshop_keys (id, shop, public_key, created_ms, revoked_ms) VALUES `+rowsOf(5, 1)+`
		ON CONFLICT (id) DO UPDATE SET revoked_ms = excluded.revoked_ms`, k.ID, k.Shop, []byte(k.Public), k.CreatedMS, k.RevokedMS)
	return err
}

// UseNonce implements webshop.Tx.
func (t webshopTx) UseNonce(ctx context.Context, key, nonce string, atMS int64) (bool, error) {
	n, err := t.Exec(ctx, `INSERT INTO webshop_nonces (key_id, nonce, at_ms) VALUES (?, ?, ?) ON CONFLICT (key_id, nonce) DO NOTHING`,
		key, nonce, atMS)
	return n > 0, err
}

// ForgetNonces implements webshop.Tx.
func (t webshopTx) ForgetNonces(ctx context.Context, beforeMS int64) error {
	_, err := t.Exec(ctx, `DELETE FROM webshop_nonces WHERE at_ms < ?`, beforeMS)
	return err
}

// Request implements webshop.Tx.
func (t webshopTx) Request(ctx context.Context, shop, key string) (r webshop.Request, found bool, err error) {
	r.Shop, r.Key = shop, key
	var id string
	found, err = one(t.QueryRow(ctx, `SELECT body, id, key_id, at_ms FROM webshop_requests WHERE shop = ? AND idem = ?`, shop, key),
		&r.Body, &id, &r.KeyID, &r.AtMS)
	if err != nil || !found {
		return r, found, err
	}
	r.ID, err = pos.ParsePaymentID(id)
	return r, true, err
}

// PutRequest implements webshop.Tx.
func (t webshopTx) PutRequest(ctx context.Context, r webshop.Request) error {
	_, err := t.Exec(ctx, `INSERT INTO webshop_requests (shop, idem, body, id, key_id, at_ms) VALUES (?, ?, ?, ?, ?, ?)`,
		r.Shop, r.Key, r.Body, r.ID.String(), r.KeyID, r.AtMS)
	return err
}

const onlineColumns = `w.id, w.shop, w.order_id, w.business_date, w.amount, w.lines, w.institution, w.valid_ms, w.expires_ms, w.refused,
	w.created_ms, COALESCE(p.state, 'created'), COALESCE(p.reason, w.refused), COALESCE(p.institution, ''), COALESCE(p.txn, ''),
	COALESCE(p.settlement_date, ''), COALESCE(p.envelope, 0), COALESCE(p.qr, ''), COALESCE(p.valid_until_ms, 0),
	COALESCE(p.late_paid, 0), CASE WHEN COALESCE(p.next_ms, 0) > 0 THEN 1 ELSE 0 END`

const onlineFrom = ` FROM webshop_payments w LEFT JOIN payments p ON p.id = w.id `

func scanOnline(row scanner) (p webshop.Payment, err error) {
	var id, lines string
	if err = row.Scan(&id, &p.Shop, &p.Order, &p.Date, &p.Amount, &lines, &p.Institution, &p.ValidMS, &p.ExpiresMS, &p.Refused,
		&p.CreatedMS, &p.State, &p.Reason, &p.Asked, &p.Txn, &p.SettlementDate, &p.Envelope, &p.QR, &p.ValidUntilMS,
		&p.LatePaid, &p.Watched); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(lines), &p.Lines); err != nil {
		return p, fmt.Errorf("lines of %s: %w", id, err)
	}
	p.ID, err = pos.ParsePaymentID(id)
	return p, err
}

// Payment implements webshop.Tx.
func (t webshopTx) Payment(ctx context.Context, id pos.PaymentID) (p webshop.Payment, found bool, err error) {
	rows, err := t.Query(ctx, `SELECT `+onlineColumns+onlineFrom+`WHERE w.id = ?`, id.String())
	all, err := list(rows, err, "online payment", scanOnline)
	if err != nil || len(all) == 0 {
		return p, false, err
	}
	err = t.addRefunds(ctx, &all[0])
	return all[0], true, err
}

// addRefunds gives the payment its refunds.
func (t webshopTx) addRefunds(ctx context.Context, p *webshop.Payment) error {
	refunds, err := paymentTx(t).RefundsOf(ctx, p.ID)
	for _, r := range refunds {
		p.Refunds = append(p.Refunds, webshop.Refund{
			ID: r.ID, Amount: r.Amount, Envelope: r.Envelope, Recalled: r.Recalled, State: r.State, Auto: r.Auto, Reason: r.Reason, Txn: r.Txn, Date: r.Date, CreatedMS: r.CreatedMS,
		})
	}
	return err
}

// OrderPayments implements webshop.Tx.
func (t webshopTx) OrderPayments(ctx context.Context, shop, order string, limit int) ([]webshop.Payment, error) {
	rows, err := t.Query(ctx, `SELECT `+onlineColumns+onlineFrom+`WHERE w.shop = ? AND w.order_id = ?
		ORDER BY w.created_ms DESC, w.id DESC LIMIT ?`, shop, order, limit)
	all, err := list(rows, err, "payments of an order", scanOnline)
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	for i := range all {
		if err := t.addRefunds(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// PutPayment implements webshop.Tx.
func (t webshopTx) PutPayment(ctx context.Context, p webshop.Payment) error {
	lines, err := json.Marshal(p.Lines)
	if err != nil {
		return fmt.Errorf("lines of %s: %w", p.ID, err)
	}
	_, err = t.Exec(ctx, `INSERT INTO webshop_payments (id, shop, order_id, business_date, amount, lines, institution, valid_ms,
			expires_ms, refused, created_ms) VALUES `+rowsOf(11, 1)+` ON CONFLICT (id) DO UPDATE SET refused = excluded.refused`,
		p.ID.String(), p.Shop, p.Order, string(p.Date), int64(p.Amount), string(lines), p.Institution, p.ValidMS, p.ExpiresMS,
		string(p.Refused), p.CreatedMS)
	if err != nil {
		return fmt.Errorf("write online payment %s: %w", p.ID, err)
	}
	return nil
}

// DayTotal implements webshop.Tx.
func (t webshopTx) DayTotal(ctx context.Context, shop string, date pos.Date, nowMS int64) (sum pos.Money, err error) {
	err = t.QueryRow(ctx, `SELECT COALESCE(SUM(w.amount), 0)`+onlineFrom+`WHERE w.shop = ? AND w.business_date = ? AND w.refused = ''
		AND (p.state IN ('asking', 'unknown', 'paid') OR (p.state IS NULL AND w.expires_ms >= ?))`, shop, string(date), nowMS).Scan(&sum)
	return sum, err
}

const eventColumns = `e.number, e.id, e.shop, e.kind, e.payment, e.refund, COALESCE(w.order_id, ''), e.amount, e.envelope, e.reason,
	e.institution, e.txn, e.settlement_date, e.at_ms, e.tries, e.next_ms, e.done_ms, COALESCE(r.recalled, 0)`

const eventFrom = ` FROM webshop_events e LEFT JOIN webshop_payments w ON w.id = e.payment LEFT JOIN refunds r ON r.id = e.refund `

func scanEvent(row scanner) (e webshop.Event, err error) {
	var id, refund string
	if err = row.Scan(&e.Number, &e.ID, &e.Shop, &e.Kind, &id, &refund, &e.Order, &e.Amount, &e.Envelope, &e.Reason, &e.Institution,
		&e.Txn, &e.SettlementDate, &e.AtMS, &e.Tries, &e.NextMS, &e.DoneMS, &e.Recalled); err != nil {
		return e, err
	}
	if e.Payment, err = pos.ParsePaymentID(id); err == nil && refund != "" {
		e.Refund, err = pos.ParsePaymentID(refund)
	}
	return e, err
}

// Due implements webshop.Tx.
func (t webshopTx) Due(ctx context.Context, nowMS int64, limit int) ([]webshop.Event, error) {
	rows, err := t.Query(ctx, `SELECT `+eventColumns+eventFrom+`JOIN webshops s ON s.id = e.shop
		WHERE e.next_ms > 0 AND e.next_ms <= ? AND s.hook <> '' AND s.hook_on <> 0 ORDER BY e.next_ms, e.number LIMIT ?`, nowMS, limit)
	return list(rows, err, "due events", scanEvent)
}

// Claim implements webshop.Tx.
func (t webshopTx) Claim(ctx context.Context, e webshop.Event, nextMS int64) (bool, error) {
	n, err := t.Exec(ctx, `UPDATE webshop_events SET next_ms = ?, tries = tries + 1 WHERE id = ? AND next_ms = ?`, nextMS, e.ID, e.NextMS)
	return n > 0, err
}

// Delivered implements webshop.Tx. An event that was taken meanwhile stays taken.
func (t webshopTx) Delivered(ctx context.Context, d webshop.Delivery, nextMS, doneMS int64) error {
	_, err := t.Exec(ctx, `INSERT INTO webshop_deliveries (event, shop, try, at_ms, took_ms, status, error) VALUES `+rowsOf(7, 1),
		d.Event, d.Shop, d.Try, d.AtMS, d.TookMS, d.Status, detail(d.Error))
	if err == nil {
		_, err = t.Exec(ctx, `UPDATE webshop_events SET next_ms = ?, done_ms = ? WHERE id = ? AND done_ms = 0`, nextMS, doneMS, d.Event)
	}
	return err
}

// Events implements webshop.Tx.
func (t webshopTx) Events(ctx context.Context, shop string, after int64, limit int) ([]webshop.Event, error) {
	rows, err := t.Query(ctx, `SELECT `+eventColumns+eventFrom+`WHERE e.shop = ? AND e.number > ? ORDER BY e.number LIMIT ?`, shop, after, limit)
	return list(rows, err, "events", scanEvent)
}

// Deliveries implements webshop.Tx.
func (t webshopTx) Deliveries(ctx context.Context, shop string, limit int) ([]webshop.Delivery, error) {
	rows, err := t.Query(ctx, `SELECT number, event, shop, try, at_ms, took_ms, status, error FROM webshop_deliveries
		WHERE shop = ? ORDER BY number DESC LIMIT ?`, shop, limit)
	return list(rows, err, "deliveries", func(row scanner) (d webshop.Delivery, err error) {
		err = row.Scan(&d.Number, &d.Event, &d.Shop, &d.Try, &d.AtMS, &d.TookMS, &d.Status, &d.Error)
		return d, err
	})
}

// Waiting implements webshop.Tx.
func (t webshopTx) Waiting(ctx context.Context, shop string) (n int64, err error) {
	err = t.QueryRow(ctx, `SELECT COUNT(*) FROM webshop_events WHERE shop = ? AND done_ms = 0`, shop).Scan(&n)
	return n, err
}

// Again implements webshop.Tx.
func (t webshopTx) Again(ctx context.Context, shop string, nowMS int64) (int64, error) {
	return t.Exec(ctx, `UPDATE webshop_events SET next_ms = ? WHERE shop = ? AND done_ms = 0`, nowMS, shop)
}

// onlineTerminal is a web shop as the payment room sees it. A suspended one starts nothing
// new (central/webshop), and gives back what it has.
func (t paymentTx) onlineTerminal(ctx context.Context, name string) (payment.Terminal, bool, error) {
	_, id, _ := strings.Cut(name, ":")
	s, found, err := webshopTx(t).Shop(ctx, id)
	return payment.Terminal{Merchant: s.Merchant}, found, err
}
