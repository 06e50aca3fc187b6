package drill

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"dcpos/pos"
)

// Notebook is what the till's clients were ever told. It lives in the process of the
// drill, which nobody kills, so it remembers what a till or a centre may have lost.
type Notebook struct {
	mu       sync.Mutex
	keys     map[string]string // caller's key → payment id
	said     map[string]*Said
	order    []string // ids as they were first heard
	findings []string
	acks     int
	refusals map[pos.Code]int
}

// Said is the last word about one payment, and the strongest.
type Said struct {
	Till    *Till
	Key     string
	Payment pos.Payment // as it was last heard
	Refunds map[string]pos.Refund
	Left    bool // the customer left before the end
}

// NewNotebook is an empty notebook.
func NewNotebook() *Notebook {
	return &Notebook{keys: map[string]string{}, said: map[string]*Said{}, refusals: map[pos.Code]int{}}
}

// maxFindings bounds a report: a broken build finds the same a thousand times.
const maxFindings = 100

// Find notes something that must not be.
func (n *Notebook) Find(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.findings) < maxFindings {
		n.findings = append(n.findings, fmt.Sprintf(format, args...))
	}
}

// Findings lists what must not be; empty is a passed drill.
func (n *Notebook) Findings() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.findings)
}

// refuse counts an answer that was no success.
func (n *Notebook) refuse(code pos.Code) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusals[code]++
}

// Acks counts the answers so far that called money paid, accepted or refunded.
func (n *Notebook) Acks() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acks
}

// Last is the last word about a payment; the zero Said when there was none.
func (n *Notebook) Last(id pos.PaymentID) Said {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.said[id.String()]
	if !ok {
		return Said{}
	}
	out := *s
	out.Refunds = maps.Clone(s.Refunds)
	return out
}

// All lists every payment that was heard of, in order.
func (n *Notebook) All() []Said {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]Said, 0, len(n.order))
	for _, id := range n.order {
		s := *n.said[id]
		s.Refunds = maps.Clone(s.Refunds)
		all = append(all, s)
	}
	return all
}

// money reports that a state tells the customer that money moved or will.
func money(s pos.State) bool { return s == pos.Paid || s == pos.AcceptedEvidence || s == pos.Credited }

// Heard notes an answer about a payment. before is the last word when the question
// left: a later answer may go on from there and never back.
func (n *Notebook) Heard(t *Till, before Said, p pos.Payment) {
	for _, wrong := range contradictions(before, p) {
		n.Find("%s payment %s (%s): %s", t.Name, p.ID, p.Key, wrong)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	id := p.ID.String()
	if other, ok := n.keys[p.Key]; ok && other != id && len(n.findings) < maxFindings {
		n.findings = append(n.findings, fmt.Sprintf("%s: key %s names payments %s and %s", t.Name, p.Key, other, id))
	}
	n.keys[p.Key] = id
	s, ok := n.said[id]
	if !ok {
		s = &Said{Till: t, Key: p.Key, Refunds: map[string]pos.Refund{}}
		n.said[id] = s
		n.order = append(n.order, id)
	}
	if p.LastSeq < s.Payment.LastSeq { // an older answer that came later
		return
	}
	if money(p.State) && !money(s.Payment.State) {
		n.acks++
	}
	s.Payment = p
	for _, r := range p.Refunds {
		if r.State == pos.RefundRefunded && s.Refunds[r.ID.String()].State != pos.RefundRefunded {
			n.acks++
		}
		s.Refunds[r.ID.String()] = r
	}
}

// left notes that the customer gave the payment up.
func (n *Notebook) left(id pos.PaymentID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.said[id.String()]; ok {
		s.Left = true
	}
}

// contradictions compares an answer with what was said before it was asked for.
func contradictions(before Said, p pos.Payment) (wrong []string) {
	was := before.Payment
	if was.ID.IsZero() {
		return nil
	}
	if p.Amount != was.Amount || p.Mode != was.Mode || p.OrderID != was.OrderID || p.Terminal != was.Terminal {
		wrong = append(wrong, fmt.Sprintf("is another payment now: %+v, was %+v", p, was))
	}
	if p.LastSeq < was.LastSeq {
		wrong = append(wrong, fmt.Sprintf("entry %d was told, now the last is %d", was.LastSeq, p.LastSeq))
	}
	if !reachable(was.State, p.State) {
		wrong = append(wrong, fmt.Sprintf("was called %s, is called %s", was.State, p.State))
	}
	for id, r := range before.Refunds {
		i := slices.IndexFunc(p.Refunds, func(o pos.Refund) bool { return o.ID.String() == id })
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("refund %s (%s) is gone", id, r.State))
		case r.State.Final() && p.Refunds[i].State != r.State:
			wrong = append(wrong, fmt.Sprintf("refund %s was called %s, is called %s", id, r.State, p.Refunds[i].State))
		}
	}
	return wrong
}

// reachable reports that the states lead from one to the other.
func reachable(from, to pos.State) bool {
	if from == to {
		return true
	}
	for _, next := range from.Next() {
		if reachable(next, to) {
			return true
		}
	}
	return false
}
