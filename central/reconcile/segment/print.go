package segment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
)

// PrintSize is the length of a fingerprint, PrintKeySize that of its key.
const (
	PrintSize    = sha256.Size
	PrintKeySize = 16
)

// printBlock is how much text is added up at a time, and how long the key is.
const printBlock = 4 << 10

// Key makes fingerprints. It is safe for concurrent use.
type Key struct{ words *[printBlock / 8]uint64 }

// NewKey takes a secret of PrintKeySize bytes.
func NewKey(secret []byte) (Key, error) {
	c, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, fmt.Errorf("fingerprint: %w", err)
	}
	var stream [printBlock]byte
	cipher.NewCTR(c, make([]byte, aes.BlockSize)).XORKeyStream(stream[:], stream[:])
	k := Key{new([printBlock / 8]uint64)}
	for i := range k.words {
		k.words[i] = binary.LittleEndian.Uint64(stream[8*i:])
	}
	return k, nil
}

// Print begins a fingerprint.
func (k Key) Print() *Print { return &Print{key: k, sum: sha256.New()} }

// Of is the fingerprint of b.
func (k Key) Of(b []byte) []byte {
	p := k.Print()
	_, _ = p.Write(b)
	return p.Sum()
}

// Print is the fingerprint of a text under a secret key: of every 4 KiB the sum of products NH
// (UMAC, RFC 4418, in words of 64 bits), and SHA-256 of all sums and the length. Over the choice of the key two
// different blocks have the same sum with a chance of 2⁻⁶³ at most; the sums never leave it, so
// that nobody without the key can prepare two texts. It is many times as fast as hashing everything with SHA-256,
// and what that costs would be seen: every text and every segment is looked at.
type Print struct {
	key  Key
	size uint64 // of the blocks that are summed
	rest [printBlock]byte
	used int
	sum  hash.Hash
}

// Write adds text; it never fails.
func (p *Print) Write(b []byte) (int, error) {
	n := len(b)
	if p.used > 0 {
		took := copy(p.rest[p.used:], b)
		b = b[took:]
		if p.used += took; p.used < printBlock {
			return n, nil
		}
		p.block(&p.rest)
		p.used = 0
	}
	for ; len(b) >= printBlock; b = b[printBlock:] {
		p.block((*[printBlock]byte)(b))
	}
	p.used = copy(p.rest[:], b)
	return n, nil
}

// block adds a block of text.
func (p *Print) block(b *[printBlock]byte) {
	var tag [16]byte
	hi, lo := p.key.products(b)
	binary.LittleEndian.PutUint64(tag[:], hi)
	binary.LittleEndian.PutUint64(tag[8:], lo)
	_, _ = p.sum.Write(tag[:])
	p.size += printBlock
}

// products adds up what pairs of words, each with a word of the key added, come to multiplied.
func (k Key) products(b *[printBlock]byte) (hi, lo uint64) {
	const step = 64
	for at := 0; at < printBlock; at += step {
		t, w := (*[step]byte)(b[at:]), (*[step / 8]uint64)(k.words[at/8:])
		h0, l0 := bits.Mul64(w[0]+binary.LittleEndian.Uint64(t[0:]), w[1]+binary.LittleEndian.Uint64(t[8:]))
		h1, l1 := bits.Mul64(w[2]+binary.LittleEndian.Uint64(t[16:]), w[3]+binary.LittleEndian.Uint64(t[24:]))
		h2, l2 := bits.Mul64(w[4]+binary.LittleEndian.Uint64(t[32:]), w[5]+binary.LittleEndian.Uint64(t[40:]))
		h3, l3 := bits.Mul64(w[6]+binary.LittleEndian.Uint64(t[48:]), w[7]+binary.LittleEndian.Uint64(t[56:]))
		var carry uint64
		lo, carry = bits.Add64(lo, l0, 0)
		hi, _ = bits.Add64(hi, h0, carry)
		lo, carry = bits.Add64(lo, l1, 0)
		hi, _ = bits.Add64(hi, h1, carry)
		lo, carry = bits.Add64(lo, l2, 0)
		hi, _ = bits.Add64(hi, h2, carry)
		lo, carry = bits.Add64(lo, l3, 0)
		hi, _ = bits.Add64(hi, h3, carry)
	}
	return hi, lo
}

// Sum is the fingerprint of what was written, which is then over.
func (p *Print) Sum() []byte {
	size := p.size + uint64(p.used)
	if p.used > 0 {
		clear(p.rest[p.used:])
		p.block(&p.rest)
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], size)
	_, _ = p.sum.Write(length[:])
	return p.sum.Sum(nil)
}
