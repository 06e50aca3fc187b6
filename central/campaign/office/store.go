package office

import (
	"context"

	"dcpos/central/campaign"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Publication is what is kept when a campaign is published.
type Publication struct {
	Published campaign.Published
	Terms     []byte // terms.json
	Reserve   ledger.Transaction
	Fund      string // account that must cover the budget
	By        string
}

// KeptEdition is a published version as it lies in the store.
type KeptEdition struct {
	Version     int
	Text        []byte // of the definition
	Area        []byte
	Hash        string
	PublishedMS int64
	Terms       []byte
}

// Kept is a published campaign as it lies in the store.
type Kept struct {
	Name        string
	Editions    []KeptEdition    // by version, from 1
	Logged      int64            // how many records its log has
	Records     [][]byte         // lines of log.jsonl, after those that are known
	Checkpoints map[int64][]byte // by number of records
	Round       []byte           // round.json; empty before the draw
}

// Store keeps campaigns. What was written never changes: the same again is a repeat,
// something else is pos.ErrKeyConflict.
type Store interface {
	// Known lists merchants and stores.
	Known(ctx context.Context) (campaign.Known, error)
	// Publish keeps definition and terms and reserves the budget, all or nothing. A fund
	// that does not cover it is pos.ErrInsufficient.
	Publish(ctx context.Context, p Publication) error
	// Campaigns reads all campaigns that have terms, by name. known is how many records of a
	// log the caller has: they never change, and are not read again.
	Campaigns(ctx context.Context, known map[string]int64) ([]Kept, error)
	// Append keeps the n-th record of the log, with who decided it.
	Append(ctx context.Context, name string, n int64, record []byte, by string) error
	// PutCheckpoint keeps the first checkpoint of n records that is offered.
	PutCheckpoint(ctx context.Context, name string, n int64, text []byte) error
	PutRound(ctx context.Context, name string, text []byte, by string) error
	// Release gives the budget of a void campaign back, once.
	Release(ctx context.Context, name string, money ledger.Transaction) error

	// Propose keeps a revision for a second person, at most one of a campaign at a time
	// (pos.ErrKeyConflict); the same again is a repeat.
	Propose(ctx context.Context, r Revision) error
	// Revisions are those that wait, by number.
	Revisions(ctx context.Context) ([]Revision, error)
	// Reject closes one.
	Reject(ctx context.Context, r Revision, by string) error
	// Revise carries one out, all or nothing: definition, terms, the log's record of them, and
	// the budget's change, of which the fund must cover what is more. It is refused if the
	// revision does not wait any more, or does not follow the newest version.
	Revise(ctx context.Context, r Revision, change Change) error
}

// Change is what a new version does besides being published.
type Change struct {
	Record []byte              // of the log, with its line feed
	More   pos.Money           // of the budget; below 0: less
	Money  *ledger.Transaction // nil where the budget stays
	Fund   string              // account that must cover what is more
	By     string              // who confirms it
}
