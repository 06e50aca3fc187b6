package pos

import "fmt"

// Order is a label of the caller under which attempts to pay are counted. Its
// scope is (merchant, caller, business date, order id).
type Order struct {
	ID       string    `json:"id"`
	Amount   Money     `json:"amount"`
	Attempts []Payment `json:"attempts"` // oldest first
}

// Held is the sum of the attempts that took money or may have.
func (o Order) Held() Money {
	var sum Money
	for _, p := range o.Attempts {
		if p.State.Holds() {
			sum += p.Amount // bounded: CheckAttempt keeps it at or below Amount, MaxAmount at most
		}
	}
	return sum
}

// Unknown lists the attempts whose result is not known.
func (o Order) Unknown() []PaymentID {
	var ids []PaymentID
	for _, p := range o.Attempts {
		if p.State == Unknown {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// CheckAttempt refuses a further attempt of the amount: at most one open one,
// the paid sum never above the order, and beside an unknown one only when a
// cashier confirmed it (the confirmation is journaled before the attempt).
func (o Order) CheckAttempt(orderAmount, amount Money, confirmed bool) error {
	if len(o.Attempts) >= MaxAttempts {
		return FieldError(ErrTooMany, "order_id", fmt.Errorf("order has %d attempts", len(o.Attempts)))
	}
	if len(o.Attempts) > 0 && o.Amount != orderAmount {
		return FieldError(ErrKeyConflict, "order_amount",
			fmt.Errorf("order was opened with %s, now %s", o.Amount, orderAmount))
	}
	for _, p := range o.Attempts {
		if p.State == Unknown && !confirmed {
			return FieldError(ErrOrderUnknown, "order_id", fmt.Errorf("payment %s is unknown", p.ID))
		}
		if p.State.Open() && p.State != Unknown {
			return FieldError(ErrOrderOpen, "order_id", fmt.Errorf("payment %s is %s", p.ID, p.State))
		}
	}
	if amount > orderAmount-o.Held() {
		return FieldError(ErrOrderPaid, "amount",
			fmt.Errorf("%s of %s is open, asked %s", orderAmount-o.Held(), orderAmount, amount))
	}
	return nil
}
