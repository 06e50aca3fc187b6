package dcep

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
)

// The names of the suites, as they stand in journals and on the wire.
const (
	SM2SM3        = "sm2-sm3"        // default: GB/T 32918.2, GB/T 32905
	Ed25519SHA256 = "ed25519-sha256" // RFC 8032, FIPS 180-4
)

// HashSize is the size of both suites' hashes in bytes, SignatureSize that of their signatures.
const (
	HashSize      = 32
	SignatureSize = 64
)

// sm2UserID is the default user id of GM/T 0009 §10; it is fixed here so that no two
// implementations differ in it.
const sm2UserID = "1234567812345678"

// ErrSignature is returned when a signature does not fit key, domain and message.
var ErrSignature = errors.New("signature does not verify")

// ErrInDevice is returned where a private key is wanted that never leaves its device.
var ErrInDevice = errors.New("the private key is in a device")

// ErrUnknownSuite is returned for a suite name that is not one of the two.
var ErrUnknownSuite = errors.New("unknown signature suite")

// Suite is a hash function and a signature scheme that go together.
type Suite interface {
	// Name is the suite's name, SM2SM3 or Ed25519SHA256.
	Name() string
	// New starts a hash of HashSize bytes.
	New() hash.Hash
	// Generate makes a key from crypto/rand.
	Generate() (Signer, error)
	// Verifier reads a public key in PKIX DER form and refuses one of another suite.
	Verifier(public []byte) (Verifier, error)
}

// Signer holds a private key. Sign is safe for concurrent use.
type Signer interface {
	Suite() Suite
	// Public is the public key in PKIX DER form.
	Public() []byte
	// Sign signs domain ‖ 0x00 ‖ message; the signature has SignatureSize bytes
	// (SM2: r ‖ s, each 32 bytes big-endian).
	Sign(domain string, message []byte) ([]byte, error)
	// Private is the key itself, for certificates and key files; nil where it never
	// leaves a device.
	Private() crypto.Signer
}

// Verifier holds a public key. Verify is safe for concurrent use.
type Verifier interface {
	// Verify returns ErrSignature unless sig is a signature of domain ‖ 0x00 ‖ message.
	Verify(domain string, message, sig []byte) error
}

// SuiteByName returns the named suite or ErrUnknownSuite.
func SuiteByName(name string) (Suite, error) {
	switch name {
	case SM2SM3:
		return sm2Suite{}, nil
	case Ed25519SHA256:
		return ed25519Suite{}, nil
	}
	return nil, fmt.Errorf("suite %q: %w (want %s or %s)", name, ErrUnknownSuite, SM2SM3, Ed25519SHA256)
}

// Sum hashes the parts one after another.
func Sum(s Suite, parts ...[]byte) []byte {
	h := s.New()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash never returns an error
	}
	return h.Sum(nil)
}

// CodeHash is the keyed hash under which a payment code is remembered; the code
// itself is never kept in the journal.
func CodeHash(s Suite, key []byte, code string) []byte {
	m := hmac.New(s.New, key)
	_, _ = m.Write([]byte("dcpos-code-1\x00" + code))
	return m.Sum(nil)
}

// Fingerprint names a public key for people: the first 16 bytes of its SHA-256 in hexadecimal.
func Fingerprint(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// MarshalKey gives the key as PKCS #8 in PEM. The caller writes the file with mode 0600.
func MarshalKey(s Signer) ([]byte, error) {
	if s.Private() == nil {
		return nil, ErrInDevice
	}
	der, err := smx509.MarshalPKCS8PrivateKey(s.Private())
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads what MarshalKey wrote; the suite follows from the key's type.
func ParseKey(pemBytes []byte) (Signer, error) {
	block, _ := pem.Decode(pemBytes)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("parse private key: no PEM block of type PRIVATE KEY")
	}
	key, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	switch k := key.(type) {
	case *sm2.PrivateKey:
		return newSM2Signer(k)
	case ed25519.PrivateKey:
		return newEd25519Signer(k)
	}
	return nil, fmt.Errorf("parse private key: %T belongs to no suite", key)
}

func framed(domain string, message []byte) []byte {
	b := make([]byte, 0, len(domain)+1+len(message))
	b = append(b, domain...)
	b = append(b, 0)
	return append(b, message...)
}

type sm2Suite struct{}

func (sm2Suite) Name() string   { return SM2SM3 }
func (sm2Suite) New() hash.Hash { return sm3.New() }

func (sm2Suite) Generate() (Signer, error) {
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate SM2 key: %w", err)
	}
	return newSM2Signer(k)
}

func (sm2Suite) Verifier(public []byte) (Verifier, error) {
	key, err := smx509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || !sm2.IsSM2PublicKey(k) {
		return nil, fmt.Errorf("parse public key: %T is no SM2 key", key)
	}
	return sm2Verifier{k}, nil
}

type sm2Signer struct {
	key    *sm2.PrivateKey
	public []byte
}

func newSM2Signer(k *sm2.PrivateKey) (Signer, error) {
	public, err := smx509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return &sm2Signer{key: k, public: public}, nil
}

func (s *sm2Signer) Suite() Suite           { return sm2Suite{} }
func (s *sm2Signer) Public() []byte         { return s.public }
func (s *sm2Signer) Private() crypto.Signer { return s.key }

type rs struct{ R, S *big.Int }

func (s *sm2Signer) Sign(domain string, message []byte) ([]byte, error) {
	der, err := s.key.SignWithSM2(rand.Reader, []byte(sm2UserID), framed(domain, message))
	if err != nil {
		return nil, fmt.Errorf("sign with SM2: %w", err)
	}
	var v rs
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, fmt.Errorf("sign with SM2: %w", err)
	}
	sig := make([]byte, SignatureSize)
	v.R.FillBytes(sig[:32])
	v.S.FillBytes(sig[32:])
	return sig, nil
}

type sm2Verifier struct{ key *ecdsa.PublicKey }

func (v sm2Verifier) Verify(domain string, message, sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("%d bytes: %w", len(sig), ErrSignature)
	}
	der, err := asn1.Marshal(rs{R: new(big.Int).SetBytes(sig[:32]), S: new(big.Int).SetBytes(sig[32:])})
	if err != nil {
		return fmt.Errorf("encode signature: %w", err)
	}
	if !sm2.VerifyASN1WithSM2(v.key, []byte(sm2UserID), framed(domain, message), der) {
		return ErrSignature
	}
	return nil
}

type ed25519Suite struct{}

func (ed25519Suite) Name() string   { return Ed25519SHA256 }
func (ed25519Suite) New() hash.Hash { return sha256.New() }

func (ed25519Suite) Generate() (Signer, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate Ed25519 key: %w", err)
	}
	return newEd25519Signer(k)
}

func (ed25519Suite) Verifier(public []byte) (Verifier, error) {
	key, err := smx509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	k, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("parse public key: %T is no Ed25519 key", key)
	}
	return ed25519Verifier(k), nil
}

type ed25519Signer struct {
	key    ed25519.PrivateKey
	public []byte
}

func newEd25519Signer(k ed25519.PrivateKey) (Signer, error) {
	public, err := smx509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return &ed25519Signer{key: k, public: public}, nil
}

func (s *ed25519Signer) Suite() Suite           { return ed25519Suite{} }
func (s *ed25519Signer) Public() []byte         { return s.public }
func (s *ed25519Signer) Private() crypto.Signer { return s.key }

func (s *ed25519Signer) Sign(domain string, message []byte) ([]byte, error) {
	return ed25519.Sign(s.key, framed(domain, message)), nil
}

type ed25519Verifier ed25519.PublicKey

func (v ed25519Verifier) Verify(domain string, message, sig []byte) error {
	if !ed25519.Verify(ed25519.PublicKey(v), framed(domain, message), sig) {
		return ErrSignature
	}
	return nil
}
