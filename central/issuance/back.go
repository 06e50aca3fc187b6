package issuance

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// batch is how many rows one transaction of the end takes.
const batch = 2000

// recallPace is how often an institution is asked again whose book differs from ours.
const recallPace = 5 * time.Second

// withdraw takes back orders that nobody has claimed, when their time is over or the
// issuance is cancelled, and lets the waiting list follow where the terms say so.
func (d *Desk) withdraw(ctx context.Context, is Issuance, states ...State) (bool, error) {
	return d.each(is.Institutions, func(code string) (bool, error) {
		rows, err := d.due(ctx, is.Campaign, code, institution.MaxOrders, states...)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		bank, err := d.bank(code)
		if err != nil {
			return false, err
		}
		words, err := bank.RecallEnvelopes(ctx, ids(rows), true)
		if err != nil {
			for i := range rows {
				rows[i] = d.retry(rows[i], err.Error())
			}
			return false, d.write(ctx, rows, states...)
		}
		return true, d.withdrawn(ctx, is, rows, words)
	})
}

func ids(rows []Issued) []string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = r.ID
	}
	return all
}

// withdrawn books the institution's words: what was claimed after all stays, and its claim
// comes with the list of claims.
func (d *Desk) withdrawn(ctx context.Context, is Issuance, rows []Issued, words []institution.EnvelopeWord) error {
	word := map[string]institution.EnvelopeWord{}
	for _, w := range words {
		word[w.Envelope] = w
	}
	var next map[string]queue
	if is.Waiting && is.Standing == Issuing {
		var err error
		if next, err = d.followers(ctx, is, rows); err != nil {
			return err
		}
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		var all []Issued
		for _, r := range rows {
			changed, err := d.withdrawnOne(ctx, tx, is, r, word[r.ID], next)
			if err != nil {
				return err
			}
			all = append(all, changed...)
		}
		return tx.PutEnvelopes(ctx, all)
	})
}

// withdrawnOne gives the row as it is after the institution's word; none where it moved
// meanwhile, or where who follows is not known yet: then it is asked for again.
func (d *Desk) withdrawnOne(
	ctx context.Context, tx Tx, is Issuance, r Issued, w institution.EnvelopeWord, next map[string]queue,
) ([]Issued, error) {
	have, _, err := tx.Envelope(ctx, r.ID)
	if err != nil || have.State != r.State {
		return nil, err
	}
	if w.Status != institution.Success || w.Claimed {
		return []Issued{d.retry(have, "withdraw: "+w.Reason)}, nil
	}
	have.State, have.NextMS, have.Detail = Recalled, 0, "not claimed"
	have.Recalled, have.Left = have.Face, 0
	known, err := follow(ctx, tx, is, have, next)
	if err != nil || !known {
		return nil, err
	}
	return []Issued{have}, nil
}

// queue is a part of a stratum's waiting list.
type queue struct {
	after int64 // places before it
	list  []Winner
	end   bool // nobody follows
}

// followers reads who of each stratum could be next.
func (d *Desk) followers(ctx context.Context, is Issuance, rows []Issued) (map[string]queue, error) {
	next := map[string]queue{}
	for _, r := range rows {
		if _, ok := next[r.Stratum]; ok {
			continue
		}
		var q queue
		err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
			q.after, err = tx.NextWaiting(ctx, is.Campaign, r.Stratum)
			return err
		})
		if err == nil {
			q.list, err = d.cfg.Source.Waiting(ctx, is.Campaign, r.Stratum, q.after, batch)
		}
		if err != nil {
			return nil, err
		}
		q.end = len(q.list) < batch
		next[r.Stratum] = q
	}
	return next, nil
}

// waitsForLog is why an envelope is not offered yet.
const waitsForLog = "waits for the public log"

// follow logs who is next and makes her envelope, of the same tier and face. It is not
// offered before the log is public. known is false where the part of the list that was read
// has run out by others' hands.
func follow(ctx context.Context, tx Tx, is Issuance, gone Issued, next map[string]queue) (known bool, err error) {
	if next == nil {
		return true, nil
	}
	n, err := tx.NextWaiting(ctx, is.Campaign, gone.Stratum)
	if err != nil {
		return false, err
	}
	q := next[gone.Stratum]
	if at := n - q.after; at < 0 || at >= int64(len(q.list)) {
		return q.end, nil
	}
	w := q.list[n-q.after]
	w.Tier, w.Rank = gone.Tier, -w.Rank // places of the waiting list are below nothing
	e, err := is.issue(w)
	if err != nil {
		return false, err
	}
	e.NextMS, e.Detail = is.UntilMS, waitsForLog
	if err := tx.Advance(ctx, is.Campaign, gone.Ticket, e.Ticket, "unclaimed"); err != nil {
		return false, err
	}
	return true, tx.PutEnvelopes(ctx, []Issued{e}) // now, so that the next one counts it
}

// announce has moves of the waiting list made public, then lets their envelopes be offered.
// What it had read before is public after: nothing else is let go.
func (d *Desk) announce(ctx context.Context, is Issuance) error {
	_, err := d.each(is.Institutions, func(code string) (bool, error) {
		for {
			var rows []Issued
			if err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
				rows, err = tx.Unannounced(ctx, is.Campaign, code, is.UntilMS, batch)
				return err
			}); err != nil || len(rows) == 0 {
				return false, err
			}
			if err := d.cfg.Source.Announce(ctx, is.Campaign); err != nil {
				return false, err
			}
			for i := range rows {
				rows[i].NextMS, rows[i].Detail = 0, ""
			}
			if err := d.write(ctx, rows, Reserved); err != nil {
				return false, err
			}
		}
	})
	return err
}

// expire ends the window: what is left of every envelope waits for late tills. Claims
// were read in the same round before.
func (d *Desk) expire(ctx context.Context, is Issuance) error {
	for {
		rows, err := d.due(ctx, is.Campaign, "", batch, Reserved, Offered, Claimed, PartlySpent, Spent)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return d.stand(ctx, is.Campaign, Expired, "centre")
		}
		if err := d.cfg.Store.Write(ctx, func(tx Tx) error { return expired(ctx, tx, rows, time.UnixMilli(is.UntilMS)) }); err != nil {
			return err
		}
	}
}

// expired writes rows whose window is over, as they are now.
func expired(ctx context.Context, tx Tx, rows []Issued, until time.Time) error {
	var over []Issued
	for _, r := range rows {
		have, _, err := tx.Envelope(ctx, r.ID)
		if err != nil {
			return err
		}
		if have.State == RecallPending || have.State == Recalled {
			continue
		}
		if have.Envelope, err = have.Expire(until); err != nil {
			return err
		}
		have.NextMS, have.Tries, have.Detail = 0, 0, ""
		over = append(over, have)
	}
	return tx.PutEnvelopes(ctx, over)
}

// stand moves an issuance's standing.
func (d *Desk) stand(ctx context.Context, campaign string, to Standing, by string) error {
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		is, found, err := tx.Issuance(ctx, campaign)
		if err != nil || !found || is.Standing == to {
			return err
		}
		is.Standing = to
		if err := tx.PutIssuance(ctx, is); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_"+string(to), campaign, "")
	})
}

// recall takes back what is left, once no till can bring a payment from the window any
// more or the grace is over, and ends the issuance when everything is back.
func (d *Desk) recall(ctx context.Context, is Issuance) (bool, error) {
	var behind int64
	if err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		behind, err = tx.Behind(ctx, is.UntilMS)
		return err
	}); err != nil {
		return false, err
	}
	if behind > 0 && d.nowMS() < is.UntilMS+is.GraceMS {
		return false, nil
	}
	busy, err := d.each(is.Institutions, func(code string) (bool, error) {
		rows, err := d.due(ctx, is.Campaign, code, institution.MaxOrders, RecallPending)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		bank, err := d.bank(code)
		if err != nil {
			return false, err
		}
		words, err := bank.RecallEnvelopes(ctx, ids(rows), false)
		if err != nil {
			for i := range rows {
				rows[i] = d.retry(rows[i], err.Error())
			}
			return false, d.write(ctx, rows, RecallPending)
		}
		return true, d.recalled(ctx, is, words)
	})
	if busy || err != nil {
		return busy, err
	}
	return d.finish(ctx, is)
}

// recalled books what institutions took out of wallets, where it is what our book says.
func (d *Desk) recalled(ctx context.Context, is Issuance, words []institution.EnvelopeWord) error {
	date := pos.DateOf(d.cfg.Now(), 0)
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		var rows []Issued
		var items []ledger.Item
		for _, w := range words {
			e, found, err := tx.Envelope(ctx, w.Envelope)
			if err != nil {
				return err
			}
			if !found || e.State != RecallPending {
				continue
			}
			if !e.agrees(w) {
				rows = append(rows, d.differs(e, w))
				continue
			}
			e, moved, err := e.takeBack(is.Provider, date)
			if err != nil {
				return err
			}
			rows, items = append(rows, e), append(items, moved...)
		}
		if err := postAll(ctx, tx, items); err != nil {
			return err
		}
		return tx.PutEnvelopes(ctx, rows)
	})
}

// inWallet is what its wallet holds of it, by our book.
func (i Issued) inWallet() pos.Money {
	if i.ClaimedMS == 0 {
		return 0
	}
	return i.Left
}

// agrees reports that the institution's word of a recall is what our book says.
func (i Issued) agrees(w institution.EnvelopeWord) bool {
	return w.Status == institution.Success && w.Left == i.inWallet() && w.Claimed == (i.ClaimedMS > 0)
}

// differs puts off a recall about which institution and centre do not agree.
func (d *Desk) differs(e Issued, w institution.EnvelopeWord) Issued {
	e = d.retry(e, fmt.Sprintf("differs: the institution says %s %s, ours is %s", w.Status, w.Left, e.inWallet()))
	e.NextMS = d.nowMS() + recallPace.Milliseconds()
	return e
}

// takeBack ends an envelope. Money moves only where it was claimed: what nobody has
// claimed is still in the budget.
func (i Issued) takeBack(provider string, date pos.Date) (Issued, []ledger.Item, error) {
	cause := ""
	if i.Recalled > 0 { // a second time, after it was restored
		cause = "after " + strconv.FormatInt(int64(i.Recalled), 10)
	}
	var back pos.Money
	var err error
	if i.Envelope, back, err = i.Recall(); err != nil {
		return i, nil, err
	}
	i.NextMS, i.Detail = 0, ""
	if i.ClaimedMS == 0 || back == 0 {
		return i, nil, nil
	}
	return i, []ledger.Item{{Transaction: ledger.Recalled(i.part(back), provider, cause, date)}}, nil
}

// finish releases the rest of the budget when no envelope is out any more.
func (d *Desk) finish(ctx context.Context, is Issuance) (done bool, err error) {
	err = d.cfg.Store.Write(ctx, func(tx Tx) error {
		done = false
		p, err := tx.Progress(ctx, is.Campaign)
		if err != nil || !p.allBack() {
			return err
		}
		now, _, err := tx.Issuance(ctx, is.Campaign)
		if err != nil || now.Standing != Expired {
			return err
		}
		if err := release(ctx, tx, now, is.Budget-p.Activated, pos.DateOf(d.cfg.Now(), 0)); err != nil {
			return err
		}
		now.Standing, done = Reclaimed, true
		if err := tx.PutIssuance(ctx, now); err != nil {
			return err
		}
		return tx.Audit(ctx, "centre", "issuance_reclaimed", is.Campaign, "")
	})
	return done, err
}

// allBack reports that every envelope is recalled.
func (p Progress) allBack() bool {
	for _, s := range States() {
		if s != Recalled && p.Counts[s] > 0 {
			return false
		}
	}
	return true
}

// release gives the rest of the budget back to its provider, once for ever.
func release(ctx context.Context, tx Tx, is Issuance, rest pos.Money, date pos.Date) error {
	if rest <= 0 {
		return nil
	}
	t := ledger.Released(is.Campaign, is.Provider, rest, date)
	if _, released, err := tx.LedgerTransaction(ctx, t.Key); err != nil || released {
		return err
	}
	_, err := ledger.Post(ctx, tx, t)
	return err
}
