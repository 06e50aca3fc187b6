package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/apdu"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// AID names the lab's wallet application: F0 "dcpos" and the version of the protocol. F is
// the category of ISO/IEC 7816-4, 8.2.1.2 that nobody registers; this name is ours.
const AID = "\xF0dcpos\x01"

// The commands of version 1, and the most that comes back. docs/PROTOCOL.md has the bytes.
const (
	claInter = 0x00 // may go as a chain (5.3.3)
	claOurs  = 0x80

	insGetData = 0xCA
	insSign    = 0x2A // PERFORM SECURITY OPERATION (ISO/IEC 7816-8)

	tagCertificate = 0x7F21 // cardholder certificate (ISO/IEC 7816-6)
	signP1P2       = 0x9E9A // compute digital signature

	maxCertificate = 2048
	maxBare        = 1024

	statusNoReference apdu.Status = 0x6A88 // referenced data not found
)

// The time limits of one tap. A person holds a card still for about a second; a wallet that
// takes longer than these is told to be held again.
const (
	StepTime = 2 * time.Second // each command, with its chain and its GET RESPONSEs
	TapTime  = 5 * time.Second // all of a tap
	// RecoverTime is how long after the prompt's expiry a torn promise is still fetched.
	RecoverTime = 2 * time.Minute
)

// session is what the till knows of one challenge.
type session struct {
	challenge dcep.Challenge

	mu        sync.Mutex
	presented time.Time // when a wallet was last asked to sign it by radio; zero: never
}

func (s *session) present(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.presented = now
}

// asked is when a wallet was last asked to sign; false when none was.
func (s *session) asked() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.presented, !s.presented.IsZero()
}

func (s *session) expired(now time.Time) bool { return now.UnixMilli() > s.challenge.ExpiresMS }

// lost reports whether nothing can come of the challenge any more.
func (s *session) lost(now time.Time) bool {
	_, asked := s.asked()
	return s.expired(now) && (!asked || s.expired(now.Add(-RecoverTime)))
}

// NFC is the reference kernel by radio. It shows the same challenge as QR does, so that a
// wallet may answer by either way.
type NFC struct{ QR }

var _ Tapper = (*NFC)(nil)

// Tap implements Tapper: select, certificate, challenge, promise, verify.
func (k *NFC) Tap(ctx context.Context, t Tap) (Taken, error) {
	now := t.Now()
	var s *session
	if t.Choose == nil {
		var err error
		if s, err = sessionOf(t.Prompt, now); err != nil {
			return Taken{}, err
		}
	}
	if err := k.Ready(ctx, now); err != nil {
		return Taken{}, err
	}
	limited, cancel := context.WithTimeout(ctx, TapTime)
	defer cancel()
	taken, err := k.converse(limited, t, s, now)
	if err == nil {
		return taken, nil
	}
	if ctx.Err() != nil {
		return Taken{}, ctx.Err()
	}
	return Taken{}, tapFinding(err)
}

// sessionOf is what the kernel knows of a prompt of which something can still come.
func sessionOf(p Prompt, now time.Time) (*session, error) {
	s, ok := p.Secret.(*session)
	if !ok {
		return nil, pos.NewError(pos.ErrEvidence, errors.New("no challenge was made"))
	}
	if s.lost(now) {
		return nil, pos.NewError(pos.ErrEvidenceLate, errors.New("the challenge has expired"))
	}
	return s, nil
}

// converse is the whole dialogue with one card. A nil session is chosen for the wallet.
func (k *NFC) converse(ctx context.Context, t Tap, s *session, now time.Time) (Taken, error) {
	if err := selectWallet(ctx, t.Card); err != nil {
		return Taken{}, err
	}
	der, err := certificate(ctx, t.Card)
	if err != nil {
		return Taken{}, err
	}
	wallet, err := k.Trust().VerifyWallet(der, now)
	if err != nil {
		return Taken{}, err
	}
	who := Wallet{Serial: wallet.Serial, Institution: wallet.Institution, Tier: wallet.Tier}
	if s == nil {
		p, err := t.Choose(ctx, who)
		if err != nil {
			return Taken{}, err
		}
		if s, err = sessionOf(p, now); err != nil {
			return Taken{}, err
		}
	}
	bare, err := promise(ctx, t, s, who)
	if err != nil {
		return Taken{}, err
	}
	e, err := dcep.ParseBare(bare, der)
	if err != nil {
		return Taken{}, err
	}
	at, _ := s.asked()
	if err := e.Answers(s.challenge, at); err != nil {
		return Taken{}, err
	}
	if err := wallet.Signed(e); err != nil {
		return Taken{}, err
	}
	return take(e, wallet)
}

func selectWallet(ctx context.Context, card drivers.Card) error {
	ctx, cancel := context.WithTimeout(ctx, StepTime)
	defer cancel()
	_, err := nfc.SelectApplication(ctx, card, []nfc.Candidate{{AID: []byte(AID)}})
	return err
}

// certificate is GET CERTIFICATE.
func certificate(ctx context.Context, card drivers.Card) ([]byte, error) {
	c := apdu.Command{CLA: claInter, INS: insGetData, P1: tagCertificate >> 8, P2: tagCertificate & 0xFF, Ne: 256}
	data, status, err := exchange(ctx, card, c, maxCertificate)
	if err != nil {
		return nil, err
	}
	return data, refusal(status)
}

// promise gets the evidence of the session's challenge: what the wallet has kept of an
// earlier tap, else what it signs now.
func promise(ctx context.Context, t Tap, s *session, wallet Wallet) ([]byte, error) {
	if _, asked := s.asked(); asked {
		c := apdu.Command{CLA: claOurs, INS: insGetData, Data: s.challenge.Nonce, Ne: 256}
		data, status, err := exchange(ctx, t.Card, c, maxBare)
		if err != nil || status == apdu.OK {
			return data, err
		}
		if status != statusNoReference {
			return nil, refusal(status)
		}
	}
	if s.expired(t.Now()) {
		return nil, pos.NewError(pos.ErrEvidenceLate, errors.New("this wallet has not signed the challenge, and it has expired"))
	}
	if t.Admit != nil {
		if err := t.Admit(ctx, wallet); err != nil {
			return nil, err
		}
	}
	challenge, err := dcep.Marshal(s.challenge)
	if err != nil {
		return nil, err
	}
	s.present(t.Now())
	c := apdu.Command{CLA: claInter, INS: insSign, P1: signP1P2 >> 8, P2: signP1P2 & 0xFF, Data: challenge, Ne: 256}
	data, status, err := exchange(ctx, t.Card, c, maxBare)
	if err != nil {
		return nil, err
	}
	return data, refusal(status)
}

// exchange sends one command within StepTime. A command of several hundred bytes with a
// short answer wanted goes as a chain or as an extended APDU, as the reader can.
func exchange(ctx context.Context, card drivers.Card, c apdu.Command, most int) ([]byte, apdu.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, StepTime)
	defer cancel()
	command, err := c.Bytes()
	if err != nil {
		return nil, 0, err
	}
	response, err := card.Transmit(ctx, command)
	if err != nil {
		return nil, 0, err
	}
	data, status, err := apdu.Split(response)
	if err == nil && len(data) > most {
		err = fmt.Errorf("an answer of %d bytes, at most %d: %w", len(data), most, dcep.ErrEvidence)
	}
	return data, status, err
}

// refusal is what a wallet's status word means; nil for success.
func refusal(s apdu.Status) error {
	if s == apdu.OK {
		return nil
	}
	code := pos.ErrEvidence
	if s == apdu.NotSatisfied {
		code = pos.ErrTapRefused
	}
	return pos.NewError(code, fmt.Errorf("the wallet answered with status %v", s))
}

// tapFinding gives what went wrong with a card a code that a person can act on.
func tapFinding(err error) error {
	switch {
	case errors.Is(err, drivers.ErrNoExist):
		return pos.NewError(pos.ErrTapNoWallet, err)
	case errors.Is(err, drivers.ErrTorn), errors.Is(err, drivers.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return pos.NewError(pos.ErrTapTorn, err)
	case errors.Is(err, drivers.ErrManyCards):
		return pos.NewError(pos.ErrTapMany, err)
	}
	return finding(err)
}
