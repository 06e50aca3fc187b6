package dcep

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// SM2Device is a signer of suite sm2-sm3 whose private key stays in a device, such as a TPM. x and y are the
// public point, 32 bytes each. sign is given the 32 bytes that GB/T 32918.2 calls e, SM3 over Z ‖ M with the
// fixed user id, and returns r and s; it must be safe for concurrent use. Each signature is verified before
// it is given out: a device that signs with another key or another equation is an error, never a journal
// that nobody can verify.
func SM2Device(x, y []byte, sign func(e []byte) (r, s []byte, err error)) (Signer, error) {
	key := &ecdsa.PublicKey{Curve: sm2.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)} //nolint:staticcheck // as below
	if !key.Curve.IsOnCurve(key.X, key.Y) {                                                              //nolint:staticcheck // the curve is SM2's, which crypto/ecdh does not have
		return nil, fmt.Errorf("public key of the device: the point is not on the SM2 curve")
	}
	public, err := smx509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return &sm2Device{public: public, verifier: sm2Verifier{key}, sign: sign}, nil
}

type sm2Device struct {
	public   []byte
	verifier sm2Verifier
	sign     func(e []byte) (r, s []byte, err error)
}

func (d *sm2Device) Suite() Suite           { return sm2Suite{} }
func (d *sm2Device) Public() []byte         { return bytes.Clone(d.public) }
func (d *sm2Device) Private() crypto.Signer { return nil }

func (d *sm2Device) Sign(domain string, message []byte) ([]byte, error) {
	e, err := sm2.CalculateSM2Hash(d.verifier.key, framed(domain, message), []byte(sm2UserID))
	if err != nil {
		return nil, fmt.Errorf("sign with SM2 device: %w", err)
	}
	r, s, err := d.sign(e)
	if err != nil {
		return nil, fmt.Errorf("sign with SM2 device: %w", err)
	}
	if len(r) > SignatureSize/2 || len(s) > SignatureSize/2 {
		return nil, fmt.Errorf("sign with SM2 device: r of %d and s of %d bytes", len(r), len(s))
	}
	sig := make([]byte, SignatureSize)
	copy(sig[SignatureSize/2-len(r):], r)
	copy(sig[SignatureSize-len(s):], s)
	if err := d.verifier.Verify(domain, message, sig); err != nil {
		return nil, fmt.Errorf("the device's own signature: %w", err)
	}
	return sig, nil
}
