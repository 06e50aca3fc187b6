package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Ledger is the centre's double entry.
func (s *Store) Ledger() ledger.Book { return book{s} }

type book struct{ *Store }

var (
	_ ledger.Tx      = (*Tx)(nil)
	_ ledger.BatchTx = (*Tx)(nil)
)

// Post implements ledger.Book.
func (b book) Post(ctx context.Context, t ledger.Transaction) (posted bool, err error) {
	err = b.tx(ctx, func(tx *Tx) error {
		posted, err = ledger.Post(ctx, tx, t)
		return err
	})
	return posted, err
}

// LedgerTransaction implements ledger.Tx.
func (t *Tx) LedgerTransaction(ctx context.Context, key string) (ledger.Transaction, bool, error) {
	found := ledger.Transaction{Key: key}
	var number int64
	err := t.QueryRow(ctx, `SELECT number, date FROM ledger_transactions WHERE key = ?`, key).Scan(&number, &found.Date)
	if errors.Is(err, sql.ErrNoRows) {
		return found, false, nil
	}
	if err != nil {
		return found, false, err
	}
	rows, err := t.Query(ctx, `SELECT account, amount FROM postings WHERE number = ?`, number)
	if err != nil {
		return found, false, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var p ledger.Posting
		if err := rows.Scan(&p.Account, &p.Amount); err != nil {
			return found, false, err
		}
		found.Postings = append(found.Postings, p)
	}
	slices.SortFunc(found.Postings, func(a, b ledger.Posting) int { return strings.Compare(a.Account, b.Account) })
	return found, true, rows.Err()
}

// LedgerTransactions implements ledger.BatchTx.
func (t *Tx) LedgerTransactions(ctx context.Context, keys []string) (map[string]ledger.Transaction, error) {
	found := make(map[string]ledger.Transaction)
	for len(keys) > 0 {
		n := min(len(keys), maxList)
		if err := t.findLedger(ctx, keys[:n], found); err != nil {
			return nil, err
		}
		keys = keys[n:]
	}
	for key, tr := range found {
		slices.SortFunc(tr.Postings, func(a, b ledger.Posting) int { return strings.Compare(a.Account, b.Account) })
		found[key] = tr
	}
	return found, nil
}

func (t *Tx) findLedger(ctx context.Context, keys []string, found map[string]ledger.Transaction) error {
	rows, err := t.Query(ctx, `SELECT x.key, x.date, COALESCE(p.account, ''), COALESCE(p.amount, 0)
		FROM ledger_transactions x LEFT JOIN postings p ON p.number = x.number WHERE x.key IN `+listOf(len(keys)),
		padded(keys)...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var key string
		var date pos.Date
		var p ledger.Posting
		if err := rows.Scan(&key, &date, &p.Account, &p.Amount); err != nil {
			return err
		}
		tr := found[key]
		tr.Key, tr.Date = key, date
		if p.Account != "" {
			tr.Postings = append(tr.Postings, p)
		}
		found[key] = tr
	}
	return rows.Err()
}

// maxList is the longest list of an IN. Lists are filled up to powers of four, so that
// a statement has few shapes and each is prepared once.
const maxList = 256

func listSize(n int) int {
	size := 1
	for size < n {
		size *= 4
	}
	return size
}

func listOf(n int) string { return rowsOf(listSize(n), 1) }

// padded repeats the last value up to the list's size.
func padded[T any](values []T) []any {
	args := make([]any, listSize(len(values)))
	for i := range args {
		args[i] = values[min(i, len(values)-1)]
	}
	return args
}

// AppendLedger implements ledger.Tx. The balances move once, just before the commit,
// in order of account names: a transaction with many postings holds the busy
// accounts shortly, and two of them cannot wait for one another.
func (t *Tx) AppendLedger(ctx context.Context, tr ledger.Transaction) error {
	return t.AppendLedgers(ctx, []ledger.Transaction{tr})
}

// AppendLedgers implements ledger.BatchTx.
func (t *Tx) AppendLedgers(ctx context.Context, list []ledger.Transaction) error {
	numbers := make(map[string]int64, len(list))
	for rest := list; len(rest) > 0; {
		n := rowsAtOnce(len(rest))
		if err := t.numberLedger(ctx, rest[:n], numbers); err != nil {
			return err
		}
		rest = rest[n:]
	}
	var args []any
	for _, tr := range list {
		for _, p := range tr.Postings {
			args = append(args, numbers[tr.Key], p.Account, int64(p.Amount))
			if t.balances == nil {
				t.balances = make(map[string]pos.Money)
			}
			sum, err := t.balances[p.Account].Add(p.Amount)
			if err != nil {
				return err
			}
			t.balances[p.Account] = sum
		}
	}
	for len(args) > 0 {
		n := rowsAtOnce(len(args) / 3)
		if _, err := t.Exec(ctx, `INSERT INTO postings (number, account, amount) VALUES `+rowsOf(3, n), args[:3*n]...); err != nil {
			return err
		}
		args = args[3*n:]
	}
	return nil
}

func (t *Tx) numberLedger(ctx context.Context, list []ledger.Transaction, numbers map[string]int64) error {
	args := make([]any, 0, 3*len(list))
	for _, tr := range list {
		args = append(args, tr.Key, string(tr.Date), t.NowMS())
	}
	rows, err := t.Query(ctx, `INSERT INTO ledger_transactions (key, date, posted_ms) VALUES `+rowsOf(3, len(list))+
		` RETURNING number, key`, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var number int64
		var key string
		if err := rows.Scan(&number, &key); err != nil {
			return err
		}
		numbers[key] = number
	}
	return rows.Err()
}

// rowsOf writes the placeholders of so many rows: "(?,?),(?,?)".
func rowsOf(columns, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	return strings.TrimSuffix(strings.Repeat(row+",", rows), ",")
}

// parts is how many parts an account has on PostgreSQL: the lower half for the taking in
// of journals, whose transactions are long and must not lose races to the many short
// ones of payments, which use the upper half.
const parts = 16

// moveBalances writes what AppendLedgers has gathered.
func (t *Tx) moveBalances(ctx context.Context) error {
	for _, account := range slices.Sorted(maps.Keys(t.balances)) {
		if _, err := t.Exec(ctx, `INSERT INTO accounts (name, part, balance, moved_ms) VALUES (?, ?, ?, ?)
			ON CONFLICT (name, part) DO UPDATE SET
				balance = accounts.balance + excluded.balance, moved_ms = excluded.moved_ms`,
			account, t.part, int64(t.balances[account]), t.NowMS()); err != nil {
			return fmt.Errorf("move balance of %s: %w", account, err)
		}
	}
	t.balances = nil
	return nil
}

// Balance implements ledger.Book.
func (b book) Balance(ctx context.Context, account string) (ledger.Balance, error) {
	found := ledger.Balance{Account: account}
	err := b.view(ctx, func(t *Tx) error {
		return t.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT), COALESCE(MAX(moved_ms), 0)
			FROM accounts WHERE name = ?`, account).Scan(&found.Amount, &found.MovedMS)
	})
	if err != nil {
		return found, fmt.Errorf("balance of %s: %w", account, err)
	}
	return found, nil
}

// Trial implements ledger.Book.
func (b book) Trial(ctx context.Context, prefix string) (ledger.Trial, error) {
	var trial ledger.Trial
	err := b.view(ctx, func(t *Tx) error {
		trial = ledger.Trial{}
		rows, err := t.Query(ctx, `SELECT a.name, a.balance, a.moved_ms, CAST(COALESCE(p.total, 0) AS BIGINT)
			FROM (SELECT name, CAST(SUM(balance) AS BIGINT) AS balance, MAX(moved_ms) AS moved_ms
				FROM accounts GROUP BY name) a
			LEFT JOIN (SELECT account, SUM(amount) AS total FROM postings GROUP BY account) p
			ON p.account = a.name WHERE SUBSTR(a.name, 1, ?) = ? ORDER BY a.name`, len(prefix), prefix)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		for rows.Next() {
			var a ledger.Balance
			var total pos.Money
			if err := rows.Scan(&a.Account, &a.Amount, &a.MovedMS, &total); err != nil {
				return err
			}
			if a.Amount != total {
				trial.Wrong = append(trial.Wrong, a.Account)
			}
			if trial.Sum, err = trial.Sum.Add(a.Amount); err != nil {
				return err
			}
			trial.Accounts = append(trial.Accounts, a)
		}
		return rows.Err()
	})
	if err != nil {
		return trial, fmt.Errorf("trial balance: %w", err)
	}
	slices.SortFunc(trial.Accounts, func(a, b ledger.Balance) int { return strings.Compare(a.Account, b.Account) })
	return trial, nil
}

// Statement implements ledger.Book.
func (b book) Statement(ctx context.Context, account string, after int64, limit int) ([]ledger.Line, error) {
	var lines []ledger.Line
	err := b.view(ctx, func(t *Tx) error {
		rows, err := t.Query(ctx, `SELECT p.number, x.key, x.date, p.account, p.amount, x.posted_ms
			FROM postings p JOIN ledger_transactions x ON x.number = p.number
			WHERE p.account = ? AND p.number > ? ORDER BY p.number LIMIT ?`, account, after, limit)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		for rows.Next() {
			var l ledger.Line
			if err := rows.Scan(&l.Number, &l.Key, &l.Date, &l.Account, &l.Amount, &l.PostedMS); err != nil {
				return err
			}
			lines = append(lines, l)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("statement of %s: %w", account, err)
	}
	return lines, nil
}
