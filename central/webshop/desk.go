package webshop

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"dcpos/pos"
)

// Payments is the payment room. What it answers is final or can be asked for again.
type Payments interface {
	Present(ctx context.Context, terminal string, ask pos.AskPresent) pos.Answer
	Query(ctx context.Context, terminal string, ask pos.AskQuery) pos.Answer
	Abandon(ctx context.Context, terminal string, ask pos.AskAbandon) pos.Answer
	Refund(ctx context.Context, terminal string, ask pos.AskRefund) pos.Answer
}

// Config is what a Desk needs.
type Config struct {
	Env      pos.Environment
	Store    Store
	Payments Payments
	// HookKey signs what is sent to shops.
	HookKey ed25519.PrivateKey
	// HTTP sends it; nil is a client that calls public addresses only (in the lab: loopback
	// only) and follows no redirect.
	HTTP *http.Client
	Log  *slog.Logger
	// Now is the clock of what is stored; nil is time.Now.
	Now func() time.Time
}

// Desk takes the requests of web shops. It is safe for concurrent use; Run must run for
// events to be delivered.
type Desk struct {
	cfg    Config
	limits limiter
	hookID string
	turns  turns
}

// New checks the configuration.
func New(cfg Config) (*Desk, error) {
	if !cfg.Env.Valid() || cfg.Store == nil || cfg.Payments == nil || len(cfg.HookKey) != ed25519.PrivateKeySize {
		return nil, pos.NewError(pos.ErrConfig, errors.New("webshop needs env, store, payments and a hook key"))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = outbound(cfg.Env)
	}
	return &Desk{cfg: cfg, limits: limiter{full: map[string]*bucket{}}, hookID: HookKeyID(cfg.HookKey)}, nil
}

// turns let a shop's orders be written one after the other. Each reads the shop's total
// of the day, so that two at once could only make the database refuse one and start anew;
// other processes are held apart by the database alone.
type turns struct {
	mu   sync.Mutex
	shop map[string]*sync.Mutex
}

// take waits for the shop's turn; the returned function gives it back.
func (t *turns) take(shop string) (give func()) {
	t.mu.Lock()
	if t.shop == nil {
		t.shop = map[string]*sync.Mutex{}
	}
	m := t.shop[shop]
	if m == nil {
		m = new(sync.Mutex)
		t.shop[shop] = m
	}
	t.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func (d *Desk) nowMS() int64 { return d.cfg.Now().UnixMilli() }

// askPatience is how long after a request its question may still start.
const askPatience = 20 * time.Second

// maxAttempts bounds the attempts of one order.
const maxAttempts = pos.MaxAttempts

// Pay takes an order under the shop's idempotency key: the same key with the same order
// is the same payment, as it stands now; with another order it is pos.ErrKeyConflict. The
// answer holds the QR when the institution has given one.
func (d *Desk) Pay(ctx context.Context, c Caller, key string, o Order) (Payment, error) {
	if err := checkKey(key); err != nil {
		return Payment{}, err
	}
	hash := bodyHash("pay", o)
	if err := o.check(c.Shop); err != nil {
		return Payment{}, err
	}
	var p Payment
	give := d.turns.take(c.Shop.ID)
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		r, found, err := tx.Request(ctx, c.Shop.ID, key)
		if err == nil && found {
			p, err = d.repeat(ctx, tx, r, hash)
			return err
		}
		if err == nil {
			p, err = d.begin(ctx, tx, c, o)
		}
		if err == nil {
			err = tx.PutRequest(ctx, Request{Shop: c.Shop.ID, Key: key, Body: hash, ID: p.ID, KeyID: c.Key.ID, AtMS: p.CreatedMS})
		}
		return err
	})
	give()
	if err != nil {
		return Payment{}, err
	}
	return d.present(ctx, c, p)
}

// repeat gives the payment of a key that was used before.
func (d *Desk) repeat(ctx context.Context, tx Tx, r Request, hash []byte) (Payment, error) {
	if !bytes.Equal(r.Body, hash) {
		return Payment{}, pos.FieldError(pos.ErrKeyConflict, "Idempotency-Key", fmt.Errorf("%q was used with another content", r.Key))
	}
	p, found, err := tx.Payment(ctx, r.ID)
	if err == nil && !found {
		err = pos.NewError(pos.ErrNotFound, fmt.Errorf("payment %s", r.ID))
	}
	return p, err
}

// begin writes a new attempt down if the shop's limits and its order allow one.
func (d *Desk) begin(ctx context.Context, tx Tx, c Caller, o Order) (Payment, error) {
	now := d.cfg.Now()
	shop, found, err := tx.Shop(ctx, c.Shop.ID)
	if err != nil {
		return Payment{}, err
	}
	if !found || shop.Suspended {
		return Payment{}, pos.NewError(pos.ErrForbidden, errSuspended)
	}
	p := Payment{
		ID: newID(now), Shop: shop.ID, Order: o.ID, Date: pos.DateOf(now, 0), Amount: o.Amount, Lines: o.Lines, Institution: o.Institution,
		ValidMS: o.ValidMS, ExpiresMS: now.Add(askPatience).UnixMilli(), CreatedMS: now.UnixMilli(), State: pos.Created,
	}
	others, err := tx.OrderPayments(ctx, shop.ID, o.ID, maxAttempts+1)
	if err != nil {
		return p, err
	}
	if err := mayTry(p, others); err != nil {
		return p, err
	}
	total, err := tx.DayTotal(ctx, shop.ID, p.Date, p.CreatedMS)
	if err != nil {
		return p, err
	}
	if o.Amount > shop.PerDay-total {
		return p, pos.FieldError(pos.ErrShopLimit, "amount_fen", fmt.Errorf("%s on top of %s over %s a day", o.Amount, total, shop.PerDay))
	}
	return p, tx.PutPayment(ctx, p)
}

// mayTry holds an order to one amount, one open attempt, and none beside a paid one. The
// order's id is a label of one business date.
func mayTry(p Payment, others []Payment) error {
	n := 0
	for _, q := range others {
		if q.Date != p.Date {
			continue
		}
		n++
		if q.Amount != p.Amount {
			return pos.FieldError(pos.ErrKeyConflict, "order_id", fmt.Errorf("order %q was of %s before", p.Order, q.Amount))
		}
		switch {
		case q.State == pos.Paid:
			return pos.FieldError(pos.ErrOrderPaid, "order_id", fmt.Errorf("by payment %s", q.ID))
		case q.State == pos.Unknown:
			return pos.FieldError(pos.ErrOrderUnknown, "order_id", fmt.Errorf("payment %s", q.ID))
		case q.State != pos.Abandoned && !q.over(p.CreatedMS):
			return pos.FieldError(pos.ErrOrderOpen, "order_id", fmt.Errorf("payment %s", q.ID))
		}
	}
	if n >= maxAttempts {
		return pos.FieldError(pos.ErrTooMany, "order_id", fmt.Errorf("%d attempts", n))
	}
	return nil
}

// present asks for the QR of an attempt that the payment room does not have yet. However
// often it is done, it is one question under one id.
func (d *Desk) present(ctx context.Context, c Caller, p Payment) (Payment, error) {
	if p.State != pos.Created {
		return p, nil
	}
	if p.Refused != "" {
		return p, pos.NewError(p.Refused, fmt.Errorf("payment %s was not started", p.ID))
	}
	if d.nowMS() > p.ExpiresMS {
		return p, nil // it cannot start any more: over
	}
	line := Order{Lines: p.Lines}
	a := d.cfg.Payments.Present(ctx, c.Shop.Terminal(), pos.AskPresent{
		Env: d.cfg.Env, Payment: p.ID, Merchant: c.Shop.Merchant, Amount: p.Amount, Institution: p.Institution, ValidMS: p.ValidMS,
		Channel: pos.ChannelOnline, Lines: line.scope(), ExpiresMS: p.ExpiresMS, SentMS: p.CreatedMS,
	})
	if a.Outcome == pos.OutcomeRejected && a.Reason != pos.ErrStorage && a.Reason != pos.ErrInternal && a.Reason != pos.ErrExpired {
		p.Refused = a.Reason
		if err := d.cfg.Store.Write(ctx, func(tx Tx) error { return tx.PutPayment(ctx, p) }); err != nil {
			return p, err
		}
		return p, pos.NewError(a.Reason, errors.New(a.Detail))
	}
	return d.load(ctx, c, p.ID)
}

// load reads a payment of the caller's shop.
func (d *Desk) load(ctx context.Context, c Caller, id pos.PaymentID) (p Payment, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		var found bool
		if p, found, err = tx.Payment(ctx, id); err != nil {
			return err
		}
		if !found || p.Shop != c.Shop.ID { // another shop's payment does not exist, as far as this one is told
			return pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s", id))
		}
		return nil
	})
	return p, err
}

// Find tells how a payment stands, asking the institution when that is not final.
func (d *Desk) Find(ctx context.Context, c Caller, id pos.PaymentID) (Payment, error) {
	p, err := d.load(ctx, c, id)
	if err != nil {
		return p, err
	}
	if p.State == pos.Created {
		if p, err = d.present(ctx, c, p); p.Refused != "" {
			return p, nil // what it came to is the answer here
		}
		return p, err
	}
	if p.State == pos.Asking || p.State == pos.Unknown || p.Watched {
		d.cfg.Payments.Query(ctx, c.Shop.Terminal(), pos.AskQuery{Env: d.cfg.Env, Payment: id})
		return d.load(ctx, c, id)
	}
	return p, nil
}

// FindOrder lists the attempts of an order, oldest first, as they are kept.
func (d *Desk) FindOrder(ctx context.Context, c Caller, order string) (all []Payment, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		all, err = tx.OrderPayments(ctx, c.Shop.ID, order, maxAttempts+1)
		return err
	})
	return all, err
}

// Cancel gives a payment up. Its QR cannot be closed: money that comes all the same is
// refunded by itself. A payment that is paid stays paid. Again, it is the same.
func (d *Desk) Cancel(ctx context.Context, c Caller, id pos.PaymentID) (Payment, error) {
	p, err := d.load(ctx, c, id)
	if err != nil || p.over(d.nowMS()) {
		return p, err
	}
	a := d.cfg.Payments.Abandon(ctx, c.Shop.Terminal(), pos.AskAbandon{Env: d.cfg.Env, Payment: id})
	if a.Outcome == pos.OutcomeRejected || a.Reason == pos.ErrStorage {
		return p, pos.NewError(a.Reason, errors.New(a.Detail))
	}
	return d.load(ctx, c, id)
}

// Refund gives back a part of a payment, or all of it, under a key of its own.
func (d *Desk) Refund(ctx context.Context, c Caller, key string, id pos.PaymentID, amount pos.Money) (Payment, Refund, error) {
	if err := checkKey(key); err != nil {
		return Payment{}, Refund{}, err
	}
	if _, err := d.load(ctx, c, id); err != nil {
		return Payment{}, Refund{}, err
	}
	hash := bodyHash("refund", map[string]any{"payment": id, "amount": amount})
	now := d.cfg.Now()
	var r Request
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		var found bool
		var err error
		if r, found, err = tx.Request(ctx, c.Shop.ID, key); err != nil {
			return err
		}
		if found && !bytes.Equal(r.Body, hash) {
			return pos.FieldError(pos.ErrKeyConflict, "Idempotency-Key", fmt.Errorf("%q was used with another content", key))
		}
		if found {
			return nil
		}
		r = Request{Shop: c.Shop.ID, Key: key, Body: hash, ID: newID(now), KeyID: c.Key.ID, AtMS: now.UnixMilli()}
		return tx.PutRequest(ctx, r)
	})
	if err != nil {
		return Payment{}, Refund{}, err
	}
	a := d.cfg.Payments.Refund(ctx, c.Shop.Terminal(), pos.AskRefund{
		Env: d.cfg.Env, Refund: r.ID, Payment: id, Amount: amount, Operator: "web:" + r.KeyID,
		ExpiresMS: max(now.UnixMilli(), r.AtMS) + askPatience.Milliseconds(), SentMS: r.AtMS,
	})
	p, err := d.load(ctx, c, id)
	if err != nil {
		return p, Refund{}, err
	}
	for _, x := range p.Refunds {
		if x.ID == r.ID {
			return p, x, nil
		}
	}
	if a.Outcome == pos.OutcomeRejected {
		return p, Refund{}, pos.FieldError(a.Reason, "amount_fen", errors.New(a.Detail))
	}
	return p, Refund{}, pos.NewError(pos.ErrStorage, fmt.Errorf("refund %s is not written yet: %s", r.ID, a.Detail))
}

// FetchEvents lists events above a number, for a shop that missed webhooks or has none.
func (d *Desk) FetchEvents(ctx context.Context, c Caller, after int64, limit int) (all []Event, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		all, err = tx.Events(ctx, c.Shop.ID, after, limit)
		return err
	})
	return all, err
}

func newID(now time.Time) pos.PaymentID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never returns an error (crypto/rand)
	return pos.NewPaymentID(now, random)
}

// bodyHash is what makes a request the same request: what it asks, not how it is written.
func bodyHash(op string, content any) []byte {
	b, err := json.Marshal(content)
	if err != nil {
		panic(err) //nolint:forbidigo // plain structs of this package always encode
	}
	sum := sha256.Sum256(append([]byte("dcpos-shop-request-1\x00"+op+"\x00"), b...))
	return sum[:]
}
