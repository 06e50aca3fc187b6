package dcep

import (
	"crypto/hkdf"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"

	"github.com/emmansun/gmsm/sm4"

	"dcpos/pos"
)

// ForwardPrefix begins a code that its institution may charge later. No institution has
// published such a form: this one is ours and says so.
const ForwardPrefix = "dcpos:fw1:"

// ForwardCode is a code of an instrument that its institution marks as forwardable: a
// bearer secret for one payment.
type ForwardCode struct {
	Institution string // such as ICBC
	Instrument  string // the institution's name of the instrument
	Secret      string // 26 letters and digits: base32 of 128 bits
}

var forwardForm = regexp.MustCompile(`^dcpos:fw1:([A-Z0-9]{2,12}):([a-z0-9-]{1,12}):([A-Z2-7]{26})$`)

var errForward = errors.New("want dcpos:fw1:INSTITUTION:INSTRUMENT: and 26 of A-Z 2-7")

// ParseForward reads a forwardable code; ErrBadCode for anything else. The error never
// holds the code.
func ParseForward(text string) (ForwardCode, error) {
	m := forwardForm.FindStringSubmatch(text)
	if m == nil {
		return ForwardCode{}, pos.FieldError(pos.ErrBadCode, "code", errForward)
	}
	return ForwardCode{Institution: m[1], Instrument: m[2], Secret: m[3]}, nil
}

// NewForward draws a code of an instrument.
func NewForward(institution, instrument string) ForwardCode {
	return ForwardCode{Institution: institution, Instrument: instrument, Secret: rand.Text()}
}

// String is the text of the code, 64 characters at most. It is a bearer secret.
func (c ForwardCode) String() string {
	return ForwardPrefix + c.Institution + ":" + c.Instrument + ":" + c.Secret
}

// codeSeal binds the key that seals codes to its use.
const codeSeal = "dcpos-code-seal-1"

func codeKey(s Suite, key []byte) ([]byte, error) {
	size := 32
	if s.Name() == SM2SM3 {
		size = sm4.BlockSize
	}
	return hkdf.Key(s.New, key, nil, codeSeal, size)
}

// SealCode encrypts a code for the time until it is charged, under a key made of the
// terminal's secret for codes (HKDF of the suite's hash): SM4-GCM or AES-256-GCM. It is
// bound to its payment.
func SealCode(s Suite, key []byte, id pos.PaymentID, code string) ([]byte, error) {
	k, err := codeKey(s, key)
	if err != nil {
		return nil, fmt.Errorf("seal code: %w", err)
	}
	aead, err := ContentCipher(s, k)
	if err != nil {
		return nil, fmt.Errorf("seal code: %w", err)
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never returns an error
	return aead.Seal(nonce, nonce, []byte(code), id[:]), nil
}

// OpenCode reads what SealCode made for this payment; ErrSignature for anything else.
func OpenCode(s Suite, key []byte, id pos.PaymentID, sealed []byte) (string, error) {
	k, err := codeKey(s, key)
	if err != nil {
		return "", fmt.Errorf("open code: %w", err)
	}
	aead, err := ContentCipher(s, k)
	if err != nil {
		return "", fmt.Errorf("open code: %w", err)
	}
	if len(sealed) < aead.NonceSize() {
		return "", fmt.Errorf("open code: %d bytes: %w", len(sealed), ErrSignature)
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], id[:])
	if err != nil {
		return "", fmt.Errorf("open code: %w", ErrSignature)
	}
	return string(plain), nil
}
