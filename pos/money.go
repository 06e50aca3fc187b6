package pos

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount of digital yuan in fen (1/100 yuan). There is no float
// anywhere near it; every sum goes through Add, Sub or Sum, which tell an overflow.
type Money int64

// ErrMoneyOverflow is returned when a sum does not fit 64 bits.
var ErrMoneyOverflow = errors.New("amount does not fit int64 fen")

// Add returns m+n, or ErrMoneyOverflow.
func (m Money) Add(n Money) (Money, error) {
	if (n > 0 && m > math.MaxInt64-n) || (n < 0 && m < math.MinInt64-n) {
		return 0, fmt.Errorf("add %d and %d: %w", m, n, ErrMoneyOverflow)
	}
	return m + n, nil
}

// Sub returns m-n, or ErrMoneyOverflow.
func (m Money) Sub(n Money) (Money, error) {
	if n == math.MinInt64 {
		return 0, fmt.Errorf("subtract %d: %w", n, ErrMoneyOverflow)
	}
	return m.Add(-n)
}

// Sum adds all amounts, or returns ErrMoneyOverflow at the first step that overflows.
func Sum(amounts ...Money) (Money, error) {
	var total Money
	for _, a := range amounts {
		var err error
		if total, err = total.Add(a); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// String writes yuan with two decimals and no sign of currency: "12.34", "-0.05".
func (m Money) String() string {
	sign, u := "", uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%02d", sign, u/100, u%100)
}

// ParseMoney reads yuan as people type them: "12", "12.3", "12.34", "-0.05".
// More than two decimals, an exponent, a space or a sign of currency is an error.
func ParseMoney(s string) (Money, error) {
	body, neg := strings.CutPrefix(s, "-")
	yuan, dec, point := strings.Cut(body, ".")
	if yuan == "" || len(dec) > 2 || (point && dec == "") || !digits(yuan) || !digits(dec) {
		return 0, fmt.Errorf("amount %q: want yuan with at most two decimals, such as 12.34", s)
	}
	for len(dec) < 2 {
		dec += "0"
	}
	if neg {
		yuan = "-" + yuan
	}
	v, err := strconv.ParseInt(yuan+dec, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, ErrMoneyOverflow)
	}
	return Money(v), nil
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}
