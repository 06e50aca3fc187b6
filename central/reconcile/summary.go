package reconcile

import (
	"errors"
	"fmt"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// The two sides.
const (
	ours = iota
	theirs
)

func sideName(side int) string {
	if side == ours {
		return "ours"
	}
	return "theirs"
}

// Summary is summary.json. Lines are counted without the rejected ones and those of
// other settlement dates; every line of a side is in exactly one class.
type Summary struct {
	Ours            int64 `json:"ours"`
	Theirs          int64 `json:"theirs"`
	Matched         int64 `json:"matched"` // pairs
	MissingTheirs   int64 `json:"missing_theirs"`
	MissingOurs     int64 `json:"missing_ours"`
	AmountMismatch  int64 `json:"amount_mismatch"`
	StatusMismatch  int64 `json:"status_mismatch"`
	FieldMismatch   int64 `json:"field_mismatch"`
	DuplicateOurs   int64 `json:"duplicate_ours"`
	DuplicateTheirs int64 `json:"duplicate_theirs"`
	RejectedOurs    int64 `json:"rejected_ours"`
	RejectedTheirs  int64 `json:"rejected_theirs"`
	// MatchedByStatus always holds S, F, P and R.
	MatchedByStatus map[string]int64 `json:"matched_by_status"`
	// Amount holds the amounts of every class's lines, of any status.
	Amount map[pos.BreakKind]SideAmount `json:"amount"`
	ByBank map[string]BankTotal         `json:"by_bank"`
	Proof  Proof                        `json:"proof"`
	Shards Shards                       `json:"shards"`
	// Seconds and Shards are all that differs from run to run.
	Seconds float64 `json:"seconds"`
}

// SideAmount is a sum of fen on either side.
type SideAmount struct {
	Ours   pos.Money `json:"ours"`
	Theirs pos.Money `json:"theirs"`
}

// BankTotal is one institution's control total; a break is counted under our bank
// where we have the line, else under theirs.
type BankTotal struct {
	Ours      int64     `json:"ours"`
	Theirs    int64     `json:"theirs"`
	OursFen   pos.Money `json:"ours_fen"`
	TheirsFen pos.Money `json:"theirs_fen"`
	Breaks    int64     `json:"breaks"`
}

// Proof says that the breaks explain the whole difference of money: effective value
// of ours − theirs = Σ over breaks (+ what a tolerance let pass).
type Proof struct {
	Ours      pos.Money `json:"ours_effective_fen"`
	Theirs    pos.Money `json:"theirs_effective_fen"`
	Breaks    pos.Money `json:"breaks_effective_fen"`
	Tolerated pos.Money `json:"tolerated_effective_fen,omitempty"` // only with a tolerance
	Closes    bool      `json:"closes"`
}

// Shards tells how even the work was split, in lines of both sides.
type Shards struct {
	Count   int64   `json:"count"`
	Largest int64   `json:"largest"`
	Mean    float64 `json:"mean"`
}

// Breaks is the number of breaks of all kinds.
func (s *Summary) Breaks() int64 {
	var n int64
	for _, kind := range pos.BreakKinds() {
		n += *s.class(kind)
	}
	return n
}

// Rejected is the number of lines set aside on both sides.
func (s *Summary) Rejected() int64 { return s.RejectedOurs + s.RejectedTheirs }

// Class is the number of lines or pairs of a class.
func (s *Summary) Class(kind pos.BreakKind) int64 { return *s.class(kind) }

func (s *Summary) class(kind pos.BreakKind) *int64 {
	switch kind {
	case pos.MissingTheirs:
		return &s.MissingTheirs
	case pos.MissingOurs:
		return &s.MissingOurs
	case pos.AmountMismatch:
		return &s.AmountMismatch
	case pos.StatusMismatch:
		return &s.StatusMismatch
	case pos.FieldMismatch:
		return &s.FieldMismatch
	case pos.DuplicateOurs:
		return &s.DuplicateOurs
	case pos.DuplicateTheirs:
		return &s.DuplicateTheirs
	case pos.Matched:
		return &s.Matched
	case pos.CreditMismatch: // of the account, never of a line
	}
	return new(int64)
}

// ErrProof is returned when the breaks do not explain the difference of money, which
// no input can cause: results that cannot be trusted are not written.
var ErrProof = errors.New("the money proof does not close")

// classes is every class, Matched last.
func classes() []pos.BreakKind { return append(pos.BreakKinds(), pos.Matched) }

// tally is what a worker counts; tallies of all workers add up in any order. Pairs that
// match are never looked at one by one: they are what was read less what broke.
type tally struct {
	rejected  [2]int64
	read      [2]sideTally
	broken    [2]sideTally
	class     [7]int64 // by index in pos.BreakKinds
	amount    [7][2]sum
	tolerated sum
}

// sideTally is lines of one side by status, in the order of statuses.
type sideTally struct {
	lines [4]int64
	fen   [4]sum
}

const statuses = string(statement.Success) + string(statement.Failed) + string(statement.Pending) + string(statement.Refund)

// statusIndexes are where statuses stand among them.
var statusIndexes = [256]uint8{statement.Success: 0, statement.Failed: 1, statement.Pending: 2, statement.Refund: 3}

func (t *sideTally) add(status byte, amount pos.Money) {
	i := statusIndexes[status]
	t.lines[i]++
	t.fen[i].add(amount)
}

// addAll adds the lines of a batch.
func (t *sideTally) addAll(b *statement.Batch) {
	const small = 40 // bits of amounts of which a batch's sum fits
	var lines, fen [len(statuses)]int64
	var all pos.Money
	amounts := b.Amount[:b.N]
	for i, status := range b.Status[:b.N] {
		k := statusIndexes[status] % uint8(len(statuses))
		lines[k]++
		fen[k] += int64(amounts[i])
		all |= amounts[i]
	}
	for k := range lines {
		t.lines[k] += lines[k]
		if all>>small == 0 {
			t.fen[k].add(pos.Money(fen[k]))
		}
	}
	for i := 0; all>>small != 0 && i < len(amounts); i++ {
		t.fen[statusIndexes[b.Status[i]]].add(amounts[i])
	}
}

func (t *sideTally) join(o *sideTally) {
	for i := range t.lines {
		t.lines[i] += o.lines[i]
		t.fen[i].addSum(o.fen[i])
	}
}

func (t *sideTally) sums() (lines int64, fen, effect sum) {
	for i := range t.lines {
		lines += t.lines[i]
		fen.addSum(t.fen[i])
	}
	effect = t.fen[0]
	effect.subSum(t.fen[3])
	return lines, fen, effect
}

func (t *tally) add(o *tally) {
	for side := range t.read {
		t.rejected[side] += o.rejected[side]
		t.read[side].join(&o.read[side])
		t.broken[side].join(&o.broken[side])
	}
	for i := range t.class {
		t.class[i] += o.class[i]
		t.amount[i][ours].addSum(o.amount[i][ours])
		t.amount[i][theirs].addSum(o.amount[i][theirs])
	}
	t.tolerated.addSum(o.tolerated)
}

// numbers and fromNumbers carry a tally from one process to another.
func (t *tally) numbers() []int64 {
	var n []int64
	t.each(func(v *int64) { n = append(n, *v) }, func(s *sum) { n = append(n, s.hi, int64(s.lo)) })
	return n
}

func (t *tally) fromNumbers(n []int64) bool {
	next := func() (v int64) {
		if len(n) > 0 {
			v, n = n[0], n[1:]
		}
		return v
	}
	want := len(t.numbers())
	if len(n) != want {
		return false
	}
	t.each(func(v *int64) { *v = next() }, func(s *sum) { s.hi = next(); s.lo = uint64(next()) })
	return true
}

func (t *tally) each(number func(*int64), total func(*sum)) {
	for side := range t.read {
		number(&t.rejected[side])
		for _, st := range []*sideTally{&t.read[side], &t.broken[side]} {
			for i := range st.lines {
				number(&st.lines[i])
				total(&st.fen[i])
			}
		}
	}
	for i := range t.class {
		number(&t.class[i])
		total(&t.amount[i][ours])
		total(&t.amount[i][theirs])
	}
	total(&t.tolerated)
}

func (t *tally) summary() (Summary, error) {
	s := Summary{
		RejectedOurs: t.rejected[ours], RejectedTheirs: t.rejected[theirs],
		MatchedByStatus: map[string]int64{}, Amount: map[pos.BreakKind]SideAmount{},
	}
	var matched [2]int64
	var amounts [2]sum
	for side, lines := range [2]*int64{&s.Ours, &s.Theirs} {
		var broken int64
		var fen sum
		*lines, amounts[side], _ = t.read[side].sums()
		broken, fen, _ = t.broken[side].sums()
		matched[side] = *lines - broken
		amounts[side].subSum(fen)
	}
	for i := range statuses {
		s.MatchedByStatus[statuses[i:i+1]] = t.read[ours].lines[i] - t.broken[ours].lines[i]
	}
	if matched[ours] != matched[theirs] {
		return Summary{}, fmt.Errorf("%w: %d lines of ours match %d of theirs", ErrProof, matched[ours], matched[theirs])
	}
	s.Matched = matched[ours]
	for i, kind := range classes() {
		of := amounts
		if kind != pos.Matched {
			*s.class(kind), of = t.class[i], t.amount[i]
		}
		a, errA := of[ours].money("amount_fen of class " + string(kind) + " (ours)")
		b, errB := of[theirs].money("amount_fen of class " + string(kind) + " (theirs)")
		if err := errors.Join(errA, errB); err != nil {
			return Summary{}, err
		}
		s.Amount[kind] = SideAmount{a, b}
	}
	return s, t.prove(&s.Proof)
}

func (t *tally) prove(p *Proof) error {
	_, _, left := t.read[ours].sums()
	_, _, right := t.read[theirs].sums()
	_, _, breaks := t.broken[ours].sums()
	_, _, theirBreaks := t.broken[theirs].sums()
	breaks.subSum(theirBreaks)
	rest := left
	rest.subSum(right)
	rest.subSum(breaks)
	rest.subSum(t.tolerated)
	p.Closes = rest == sum{}
	for _, part := range []struct {
		to   *pos.Money
		from sum
		name string
	}{
		{&p.Ours, left, "effective values (ours)"},
		{&p.Theirs, right, "effective values (theirs)"},
		{&p.Breaks, breaks, "effective values of the breaks"},
		{&p.Tolerated, t.tolerated, "tolerated differences"},
	} {
		var err error
		if *part.to, err = part.from.money(part.name); err != nil {
			return err
		}
	}
	if !p.Closes {
		return fmt.Errorf("%w: ours %d − theirs %d ≠ breaks %d", ErrProof, p.Ours, p.Theirs, p.Breaks)
	}
	return nil
}
