package wire

import (
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Enrolment goes over HTTP, because a till has no NATS user before it:
// POST /v1/enroll with an EnrolRequest as JSON, answered by an EnrolAnswer.

// EnrolPath is the path of the centre's enrolment resource.
const EnrolPath = "/v1/enroll"

// EnrolRequest carries a one-time code and the keys that the device made.
type EnrolRequest struct {
	Code      string          `json:"code"`
	Env       pos.Environment `json:"env"`
	Class     string          `json:"class"` // terminal class: self-checkout, counter, smart-pos, all-in-one, sdk
	Suite     string          `json:"suite"`
	PublicKey []byte          `json:"public_key"` // PKIX DER of the journal key
	NATSKey   string          `json:"nats_key"`   // nkey public user key, "U…"
	// Proof signs code ‖ 0x00 ‖ public key (PKIX DER) under DomainEnrol with the journal key.
	Proof []byte `json:"proof"`
}

// DomainEnrol is the domain of the proof that the device holds the key.
const DomainEnrol = "dcpos-enrol-1"

// EnrolAnswer makes the device a terminal. The same code with the same keys is a
// repeat and gives the same answer; with other keys it is refused.
type EnrolAnswer struct {
	Terminal  string        `json:"terminal"`
	Merchant  string        `json:"merchant"`
	Store     string        `json:"store"`
	StoreName pos.Text      `json:"store_name"`
	Epoch     uint32        `json:"epoch"`
	CentreKey []byte        `json:"centre_key"` // PKIX DER: the till pins it
	Suite     string        `json:"suite"`      // of the centre's key
	NATSURL   string        `json:"nats_url"`
	Policies  []dcep.Sealed `json:"policies"` // that cover the terminal, in force and to come
	Trust     dcep.Trust    `json:"trust"`
	CentreMS  int64         `json:"centre_ms"`
}
