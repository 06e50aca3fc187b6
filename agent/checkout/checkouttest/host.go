package checkouttest

import (
	"context"
	"errors"
	"sync"
	"time"

	"dcpos/agent/checkout"
	"dcpos/pos"
)

// Fate is what happens to a question.
type Fate int

// The fates.
const (
	Answered   Fate = iota // done and answered
	Denied                 // declined by the institution
	InProcess              // pending: the institution is at it and done at the next query
	LostAfter              // done, but the answer is lost
	LostBefore             // lost on the way there: never done
	NotSent                // provably never left
	Hanging                // no answer before the deadline, and done
)

// book is what the centre and the institution know of one payment.
type book struct {
	amount    pos.Money
	state     pos.State // Asking while in process, Paid, Declined
	reason    pos.Code
	qr        string
	until     int64
	abandoned bool
	pays      int
	refunds   map[pos.RefundID]pos.RefundState
}

// Host is a checkout.Host with books of its own: what was debited is debited,
// whether the till learns it or not.
type Host struct {
	mu        sync.Mutex
	fates     func(verb string) Fate
	connected bool
	books     map[pos.PaymentID]*book
	asked     map[string]int
}

var _ checkout.Host = (*Host)(nil)

// NewHost makes a connected centre.
func NewHost() *Host {
	return &Host{connected: true, books: map[pos.PaymentID]*book{}, asked: map[string]int{}}
}

// SetFates has f asked for what happens to every question; nil answers everything. f
// must not call the host.
func (h *Host) SetFates(f func(verb string) Fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fates = f
}

// Connect makes the link come or go.
func (h *Host) Connect(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.connected = on
}

// Asked counts the questions of a verb: pay, present, query, abandon, refund.
func (h *Host) Asked(verb string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[verb]
}

// State is how the payment stands in the books; empty when it never arrived.
func (h *Host) State(id pos.PaymentID) pos.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.books[id]; b != nil {
		return b.state
	}
	return ""
}

// Pays counts how often money was asked for the payment.
func (h *Host) Pays(id pos.PaymentID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.books[id]; b != nil {
		return b.pays
	}
	return 0
}

// Refunds counts the payment's refunds in the books.
func (h *Host) Refunds(id pos.PaymentID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	if b := h.books[id]; b != nil {
		for _, s := range b.refunds {
			if s == pos.RefundRefunded {
				n++
			}
		}
	}
	return n
}

// Abandoned reports that the till has told that it gave up.
func (h *Host) Abandoned(id pos.PaymentID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.books[id]
	return b != nil && b.abandoned
}

// Settle decides a payment that is in process, as a customer does who scans a QR.
func (h *Host) Settle(id pos.PaymentID, to pos.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.books[id]; b != nil && b.state == pos.Asking {
		b.state = to
	}
}

// Connected implements checkout.Host.
func (h *Host) Connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connected
}

var errLost = errors.New("the answer is lost")

// fate counts the question and says what happens to it; h.mu is held.
func (h *Host) fate(verb string) (Fate, error) {
	h.asked[verb]++
	if !h.connected {
		return NotSent, pos.NewError(pos.ErrNotSent, errors.New("not connected"))
	}
	f := Answered
	if h.fates != nil {
		f = h.fates(verb)
	}
	if f == NotSent {
		return f, pos.NewError(pos.ErrNotSent, errors.New("no responders"))
	}
	if f == LostBefore {
		return f, errLost
	}
	return f, nil
}

// Pay implements checkout.Host.
func (h *Host) Pay(ctx context.Context, ask pos.AskPay) (pos.Answer, error) {
	h.mu.Lock()
	f, err := h.fate("pay")
	if err != nil {
		h.mu.Unlock()
		return pos.Answer{}, err
	}
	b := h.book(ask.Payment, ask.Amount)
	b.pays++
	if b.state == "" {
		b.state = pos.Paid
		if ask.ExpiresMS < time.Now().UnixMilli() {
			b.state, b.reason = pos.Declined, pos.ErrExpired
		}
		if f == Denied {
			b.state, b.reason = pos.Declined, pos.ErrInsufficient
		}
		if f == InProcess && b.state == pos.Paid {
			b.state = pos.Asking
		}
	}
	a := b.answer(ask.Payment)
	if b.state == pos.Asking {
		b.state = pos.Paid
	}
	h.mu.Unlock()
	return deliver(ctx, f, a)
}

func deliver(ctx context.Context, f Fate, a pos.Answer) (pos.Answer, error) {
	if f == Hanging {
		<-ctx.Done()
		return pos.Answer{}, ctx.Err()
	}
	if f == LostAfter {
		return pos.Answer{}, errLost
	}
	return a, nil
}

func (h *Host) book(id pos.PaymentID, amount pos.Money) *book {
	b := h.books[id]
	if b == nil {
		b = &book{amount: amount, refunds: map[pos.RefundID]pos.RefundState{}}
		h.books[id] = b
	}
	return b
}

func (b *book) answer(id pos.PaymentID) pos.Answer {
	a := pos.Answer{Payment: id, Outcome: pos.OutcomePending, QR: b.qr, ValidUntilMS: b.until, Reason: b.reason}
	switch b.state {
	case pos.Paid:
		a.Outcome, a.Institution, a.InstitutionTxn, a.SettlementDate = pos.OutcomePaid, "ICBC", id.String(), "2000-01-01"
	case pos.Declined:
		a.Outcome = pos.OutcomeDeclined
	case pos.Created, pos.Asking, pos.Unknown, pos.Abandoned, pos.Cancelled, pos.AcceptedEvidence,
		pos.Credited, pos.Refused, pos.Conflict, pos.Stored:
	}
	return a
}

// Present implements checkout.Host.
func (h *Host) Present(ctx context.Context, ask pos.AskPresent) (pos.Answer, error) {
	h.mu.Lock()
	f, err := h.fate("present")
	if err != nil {
		h.mu.Unlock()
		return pos.Answer{}, err
	}
	b := h.book(ask.Payment, ask.Amount)
	if b.state == "" {
		b.state, b.qr = pos.Asking, "dcpos-lab:pay:ICBC:"+ask.Payment.Short()
		b.until = time.Now().UnixMilli() + ask.ValidMS
		if f == Denied {
			b.state, b.reason = pos.Declined, pos.ErrInstitution
		}
	}
	a := b.answer(ask.Payment)
	h.mu.Unlock()
	return deliver(ctx, f, a)
}

// Query implements checkout.Host. A payment that never arrived is declined as expired.
func (h *Host) Query(ctx context.Context, ask pos.AskQuery) (pos.Answer, error) {
	h.mu.Lock()
	f, err := h.fate("query")
	if err != nil {
		h.mu.Unlock()
		return pos.Answer{}, err
	}
	b := h.books[ask.Payment]
	a := pos.Answer{Payment: ask.Payment, Refund: ask.Refund, Outcome: pos.OutcomeDeclined, Reason: pos.ErrExpired}
	if b != nil {
		a = b.answer(ask.Payment)
	}
	if !ask.Refund.IsZero() {
		a.Refund, a.Outcome = ask.Refund, pos.OutcomeDeclined
		if b != nil && b.refunds[ask.Refund] == pos.RefundRefunded {
			a.Outcome = pos.OutcomeRefunded
		}
	}
	h.mu.Unlock()
	return deliver(ctx, f, a)
}

// Abandon implements checkout.Host.
func (h *Host) Abandon(ctx context.Context, ask pos.AskAbandon) (pos.Answer, error) {
	h.mu.Lock()
	f, err := h.fate("abandon")
	if err != nil {
		h.mu.Unlock()
		return pos.Answer{}, err
	}
	b := h.book(ask.Payment, 0)
	b.abandoned = true
	a := b.answer(ask.Payment)
	h.mu.Unlock()
	return deliver(ctx, f, a)
}

// Refund implements checkout.Host.
func (h *Host) Refund(ctx context.Context, ask pos.AskRefund) (pos.Answer, error) {
	h.mu.Lock()
	f, err := h.fate("refund")
	if err != nil {
		h.mu.Unlock()
		return pos.Answer{}, err
	}
	b := h.book(ask.Payment, ask.Amount)
	a := pos.Answer{Payment: ask.Payment, Refund: ask.Refund, Outcome: pos.OutcomeRefunded, InstitutionTxn: ask.Refund.String()}
	if f == Denied && b.refunds[ask.Refund] == "" {
		b.refunds[ask.Refund] = pos.RefundDeclined
	}
	if b.refunds[ask.Refund] == pos.RefundDeclined {
		a.Outcome, a.Reason = pos.OutcomeDeclined, pos.ErrInstitution
	} else {
		b.refunds[ask.Refund] = pos.RefundRefunded
	}
	h.mu.Unlock()
	return deliver(ctx, f, a)
}
