package fleet

import (
	"context"
	"fmt"

	"dcpos/pos"
)

// State is what a terminal may do.
type State string

// The states of a terminal.
const (
	Active      State = "active"
	Quarantined State = "quarantined" // it may deliver its journal, but ask for nothing
	Suspended   State = "suspended"   // it may not connect
)

// Merchant is who is paid.
type Merchant struct {
	ID   string   `json:"id"`
	Name pos.Text `json:"name"`
}

// Shop is a store of a merchant; the word keeps it apart from the database.
type Shop struct {
	ID       string   `json:"id"` // begins the names of its terminals: at most 24 letters, digits, - or _
	Merchant string   `json:"merchant"`
	Name     pos.Text `json:"name"`
	// District is the part of town, as a campaign's statement names it; empty: not told.
	District string `json:"district,omitempty"`
	// At is where it stands; nil: not told, or its tills are carried about.
	At *pos.Point `json:"at,omitempty"`
}

// Terminal is one enrolled device.
type Terminal struct {
	ID         string          `json:"id"`
	Merchant   string          `json:"merchant"`
	Shop       string          `json:"shop"`
	Env        pos.Environment `json:"env"`
	Class      string          `json:"class"`
	NATSKey    string          `json:"nats_key"`
	Epoch      uint32          `json:"epoch"` // the open one
	State      State           `json:"state"`
	Reason     string          `json:"reason,omitempty"` // why it is not active
	EnrolledMS int64           `json:"enrolled_ms"`
}

// Epoch is one sequence of a terminal's journal with the key that signs it.
type Epoch struct {
	Terminal  string          `json:"terminal"`
	Epoch     uint32          `json:"epoch"`
	Suite     string          `json:"suite"`
	PublicKey []byte          `json:"public_key"` // PKIX DER
	Reason    pos.EpochReason `json:"reason"`
	OpenedMS  int64           `json:"opened_ms"`
	ClosedMS  int64           `json:"closed_ms,omitempty"` // 0 while it is the open one
}

// Contact is what a terminal last told of itself.
type Contact struct {
	Terminal string `json:"terminal"`
	AtMS     int64  `json:"at_ms"` // the centre's clock
	Epoch    uint32 `json:"epoch"`
	Seq      uint64 `json:"seq"`
	Receipt  uint64 `json:"receipt"`
	Verdict  uint64 `json:"verdict"`
	SkewMS   int64  `json:"skew_ms"` // the till's clock minus ours, the way of the message included
	BootID   string `json:"boot_id"`
	Version  string `json:"version"`
	Policies uint64 `json:"policies"`
}

// Listing is a terminal with what is known of it.
type Listing struct {
	Terminal
	Contact Contact `json:"contact"`
	Kept    uint64  `json:"kept"`               // last entry of the open epoch that the centre keeps
	GapFrom uint64  `json:"gap_from,omitempty"` // first entry that is missing although later ones came
	Unsent  uint64  `json:"unsent"`             // entries without a receipt, as the till last told
}

// Code is an enrolment code as it is kept: by hash.
type Code struct {
	Hash      []byte
	Shop      string
	Class     string          // "" allows each
	Terminal  string          // the terminal whose next epoch it opens; "" for a new one
	Reason    pos.EpochReason // of the epoch
	Left      int             // devices that may still use it
	ExpiresMS int64
	By        string
}

// Tx is what the fleet needs of a database transaction.
type Tx interface {
	NowMS() int64
	Audit(ctx context.Context, actor, what, subject, detail string) error

	PutMerchant(ctx context.Context, m Merchant) error
	PutShop(ctx context.Context, s Shop) error
	Shop(ctx context.Context, id string) (Shop, bool, error)

	PutCode(ctx context.Context, c Code) error
	Code(ctx context.Context, hash []byte) (Code, bool, error)
	UseCode(ctx context.Context, hash []byte) error
	// Enrolment finds what a code gave to these keys.
	Enrolment(ctx context.Context, hash, publicKey []byte, natsKey string) (terminal string, epoch uint32, found bool, err error)
	AppendEnrolment(ctx context.Context, hash, publicKey []byte, natsKey, terminal string, epoch uint32) error

	// CountTerminal gives the next number of a shop's terminals, from 1.
	CountTerminal(ctx context.Context, shop string) (int, error)
	PutTerminal(ctx context.Context, t Terminal) error
	Terminal(ctx context.Context, id string) (Terminal, bool, error)
	TerminalByNATSKey(ctx context.Context, key string) (Terminal, bool, error)
	// OpenEpoch closes the epoch before and opens e.
	OpenEpoch(ctx context.Context, e Epoch) error
	Epoch(ctx context.Context, terminal string, epoch uint32) (Epoch, bool, error)
	// KeyOwner finds the terminal that has ever used this journal key.
	KeyOwner(ctx context.Context, publicKey []byte) (terminal string, found bool, err error)
	Listings(ctx context.Context, after string, limit int) ([]Listing, error)

	PolicyReader
	// AllPolicies lists the policies of every scope, newest first.
	AllPolicies(ctx context.Context, limit int) ([]PolicyRecord, error)
	// PolicyVersion is the highest version that was ever used.
	PolicyVersion(ctx context.Context) (uint64, error)
	AppendPolicy(ctx context.Context, r PolicyRecord) error
}

// Store runs transactions; a function may run several times and has no effect but
// through tx.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(tx Tx) error) error
}

// find is Terminal that knows an absent one as an error.
func find(ctx context.Context, tx Tx, id string) (Terminal, error) {
	t, found, err := tx.Terminal(ctx, id)
	if err != nil {
		return t, fmt.Errorf("find terminal %s: %w", id, err)
	}
	if !found {
		return t, pos.FieldError(pos.ErrNotFound, "terminal", fmt.Errorf("no terminal %.32q", id))
	}
	return t, nil
}

// Quarantine marks a terminal within tx; a suspended one stays suspended. It tells
// whether anything changed.
func Quarantine(ctx context.Context, tx Tx, id, reason, by string) (bool, error) {
	t, err := find(ctx, tx, id)
	if err != nil || t.State != Active {
		return false, err
	}
	t.State, t.Reason = Quarantined, reason
	if err := tx.PutTerminal(ctx, t); err != nil {
		return false, err
	}
	return true, tx.Audit(ctx, by, "terminal_quarantined", id, reason)
}
