package payment

import (
	"context"
	"fmt"
	"slices"

	"dcpos/pos"
)

// The centre's own index of (wallet, counter). A wallet signs one statement under each of its
// counters; a second one, from whichever till, in whichever order and however late, proves a double
// spending. Of the statements under a counter one at most is with its institution at any time: the
// others wait. The institution's yes ends them as conflicts, its no lets the next one go. So one is
// credited at most, and where the institution honours any, one is, whatever came first. What is
// held until people have decided about its envelopes stands aside: nobody waits for it, and
// nobody's end lets it go.

// Signed is one statement of a wallet under one of its counters.
type Signed struct {
	Institution string // that issued the wallet
	Wallet      string // the certificate's serial
	Counter     uint64
	Statement   []byte // dcep.Evidence.Statement
	Payment     pos.PaymentID
	Terminal    string
	Amount      pos.Money
	// Apart marks what only a fork's further branch or an island has: its money is in suspense, and
	// no institution is asked for it.
	Apart    bool
	Evidence []byte       // of what is apart; else it is with the payment
	AtMS     int64        // when it was first seen here
	SignedMS int64        // the till's clock in the challenge
	Class    int          // of the wallet, 1 to 4; 0: its certificate tells none
	Policy   uint64       // by which its till took it; 0: not told
	Time     pos.Interval // that its till could prove; the zero value: not told
}

func (s Signed) promise() Promise {
	return Promise{Payment: s.Payment, Terminal: s.Terminal, Amount: s.Amount, SignedMS: s.SignedMS, Class: s.Class, Policy: s.Policy}
}

func signed(l looked, r Record, apart bool, nowMS int64) Signed {
	s := Signed{
		Institution: l.wallet.Institution, Wallet: l.wallet.Serial, Counter: l.said.Counter, Statement: l.statement,
		Payment: r.ID, Terminal: r.Terminal, Amount: l.said.Challenge.Amount, Apart: apart, AtMS: nowMS,
		SignedMS: l.said.Challenge.AtMS, Class: l.wallet.Tier, Policy: l.policy, Time: l.time,
	}
	if apart {
		s.Evidence = r.Evidence
	}
	return s
}

// enter puts a payment's evidence into the index and says what is to be done with it: ask (r as it
// is), wait for a rival (NextMS 0), or nothing, because the counter has paid (why).
func (d *Desk) enter(ctx context.Context, t *turn, r Record, l looked) (out Record, why, err error) {
	if l.wallet.Serial == "" {
		return r, nil, nil
	}
	rivals, err := d.put(ctx, t, signed(l, r, false, t.now))
	if err != nil {
		return r, nil, err
	}
	for _, s := range rivals {
		if s.Apart {
			continue
		}
		other, _, err := t.Payment(ctx, s.Payment)
		switch {
		case err != nil:
			return r, nil, err
		case other.State == pos.Credited:
			return r, spentBy(other), nil
		case other.State == pos.AcceptedEvidence:
			held, err := t.Held(ctx, other.ID)
			if err != nil {
				return r, nil, err
			}
			if !held {
				r = r.waits(other.ID)
			}
		}
	}
	return r, nil, nil
}

// waits is the row while another one under its counter is with the institution.
func (r Record) waits(other pos.PaymentID) Record {
	r.NextMS, r.Detail = 0, "waits: payment "+other.String()+" was signed under the same counter"
	return r
}

func spentBy(other Record) error {
	return pos.NewError(pos.ErrEvidenceSeen, fmt.Errorf("payment %s at %s was credited under the same counter", other.ID, other.Terminal))
}

// put keeps a statement, weighs it against its wallet's class, tracks its wallet from store to store, and gives the others under its counter. The first time that there are
// others is written into the list of conflicts and into the audit trail.
func (d *Desk) put(ctx context.Context, t *turn, s Signed) (rivals []Signed, err error) {
	rivals, err = t.SignedUnder(ctx, s.Institution, s.Wallet, s.Counter)
	if err != nil {
		return nil, err
	}
	for i := range rivals {
		if string(rivals[i].Statement) == string(s.Statement) {
			known := rivals[i]
			rivals = append(rivals[:i:i], rivals[i+1:]...)
			if s.Apart || !known.Apart {
				return rivals, nil
			}
			s.AtMS = known.AtMS
			break
		}
	}
	if err := t.PutSigned(ctx, s); err != nil {
		return rivals, err
	}
	if !s.Apart { // the money of what is apart is in suspense: nobody has it
		if err := d.weigh(ctx, t, s); err != nil {
			return rivals, err
		}
		if err := d.track(ctx, t, s); err != nil {
			return rivals, err
		}
	}
	if len(rivals) == 0 {
		return nil, nil
	}
	fresh, err := t.AppendConflict(ctx, s.Institution, s.Wallet, s.Counter)
	if err != nil || !fresh {
		return rivals, err
	}
	d.cfg.Log.WarnContext(ctx, "wallet has spent a counter twice", "institution", s.Institution, "wallet", s.Wallet,
		"counter", s.Counter, "payment", s.Payment.String())
	return rivals, t.Audit(ctx, pos.OperatorSystem, "double_spend", s.Terminal, fmt.Sprintf("wallet %s of %s counter %d: %s and %s",
		s.Wallet, s.Institution, s.Counter, s.Payment, rivals[0].Payment))
}

// witness keeps what a further branch of a journal has of a wallet's statements. Its money is in
// suspense already.
func (d *Desk) witness(ctx context.Context, t *turn, e pos.Entry, l looked) error {
	genuine := l.err == nil && l.wallet.Serial != "" && l.said.Challenge.Terminal == e.Terminal && l.said.Challenge.Payment == e.Payment
	m := evidenceOf(e)
	if !genuine || m == nil {
		return nil
	}
	_, err := d.put(ctx, t, signed(l, Record{ID: e.Payment, Terminal: e.Terminal, Evidence: m.Evidence}, true, t.now))
	return err
}

// ended lets go on what waits behind r under its counter: as conflicts when r was credited, else the
// one that came first is asked about, unless another one is already.
func (d *Desk) ended(ctx context.Context, t *turn, r Record) error {
	open, err := t.open(ctx, r.ID)
	if err != nil {
		return err
	}
	if r.State == pos.Credited {
		return d.conflicts(ctx, t, open, r)
	}
	if slices.ContainsFunc(open, func(o Record) bool { return o.NextMS > 0 }) {
		return nil // its end is followed in turn
	}
	for _, other := range open {
		if held, err := t.Held(ctx, other.ID); err != nil {
			return err
		} else if held {
			continue
		}
		other.NextMS, other.Detail, other.UpdatedMS = t.now, "", t.now
		return t.PutPayment(ctx, other)
	}
	return nil
}

// open lists the payments under the counter of this one's that have no end yet, the first seen first.
func (t *turn) open(ctx context.Context, id pos.PaymentID) (open []Record, err error) {
	rivals, err := t.Rivals(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, rival := range rivals {
		other, found, err := t.Payment(ctx, rival)
		if err != nil {
			return nil, err
		}
		if found && other.State == pos.AcceptedEvidence {
			open = append(open, other)
		}
	}
	return open, nil
}

// conflicts ends what waits when r was credited. What people have refused meanwhile ends by itself (givenUp).
func (d *Desk) conflicts(ctx context.Context, t *turn, open []Record, r Record) error {
	for _, other := range open {
		if other.NextMS > 0 {
			continue
		}
		if err := t.LetGo(ctx, other.ID); err != nil {
			return err
		}
		other, err := d.dispute(ctx, t, other, spentBy(r))
		if err != nil {
			return err
		}
		other.UpdatedMS = t.now
		if err := t.PutPayment(ctx, other); err != nil {
			return err
		}
	}
	return nil
}

// Resume goes on with a held payment when two people have decided, within tx: refused, it ends in
// conflict; honoured, its institution is asked, after the payment under its counter that is with the
// institution already. A payment that has ended meanwhile, or is not held, stays as it is.
func Resume(ctx context.Context, tx Tx, nowMS int64, id pos.PaymentID, honour bool) error {
	t := &turn{Tx: tx, now: nowMS}
	r, found, err := t.Payment(ctx, id)
	if err != nil || !found || r.State != pos.AcceptedEvidence || r.NextMS > 0 {
		return err
	}
	r.NextMS, r.Detail, r.UpdatedMS = nowMS, "", nowMS
	if !honour {
		r.Reason = pos.ErrEnvelopeWindow
		return t.PutPayment(ctx, r)
	}
	open, err := t.open(ctx, id)
	if err != nil {
		return err
	}
	for _, other := range open {
		if other.NextMS > 0 {
			r = r.waits(other.ID)
		}
	}
	return t.PutPayment(ctx, r)
}

// index enters evidence that was taken up before there was an index: it changes no payment. more
// tells that there may be others.
func (d *Desk) index(ctx context.Context) (more bool, err error) {
	if d.cfg.Trust == nil {
		return false, nil
	}
	old, err := d.cfg.Store.Unindexed(ctx, batch)
	if err != nil || len(old) == 0 {
		return false, err
	}
	trust := d.cfg.Trust()
	all := make([]looked, len(old))
	for i, r := range old {
		all[i] = look(trust, r.Evidence)
	}
	err = d.turn(ctx, func(t *turn) error {
		for i, r := range old {
			if all[i].err == nil && all[i].wallet.Serial != "" {
				if _, err := d.put(ctx, t, signed(all[i], r, false, r.CreatedMS)); err != nil {
					return err
				}
			}
			if err := t.MarkIndexed(ctx, r.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return len(old) == batch, err
}
