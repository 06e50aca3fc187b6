package payment

import (
	"context"
	"fmt"

	"dcpos/pos"
)

// The centre's own index of (wallet, counter). A wallet signs one statement under each of its
// counters; a second one, from whichever till, in whichever order and however late, proves a double
// spending. Of the statements under a counter one at most is with its institution at any time: the
// others wait. The institution's yes ends them as conflicts, its no lets the next one go. So one is
// credited at most, and where the institution honours any, one is, whatever came first.

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
	Evidence []byte // of what is apart; else it is with the payment
	AtMS     int64  // when it was first seen here
}

func signed(l looked, r Record, apart bool, nowMS int64) Signed {
	s := Signed{
		Institution: l.wallet.Institution, Wallet: l.wallet.Serial, Counter: l.said.Counter, Statement: l.statement,
		Payment: r.ID, Terminal: r.Terminal, Amount: l.said.Challenge.Amount, Apart: apart, AtMS: nowMS,
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
			r.NextMS, r.Detail = 0, "waits: payment "+other.ID.String()+" was signed under the same counter"
		}
	}
	return r, nil, nil
}

func spentBy(other Record) error {
	return pos.NewError(pos.ErrEvidenceSeen, fmt.Errorf("payment %s at %s was credited under the same counter", other.ID, other.Terminal))
}

// put keeps a statement and gives the others under its counter. The first time that there are
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
	if err := t.PutSigned(ctx, s); err != nil || len(rivals) == 0 {
		return rivals, err
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
// one that came first is asked about.
func (d *Desk) ended(ctx context.Context, t *turn, r Record) error {
	rivals, err := t.Rivals(ctx, r.ID)
	if err != nil {
		return err
	}
	for _, id := range rivals {
		other, found, err := t.Payment(ctx, id)
		if err != nil {
			return err
		}
		if !found || other.State != pos.AcceptedEvidence || other.NextMS > 0 {
			continue
		}
		credited := r.State == pos.Credited
		if credited {
			if other, err = d.dispute(ctx, t, other, spentBy(r)); err != nil {
				return err
			}
		} else {
			other.NextMS, other.Detail = t.now, ""
		}
		other.UpdatedMS = t.now
		if err := t.PutPayment(ctx, other); err != nil || !credited {
			return err
		}
	}
	return nil
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
