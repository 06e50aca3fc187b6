package reconcile

import (
	"math/bits"

	"dcpos/central/reconcile/statement"
)

// hashed is what is made of a batch's lines: the same as secret makes of rows, in short loops
// without calls for lines as they usually are.
type hashed struct {
	places   [statement.BatchLines]uint64
	ids      [statement.BatchLines]uint64
	bodies   [statement.BatchLines]uint64
	merchant [statement.BatchLines]name
	bank     [statement.BatchLines]name
	// Records, and the lists that they go to.
	first  [statement.BatchLines]uint64
	second [statement.BatchLines]uint64
	lists  [statement.BatchLines]uint32
}

// of hashes a batch's lines.
func (h *hashed) of(b *statement.Batch, s *secret) {
	h.texts(b, s)
	h.hashBodies(b, s)
}

// records makes the records of n lines that are hashed and whose places are known.
func (h *hashed) records(n int, shift uint, side int) {
	for i, id := range h.ids[:n] {
		r := recordOf(id, h.bodies[i], place(h.places[i]))
		h.lists[i], h.first[i], h.second[i] = uint32(id>>shift)*2+uint32(side), r.first, r.second
	}
}

// texts hashes ids and takes names in.
func (h *hashed) texts(b *statement.Batch, s *secret) {
	const usual = 2 * pairBytes // of an id
	k := (*[4]uint64)(s[textKey:])
	for i := range b.N {
		line, begin, ends := b.View(i)
		id, merchant, terminal, bank := ends[0]-begin, ends[1]-begin, ends[2]-begin, ends[3]-begin
		at := i % statement.BatchLines
		if id != usual || merchant-id-1 > pairBytes || bank-terminal-1 > pairBytes {
			h.ids[at], h.merchant[at], h.bank[at] = s.text(b.TxnID(i)), s.name(b.Merchant(i)), s.name(b.Bank(i))
			continue
		}
		hi, lo := bits.Mul64(k[0]+word(line[:]), k[1]+word(line[8:]))
		lo, carry := bits.Add64(lo, usual, 0)
		hi, lo = multiplyAdd(hi+carry, lo, k[2]+word(line[16:]), k[3]+word(line[24:]))
		h.ids[at] = fold(hi^s[textFold], lo^s[textFold+1])
		h.merchant[at] = shortName(line, id+1, merchant-id-1)
		h.bank[at] = shortName(line, terminal+1, bank-terminal-1)
	}
}

// shortName is the name of n bytes, at most 16, at a position of a line.
func shortName(line *statement.View, at, n uint32) name {
	text := line[at%512:][:pairBytes]
	mask := &masks[n%32]
	return name{word(text) & mask[0], word(text[8:]) & mask[1], uint64(n)}
}

// hashBodies is secret.body of the lines.
func (h *hashed) hashBodies(b *statement.Batch, s *secret) {
	k := (*[bodyWords]uint64)(s[bodyKey:])
	for i, id := range h.ids[:b.N] {
		merchant, bank := &h.merchant[i], &h.bank[i]
		shape := shapeOf(merchant.length, bank.length, b.Status[i])
		hi, lo := bits.Mul64(id+k[0], shape+k[1])
		hi, lo = multiplyAdd(hi, lo, merchant.first+k[2], merchant.second+k[3])
		hi, lo = multiplyAdd(hi, lo, bank.first+k[4], bank.second+k[5])
		hi, lo = multiplyAdd(hi, lo, uint64(b.Amount[i])+k[6], uint64(b.Fee[i])+k[7])
		h.bodies[i] = fold(hi^s[bodyFold], lo^s[bodyFold+1])
	}
}

// names hashes the names of n lines.
func (h *hashed) names(n int, s *secret, to *[2][statement.BatchLines]uint64) {
	for level, names := range [2]*[statement.BatchLines]name{&h.bank, &h.merchant} {
		out := to[level][:n]
		for i := range out {
			out[i] = s.nameHash(names[i])
		}
	}
}
