package checkout

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"dcpos/agent/health"
	"dcpos/pos"
)

// LastVerdict is the number of the last verdict that was applied, for the question
// what is new.
func (t *Till) LastVerdict() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.verdict
}

// ApplyVerdict journals a decision of the centre, whose signature the caller has
// verified, and shows it. Numbers come without gaps: one that was applied is a
// success and changes nothing, one beyond the next is an error. A verdict that does
// not fit the journal changes nothing, is passed over and shown as a warning, so that
// it does not hold up those after it.
func (t *Till) ApplyVerdict(ctx context.Context, d pos.Verdict) error {
	t.verdicts.Lock()
	defer t.verdicts.Unlock()
	last := t.LastVerdict()
	switch {
	case d.Number <= last:
		return nil
	case d.Number != last+1:
		return fmt.Errorf("verdict %d follows %d: gap", d.Number, last)
	}
	var before pos.Payment
	var misfit error
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		p, ok, err := v.Payment(d.Payment)
		if err != nil {
			return nil, fmt.Errorf("read payment %s: %w", d.Payment, err)
		}
		if !ok {
			misfit = fmt.Errorf("verdict %d names payment %s, which is not here", d.Number, d.Payment)
			return nil, nil
		}
		before = p
		drafts, err := t.verdictDrafts(p, d)
		misfit = err
		if d.Moved != nil && len(drafts) > 0 {
			return t.owing(v, p, d.Moved.To, drafts)
		}
		return drafts, nil
	})
	if err != nil {
		return fmt.Errorf("apply verdict %d: %w", d.Number, err)
	}
	if misfit != nil {
		t.log.ErrorContext(ctx, "verdict does not fit the journal", "payment", d.Payment.String(), "err", misfit)
		t.health.Set(health.VerdictCondition(), misfit.Error())
	}
	if err := t.c.Journal.SetMeta(ctx, metaVerdict, strconv.FormatUint(d.Number, 10)); err != nil {
		return fmt.Errorf("keep number of verdict %d: %w", d.Number, err)
	}
	t.mu.Lock()
	t.verdict = d.Number
	t.mu.Unlock()
	if misfit == nil {
		t.tellVerdict(ctx, before, d)
	}
	return nil
}

// verdictDrafts are the entries that a verdict still lacks in the journal. What is
// there already, from an earlier try or because the till asked by itself, is left out.
func (t *Till) verdictDrafts(p pos.Payment, d pos.Verdict) ([]pos.Draft, error) {
	var drafts []pos.Draft
	if m := d.Moved; m != nil && p.State != m.To {
		if err := pos.CheckMove(p.State, m.To); err != nil {
			return nil, err
		}
		moved := *m
		moved.From, moved.Source = p.State, sourceCentre
		drafts = append(drafts, t.moved(p, pos.OperatorSystem, moved))
		p.State = m.To
	}
	if l := d.Late; l != nil && !p.LatePaid {
		if p.State != pos.Abandoned {
			return nil, pos.NewError(pos.ErrIllegalMove, fmt.Errorf("late payment of a payment that is %s", p.State))
		}
		drafts = append(drafts, t.draft(pos.KindLatePaid, p.ID, pos.OperatorSystem, *l))
		p.LatePaid = true
	}
	if d.Refund != nil {
		more, err := t.verdictRefund(p, *d.Refund)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, more...)
	}
	return drafts, nil
}

func (t *Till) verdictRefund(p pos.Payment, m pos.RefundMoved) ([]pos.Draft, error) {
	r, known := p.Refund(m.RefundID)
	if known && (r.State == m.To || (r.State == pos.RefundUnknown && m.To == pos.RefundAsking)) {
		return nil, nil
	}
	var drafts []pos.Draft
	if !known {
		if err := p.CheckRefund(m.Amount); err != nil {
			return nil, err
		}
		if m.Key == "" {
			m.Caller, m.Key = sourceCentre, m.RefundID.String()
		}
		begin := m
		begin.From, begin.To, begin.Reason, begin.RefundTxn, begin.Date, begin.Envelope, begin.Recalled = "", pos.RefundAsking, "", "", "", 0, 0
		drafts = append(drafts, t.draft(pos.KindRefundMoved, p.ID, pos.OperatorSystem, begin))
		r.State = pos.RefundAsking
		if m.To == pos.RefundAsking || m.To == pos.RefundIntent {
			return drafts, nil
		}
	} else if r.State == pos.RefundIntent && m.To == pos.RefundRefunded {
		asked := m
		asked.From, asked.To, asked.Envelope, asked.Recalled = pos.RefundIntent, pos.RefundAsking, 0, 0
		drafts = append(drafts, t.draft(pos.KindRefundMoved, p.ID, pos.OperatorSystem, asked))
		r.State = pos.RefundAsking
	}
	if err := pos.CheckRefundMove(r.State, m.To); err != nil {
		return nil, err
	}
	m.From = r.State
	return append(drafts, t.draft(pos.KindRefundMoved, p.ID, pos.OperatorSystem, m)), nil
}

// tellVerdict shows what the cashier could not have seen.
func (t *Till) tellVerdict(ctx context.Context, before pos.Payment, d pos.Verdict) {
	p, err := t.Payment(ctx, d.Payment)
	if err != nil {
		return
	}
	if d.Late != nil && !before.LatePaid {
		t.notify(p.ID, latePaidText(p))
	}
	if d.Refund != nil && d.Refund.Auto && d.Refund.To == pos.RefundRefunded {
		t.notify(p.ID, lateRefundedText(p, d.Refund.Amount))
	}
	if d.Moved != nil && before.State == pos.Stored && p.State != pos.Stored {
		t.after(ctx, p.ID, before.State)
	} else if d.Moved != nil && before.State != p.State {
		t.notify(p.ID, pos.Text{
			ZH: "支付 " + nameOf(p) + ":" + p.State.Text().ZH, EN: "payment " + nameOf(p) + ": " + p.State.Text().EN,
		})
		t.after(ctx, p.ID, before.State)
	}
}

// nameOf is how a notice calls a payment.
func nameOf(p pos.Payment) string { return p.OrderID + " (" + p.ID.Short() + ")" }

func latePaidText(p pos.Payment) pos.Text {
	return pos.Text{
		ZH: "已放弃的支付 " + nameOf(p) + " 事后扣款 " + p.Amount.String() + " 元,正在自动退款",
		EN: "given-up payment " + nameOf(p) + " was paid late, " + p.Amount.String() + " yuan; it is being refunded by itself",
	}
}

func lateRefundedText(p pos.Payment, amount pos.Money) pos.Text {
	return pos.Text{
		ZH: "迟到的支付 " + nameOf(p) + " 已自动退款 " + amount.String() + " 元",
		EN: "late payment " + nameOf(p) + ": " + amount.String() + " yuan were refunded by itself",
	}
}

// reminded is how long after a late payment or a loss a restart still tells of it.
const reminded = 24 * time.Hour

// remind tells again of late payments and of losses: the stop may have come before anybody read it.
func (t *Till) remind(ctx context.Context) error {
	list, err := t.c.Journal.Payments(ctx, Query{States: []pos.State{pos.Abandoned, pos.Declined}})
	if err != nil {
		return err
	}
	for _, p := range slices.Backward(list) { // they come newest first
		if t.clock.Now().Sub(time.UnixMilli(p.UpdatedMS)) > reminded {
			continue
		}
		if p.Lost() {
			t.tellForwarded(p)
		}
		if !p.LatePaid {
			continue
		}
		t.notify(p.ID, latePaidText(p))
		for _, r := range p.Refunds {
			if r.Auto && r.State == pos.RefundRefunded {
				t.notify(p.ID, lateRefundedText(p, r.Amount))
			}
		}
	}
	return nil
}

// HeardCentre records a time that the centre has signed and that was underway for at most
// trip; below 0 nobody knows how long. The caller has verified the signature. It is kept,
// so that a till that starts offline knows what time it cannot be before.
func (t *Till) HeardCentre(ctx context.Context, centreMS int64, trip time.Duration) error {
	if !t.clock.HeardLate(centreMS, trip) {
		return nil
	}
	t.mu.Lock()
	due := centreMS-t.centreKept >= 60_000
	if due {
		t.centreKept = centreMS
	}
	t.mu.Unlock()
	if !due {
		return nil
	}
	return t.keepClock(ctx)
}
