package payment

import (
	"context"
	"sync"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// The pace of Run: how often it looks, how many it takes at once, how many of them
// may wait for one institution, and how many for an answer or its commit (below batch: a look at
// what is due must find others).
const (
	pace           = 500 * time.Millisecond
	batch          = 256
	perInstitution = 32
	maxBusy        = 192
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
			d.ill.Store(false)
		case <-d.wake:
		}
	}
}

func (d *Desk) round(ctx context.Context, wait *sync.WaitGroup) error {
	for more := true; more; {
		var err error
		if more, err = d.index(ctx); err != nil {
			return err
		}
	}
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
		skip, limit := d.full()
		payments, err := d.cfg.Store.DuePayments(ctx, d.nowMS(), skip, limit)
		if err != nil {
			return err
		}
		started := 0
		for _, r := range payments {
			if d.follow(ctx, wait, r.ID, r.Institution, func() error { _, err := d.step(ctx, r); return err }) {
				started++
			}
		}
		if len(payments) < limit || started == 0 {
			return nil
		}
	}
}

// full lists the institutions that have enough to do, and how many payments are worth a look: those that
// wait for their commit are due still, and no more can be started than there are places.
func (d *Desk) full() (codes []string, limit int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for code, n := range d.load {
		if n >= perInstitution {
			codes = append(codes, code)
		}
	}
	return codes, min(batch, len(d.busy)+2*perInstitution)
}

// follow runs one step beside the others, unless it is being done or its institution
// has enough to do; then a later round finds it again, at once when there is room.
func (d *Desk) follow(ctx context.Context, wait *sync.WaitGroup, id pos.PaymentID, code string, step func() error) bool {
	if d.fullFor(code) {
		d.behind.Store(true)
		return false
	}
	release, ok := d.claim(id, code)
	if !ok {
		return false
	}
	wait.Go(func() {
		err := step()
		if err != nil {
			d.ill.Store(true)
		}
		release()
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.ErrorContext(ctx, "payment not followed", "payment", id.String(), "err", err)
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
	evidence := d.lookAll(entries)
	err = d.turn(ctx, func(t *turn) error {
		for i, e := range entries {
			last := i+1 == len(entries) || !e.sameBranch(entries[i+1])
			if err := d.readOne(ctx, t, e, last, evidence[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return len(entries) == batch, err
}

// readOne takes up one entry; last of its branch, it moves the position over those before it, too.
func (d *Desk) readOne(ctx context.Context, t *turn, e Unread, last bool, l *looked) error {
	asks := e.Kind == pos.KindPaymentMoved || e.Kind == pos.KindRefundMoved
	if !asks && !last {
		return nil // the position jumps over it
	}
	unread, err := t.Read(ctx, e.Position, e.Branch)
	switch {
	case err != nil || !unread || !asks:
		return err
	case e.Branch == 0:
		return d.heed(ctx, t, e.Entry, l)
	case l != nil:
		return d.witness(ctx, t, e.Entry, *l)
	}
	return nil // its money is in suspense, and nothing is asked for it
}

// heed does what an entry of a till asks of the centre. An entry that cannot be
// followed is logged and left: one till's mistake must not stop the others.
func (d *Desk) heed(ctx context.Context, t *turn, e pos.Entry, l *looked) error {
	body, err := dcep.Body(e)
	if err != nil {
		d.cfg.Log.WarnContext(ctx, "entry not understood", "terminal", e.Terminal, "seq", e.Seq, "err", err)
		return nil
	}
	switch b := body.(type) {
	case *pos.PaymentMoved:
		err = d.heedMove(ctx, t, e, b, l)
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

func (d *Desk) heedMove(ctx context.Context, t *turn, e pos.Entry, m *pos.PaymentMoved, l *looked) error {
	switch m.To {
	case pos.Abandoned:
		_, err := d.giveUp(ctx, t, e.Terminal, e.Payment)
		return err
	case pos.AcceptedEvidence:
		return d.heedEvidence(ctx, t, e, m, l)
	case pos.Stored:
		return d.heedStored(ctx, t, e, m)
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
		after, err := t.tellEnd(ctx, r)
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
	case pos.Created, pos.Asking, pos.Cancelled, pos.Credited, pos.Refused, pos.Conflict:
	}
	return nil
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
