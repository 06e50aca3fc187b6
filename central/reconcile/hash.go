package reconcile

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// secret keys the hashes of one run, so that nobody can prepare ids that collide. Its
// sums of products are NH, the universal hash of UMAC (RFC 4418), of words of 64 bits: over
// the choice of the key the 128-bit sums of two different texts differ by any given number with a
// chance of 2⁻⁶³ at most, so that adding the length keeps texts of different lengths apart. A
// multiplication of the halves then folds a sum to 64 bits. Texts and bodies have keys of their own.
type secret [secretWords]uint64

const (
	textFold    = 0 // two words each
	bodyFold    = 2
	balanceFold = 4
	textKey     = 6
	bodyKey     = textKey + 2*maxHashPairs
	bodyWords   = 8
	secretWords = bodyKey + bodyWords
)

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

// pairBytes is what one product takes of a text.
const pairBytes = 16

// text hashes at most 128 bytes.
func (s *secret) text(b []byte) uint64 {
	hi, lo := uint64(0), uint64(len(b))
	key := s[textKey:bodyKey]
	for ; len(b) > pairBytes; b, key = b[pairBytes:], key[2:] {
		hi, lo = multiplyAdd(hi, lo, key[0]+word(b), key[1]+word(b[8:]))
	}
	first, second := short(b)
	hi, lo = multiplyAdd(hi, lo, key[0]+first, key[1]+second)
	return fold(hi^s[textFold], lo^s[textFold+1])
}

// name is a text as its hash takes it in: up to 16 bytes as they are, a longer one's hash.
type name struct{ first, second, length uint64 }

func (s *secret) name(b []byte) name {
	if len(b) > pairBytes {
		return name{s.text(b), 0, uint64(len(b))}
	}
	first, second := short(b)
	return name{first, second, uint64(len(b))}
}

// nameHash is what text gives for the name.
func (s *secret) nameHash(n name) uint64 {
	if n.length > pairBytes {
		return n.first
	}
	hi, lo := bits.Mul64(s[textKey]+n.first, s[textKey+1]+n.second)
	lo, carry := bits.Add64(lo, n.length, 0)
	return fold((hi+carry)^s[textFold], lo^s[textFold+1])
}

// short is a text of at most 16 bytes as two words, with zeros behind it. Mostly there is
// memory behind it, so that no branch depends on its length.
func short(b []byte) (first, second uint64) {
	mask := &masks[len(b)]
	if cap(b) < pairBytes {
		b = append(make([]byte, 0, pairBytes), b...)
	}
	b = b[:pairBytes]
	return word(b) & mask[0], word(b[8:]) & mask[1]
}

// masks are as many bytes as their index, up to 16.
var masks = func() (m [2 * pairBytes][2]uint64) {
	for n := range m {
		for i := range min(n, pairBytes) {
			m[n][i/8] |= 0xFF << (i % 8 * 8)
		}
	}
	return m
}()

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// multiplyAdd adds a product to a sum of 128 bits.
func multiplyAdd(hi, lo, a, b uint64) (sumHi, sumLo uint64) {
	h, l := bits.Mul64(a, b)
	lo, carry := bits.Add64(lo, l, 0)
	hi, _ = bits.Add64(hi, h, carry)
	return hi, lo
}

// body hashes everything that is compared of a line whose id is hashed already.
func (s *secret) body(id uint64, merchant, bank name, amount, fee pos.Money, status byte) uint64 {
	shape := shapeOf(merchant.length, bank.length, status)
	k := (*[bodyWords]uint64)(s[bodyKey:])
	hi, lo := bits.Mul64(id+k[0], shape+k[1])
	hi, lo = multiplyAdd(hi, lo, merchant.first+k[2], merchant.second+k[3])
	hi, lo = multiplyAdd(hi, lo, bank.first+k[4], bank.second+k[5])
	hi, lo = multiplyAdd(hi, lo, uint64(amount)+k[6], uint64(fee)+k[7])
	return fold(hi^s[bodyFold], lo^s[bodyFold+1])
}

// shapeOf is what tells lines apart beside their words.
func shapeOf(merchant, bank uint64, status byte) uint64 {
	return merchant | bank<<8 | uint64(status)<<16
}

// hashes are those of a line's id and of everything that is compared.
func (s *secret) hashes(row *statement.Row) (id, body uint64) {
	id = s.text(row.TxnID)
	return id, s.body(id, s.name(row.Merchant), s.name(row.Bank), row.Amount, row.Fee, row.Status)
}

// balance weighs a line by two words for the sums of a shard; it must not be linear.
func (s *secret) balance(first, second uint64) uint64 {
	return fold(first^s[balanceFold], second^s[balanceFold+1])
}
