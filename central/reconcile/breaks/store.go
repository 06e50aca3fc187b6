package breaks

import (
	"context"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Store keeps cases. Every method is durable when it returns.
type Store interface {
	// BreakTx runs fn in one transaction that no other one can disturb; fn may be run again
	// and has no effect but through tx.
	BreakTx(ctx context.Context, fn func(tx Tx) error) error
	// BreakView runs fn over one snapshot; fn only reads.
	BreakView(ctx context.Context, fn func(tx Tx) error) error
	Cases(ctx context.Context, f pos.BreakFilter) ([]pos.BreakCase, error)
	// Case gives a case with its remedies and its history, oldest first.
	Case(ctx context.Context, id string) (pos.BreakCase, []pos.Remedy, []pos.BreakEvent, bool, error)
	// Proposals lists remedies in a state, oldest first, with their cases.
	Proposals(ctx context.Context, state pos.RemedyState, limit int) ([]pos.Remedy, []pos.BreakCase, error)
	Settlements(ctx context.Context, date pos.Date, limit int) ([]pos.Settlement, error)
	// Aging counts what is not ended by institution and age in days.
	Aging(ctx context.Context) ([]pos.BreakAge, error)
}

// Tx is one transaction. The boolean tells whether there is such a row.
type Tx interface {
	CaseRow(ctx context.Context, id string) (pos.BreakCase, bool, error)
	// CasesOf lists all cases of a date.
	CasesOf(ctx context.Context, date pos.Date) ([]pos.BreakCase, error)
	// CasesOfParty lists the cases that a rule has put together.
	CasesOfParty(ctx context.Context, party string) ([]pos.BreakCase, error)
	// OpenBefore lists cases of lines that one side lacks, of dates before, that are not ended or
	// wait for a claim, oldest first.
	OpenBefore(ctx context.Context, date pos.Date, limit int) ([]pos.BreakCase, error)
	// LiveRemedies gives the remedies that are proposed or executing, by case.
	LiveRemedies(ctx context.Context) (map[string]*pos.Remedy, error)
	// PutCases inserts or replaces the rows of their ids.
	PutCases(ctx context.Context, list []pos.BreakCase) error
	// Remedies lists those of a case in the order in which they were proposed.
	Remedies(ctx context.Context, of string) ([]pos.Remedy, error)
	RemedyRow(ctx context.Context, id string) (pos.Remedy, bool, error)
	PutRemedy(ctx context.Context, r pos.Remedy) error
	AppendEvents(ctx context.Context, list []pos.BreakEvent) error
	Settlement(ctx context.Context, bank string, date pos.Date) (pos.Settlement, bool, error)
	PutSettlement(ctx context.Context, s pos.Settlement) error
	// CompleteSale makes a payment paid that the statement proves to be, books it as paid, and tells its
	// till; done is false where there is no sale to complete, and the money alone is to be booked.
	CompleteSale(ctx context.Context, s Sale) (done bool, err error)
	// KnownMerchant reports that we owe money to somebody of this name.
	KnownMerchant(ctx context.Context, id string) (bool, error)
	// Audit adds to the trail of operations.
	Audit(ctx context.Context, actor, what, subject, detail string) error
	ledger.Tx
	ledger.BatchTx
}
