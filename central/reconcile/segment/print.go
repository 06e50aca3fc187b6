package segment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// PrintKeySize is the length of a fingerprint's key.
const PrintKeySize = 16

// printBlock is how much text one tag covers.
const printBlock = 64 << 10

// Key makes fingerprints. It is safe for concurrent use.
type Key struct{ aead cipher.AEAD }

// NewKey takes a secret of PrintKeySize bytes.
func NewKey(secret []byte) (Key, error) {
	c, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, fmt.Errorf("fingerprint: %w", err)
	}
	aead, err := cipher.NewGCM(c)
	return Key{aead}, err
}

// Print begins a fingerprint.
func (k Key) Print() *Print { return &Print{aead: k.aead, sum: sha256.New()} }

// Of is the fingerprint of b.
func (k Key) Of(b []byte) []byte {
	p := k.Print()
	for ; len(b) >= printBlock; b = b[printBlock:] {
		p.seal(b[:printBlock])
	}
	p.rest = b
	return p.Sum()
}

// Print is the fingerprint of a text under a secret key: a GMAC of every 64 KiB, hashed
// together. Without the key nobody can make two texts that have the same one, and it is
// several times as fast as hashing everything with SHA-256. The tags never leave it, so that
// their fixed nonces give nothing away.
type Print struct {
	aead  cipher.AEAD
	block uint64
	rest  []byte
	sum   hash.Hash
	tag   []byte
}

// Write adds text; it never fails.
func (p *Print) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if len(p.rest) == 0 && len(b) >= printBlock {
			p.seal(b[:printBlock])
			b = b[printBlock:]
			continue
		}
		take := min(printBlock-len(p.rest), len(b))
		p.rest = append(p.rest, b[:take]...)
		if b = b[take:]; len(p.rest) == printBlock {
			p.seal(p.rest)
			p.rest = p.rest[:0]
		}
	}
	return n, nil
}

func (p *Print) seal(b []byte) {
	var nonce [12]byte
	binary.LittleEndian.PutUint64(nonce[:], p.block)
	p.block++
	p.tag = p.aead.Seal(p.tag[:0], nonce[:], nil, b)
	_, _ = p.sum.Write(p.tag)
}

// Sum is the fingerprint of what was written, which is then over.
func (p *Print) Sum() []byte {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], p.block*printBlock+uint64(len(p.rest)))
	if len(p.rest) > 0 {
		p.seal(p.rest)
	}
	_, _ = p.sum.Write(length[:])
	return p.sum.Sum(nil)
}
