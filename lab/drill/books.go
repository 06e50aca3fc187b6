package drill

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// Ledger is what "poscentral ledger --json" prints.
type Ledger struct {
	Balanced bool      `json:"balanced"`
	Sum      pos.Money `json:"sum"`
	Wrong    []string  `json:"wrong"`
	Accounts []struct {
		Account string    `json:"account"`
		Amount  pos.Money `json:"amount"`
	} `json:"accounts"`
	Open struct {
		Payments int64 `json:"payments"`
		Refunds  int64 `json:"refunds"`
	} `json:"open"`
	Terminals []struct {
		ID     string `json:"id"`
		State  string `json:"state"`
		Reason string `json:"reason"`
		Epoch  uint32 `json:"epoch"`
		Kept   uint64 `json:"kept"`
	} `json:"terminals"`
	Payments []struct {
		ID     string    `json:"id"`
		Amount pos.Money `json:"amount"`
		Till   pos.State `json:"till"`
		Centre pos.State `json:"centre"`
	} `json:"payments"`
	Transactions []Transaction `json:"transactions"`
}

// Transaction is one balanced change of the centre's ledger.
type Transaction struct {
	Key      string `json:"key"`
	Postings []struct {
		Account string    `json:"account"`
		Amount  pos.Money `json:"amount"`
	} `json:"postings"`
}

// On is what the transaction moves on an account.
func (t Transaction) On(account string) (sum pos.Money) {
	for _, p := range t.Postings {
		if p.Account == account {
			sum += p.Amount
		}
	}
	return sum
}

// Balance of an account; zero for one that is not there.
func (l Ledger) Balance(account string) pos.Money {
	for _, a := range l.Accounts {
		if a.Account == account {
			return a.Amount
		}
	}
	return 0
}

// ByKey gives the transactions by key and the keys that are there twice.
func (l Ledger) ByKey() (all map[string]Transaction, twice []string) {
	all = make(map[string]Transaction, len(l.Transactions))
	for _, t := range l.Transactions {
		if _, ok := all[t.Key]; ok {
			twice = append(twice, t.Key)
		}
		all[t.Key] = t
	}
	return all, twice
}

// Kept is the last entry of a terminal that the centre keeps.
func (l Ledger) Kept(terminal string) (epoch uint32, seq uint64) {
	for _, t := range l.Terminals {
		if t.ID == terminal {
			return t.Epoch, t.Kept
		}
	}
	return 0, 0
}

// Ledger reads the centre's ledger by its own command, also while the centre is down.
func (s *Site) Ledger(ctx context.Context) (l Ledger, err error) {
	out, code, err := s.Central(ctx, "ledger", "--json", "--payments", "--transactions")
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, fmt.Errorf("poscentral ledger: exit code %d: %w", code, err)
	}
	return l, nil
}

// Line is one line of an institution's statement.
type Line struct {
	Institution string
	ID          string
	Amount      pos.Money
	Status      string // S paid, F failed, R refund
	Orig        string
}

// dates are the settlement dates from the moment until now.
func dates(since time.Time) []pos.Date {
	all := []pos.Date{pos.DateOf(since, institution.CutOver)}
	if now := pos.DateOf(time.Now(), institution.CutOver); now != all[0] {
		all = append(all, now)
	}
	return all
}

// Statements reads what all institutions have booked on the dates.
func (s *Site) Statements(ctx context.Context, on []pos.Date) (all []Line, err error) {
	for code, key := range s.keys {
		for _, date := range on {
			b, err := get(ctx, s.labURL+"/"+code+"/v1/statements/"+string(date)+".csv", key)
			if err != nil {
				return nil, fmt.Errorf("statement of %s: %w", code, err)
			}
			lines, err := parseStatement(code, b)
			if err != nil {
				return nil, fmt.Errorf("statement of %s: %w", code, err)
			}
			all = append(all, lines...)
		}
	}
	return all, nil
}

func parseStatement(code string, b []byte) ([]Line, error) {
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return nil, err
	}
	var lines []Line
	for i, r := range rows {
		if i == 0 {
			continue
		}
		if len(r) < 9 {
			return nil, fmt.Errorf("line %d has %d columns", i+1, len(r))
		}
		fen, err := strconv.ParseInt(r[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: amount: %w", i+1, err)
		}
		lines = append(lines, Line{Institution: code, ID: r[0], Amount: pos.Money(fen), Status: r[6], Orig: r[8]})
	}
	return lines, nil
}

// Books reads the sums of an institution's books.
func (s *Site) Books(ctx context.Context, code string) (t api.Totals, err error) {
	b, err := get(ctx, s.labURL+"/"+code+"/v1/books", s.keys[code])
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}

// Reconciliation is what the drill reads of "poscentral reconcile --json".
type Reconciliation struct {
	Ours, Theirs, Matched, Breaks int64
	Closes                        bool
	Waiting                       []string // institutions without a statement
}

// Reconcile runs poscentral reconcile.
func (s *Site) Reconcile(ctx context.Context, date pos.Date) (run Reconciliation, err error) {
	out, code, err := s.Central(ctx, "reconcile", string(date), "--json")
	if err != nil {
		return run, err
	}
	if err := json.Unmarshal(out, &run); err != nil {
		return run, fmt.Errorf("poscentral reconcile: exit code %d: %w", code, err)
	}
	return run, nil
}
