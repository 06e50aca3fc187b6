package issuance

import (
	"fmt"
	"slices"
	"time"

	"dcpos/pos"
)

// Share is the part of a payment or a refund that belongs to one envelope.
type Share struct {
	Envelope string    `json:"envelope"`
	Amount   pos.Money `json:"amount"`
}

// Split says who paid: envelopes in the order of spending, and own money.
type Split struct {
	Shares []Share   `json:"shares,omitempty"`
	Own    pos.Money `json:"own"`
}

// Total is the sum of a split.
func (s Split) Total() pos.Money {
	sum := s.Own
	for _, share := range s.Shares {
		sum += share.Amount // bounded: the price at most
	}
	return sum
}

// Envelopes is the part of the envelopes.
func (s Split) Envelopes() pos.Money { return s.Total() - s.Own }

// SplitPayment divides a price: envelopes first, in the order given, then own money.
func SplitPayment(price pos.Money, at time.Time, envelopes ...Envelope) (Split, error) {
	if price <= 0 || price > pos.MaxAmount {
		return Split{}, pos.FieldError(pos.ErrBadRequest, "amount", fmt.Errorf("%d fen", price))
	}
	s := Split{Own: price}
	for _, e := range envelopes {
		take := min(s.Own, e.Takes(price, at))
		if e.Threshold > 0 && take < e.Face {
			take = 0 // the rest of the price does not hold a whole coupon
		}
		if take > 0 {
			s.Shares = append(s.Shares, Share{Envelope: e.ID, Amount: take})
			s.Own -= take
		}
	}
	return s, nil
}

// SplitRefund divides a refund of a payment of which refunded was given back before:
// own money first, then the envelopes, the one spent last first. Several refunds give
// the same in the end as one.
func SplitRefund(paid Split, refunded, amount pos.Money) (Split, error) {
	if refunded < 0 || amount <= 0 || amount > paid.Total()-refunded {
		return Split{}, pos.FieldError(pos.ErrRefundTooMuch, "amount",
			fmt.Errorf("%s of %s, %s was refunded before", amount, paid.Total(), refunded))
	}
	take := func(part pos.Money) pos.Money {
		before := min(refunded, part)
		refunded -= before
		now := min(amount, part-before)
		amount -= now
		return now
	}
	s := Split{Own: take(paid.Own)}
	for _, share := range slices.Backward(paid.Shares) {
		if now := take(share.Amount); now > 0 {
			s.Shares = append(s.Shares, Share{Envelope: share.Envelope, Amount: now})
		}
	}
	return s, nil
}
