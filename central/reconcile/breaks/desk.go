package breaks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// RuleActor is who does what no person does.
const RuleActor = "rule"

// Config of a Desk.
type Config struct {
	Store    Store
	Payments Payments // nil: refunds are refused
	// FourEyes is the amount above which a second person decides.
	FourEyes pos.Money
	// Part is about how many cases one transaction of Absorb writes; 0 is 500.
	Part int
	Log  *slog.Logger
	Now  func() time.Time
}

// Desk is where breaks are worked on. It is safe for concurrent use.
type Desk struct{ cfg Config }

// New returns a Desk.
func New(cfg Config) *Desk {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Part == 0 {
		cfg.Part = 500
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Desk{cfg: cfg}
}

// FourEyes is the amount above which a second person decides.
func (d *Desk) FourEyes() pos.Money { return d.cfg.FourEyes }

// Person acts. Approves says that the account may decide on what others propose.
type Person struct {
	Name     string
	Approves bool
}

// turn is one transaction with its moment and what it leaves in the history.
type turn struct {
	ctx     context.Context //nolint:containedctx // lives as long as one transaction
	tx      Tx
	now     int64
	today   pos.Date
	events  []pos.BreakEvent
	touched map[string]bool
}

func (d *Desk) turn(ctx context.Context, tx Tx) turn {
	now := d.cfg.Now()
	return turn{ctx: ctx, tx: tx, now: now.UnixMilli(), today: pos.DateOf(now, 0), touched: map[string]bool{}}
}

func (t *turn) note(c *pos.BreakCase, actor, what, detail string) {
	t.touched[c.ID] = true
	c.ChangedMS = t.now
	const most = 400
	if len(detail) > most {
		detail = strings.ToValidUTF8(detail[:most], "") + "…"
	}
	t.events = append(t.events, pos.BreakEvent{Case: c.ID, AtMS: t.now, Actor: actor, What: what, State: c.State, Detail: detail})
}

func (t *turn) move(c *pos.BreakCase, actor, what string, to pos.BreakState, detail string) {
	c.State = to
	t.note(c, actor, what, detail)
}

// reopen gives a case that had ended, or waits, back to people.
func (t *turn) reopen(c *pos.BreakCase, why string) {
	if c.State.Final() || c.State == pos.BreakCarried {
		c.Assignee, c.Cause, c.Note, c.Until = "", "", "", ""
		t.move(c, RuleActor, "reopened", pos.BreakOpen, why)
	}
}

// act runs fn on one case and writes the case, its history and the trail of operations.
func (d *Desk) act(ctx context.Context, id string, by Person, fn func(t *turn, c *pos.BreakCase) error) (pos.BreakCase, error) {
	var out pos.BreakCase
	err := d.cfg.Store.BreakTx(ctx, func(tx Tx) error {
		t := d.turn(ctx, tx)
		c, found, err := tx.CaseRow(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return pos.FieldError(pos.ErrNotFound, "break", fmt.Errorf("no break %.64q", id))
		}
		if err := fn(&t, &c); err != nil {
			return err
		}
		out = c
		if !t.touched[id] {
			return nil
		}
		if err := errors.Join(tx.PutCases(ctx, []pos.BreakCase{c}), tx.AppendEvents(ctx, t.events)); err != nil {
			return err
		}
		for _, e := range t.events {
			if err := tx.Audit(ctx, by.Name, "break_"+e.What, "break:"+id, e.Detail); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// said checks a text that a person wrote.
func said(field, text string) error {
	if strings.TrimSpace(text) == "" || len(text) > 300 {
		return no(pos.ErrBadRequest, field, "请用 1 到 300 字节说明", "say it in 1 to 300 bytes")
	}
	return nil
}

// no refuses, and says in both languages what to do.
func no(code pos.Code, field, zh, en string) error {
	e := pos.FieldError(code, field, errors.New(en))
	e.Hint = pos.Text{ZH: zh, EN: en}
	return e
}

func wrongState(c *pos.BreakCase, zh, en string) error {
	return no(pos.ErrIllegalMove, "state", "该差异"+c.State.Text().ZH+":"+zh, "the break is "+c.State.Text().EN+": "+en)
}

// Assign gives a case to somebody.
func (d *Desk) Assign(ctx context.Context, id, to string, by Person) (pos.BreakCase, error) {
	if len(to) < 2 || len(to) > 32 {
		return pos.BreakCase{}, no(pos.ErrBadRequest, "assignee", "请填写账号名", "want the name of an account")
	}
	return d.act(ctx, id, by, func(t *turn, c *pos.BreakCase) error {
		switch {
		case c.State.Final():
			return wrongState(c, "无须处理", "there is nothing to do")
		case c.Assignee == to && c.State != pos.BreakOpen && c.State != pos.BreakCarried:
			return nil
		}
		c.Assignee = to
		next := pos.BreakAssigned
		if c.State == pos.BreakExplained {
			next = pos.BreakExplained
		}
		t.move(c, by.Name, "assigned", next, to)
		return nil
	})
}

// Explain notes why the break is there. Only what is assigned can be explained.
func (d *Desk) Explain(ctx context.Context, id string, cause pos.BreakCause, note string, by Person) (pos.BreakCase, error) {
	if !validCause(cause) {
		return pos.BreakCase{}, noCause(cause)
	}
	if err := said("note", note); err != nil {
		return pos.BreakCase{}, err
	}
	return d.act(ctx, id, by, func(t *turn, c *pos.BreakCase) error {
		if c.State != pos.BreakAssigned && c.State != pos.BreakExplained {
			return wrongState(c, "请先分派", "assign it first")
		}
		c.Cause, c.Note = cause, note
		t.move(c, by.Name, "explained", pos.BreakExplained, cause.Text().Both()+": "+note)
		return nil
	})
}

// noCause lists the causes that there are.
func noCause(cause pos.BreakCause) error {
	var zh, en []string
	for _, c := range pos.BreakCauses() {
		zh, en = append(zh, string(c)+" "+c.Text().ZH), append(en, string(c))
	}
	return no(pos.ErrBadRequest, "cause", fmt.Sprintf("%.32q 不是原因,可用:%s", cause, strings.Join(zh, "、")),
		fmt.Sprintf("%.32q is no cause: want one of %s", cause, strings.Join(en, ", ")))
}

// mostCarried bounds how long a person may let a case wait.
const mostCarried = 31

// CarryOver lets an explained case wait for its partner until a date.
func (d *Desk) CarryOver(ctx context.Context, id string, until pos.Date, by Person) (pos.BreakCase, error) {
	return d.act(ctx, id, by, func(t *turn, c *pos.BreakCase) error {
		if c.State != pos.BreakExplained {
			return wrongState(c, "请先查明原因", "explain it first")
		}
		if _, err := pos.ParseDate(string(until)); err != nil || until < t.today || c.Age(until) > mostCarried {
			return no(pos.ErrBadRequest, "until", fmt.Sprintf("应为今日起、清算日后 %d 天内的日期", mostCarried),
				fmt.Sprintf("want a date from today, at most %d days after %s", mostCarried, c.Date))
		}
		if _, ok := lineOf(c); !ok {
			return wrongState(c, "只有单边缺少的明细可以等待对方", "only a line that one side lacks can wait for its partner")
		}
		live, err := t.liveRemedy(c.ID)
		if err != nil || live != nil {
			return errors.Join(err, busy(live))
		}
		c.Until = until
		t.move(c, by.Name, "carried", pos.BreakCarried, "至 until "+string(until))
		return nil
	})
}

func (t *turn) liveRemedy(id string) (*pos.Remedy, error) {
	all, err := t.tx.Remedies(t.ctx, id)
	for i := range all {
		if all[i].State.Live() {
			return &all[i], err
		}
	}
	return nil, err
}

func busy(r *pos.Remedy) error {
	if r == nil {
		return nil
	}
	return no(pos.ErrIllegalMove, "remedy", "已有处理方式"+r.Kind.Text().ZH+":"+r.State.Text().ZH, "there is a remedy ("+r.Kind.Text().EN+"): "+r.State.Text().EN)
}

// Propose says how a case is put right. Up to the limit of four eyes it is done at once, above
// it a second person decides. The same proposal again is the same remedy, also when that has ended the
// case; another one is pos.ErrIllegalMove.
func (d *Desk) Propose(ctx context.Context, id string, kind pos.RemedyKind, reason string, by Person) (pos.Remedy, error) {
	if err := said("reason", reason); err != nil {
		return pos.Remedy{}, err
	}
	if kind == pos.RemedyRefund && d.cfg.Payments == nil {
		return pos.Remedy{}, no(pos.ErrIllegalMove, "kind", "此处不能退款", "refunds are not available here")
	}
	var r pos.Remedy
	_, err := d.act(ctx, id, by, func(t *turn, c *pos.BreakCase) error {
		all, err := t.tx.Remedies(ctx, id)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(all, func(r pos.Remedy) bool { return r.State.Live() }); i >= 0 {
			if r = all[i]; r.Kind != kind {
				return busy(&r)
			}
			return nil
		}
		switch last := len(all) - 1; {
		case c.State.Final() && last >= 0 && all[last].State == pos.RemedyDone && all[last].Kind == kind:
			r = all[last] // the answer was lost
			return nil
		case c.State.Final():
			return wrongState(c, "无须处理", "there is nothing to do")
		case c.State != pos.BreakExplained:
			return wrongState(c, "请先分派并查明原因", "assign and explain it first")
		}
		if err := fits(kind, c); err != nil {
			return err
		}
		r = pos.Remedy{
			ID: fmt.Sprintf("%s-%d", id, len(all)+1), Case: id, Kind: kind, State: pos.RemedyProposed, Amount: c.Outstanding(),
			Reason: reason, ProposedBy: by.Name, AtMS: t.now, ChangedMS: t.now,
		}
		t.note(c, by.Name, "remedy_proposed", fmt.Sprintf("%s ¥%s: %s", kind.Text().Both(), r.Amount, reason))
		if max(r.Amount, -r.Amount) > d.cfg.FourEyes {
			return t.tx.PutRemedy(ctx, r)
		}
		return t.carryOut(c, &r, by.Name)
	})
	if err != nil || r.State != pos.RemedyExecuting {
		return r, err
	}
	return d.refund(ctx, r)
}

// Decide lets a second person approve or reject a proposal. Whoever proposed may only take it back.
func (d *Desk) Decide(ctx context.Context, remedy string, approve bool, reason string, by Person) (pos.Remedy, error) {
	if err := said("reason", reason); err != nil {
		return pos.Remedy{}, err
	}
	id, _, _ := strings.Cut(remedy, "-")
	var r pos.Remedy
	_, err := d.act(ctx, id, by, func(t *turn, c *pos.BreakCase) error {
		var found bool
		var err error
		if r, found, err = t.tx.RemedyRow(ctx, remedy); err != nil {
			return err
		}
		switch {
		case !found || r.Case != c.ID:
			return pos.FieldError(pos.ErrNotFound, "remedy", fmt.Errorf("no remedy %.64q", remedy))
		case approve && (!by.Approves || by.Name == r.ProposedBy):
			return no(pos.ErrForbidden, "remedy", "须由提出人以外、有审批权限的第二人决定", "a second person with the right to approve decides")
		case !approve && !by.Approves && by.Name != r.ProposedBy:
			return pos.NewError(pos.ErrForbidden, nil)
		case approve && r.DecidedBy == by.Name && (r.State == pos.RemedyDone || r.State == pos.RemedyExecuting):
			return nil // again
		case r.State != pos.RemedyProposed:
			return busy(&r)
		}
		if !approve {
			r.State, r.DecidedBy, r.Detail, r.ChangedMS = pos.RemedyRejected, by.Name, reason, t.now
			t.note(c, by.Name, "remedy_rejected", reason)
			return t.tx.PutRemedy(ctx, r)
		}
		if c.State != pos.BreakExplained || c.Outstanding() != r.Amount {
			return wrongState(c, "提出处理后已有变化,请驳回后重新提出", fmt.Sprintf("it has changed since %s was proposed (now %s): reject and propose again", r.Amount, c.Outstanding()))
		}
		if err := fits(r.Kind, c); err != nil {
			return err
		}
		r.DecidedBy = by.Name
		t.note(c, by.Name, "remedy_approved", reason)
		return t.carryOut(c, &r, by.Name)
	})
	if err != nil || r.State != pos.RemedyExecuting {
		return r, err
	}
	return d.refund(ctx, r)
}

// carryOut books a remedy, or notes that the payment room is to be asked.
func (t *turn) carryOut(c *pos.BreakCase, r *pos.Remedy, by string) error {
	r.ChangedMS = t.now
	if r.Kind == pos.RemedyRefund {
		r.State = pos.RemedyExecuting
		return t.tx.PutRemedy(t.ctx, *r)
	}
	if r.Kind == pos.RemedyComplete {
		known, err := t.tx.KnownMerchant(t.ctx, c.Merchant)
		if err != nil {
			return err
		}
		if !known {
			return no(pos.ErrIllegalMove, "merchant", "商户未在此登记:请追索或核销", fmt.Sprintf("merchant %.32q is not registered here: claim or write off", c.Merchant))
		}
		if done, err := t.completeSale(c, r, by); err != nil || done {
			return err
		}
	}
	tr := ledger.Adjusted("remedy:"+r.ID, c.Bank, c.Date, target(r.Kind, c), r.Amount, t.today)
	if _, err := ledger.Post(t.ctx, t.tx, tr); err != nil {
		return err
	}
	if r.Kind == pos.RemedyClaim {
		c.Claimed += r.Amount
	}
	r.State = pos.RemedyDone
	if err := t.tx.PutRemedy(t.ctx, *r); err != nil {
		return err
	}
	return t.close(c, r, by)
}

// close ends a case whose money is right, and opens it again if it is not.
func (t *turn) close(c *pos.BreakCase, r *pos.Remedy, by string) error {
	c.Booked += r.Amount
	if c.Outstanding() != 0 {
		t.move(c, by, "reopened", pos.BreakOpen, "处理期间金额已变化 its money changed while the remedy was under way")
		return nil
	}
	t.move(c, by, "remedied", ends(r.Kind), r.Kind.Text().Both())
	if c.Kind != pos.CreditMismatch {
		return nil
	}
	s, found, err := t.tx.Settlement(t.ctx, c.Bank, c.Date)
	if err != nil || !found {
		return err
	}
	s.State, s.ChangedMS = pos.SettlementSettled, t.now
	return t.tx.PutSettlement(t.ctx, s)
}

// refund asks the payment room and writes down what it says. A crash between the two is
// mended by Resume: the same remedy is the same refund.
func (d *Desk) refund(ctx context.Context, r pos.Remedy) (pos.Remedy, error) {
	c, _, _, found, err := d.cfg.Store.Case(ctx, r.Case)
	if err != nil || !found {
		return r, errors.Join(err, notFound(found, r.Case))
	}
	payment, err := pos.ParsePaymentID(c.Txn)
	word := RefundWord{State: pos.RefundDeclined, Reason: pos.ErrNotFound, Detail: "the line's id is no payment of ours"}
	if err == nil {
		word, err = d.cfg.Payments.RefundBreak(ctx, RefundOrder{
			ID: RefundID(r.ID, payment), Payment: payment, Amount: -r.Amount, Taken: c.Theirs,
			Source: ledger.SuspenseBreaks(c.Bank, c.Date), Operator: r.ProposedBy,
		})
		code := pos.CodeOf(err)
		if code == pos.ErrInternal || code == pos.ErrStorage {
			return r, err // not known: Resume asks again
		}
		if err != nil {
			word = RefundWord{State: pos.RefundDeclined, Reason: code, Detail: err.Error()}
		}
	}
	if !word.State.Final() {
		return r, nil
	}
	_, err = d.act(ctx, r.Case, Person{Name: RuleActor}, func(t *turn, c *pos.BreakCase) error {
		now, found, err := t.tx.RemedyRow(ctx, r.ID)
		if err != nil || !found {
			return errors.Join(err, notFound(found, r.ID))
		}
		if r = now; r.State != pos.RemedyExecuting {
			return nil
		}
		r.ChangedMS, r.Detail = t.now, word.Detail
		if word.State != pos.RefundRefunded {
			r.State = pos.RemedyFailed
			t.note(c, RuleActor, "remedy_failed", string(word.Reason)+" "+word.Detail)
			return t.tx.PutRemedy(ctx, r)
		}
		r.State = pos.RemedyDone
		if err := t.tx.PutRemedy(ctx, r); err != nil {
			return err
		}
		return t.close(c, &r, RuleActor)
	})
	return r, err
}

func notFound(found bool, id string) error {
	if found {
		return nil
	}
	return pos.FieldError(pos.ErrNotFound, "break", fmt.Errorf("no %.64q", id))
}

// Resume goes on with refunds that are under way. It is called at start and from time to time.
func (d *Desk) Resume(ctx context.Context) error {
	if d.cfg.Payments == nil {
		return nil
	}
	const atOnce = 100
	list, _, err := d.cfg.Store.Proposals(ctx, pos.RemedyExecuting, atOnce)
	for _, r := range list {
		_, again := d.refund(ctx, r)
		err = errors.Join(err, again)
	}
	return err
}

// resumeEvery is how often refunds that are under way are looked at.
const resumeEvery = 30 * time.Second

// Run resumes until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for {
		if err := d.Resume(ctx); err != nil && ctx.Err() == nil {
			d.cfg.Log.ErrorContext(ctx, "remedies under way", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
