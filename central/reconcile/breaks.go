package reconcile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

const breaksHeader = "kind,txn_id,bank,merchant_id,ours_amount_fen,theirs_amount_fen,ours_status,theirs_status," +
	"ours_line,theirs_line,field,ours_value,theirs_value"

const breakColumns = 13

// kindRanks numbers the kinds in the order of their names, which is how breaks.csv is sorted.
func kindRanks() []pos.BreakKind {
	kinds := pos.BreakKinds()
	slices.Sort(kinds)
	return kinds
}

// finding is one break on its way to the sorter; a side that lacks the line is nil.
type finding struct {
	kind         pos.BreakKind
	ours, theirs *line
	field        string
	values       [2]string
}

// key sorts findings by kind, txn_id, our place, their place. An id holds no NUL.
func (f *finding) key(rank byte, dst []byte) []byte {
	var places [2]place
	id := []byte(nil)
	if f.theirs != nil {
		places[theirs], id = f.theirs.place, f.theirs.txnID
	}
	if f.ours != nil {
		places[ours], id = f.ours.place, f.ours.txnID
	}
	dst = append(append(append(dst[:0], rank), id...), 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(places[ours]))
	return binary.BigEndian.AppendUint64(dst, uint64(places[theirs]))
}

// value is the columns after the id.
func (f *finding) value(dst []byte) []byte {
	shown := f.ours
	if shown == nil {
		shown = f.theirs
	}
	dst = append(append(append(dst[:0], shown.bank...), ','), shown.merchant...)
	for _, l := range []*line{f.ours, f.theirs} {
		dst = append(dst, ',')
		if l != nil {
			dst = strconv.AppendInt(dst, int64(l.amount), 10)
		}
	}
	for _, l := range []*line{f.ours, f.theirs} {
		dst = append(dst, ',')
		if l != nil {
			dst = append(dst, l.status)
		}
	}
	for _, l := range []*line{f.ours, f.theirs} {
		dst = append(dst, ',')
		if l != nil {
			dst = append(dst, l.number...)
		}
	}
	dst = append(append(append(dst, ','), f.field...), ',')
	return append(append(append(dst, f.values[ours]...), ','), f.values[theirs]...)
}

// writeBreaks writes breaks.csv from the sorted findings.
func writeBreaks(w *bufio.Writer, sorter *spill.Sorter) error {
	if _, err := w.WriteString(breaksHeader + "\n"); err != nil {
		return err
	}
	ranks := kindRanks()
	var b []byte
	return sorter.Sorted(func(key, value []byte) error {
		id := key[1 : len(key)-17]
		b = append(append(b[:0], ranks[key[0]]...), ',')
		b = append(append(append(append(b, id...), ','), value...), '\n')
		_, err := w.Write(b)
		return err
	})
}

// Break is one line of breaks.csv.
type Break struct {
	Kind         pos.BreakKind
	TxnID        string
	Bank         string // ours if present, else theirs
	MerchantID   string // as Bank
	Ours, Theirs *BreakLine
	Field        string    // field_mismatch: the columns that differ, joined by ";"
	Values       [2]string // their values, ours and theirs, joined likewise
}

// BreakLine is one side of a break; nil stands for a line that is not there.
type BreakLine struct {
	Amount pos.Money
	Status string // S, F, P or R
	Line   string // LINE, or FILEINDEX:LINE (both from 1) when the side has several files
}

// ReadBreaks reads a breaks.csv line by line, in its order. The first error ends it.
func ReadBreaks(path string) iter.Seq2[Break, error] {
	return func(yield func(Break, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(Break{}, statement.Unreadable(path, err))
			return
		}
		defer func() { _ = file.Close() }()
		scanner := bufio.NewScanner(io.Reader(file))
		for n := 1; scanner.Scan(); n++ {
			if n == 1 {
				if scanner.Text() != breaksHeader {
					yield(Break{}, &InputError{File: path, Line: 1, Why: pos.Text{EN: "is not a breaks.csv", ZH: "不是 breaks.csv"}})
					return
				}
				continue
			}
			b, err := parseBreak(scanner.Text())
			if err != nil {
				err = fmt.Errorf("read breaks: %s line %d: %w", path, n, err)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(Break{}, fmt.Errorf("read breaks: %w", err))
		}
	}
}

func parseBreak(text string) (Break, error) {
	f := strings.Split(text, ",")
	if len(f) != breakColumns {
		return Break{}, fmt.Errorf("has %d columns, want %d", len(f), breakColumns)
	}
	b := Break{
		Kind: pos.BreakKind(f[0]), TxnID: f[1], Bank: f[2], MerchantID: f[3],
		Field: f[10], Values: [2]string{f[11], f[12]},
	}
	if !slices.Contains(pos.BreakKinds(), b.Kind) {
		return Break{}, fmt.Errorf("unknown kind %q", f[0])
	}
	var errs [2]error
	b.Ours, errs[0] = parseBreakLine(f[4], f[6], f[8])
	b.Theirs, errs[1] = parseBreakLine(f[5], f[7], f[9])
	return b, errors.Join(errs[:]...)
}

func parseBreakLine(amount, status, at string) (*BreakLine, error) {
	if at == "" {
		return nil, nil //nolint:nilnil // a side without the line is no error
	}
	fen, err := strconv.ParseInt(amount, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("amount: %w", err)
	}
	return &BreakLine{Amount: pos.Money(fen), Status: status, Line: at}, nil
}

// FeeDifference is what theirs keeps beyond ours' fee, as far as breaks.csv says: of pairs
// whose fee differs. The fee is the last field that is named.
func (b *Break) FeeDifference() pos.Money {
	if b.Field != "fee_fen" && !strings.HasSuffix(b.Field, ";fee_fen") {
		return 0
	}
	var fees [2]int64
	for side, values := range b.Values {
		var err error
		if fees[side], err = strconv.ParseInt(values[strings.LastIndexByte(values, ';')+1:], 10, 64); err != nil {
			return 0
		}
	}
	return pos.Money(fees[theirs] - fees[ours])
}

// Effective is what the line is worth: a payment its amount, a refund less it, others nothing.
func (l *BreakLine) Effective() pos.Money {
	if l.Status == "" {
		return 0
	}
	return effective(l.Status[0], l.Amount)
}
