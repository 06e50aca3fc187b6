package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/pos"
)

// pair moves an amount from credit to debit.
func pair(debit, credit string, amount pos.Money) []ledger.Posting {
	return []ledger.Posting{{Account: debit, Amount: amount}, {Account: credit, Amount: -amount}}
}

func TestLedgerPost(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, book := t.Context(), s.Ledger()
		tr := ledger.Transaction{Key: "k1", Date: "2021-02-10", Postings: pair("receivable:ICBC", "merchant:M", 500)}
		for i, want := range []bool{true, false} {
			if posted, err := book.Post(ctx, tr); posted != want || err != nil {
				t.Fatal(i, posted, err)
			}
		}
		other := tr
		other.Date = "2021-02-11"
		if _, err := book.Post(ctx, other); pos.CodeOf(err) != pos.ErrKeyConflict {
			t.Fatalf("another date under one key: %v", err)
		}
		b, err := book.Balance(ctx, "merchant:M")
		if err != nil || b.Amount != -500 {
			t.Fatal(b, err)
		}
		lines, err := book.Statement(ctx, "receivable:ICBC", 0, 10)
		if err != nil || len(lines) != 1 || lines[0].Amount != 500 || lines[0].Key != "k1" || lines[0].Date != "2021-02-10" {
			t.Fatal(lines, err)
		}
		if lines, err = book.Statement(ctx, "receivable:ICBC", lines[0].Number, 10); err != nil || len(lines) != 0 {
			t.Fatal(lines, err)
		}
	})
}

// TestLedgerConcurrent posts from many goroutines to the same two accounts, each
// transaction twice: none is lost, none counts twice.
func TestLedgerConcurrent(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, book := t.Context(), s.Ledger()
		var group sync.WaitGroup
		for g := range 6 {
			group.Go(func() {
				for i := range 20 {
					tr := ledger.Transaction{
						Key: fmt.Sprintf("k%d", (g/2)*20+i), Date: "2021-02-10",
						Postings: pair("a", "b", 1),
					}
					if _, err := book.Post(ctx, tr); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		trial, err := book.Trial(ctx, "")
		if err != nil || !trial.Balanced() {
			t.Fatal(trial, err)
		}
		got := map[string]pos.Money{}
		for _, a := range trial.Accounts {
			got[a.Account] = a.Amount
		}
		if diff := cmp.Diff(map[string]pos.Money{"a": 60, "b": -60}, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLedgerOnlyGrows(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		tr := ledger.Transaction{Key: "k", Date: "2021-02-10", Postings: pair("a", "b", 1)}
		if _, err := s.Ledger().Post(ctx, tr); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			`UPDATE postings SET amount = 2`, `DELETE FROM postings`,
			`UPDATE ledger_transactions SET key = 'x'`, `DELETE FROM ledger_transactions`,
		} {
			err := s.tx(ctx, func(tx *Tx) error { _, err := tx.Exec(ctx, q); return err })
			if err == nil || !strings.Contains(err.Error(), "only grows") {
				t.Errorf("%s: %v", q, err)
			}
		}
	})
}

func TestTrialFindsABalanceChangedByHand(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		tr := ledger.Transaction{Key: "k", Date: "2021-02-10", Postings: pair("a", "b", 1)}
		if _, err := s.Ledger().Post(ctx, tr); err != nil {
			t.Fatal(err)
		}
		if err := s.tx(ctx, func(tx *Tx) error {
			_, err := tx.Exec(ctx, `UPDATE accounts SET balance = 7 WHERE name = 'a'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		trial, err := s.Ledger().Trial(ctx, "")
		if err != nil || trial.Balanced() || len(trial.Wrong) != 1 || trial.Sum != 6 {
			t.Fatal(trial, err)
		}
	})
}

// TestBalanceOverflow: a sum beyond the bound is refused, never rounded.
func TestBalanceOverflow(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, book := t.Context(), s.Ledger()
		huge, posted, refused := pos.Money(200_000_000_000_000_000), pos.Money(0), 0
		for i := range 200 {
			_, err := book.Post(ctx, ledger.Transaction{Key: fmt.Sprint(i), Date: "2021-02-10", Postings: pair("a", "b", huge)})
			if err == nil {
				posted += huge
			} else {
				refused++
			}
		}
		trial, err := book.Trial(ctx, "")
		if err != nil || !trial.Balanced() || trial.Accounts[0].Amount != posted || refused < 200-parts {
			t.Fatalf("%d refused, %+v, %v", refused, trial, err)
		}
	})
}

// TestIntakeDoesNotLoseRaces: a long transaction of the taking in commits although many
// short ones move the same accounts all the time.
func TestIntakeDoesNotLoseRaces(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		stop := make(chan struct{})
		var group sync.WaitGroup
		for g := range 3 {
			group.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := s.Ledger().Post(ctx, ledger.Transaction{
						Key: fmt.Sprintf("short%d-%d", g, i), Date: "2021-02-10", Postings: pair("a", "b", 1),
					}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		runs := 0
		for round := range 5 {
			if err := s.Link().Write(ctx, func(tx link.Tx) error {
				runs++
				item := ledger.Item{Transaction: ledger.Transaction{
					Key: fmt.Sprintf("long%d", round), Date: "2021-02-10", Postings: pair("a", "b", 1000),
				}}
				if _, err := ledger.PostAll(ctx, tx, []ledger.Item{item}); err != nil {
					return err
				}
				time.Sleep(50 * time.Millisecond)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		group.Wait()
		t.Logf("5 long transactions took %d runs", runs)
		if trial, err := s.Ledger().Trial(ctx, ""); err != nil || !trial.Balanced() || trial.Accounts[0].Amount < 5000 {
			t.Fatal(trial, err)
		}
	})
}

func TestVerdictNumbersHaveNoGaps(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 10 {
					if err := s.tx(ctx, func(tx *Tx) error {
						_, err := tx.AppendVerdict(ctx, "t1", pos.Verdict{Payment: pos.PaymentID{1}})
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		checkVerdicts(ctx, t, s)
	})
}

func checkVerdicts(ctx context.Context, t *testing.T, s *Store) {
	t.Helper()
	if err := s.view(ctx, func(tx *Tx) error {
		list, err := tx.Verdicts(ctx, "t1", 5, 100)
		if len(list) != 35 {
			t.Errorf("got %d verdicts, want 35", len(list))
		}
		for i, v := range list {
			if v.Number != uint64(i)+6 {
				t.Errorf("verdict %d has number %d", i, v.Number)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
