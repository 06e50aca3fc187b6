package checkout

import (
	"context"

	"dcpos/agent/operator"
	"dcpos/drivers"
	"dcpos/pos"
)

// Journal is the till's memory: an append-only journal and its projections.
type Journal interface {
	// Update runs decide while it holds the only writer, then writes the drafts, durably
	// and all or none. No drafts write nothing. An error of decide is returned as it is.
	Update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error)
	// View runs look on a consistent state.
	View(ctx context.Context, look func(pos.JournalView) error) error
	// Payments lists payments, newest first.
	Payments(ctx context.Context, q Query) ([]pos.Payment, error)
	// Outbox tells how far the centre is behind.
	Outbox(ctx context.Context) (pos.Outbox, error)
	// Meta reads a small value kept beside the journal; false when there is none.
	Meta(ctx context.Context, key string) (string, bool, error)
	// SetMeta keeps a small value durably.
	SetMeta(ctx context.Context, key, value string) error
}

// Query chooses payments for a list; a zero field chooses all.
type Query struct {
	Date   pos.Date    // business date
	States []pos.State // any of these
	Text   string      // part of the order id, the payment id or the institution's transaction number
	Limit  int         // 0: as many as the journal gives at once
}

// Operators knows who may sign in.
type Operators interface {
	Operator(ctx context.Context, number string) (operator.Operator, bool, error)
	// RecordSignInFailure counts a wrong PIN and locks the number until the moment; 0
	// leaves the lock as it is. It returns the count since the last right PIN.
	RecordSignInFailure(ctx context.Context, number string, lockedUntilMS int64) (failures int, err error)
	// ClearSignInFailures forgets wrong PINs and the lock.
	ClearSignInFailures(ctx context.Context, number string) error
}

// Host is the centre while the customer waits.
//
// An error with the code pos.ErrNotSent means that the request provably never left:
// there was no connection, or nobody listened. Any other error, a deadline included,
// means that it may have left.
type Host interface {
	// Connected reports whether a request would leave now.
	Connected() bool
	Pay(ctx context.Context, ask pos.AskPay) (pos.Answer, error)
	// Present may be asked again for the same payment; it gives the same QR.
	Present(ctx context.Context, ask pos.AskPresent) (pos.Answer, error)
	Query(ctx context.Context, ask pos.AskQuery) (pos.Answer, error)
	Abandon(ctx context.Context, ask pos.AskAbandon) (pos.Answer, error)
	Refund(ctx context.Context, ask pos.AskRefund) (pos.Answer, error)
}

// Printer prints receipts; drivers.POSPrinter is one.
type Printer interface {
	Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error)
}

// Display is what faces the customer; drivers.LineDisplay is one.
type Display interface {
	Show(ctx context.Context, lines []string) error
	// Size is how many Latin characters fit a row, and how many rows there are.
	Size() (columns, rows int)
	// Chinese reports whether it shows Chinese.
	Chinese() bool
}

// Tone sounds; drivers.ToneIndicator is one.
type Tone interface {
	Sound(ctx context.Context, t drivers.Tone) error
}

// Drawer opens the cash drawer; drivers.CashDrawer is one.
type Drawer interface {
	OpenDrawer(ctx context.Context) error
}

// Reader lends the contactless reader; agent/devices.Set does.
type Reader interface {
	// HasReader reports whether there is a reader, well or not.
	HasReader() bool
	// WithReader lends it to owner while f runs; f's context may end before ctx does.
	WithReader(ctx context.Context, owner string, f func(context.Context, drivers.NFCReader) error) error
}
