package payment

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// looked is a wallet's statement after the centre has looked at it again, as the till should have.
type looked struct {
	said dcep.Evidence
	// wallet is whose signature it is; without a serial nobody's that this centre trusts, and
	// only the institution can tell.
	wallet    dcep.WalletCertificate
	statement []byte
	policy    uint64       // by which the till took it, as its journal says
	time      pos.Interval // in which the till took it, likewise
	err       error        // it is no evidence, or not signed by the wallet that it names
}

// look verifies evidence bytes. Whether the wallet is expired or revoked is its institution's to say:
// its counters count all the same.
func look(trust dcep.Trust, evidence []byte) (l looked) {
	if l.said, l.err = dcep.ParseEvidence(evidence); l.err != nil {
		l.err = pos.NewError(pos.ErrEvidence, l.err)
		return l
	}
	if l.statement, l.err = l.said.Statement(); l.err != nil {
		return l
	}
	trust.Revoked = nil
	wallet, err := dcep.VerifyEvidence(trust, l.said, time.UnixMilli(l.said.Challenge.AtMS))
	switch {
	case err == nil:
		l.wallet = wallet
	case pos.CodeOf(err) == pos.ErrEvidenceForged:
		l.err = err
	}
	return l
}

// lookAll looks at all evidence among the entries on all cores; signatures are the larger part of
// reading a journal. Without a Trust it looks at none.
func (d *Desk) lookAll(entries []Unread) map[int]*looked {
	if d.cfg.Trust == nil {
		return nil
	}
	trust := d.cfg.Trust()
	all := make(map[int]*looked)
	var mu sync.Mutex
	next := make(chan int)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				if m := evidenceOf(entries[i].Entry); m != nil {
					l := look(trust, m.Evidence)
					mu.Lock()
					all[i] = &l
					mu.Unlock()
				}
			}
		})
	}
	for i := range entries {
		if entries[i].Kind == pos.KindPaymentMoved {
			next <- i
		}
	}
	close(next)
	group.Wait()
	return all
}

// evidenceOf gives the body of an entry that takes evidence, nil of any other.
func evidenceOf(e pos.Entry) *pos.PaymentMoved {
	body, err := dcep.Body(e)
	if m, ok := body.(*pos.PaymentMoved); err == nil && ok && m.To == pos.AcceptedEvidence {
		return m
	}
	return nil
}

// doubt compares what the journal says with what the wallet has signed. Nil when nothing speaks
// against it.
func (d *Desk) doubt(l looked, e pos.Entry, m *pos.PaymentMoved, amount pos.Money) error {
	if l.err != nil {
		return l.err
	}
	c := l.said.Challenge
	switch {
	case c.Env != d.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("signed for %q", c.Env))
	case c.Terminal != e.Terminal:
		return pos.NewError(pos.ErrEvidenceOther, fmt.Errorf("signed for terminal %q", c.Terminal))
	case c.Payment != e.Payment:
		return pos.NewError(pos.ErrEvidenceReplay, fmt.Errorf("signed for payment %s", c.Payment))
	case c.Amount != amount:
		return pos.NewError(pos.ErrEvidenceAmount, fmt.Errorf("signed for %s, the journal says %s", c.Amount, amount))
	case l.said.Counter != m.Counter:
		return pos.NewError(pos.ErrEvidenceForged, fmt.Errorf("signed as number %d, the journal says %d", l.said.Counter, m.Counter))
	}
	return nil
}

// heedEvidence takes up a wallet's signed statement, to be submitted until the institution's word
// is final. Where the wallet has signed another one under the same counter, at most one is being
// asked about at any time (counter.go).
func (d *Desk) heedEvidence(ctx context.Context, t *turn, e pos.Entry, m *pos.PaymentMoved, l *looked) error {
	if _, found, err := t.Payment(ctx, e.Payment); err != nil || found {
		return err
	}
	r, err := unasked(ctx, t, e.Terminal, e.Payment, pos.AcceptedEvidence)
	if err != nil {
		return err
	}
	r.Mode, r.Institution, r.Evidence, r.Indexed = pos.Evidence, m.Institution, m.Evidence, l != nil
	if l != nil {
		why := d.doubt(*l, e, m, r.Amount)
		if why == nil {
			l.policy, l.time = m.Policy, proven(m)
			if r, why, err = d.enter(ctx, t, r, *l); err != nil {
				return err
			}
		}
		if why != nil {
			d.cfg.Log.WarnContext(ctx, "evidence in conflict", "terminal", e.Terminal, "payment", e.Payment.String(), "err", why)
			if r, err = d.dispute(ctx, t, r, why); err != nil {
				return err
			}
		}
	}
	if r.State == pos.AcceptedEvidence {
		if r, err = d.judgeEnvelopes(ctx, t, r, e, m); err != nil {
			return err
		}
	}
	return t.PutPayment(ctx, r)
}

// dispute ends an offline payment whose evidence is not what its till said, or whose counter paid
// another: the institution is not asked, the till is told, and a person decides.
func (d *Desk) dispute(ctx context.Context, t *turn, r Record, why error) (Record, error) {
	r.State, r.NextMS, r.Reason, r.Detail = pos.Conflict, 0, pos.CodeOf(why), why.Error()
	p, known, err := t.pos(ctx, r)
	if err != nil || !known {
		return r, err
	}
	if err := d.book(ctx, t, ledger.Conflicted(p.merchant, p.transit, p.Payment)); err != nil || p.state != pos.AcceptedEvidence {
		return r, err
	}
	return r, t.tell(ctx, r.Terminal, pos.Verdict{Payment: r.ID, Moved: &pos.PaymentMoved{
		From: pos.AcceptedEvidence, To: pos.Conflict, Reason: r.Reason, Source: "centre", Institution: r.Institution,
	}})
}
