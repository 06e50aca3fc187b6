package payment

import (
	"context"
	"sync"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// The pace of Run: how often it looks, how many it takes at once, how many of them
// may wait for one institution.
const (
	pace           = 500 * time.Millisecond
	batch          = 256
	perInstitution = 32
)

// Run follows every payment and refund that is not final, and what the tills' journals
// say, until ctx ends. It goes on where an earlier process stopped.
func (d *Desk) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		if err := d.round(ctx, &wait); err != nil && ctx.Err() == nil {
			d.cfg.Log.ErrorContext(ctx, "payment round ended early", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-d.wake:
		}
	}
}

func (d *Desk) round(ctx context.Context, wait *sync.WaitGroup) error {
	for more := true; more; {
		var err error
		if more, err = d.read(ctx); err != nil {
			return err
		}
	}
	if err := d.duePayments(ctx, wait); err != nil {
		return err
	}
	refunds, err := d.cfg.Store.DueRefunds(ctx, d.nowMS(), batch)
	if err != nil {
		return err
	}
	for _, r := range refunds {
		d.follow(ctx, wait, r.ID, "", func() error { _, err := d.stepRefund(ctx, r); return err })
	}
	return nil
}

// duePayments starts what is due. An institution that has enough to do is passed over,
// so that a slow one does not hold up the others.
func (d *Desk) duePayments(ctx context.Context, wait *sync.WaitGroup) error {
	for {
		payments, err := d.cfg.Store.DuePayments(ctx, d.nowMS(), d.full(), batch)
		if err != nil {
			return err
		}
		started := 0
		for _, r := range payments {
			if d.follow(ctx, wait, r.ID, r.Institution, func() error { _, err := d.step(ctx, r); return err }) {
				started++
			}
		}
		if len(payments) < batch || started == 0 {
			return nil
		}
	}
}

// full lists the institutions that have enough to do.
func (d *Desk) full() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var codes []string
	for code, n := range d.load {
		if n >= perInstitution {
			codes = append(codes, code)
		}
	}
	return codes
}

// follow runs one step beside the others, unless it is being done or its institution
// has enough to do; then a later round finds it again, at once when there is room.
func (d *Desk) follow(ctx context.Context, wait *sync.WaitGroup, id pos.PaymentID, code string, step func() error) bool {
	if d.loaded(code) >= perInstitution {
		d.behind.Store(true)
		return false
	}
	release, ok := d.claim(id, code)
	if !ok {
		return false
	}
	wait.Go(func() {
		err := step()
		release()
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.ErrorContext(ctx, "payment not followed", "payment", id.String(), "err", err)
			return // not at once again: the store may be down
		}
		if d.behind.Swap(false) {
			d.poke()
		}
	})
	return true
}

// Ingested tells that entries of a terminal were kept. It is a hint: Run reads them
// from the store, with a position of its own, also when the hint is lost.
func (d *Desk) Ingested(_ string, entries []pos.Entry) {
	for _, e := range entries {
		if e.Kind == pos.KindPaymentMoved || e.Kind == pos.KindRefundMoved {
			d.poke()
			return
		}
	}
}

// read takes up the next unread entries; more tells that there may be others.
func (d *Desk) read(ctx context.Context) (more bool, err error) {
	entries, err := d.cfg.Store.UnreadEntries(ctx, batch)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	err = d.turn(ctx, func(t *turn) error {
		for i, e := range entries {
			last := i+1 == len(entries) || entries[i+1].Terminal != e.Terminal || entries[i+1].Epoch != e.Epoch
			asks := e.Kind == pos.KindPaymentMoved || e.Kind == pos.KindRefundMoved
			if !asks && !last {
				continue // the position jumps over it
			}
			unread, err := t.Read(ctx, e.Position)
			if err != nil {
				return err
			}
			if !unread || !asks {
				continue
			}
			if err := d.heed(ctx, t, e); err != nil {
				return err
			}
		}
		return nil
	})
	return len(entries) == batch, err
}

// heed does what an entry of a till asks of the centre. An entry that cannot be
// followed is logged and left: one till's mistake must not stop the others.
func (d *Desk) heed(ctx context.Context, t *turn, e pos.Entry) error {
	body, err := dcep.Body(e)
	if err != nil {
		d.cfg.Log.WarnContext(ctx, "entry not understood", "terminal", e.Terminal, "seq", e.Seq, "err", err)
		return nil
	}
	switch b := body.(type) {
	case *pos.PaymentMoved:
		err = d.heedMove(ctx, t, e, b)
	case *pos.RefundMoved:
		if b.To == pos.RefundUnknown || b.To == pos.RefundRefunded {
			err = d.heedRefund(ctx, t, e, b.RefundID)
		}
	}
	if foreign(err) {
		d.cfg.Log.WarnContext(ctx, "entry not followed", "terminal", e.Terminal, "seq", e.Seq, "err", err)
		return nil
	}
	return err
}

func (d *Desk) heedMove(ctx context.Context, t *turn, e pos.Entry, m *pos.PaymentMoved) error {
	switch m.To {
	case pos.Abandoned:
		_, err := d.giveUp(ctx, t, e.Terminal, e.Payment)
		return err
	case pos.AcceptedEvidence:
		return d.heedEvidence(ctx, t, e, m)
	case pos.Unknown, pos.Paid:
		r, found, err := t.Payment(ctx, e.Payment)
		if err != nil {
			return err
		}
		if !found {
			_, err = d.orphan(ctx, t, e.Terminal, e.Payment, pos.Unknown)
			return err
		}
		if m.To == pos.Paid {
			return nil
		}
		after, err := d.tellEnd(ctx, t, r)
		if err != nil || after.Told == r.Told {
			return err
		}
		return t.PutPayment(ctx, after)
	case pos.Declined:
		// An institution's no stands in its statement: a database that was restored lacks it.
		_, found, err := t.Payment(ctx, e.Payment)
		if err == nil && !found && m.Institution != "" && m.SettlementDate != "" {
			_, err = d.orphan(ctx, t, e.Terminal, e.Payment, pos.Unknown)
		}
		return err
	case pos.Created, pos.Asking, pos.Cancelled, pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
	}
	return nil
}

// heedEvidence takes up a wallet's signed statement, to be submitted until the
// institution's word is final.
func (d *Desk) heedEvidence(ctx context.Context, t *turn, e pos.Entry, m *pos.PaymentMoved) error {
	if _, found, err := t.Payment(ctx, e.Payment); err != nil || found {
		return err
	}
	r, err := d.orphan(ctx, t, e.Terminal, e.Payment, pos.AcceptedEvidence)
	if err != nil {
		return err
	}
	r.Mode, r.Institution, r.Evidence = pos.Evidence, m.Institution, m.Evidence
	if why := d.doubt(e, m, r.Amount); why != nil {
		d.cfg.Log.WarnContext(ctx, "evidence is not what the till says", "terminal", e.Terminal, "payment", e.Payment.String(), "err", why)
		if r, err = d.dispute(ctx, t, r, why); err != nil {
			return err
		}
		return t.PutPayment(ctx, r)
	}
	if r, err = d.judgeEnvelopes(ctx, t, r, e, m); err != nil {
		return err
	}
	return t.PutPayment(ctx, r)
}

// heedRefund takes up a refund whose end the till does not know, and one that is done
// and has no row: this database was restored.
func (d *Desk) heedRefund(ctx context.Context, t *turn, e pos.Entry, id pos.RefundID) error {
	r, found, err := t.Refund(ctx, id)
	if err != nil {
		return err
	}
	if !found {
		_, err = d.orphanRefund(ctx, t, e.Terminal, e.Payment, id)
		return err
	}
	after, err := d.tellRefund(ctx, t, r)
	if err != nil || after.Told == r.Told {
		return err
	}
	return t.PutRefund(ctx, after)
}
