package issuance

import (
	"errors"
	"fmt"
	"time"

	"dcpos/pos"
)

// State is where an envelope stands.
type State string

// The states. An envelope is earmarked money, not a token.
const (
	Reserved      State = "reserved"       // drawn for a winner
	Offered       State = "offered"        // the winner was told
	Claimed       State = "claimed"        // in the wallet, untouched
	PartlySpent   State = "partly_spent"   // some of it is left
	Spent         State = "spent"          // nothing is left
	RecallPending State = "recall_pending" // over; waits for late offline tills before money goes back
	Recalled      State = "recalled"       // what was left is back at the fund provider
)

// States lists every state once.
func States() []State {
	return []State{Reserved, Offered, Claimed, PartlySpent, Spent, RecallPending, Recalled}
}

// Next lists the states that may follow s.
func (s State) Next() []State {
	switch s {
	case Reserved:
		return []State{Offered, RecallPending}
	case Offered:
		return []State{Claimed, RecallPending}
	case Claimed:
		return []State{PartlySpent, Spent, RecallPending}
	case PartlySpent:
		return []State{Claimed, PartlySpent, Spent, RecallPending}
	case Spent:
		return []State{Claimed, PartlySpent, RecallPending} // refunds, and the end of the window
	case RecallPending:
		return []State{RecallPending, Recalled} // in-window evidence that came late, refunds
	case Recalled:
		return []State{Recalled, RecallPending} // refunds after the recall are recalled at once; late payments that people allow
	}
	return nil
}

// Text is what a person reads.
func (s State) Text() pos.Text {
	switch s {
	case Reserved:
		return pos.Text{ZH: "已中签", EN: "drawn"}
	case Offered:
		return pos.Text{ZH: "待领取", EN: "to be claimed"}
	case Claimed:
		return pos.Text{ZH: "已领取", EN: "claimed"}
	case PartlySpent:
		return pos.Text{ZH: "部分使用", EN: "partly spent"}
	case Spent:
		return pos.Text{ZH: "已用完", EN: "spent"}
	case RecallPending:
		return pos.Text{ZH: "待收回", EN: "to be recalled"}
	case Recalled:
		return pos.Text{ZH: "已收回", EN: "recalled"}
	}
	return pos.Text{ZH: string(s), EN: string(s)}
}

// Envelope is earmarked money. Face = Left + Spent + Recalled at every moment.
type Envelope struct {
	ID       string
	Campaign string
	State    State
	Face     pos.Money
	Left     pos.Money // can be spent, or waits for its recall
	Spent    pos.Money
	Recalled pos.Money
	From     time.Time // the spend window, half-open
	Until    time.Time
	// Threshold makes it a coupon: it is taken whole or not at all, from a payment of so
	// much or more. 0: free.
	Threshold pos.Money
}

// Reserve makes an envelope for a winner.
func Reserve(id, campaign string, face pos.Money, from, until time.Time) (Envelope, error) {
	if id == "" || face <= 0 || face > pos.MaxAmount || !from.Before(until) {
		return Envelope{}, pos.FieldError(pos.ErrBadRequest, "envelope", errors.New("want id, face and window"))
	}
	return Envelope{ID: id, Campaign: campaign, State: Reserved, Face: face, Left: face, From: from, Until: until}, nil
}

// Check refuses an envelope whose parts do not make its face, or do not fit its state.
func (e Envelope) Check() error {
	sum, err := pos.Sum(e.Left, e.Spent, e.Recalled)
	if err != nil {
		return err
	}
	if sum != e.Face || e.Left < 0 || e.Spent < 0 || e.Recalled < 0 {
		return fmt.Errorf("envelope %s: %s left, %s spent, %s recalled of %s", e.ID, e.Left, e.Spent, e.Recalled, e.Face)
	}
	ok := false
	switch e.State {
	case Reserved, Offered, Claimed:
		ok = e.Left == e.Face
	case PartlySpent:
		ok = e.Left > 0 && e.Spent > 0 && e.Recalled == 0
	case Spent:
		ok = e.Spent == e.Face
	case RecallPending:
		ok = true // after Restore some of it was recalled before
	case Recalled:
		ok = e.Left == 0
	}
	if !ok {
		return fmt.Errorf("envelope %s is %s with %s left, %s spent, %s recalled", e.ID, e.State, e.Left, e.Spent, e.Recalled)
	}
	return nil
}

// Offer tells the winner.
func (e Envelope) Offer() (Envelope, error) { return e.move(Reserved, Offered) }

// Claim puts it into the wallet; not after its window.
func (e Envelope) Claim(at time.Time) (Envelope, error) {
	if !at.Before(e.Until) {
		return e, pos.NewError(pos.ErrExpired, fmt.Errorf("envelope %s ended %s", e.ID, e.Until))
	}
	return e.move(Offered, Claimed)
}

func (e Envelope) move(from, to State) (Envelope, error) {
	if e.State != from {
		return e, illegal(e, to)
	}
	e.State = to
	return e, nil
}

func illegal(e Envelope, to State) error {
	return pos.NewError(pos.ErrIllegalMove, fmt.Errorf("envelope %s may not go from %s to %s", e.ID, e.State, to))
}

// Spendable is how much of it a payment made at the moment may take.
func (e Envelope) Spendable(at time.Time) pos.Money {
	if (e.State == Claimed || e.State == PartlySpent) && !at.Before(e.From) && at.Before(e.Until) {
		return e.Left
	}
	return 0
}

// Takes is how much of it goes into a payment of the price made at the moment: all that fits,
// or of a coupon all or nothing.
func (e Envelope) Takes(price pos.Money, at time.Time) pos.Money {
	left := e.Spendable(at)
	if e.Threshold > 0 && (price < e.Threshold || left < e.Face) {
		return 0
	}
	return min(left, price)
}

// Spend takes an amount for a payment made at the moment.
func (e Envelope) Spend(amount pos.Money, at time.Time) (Envelope, error) {
	if amount <= 0 || amount > e.Spendable(at) {
		return e, pos.FieldError(pos.ErrInsufficient, "envelope",
			fmt.Errorf("%s of envelope %s, which is %s with %s", amount, e.ID, e.State, e.Left))
	}
	return e.spend(amount), nil
}

// SpendLate takes an amount for a payment whose evidence proves the moment to lie in the
// window, but which came after it. The money must not have been recalled; where it was,
// people decide, and Restore comes first.
func (e Envelope) SpendLate(amount pos.Money, at time.Time) (Envelope, error) {
	if e.State != RecallPending || amount <= 0 || amount > e.Left || at.Before(e.From) || !at.Before(e.Until) {
		return e, pos.FieldError(pos.ErrInsufficient, "envelope",
			fmt.Errorf("%s of envelope %s, which is %s with %s", amount, e.ID, e.State, e.Left))
	}
	e.Left -= amount
	e.Spent += amount
	return e, nil
}

func (e Envelope) spend(amount pos.Money) Envelope {
	e.Left -= amount
	e.Spent += amount
	e.State = PartlySpent
	if e.Left == 0 {
		e.State = Spent
	}
	return e
}

// Return gives an amount of a refund back to the envelope. In its window it can be
// spent again; after it the amount waits for the recall, or is recalled at once when
// that was done. recall is what goes to the fund provider now.
func (e Envelope) Return(amount pos.Money, at time.Time) (after Envelope, recall pos.Money, err error) {
	if amount <= 0 || amount > e.Spent {
		return e, 0, pos.FieldError(pos.ErrRefundTooMuch, "envelope",
			fmt.Errorf("%s of %s that envelope %s has spent", amount, e.Spent, e.ID))
	}
	e.Spent -= amount
	if e.State == Recalled {
		e.Recalled += amount
		return e, amount, nil
	}
	e.Left += amount
	switch {
	case e.State == RecallPending || !at.Before(e.Until):
		e.State = RecallPending
	case e.Left == e.Face:
		e.State = Claimed
	default:
		e.State = PartlySpent
	}
	return e, 0, nil
}

// Expire ends it at or after its window: what is left waits for late offline tills.
func (e Envelope) Expire(at time.Time) (Envelope, error) {
	if at.Before(e.Until) {
		return e, pos.NewError(pos.ErrIllegalMove, fmt.Errorf("envelope %s lasts until %s", e.ID, e.Until))
	}
	if e.State == RecallPending || e.State == Recalled {
		return e, illegal(e, RecallPending)
	}
	e.State = RecallPending
	return e, nil
}

// Restore puts money into a recalled envelope again, for a payment that was made in its
// window; the fund gives it back.
func (e Envelope) Restore(amount pos.Money) (Envelope, error) {
	if e.State != Recalled || amount <= 0 || amount > e.Recalled {
		return e, pos.FieldError(pos.ErrInsufficient, "envelope",
			fmt.Errorf("%s of %s that envelope %s gave back", amount, e.Recalled, e.ID))
	}
	e.State = RecallPending
	e.Recalled -= amount
	e.Left += amount
	return e, nil
}

// Recall gives what is left back to the fund provider.
func (e Envelope) Recall() (after Envelope, recall pos.Money, err error) {
	if e.State != RecallPending {
		return e, 0, illegal(e, Recalled)
	}
	recall = e.Left
	e.State, e.Left = Recalled, 0
	e.Recalled += recall
	return e, recall, nil
}
