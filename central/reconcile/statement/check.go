package statement

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"dcpos/pos"
)

// Report is what a statement was understood to say.
type Report struct {
	Format   string    `json:"format"`
	Note     pos.Text  `json:"note"`
	Bank     string    `json:"bank,omitempty"` // of every line, where the format says
	Lines    int64     `json:"lines"`
	ByStatus []Status  `json:"by_status"`      // S, F, P, R
	Days     []Day     `json:"days"`           // at most 40, as they come
	From     int32     `json:"from,omitempty"` // the days that the header names, yyyymmdd; 0: it names none
	To       int32     `json:"to,omitempty"`
	Fee      int64     `json:"fee_fen"`
	Controls []Held    `json:"controls"` // what header and trailer promise; all of it was kept
	First    []Example `json:"first"`    // the first lines
}

// Status is the lines of one status.
type Status struct {
	Status string    `json:"status"`
	Lines  int64     `json:"lines"`
	Amount pos.Money `json:"amount_fen"`
}

// Day is the lines of one settlement date.
type Day struct {
	Date      int32     `json:"date"` // yyyymmdd
	Lines     int64     `json:"lines"`
	Effective pos.Money `json:"effective_fen"` // payments less refunds
	Refunds   pos.Money `json:"refunds_fen"`   // of that
	Fee       pos.Money `json:"fee_fen"`

	digest uint64 // sum of what its lines say
}

// OtherDays tells on which days two statements say something else, the earliest first; days that only
// one of them covers are among them. Lines may come in another order. It holds for reports of one
// process, but for a chance of 2⁻⁶⁴.
func (r *Report) OtherDays(o *Report) []int32 {
	said := func(r *Report) map[int32]Day {
		days := map[int32]Day{}
		for day := r.From; day > 0 && day <= r.To && len(days) < mostDays; day = nextDay(day) {
			days[day] = Day{Date: day}
		}
		for _, d := range r.Days {
			days[d.Date] = d
		}
		return days
	}
	before, now := said(r), said(o)
	var other []int32
	for date, d := range now {
		if was, ok := before[date]; !ok || was != d {
			other = append(other, date)
		}
	}
	for date := range before {
		if _, ok := now[date]; !ok {
			other = append(other, date)
		}
	}
	slices.Sort(other)
	return other
}

// Held is one promised number.
type Held struct {
	Part string `json:"part"` // header or trailer
	Name string `json:"name"`
	Want int64  `json:"value"`
}

// Text is the number with its name.
func (h Held) Text() pos.Text {
	c := control{h.Part, h.Name, h.Want}
	name := c.named()
	return pos.Text{ZH: name.ZH + " " + c.value(h.Want), EN: name.EN + " " + c.value(h.Want)}
}

// Example is one line as it was understood.
type Example struct {
	Line     int64     `json:"line"`
	TxnID    string    `json:"txn_id"`
	Merchant string    `json:"merchant_id"`
	Terminal string    `json:"terminal_id"`
	Bank     string    `json:"bank"`
	Amount   pos.Money `json:"amount_fen"`
	Fee      pos.Money `json:"fee_fen"`
	Status   string    `json:"status"`
	Day      int32     `json:"settlement_date"`
	Orig     string    `json:"orig_txn_id,omitempty"`
	Batch    string    `json:"batch_no,omitempty"`
}

const (
	samples      = 3
	mostDays     = 40
	checkBlock   = 128 << 10
	checkStatues = "SFPR"
)

// Check reads a whole statement and says what it was understood to be. The first bad line,
// and a statement that is not whole, is an *InputError.
func Check(ctx context.Context, src Source) (*Report, error) {
	report, err := check(ctx, src)
	if bad, ok := errors.AsType[*InputError](err); ok {
		bad.Checked = true
	}
	return report, err
}

func check(ctx context.Context, src Source) (*Report, error) {
	f, err := Open(src, Options{Block: checkBlock})
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	report := &Report{Format: src.Format}
	if report.Format == "" {
		report.Format = dcposCSV{}.Name()
	}
	for _, c := range checkStatues {
		report.ByStatus = append(report.ByStatus, Status{Status: string(c)})
	}
	if err := f.each(ctx, report.add); err != nil {
		return nil, err
	}
	if s, ok := f.layout.(*statementFile); ok {
		report.Note, report.From, report.To, report.Bank = s.d.Note, s.from, s.to, s.d.Bank
		for _, c := range s.promised {
			report.Controls = append(report.Controls, Held{c.part, c.name, c.want})
		}
	}
	if err := f.Unchanged(); err != nil {
		return nil, err
	}
	return report, f.Verify()
}

// Each calls yield with every line of a statement and its number, in order; the row is good
// until yield returns. It asks nothing about the whole: Check does.
func Each(ctx context.Context, src Source, yield func(row *Row, line int64)) error {
	f, err := Open(src, Options{Block: checkBlock})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.each(ctx, yield); err != nil {
		return err
	}
	return f.Unchanged()
}

func (f *File) each(ctx context.Context, yield func(row *Row, line int64)) error {
	lines := f.NewLines()
	var buf []byte
	for before := int64(1); ; {
		b, done, err := f.Next(&buf)
		if err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		lines.Reset(b)
		for {
			var row Row
			_, _, fault, ok := lines.Next(&row)
			if fault != nil {
				return fault.At(f.Path, before+lines.taken)
			}
			if !ok {
				break
			}
			yield(&row, before+lines.taken)
		}
		before += lines.taken
		lines.Done()
	}
}

func (r *Report) add(row *Row, line int64) {
	r.Lines++
	for i := range r.ByStatus {
		if r.ByStatus[i].Status[0] == row.Status {
			r.ByStatus[i].Lines++
			r.ByStatus[i].Amount += row.Amount
		}
	}
	r.Fee += int64(row.Fee)
	r.day(row)
	if len(r.First) < samples {
		r.First = append(r.First, Example{
			Line: line, TxnID: string(row.TxnID), Merchant: string(row.Merchant), Terminal: string(row.Terminal),
			Bank: string(row.Bank), Amount: row.Amount, Fee: row.Fee, Status: string(row.Status), Day: row.Day,
			Orig: string(row.Orig), Batch: string(row.Batch),
		})
	}
}

func (r *Report) day(row *Row) {
	i := slices.IndexFunc(r.Days, func(d Day) bool { return d.Date == row.Day })
	if i < 0 {
		if len(r.Days) == mostDays {
			return
		}
		i = len(r.Days)
		r.Days = append(r.Days, Day{Date: row.Day})
	}
	r.Days[i].Lines++
	r.Days[i].digest += row.digest()
	r.Days[i].Fee += row.Fee
	r.Days[i].Effective += row.Effective()
	if row.Status == Refund {
		r.Days[i].Refunds += row.Amount
	}
}

// digest hashes all that the line says.
func (r *Row) digest() uint64 {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	for _, field := range [][]byte{r.TxnID, r.Merchant, r.Terminal, r.Bank, r.Orig, r.Batch, r.stamp} {
		_, _ = h.Write(field) // a hash never fails to write
		_ = h.WriteByte(',')
	}
	var numbers [4 * 8]byte
	for i, n := range [4]int64{int64(r.Amount), int64(r.Fee), int64(r.Status), int64(r.clock)} {
		binary.LittleEndian.PutUint64(numbers[8*i:], uint64(n))
	}
	_, _ = h.Write(numbers[:])
	return h.Sum64()
}

// Effective is what the line is worth: a payment its amount, a refund less it, others nothing.
func (r *Row) Effective() pos.Money {
	switch r.Status {
	case Success:
		return r.Amount
	case Refund:
		return -r.Amount
	}
	return 0
}

// String is the line as people read it.
func (s Example) String() string {
	return fmt.Sprintf("%d: %s %s %s %s ¥%s ¥%s %s %d %s %s", s.Line, s.TxnID, s.Merchant, s.Terminal, s.Bank, s.Amount, s.Fee, s.Status,
		s.Day, s.Orig, s.Batch)
}
