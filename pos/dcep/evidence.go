package dcep

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/pos"
)

// Offline evidence by two QR codes: the till shows a Challenge, the wallet answers
// with Evidence, a signed statement that it pays this amount to this terminal. These
// are formats of ours: the commands of real e-CNY wallets are not public.
//
// Version 2 is for envelopes: its challenge names the category of the goods, and its
// evidence may name the envelopes that pay a part. Bytes of version 1 are as they were.

// The prefixes of the two codes and the domain of the signature, by version.
const (
	ChallengePrefix  = "dcpos:ch1:"
	EvidencePrefix   = "dcpos:ev1:"
	DomainEvidence   = "dcpos-evidence-1"
	ChallengePrefix2 = "dcpos:ch2:"
	EvidencePrefix2  = "dcpos:ev2:"
	DomainEvidence2  = "dcpos-evidence-2"
	NonceSize        = 16
	maxCategory      = 32
	maxEvidenceText  = 2300 // below what a QR of version 40-M holds in bytes (2331)
)

// ErrEvidence is the parent of every finding about evidence.
var ErrEvidence = errors.New("evidence not accepted")

// Challenge is what the till asks the wallet to sign.
type Challenge struct {
	Env       pos.Environment `json:"e"`
	Terminal  string          `json:"t"`
	Merchant  string          `json:"m"`
	Payment   pos.PaymentID   `json:"p"`
	Amount    pos.Money       `json:"a"`
	Nonce     []byte          `json:"n"` // NonceSize random bytes, used once
	AtMS      int64           `json:"d"` // the till's clock
	ExpiresMS int64           `json:"x"`
	// Category is that of the goods; it makes the challenge one of version 2, to which a
	// wallet may answer with envelopes.
	Category string `json:"k,omitempty"`
}

// second reports that the challenge is of version 2.
func (c Challenge) second() bool { return c.Category != "" }

func (c Challenge) prefixes() (challenge, evidence string) {
	if c.second() {
		return ChallengePrefix2, EvidencePrefix2
	}
	return ChallengePrefix, EvidencePrefix
}

func (c Challenge) domain() string {
	if c.second() {
		return DomainEvidence2
	}
	return DomainEvidence
}

// Evidence is the wallet's signed answer.
type Evidence struct {
	Challenge   Challenge `json:"c"`
	Suite       string    `json:"s"`
	Counter     uint64    `json:"k"` // the wallet's own counter, one more for every payment
	WalletMS    int64     `json:"w"` // the wallet's clock, for the record only
	Certificate []byte    `json:"z"` // the wallet's certificate, DER
	Sig         []byte    `json:"g,omitempty"`
	// Envelopes are what pays a part of the amount, in the order of spending; only in
	// answer to a challenge of version 2.
	Envelopes []pos.EnvelopeUse `json:"e,omitempty"`
}

// EncodeChallenge gives the text of the till's QR.
func EncodeChallenge(c Challenge) (string, error) {
	b, err := Marshal(c)
	if err != nil {
		return "", err
	}
	prefix, _ := c.prefixes()
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// DecodeChallenge reads the text of a till's QR.
func DecodeChallenge(s string) (Challenge, error) {
	var c Challenge
	second := strings.HasPrefix(s, ChallengePrefix2)
	if err := decodeText(s, pick(second, ChallengePrefix2, ChallengePrefix), &c); err != nil {
		return c, err
	}
	if c.second() != second {
		return c, fmt.Errorf("challenge of another version than its prefix says: %w", ErrEvidence)
	}
	return c, c.check()
}

func pick(second bool, two, one string) string {
	if second {
		return two
	}
	return one
}

func (c Challenge) check() error {
	if len(c.Category) > maxCategory || !c.Env.Valid() || len(c.Nonce) != NonceSize || c.Amount <= 0 || c.Amount > pos.MaxAmount ||
		c.Terminal == "" || c.Payment.IsZero() {
		return fmt.Errorf("challenge lacks a field or has one out of range: %w", ErrEvidence)
	}
	return nil
}

// SignEvidence makes the wallet's answer. The envelopes pay a part of it, in answer to a
// challenge of version 2 alone.
func SignEvidence(
	signer Signer, certificate []byte, c Challenge, counter uint64, now time.Time, envelopes ...pos.EnvelopeUse,
) (Evidence, error) {
	e := Evidence{
		Challenge: c, Suite: signer.Suite().Name(), Counter: counter,
		WalletMS: now.UnixMilli(), Certificate: certificate, Envelopes: envelopes,
	}
	m, err := e.message()
	if err != nil {
		return Evidence{}, err
	}
	e.Sig, err = signer.Sign(c.domain(), m)
	return e, err
}

func (e Evidence) message() ([]byte, error) {
	e.Sig = nil
	return Marshal(e)
}

// Statement is the SHA-256 of what the evidence says of money: challenge, counter, envelopes,
// suite; not when the wallet's clock said so, with which certificate, or which of its signatures
// it carries. Two statements of one wallet under one counter prove that it was spent twice.
func (e Evidence) Statement() ([]byte, error) {
	e.Certificate, e.WalletMS = nil, 0
	m, err := e.message()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(m)
	return sum[:], nil
}

// EncodeEvidence gives the text of the wallet's QR.
func EncodeEvidence(e Evidence) (string, error) {
	b, err := Marshal(e)
	if err != nil {
		return "", err
	}
	_, prefix := e.Challenge.prefixes()
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// DecodeEvidence reads the text of a wallet's QR. It checks form only; VerifyEvidence
// checks what it says.
func DecodeEvidence(s string) (Evidence, error) {
	var e Evidence
	second := strings.HasPrefix(s, EvidencePrefix2)
	if err := decodeText(s, pick(second, EvidencePrefix2, EvidencePrefix), &e); err != nil {
		return e, err
	}
	if e.Challenge.second() != second {
		return e, fmt.Errorf("evidence of another version than its prefix says: %w", ErrEvidence)
	}
	return e, e.check()
}

// ParseChallenge reads the canonical bytes of a challenge, as they go over the air.
func ParseChallenge(b []byte) (Challenge, error) {
	var c Challenge
	if err := UnmarshalExact(b, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return c, c.check()
}

// Bare gives the canonical bytes of evidence whose certificate (z) is null. It is the form
// for who holds the certificate already; the signature covers the certificate all the same.
func (e Evidence) Bare() ([]byte, error) {
	e.Certificate = nil
	return Marshal(e)
}

// ParseBare reads what Bare wrote and puts the certificate in its place.
func ParseBare(b, certificate []byte) (Evidence, error) {
	e, err := ParseEvidence(b)
	if err == nil && e.Certificate != nil {
		err = fmt.Errorf("bare evidence with a certificate: %w", ErrEvidence)
	}
	if err != nil {
		return Evidence{}, err
	}
	e.Certificate = certificate
	return e, nil
}

// ParseEvidence reads the canonical bytes that a journal keeps.
func ParseEvidence(b []byte) (Evidence, error) {
	var e Evidence
	if err := UnmarshalExact(b, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return e, e.check()
}

// check refuses what no wallet may say, whoever signed it.
func (e Evidence) check() error {
	if len(e.Envelopes) > 0 && !e.Challenge.second() {
		return fmt.Errorf("envelopes in evidence of version 1: %w", ErrEvidence)
	}
	if _, err := pos.CheckEnvelopes(e.Envelopes, e.Challenge.Amount); err != nil {
		return err
	}
	return e.Challenge.check()
}

// VerifyEvidence checks certificate and signature at the moment now; a signature that is
// not the wallet's is ErrEvidenceForged. It does not compare the challenge: Answers does,
// at the till that asked.
func VerifyEvidence(t Trust, e Evidence, now time.Time) (WalletCertificate, error) {
	if e.Challenge.Env != t.Env {
		return WalletCertificate{}, pos.NewError(pos.ErrEnvironment, fmt.Errorf("evidence of %q: %w", e.Challenge.Env, ErrEvidence))
	}
	wallet, err := t.VerifyWallet(e.Certificate, now)
	if err != nil {
		return wallet, err
	}
	return wallet, wallet.Signed(e)
}

// Signed checks that the wallet, whose certificate has been verified, signed the evidence;
// else ErrEvidenceForged.
func (w WalletCertificate) Signed(e Evidence) error {
	suite, err := SuiteByName(e.Suite)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	v, err := suite.Verifier(w.public)
	if err != nil {
		return pos.NewError(pos.ErrEvidenceForged, fmt.Errorf("%w: %w", ErrEvidence, err))
	}
	m, err := e.message()
	if err != nil {
		return err
	}
	if err := v.Verify(e.Challenge.domain(), m, e.Sig); err != nil {
		return pos.NewError(pos.ErrEvidenceForged, fmt.Errorf("%w: %w", ErrEvidence, err))
	}
	return nil
}

// Answers refuses evidence that is not the answer to this challenge, each with a code of
// its own: made out to another terminal (ErrEvidenceOther), the answer to another
// challenge (ErrEvidenceReplay), another amount or payment (ErrEvidenceAmount), given
// after the challenge's expiry (ErrEvidenceLate).
func (e Evidence) Answers(c Challenge, now time.Time) error {
	got := e.Challenge
	switch {
	case got.Terminal != c.Terminal || got.Merchant != c.Merchant || got.Env != c.Env:
		return found(pos.ErrEvidenceOther, "signed for another terminal")
	case subtle.ConstantTimeCompare(got.Nonce, c.Nonce) != 1:
		return found(pos.ErrEvidenceReplay, "another challenge was signed")
	case got.Amount != c.Amount:
		return found(pos.ErrEvidenceAmount, fmt.Sprintf("%s was signed, %s is due", got.Amount, c.Amount))
	case got.Payment != c.Payment || got.AtMS != c.AtMS || got.ExpiresMS != c.ExpiresMS || got.Category != c.Category:
		return found(pos.ErrEvidenceReplay, "signed for another payment or time")
	case now.UnixMilli() > c.ExpiresMS:
		return found(pos.ErrEvidenceLate, "answered after its expiry")
	}
	return nil
}

// found is a finding about evidence with a code that says which.
func found(code pos.Code, what string) error {
	return pos.NewError(code, fmt.Errorf("%s: %w", what, ErrEvidence))
}

func decodeText(s, prefix string, v any) error {
	body, ok := strings.CutPrefix(s, prefix)
	if !ok || len(s) > maxEvidenceText {
		return fmt.Errorf("want %s and at most %d characters: %w", prefix, maxEvidenceText, ErrEvidence)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if err := UnmarshalExact(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return nil
}
