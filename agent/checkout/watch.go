package checkout

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"dcpos/pos"
)

// watch follows an open payment until it is decided; a second watcher is not started.
func (t *Till) watch(id pos.PaymentID) {
	t.once(id, func(ctx context.Context) { t.watchPayment(ctx, id) })
}

// once runs f in a goroutine of Run unless one runs under this id already.
func (t *Till) once(id pos.PaymentID, f func(ctx context.Context)) {
	t.mu.Lock()
	busy := t.watching[id]
	t.watching[id] = true
	t.mu.Unlock()
	if busy {
		return
	}
	free := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watching, id)
	}
	if !t.spawn(func(ctx context.Context) { defer free(); f(ctx) }) {
		free()
	}
}

// reconnected is closed when the centre comes back.
func (t *Till) reconnected() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wake
}

// pace is the wait before the next query after so long, with a tenth of jitter so
// that a shop's tills do not ask in step.
func (t *Till) pace(since time.Duration) time.Duration {
	d := t.timing.Query
	if since >= t.timing.Fast {
		d = t.timing.Slow[len(t.timing.Slow)-1]
		at := t.timing.Fast
		for _, s := range t.timing.Slow {
			if at += s; since < at {
				d = s
				break
			}
		}
	}
	return d + rand.N(d/10+1) //nolint:gosec // jitter, no secret
}

func (t *Till) watchPayment(ctx context.Context, id pos.PaymentID) {
	began := time.Now()
	for {
		p, err := t.Payment(ctx, id)
		if err == nil && p.State != pos.Asking && p.State != pos.Unknown && p.State != pos.Stored {
			return
		}
		wait := t.pace(time.Since(began))
		if p.State == pos.Asking && p.Mode == pos.CScanB {
			wait = min(t.timing.Query, max(0, t.expiry(p).Sub(t.clock.Centre()))+time.Millisecond)
		}
		back := t.reconnected()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-back:
			timer.Stop()
			began = time.Now()
		case <-timer.C:
		}
		if err != nil { // the journal could not be read: look again
			continue
		}
		t.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err := t.giveUp(ctx, p, time.Since(began)); err != nil {
			t.log.ErrorContext(ctx, "open payment is not journaled", "payment", id.String(), "err", err)
		}
	}
}

// ask queries once and journals what is final.
func (t *Till) ask(ctx context.Context, p pos.Payment) {
	if !t.c.Host.Connected() {
		return
	}
	c, cancel := context.WithTimeout(ctx, t.timing.Answer)
	defer cancel()
	a, err := t.inquire(c, p)
	if err := t.conclude(ctx, p.ID, a, err, false); err != nil {
		t.log.ErrorContext(ctx, "answer is not journaled, will be asked again", "payment", p.ID.String(), "err", err)
	}
}

// inquire asks what became of a payment; of a stored one it asks for the money first.
func (t *Till) inquire(ctx context.Context, p pos.Payment) (pos.Answer, error) {
	if p.State == pos.Stored {
		return t.forward(ctx, p)
	}
	return t.c.Host.Query(ctx, pos.AskQuery{Env: t.c.Env, Payment: p.ID})
}

// giveUp moves a payment that is still asking when its time is over: a payment code
// becomes unknown, a QR abandoned.
func (t *Till) giveUp(ctx context.Context, p pos.Payment, since time.Duration) error {
	to := pos.Unknown
	if p.Mode == pos.CScanB {
		to = pos.Abandoned
	}
	late := since >= t.timing.Fast
	if p.Mode == pos.CScanB {
		late = !t.clock.Centre().Before(t.expiry(p))
	}
	if p.State != pos.Asking || !late {
		return nil
	}
	var moved bool
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		now, err := find(v, p.ID)
		if err != nil || now.State != pos.Asking {
			return nil, err
		}
		moved = true
		return t.owing(v, now, to, []pos.Draft{t.moved(now, pos.OperatorSystem, pos.PaymentMoved{
			From: pos.Asking, To: to, Reason: pos.ErrExpired, Source: sourceTill,
		})})
	})
	if err != nil || !moved {
		return err
	}
	if to == pos.Abandoned {
		t.tellAbandoned(p.ID)
	}
	return nil
}

// Refresh asks the centre now what became of a payment that is asking, unknown or stored,
// and returns it as it is then. Offline it returns it as it is.
func (t *Till) Refresh(ctx context.Context, id pos.PaymentID) (pos.Payment, error) {
	p, err := t.Payment(ctx, id)
	if err != nil || (p.State != pos.Asking && p.State != pos.Unknown && p.State != pos.Stored) {
		return p, err
	}
	if err := t.do(ctx, func(ctx context.Context) { t.ask(ctx, p) }); err != nil {
		return p, err
	}
	return t.Payment(context.WithoutCancel(ctx), id)
}

// Run owns the till: it finishes what a stop had interrupted, follows what is open,
// and ends when ctx does, after every goroutine of the till has ended. It is called
// once. An error means that the journal could not be read at the start.
func (t *Till) Run(ctx context.Context) error {
	t.mu.Lock()
	t.base, t.linked = ctx, t.c.Host.Connected()
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.base = nil
		t.mu.Unlock()
		t.group.Wait()
	}()
	if err := t.resume(ctx); err != nil {
		return err
	}
	if t.c.Display != nil || t.c.Tone != nil { // before the first sale can begin
		events, stop := t.hub.subscribe("")
		t.spawn(func(ctx context.Context) { t.runFace(ctx, events, stop) })
	}
	close(t.ready)
	t.openGate()
	if t.c.Printer != nil {
		t.spawn(t.runPress)
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 0; ; n++ {
		t.tick(ctx, n)
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
		}
	}
}

// Ready is closed when Run has taken up what the last stop had left; commands are
// taken from then on.
func (t *Till) Ready() <-chan struct{} { return t.ready }

// tick does once a second what has no moment of its own.
func (t *Till) tick(ctx context.Context, n int) {
	t.noticeLink()
	if err := t.noticeClock(ctx); err != nil && ctx.Err() == nil {
		t.log.ErrorContext(ctx, "clock jump is not journaled", "err", err)
	}
	if n%600 == 599 { // what the clock knows outlives the machine's power by ten minutes less
		if err := t.keepClock(ctx); err != nil && ctx.Err() == nil {
			t.log.WarnContext(ctx, "clock is not kept", "err", err)
		}
	}
	if n%30 == 29 {
		t.tidy(ctx)
		if err := t.agePrints(ctx); err != nil && ctx.Err() == nil {
			t.log.WarnContext(ctx, "old prints are not handed over", "err", err)
		}
	}
}

func (t *Till) noticeLink() {
	now := t.c.Host.Connected()
	t.mu.Lock()
	changed := now != t.linked
	t.linked = now
	if changed && now {
		close(t.wake)
		t.wake = make(chan struct{})
	}
	t.mu.Unlock()
	if changed {
		t.publish(Event{Kind: EventLink, Connected: &now})
	}
}

func (t *Till) noticeClock(ctx context.Context) error {
	by, jumped := t.clock.Jump()
	if !jumped {
		return nil
	}
	_, err := t.update(ctx, func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{t.draft(pos.KindClockJump, pos.PaymentID{}, pos.OperatorSystem, pos.ClockJump{ByMS: by.Milliseconds()})}, nil
	})
	return err
}

// tidy cancels payments of which nobody was asked for long, and forgets what is not
// needed of the decided ones.
func (t *Till) tidy(ctx context.Context) {
	list, err := t.c.Journal.Payments(ctx, Query{States: []pos.State{pos.Created}})
	if err != nil {
		if ctx.Err() == nil {
			t.log.WarnContext(ctx, "open payments are not read", "err", err)
		}
		return
	}
	now := t.clock.Now()
	for _, p := range list {
		if now.Sub(time.UnixMilli(p.CreatedMS)) < t.timing.Idle {
			continue
		}
		if err := t.drop(ctx, p.ID); err != nil {
			t.log.WarnContext(ctx, "idle payment is not cancelled", "payment", p.ID.String(), "err", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, s := range t.sales {
		if id != t.current && !t.watching[id] && now.Sub(s.started) > max(time.Hour, t.timing.Idle) {
			delete(t.sales, id)
		}
	}
}

// drop cancels a payment of which nobody was asked, by nobody's command.
func (t *Till) drop(ctx context.Context, id pos.PaymentID) error {
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, err := find(v, id)
		if err != nil || p.State != pos.Created {
			return nil, err
		}
		return []pos.Draft{t.moved(p, pos.OperatorSystem, pos.PaymentMoved{
			From: pos.Created, To: pos.Cancelled, Reason: pos.ErrExpired, Source: sourceTill,
		})}, nil
	})
	return err
}

// resume takes up what a stop in the middle has left.
func (t *Till) resume(ctx context.Context) error {
	open, err := t.c.Journal.Payments(ctx, Query{States: []pos.State{pos.Created, pos.Asking, pos.Unknown, pos.Stored}})
	if err != nil {
		return err
	}
	for _, p := range open {
		if err := t.resumePayment(ctx, p); err != nil {
			return err
		}
	}
	if err := t.remind(ctx); err != nil {
		return err
	}
	if err := t.resumePrints(ctx); err != nil {
		return err
	}
	return t.resumeRefunds(ctx)
}

func (t *Till) resumePayment(ctx context.Context, p pos.Payment) error {
	switch p.State {
	case pos.Created:
		return t.drop(ctx, p.ID)
	case pos.Asking:
		if p.Mode == pos.CScanB {
			return t.resumeQR(ctx, p)
		}
		// Whether the question left before the stop cannot be known.
		err := t.conclude(ctx, p.ID, pos.Answer{}, errStopped, true)
		t.watch(p.ID)
		return err
	case pos.Unknown, pos.Stored:
		t.watch(p.ID)
	case pos.Paid, pos.Declined, pos.Abandoned, pos.Cancelled, pos.AcceptedEvidence,
		pos.Credited, pos.Refused, pos.Conflict:
	}
	return nil
}

var errStopped = errors.New("the till stopped while it was asking")

func (t *Till) resumeQR(ctx context.Context, p pos.Payment) error {
	kept, err := t.keptQRs(ctx)
	if err != nil {
		return err
	}
	if k, ok := kept[p.ID.String()]; ok {
		t.with(p.ID, func(s *sale) { s.qr, s.validUntil = k.QR, k.ValidUntil })
	}
	t.watch(p.ID)
	return nil
}
