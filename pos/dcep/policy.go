package dcep

import (
	"fmt"

	"dcpos/pos"
)

// The domains of what the centre signs for tills.
const (
	DomainPolicy    = "dcpos-policy-1"
	DomainCatalogue = "dcpos-catalogue-1"
)

// Sealed is a message and its signature over the bytes as sent.
type Sealed struct {
	Body []byte `json:"body"`
	Sig  []byte `json:"sig"`
}

func seal(signer Signer, domain string, v any) (Sealed, error) {
	body, err := Marshal(v)
	if err != nil {
		return Sealed{}, err
	}
	sig, err := signer.Sign(domain, body)
	return Sealed{Body: body, Sig: sig}, err
}

// SealPolicy signs a policy with the centre's key.
func SealPolicy(signer Signer, p pos.Policy) (Sealed, error) {
	if err := p.Check(); err != nil {
		return Sealed{}, err
	}
	return seal(signer, DomainPolicy, p)
}

// OpenPolicy reads what SealPolicy made: pos.ErrPolicyForged when the centre's key did not
// sign it, or not in canonical form.
func OpenPolicy(centre Verifier, s Sealed) (pos.Policy, error) {
	var p pos.Policy
	if err := centre.Verify(DomainPolicy, s.Body, s.Sig); err != nil {
		return p, pos.NewError(pos.ErrPolicyForged, fmt.Errorf("policy: %w", err))
	}
	if err := UnmarshalExact(s.Body, &p); err != nil {
		return pos.Policy{}, pos.NewError(pos.ErrPolicyForged, err)
	}
	return p, p.Check()
}

// SealCatalogue signs a catalogue with the centre's key.
func SealCatalogue(signer Signer, c pos.Catalogue) (Sealed, error) {
	return seal(signer, DomainCatalogue, c)
}

// OpenCatalogue reads what SealCatalogue made: ErrSignature when the centre's key did not
// sign it.
func OpenCatalogue(centre Verifier, s Sealed) (pos.Catalogue, error) {
	var c pos.Catalogue
	if err := centre.Verify(DomainCatalogue, s.Body, s.Sig); err != nil {
		return c, fmt.Errorf("catalogue: %w", err)
	}
	return c, UnmarshalExact(s.Body, &c)
}
