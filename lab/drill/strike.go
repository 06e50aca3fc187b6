package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dcpos/pos"
)

// Strike is what happens to a program.
type Strike string

// The strikes. A cut forgets what was not synced, then the program is killed.
const (
	AgentKill  Strike = "agent_kill"
	CentreKill Strike = "centre_kill"
	AgentCut   Strike = "agent_cut"
	CentreCut  Strike = "centre_cut"
)

// striker strikes at random moments of a running load.
type striker struct {
	site *Site
	book *Notebook
	dice *rand.Rand
	acks int // heard when the last strike was over
}

// The moments of strikes: after so many answers that moved money, or so long without
// one, and a random moment more.
const (
	strikeAcks     = 4
	strikePatience = 1500 * time.Millisecond
	strikeMoment   = 300 * time.Millisecond
)

// strike waits for a random moment, strikes, starts the program again, and asks what
// it still knows. An error means that the drill cannot go on.
func (k *striker) strike(ctx context.Context, kind Strike) error {
	enough := k.acks + k.dice.IntN(strikeAcks+1)
	for began := time.Now(); k.book.Acks() < enough && time.Since(began) < strikePatience; {
		pause(ctx, time.Millisecond)
	}
	pause(ctx, time.Duration(k.dice.Int64N(int64(strikeMoment))))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	switch kind {
	case AgentKill, AgentCut:
		err = k.agent(ctx, k.site.Tills[k.dice.IntN(len(k.site.Tills))], kind == AgentCut)
	case CentreKill, CentreCut:
		err = k.centre(ctx, kind == CentreCut)
	}
	k.acks = k.book.Acks()
	return err
}

func (k *striker) agent(ctx context.Context, t *Till, cut bool) error {
	before := k.told(t)
	if cut {
		if err := t.Disk.Cut(); err != nil {
			return err
		}
	}
	if err := k.kill(&t.Program, cut); err != nil {
		return err
	}
	if cut {
		if err := t.Disk.Remount(ctx); err != nil {
			return err
		}
	}
	if err := t.Restart(ctx); err != nil {
		return fmt.Errorf("restart %s: %w", t.Name, err)
	}
	t.Recall(ctx, k.book, before)
	return nil
}

// Recall asks the till for payments that it had spoken of, and notes what it has lost
// and where it contradicts itself.
func (t *Till) Recall(ctx context.Context, book *Notebook, before []Said) {
	for _, said := range before {
		p, err := t.Payment(ctx, said.Payment.ID)
		switch {
		case err == nil:
			book.Heard(t, said, p)
		case CodeOf(err) == pos.ErrNotFound:
			book.Find("%s lost payment %s, which it had called %s", t.Name, said.Payment.ID, said.Payment.State)
		default:
			book.Find("%s does not tell of payment %s, which it had called %s: %v", t.Name, said.Payment.ID, said.Payment.State, err)
		}
	}
}

// kill ends a program. After a cut it may have ended by itself: its disk failed.
func (k *striker) kill(p *Program, cut bool) error {
	err := p.Kill()
	if err != nil && !cut {
		k.book.Find("%v", err)
	}
	return nil
}

// toldMax bounds how many payments are asked for after each strike; the end of the
// drill asks for all.
const toldMax = 25

// told is what the till's clients were told of late, and a few older words.
func (k *striker) told(t *Till) []Said {
	var own []Said
	for _, said := range k.book.All() {
		if said.Till == t {
			own = append(own, said)
		}
	}
	recent := own[max(0, len(own)-toldMax):]
	old := own[:len(own)-len(recent)]
	out := append([]Said(nil), recent...)
	for range min(5, len(old)) {
		out = append(out, old[k.dice.IntN(len(old))])
	}
	return out
}

// centre strikes the centre. While it is down its ledger is read: what tills were told
// is paid must be there already, and what it receipted must be kept.
func (k *striker) centre(ctx context.Context, cut bool) error {
	before := k.book.All()
	receipted, err := k.site.Marks(ctx)
	if err != nil {
		return err
	}
	c := k.site.Centre
	if cut {
		if err := c.Disk.Cut(); err != nil {
			return err
		}
	}
	if err := k.kill(&c.Program, cut); err != nil {
		return err
	}
	if cut {
		if err := c.Disk.Remount(ctx); err != nil {
			return err
		}
	}
	k.site.Recall(ctx, k.book, before, receipted)
	if err := k.site.StartCentre(ctx); err != nil {
		return fmt.Errorf("restart the centre: %w", err)
	}
	return nil
}

// Mark is what a till was told that it may forget.
type Mark struct {
	Till   *Till
	Outbox pos.Outbox
}

// Marks asks every till how far the centre has receipted its journal.
func (s *Site) Marks(ctx context.Context) (marks []Mark, err error) {
	for _, t := range s.Tills {
		st, err := t.Status(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("status of %s", t.Name), err)
		}
		marks = append(marks, Mark{t, st.Outbox})
	}
	return marks, nil
}

// Recall reads the ledger, also of a centre that is down, and notes what it has lost:
// payments that a till has called paid by the centre's word, and entries that the
// centre has receipted. Before is what was heard when the centre still ran.
func (s *Site) Recall(ctx context.Context, book *Notebook, before []Said, receipted []Mark) {
	l, err := s.Ledger(ctx)
	if err != nil {
		book.Find("read the ledger: %v", err)
		return
	}
	if !l.Balanced {
		book.Find("the ledger does not balance: %d, %v", l.Sum, l.Wrong)
	}
	all, twice := l.ByKey()
	if len(twice) > 0 {
		book.Find("transactions with one key: %v", twice)
	}
	for _, m := range receipted {
		if epoch, kept := l.Kept(m.Till.ID); epoch == m.Outbox.Epoch && kept < m.Outbox.Receipted {
			book.Find("the centre lost entries of %s: it keeps %d, it had receipted %d", m.Till.Name, kept, m.Outbox.Receipted)
		}
	}
	for _, said := range before {
		p := said.Payment
		if p.State != pos.Paid && p.State != pos.Credited && !p.LatePaid {
			continue
		}
		if t, ok := all[entryKey(p)]; !ok || len(t.Postings) == 0 {
			book.Find("the centre lost payment %s, of which it had said %s", p.ID, p.State)
		}
		for id, r := range said.Refunds {
			if _, ok := all["refund:"+id]; !ok && r.State == pos.RefundRefunded {
				book.Find("the centre lost refund %s, of which it had said %s", id, r.State)
			}
		}
	}
}
