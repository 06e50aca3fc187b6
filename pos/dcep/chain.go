package dcep

import (
	"bytes"
	"errors"
	"fmt"

	"dcpos/pos"
)

// The domains of the chain. A change of the bytes under one is a new domain.
const (
	DomainEntry   = "dcpos-entry-1"
	DomainHead    = "dcpos-head-1"
	DomainReceipt = "dcpos-receipt-1"
)

// ErrChain is the parent of every finding about a chain that does not hold.
var ErrChain = errors.New("journal chain does not hold")

// entryBytes is the array that an entry's hash covers: every field but Hash and Sig.
type entryBytes struct {
	_            struct{} `cbor:",toarray"`
	Domain       string
	Terminal     string
	Epoch        uint32
	Seq          uint64
	Env          pos.Environment
	Kind         pos.Kind
	Payment      pos.PaymentID
	Operator     string
	WallMS       int64
	MonoMS       int64
	BootID       string
	CentreMS     int64
	BusinessDate pos.Date
	Body         []byte
	Prev         []byte
}

// HashEntry computes the hash of an entry from its other fields.
func HashEntry(s Suite, e pos.Entry) ([]byte, error) {
	if len(e.Prev) == 0 {
		e.Prev = nil // CBOR null: databases do not all tell nil from empty
	}
	b, err := Marshal(entryBytes{
		Domain: DomainEntry, Terminal: e.Terminal, Epoch: e.Epoch, Seq: e.Seq, Env: e.Env, Kind: e.Kind,
		Payment: e.Payment, Operator: e.Operator,
		WallMS: e.At.WallMS, MonoMS: e.At.MonoMS, BootID: e.At.BootID, CentreMS: e.At.CentreMS,
		BusinessDate: e.BusinessDate, Body: e.Body, Prev: e.Prev,
	})
	if err != nil {
		return nil, err
	}
	return Sum(s, b), nil
}

// Seal fills Prev, Hash and Sig of an entry that follows the head prev.
func Seal(signer Signer, prev []byte, e *pos.Entry) error {
	e.Prev = prev
	h, err := HashEntry(signer.Suite(), *e)
	if err != nil {
		return err
	}
	e.Hash = h
	if e.Sig, err = signer.Sign(DomainHead, h); err != nil {
		return err
	}
	return nil
}

// CheckLink verifies that e is the next entry of the chain whose head is prev with
// sequence number prevSeq: number, previous head and hash, not the signature.
func CheckLink(s Suite, prevSeq uint64, prev []byte, e pos.Entry) error {
	switch {
	case e.Seq != prevSeq+1:
		return fmt.Errorf("entry %d follows %d: gap: %w", e.Seq, prevSeq, ErrChain)
	case !bytes.Equal(e.Prev, prev):
		return fmt.Errorf("entry %d: previous head differs: %w", e.Seq, ErrChain)
	}
	h, err := HashEntry(s, e)
	if err != nil {
		return err
	}
	if !bytes.Equal(h, e.Hash) {
		return fmt.Errorf("entry %d: hash differs from content: %w", e.Seq, ErrChain)
	}
	return nil
}

// CheckHead verifies an entry's signature of its head.
func CheckHead(v Verifier, e pos.Entry) error {
	if err := v.Verify(DomainHead, e.Hash, e.Sig); err != nil {
		return fmt.Errorf("entry %d: head: %w: %w", e.Seq, err, ErrChain)
	}
	return nil
}

// Body decodes an entry's body into the type of its kind. A kind that this
// version does not know gives nil, nil: it is kept and passed on.
func Body(e pos.Entry) (any, error) {
	var v any
	switch e.Kind {
	case pos.KindEpochOpened:
		v = new(pos.EpochOpened)
	case pos.KindPaymentCreated:
		v = new(pos.PaymentCreated)
	case pos.KindPaymentMoved:
		v = new(pos.PaymentMoved)
	case pos.KindLatePaid:
		v = new(pos.LatePaid)
	case pos.KindRefundMoved:
		v = new(pos.RefundMoved)
	case pos.KindOrderConfirmed:
		v = new(pos.OrderConfirmed)
	case pos.KindPrint:
		v = new(pos.Printed)
	case pos.KindDrawer:
		v = new(pos.DrawerOpened)
	case pos.KindShift:
		v = new(pos.Shift)
	case pos.KindClockJump:
		v = new(pos.ClockJump)
	case pos.KindConfig:
		v = new(pos.ConfigChanged)
	case pos.KindCheckpoint:
		v = new(pos.Checkpoint)
	default:
		return nil, nil //nolint:nilnil // documented: an unknown kind has no body type here
	}
	if err := UnmarshalExact(e.Body, v); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	return v, nil
}

// Apply folds one entry into the payment it names and returns the payment after
// it. known tells whether p is that payment as it stood before; entries that
// change no payment return p unchanged and changed = false.
func Apply(p pos.Payment, known bool, e pos.Entry) (next pos.Payment, changed bool, err error) {
	body, err := Body(e)
	if err != nil {
		return p, false, err
	}
	switch b := body.(type) {
	case *pos.PaymentCreated:
		if known {
			return p, false, fmt.Errorf("entry %d: payment %s was created before: %w", e.Seq, e.Payment, ErrChain)
		}
		next, err = pos.Start(e, *b)
		return next, err == nil, err
	case *pos.PaymentMoved:
		next, err = p.Move(e, *b)
	case *pos.LatePaid:
		next, err = p.Late(e, *b)
	case *pos.RefundMoved:
		next, err = p.RefundMove(e, *b)
	default:
		return p, false, nil
	}
	if !known {
		return p, false, fmt.Errorf("entry %d: payment %s was never created: %w", e.Seq, e.Payment, ErrChain)
	}
	return next, err == nil, err
}

// ApplyPrint folds one entry into the print job it names and returns the job after it.
// job finds the job as it stood before; the zero one when there is none. Entries that
// are about no print job return changed = false.
func ApplyPrint(e pos.Entry, job func(id string) (pos.PrintJob, error)) (next pos.PrintJob, changed bool, err error) {
	if e.Kind != pos.KindPrint {
		return next, false, nil
	}
	body, err := Body(e)
	if err != nil {
		return next, false, err
	}
	b, ok := body.(*pos.Printed)
	if !ok {
		return next, false, fmt.Errorf("entry %d: %T is no print: %w", e.Seq, body, ErrChain)
	}
	was, err := job(b.Job)
	if err != nil {
		return was, false, err
	}
	next, err = was.Take(e, *b)
	return next, err == nil, err
}

// Receipt is the centre's word, signed after its database commit, that it keeps
// everything of (Terminal, Epoch) up to and including Seq, whose head is Head. It is
// the only licence to forget.
type Receipt struct {
	Env        pos.Environment `json:"env"`
	Terminal   string          `json:"terminal"`
	Epoch      uint32          `json:"epoch"`
	Seq        uint64          `json:"seq"`
	Head       []byte          `json:"head"`
	CentreMS   int64           `json:"centre_ms"`
	Generation uint64          `json:"generation"` // restore generation: grows when the centre's database was restored
	Sig        []byte          `json:"sig,omitempty"`
}

func (r Receipt) message() ([]byte, error) {
	r.Sig = nil
	return Marshal(r)
}

// Sign fills Sig with the centre's key.
func (r *Receipt) Sign(signer Signer) error {
	m, err := r.message()
	if err != nil {
		return err
	}
	r.Sig, err = signer.Sign(DomainReceipt, m)
	return err
}

// Verify returns ErrSignature unless the centre's key signed the receipt.
func (r Receipt) Verify(v Verifier) error {
	m, err := r.message()
	if err != nil {
		return err
	}
	if err := v.Verify(DomainReceipt, m, r.Sig); err != nil {
		return fmt.Errorf("receipt for %s epoch %d up to %d: %w", r.Terminal, r.Epoch, r.Seq, err)
	}
	return nil
}
