package wire

import (
	"fmt"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Limits of one batch. Both are below NATS's default max_payload of 1 MiB.
const (
	BatchEntries = 256
	BatchBytes   = 256 << 10
)

// DomainBatch is the domain of a batch's signature.
const DomainBatch = "dcpos-batch-1"

// Batch carries consecutive entries of one (terminal, epoch). Prev is the head
// before the first. The signature covers everything else; that of the last entry's
// head makes the chain's.
type Batch struct {
	Env      pos.Environment `json:"env"`
	Terminal string          `json:"terminal"`
	Epoch    uint32          `json:"epoch"`
	First    uint64          `json:"first"`
	Last     uint64          `json:"last"`
	Prev     []byte          `json:"prev"`
	Head     []byte          `json:"head"`
	SentMS   int64           `json:"sent_ms"`
	Entries  []pos.Entry     `json:"entries"`
	Sig      []byte          `json:"sig,omitempty"`
}

// NewBatch puts entries into a signed batch. They must be consecutive and of one epoch.
func NewBatch(signer dcep.Signer, entries []pos.Entry, sentMS int64) (Batch, error) {
	if len(entries) == 0 || len(entries) > BatchEntries {
		return Batch{}, fmt.Errorf("batch of %d entries: want 1 to %d", len(entries), BatchEntries)
	}
	first, last := entries[0], entries[len(entries)-1]
	b := Batch{
		Env: first.Env, Terminal: first.Terminal, Epoch: first.Epoch, First: first.Seq, Last: last.Seq,
		Prev: first.Prev, Head: last.Hash, SentMS: sentMS, Entries: entries,
	}
	m, err := b.message()
	if err != nil {
		return Batch{}, err
	}
	b.Sig, err = signer.Sign(DomainBatch, m)
	return b, err
}

func (b Batch) message() ([]byte, error) {
	b.Sig = nil
	return dcep.Marshal(b)
}

// Check verifies form, chain and signatures of a batch by the terminal's key: the
// batch's own and the last head's, which covers every entry before it.
func (b Batch) Check(suite dcep.Suite, v dcep.Verifier) error { return b.CheckBy(suite, v, v) }

// CheckBy is Check where sender's key signed the batch: after a change of key (a TPM that
// was cleared) the till sends what is left of the closed epoch under the new one.
func (b Batch) CheckBy(suite dcep.Suite, v, sender dcep.Verifier) error {
	if len(b.Entries) == 0 || len(b.Entries) > BatchEntries ||
		b.First == 0 || b.Last != b.First+uint64(len(b.Entries))-1 {
		return fmt.Errorf("batch %d to %d holds %d entries: %w", b.First, b.Last, len(b.Entries), dcep.ErrChain)
	}
	m, err := b.message()
	if err != nil {
		return err
	}
	if err := sender.Verify(DomainBatch, m, b.Sig); err != nil {
		return fmt.Errorf("batch %d to %d: %w", b.First, b.Last, err)
	}
	return b.CheckChain(suite, v)
}

// CheckChain verifies a batch's entries and the last head's signature, not the batch's own:
// entries that came by a file prove themselves.
func (b Batch) CheckChain(suite dcep.Suite, v dcep.Verifier) error {
	prev := b.Prev
	for i, e := range b.Entries {
		if e.Terminal != b.Terminal || e.Epoch != b.Epoch || e.Env != b.Env {
			return fmt.Errorf("entry %d is of %s epoch %d %s: %w", e.Seq, e.Terminal, e.Epoch, e.Env, dcep.ErrChain)
		}
		if err := dcep.CheckLink(suite, b.First+uint64(i)-1, prev, e); err != nil {
			return err
		}
		prev = e.Hash
	}
	return dcep.CheckHead(v, b.Entries[len(b.Entries)-1])
}

// MarkRequest is asked by a till on connecting, after each batch burst, and now and then.
type MarkRequest struct {
	Env     pos.Environment `json:"env"`
	Epoch   uint32          `json:"epoch"`
	Seq     uint64          `json:"seq"`     // last entry written
	Receipt uint64          `json:"receipt"` // last entry receipted, as the till knows
	// ReceiptEpoch is the epoch of Receipt; before Epoch while a closed epoch is not receipted whole.
	ReceiptEpoch uint32 `json:"receipt_epoch"`
	Unsent       uint64 `json:"unsent"`  // entries without a receipt
	Verdict      uint64 `json:"verdict"` // last verdict applied
	SentMS       int64  `json:"sent_ms"` // the till's clock
	BootID       string `json:"boot_id"`
	Version      string `json:"version"`
	Policies     uint64 `json:"policies"` // highest version of a policy that was taken
	TrustMS      int64  `json:"trust_ms"` // when the trust in force was issued
	CatalogueMS  int64  `json:"catalogue_ms,omitempty"`
	// Nonce is drawn for each request. A mark that carries it was made after the request
	// left, so that the time in it is no older than the way there and back.
	Nonce []byte `json:"nonce,omitempty"`
}

// Mark is the centre's answer, and also its nudge: how far it is, what it lacks,
// what it decided. It travels sealed (SealMark): policies, trust and verdicts are orders.
type Mark struct {
	Env      pos.Environment `json:"env"`
	Terminal string          `json:"terminal"`
	Receipt  *dcep.Receipt   `json:"receipt,omitempty"` // the highest of the oldest epoch that the till has not receipted whole; absent when nothing is kept yet
	// ResendFrom is the first entry of ResendEpoch that the centre lacks though later ones came.
	ResendFrom  uint64        `json:"resend_from,omitempty"`
	ResendEpoch uint32        `json:"resend_epoch,omitempty"`
	Verdicts    []pos.Verdict `json:"verdicts,omitempty"` // after the one named in the request, in order, at most MaxVerdicts
	Quarantine  bool          `json:"quarantine,omitempty"`
	// Policies are all that cover the terminal, in force and to come, by version; when one
	// is newer than the request's.
	Policies  []dcep.Sealed `json:"policies,omitempty"`
	Trust     *dcep.Trust   `json:"trust,omitempty"`     // when issued after the request's
	Catalogue *dcep.Sealed  `json:"catalogue,omitempty"` // when issued after the request's
	Nonce     []byte        `json:"nonce,omitempty"`     // of the request that it answers
	CentreMS  int64         `json:"centre_ms"`
}

// NonceSize is the size of a request's nonce in bytes.
const NonceSize = 8

// MaxVerdicts bounds one Mark; the till asks again for more.
const MaxVerdicts = 200

// DomainMark is the domain of a mark's signature.
const DomainMark = "dcpos-mark-1"

// sealed is a message and its signature; signing the bytes as sent lets a newer
// centre say more than an older till understands.
type sealed struct {
	Body []byte `json:"body"`
	Sig  []byte `json:"sig"`
}

// SealMark encodes a mark and signs it with the centre's key.
func SealMark(signer dcep.Signer, m Mark) ([]byte, error) {
	body, err := dcep.Marshal(m)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(DomainMark, body)
	if err != nil {
		return nil, err
	}
	return dcep.Marshal(sealed{Body: body, Sig: sig})
}

// OpenMark reads what SealMark made and returns dcep.ErrSignature unless the centre's key signed it.
func OpenMark(centre dcep.Verifier, data []byte) (Mark, error) {
	var s sealed
	var m Mark
	if err := dcep.Unmarshal(data, &s); err != nil {
		return m, err
	}
	if err := centre.Verify(DomainMark, s.Body, s.Sig); err != nil {
		return m, fmt.Errorf("mark: %w", err)
	}
	return m, dcep.Unmarshal(s.Body, &m)
}
