package carry

import (
	"bufio"
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
// next day does not run, comes last.
func (r *Result) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write carry: %w", err)
	}
	if err := writeWhole(filepath.Join(dir, FoundFile), r.writeFound); err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, OpenFile), r.writeOpen)
}

// writeOpen writes what is to be looked at again: also what is overdue or ambiguous, until a
// person has closed it.
func (r *Result) writeOpen(w *bufio.Writer) error {
	_, err := fmt.Fprintln(w, openHeader)
	for _, list := range [][]Item{r.Open, r.Overdue, r.Ambiguous} {
		for _, i := range list {
			if err == nil {
				_, err = fmt.Fprintf(w, "%s,%s,%s,%s,%s,%d,%s,%s\n", i.Since, i.Side, i.TxnID, i.Bank, i.Merchant, int64(i.Amount), i.Status, i.Line)
			}
		}
	}
	return err
}

func (r *Result) writeFound(w *bufio.Writer) error {
	_, err := fmt.Fprintln(w, foundHeader)
	return errors.Join(err, writeList(w, "resolved", r.Resolved), writeList(w, "differing", r.Differing))
}

func writeList(w *bufio.Writer, outcome string, list []Found) error {
	for _, f := range list {
		_, err := fmt.Fprintf(w, "%s,%s,%s,%s,%s,%s,%d,%d,%s,%s\n", outcome, strings.ReplaceAll(f.Rule, ",", ";"), f.Ours.TxnID, f.Ours.Bank,
			f.Ours.Since, f.Theirs.Since, int64(f.Ours.Amount), int64(f.Theirs.Amount), f.Ours.Status, f.Theirs.Status)
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
