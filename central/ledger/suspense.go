package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dcpos/pos"
)

// Decision is what a person finds about money in suspense.
type Decision string

// The decisions.
const (
	DecideCredit   Decision = "credit"    // it is real: the merchant gets it
	DecideWriteOff Decision = "write_off" // it never was: the posting is undone
	DecideRetry    Decision = "retry"     // of late money: its institution is asked for the refund once more
	DecidePayOut   Decision = "pay_out"   // of late money: the customer got it back otherwise
)

// Text names the decision for a person.
func (d Decision) Text() pos.Text {
	switch d {
	case DecideCredit:
		return pos.Text{ZH: "确认入账给商户", EN: "credit the merchant"}
	case DecideWriteOff:
		return pos.Text{ZH: "冲销(不成立)", EN: "write off: it never was"}
	case DecideRetry:
		return pos.Text{ZH: "再次请求退款", EN: "ask for the refund once more"}
	case DecidePayOut:
		return pos.Text{ZH: "已用其他方式退给顾客", EN: "the customer got it back otherwise"}
	}
	return pos.Text{ZH: string(d), EN: string(d)}
}

// Held is one transaction whose money waits in suspense: of a fork's second branch, of entries that a salvage
// file brought without those before them, of evidence in conflict, or late money whose refund was declined.
type Held struct {
	Transaction
	Terminal string
	Merchant string
	Amount   pos.Money // what the merchant would get; negative for a refund
	PostedMS int64
	Proposal *Proposal // open; nil before somebody proposed
}

// Payment is the id of the payment or refund that the transaction is of.
func (h Held) Payment() string { return h.Key[strings.LastIndexByte(h.Key, ':')+1:] }

// Conflict reports evidence in conflict, such as a wallet's that has spent its counter twice.
func (h Held) Conflict() bool { return kindOf(h.Key) == "conflict" }

// Late reports late money that its institution would not give back.
func (h Held) Late() bool { return strings.HasPrefix(h.Key, lateKey) }

// Decisions are those that fit.
func (h Held) Decisions() []Decision {
	if h.Late() {
		return []Decision{DecideRetry, DecidePayOut}
	}
	return []Decision{DecideCredit, DecideWriteOff}
}

// settle is what the decision posts.
func (h Held) settle(d Decision, date pos.Date) Transaction {
	switch {
	case h.Late():
		return PaidOutLate(h.Transaction, h.Merchant, date)
	case h.Conflict() && d == DecideCredit:
		return CreditConflict(h.Transaction, h.Terminal, h.Merchant, date)
	case h.Conflict():
		return WriteOffConflict(h.Transaction, h.Terminal, date)
	case d != DecideCredit:
		return WrittenOff(h.Transaction, date)
	case strings.HasPrefix(h.Key, ForkKey("evidence:")): // not honoured by the institution yet
		return Credit(h.Transaction, h.Terminal, Pending(h.Merchant), date)
	}
	return Credit(h.Transaction, h.Terminal, Merchant(h.Merchant), date)
}

// Proposal is one person's finding that another has to confirm.
type Proposal struct {
	Number   int64
	Key      string
	Decision Decision
	Reason   string
	By       string
	AtMS     int64
}

// SuspenseTx is what deciding needs of a writing transaction.
type SuspenseTx interface {
	Tx
	// Held finds what waits under a key; found is false when nothing does any more.
	Held(ctx context.Context, key string) (h Held, found bool, err error)
	// AppendProposal opens a proposal.
	AppendProposal(ctx context.Context, p Proposal) error
	// CloseProposal ends one, with who did and whether it was confirmed.
	CloseProposal(ctx context.Context, number int64, by string, confirmed bool) error
	// RetryLate asks the institution of late money for its refund once more, under an id of its own.
	RetryLate(ctx context.Context, h Held, by string) error
	NowMS() int64
	Audit(ctx context.Context, actor, what, subject, detail string) error
}

// Suspense keeps what waits for a person.
type Suspense interface {
	Write(ctx context.Context, fn func(tx SuspenseTx) error) error
	// Waiting lists what waits, the oldest first.
	Waiting(ctx context.Context, limit int) ([]Held, error)
}

// maxReason bounds why.
const maxReason = 300

// Propose notes what a person finds about money in suspense; nothing moves yet. pos.ErrNotFound when nothing
// waits under the key, pos.ErrKeyConflict while another proposal is open.
func Propose(ctx context.Context, s Suspense, key string, d Decision, reason, by string) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("say why, in at most %d bytes", maxReason))
	}
	return s.Write(ctx, func(tx SuspenseTx) error {
		h, err := held(ctx, tx, key)
		if err != nil {
			return err
		}
		if !slices.Contains(h.Decisions(), d) {
			return pos.FieldError(pos.ErrBadRequest, "decision", fmt.Errorf("%.32q: want one of %v", d, h.Decisions()))
		}
		if h.Proposal != nil {
			return pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("%s proposed %s already", h.Proposal.By, h.Proposal.Decision))
		}
		if err := tx.AppendProposal(ctx, Proposal{Key: key, Decision: d, Reason: reason, By: by, AtMS: tx.NowMS()}); err != nil {
			return fmt.Errorf("propose for %s: %w", key, err)
		}
		return tx.Audit(ctx, by, "suspense_proposed", h.Terminal, fmt.Sprintf("%s %s %s: %s", key, h.Amount, d, reason))
	})
}

// Confirm carries out the open proposal: the money leaves suspense in the same commit. by must be another person
// than who proposed, else pos.ErrForbidden. date is the day of the posting.
func Confirm(ctx context.Context, s Suspense, key, by string, date pos.Date) error {
	return s.Write(ctx, func(tx SuspenseTx) error {
		h, err := proposed(ctx, tx, key)
		if err != nil {
			return err
		}
		if h.Proposal.By == by {
			return pos.NewError(pos.ErrForbidden, fmt.Errorf("%s proposed it: another person has to confirm", by))
		}
		if h.Proposal.Decision == DecideRetry {
			err = tx.RetryLate(ctx, h, by)
		} else {
			_, err = Post(ctx, tx, h.settle(h.Proposal.Decision, date))
		}
		if err != nil {
			return err
		}
		if err := tx.CloseProposal(ctx, h.Proposal.Number, by, true); err != nil {
			return fmt.Errorf("close proposal for %s: %w", key, err)
		}
		return tx.Audit(ctx, by, "suspense_decided", h.Terminal,
			fmt.Sprintf("%s %s %s, proposed by %s: %s", key, h.Amount, h.Proposal.Decision, h.Proposal.By, h.Proposal.Reason))
	})
}

// Reject ends the open proposal; the money stays. Whoever proposed may withdraw it so.
func Reject(ctx context.Context, s Suspense, key, by string) error {
	return s.Write(ctx, func(tx SuspenseTx) error {
		h, err := proposed(ctx, tx, key)
		if err != nil {
			return err
		}
		if err := tx.CloseProposal(ctx, h.Proposal.Number, by, false); err != nil {
			return fmt.Errorf("close proposal for %s: %w", key, err)
		}
		return tx.Audit(ctx, by, "suspense_rejected", h.Terminal, key+" "+string(h.Proposal.Decision))
	})
}

func held(ctx context.Context, tx SuspenseTx, key string) (Held, error) {
	h, found, err := tx.Held(ctx, key)
	if err == nil && !found {
		err = pos.FieldError(pos.ErrNotFound, "key", fmt.Errorf("nothing waits under %.80q", key))
	}
	return h, err
}

func proposed(ctx context.Context, tx SuspenseTx, key string) (Held, error) {
	h, err := held(ctx, tx, key)
	if err == nil && h.Proposal == nil {
		err = pos.FieldError(pos.ErrNotFound, "key", errors.New("nobody has proposed anything"))
	}
	return h, err
}
