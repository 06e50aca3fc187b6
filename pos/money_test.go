package pos_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"dcpos/pos"
)

func TestMoneyArithmeticAgreesWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		for name, op := range map[string]struct {
			got  func() (pos.Money, error)
			want *big.Int
		}{
			"add": {func() (pos.Money, error) { return pos.Money(a).Add(pos.Money(b)) }, new(big.Int).Add(big.NewInt(a), big.NewInt(b))},
			"sub": {func() (pos.Money, error) { return pos.Money(a).Sub(pos.Money(b)) }, new(big.Int).Sub(big.NewInt(a), big.NewInt(b))},
		} {
			got, err := op.got()
			if op.want.IsInt64() && (err != nil || int64(got) != op.want.Int64()) && b != math.MinInt64 {
				t.Fatalf("%s %d %d: got %d, %v", name, a, b, got, err)
			}
			if !op.want.IsInt64() && !errors.Is(err, pos.ErrMoneyOverflow) {
				t.Fatalf("%s %d %d: overflow not told", name, a, b)
			}
		}
	})
}

func TestMoneyTextGoesRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := pos.Money(rapid.Int64().Draw(t, "fen"))
		got, err := pos.ParseMoney(m.String())
		if err != nil || got != m {
			t.Fatalf("%d wrote %q, read %d, %v", m, m, got, err)
		}
	})
}

func TestParseMoney(t *testing.T) {
	for in, want := range map[string]pos.Money{
		"0": 0, "12": 1200, "12.3": 1230, "12.34": 1234, "-0.05": -5, "0.01": 1,
		"92233720368547758.07": math.MaxInt64, "-92233720368547758.08": math.MinInt64,
	} {
		if got, err := pos.ParseMoney(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "-", "1.", ".5", "1.234", "1e3", " 1", "1 ", "+1", "1,000", "¥1", "--1", "0x1",
		"92233720368547758.08", "1٫5", "１２",
	} {
		if got, err := pos.ParseMoney(in); err == nil {
			t.Errorf("%q was taken for %d", in, got)
		}
	}
	if _, err := pos.Sum(math.MaxInt64, 1); !errors.Is(err, pos.ErrMoneyOverflow) {
		t.Errorf("sum overflow: got %v", err)
	}
}

func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"12.34", "-0.05", "1e9", "９"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := pos.ParseMoney(s); err == nil {
			if again, err := pos.ParseMoney(m.String()); err != nil || again != m {
				t.Errorf("%q → %d → %q does not go round", s, m, m.String())
			}
		}
	})
}
