package webshop

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"dcpos/central/webshop/sign"
	"dcpos/pos"
)

// Event is what a shop is told. Its ID is the same however often it comes.
type Event struct {
	Number         int64 // in order of writing, with gaps
	ID             string
	Shop           string
	Kind           string // payment.paid, …declined, …unknown, …abandoned, …late_paid, …lapsed; refund.refunded, …declined, …unknown
	Payment        pos.PaymentID
	Refund         pos.RefundID
	Order          string
	Amount         pos.Money
	Envelope       pos.Money // what red envelopes paid, or what goes back to them
	Recalled       pos.Money // of a refund's Envelope: what the fund takes back, as it is over
	Reason         pos.Code
	Institution    string
	Txn            string
	SettlementDate pos.Date
	AtMS           int64
	Tries          int
	NextMS         int64 // when it is sent again; 0: never
	DoneMS         int64 // when the shop took it; 0: not yet
}

// Delivery is one try to deliver an event.
type Delivery struct {
	Number int64
	Event  string
	Shop   string
	Try    int
	AtMS   int64
	TookMS int64
	Status int    // of HTTP; 0: no answer
	Error  string // empty: it was taken
}

// EventHeader names the event outside the body, too.
const EventHeader = "Dcpos-Event"

// Bounds of delivery.
const (
	maxBatch   = 200
	maxAtOnce  = 16
	maxPerShop = 4
	maxReply   = 4 << 10
	lease      = hookTimeout + 20*time.Second // then another process may try
	giveUp     = 72 * time.Hour
	idle       = time.Second
)

// backoff is how long after the n-th try, counted from 1, the next one is.
func backoff(n int) time.Duration {
	steps := [...]time.Duration{
		2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	}
	return steps[min(max(n, 1), len(steps))-1]
}

// HookKeyID names the key that signs webhooks: k and the first 16 hex digits of its hash.
func HookKeyID(key ed25519.PrivateKey) string {
	public, _ := key.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	return "k" + hex.EncodeToString(sum[:8])
}

// HookKey is the public half, and the id under which it signs.
func (d *Desk) HookKey() (string, ed25519.PublicKey) {
	public, _ := d.cfg.HookKey.Public().(ed25519.PublicKey)
	return d.hookID, public
}

// Run delivers events until ctx ends. Several processes may run it over one database: an
// event is claimed before it is sent, and sent again when the claim runs out unanswered.
func (d *Desk) Run(ctx context.Context) error {
	forget := d.cfg.Now()
	for ctx.Err() == nil {
		n, err := d.deliver(ctx)
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.ErrorContext(ctx, "deliver events", "err", err)
		}
		if now := d.cfg.Now(); now.After(forget) {
			forget = now.Add(Window)
			err := d.cfg.Store.Write(ctx, func(tx Tx) error { return tx.ForgetNonces(ctx, now.Add(-nonceLife).UnixMilli()) })
			if err != nil && ctx.Err() == nil {
				d.cfg.Log.ErrorContext(ctx, "forget nonces", "err", err)
			}
		}
		if n > 0 && err == nil {
			continue
		}
		timer := time.NewTimer(idle)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// deliver sends what is due, at most maxPerShop at once to a shop so that a slow one does
// not hold the others up, and tells how many it has tried.
func (d *Desk) deliver(ctx context.Context) (int, error) {
	var due []Event
	err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		due, err = tx.Due(ctx, d.nowMS(), maxBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	var wait sync.WaitGroup
	atOnce := make(chan struct{}, maxAtOnce)
	shops := map[string]int{}
	n := 0
	for _, e := range due {
		if shops[e.Shop] >= maxPerShop {
			continue
		}
		shops[e.Shop]++
		n++
		atOnce <- struct{}{}
		wait.Go(func() {
			defer func() { <-atOnce }()
			if err := d.send(ctx, e); err != nil && ctx.Err() == nil {
				d.cfg.Log.ErrorContext(ctx, "event not noted", "event", e.ID, "err", err)
			}
		})
	}
	wait.Wait()
	return n, nil
}

// send claims an event, tries once, and notes how it went.
func (d *Desk) send(ctx context.Context, e Event) error {
	began := d.cfg.Now()
	var shop Shop
	claimed := false
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		var err error
		if shop, _, err = tx.Shop(ctx, e.Shop); err != nil {
			return err
		}
		claimed, err = tx.Claim(ctx, e, began.Add(lease).UnixMilli())
		return err
	})
	if err != nil || !claimed {
		return err
	}
	status, err := d.post(ctx, shop, e)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // nobody waited for the answer: when the claim runs out it is sent again
	}
	now := d.cfg.Now()
	note := Delivery{Event: e.ID, Shop: e.Shop, Try: e.Tries + 1, AtMS: began.UnixMilli(), TookMS: now.Sub(began).Milliseconds(), Status: status}
	next, done := int64(0), now.UnixMilli()
	if err != nil {
		note.Error, done = err.Error(), 0
		if wait := backoff(note.Try); now.Add(wait).UnixMilli() < e.AtMS+giveUp.Milliseconds() {
			next = now.Add(wait).UnixMilli()
		}
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error { return tx.Delivered(ctx, note, next, done) })
}

// post sends the event; only a 2xx is "taken".
func (d *Desk) post(ctx context.Context, shop Shop, e Event) (status int, err error) {
	if err := CheckURL(shop.Hook, d.cfg.Env); err != nil {
		return 0, err
	}
	body, err := json.Marshal(Said(e, d.cfg.Env))
	if err != nil {
		return 0, fmt.Errorf("encode event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, shop.Hook, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never returns an error (crypto/rand)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "dcpos-hook/1")
	req.Header.Set(EventHeader, e.ID)
	sign.Sign(req, body, sign.Signature{KeyID: d.hookID, Nonce: hex.EncodeToString(nonce[:]), Tag: HookTag, Created: d.cfg.Now()}, d.cfg.HookKey)
	res, err := d.cfg.HTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }() // only read from
	_, _ = io.CopyN(io.Discard, res.Body, maxReply)
	if res.StatusCode/100 != 2 {
		return res.StatusCode, fmt.Errorf("answered %d", res.StatusCode)
	}
	return res.StatusCode, nil
}

// Message is an event as it goes over the wire.
type Message struct {
	ID             string          `json:"id" doc:"the same however often the event comes"`
	Number         int64           `json:"number" doc:"in order of writing, with gaps"`
	Kind           string          `json:"kind" doc:"payment.paid, payment.declined, payment.unknown, payment.abandoned, payment.late_paid, payment.lapsed, refund.refunded, refund.declined, refund.unknown"`
	Env            pos.Environment `json:"env"`
	Shop           string          `json:"shop"`
	Payment        pos.PaymentID   `json:"payment"`
	Order          string          `json:"order_id"`
	Refund         string          `json:"refund,omitempty"`
	Amount         pos.Money       `json:"amount_fen" doc:"of the payment, or of the refund"`
	Envelope       pos.Money       `json:"envelope_fen,omitempty" doc:"the part that red envelopes paid; of a refund, what goes back to them"`
	Own            pos.Money       `json:"own_fen,omitempty" doc:"of a refund that is done: what goes back as the customer's own money"`
	Recalled       pos.Money       `json:"recalled_fen,omitempty" doc:"of a refund's envelope_fen: what the fund takes back, because the envelope is over"`
	Reason         pos.Code        `json:"reason,omitempty"`
	Institution    string          `json:"institution,omitempty"`
	Txn            string          `json:"institution_txn,omitempty"`
	SettlementDate pos.Date        `json:"settlement_date,omitempty"`
	AtMS           int64           `json:"at_ms"`
}

// Said writes an event for its shop.
func Said(e Event, env pos.Environment) Message {
	m := Message{
		ID: e.ID, Number: e.Number, Kind: e.Kind, Env: env, Shop: e.Shop, Payment: e.Payment, Order: e.Order, Amount: e.Amount,
		Envelope: e.Envelope, Reason: e.Reason, Institution: e.Institution, Txn: e.Txn, SettlementDate: e.SettlementDate, AtMS: e.AtMS,
	}
	if !e.Refund.IsZero() {
		m.Refund = e.Refund.String()
	}
	if e.Kind == "refund."+string(pos.RefundRefunded) {
		m.Own, m.Recalled = e.Amount-e.Envelope, e.Recalled
	}
	return m
}
