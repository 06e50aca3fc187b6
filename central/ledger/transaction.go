package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dcpos/pos"
)

// Limits of one transaction.
const (
	MaxKey      = 128
	MaxAccount  = 128
	MaxPostings = 64
)

// ErrUnbalanced is returned for postings whose sum is not zero.
var ErrUnbalanced = errors.New("postings do not sum to zero")

// Posting moves an amount on one account.
type Posting struct {
	Account string    `json:"account"`
	Amount  pos.Money `json:"amount"`
}

// Transaction is one balanced change of the ledger. Key makes it unique for ever;
// Date is the accounting day that it belongs to.
type Transaction struct {
	Key      string    `json:"key"`
	Date     pos.Date  `json:"date"`
	Postings []Posting `json:"postings"`
}

// Normal is the transaction with one posting per account, sorted by account, without
// zeros: two transactions say the same exactly when their normal forms are equal.
func (t Transaction) Normal() (Transaction, error) {
	sums := make(map[string]pos.Money, len(t.Postings))
	for _, p := range t.Postings {
		sum, err := sums[p.Account].Add(p.Amount)
		if err != nil {
			return t, fmt.Errorf("transaction %s: %w", t.Key, err)
		}
		sums[p.Account] = sum
	}
	t.Postings = nil
	for account, amount := range sums {
		if amount != 0 {
			t.Postings = append(t.Postings, Posting{account, amount})
		}
	}
	slices.SortFunc(t.Postings, func(a, b Posting) int { return strings.Compare(a.Account, b.Account) })
	return t, nil
}

// Check refuses a transaction that must not be posted: unbalanced, nameless or oversized.
func (t Transaction) Check() error {
	if t.Key == "" || len(t.Key) > MaxKey {
		return fmt.Errorf("transaction key %.64q: want 1 to %d bytes", t.Key, MaxKey)
	}
	if len(t.Postings) > MaxPostings {
		return fmt.Errorf("transaction %s has %d postings, at most %d", t.Key, len(t.Postings), MaxPostings)
	}
	if _, err := pos.ParseDate(string(t.Date)); err != nil {
		return fmt.Errorf("transaction %s: %w", t.Key, err)
	}
	var sum pos.Money
	for _, p := range t.Postings {
		if p.Account == "" || len(p.Account) > MaxAccount {
			return fmt.Errorf("transaction %s: account %.64q: want 1 to %d bytes", t.Key, p.Account, MaxAccount)
		}
		var err error
		if sum, err = sum.Add(p.Amount); err != nil {
			return fmt.Errorf("transaction %s: %w", t.Key, err)
		}
	}
	if sum != 0 {
		return fmt.Errorf("transaction %s: sum is %s: %w", t.Key, sum, ErrUnbalanced)
	}
	return t.earmarked()
}

// Equal reports that two transactions in normal form say the same.
func (t Transaction) Equal(o Transaction) bool {
	return t.Key == o.Key && t.Date == o.Date && slices.Equal(t.Postings, o.Postings)
}

// Tx is what the ledger needs of a database transaction (central/store's Tx has it).
type Tx interface {
	// LedgerTransaction finds a posted transaction by key, in normal form.
	LedgerTransaction(ctx context.Context, key string) (Transaction, bool, error)
	// AppendLedger writes a transaction and moves the balances of its accounts.
	AppendLedger(ctx context.Context, t Transaction) error
}

// Post writes the transaction within tx. The same key with the same body again is a
// repeat and changes nothing (posted = false); with another body it is
// pos.ErrKeyConflict. A transaction without effect (no amounts) is written all the
// same, so that its key is taken.
func Post(ctx context.Context, tx Tx, t Transaction) (posted bool, err error) {
	if err := t.Check(); err != nil {
		return false, err
	}
	if t, err = t.Normal(); err != nil {
		return false, err
	}
	have, found, err := tx.LedgerTransaction(ctx, t.Key)
	if err != nil {
		return false, fmt.Errorf("look up transaction %s: %w", t.Key, err)
	}
	if found {
		return false, have.repeat(t)
	}
	if err := tx.AppendLedger(ctx, t); err != nil {
		return false, fmt.Errorf("post %s: %w", t.Key, err)
	}
	return true, nil
}

// Balance is what an account holds.
type Balance struct {
	Account string    `json:"account"`
	Amount  pos.Money `json:"amount"`
	MovedMS int64     `json:"moved_ms"` // when it last moved: the age of a suspense account
}

// Trial is the trial balance: every account, and their sum, which is zero.
type Trial struct {
	Accounts []Balance `json:"accounts"` // sorted by name
	Sum      pos.Money `json:"sum"`
	// Wrong names accounts whose balance is not the sum of their postings; none, unless
	// someone changed the database by hand.
	Wrong []string `json:"wrong,omitempty"`
}

// Balanced reports that the ledger holds.
func (t Trial) Balanced() bool { return t.Sum == 0 && len(t.Wrong) == 0 }

// Line is one posting of a statement.
type Line struct {
	Number   int64     `json:"number"` // grows with the time of posting, with gaps
	Key      string    `json:"key"`
	Date     pos.Date  `json:"date"`
	Account  string    `json:"account"`
	Amount   pos.Money `json:"amount"`
	PostedMS int64     `json:"posted_ms"`
}

// Book is the ledger as readers and single posters see it; the store fulfils it.
type Book interface {
	// Post runs the package's Post in a transaction of its own.
	Post(ctx context.Context, t Transaction) (posted bool, err error)
	// Balance is zero for an account that was never named.
	Balance(ctx context.Context, account string) (Balance, error)
	// Trial reads every account in one snapshot. prefix selects accounts ("" all).
	Trial(ctx context.Context, prefix string) (Trial, error)
	// Statement lists an account's postings with a number above after, oldest first.
	Statement(ctx context.Context, account string, after int64, limit int) ([]Line, error)
}
