package carry

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dcpos/pos"
)

// The files of a day: open.csv is given to the next day, the other two are for people.
const (
	OpenFile  = "open.csv"
	FoundFile = "carried.csv"
)

const (
	openHeader  = "since,side,txn_id,bank,merchant_id,amount_fen,status,line"
	foundHeader = "outcome,rule,txn_id,bank,ours_since,theirs_since,ours_amount_fen,theirs_amount_fen,ours_status,theirs_status"
)

// ReadOpen reads an open.csv.
func ReadOpen(r io.Reader) ([]Item, error) {
	var items []Item
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Text()
		if n == 1 {
			if text != openHeader {
				return nil, fmt.Errorf("read open lines: line 1 is not %s", openHeader)
			}
			continue
		}
		f := strings.Split(text, ",")
		if len(f) != strings.Count(openHeader, ",")+1 {
			return nil, fmt.Errorf("read open lines: line %d has %d columns", n, len(f))
		}
		amount, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil || amount < 0 || f[2] == "" || !slices.Contains([]string{Ours, Theirs}, f[1]) {
			return nil, fmt.Errorf("read open lines: line %d: %s is no open line", n, strconv.Quote(text))
		}
		if len(items) == mostItems {
			return nil, ErrTooMany
		}
		items = append(items, Item{f[1], f[2], f[3], f[4], pos.Money(amount), f[6], f[0], f[7]})
	}
	return items, scanner.Err()
}

// Write writes both files into dir, each whole or not at all; open.csv, without which the
// next day does not run, comes last. What is overdue or ambiguous is in both: it is looked at again
// until a person has taken it out.
func (r *Result) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write carry: %w", err)
	}
	if err := writeWhole(filepath.Join(dir, FoundFile), r.writeFound); err != nil {
		return err
	}
	return WriteOpen(dir, slices.Concat(r.Open, r.Overdue, r.Ambiguous))
}

// WriteOpen writes the lines that the next day is to look at again as dir's open.csv, whole or not at all.
func WriteOpen(dir string, items []Item) error {
	return writeWhole(filepath.Join(dir, OpenFile), func(w *bufio.Writer) error {
		_, err := fmt.Fprintln(w, openHeader)
		for _, i := range items {
			if err == nil {
				_, err = fmt.Fprintf(w, "%s,%s,%s,%s,%s,%d,%s,%s\n", i.Since, i.Side, i.TxnID, i.Bank, i.Merchant, int64(i.Amount), i.Status, i.Line)
			}
		}
		return err
	})
}

func (r *Result) writeFound(w *bufio.Writer) error {
	_, err := fmt.Fprintln(w, foundHeader)
	return errors.Join(err, r.writeList(w, "resolved", r.Resolved), r.writeList(w, "differing", r.Differing),
		r.writeList(w, "ambiguous", alone(r.Ambiguous)), r.writeList(w, "overdue", alone(r.Overdue)))
}

// alone is lines without a partner.
func alone(items []Item) []Found {
	list := make([]Found, len(items))
	for i := range items {
		if items[i].Side == Ours {
			list[i].Ours = items[i]
		} else {
			list[i].Theirs = items[i]
		}
	}
	return list
}

func (r *Result) writeList(w *bufio.Writer, outcome string, list []Found) error {
	amount := func(i *Item) string {
		if i.TxnID == "" {
			return ""
		}
		return strconv.FormatInt(int64(i.Amount), 10)
	}
	for _, f := range list {
		_, err := fmt.Fprintf(w, "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", outcome, strings.ReplaceAll(cmp.Or(f.Rule, r.rule), ",", ";"),
			cmp.Or(f.Ours.TxnID, f.Theirs.TxnID), cmp.Or(f.Ours.Bank, f.Theirs.Bank), f.Ours.Since, f.Theirs.Since,
			amount(&f.Ours), amount(&f.Theirs), f.Ours.Status, f.Theirs.Status)
		if err != nil {
			return err
		}
	}
	return nil
}

func writeWhole(path string, fill func(*bufio.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".carry-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	w := bufio.NewWriter(tmp)
	err = errors.Join(fill(w), w.Flush(), tmp.Chmod(0o644), tmp.Sync())
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
