package pos

import "fmt"

// Line is a part of a payment by what is bought, so that the categories of a red
// envelope's scope can be judged where the money moves.
type Line struct {
	Category string `json:"category"`
	Amount   Money  `json:"amount_fen"`
}

// MaxLines bounds the lines of a payment.
const MaxLines = 100

// CheckLines refuses lines that do not add up to the amount, each above nothing and of a
// category. No lines at all say nothing of categories and are allowed.
func CheckLines(lines []Line, amount Money) error {
	if len(lines) > MaxLines {
		return FieldError(ErrBadRequest, "lines", fmt.Errorf("%d lines, at most %d", len(lines), MaxLines))
	}
	var sum Money
	for i, l := range lines {
		field := fmt.Sprintf("lines[%d]", i)
		if !label(l.Category, MaxOrderID) {
			return FieldError(ErrBadRequest, field+".category", fmt.Errorf("want 1 to %d printable characters", MaxOrderID))
		}
		if l.Amount <= 0 || l.Amount > amount-sum {
			return FieldError(ErrBadRequest, field+".amount_fen", fmt.Errorf("%d fen on top of %d, the payment is %d", l.Amount, sum, amount))
		}
		sum += l.Amount
	}
	if len(lines) > 0 && sum != amount {
		return FieldError(ErrBadRequest, "lines", fmt.Errorf("the lines are %d fen, the payment is %d", sum, amount))
	}
	return nil
}
