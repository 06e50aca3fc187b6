package checkout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/agent/health"
	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/pos"
)

// Fare is an amount that every tap pays, at a gate or in a bus: there is no keypad, nobody
// is asked, and the wallet's evidence is taken first also while the centre can be reached.
// That is safe because such a payment is never asked of the centre by another way. What it
// may be at most is the policy's to say (pos.Limits.FareMax).
type Fare struct {
	Amount pos.Money
	// Again is how long the same wallet is not taken again: a card that is passed back, or
	// held a little too long. 0 takes it every time.
	Again time.Duration
}

// callerFare names the gate in the journal.
const callerFare = "fare"

// Gate is how a gate stands, for the screen beside it.
type Gate struct {
	Amount pos.Money  `json:"amount"`
	Open   bool       `json:"open"` // the next tap would be taken
	Why    *pos.Error `json:"why,omitempty"`
}

// gate tells whether the next tap would be taken; nil where the till is no gate.
func (t *Till) gate(ctx context.Context) *Gate {
	if t.c.Fare.Amount <= 0 {
		return nil
	}
	g := &Gate{Amount: t.c.Fare.Amount}
	err := t.fareReady(ctx)
	if g.Open = err == nil; err != nil {
		g.Why = pos.AsError(err)
	}
	return g
}

// fareReady refuses what no wallet could mend.
func (t *Till) fareReady(ctx context.Context) error {
	if _, ok := t.tapper(); !ok {
		return pos.NewError(pos.ErrConfig, errors.New("a gate needs a contactless reader and a kernel for it"))
	}
	if t.health.Holds(health.QuarantineCondition()) {
		return pos.NewError(pos.ErrQuarantined, nil)
	}
	if _, err := t.who(callerFare, ""); err != nil {
		return err
	}
	if err := t.kernelReady(ctx); err != nil {
		return err
	}
	policy, _, err := t.policy()
	if err == nil && t.c.Fare.Amount > policy.Limits.FareMax {
		err = pos.FieldError(pos.ErrLimitPayment, "fare", fmt.Errorf("%s over %s of a fare", t.c.Fare.Amount, policy.Limits.FareMax))
	}
	if err != nil {
		return err
	}
	return t.c.Journal.View(ctx, func(v pos.JournalView) error {
		_, _, err := t.guards(v, t.c.Fare.Amount, pos.Order{}, kernel.Wallet{})
		return err
	})
}

func (t *Till) isFare(id pos.PaymentID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sales[id]
	return s != nil && s.fare
}

// openGate begins to take fares, where the till is a gate.
func (t *Till) openGate() {
	k, ok := t.c.Kernel.(kernel.Tapper)
	if t.c.Fare.Amount <= 0 || !ok || t.c.Reader == nil {
		return
	}
	t.spawn(func(ctx context.Context) {
		torn := &tornRides{rides: map[string]ride{}}
		var told pos.Code // why it is closed, as the screens were told
		for ctx.Err() == nil {
			if err := t.fareReady(ctx); err != nil {
				if code := pos.CodeOf(err); code != told {
					t.tellClosed(ctx, err)
					told = code
				}
				pause(ctx, tapAgain)
				continue
			}
			told = ""
			err := t.c.Reader.WithReader(ctx, ownerKernel, func(ctx context.Context, r drivers.NFCReader) error {
				g := &fares{tapping: tapping{till: t, kernel: k}, torn: torn} // a turn that hangs is left alone with its own
				return g.turn(ctx, r)
			})
			if err != nil && ctx.Err() == nil {
				t.log.InfoContext(ctx, "contactless reader", "err", err)
				pause(ctx, tapAgain)
			}
		}
	})
}

// tellClosed tells why nobody is taken now.
func (t *Till) tellClosed(ctx context.Context, err error) {
	e := pos.AsError(err)
	t.log.WarnContext(ctx, "gate is closed", "code", string(e.Code), "err", err)
	t.publish(Event{Kind: EventTap, Tap: &Tapped{Signal: drivers.SignalOff, Text: e.Text, Hint: &e.Hint, Code: e.Code}})
}

// ride is one passenger's payment that has begun.
type ride struct {
	id     pos.PaymentID
	wallet string
	prompt kernel.Prompt
}

// lost reports that nothing can come of it any more.
func (r ride) lost(now time.Time) bool { return now.After(r.prompt.Expires.Add(kernel.RecoverTime)) }

// tornRides wait for their own wallets: the next passenger pays a ride of her own.
type tornRides struct {
	mu    sync.Mutex
	rides map[string]ride // by wallet
}

// maxTorn bounds the rides that wait; the wallets of more have gone.
const maxTorn = 64

func (t *tornRides) of(wallet string) (ride, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rides[wallet]
	return r, ok
}

func (t *tornRides) keep(r ride) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rides[r.wallet] = r
}

func (t *tornRides) forget(wallet string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rides, wallet)
}

// gone takes out what nobody comes back for, but for one wallet.
func (t *tornRides) gone(now time.Time, but string) (list []ride) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for wallet, r := range t.rides {
		if r.lost(now) || len(t.rides) > maxTorn && wallet != but {
			list = append(list, r)
			delete(t.rides, wallet)
		}
	}
	return list
}

// fares takes one passenger after the other, for one turn at the reader.
type fares struct {
	tapping
	torn *tornRides
}

// turn takes passengers until the reader is to be given back for a moment.
func (g *fares) turn(ctx context.Context, r drivers.NFCReader) error {
	waiting, cancel := context.WithTimeout(ctx, tapTurn)
	defer cancel()
	g.id = pos.PaymentID{}
	g.signal(ctx, r, drivers.SignalReady)
	defer func() { g.light(context.WithoutCancel(ctx), r, drivers.SignalOff) }()
	more := func() bool { return g.till.fareReady(ctx) == nil } // the loop around looks again and tells
	return g.cards(ctx, waiting, r, more, func(card drivers.Card) {
		g.pass(ctx, r, card)
		_ = card.WaitRemoved(waiting) // one verdict for one tap; the end of the turn ends the wait
		_ = card.Close()              // the next WaitCard tells what is wrong with the reader
		g.light(ctx, r, drivers.SignalReady)
	})
}

// pass is one tap: done is said after the journal has the promise.
func (g *fares) pass(ctx context.Context, r drivers.NFCReader, card drivers.Card) {
	g.id = pos.PaymentID{}
	g.light(ctx, r, drivers.SignalWorking)
	err := g.ride(ctx, card)
	switch {
	case err == nil:
		g.signal(ctx, r, drivers.SignalDone)
	case ctx.Err() != nil:
	case pos.CodeOf(err) == pos.ErrTapTorn:
		g.tell(ctx, r, drivers.SignalReady, err)
	default:
		g.tell(ctx, r, drivers.SignalRefused, err)
	}
}

// ride gets the card's promise and journals it.
func (g *fares) ride(ctx context.Context, card drivers.Card) error {
	t := g.till
	var mine ride
	taken, err := g.kernel.Tap(ctx, kernel.Tap{Card: card, Now: t.now, Choose: func(ctx context.Context, w kernel.Wallet) (kernel.Prompt, error) {
		var err error
		mine, err = g.choose(ctx, w)
		g.id = mine.id
		return mine.prompt, err
	}})
	switch {
	case err == nil:
	case mine.id.IsZero():
		return err
	case pos.CodeOf(err) == pos.ErrEvidenceLate && g.waited(mine): // torn long ago, and never signed
		g.drop(ctx, mine)
		return g.ride(ctx, card)
	case unheard(err) || ctx.Err() != nil:
		g.torn.keep(mine) // it may have signed: its next tap asks for that
		return err
	default:
		g.drop(ctx, mine)
		return err
	}
	kept, cancel := saving(ctx) // the wallet has signed: an end now must not lose it
	defer cancel()
	if _, err := t.accept(kept, mine.id, taken); err != nil {
		g.torn.keep(mine) // its next tap gives the same promise, such as when the disk is well again
		return err
	}
	g.torn.forget(mine.wallet)
	return nil
}

// choose is what a wallet pays: the ride that it has begun, else a new one.
func (g *fares) choose(ctx context.Context, w kernel.Wallet) (ride, error) {
	for _, r := range g.torn.gone(g.till.now(), w.Serial) {
		g.drop(ctx, r)
	}
	if r, ok := g.torn.of(w.Serial); ok {
		return r, nil
	}
	return g.till.board(ctx, w)
}

// waited reports that the ride was torn before.
func (g *fares) waited(r ride) bool {
	_, ok := g.torn.of(r.wallet)
	return ok
}

func (g *fares) drop(ctx context.Context, r ride) {
	g.torn.forget(r.wallet)
	ctx, cancel := saving(ctx)
	defer cancel()
	if err := g.till.drop(ctx, r.id); err != nil {
		g.till.log.WarnContext(ctx, "fare is not cancelled", "payment", r.id.String(), "err", err)
	}
}

// board journals a ride of the wallet and makes its challenge. Nothing is written for a
// wallet that would not be taken, nor for one that has just paid.
func (t *Till) board(ctx context.Context, w kernel.Wallet) (ride, error) {
	id, err := t.newID()
	if err != nil {
		return ride{}, err
	}
	t.with(id, func(s *sale) { s.fare = true })
	hash, err := bodyHash(t.c.Suite, "fare", t.c.Fare.Amount, id.String())
	if err != nil {
		return ride{}, err
	}
	request := Request{
		Caller: callerFare, Key: id.String(), OrderID: "fare-" + id.String(), OrderAmount: t.c.Fare.Amount, Amount: t.c.Fare.Amount, Mode: pos.Evidence,
	}
	_, err = t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		policy, at, err := t.guards(v, t.c.Fare.Amount, pos.Order{}, w)
		if err != nil {
			return nil, err
		}
		if t.c.Fare.Amount > policy.Limits.FareMax {
			return nil, pos.FieldError(pos.ErrLimitPayment, "fare", fmt.Errorf("%s over %s of a fare", t.c.Fare.Amount, policy.Limits.FareMax))
		}
		if t.c.Fare.Again > 0 {
			just, err := v.WalletSince(w.Serial, at.EarliestMS-t.c.Fare.Again.Milliseconds()+1)
			if err != nil {
				return nil, fmt.Errorf("read money of wallet: %w", err)
			}
			if just.Count > 0 {
				return nil, pos.NewError(pos.ErrFareAgain, fmt.Errorf("within %s", t.c.Fare.Again))
			}
		}
		who, err := t.who(callerFare, "")
		if err != nil {
			return nil, err
		}
		return []pos.Draft{t.draft(pos.KindPaymentCreated, id, who, request.created(1, hash))}, nil
	})
	if err != nil {
		return ride{}, err
	}
	now := t.now()
	prompt, err := t.c.Kernel.Begin(ctx, kernel.Request{
		Env: t.c.Env, Terminal: t.c.Terminal, Merchant: t.c.Merchant, Payment: id, Amount: t.c.Fare.Amount,
		At: now, Expires: now.Add(t.timing.Prompt),
	})
	return ride{id: id, wallet: w.Serial, prompt: prompt}, err
}
