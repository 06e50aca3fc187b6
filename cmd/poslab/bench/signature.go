package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// suites are both, in the order of the report.
func suites() []string { return []string{dcep.SM2SM3, dcep.Ed25519SHA256} }

// signatures measures signing and verifying on one core, beside the standard library's
// ECDSA P-256, which has hand-written assembly.
func signatures(ctx context.Context, r *run) error {
	message := make([]byte, dcep.HashSize)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	var peerSig []byte
	share := r.Repeat / 6
	peerSign, err := often(ctx, share, func() (err error) {
		digest := sha256.Sum256(message)
		peerSig, err = ecdsa.SignASN1(rand.Reader, p256, digest[:])
		return err
	})
	if err != nil {
		return err
	}
	peerVerify, err := often(ctx, share, func() error {
		digest := sha256.Sum256(message)
		if !ecdsa.VerifyASN1(&p256.PublicKey, digest[:], peerSig) {
			return errors.New("the peer's signature does not verify")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range suites() {
		sign, verify, err := suiteSpeed(ctx, name, message, share)
		if err != nil {
			return err
		}
		r.report(Figure{
			Name: name + ".sign", Value: sign.rate(), Unit: "1/s", Count: len(sign),
			Means: pos.Text{ZH: "单核每秒签名次数", EN: "signatures a second on one core"},
			Peer:  &Peer{Name: "ECDSA P-256 sign", Value: peerSign.rate()},
		})
		r.report(Figure{
			Name: name + ".verify", Value: verify.rate(), Unit: "1/s", Count: len(verify),
			Means: pos.Text{ZH: "单核每秒验签次数", EN: "verifications a second on one core"},
			Peer:  &Peer{Name: "ECDSA P-256 verify", Value: peerVerify.rate()},
		})
	}
	return nil
}

func suiteSpeed(ctx context.Context, name string, message []byte, share time.Duration) (sign, verify samples, err error) {
	signer, verifier, err := pair(name)
	if err != nil {
		return nil, nil, err
	}
	var sig []byte
	sign, err = often(ctx, share, func() (err error) {
		sig, err = signer.Sign(dcep.DomainHead, message)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	verify, err = often(ctx, share, func() error { return verifier.Verify(dcep.DomainHead, message, sig) })
	return sign, verify, err
}

// pair is a new key with its verifier.
func pair(name string) (dcep.Signer, dcep.Verifier, error) {
	suite, err := dcep.SuiteByName(name)
	if err != nil {
		return nil, nil, err
	}
	signer, err := suite.Generate()
	if err != nil {
		return nil, nil, err
	}
	verifier, err := suite.Verifier(signer.Public())
	return signer, verifier, err
}

// verifyRate is the floor of everything that must verify each entry: bare verifications a second on one core.
func verifyRate(ctx context.Context, name string, share time.Duration) (*Peer, error) {
	_, verify, err := suiteSpeed(ctx, name, make([]byte, dcep.HashSize), share)
	return &Peer{Name: name + " verify, one core", Value: verify.rate()}, err
}

// often repeats f until the time is over, once at least.
func often(ctx context.Context, share time.Duration, f func() error) (samples, error) {
	var s samples
	for end := time.Now().Add(share); len(s) == 0 || time.Now().Before(end); {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		if err := s.time(f); err != nil {
			return s, err
		}
	}
	return s, nil
}
