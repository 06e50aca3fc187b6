package issuance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// seedAtOnce is how many winners become rows in one transaction.
const seedAtOnce = 2000

// seed makes the rows of the next winners.
func (d *Desk) seed(ctx context.Context, is Issuance) (bool, error) {
	winners, err := d.cfg.Source.Winners(ctx, is.Campaign, is.Seeded, seedAtOnce)
	if err != nil || len(winners) == 0 {
		return false, err
	}
	rows := make([]Issued, 0, len(winners))
	for _, w := range winners {
		if w.Tier < 0 || w.Tier >= len(is.Tiers) {
			return false, fmt.Errorf("winner %d is of tier %d", w.Rank, w.Tier)
		}
		e, err := is.issue(w)
		if err != nil {
			return false, err
		}
		rows = append(rows, e)
	}
	return true, d.cfg.Store.Write(ctx, func(tx Tx) error {
		now, found, err := tx.Issuance(ctx, is.Campaign)
		if err != nil || !found || now.Seeded != is.Seeded || now.Standing != Issuing {
			return err // another process was quicker, or somebody has stopped it
		}
		now.Seeded = winners[len(winners)-1].Rank
		if err := tx.PutEnvelopes(ctx, rows); err != nil {
			return err
		}
		return tx.PutIssuance(ctx, now)
	})
}

// offer sends each institution what it may still get in this round.
func (d *Desk) offer(ctx context.Context, is Issuance, left map[string]*int) (bool, error) {
	return d.each(is.Institutions, func(code string) (bool, error) {
		if err := d.rule(ctx, is.Plan, code); err != nil {
			return false, err
		}
		quota := left[code]
		more := *quota > 0 // where nothing may be sent, nothing is to be done now
		for *quota > 0 {
			rows, err := d.due(ctx, is.Campaign, code, min(institution.MaxOrders, *quota), Reserved)
			if err != nil || len(rows) == 0 {
				return false, err
			}
			if err := d.offerBatch(ctx, is.Plan, code, rows); err != nil {
				return false, err
			}
			*quota -= len(rows)
		}
		return more, nil
	})
}

func (d *Desk) due(ctx context.Context, campaign, code string, limit int, states ...State) (rows []Issued, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		rows, err = tx.Due(ctx, campaign, code, states, d.nowMS(), limit)
		return err
	})
	return rows, err
}

// rule tells an institution the campaign's rules, once in this process.
func (d *Desk) rule(ctx context.Context, p Plan, code string) error {
	key := code + " " + p.Campaign
	d.mu.Lock()
	known := d.ruled[key]
	d.mu.Unlock()
	if known {
		return nil
	}
	bank, err := d.bank(code)
	if err != nil {
		return err
	}
	err = bank.EnvelopeRules(ctx, institution.EnvelopeRules{
		Campaign: p.Campaign, Hash: p.Hash, Title: p.Title, FromMS: p.FromMS, UntilMS: p.UntilMS,
		Channels: p.Channels, Merchants: p.Merchants, Stores: p.Stores, Categories: p.Categories,
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.ruled[key] = true
	d.mu.Unlock()
	return nil
}

// offerBatch places orders and tells the winners. Each row succeeds or is put off by
// itself; where the institution does not answer, all are put off.
func (d *Desk) offerBatch(ctx context.Context, p Plan, code string, rows []Issued) error {
	bank, err := d.bank(code)
	if err != nil {
		return err
	}
	phones, failed := d.phones(ctx, p.Campaign, rows)
	var orders []institution.EnvelopeOrder
	for i, e := range rows {
		if failed[i] == "" {
			orders = append(orders, institution.EnvelopeOrder{
				Envelope: e.ID, Campaign: p.Campaign, Claimant: Claimant(p.Campaign, phones[i]), Amount: e.Face, Threshold: e.Threshold,
			})
		}
	}
	words := map[string]institution.EnvelopeWord{}
	if len(orders) > 0 {
		answers, err := bank.OrderEnvelopes(ctx, orders)
		for i := range rows {
			if err != nil && failed[i] == "" {
				failed[i] = err.Error()
			}
		}
		for _, w := range answers {
			words[w.Envelope] = w
		}
	}
	parallel(len(rows), func(i int) {
		if failed[i] != "" {
			return
		}
		if w := words[rows[i].ID]; w.Status != institution.Success {
			failed[i] = "order: " + string(w.Status) + " " + w.Reason
		} else if err := d.cfg.SMS.Send(ctx, phones[i], p.message(rows[i], d.nowMS())); err != nil {
			failed[i] = "message: " + err.Error()
		}
	})
	return d.offered(ctx, p, rows, failed)
}

// phones are those of rows, and why some have none.
func (d *Desk) phones(ctx context.Context, campaign string, rows []Issued) (phones, failed []string) {
	tickets := make([][32]byte, len(rows))
	for i, e := range rows {
		tickets[i] = e.Ticket
	}
	known, err := d.cfg.People.Phones(ctx, campaign, tickets)
	phones, failed = make([]string, len(rows)), make([]string, len(rows))
	for i, t := range tickets {
		switch phone, ok := known[t]; {
		case err != nil:
			failed[i] = "phone: " + err.Error()
		case !ok:
			failed[i] = "phone: not in the registration"
		default:
			phones[i] = phone
		}
	}
	return phones, failed
}

// offered keeps how a batch ended.
func (d *Desk) offered(ctx context.Context, p Plan, rows []Issued, failed []string) error {
	var err error
	now := d.nowMS()
	for i := range rows {
		if failed[i] != "" {
			rows[i] = d.retry(rows[i], failed[i])
			continue
		}
		if rows[i].Envelope, err = rows[i].Offer(); err != nil {
			return err
		}
		rows[i].OfferedMS, rows[i].NextMS, rows[i].Tries, rows[i].Detail = now, 0, 0, ""
		if now >= p.ClaimUntilMS {
			rows[i].NextMS = p.UntilMS // not to be withdrawn before
		}
	}
	return d.write(ctx, rows, Reserved)
}

// message tells a winner what to do; who can claim it is decided by her phone, so the
// message holds no secret.
func (p Plan) message(e Issued, nowMS int64) pos.Text {
	claim := p.ClaimUntilMS
	if nowMS >= claim {
		claim = p.UntilMS
	}
	day := func(ms int64) string { return time.UnixMilli(ms).In(pos.Shanghai()).Format("01-02 15:04") }
	var coupon pos.Text
	if e.Threshold > 0 {
		coupon = pos.Text{ZH: fmt.Sprintf("(单笔满 ¥%s 可用)", e.Threshold), EN: fmt.Sprintf(" (for a payment of ¥%s or more)", e.Threshold)}
	}
	return pos.Text{
		ZH: fmt.Sprintf("%s:恭喜中签数字人民币红包 ¥%s%s。请于 %s 前在 %s 开立或打开数字人民币钱包领取,%s 至 %s 使用,不可转让。",
			p.Title.ZH, e.Face, coupon.ZH, day(claim), e.Institution, day(p.FromMS), day(p.UntilMS)),
		EN: fmt.Sprintf("%s: you have won a digital-yuan envelope of ¥%s%s. Open your wallet at %s before %s to claim it; spend it from %s to %s. Not transferable.",
			p.Title.EN, e.Face, coupon.EN, e.Institution, day(claim), day(p.FromMS), day(p.UntilMS)),
	}
}

// parallel runs work for 0 to n-1, some at a time.
func parallel(n int, work func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(n, maxParallel) {
		wait.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}

// claims reads what came into wallets, at every institution of the campaigns.
func (d *Desk) claims(ctx context.Context, all []Issuance) (bool, error) {
	var codes []string
	for _, is := range all {
		if is.Standing != Reclaimed {
			codes = append(codes, is.Institutions...)
		}
	}
	slices.Sort(codes)
	return d.each(slices.Compact(codes), func(code string) (bool, error) {
		bank, err := d.bank(code)
		if err != nil {
			return false, err
		}
		var after int64
		if err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
			after, err = tx.Feed(ctx, code)
			return err
		}); err != nil {
			return false, err
		}
		page, err := bank.EnvelopeClaims(ctx, after, institution.MaxOrders)
		if err != nil || len(page) == 0 {
			return false, err
		}
		return true, d.cfg.Store.Write(ctx, func(tx Tx) error { return take(ctx, tx, code, after, page) })
	})
}

// take books a page of claims and moves the cursor, unless another process has.
func take(ctx context.Context, tx Tx, code string, after int64, page []institution.EnvelopeClaim) error {
	if now, err := tx.Feed(ctx, code); err != nil || now != after {
		return err
	}
	var rows []Issued
	var items []ledger.Item
	for _, c := range page {
		e, found, err := tx.Envelope(ctx, c.Envelope)
		if err != nil {
			return err
		}
		if !found || e.Institution != code || e.State == Recalled {
			if err := tx.Audit(ctx, code, "envelope_claim_refused", c.Envelope, "unknown, or withdrawn before"); err != nil {
				return err
			}
			continue
		}
		if e.Wallet = c.Wallet; e.ClaimedMS == 0 { // else a payment was quicker than this list
			if e.State == Reserved || e.State == Offered {
				e.State = Claimed
			}
			e.ClaimedMS = c.AtMS
			items = append(items, ledger.Item{Transaction: ledger.Claimed(e.part(e.Face), pos.DateOf(time.UnixMilli(c.AtMS), 0))})
		}
		e.NextMS, e.Tries, e.Detail = 0, 0, ""
		rows = append(rows, e)
	}
	if err := postAll(ctx, tx, items); err != nil {
		return err
	}
	if err := tx.PutEnvelopes(ctx, rows); err != nil {
		return err
	}
	return tx.PutFeed(ctx, code, page[len(page)-1].N)
}

// postAll posts all or nothing.
func postAll(ctx context.Context, tx Tx, items []ledger.Item) error {
	refused, err := ledger.PostAll(ctx, tx, items)
	return errors.Join(append(refused, err)...)
}
