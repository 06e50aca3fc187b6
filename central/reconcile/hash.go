package reconcile

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"dcpos/central/reconcile/statement"
)

// secret keys the hashes of one run, so that nobody can prepare ids that collide. Its
// sums of products are NH, the universal hash of UMAC (RFC 4418): over the choice of
// the key two different texts give the same 128 bits with a chance of 2⁻⁶⁴. A
// multiplication of the halves then folds them to 64 bits.
type secret [secretWords]uint64

const secretWords = 2*maxHashPairs + 8

// maxHashPairs is the longest text in pairs of words: statement.MaxField bytes.
const maxHashPairs = 128 / 16

func newSecret() *secret {
	var b [8 * secretWords]byte
	_, _ = rand.Read(b[:]) // never fails
	var s secret
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return &s
}

// fold multiplies two words and gives the halves of the product together.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// text hashes at most 128 bytes. The length is hashed too, so that words of the end may
// overlap the ones before.
func (s *secret) text(b []byte) uint64 {
	n := len(b)
	hi, lo := bits.Mul64(uint64(n)+s[0], s[1])
	key := s[8:]
	for len(b) > 16 {
		hi, lo = multiplyAdd(hi, lo, key[0]+word(b), key[1]+word(b[8:]))
		b, key = b[min(16, len(b)-16):], key[2:]
	}
	var first, second uint64
	switch n := len(b); {
	case n >= 8:
		first, second = word(b), word(b[n-8:])
	case n >= 4:
		first, second = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	default:
		for i, c := range b {
			first |= uint64(c) << (8 * i)
		}
	}
	hi, lo = multiplyAdd(hi, lo, key[0]+first, key[1]+second)
	return fold(hi^s[2], lo^s[3])
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// multiplyAdd adds a product to a sum of 128 bits.
func multiplyAdd(hi, lo, a, b uint64) (sumHi, sumLo uint64) {
	h, l := bits.Mul64(a, b)
	lo, carry := bits.Add64(lo, l, 0)
	hi, _ = bits.Add64(hi, h, carry)
	return hi, lo
}

// body hashes everything that is compared of a line whose texts are hashed already.
func (s *secret) body(id, merchant, bank, amount, fee, status uint64) uint64 {
	hi, lo := bits.Mul64(id+s[8], merchant+s[9])
	hi, lo = multiplyAdd(hi, lo, bank+s[10], amount+s[11])
	hi, lo = multiplyAdd(hi, lo, fee+s[12], status+s[13])
	return fold(hi^s[4], lo^s[5])
}

// record is what is kept of a line.
func (s *secret) record(row *statement.Row, at place) record {
	id, merchant, bank := s.text(row.TxnID), s.text(row.Merchant), s.text(row.Bank)
	return recordOf(id, s.body(id, merchant, bank, uint64(row.Amount), uint64(row.Fee), uint64(row.Status)), at)
}

// balance weighs a record for the sums of a shard; it must not be linear.
func (s *secret) balance(first, second uint64) uint64 {
	return fold(first^s[6], second>>placeBits^s[7])
}
