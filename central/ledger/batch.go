package ledger

import (
	"context"
	"fmt"

	"dcpos/pos"
)

// BatchTx is a Tx that reads and writes many transactions at once.
type BatchTx interface {
	// LedgerTransactions finds posted transactions by key, in normal form.
	LedgerTransactions(ctx context.Context, keys []string) (map[string]Transaction, error)
	// AppendLedgers writes transactions and moves the balances of their accounts.
	AppendLedgers(ctx context.Context, list []Transaction) error
}

// Item is one transaction of a batch. Where the ledger has the key Unless, or an
// earlier item brings it, the item is not needed and not posted.
type Item struct {
	Transaction
	Unless string
}

// PostAll posts as Post does, item after item, in one reading and one writing. refused
// has, at the place of each item that cannot be posted, why: pos.ErrKeyConflict, or
// what Check says; the others are posted all the same. err is the database's.
func PostAll(ctx context.Context, tx BatchTx, items []Item) (refused []error, err error) {
	keys := make([]string, 0, len(items))
	for _, item := range items {
		keys = append(keys, item.Key)
		if item.Unless != "" {
			keys = append(keys, item.Unless)
		}
	}
	have, err := tx.LedgerTransactions(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up %d transactions: %w", len(keys), err)
	}
	refused = make([]error, len(items))
	fresh := make([]Transaction, 0, len(items))
	for i, item := range items {
		if _, found := have[item.Unless]; found {
			continue
		}
		t := item.Transaction
		if refused[i] = t.Check(); refused[i] != nil {
			continue
		}
		if t, refused[i] = t.Normal(); refused[i] != nil {
			continue
		}
		if old, found := have[t.Key]; found {
			refused[i] = old.repeat(t)
			continue
		}
		have[t.Key] = t
		fresh = append(fresh, t)
	}
	if len(fresh) == 0 {
		return refused, nil
	}
	if err := tx.AppendLedgers(ctx, fresh); err != nil {
		return nil, fmt.Errorf("post %d transactions: %w", len(fresh), err)
	}
	return refused, nil
}

// repeat tells whether t, under the same key, says the same.
func (t Transaction) repeat(again Transaction) error {
	if t.Equal(again) {
		return nil
	}
	return pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("transaction %s was posted as %v on %s, now %v on %s",
		t.Key, t.Postings, t.Date, again.Postings, again.Date))
}
