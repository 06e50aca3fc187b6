package books

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// Header is the first line of a statement (reconciliation contract: no quoting, LF).
const Header = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date"

// Line is one line of an end-of-day statement.
type Line struct {
	TxnID    string // the request id, so that both sides name the line alike
	Merchant string
	Terminal string
	Bank     string
	Amount   pos.Money
	Fee      pos.Money
	Status   string // S paid, F failed, R refund done
	AtMS     int64
	Orig     string // of a refund: the payment's request id
	Batch    string
	Date     pos.Date
}

// Statement lists the settlement day's lines by time, then id, as delivered: with
// doubled lines and planted differences. Payments and orders that succeeded or
// failed stand in it, and refunds that were done; open orders and refused refunds do
// not. An open day gives what there is so far.
func (b *Books) Statement(date pos.Date) ([]Line, error) {
	b.mu.Lock()
	lines := b.plain(date)
	for _, p := range b.planted {
		if p.Date == date {
			lines = distort(p, lines)
		}
	}
	b.mu.Unlock()
	return lines, b.journal.sync()
}

// Booked lists the settlement day's lines as the books have them: what money is credited by.
func (b *Books) Booked(date pos.Date) ([]Line, error) {
	b.mu.Lock()
	lines := b.plain(date)
	b.mu.Unlock()
	seen := make(map[string]bool, len(lines))
	lines = slices.DeleteFunc(lines, func(l Line) bool {
		again := seen[l.TxnID] // a doubled line is one booking
		seen[l.TxnID] = true
		return again
	})
	return lines, b.journal.sync()
}

// distort puts one planted difference into a statement.
func distort(p api.PlantedLine, lines []Line) []Line {
	i := slices.IndexFunc(lines, func(l Line) bool { return l.TxnID == p.TxnID })
	if i < 0 {
		return lines
	}
	switch p.Change {
	case api.ChangeAmount:
		lines[i].Amount++
	case api.ChangeStatus:
		lines[i].Status = string(api.Failed)
	case api.ChangeFee:
		lines[i].Fee++
	default:
		return slices.Delete(lines, i, i+1)
	}
	return lines
}

// plain is the statement as the books have it.
func (b *Books) plain(date pos.Date) []Line {
	now := b.cfg.Now()
	var lines []Line
	for _, id := range b.order {
		r := b.present(*b.records[id], now)
		status := string(r.Status)
		switch {
		case r.Date != date || r.Status == api.InProcess || (r.Op == api.OpRefunds && r.Status != api.Success):
			continue
		case r.Op == api.OpRefunds:
			status = "R"
		}
		l := Line{
			TxnID: r.ID, Merchant: r.Merchant, Terminal: r.Terminal, Bank: b.cfg.Institution,
			Amount: r.Amount, Fee: r.Fee, Status: status, AtMS: r.AtMS, Orig: r.Orig, Date: date,
			Batch: b.cfg.Institution + strings.ReplaceAll(string(date), "-", "") + "01",
		}
		lines = append(lines, l)
		if r.Twice {
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(x, y Line) int {
		return cmp.Or(cmp.Compare(x.AtMS, y.AtMS), strings.Compare(x.TxnID, y.TxnID))
	})
	return lines
}

// Plant makes one line of the day's statement differ from the books, from now on:
// the first successful one of the amount (0 is any) that does not differ yet. It
// reports false when there is none.
func (b *Books) Plant(date pos.Date, change string, amount pos.Money) (bool, error) {
	b.mu.Lock()
	done, err := b.plant(date, change, amount)
	b.mu.Unlock()
	return done, errors.Join(err, b.journal.sync())
}

func (b *Books) plant(date pos.Date, change string, amount pos.Money) (bool, error) {
	for _, l := range b.plain(date) {
		taken := slices.ContainsFunc(b.planted, func(p api.PlantedLine) bool { return p.TxnID == l.TxnID })
		if l.Status != string(api.Success) || taken || (amount > 0 && l.Amount != amount) {
			continue
		}
		return true, b.commit(event{Planted: &api.PlantedLine{Date: date, TxnID: l.TxnID, Change: change}})
	}
	return false, nil
}

// Planted lists the planted differences.
func (b *Books) Planted() []api.PlantedLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.planted)
}

// ClearPlanted takes every planted difference back: the next statement is right.
func (b *Books) ClearPlanted() error {
	b.mu.Lock()
	var err error
	if len(b.planted) > 0 {
		err = b.commit(event{Cleared: true})
	}
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

// WriteCSV writes a statement in the columns of Header.
func WriteCSV(w io.Writer, lines []Line) error {
	var s strings.Builder
	s.WriteString(Header + "\n")
	for _, l := range lines {
		ts := time.UnixMilli(l.AtMS).In(pos.Shanghai()).Format("2006-01-02T15:04:05.000Z07:00")
		fmt.Fprintf(&s, "%s,%s,%s,%s,%d,%d,%s,%s,%s,%s,%s\n", l.TxnID, l.Merchant, l.Terminal, l.Bank,
			l.Amount, l.Fee, l.Status, ts, l.Orig, l.Batch, l.Date)
	}
	if _, err := io.WriteString(w, s.String()); err != nil {
		return fmt.Errorf("write statement: %w", err)
	}
	return nil
}
