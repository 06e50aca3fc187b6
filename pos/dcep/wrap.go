package dcep

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm4"
	"github.com/emmansun/gmsm/smx509"
)

// wrapInfo binds a wrapped key to its use (RFC 9180, info).
const wrapInfo = "dcpos-wrap-1"

// ContentKey makes a fresh content key of the suite's cipher: SM4-GCM (16 bytes) for sm2-sm3, AES-256-GCM for
// ed25519-sha256.
func ContentKey(s Suite) []byte {
	size := 32
	if s.Name() == SM2SM3 {
		size = sm4.BlockSize
	}
	key := make([]byte, size)
	_, _ = rand.Read(key) // never returns an error
	return key
}

// ContentCipher is the suite's cipher under a content key; nonces have 12 bytes.
func ContentCipher(s Suite, key []byte) (cipher.AEAD, error) {
	block := aes.NewCipher
	if s.Name() == SM2SM3 {
		block = sm4.NewCipher
	}
	b, err := block(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// WrapKey encrypts a content key to a public key (PKIX DER): GB/T 32918.4 (SM2, ASN.1 form) or RFC 9180 with
// DHKEM(X25519), HKDF-SHA256 and AES-256-GCM to the X25519 form of the Ed25519 key (RFC 7748, 4.1).
func WrapKey(s Suite, public, key []byte) ([]byte, error) {
	parsed, err := smx509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w", err)
	}
	switch k := parsed.(type) {
	case *ecdsa.PublicKey:
		if s.Name() == SM2SM3 && sm2.IsSM2PublicKey(k) {
			return sm2.EncryptASN1(rand.Reader, k, key)
		}
	case ed25519.PublicKey:
		if s.Name() != Ed25519SHA256 {
			break
		}
		u, err := montgomery(k)
		if err != nil {
			return nil, fmt.Errorf("wrap key: %w", err)
		}
		to, err := hpke.NewDHKEMPublicKey(u)
		if err != nil {
			return nil, fmt.Errorf("wrap key: %w", err)
		}
		return hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapInfo), key)
	}
	return nil, fmt.Errorf("wrap key: %T is no key of %s", parsed, s.Name())
}

// UnwrapKey is the inverse of WrapKey, by the holder of the private key.
func UnwrapKey(s Signer, wrapped []byte) ([]byte, error) {
	switch k := s.Private().(type) {
	case *sm2.PrivateKey:
		return sm2.Decrypt(k, wrapped)
	case ed25519.PrivateKey:
		h := sha512.Sum512(k.Seed()) // RFC 8032, 5.1.5: the scalar of both curves
		scalar, err := ecdh.X25519().NewPrivateKey(h[:32])
		if err != nil {
			return nil, fmt.Errorf("unwrap key: %w", err)
		}
		by, err := hpke.NewDHKEMPrivateKey(scalar)
		if err != nil {
			return nil, fmt.Errorf("unwrap key: %w", err)
		}
		return hpke.Open(by, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapInfo), wrapped)
	}
	return nil, fmt.Errorf("unwrap key: %w", ErrInDevice)
}

// montgomery gives the X25519 form of an Ed25519 public key: u = (1 + y) / (1 − y) mod 2²⁵⁵ − 19.
func montgomery(k ed25519.PublicKey) (*ecdh.PublicKey, error) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	b := slices.Clone(k)
	b[31] &= 0x7F // the sign of x
	slices.Reverse(b)
	y, one := new(big.Int).SetBytes(b), big.NewInt(1)
	under := new(big.Int).ModInverse(new(big.Int).Mod(new(big.Int).Sub(one, y), p), p)
	if under == nil {
		return nil, errors.New("the Ed25519 key is the neutral point")
	}
	u := under.Mul(under, y.Add(y, one))
	out := make([]byte, 32)
	u.Mod(u, p).FillBytes(out)
	slices.Reverse(out)
	return ecdh.X25519().NewPublicKey(out)
}
