package dcep

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"dcpos/pos"
)

// DomainSlip is the domain of a slip's signature.
const DomainSlip = "dcpos-slip-1"

// MaxSlip bounds a slip's text in bytes: with it a receipt's QR is at most version 14 at level M, which 58 mm paper
// (383 dots) prints at 4 dots a module.
const MaxSlip = 300

// Slip is what the QR of a paper receipt proves: at this place of its journal, whose head was Head, the terminal
// recorded that the payment stood so. Whoever has the terminal's public key can check it without the till;
// whoever has the journal (the centre, an auditor) can check that the head is in it.
type Slip struct {
	Env      pos.Environment
	Terminal string
	Epoch    uint32
	Seq      uint64
	Head     []byte // hash of the entry
	Payment  pos.PaymentID
	Amount   pos.Money
	State    pos.State
	AtMS     int64 // the entry's wall clock
	Sig      []byte
}

// slipBytes is the array that is signed, and without the payment, with the signature, the one that is printed.
type slipBytes struct {
	_        struct{} `cbor:",toarray"`
	Version  int
	Env      pos.Environment
	Terminal string
	Epoch    uint32
	Seq      uint64
	Head     []byte
	Payment  []byte
	Amount   pos.Money
	State    pos.State
	AtMS     int64
	Sig      []byte
}

func (s Slip) bytes() slipBytes {
	return slipBytes{
		Version: 1, Env: s.Env, Terminal: s.Terminal, Epoch: s.Epoch, Seq: s.Seq, Head: s.Head, Payment: s.Payment[:],
		Amount: s.Amount, State: s.State, AtMS: s.AtMS,
	}
}

// Sign fills Sig.
func (s *Slip) Sign(signer Signer) error {
	m, err := Marshal(s.bytes())
	if err != nil {
		return err
	}
	s.Sig, err = signer.Sign(DomainSlip, m)
	return err
}

// Verify returns ErrSignature unless the terminal's key signed the slip.
func (s Slip) Verify(v Verifier) error {
	m, err := Marshal(s.bytes())
	if err != nil {
		return err
	}
	if err := v.Verify(DomainSlip, m, s.Sig); err != nil {
		return fmt.Errorf("slip of payment %s: %w", s.Payment, err)
	}
	return nil
}

// Text is the slip for a QR code: the payment's id, a full stop, and base64url of the rest. A reader that wants only
// the payment stops at the full stop.
func (s Slip) Text() (string, error) {
	b := s.bytes()
	b.Payment, b.Sig = nil, s.Sig
	raw, err := Marshal(b)
	if err != nil {
		return "", err
	}
	text := s.Payment.String() + "." + base64.RawURLEncoding.EncodeToString(raw)
	if len(text) > MaxSlip {
		return "", fmt.Errorf("slip of %d bytes, at most %d", len(text), MaxSlip)
	}
	return text, nil
}

// ErrSlip is returned for a text that is no slip.
var ErrSlip = errors.New("not the proof of a receipt")

// ParseSlip reads what Text gave. It verifies nothing.
func ParseSlip(text string) (Slip, error) {
	var s Slip
	id, rest, found := strings.Cut(text, ".")
	if !found || len(text) > MaxSlip {
		return s, ErrSlip
	}
	payment, err := pos.ParsePaymentID(id)
	if err != nil {
		return s, errors.Join(ErrSlip, err)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return s, errors.Join(ErrSlip, err)
	}
	var b slipBytes
	if err := UnmarshalExact(raw, &b); err != nil {
		return s, errors.Join(ErrSlip, err)
	}
	if b.Version != 1 || b.Payment != nil || len(b.Head) != HashSize || len(b.Sig) != SignatureSize {
		return s, fmt.Errorf("version %d: %w", b.Version, ErrSlip)
	}
	return Slip{
		Env: b.Env, Terminal: b.Terminal, Epoch: b.Epoch, Seq: b.Seq, Head: b.Head, Payment: payment, Amount: b.Amount,
		State: b.State, AtMS: b.AtMS, Sig: b.Sig,
	}, nil
}
