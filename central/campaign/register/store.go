package register

import (
	"context"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
)

// Record is what is kept of a registration. Nothing in it names a person without the
// campaign's key.
type Record struct {
	Campaign    string
	Ref         [32]byte // of person and phone together: the record's key
	Person      [32]byte // keyed hashes
	Phone       [32]byte
	Institution string
	Stratum     string
	Place       fence.Verdict // Inside or Ambiguous: who is outside makes no record
	LastFix     []byte        // encrypted as Sealed is
	FixMS       int64
	Score       int // 0 to 100, with its reasons, apart from every verdict
	Doubts      string
	Sealed      []byte // Personal, encrypted

	Code        [32]byte // keyed hash of the confirmation code; only the last one sent is good
	CodeUntilMS int64
	SentMS      int64
	Sends       int
	Tries       int // of this code

	CreatedMS   int64
	ConfirmedMS int64 // 0: no entry yet, and the rest is zero
	PlacedMS    int64 // when the place became clear after that, or 0
	Salt        [32]byte
	Ticket      draw.Ticket
	Query       [32]byte // hash of the query code
}

// Listed is what the list of the draw is made of.
type Listed struct {
	draw.Entry
	Place fence.Verdict
}

// Sheet is one registration as a change finds it.
type Sheet struct {
	FrozenMS int64 // when the list was frozen, 0 before
	Record   Record
	Found    bool
	// Taken says that an entry has the record's person or phone; nothing where none was Found.
	Taken bool
}

// Store keeps registrations. The functions may be run several times; transactions are
// serializable.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(tx Tx) error) error
	// Change keeps the record that fn returns, unless that is nil or there is an error. fn
	// does nothing but look at the sheet: changes that come at once share a transaction.
	Change(ctx context.Context, campaign string, ref [32]byte, fn func(s Sheet) (*Record, error)) error
	Record(ctx context.Context, campaign string, ref [32]byte) (Record, bool, error)
	// ByQuery finds an entry by the hash of its query code.
	ByQuery(ctx context.Context, campaign string, query [32]byte) (Record, bool, error)
	// PutList keeps a frozen campaign's entries in order of ticket, where they are not kept yet.
	PutList(ctx context.Context, campaign string) error
}

// Tx is one transaction.
type Tx interface {
	// Key is the campaign's wrapped key.
	Key(ctx context.Context, campaign string) (wrapped []byte, found bool, err error)
	PutKey(ctx context.Context, campaign string, wrapped []byte) error
	// DropKey erases the key, and the encrypted data that it opened.
	DropKey(ctx context.Context, campaign string) error
	// FrozenMS is when the list was frozen, 0 before.
	FrozenMS(ctx context.Context, campaign string) (int64, error)
	PutFrozen(ctx context.Context, campaign string, ms int64) error

	// ByTicket finds an entry of a list that was kept.
	ByTicket(ctx context.Context, campaign string, ticket draw.Ticket) (Record, bool, error)
	// List pages through a list that was kept, in order of ticket; after nil is the beginning.
	List(ctx context.Context, campaign string, after *draw.Ticket, limit int) ([]Listed, error)
	// Audit remembers who did what.
	Audit(ctx context.Context, actor, action, subject, detail string) error
}
