package reconcile

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// sum adds fen in 128 bits, so that whether a total fits does not depend on the
// order in which workers added to it.
type sum struct {
	hi int64
	lo uint64
}

const sumBytes = 16

func (s *sum) add(m pos.Money) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(m), 0)
	s.hi += int64(m)>>63 + int64(carry)
}

// subMoney takes away; −m need not fit.
func (s *sum) subMoney(m pos.Money) {
	var one sum
	one.add(m)
	s.subSum(one)
}

func (s *sum) addSum(o sum) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, o.lo, 0)
	s.hi += o.hi + int64(carry)
}

func (s *sum) subSum(o sum) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, o.lo, 0)
	s.hi -= o.hi + int64(borrow)
}

// money is the total, or an error that names it when it does not fit int64.
func (s *sum) money(what string) (pos.Money, error) {
	if s.hi != int64(s.lo)>>63 {
		return 0, &statement.InputError{Why: pos.Text{
			EN: fmt.Sprintf("the sum of %s does not fit int64 fen", what),
			ZH: fmt.Sprintf("%s 的合计超出 int64(分)", what),
		}, Err: pos.ErrMoneyOverflow}
	}
	return pos.Money(s.lo), nil
}

func (s *sum) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(s.hi))
	return binary.LittleEndian.AppendUint64(b, s.lo)
}

func readSum(b []byte) sum {
	return sum{int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:])}
}
