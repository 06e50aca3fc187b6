package kernel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// QR is the reference kernel: the till shows a challenge, the wallet shows its
// signed answer. Formats: dcep.Challenge and dcep.Evidence.
type QR struct {
	// Trust gives the present trust; it changes when the centre sends a newer one.
	Trust func() dcep.Trust
	// RevocationMax is the age of the trust beyond which nothing is verified; nil or 0 takes 72 h.
	RevocationMax func() time.Duration
}

var _ Kernel = (*QR)(nil)

// Env is the environment of the trust.
func (k *QR) Env() pos.Environment { return k.Trust().Env }

// Ready refuses when there is no trust, or when the list of revoked wallets is older
// than RevocationMax.
func (k *QR) Ready(_ context.Context, now time.Time) error {
	trust := k.Trust()
	if len(trust.Roots) == 0 || len(trust.Institutions) == 0 {
		return notReady(errors.New("no trust anchors"))
	}
	limit := pos.DefaultLimits().RevocationMax
	if k.RevocationMax != nil && k.RevocationMax() > 0 {
		limit = k.RevocationMax()
	}
	if age := now.Sub(time.UnixMilli(trust.IssuedMS)); age > limit {
		return pos.NewError(pos.ErrRevocationOld, fmt.Errorf("it is %s old", age.Round(time.Minute)))
	}
	return nil
}

func notReady(err error) error {
	return &pos.Error{
		Code: pos.ErrEvidence,
		Text: pos.Text{ZH: "离线收款所需的信任名单缺失", EN: "the trust list for offline payments is missing"},
		Hint: pos.Text{ZH: "请先联网更新,再离线收款", EN: "connect once so that it is renewed, then go on"},
		Err:  err,
	}
}

// Begin makes a challenge with a fresh nonce.
func (k *QR) Begin(_ context.Context, r Request) (Prompt, error) {
	c := dcep.Challenge{
		Env: r.Env, Terminal: r.Terminal, Merchant: r.Merchant, Payment: r.Payment, Amount: r.Amount,
		Nonce: make([]byte, dcep.NonceSize), AtMS: r.At.UnixMilli(), ExpiresMS: r.Expires.UnixMilli(),
		Category: r.Category,
	}
	if _, err := rand.Read(c.Nonce); err != nil {
		return Prompt{}, fmt.Errorf("draw nonce: %w", err)
	}
	text, err := dcep.EncodeChallenge(c)
	if err != nil {
		return Prompt{}, fmt.Errorf("encode challenge of %s: %w", r.Payment, err)
	}
	return Prompt{Text: text, Expires: r.Expires, Secret: &session{challenge: c}}, nil
}

// Verify checks form, challenge, certificate and signature.
func (k *QR) Verify(ctx context.Context, p Prompt, answer string, now time.Time) (Taken, error) {
	s, ok := p.Secret.(*session)
	if !ok {
		return Taken{}, pos.NewError(pos.ErrEvidence, errors.New("no challenge was shown"))
	}
	if err := k.Ready(ctx, now); err != nil {
		return Taken{}, err
	}
	e, err := dcep.DecodeEvidence(answer)
	if err != nil {
		return Taken{}, finding(err)
	}
	if err := e.Answers(s.challenge, now); err != nil {
		return Taken{}, finding(err)
	}
	wallet, err := dcep.VerifyEvidence(k.Trust(), e, now)
	if err != nil {
		return Taken{}, finding(err)
	}
	return take(e, wallet)
}

func take(e dcep.Evidence, w dcep.WalletCertificate) (Taken, error) {
	whole, err := dcep.Marshal(e)
	if err != nil {
		return Taken{}, fmt.Errorf("encode evidence: %w", err)
	}
	return Taken{Evidence: whole, Wallet: w.Serial, Counter: e.Counter, Institution: w.Institution, Tier: w.Tier, Envelopes: e.Envelopes}, nil
}

// finding gives every reason why evidence is not taken the code of evidence, unless
// it has a more precise one.
func finding(err error) error {
	if _, ok := errors.AsType[*pos.Error](err); ok {
		return err
	}
	return pos.NewError(pos.ErrEvidence, err)
}
