package checkout

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"dcpos/agent/health"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Request asks for one payment.
type Request struct {
	Caller      string // who asks: "screen", or the name of an API client
	Key         string // the caller's idempotency key, unique per caller for ever
	OrderID     string
	OrderAmount pos.Money
	Amount      pos.Money
	Mode        pos.Mode
	Note        string
	Institution string // of the QR (C-scan-B); empty: the centre's default
	// ConfirmUnknown is the cashier's yes to another attempt while one is unknown. It is
	// no part of the body: the same key may be sent again with it.
	ConfirmUnknown bool
	// Operator is the caller's own operator, used where the till demands no sign-in.
	Operator string
}

func (r Request) created(attempt int, hash string) pos.PaymentCreated {
	return pos.PaymentCreated{
		OrderID: r.OrderID, OrderAmount: r.OrderAmount, Amount: r.Amount, Mode: r.Mode,
		Caller: r.Caller, Key: r.Key, BodyHash: hash, Attempt: attempt, Note: r.Note,
	}
}

const maxName = 64

func (r Request) check() error {
	switch {
	case r.Caller == "" || len(r.Caller) > maxName:
		return pos.FieldError(pos.ErrBadRequest, "caller", fmt.Errorf("want 1 to %d bytes", maxName))
	case len(r.Operator) > maxName:
		return pos.FieldError(pos.ErrBadRequest, "operator", fmt.Errorf("want at most %d bytes", maxName))
	case len(r.Institution) > 12:
		return pos.FieldError(pos.ErrBadRequest, "institution", fmt.Errorf("want at most 12 characters"))
	case !utf8.ValidString(r.Caller + r.Key + r.OrderID + r.Note + r.Institution + r.Operator):
		return pos.FieldError(pos.ErrBadRequest, "body", errors.New("want UTF-8"))
	}
	return r.created(1, "").Check()
}

// bodyHash is the hash of what the key stands for.
func bodyHash(s dcep.Suite, parts ...any) (string, error) {
	b, err := dcep.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("hash request: %w", err)
	}
	return hex.EncodeToString(dcep.Sum(s, b)), nil
}

// keptKey is a key that was answered with a payment of another key: the QR that was
// open for the same order.
type keptKey struct {
	Payment pos.PaymentID `json:"payment"`
	Body    string        `json:"body"`
}

// Start names and journals a payment; nobody is asked for money yet. The same key
// with the same body gives the same payment, whatever has become of it; with
// another body pos.ErrKeyConflict. A QR of the same order, amount and caller that is
// still shown is given again instead of a second one. Errors: ErrBadRequest,
// ErrNoOperator, ErrOrderOpen, ErrOrderUnknown, ErrOrderPaid, ErrTooMany,
// ErrQuarantined, ErrStorage.
func (t *Till) Start(ctx context.Context, r Request) (pos.Payment, error) {
	if err := r.check(); err != nil {
		return pos.Payment{}, err
	}
	if err := t.running(ctx); err != nil {
		return pos.Payment{}, err
	}
	hash, err := bodyHash(t.c.Suite, "payment", r.OrderID, r.OrderAmount, r.Amount, r.Mode, r.Note, r.Institution)
	if err != nil {
		return pos.Payment{}, err
	}
	t.starting.Lock()
	defer t.starting.Unlock()
	if id, ok, err := t.answered(ctx, r, hash); err != nil || ok {
		if err != nil {
			return pos.Payment{}, err
		}
		return t.Payment(ctx, id)
	}
	id, err := t.newID()
	if err != nil {
		return pos.Payment{}, err
	}
	found, shown := pos.PaymentID{}, pos.PaymentID{}
	entries, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, ok, err := v.PaymentByKey(r.Caller, r.Key)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if ok {
			if p.BodyHash != hash {
				return nil, pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("key names payment %s", p.ID))
			}
			found = p.ID
			return nil, nil
		}
		drafts, open, err := t.startDrafts(v, r, id, hash)
		shown = open
		return drafts, err
	})
	if err != nil {
		return pos.Payment{}, err
	}
	switch {
	case !found.IsZero():
		id = found
	case !shown.IsZero():
		if err := t.keepKey(ctx, r, keptKey{Payment: shown, Body: hash}); err != nil {
			return pos.Payment{}, err
		}
		id = shown
	case len(entries) > 0:
		t.mu.Lock()
		t.sale(id).institution, t.current = r.Institution, id
		t.mu.Unlock()
	}
	return t.Payment(ctx, id)
}

func (t *Till) newID() (pos.PaymentID, error) {
	var random [10]byte
	if _, err := rand.Read(random[:]); err != nil {
		return pos.PaymentID{}, fmt.Errorf("draw id: %w", err)
	}
	return pos.NewPaymentID(t.clock.Now(), random), nil
}

// startDrafts are the entries of a new attempt, or the open QR to show instead.
func (t *Till) startDrafts(v pos.JournalView, r Request, id pos.PaymentID, hash string) ([]pos.Draft, pos.PaymentID, error) {
	none := pos.PaymentID{}
	if t.health.Holds(health.QuarantineCondition()) {
		return nil, none, pos.NewError(pos.ErrQuarantined, nil)
	}
	who, err := t.who(r.Caller, r.Operator)
	if err != nil {
		return nil, none, err
	}
	date := pos.DateOf(t.clock.Now(), t.c.Cutover)
	order, err := v.Order(r.Caller, date, r.OrderID)
	if err != nil {
		return nil, none, fmt.Errorf("read order: %w", err)
	}
	if open, ok := shownQR(order, r); ok {
		return nil, open, nil
	}
	if r.Mode == pos.Evidence {
		if err := t.offlineOnly(order); err != nil {
			return nil, none, err
		}
	}
	if err := order.CheckAttempt(r.OrderAmount, r.Amount, r.ConfirmUnknown); err != nil {
		return nil, none, err
	}
	var drafts []pos.Draft
	if unknown := order.Unknown(); len(unknown) > 0 {
		body := pos.OrderConfirmed{OrderID: r.OrderID, Unknown: unknown}
		drafts = append(drafts, t.draft(pos.KindOrderConfirmed, none, who, body))
	}
	return append(drafts, t.draft(pos.KindPaymentCreated, id, who, r.created(len(order.Attempts)+1, hash))), none, nil
}

// shownQR finds the open QR of the order that the request would make again.
func shownQR(order pos.Order, r Request) (pos.PaymentID, bool) {
	if r.Mode != pos.CScanB || order.Amount != r.OrderAmount {
		return pos.PaymentID{}, false
	}
	for _, p := range order.Attempts {
		if p.Mode == pos.CScanB && p.State == pos.Asking && p.Amount == r.Amount {
			return p.ID, true
		}
	}
	return pos.PaymentID{}, false
}

func (t *Till) answered(ctx context.Context, r Request, hash string) (pos.PaymentID, bool, error) {
	b, ok, err := t.c.Journal.Meta(ctx, metaKey+r.Caller+"\x1f"+r.Key)
	if err != nil || !ok {
		return pos.PaymentID{}, false, err
	}
	var k keptKey
	if err := json.Unmarshal([]byte(b), &k); err != nil {
		return pos.PaymentID{}, false, fmt.Errorf("read key: %w", err)
	}
	if k.Body != hash {
		return pos.PaymentID{}, false, pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("key names payment %s", k.Payment))
	}
	return k.Payment, true, nil
}

func (t *Till) keepKey(ctx context.Context, r Request, k keptKey) error {
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	return t.c.Journal.SetMeta(ctx, metaKey+r.Caller+"\x1f"+r.Key, string(b))
}

// Cancel gives a payment up. Before anyone was asked it is cancelled; afterwards it
// is abandoned: the centre goes on asking, and refunds by itself what still arrives.
// An unknown payment cannot be given up (ErrIllegalMove). A repeat is a success.
func (t *Till) Cancel(ctx context.Context, id pos.PaymentID) (pos.Payment, error) {
	var abandoned bool
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, id)
		if err != nil || p.State == pos.Cancelled || p.State == pos.Abandoned {
			return nil, err
		}
		who, err := t.whoFor(p)
		if err != nil {
			return nil, err
		}
		to := pos.Cancelled
		if p.State != pos.Created {
			to = pos.Abandoned
		}
		if err := pos.CheckMove(p.State, to); err != nil {
			return nil, err
		}
		abandoned = to == pos.Abandoned
		return []pos.Draft{t.moved(p, who, pos.PaymentMoved{From: p.State, To: to, Source: sourceTill})}, nil
	})
	if err != nil {
		return pos.Payment{}, err
	}
	if abandoned {
		t.tellAbandoned(id)
	}
	return t.Payment(ctx, id)
}

// The sources of a move.
const (
	sourceTill   = "till"
	sourceCentre = "centre"
	sourceWallet = "wallet"
)

func (t *Till) moved(p pos.Payment, who string, m pos.PaymentMoved) pos.Draft {
	return t.draft(pos.KindPaymentMoved, p.ID, who, m)
}

// tellAbandoned tells the centre at once; the journal tells it anyway.
func (t *Till) tellAbandoned(id pos.PaymentID) {
	t.spawn(func(ctx context.Context) {
		c, cancel := context.WithTimeout(ctx, t.timing.Answer)
		defer cancel()
		if _, err := t.c.Host.Abandon(c, pos.AskAbandon{Env: t.c.Env, Payment: id}); err != nil {
			t.log.InfoContext(ctx, "centre not told of abandoned payment", "payment", id.String(), "err", err)
		}
	})
}
