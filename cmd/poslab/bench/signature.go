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
	steps := []func() error{
		func() (err error) {
			digest := sha256.Sum256(message)
			peerSig, err = ecdsa.SignASN1(rand.Reader, p256, digest[:])
			return err
		},
		func() error {
			digest := sha256.Sum256(message)
			if !ecdsa.VerifyASN1(&p256.PublicKey, digest[:], peerSig) {
				return errors.New("the peer's signature does not verify")
			}
			return nil
		},
	}
	for _, name := range suites() {
		two, err := signAndVerify(name, message)
		if err != nil {
			return err
		}
		steps = append(steps, two...)
	}
	s, err := byTurns(ctx, r.Repeat, steps...)
	if err != nil {
		return err
	}
	for i, name := range suites() {
		sign, verify := s[2+2*i], s[3+2*i]
		r.report(Figure{
			Name: name + ".sign", Value: sign.rate(), Unit: "1/s", Count: len(sign),
			Means: pos.Text{ZH: "单核每秒签名次数", EN: "signatures a second on one core"},
			Peer:  &Peer{Name: "ECDSA P-256 sign", Value: s[0].rate()},
		})
		r.report(Figure{
			Name: name + ".verify", Value: verify.rate(), Unit: "1/s", Count: len(verify),
			Means: pos.Text{ZH: "单核每秒验签次数", EN: "verifications a second on one core"},
			Peer:  &Peer{Name: "ECDSA P-256 verify", Value: s[1].rate()},
		})
	}
	return nil
}

// signAndVerify are two steps: the second verifies what the first has signed.
func signAndVerify(name string, message []byte) ([]func() error, error) {
	signer, verifier, err := pair(name)
	if err != nil {
		return nil, err
	}
	var sig []byte
	return []func() error{
		func() (err error) {
			sig, err = signer.Sign(dcep.DomainHead, message)
			return err
		},
		func() error { return verifier.Verify(dcep.DomainHead, message, sig) },
	}, nil
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
	two, err := signAndVerify(name, make([]byte, dcep.HashSize))
	if err != nil {
		return nil, err
	}
	s, err := byTurns(ctx, share, two...)
	if err != nil {
		return nil, err
	}
	return &Peer{Name: name + " verify, one core", Value: s[1].rate()}, nil
}

// byTurns repeats the steps in order until the time is over, once at least, so that what
// else the machine does meets all of them alike.
func byTurns(ctx context.Context, share time.Duration, steps ...func() error) ([]samples, error) {
	all := make([]samples, len(steps))
	for end := time.Now().Add(share); len(all[0]) == 0 || time.Now().Before(end); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i, step := range steps {
			if err := all[i].time(step); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
