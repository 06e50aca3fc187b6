package books

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// QRPrefix begins the text of an order's QR; institution and token follow.
const QRPrefix = "dcpos-lab:pay:"

// Twist is what an ordered fault changes in one booking.
type Twist struct {
	Decline     string // fail with this reason
	ExpiredCode bool   // treat the payment code as too old
	Twice       bool   // two lines in the statement
}

// Pay books a payment by code. The same request again is answered from the books,
// with repeat true; the same id with another content is ErrKeyConflict.
func (b *Books) Pay(p api.Payment, t Twist) (res api.Result, repeat bool, err error) {
	draft := Record{
		ID: p.RequestID, Op: api.OpPayments, Merchant: p.Merchant, Terminal: p.Terminal, Amount: p.Amount, Twice: t.Twice,
		Channel: p.Channel, Store: p.Store, Lines: p.Lines,
	}
	r, repeat, err := b.book(draft, p, func(r *Record, now time.Time) {
		if p.ExpiresMS < now.UnixMilli() {
			r.fail(string(pos.ErrExpired))
			return
		}
		c, reason := b.usable(p.Code, now, t.ExpiredCode)
		if reason != "" {
			r.fail(reason)
			return
		}
		r.Code, r.Wallet = c.Code, c.Wallet
		r.Shares, r.Envelope = b.shares(r, now)
		b.charge(r, t.Decline)
	})
	return r.result(), repeat, err
}

func (b *Books) usable(text string, now time.Time, old bool) (*code, string) {
	c, ok := b.codes[text]
	switch {
	case !ok:
		return nil, string(pos.ErrBadCode)
	case c.used:
		return nil, string(pos.ErrCodeUsed)
	case old || c.ExpiresMS < now.UnixMilli():
		return nil, api.ReasonExpiredCode
	}
	return c, ""
}

// charge decides a payment whose wallet and shares are known: named envelopes first, then
// nameless envelope money, then own.
func (b *Books) charge(r *Record, decline string) {
	w := b.wallets[r.Wallet]
	named := sumOf(r.Shares)
	switch {
	case decline != "":
		r.fail(decline)
	case w.Own+w.Envelope < r.Amount-named:
		r.fail(string(pos.ErrInsufficient))
	default:
		r.Status, r.Reason = api.Success, api.ReasonOK
		r.Envelope, r.Fee = named+min(w.Envelope, r.Amount-named), b.fee(r.Amount)
		return
	}
	r.Shares, r.Envelope = nil, 0
}

func (b *Books) fee(amount pos.Money) pos.Money {
	return (amount*pos.Money(b.cfg.FeeBasisPoints) + 5_000) / 10_000 // amount ≤ pos.MaxAmount: no overflow
}

// Order books an order and gives the text of its QR.
func (b *Books) Order(o api.Order, t Twist) (res api.OrderResult, repeat bool, err error) {
	draft := Record{
		ID: o.RequestID, Op: api.OpOrders, Merchant: o.Merchant, Terminal: o.Terminal, Amount: o.Amount,
		ValidUntilMS: o.ValidUntilMS, Twice: t.Twice, Channel: o.Channel, Store: o.Store, Lines: o.Lines,
	}
	r, repeat, err := b.book(draft, o, func(r *Record, now time.Time) {
		switch {
		case t.Decline != "":
			r.fail(t.Decline)
		case o.ValidUntilMS < now.UnixMilli():
			r.fail(string(pos.ErrExpired))
		default:
			var token [16]byte
			_, _ = rand.Read(token[:]) // never returns an error (crypto/rand)
			r.Status, r.Token = api.InProcess, hex.EncodeToString(token[:])
		}
	})
	if err != nil {
		return api.OrderResult{}, repeat, err
	}
	if r.Token == "" {
		return api.OrderResult{Status: api.Failed, Reason: r.Reason, ValidUntilMS: r.ValidUntilMS}, repeat, nil
	}
	// A repeat gets the first answer, whatever has become of the order since: queries tell that.
	return api.OrderResult{
		Status: api.InProcess, QR: QRPrefix + b.cfg.Institution + ":" + r.Token, ValidUntilMS: r.ValidUntilMS,
	}, repeat, nil
}

// Scan pays an order with a wallet's money. The same wallet again is a repeat; an
// order of another institution is ReasonBadCode, for simulated wallets pay at home.
func (b *Books) Scan(wallet, qr string) (api.ScanResult, error) {
	b.mu.Lock()
	res, err := b.scan(wallet, qr)
	b.mu.Unlock()
	return res, errors.Join(err, b.journal.sync())
}

func (b *Books) scan(wallet, qr string) (api.ScanResult, error) {
	no := func(reason string) (api.ScanResult, error) {
		return api.ScanResult{Status: api.Failed, Reason: reason}, nil
	}
	if _, ok := b.wallets[wallet]; !ok {
		return api.ScanResult{}, noWallet(wallet)
	}
	token, _ := strings.CutPrefix(qr, QRPrefix+b.cfg.Institution+":")
	id, ok := b.tokens[token]
	if !ok {
		return no(string(pos.ErrBadCode))
	}
	now := b.cfg.Now()
	r := b.present(*b.records[id], now)
	switch {
	case r.Status == api.Success && r.Wallet == wallet:
		return api.ScanResult{Status: api.Success, Reason: api.ReasonOK}, nil
	case r.Status == api.Success:
		return no(api.ReasonAlreadyPaid)
	case r.Status != api.InProcess:
		return no(r.Reason)
	}
	r.Wallet = wallet
	r.Shares, r.Envelope = b.shares(&r, now)
	if b.charge(&r, ""); r.Status != api.Success {
		return no(r.Reason) // the order stays open: another wallet may pay it
	}
	err := b.commit(event{Scanned: &scanned{
		ID: id, Wallet: wallet, Envelope: r.Envelope, Shares: r.Shares, Fee: r.Fee,
		Date: pos.DateOf(now, b.cfg.CutOver), AtMS: now.UnixMilli(),
	}})
	return api.ScanResult{Status: api.Success, Reason: api.ReasonOK}, err
}

// Claim is evidence after its verification: the certificate's serial, or why it failed.
type Claim struct {
	Serial string
	Reason string // of a refusal; empty when certificate and signature hold
}

// Evidence books what a wallet signed offline. Each counter of a wallet pays once:
// another payment with the same counter is ReasonDoubleSpend.
func (b *Books) Evidence(e api.Evidence, c Claim, t Twist) (res api.Result, repeat bool, err error) {
	ev := e.Parsed()
	draft := Record{
		ID: e.RequestID, Op: api.OpEvidence, Merchant: ev.Challenge.Merchant, Terminal: ev.Challenge.Terminal,
		Amount: ev.Challenge.Amount, Twice: t.Twice,
	}
	r, repeat, err := b.book(draft, e, func(r *Record, _ time.Time) {
		if c.Reason != "" {
			r.fail(c.Reason)
			return
		}
		wallet, ok := b.serials[c.Serial]
		if !ok {
			r.fail(api.ReasonUnknown)
			return
		}
		r.Serial, r.Counter, r.Wallet = c.Serial, ev.Counter, wallet
		if b.counters[mark{c.Serial, ev.Counter}] != "" {
			r.fail(api.ReasonDoubleSpend)
			return
		}
		var fits bool
		if r.Shares, r.Envelope, fits = b.signed(r, ev.Envelopes, ev.Challenge.Category, ev.Challenge.AtMS); !fits {
			r.fail(api.ReasonEnvelope)
			return
		}
		b.charge(r, t.Decline)
	})
	return r.result(), repeat, err
}

// Refund books a refund: own money first, then the envelope part; the sum of
// refunds never exceeds the payment. It does not ask what the caller made of the
// payment: money of an abandoned order goes back in the same way.
func (b *Books) Refund(q api.Refund, t Twist) (res api.RefundResult, repeat bool, err error) {
	draft := Record{ID: q.RequestID, Op: api.OpRefunds, Amount: q.Amount, Orig: q.OrigRequestID, Twice: t.Twice}
	r, repeat, err := b.book(draft, q, func(r *Record, _ time.Time) {
		orig, ok := b.records[r.Orig]
		if ok {
			r.Merchant, r.Terminal, r.Wallet = orig.Merchant, orig.Terminal, orig.Wallet
		}
		back := b.returned[r.Orig]
		switch {
		case !ok || orig.Op == api.OpRefunds:
			r.fail(string(pos.ErrNotFound))
		case orig.Status != api.Success:
			r.fail(string(pos.ErrNotRefundable))
		case r.Amount > orig.Amount-back.own-back.envelope:
			r.fail(string(pos.ErrRefundTooMuch))
		case t.Decline != "":
			r.fail(t.Decline)
		default:
			r.Status, r.Reason = api.Success, api.ReasonOK
			r.Shares, r.Envelope = splitRefund(orig, back.own+back.envelope, r.Amount)
		}
	})
	return r.refundResult(), repeat, err
}

// Query tells what became of a payment, an order or evidence; NotFound if it never arrived.
func (b *Books) Query(id string) (api.Result, error) {
	b.mu.Lock()
	r, ok := b.records[id]
	res := api.Result{Status: api.NotFound}
	if ok && r.Op != api.OpRefunds {
		res = b.present(*r, b.cfg.Now()).result()
	}
	b.mu.Unlock()
	return res, b.journal.sync() // what is told must stay true after a kill
}

// QueryRefund tells what became of a refund; NotFound if it never arrived.
func (b *Books) QueryRefund(id string) (api.RefundResult, error) {
	b.mu.Lock()
	r, ok := b.records[id]
	res := api.RefundResult{Status: api.NotFound}
	if ok && r.Op == api.OpRefunds {
		res = r.refundResult()
	}
	b.mu.Unlock()
	return res, b.journal.sync()
}

// book is the idempotent frame of every booking: decide fills the draft under the
// lock, once per request id.
func (b *Books) book(draft Record, request any, decide func(*Record, time.Time)) (Record, bool, error) {
	var err error
	if draft.Fingerprint, err = fingerprint(draft.Op, request); err != nil {
		return Record{}, false, err
	}
	r, repeat, err := b.bookOnce(draft, decide)
	if err = errors.Join(err, b.journal.sync()); err != nil {
		return Record{}, repeat, err
	}
	return r, repeat, nil
}

func (b *Books) bookOnce(r Record, decide func(*Record, time.Time)) (Record, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	if seen, ok := b.records[r.ID]; ok {
		if seen.Fingerprint != r.Fingerprint {
			return Record{}, true, pos.FieldError(pos.ErrKeyConflict, "request_id",
				fmt.Errorf("%s was used for another request", r.ID))
		}
		return b.present(*seen, now), true, nil
	}
	r.AtMS, r.Date = now.UnixMilli(), pos.DateOf(now, b.cfg.CutOver)
	r.TxnID = fmt.Sprintf("%s%s%08d", b.cfg.Institution, strings.ReplaceAll(string(r.Date), "-", ""), len(b.order)+1)
	decide(&r, now)
	return r, false, b.commit(event{Record: &r})
}

// present is the record as it stands now: an unpaid order past its validity has
// failed, at that moment.
func (b *Books) present(r Record, now time.Time) Record {
	if r.Status == api.InProcess && r.ValidUntilMS < now.UnixMilli() {
		r.fail(string(pos.ErrExpired))
		r.AtMS, r.Date = r.ValidUntilMS, pos.DateOf(time.UnixMilli(r.ValidUntilMS), b.cfg.CutOver)
	}
	return r
}

func (r *Record) fail(reason string) { r.Status, r.Reason = api.Failed, reason }

func (r Record) result() api.Result {
	res := api.Result{Status: r.Status, TxnID: r.TxnID, Reason: r.Reason, Fee: r.Fee, Envelope: r.Envelope, Envelopes: r.Shares, SettlementDate: r.Date}
	if n := len(r.Wallet); n > 4 {
		res.WalletHint = "*" + r.Wallet[n-4:]
	}
	if r.Status == api.InProcess {
		res.SettlementDate = "" // stamped when it is paid
	}
	return res
}

func (r Record) refundResult() api.RefundResult {
	return api.RefundResult{
		Status: r.Status, TxnID: r.TxnID, Reason: r.Reason, SettlementDate: r.Date, Envelope: r.Envelope, Envelopes: r.Shares,
	}
}
