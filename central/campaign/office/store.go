package office

import (
	"context"

	"dcpos/central/campaign"
	"dcpos/central/ledger"
)

// Publication is what is kept when a campaign is published.
type Publication struct {
	Published campaign.Published
	Terms     []byte // terms.json
	Reserve   ledger.Transaction
	Fund      string // account that must cover the budget
	By        string
}

// Kept is a published campaign as it lies in the store.
type Kept struct {
	Name        string
	Version     int
	Text        []byte // of the definition
	Area        []byte
	Hash        string
	PublishedMS int64
	Terms       []byte
	Records     [][]byte         // lines of log.jsonl
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
	// Campaigns reads all campaigns that have terms, by name.
	Campaigns(ctx context.Context) ([]Kept, error)
	// Append keeps the n-th record of the log, with who decided it.
	Append(ctx context.Context, name string, n int64, record []byte, by string) error
	// PutCheckpoint keeps the first checkpoint of n records that is offered.
	PutCheckpoint(ctx context.Context, name string, n int64, text []byte) error
	PutRound(ctx context.Context, name string, text []byte, by string) error
}
