package register

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// keys are what the campaign's key is spread into; none is used for two things.
type keys struct {
	person, phone, ref, code, query []byte
	seal                            cipher.AEAD
}

const keySize = 32

func keysOf(master []byte, campaign string) (*keys, error) {
	k := new(keys)
	var seal []byte
	for name, into := range map[string]*[]byte{
		"person": &k.person, "phone": &k.phone, "ref": &k.ref, "code": &k.code, "query": &k.query, "seal": &seal,
	} {
		b, err := hkdf.Key(sha256.New, master, nil, "registration-v1 "+campaign+" "+name, keySize)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		*into = b
	}
	var err error
	k.seal, err = gcm(seal)
	return k, err
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	return a, nil
}

// keyed is HMAC-SHA256 over the parts, each preceded by its length.
func keyed(key []byte, parts ...string) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(fmt.Appendf(nil, "%d:%s", len(p), p))
	}
	h.Sum(sum[:0])
	return sum
}

func (k *keys) personOf(id Identity) [32]byte {
	return keyed(k.person, string(id.Document), id.Country, id.Number)
}

// Personal is what names an entrant; it is kept encrypted only.
type Personal struct {
	Name     string   `json:"name"`
	Identity Identity `json:"identity"`
	Phone    string   `json:"phone"`
}

// hide encrypts; the reference binds the text to its registration.
func (k *keys) hide(p Personal, ref [32]byte) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("personal data: %w", err)
	}
	return k.seal.Seal(nil, nil, b, ref[:]), nil
}

func (k *keys) reveal(b []byte, ref [32]byte) (p Personal, err error) {
	plain, err := k.seal.Open(nil, nil, b, ref[:])
	if err != nil {
		return p, errors.New("personal data: does not open")
	}
	return p, json.Unmarshal(plain, &p)
}

// newKey makes a campaign's key and its form for the store, wrapped by the centre's.
func newKey(wrap cipher.AEAD, campaign string) (key, wrapped []byte) {
	key = make([]byte, keySize)
	rand.Read(key)
	return key, wrap.Seal(nil, nil, key, []byte(campaign))
}

func unwrap(wrap cipher.AEAD, campaign string, wrapped []byte) ([]byte, error) {
	key, err := wrap.Open(nil, nil, wrapped, []byte(campaign))
	if err != nil || len(key) != keySize {
		return nil, errors.New("campaign key: does not open with this centre's key")
	}
	return key, nil
}
