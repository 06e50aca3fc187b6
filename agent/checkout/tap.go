package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/pos"
)

// The times of the contactless side.
const (
	tapTurn   = 30 * time.Second       // then the reader is given back for a moment, for its health
	tapAgain  = time.Second            // until a reader that does not work is tried again
	tapPause  = 300 * time.Millisecond // after a card that could not be read
	tapSignal = 3 * time.Second        // lights and sounds that take longer are given up
)

// ownerKernel is whom the devices' list names as the reader's owner.
const ownerKernel = "kernel"

// Tapped is how a tap goes, for the screen beside the reader.
type Tapped struct {
	Payment pos.PaymentID  `json:"payment"`
	Signal  drivers.Signal `json:"signal"`
	Text    pos.Text       `json:"text"`           // what to do, or why not
	Hint    *pos.Text      `json:"hint,omitempty"` // what to do then
	Code    pos.Code       `json:"code,omitempty"` // why not
}

// armed is the payment that a card in the field pays; there is one at a time, for a
// customer does not see which.
type armed struct {
	id   pos.PaymentID
	stop context.CancelFunc
	busy bool // a card is being talked to
}

// tapper is the kernel by radio and whether a reader is there for it.
func (t *Till) tapper() (kernel.Tapper, bool) {
	k, ok := t.c.Kernel.(kernel.Tapper)
	return k, ok && t.c.Reader != nil && t.c.Reader.HasReader()
}

// Armed reports whether a card or phone in the reader's field would pay this payment.
func (t *Till) Armed(id pos.PaymentID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.armed != nil && t.armed.id == id
}

// arm has the reader take cards for the payment until it is decided or another payment's
// challenge is shown.
func (t *Till) arm(id pos.PaymentID) {
	k, ok := t.tapper()
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base == nil || t.c.Fare.Amount > 0 || t.armed != nil && t.armed.id == id {
		return
	}
	if t.armed != nil {
		t.armed.stop()
	}
	ctx, stop := context.WithCancel(t.base)
	a := &armed{id: id, stop: stop}
	t.armed = a
	t.group.Go(func() {
		defer t.disarm(a)
		t.takeTaps(ctx, tapping{till: t, kernel: k, armed: a, id: id})
	})
}

func (t *Till) disarm(a *armed) {
	a.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.armed == a {
		t.armed = nil
	}
}

// decided ends the wait for cards of a payment. A card that is being talked to is not cut
// short, for it may have signed: its promise finds the payment decided.
func (t *Till) decided(id pos.PaymentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.armed != nil && t.armed.id == id && !t.armed.busy {
		t.armed.stop()
	}
}

// busy tells that a card is, or is no more, talked to.
func (t *Till) busy(a *armed, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.busy = on
}

// takeTaps borrows the reader again and again until the payment is decided.
func (t *Till) takeTaps(ctx context.Context, g tapping) {
	for ctx.Err() == nil && !g.over {
		after := make(chan tapping, 1) // a turn that hangs is left alone with its own
		err := t.c.Reader.WithReader(ctx, ownerKernel, func(ctx context.Context, r drivers.NFCReader) error {
			mine := g
			defer func() { after <- mine }()
			return mine.turn(ctx, r)
		})
		select {
		case g = <-after:
		default:
		}
		if err == nil || ctx.Err() != nil || g.over {
			continue
		}
		t.log.InfoContext(ctx, "contactless reader", "payment", g.id.String(), "err", err)
		pause(ctx, tapAgain)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tapping is the taps of one payment.
type tapping struct {
	till   *Till
	kernel kernel.Tapper
	armed  *armed
	id     pos.PaymentID
	torn   kernel.Prompt // a card may have promised to it, and was not heard
	over   bool          // the payment is decided
}

// turn takes cards until the payment is decided or the turn is over.
func (g *tapping) turn(ctx context.Context, r drivers.NFCReader) error {
	waiting, cancel := context.WithTimeout(ctx, tapTurn)
	defer cancel()
	g.signal(ctx, r, drivers.SignalReady)
	defer func() {
		if !g.over {
			g.signal(context.WithoutCancel(ctx), r, drivers.SignalOff)
		}
	}()
	return g.cards(ctx, waiting, r, func() bool { return !g.over }, func(card drivers.Card) {
		g.take(ctx, r, card)
		if !g.over {
			_ = card.WaitRemoved(waiting) // one verdict for one tap; the end of the turn ends the wait
		}
		_ = card.Close() // the next WaitCard tells what is wrong with the reader
		if !g.over && waiting.Err() == nil {
			pause(waiting, tapPause)             // a card at the edge of the field comes and goes
			g.light(ctx, r, drivers.SignalReady) // the screens keep the reason until the next card
		}
	})
}

// cards hands each card in the field to take, while there may be more and until waiting, the
// turn at the reader, is over. What is wrong with the reader itself is returned.
func (g *tapping) cards(ctx, waiting context.Context, r drivers.NFCReader, more func() bool, take func(drivers.Card)) error {
	for waiting.Err() == nil && more() {
		card, err := r.WaitCard(waiting)
		switch {
		case err == nil:
			take(card)
		case waiting.Err() != nil: // the turn is over
		case errors.Is(err, drivers.ErrTorn):
			pause(waiting, tapPause)
		case errors.Is(err, drivers.ErrManyCards):
			g.tell(ctx, r, drivers.SignalRefused, pos.NewError(pos.ErrTapMany, err))
			pause(waiting, tapAgain)
		default:
			return err
		}
	}
	return nil
}

// take is one card's tap: done is said after the journal has the promise.
func (g *tapping) take(ctx context.Context, r drivers.NFCReader, card drivers.Card) {
	g.till.busy(g.armed, true)
	defer g.till.busy(g.armed, false)
	g.signal(ctx, r, drivers.SignalWorking)
	err := g.promise(ctx, card)
	switch {
	case err == nil:
		g.over = true
		g.signal(ctx, r, drivers.SignalDone)
		return
	case ctx.Err() != nil:
	case pos.CodeOf(err) == pos.ErrTapTorn:
		g.tell(ctx, r, drivers.SignalReady, err)
	default:
		g.tell(ctx, r, drivers.SignalRefused, err)
	}
	p, err := g.till.Payment(ctx, g.id)
	g.over = err == nil && p.State != pos.Created
}

// promise gets the card's promise and journals it. A promise that was torn is asked for
// first: the challenge may have been renewed since.
func (g *tapping) promise(ctx context.Context, card drivers.Card) error {
	prompt, err := g.till.prompt(ctx, g.id)
	if err != nil {
		return err
	}
	if g.torn.Secret != nil && g.torn.Text != prompt.Text {
		if err := g.once(ctx, card, g.torn); pos.CodeOf(err) != pos.ErrEvidenceLate {
			return err
		}
	}
	return g.once(ctx, card, prompt)
}

func (g *tapping) once(ctx context.Context, card drivers.Card, p kernel.Prompt) error {
	t := g.till
	taken, err := g.kernel.Tap(ctx, kernel.Tap{
		Card: card, Prompt: p, Now: t.now,
		Admit: func(ctx context.Context, w kernel.Wallet) error { return t.admit(ctx, g.id, w) },
	})
	if unheard(err) {
		g.torn = p
	}
	if err != nil {
		return err
	}
	kept, cancel := saving(ctx) // the wallet has signed: an end now must not lose it
	defer cancel()
	_, err = t.accept(kept, g.id, taken)
	return err
}

// unheard reports that a card may have promised and was not heard: it has left the
// reader, or the reader has left the till.
func unheard(err error) bool {
	code := pos.CodeOf(err)
	return code == pos.ErrTapTorn || code == drivers.CodeDevice
}

// admit applies the guards to a wallet before it signs.
func (t *Till) admit(ctx context.Context, id pos.PaymentID, w kernel.Wallet) error {
	return t.c.Journal.View(ctx, func(v pos.JournalView) error {
		p, order, err := mayTake(v, id)
		if err != nil {
			return err
		}
		_, _, err = t.guards(v, p.Amount, order, w)
		return err
	})
}

// tell signals why a tap came to nothing, to reader and screens.
func (g *tapping) tell(ctx context.Context, r drivers.NFCReader, s drivers.Signal, err error) {
	e := pos.AsError(err)
	g.till.log.InfoContext(ctx, "tap", "payment", g.id.String(), "code", string(e.Code), "err", err)
	g.till.publish(Event{Kind: EventTap, Tap: &Tapped{Payment: g.id, Signal: s, Text: e.Text, Hint: &e.Hint, Code: e.Code}})
	g.light(ctx, r, s)
}

// signal tells reader and screens how the tap goes.
func (g *tapping) signal(ctx context.Context, r drivers.NFCReader, s drivers.Signal) {
	g.till.publish(Event{Kind: EventTap, Tap: &Tapped{Payment: g.id, Signal: s, Text: s.Text()}})
	g.light(ctx, r, s)
}

// light is the reader's own light and sound, where it has them.
func (g *tapping) light(ctx context.Context, r drivers.NFCReader, s drivers.Signal) {
	ctx, cancel := context.WithTimeout(ctx, tapSignal)
	defer cancel()
	if err := r.Signal(ctx, s); err != nil && !errors.Is(err, drivers.ErrIllegal) && ctx.Err() == nil {
		g.till.log.InfoContext(ctx, "signal", "err", fmt.Errorf("%s: %w", s, err))
	}
}
