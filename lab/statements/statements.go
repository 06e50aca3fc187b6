// Package statements writes the two sides of a reconciliation whose outcome is known:
// every line follows from its number, and so does what was done to it. It is the truth
// that the reconciler is measured and judged by, and shares no code with it.
//
// To plant another kind of break add a fate to fateOf and to plant, and count it in Truth.
package statements

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/bits"
	"strconv"
)

// Header is the first line of both files.
const Header = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts\n"

// Truth is what a right reconciliation of the two files finds. Amounts are of ours' and
// theirs' lines of all classes together, in fen.
type Truth struct {
	Ours, Theirs, Matched                         int64
	MissingTheirs, MissingOurs                    int64
	AmountMismatch, StatusMismatch, FieldMismatch int64
	DuplicateOurs, DuplicateTheirs                int64
	OursFen, TheirsFen                            int64
	HotLines                                      int64 // lines of both sides of the one large merchant
}

// Plan says what to write. The same plan gives the same bytes.
type Plan struct {
	Pairs      int64 // pairs before anything is done to them
	Seed       uint64
	HotPercent uint64 // of all lines belong to one merchant
	Merchants  uint64 // the others; 0 is 20,000
	// BreakPercent of all pairs are breaks; 0 is the usual 0.29 %.
	BreakPercent uint64
}

// Fates. Usually 29 of 10,000 pairs are breaks.
const (
	matched = iota
	missingTheirs
	missingOurs
	amountMismatch
	statusMismatch
	fieldMismatch
	duplicateOurs
	duplicateTheirs
	missingOursAndDoubled // one missing_ours and one duplicate_theirs
	fateCount
)

func (p Plan) fateOf(x uint64) int {
	shares := [fateCount]uint64{missingTheirs: 10, missingOurs: 10, amountMismatch: 3, statusMismatch: 2, fieldMismatch: 2, duplicateOurs: 1, duplicateTheirs: 1}
	const all, usual = 10_000, 29
	at := x % all
	for fate, share := range shares {
		if p.BreakPercent > 0 {
			share = share * p.BreakPercent * (all / 100) / usual
		}
		if at < share {
			return fate
		}
		at -= share
	}
	if x%1_000_003 == 7 {
		return missingOursAndDoubled
	}
	return matched
}

// Write writes both sides: ours in the order of the pairs, theirs in another.
func (p Plan) Write(ctx context.Context, ours, theirs io.Writer) (Truth, error) {
	if p.Merchants == 0 {
		p.Merchants = 20_000
	}
	var t Truth
	n := uint64(p.Pairs) //nolint:gosec // a size
	err := p.side(ctx, ours, n, func(i uint64) uint64 { return i }, func(b []byte, l *line) []byte {
		return l.ours(b, &t)
	})
	if err != nil {
		return t, fmt.Errorf("write our side: %w", err)
	}
	// A multiplication by an odd number is another order of the numbers below a power of two.
	size := uint64(1) << bits.Len64(n)
	err = p.side(ctx, theirs, size, func(i uint64) uint64 { return i * 0x9E3779B1 % size }, func(b []byte, l *line) []byte {
		return l.theirs(b, &t)
	})
	if err != nil {
		return t, fmt.Errorf("write their side: %w", err)
	}
	return t, nil
}

func (p Plan) side(ctx context.Context, out io.Writer, turns uint64, pick func(uint64) uint64, add func([]byte, *line) []byte) error {
	w := bufio.NewWriterSize(out, 1<<20)
	if _, err := w.WriteString(Header); err != nil {
		return err
	}
	var b []byte
	for i := range turns {
		k := pick(i)
		if k >= uint64(p.Pairs) { //nolint:gosec // a size
			continue
		}
		l := p.line(k)
		b = add(b[:0], &l)
		if _, err := w.Write(b); err != nil {
			return err
		}
		if i%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return w.Flush()
}

// line is one pair before it is written.
type line struct {
	id             [2]uint64
	merchant, bank uint64
	till           uint64
	amount, fee    int64
	status         byte
	second         uint64 // of the day
	fate           int
	hot            bool
}

func (p Plan) line(k uint64) line {
	x := mix(k + p.Seed<<48)
	y := mix(x)
	z := mix(y)
	l := line{
		id: [2]uint64{x, y}, merchant: 1 + z>>32%p.Merchants, bank: z >> 8 % 6, till: z >> 16 % 9,
		amount: int64(y >> 20 % 200_000), fee: int64(x >> 20 % 500), status: 'S', second: z % 86_400, //nolint:gosec // small
		fate: p.fateOf(mix(z)),
	}
	if l.hot = z>>40%100 < p.HotPercent; l.hot {
		l.merchant = 0
	}
	if w := y % 100; w < 3 {
		l.status = "FPR"[w]
	}
	return l
}

func (l *line) ours(b []byte, t *Truth) []byte {
	if l.fate == missingOurs || l.fate == missingOursAndDoubled {
		return b
	}
	b = l.append(b, t, &t.Ours, &t.OursFen)
	switch l.fate {
	case duplicateOurs:
		t.DuplicateOurs++
		b = l.append(b, t, &t.Ours, &t.OursFen)
		t.Matched++
	case missingTheirs:
		t.MissingTheirs++
	case matched, duplicateTheirs:
		t.Matched++
	}
	return b
}

func (l *line) theirs(b []byte, t *Truth) []byte {
	changed := *l
	switch l.fate {
	case missingTheirs:
		return b
	case missingOurs:
		t.MissingOurs++
	case amountMismatch:
		t.AmountMismatch++
		changed.amount++
	case statusMismatch:
		t.StatusMismatch++
		if changed.status = 'S'; l.status == 'S' {
			changed.status = 'F'
		}
	case fieldMismatch:
		t.FieldMismatch++
		changed.fee++
	case duplicateTheirs, missingOursAndDoubled:
		t.DuplicateTheirs++
		if l.fate == missingOursAndDoubled {
			t.MissingOurs++
		}
		b = l.append(b, t, &t.Theirs, &t.TheirsFen)
	}
	return changed.append(b, t, &t.Theirs, &t.TheirsFen)
}

func (l *line) append(b []byte, t *Truth, lines, fen *int64) []byte {
	*lines++
	*fen += l.amount
	if l.hot {
		t.HotLines++
	}
	banks := [...]string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}
	b = digits(b, l.id[0], 16)
	b = digits(b, l.id[1], 16)
	b = append(b, ",8860"...)
	b = digits(b, l.merchant, 8)
	b = append(b, ",T"...)
	b = append(strconv.AppendUint(b, l.till, 10), ',')
	b = append(append(b, banks[l.bank]...), ',')
	b = append(strconv.AppendInt(b, l.amount, 10), ',')
	b = append(strconv.AppendInt(b, l.fee, 10), ',', l.status)
	b = append(b, ",2026-11-21T"...)
	for i, part := range [3]uint64{l.second / 3600 % 16, l.second / 60 % 60, l.second % 60} {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, byte('0'+part/10), byte('0'+part%10))
	}
	return append(b, "Z\n"...)
}

// digits writes so many hexadecimal digits.
func digits(b []byte, x uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, "0123456789abcdef"[x>>(4*i)&15])
	}
	return b
}

// mix is splitmix64's step: different numbers stay different.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
