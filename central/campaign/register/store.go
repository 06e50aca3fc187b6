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

// Store keeps registrations. The functions may be run several times.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction; transactions are serializable.
type Tx interface {
	// Key is the campaign's wrapped key.
	Key(ctx context.Context, campaign string) (wrapped []byte, found bool, err error)
	PutKey(ctx context.Context, campaign string, wrapped []byte) error
	// DropKey erases the key, and the encrypted data that it opened.
	DropKey(ctx context.Context, campaign string) error
	// FrozenMS is when the list was frozen, 0 before.
	FrozenMS(ctx context.Context, campaign string) (int64, error)
	PutFrozen(ctx context.Context, campaign string, ms int64) error

	Record(ctx context.Context, campaign string, ref [32]byte) (Record, bool, error)
	// Entrant finds confirmed records: by person or by phone.
	Entrant(ctx context.Context, campaign string, person, phone [32]byte) (ref [32]byte, found bool, err error)
	// ByQuery finds a confirmed record by the hash of its query code.
	ByQuery(ctx context.Context, campaign string, query [32]byte) (Record, bool, error)
	ByTicket(ctx context.Context, campaign string, ticket draw.Ticket) (Record, bool, error)
	// Put writes the record; a second confirmed one of a person or phone is an error.
	Put(ctx context.Context, r Record) error
	// List pages through the confirmed records in order of ticket; after nil is the beginning.
	List(ctx context.Context, campaign string, after *draw.Ticket, limit int) ([]Listed, error)
	// Audit remembers who did what.
	Audit(ctx context.Context, actor, action, subject, detail string) error
}
