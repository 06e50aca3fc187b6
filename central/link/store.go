package link

import (
	"context"

	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Terminal is what the link must know of a terminal.
type Terminal struct {
	ID          string
	Merchant    string
	Epoch       uint32 // the open one
	Suspended   bool
	Quarantined bool
}

// Key is the key that signs one epoch of a terminal.
type Key struct {
	Suite     string
	PublicKey []byte
}

// Head is how far one branch of an epoch is kept. Branch 0 came first.
type Head struct {
	Branch int
	Seq    uint64
	Hash   []byte
	First  uint64 // its first entry: 1, or where it forked off
	Parent int    // the branch that it forked from
}

// Islands are branches of their own from this number on: entries that came by a salvage file and prove
// themselves, while what is before them is lost. They are no forks: their money waits in suspense until the
// till's own journal reaches them, or a person decides.
const (
	islandBranch = 1000
	islandParent = -1
)

// Place is one kept entry by branch, number and hash.
type Place struct {
	Branch int
	Seq    uint64
	Hash   []byte
}

// Kept is an entry as it is stored. Fault tells why it changed no payment although
// its kind should.
type Kept struct {
	Entry  pos.Entry
	Branch int
	Late   bool // came after its epoch was closed
	Fault  string
}

// Folded is a payment as the entries of one branch say.
type Folded struct {
	Merchant string
	Branch   string // "" for the journal proper
	Payment  pos.Payment
}

// Gap is the first entry that is missing although later ones came.
type Gap struct {
	From uint64
	Seen uint64
}

// Fork is two entries at one place.
type Fork struct {
	Terminal      string
	Epoch         uint32
	Branch        int // the second branch
	Seq           uint64
	First, Second []byte // hashes
}

// Reject is a message that was no batch.
type Reject struct {
	Terminal string // as the subject says
	Reason   string
	Detail   string
	Payload  []byte
}

// Contact is what a terminal told of itself with a mark request.
type Contact struct {
	Terminal string
	AtMS     int64
	Epoch    uint32
	Seq      uint64
	Receipt  uint64
	Verdict  uint64
	SkewMS   int64
	BootID   string
	Version  string
	Policies uint64
	Unsent   uint64
}

// Opening is what the first entry of an epoch says of the one before.
type Opening struct {
	Epoch     uint32
	Reason    pos.EpochReason
	PrevEpoch uint32 // 0: there was none
	PrevSeq   uint64
	PrevHead  []byte
}

// Registry reads who may speak.
type Registry interface {
	Terminal(ctx context.Context, id string) (Terminal, bool, error)
	TerminalByNATSKey(ctx context.Context, key string) (Terminal, bool, error)
	Key(ctx context.Context, terminal string, epoch uint32) (Key, bool, error)
}

// Reader is what a mark is made of.
type Reader interface {
	Registry
	// Heads lists the branches of an epoch, 0 first; islands are left out.
	Heads(ctx context.Context, terminal string, epoch uint32) ([]Head, error)
	// Openings lists the epochs of which anything is kept, in order.
	Openings(ctx context.Context, terminal string) ([]Opening, error)
	// Places lists what is kept from one number to another, both included.
	Places(ctx context.Context, terminal string, epoch uint32, from, to uint64) ([]Place, error)
	Gap(ctx context.Context, terminal string, epoch uint32) (Gap, bool, error)
	Verdicts(ctx context.Context, terminal string, after uint64, limit int) ([]pos.Verdict, error)
	// VerdictsRestored tells that the database was restored and the terminal has not told
	// since how far it is with its verdicts.
	VerdictsRestored(ctx context.Context, terminal string) (bool, error)
	// Policies are those that the terminal is to hold, by version, and the highest of them.
	Policies(ctx context.Context, terminal string, nowMS int64) (list []dcep.Sealed, highest uint64, err error)
	// PolicyVersion is the version that was published last, 0 before the first.
	PolicyVersion(ctx context.Context) (uint64, error)
	// CatalogueIssued is when a campaign was published last, 0 before the first.
	CatalogueIssued(ctx context.Context) (ms int64, err error)
	// Campaigns are the campaigns whose spend window ends after a moment, as seen from the terminal.
	Campaigns(ctx context.Context, terminal string, sinceMS int64) ([]pos.CampaignScope, error)
	Contact(ctx context.Context, terminal string) (Contact, bool, error)
	// Generation counts the restores of this database, from 1.
	Generation(ctx context.Context) (uint64, error)
}

// Tx is one writing transaction.
type Tx interface {
	ledger.BatchTx
	Reader
	PutHead(ctx context.Context, terminal string, epoch uint32, h Head) error
	PutOpening(ctx context.Context, terminal string, o Opening) error
	AppendEntries(ctx context.Context, entries []Kept) error
	// Islands lists the islands of an epoch in order.
	Islands(ctx context.Context, terminal string, epoch uint32) ([]Head, error)
	PutGap(ctx context.Context, terminal string, epoch uint32, g Gap) error
	ClearGap(ctx context.Context, terminal string, epoch uint32) error
	AppendFork(ctx context.Context, f Fork) error
	// Payment finds a payment as the terminal's journal says; branch "" is the journal
	// proper.
	Payment(ctx context.Context, terminal string, id pos.PaymentID, branch string) (pos.Payment, bool, error)
	// Payments finds those of several payments that the journal proper knows.
	Payments(ctx context.Context, terminal string, ids []pos.PaymentID) ([]pos.Payment, error)
	PutPayments(ctx context.Context, list []Folded) error
	// PutPayment is PutPayments of one.
	PutPayment(ctx context.Context, merchant, branch string, p pos.Payment) error
	// PaymentEntries lists the entries that name a payment, in order of epoch, number and branch.
	PaymentEntries(ctx context.Context, terminal string, id pos.PaymentID) ([]Kept, error)
	// Quarantine marks a terminal; it tells whether anything changed.
	Quarantine(ctx context.Context, terminal, reason string) (bool, error)
	// RenumberVerdicts continues after the verdict that the terminal has told.
	RenumberVerdicts(ctx context.Context, terminal string, told uint64) error
	PutReject(ctx context.Context, r Reject) error
	PutContact(ctx context.Context, c Contact) error
	Audit(ctx context.Context, actor, what, subject, detail string) error
}

// Store runs transactions. A function may run several times and has no effect but
// through tx.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(r Reader) error) error
}

// Asks answers what tills ask while a customer waits (central/payment). terminal comes
// from the subject, so it is the one that the connection was let in for. The context
// lives on when the till does not wait any longer.
type Asks interface {
	Pay(ctx context.Context, terminal string, ask pos.AskPay) pos.Answer
	Present(ctx context.Context, terminal string, ask pos.AskPresent) pos.Answer
	Query(ctx context.Context, terminal string, ask pos.AskQuery) pos.Answer
	Abandon(ctx context.Context, terminal string, ask pos.AskAbandon) pos.Answer
	Refund(ctx context.Context, terminal string, ask pos.AskRefund) pos.Answer
}

// Observer hears of entries after they were committed, in order per terminal, those of
// a fork's second branch excepted. It must not block for long. A crash between commit
// and call loses the call: what must not be missed is found again in the database.
type Observer interface {
	Ingested(terminal string, entries []pos.Entry)
}
