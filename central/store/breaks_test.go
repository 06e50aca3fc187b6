package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/payment"
	"dcpos/central/reconcile/breaks"
	"dcpos/central/reconcile/match"
	"dcpos/internal/testprop"
	"dcpos/pos"
)

const breaksHeader = "kind,txn_id,bank,merchant_id,ours_amount_fen,theirs_amount_fen,ours_status,theirs_status," +
	"ours_line,theirs_line,field,ours_value,theirs_value\n"

// wallets is a payment room that says what it is told to say, and books what it gives back.
type wallets struct {
	book ledger.Book
	word func() (pos.RefundState, error)
	done map[pos.RefundID]pos.RefundState
}

func (w *wallets) RefundBreak(ctx context.Context, o breaks.RefundOrder) (breaks.RefundWord, error) {
	state, ok := w.done[o.ID]
	if !ok || !state.Final() {
		var err error
		if state, err = w.word(); err != nil {
			return breaks.RefundWord{}, err
		}
		w.done[o.ID] = state
	}
	if state != pos.RefundRefunded {
		return breaks.RefundWord{State: state, Reason: pos.ErrInsufficient}, nil
	}
	bank := strings.Split(o.Source, ":")[2]
	_, err := w.book.Post(ctx, ledger.RefundedFrom(o.Source, bank, o.ID, o.Amount, "2026-11-30"))
	return breaks.RefundWord{State: state}, err
}

// site is one institution of a test with its desk.
type site struct {
	tb      rapid.TB
	ctx     context.Context
	store   *Store
	desk    *breaks.Desk
	rules   *match.RuleSet
	wallets *wallets
	number  int64
	bank    string
	dir     string
	now     time.Time
}

const fourEyes = 100_00

var siteNumber atomic.Int64

func newSite(ctx context.Context, tb rapid.TB, s *Store, dir string) *site {
	n := siteNumber.Add(1)
	x := &site{tb: tb, ctx: ctx, store: s, number: n, bank: fmt.Sprintf("B%06d", n), dir: dir, now: time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC)}
	var err error
	if x.rules, err = match.Standard(); err != nil {
		tb.Fatal(err)
	}
	x.wallets = &wallets{book: s.Ledger(), word: func() (pos.RefundState, error) { return pos.RefundRefunded, nil }, done: map[pos.RefundID]pos.RefundState{}}
	x.desk = breaks.New(breaks.Config{Store: s.Breaks(), Payments: x.wallets, FourEyes: fourEyes, Now: func() time.Time { return x.now }})
	return x
}

// absorb takes in a day whose breaks are these lines of a breaks.csv.
func (x *site) absorb(date pos.Date, lines ...string) {
	x.tb.Helper()
	if err := x.tryAbsorb(date, lines...); err != nil {
		x.tb.Fatal(err)
	}
}

func (x *site) tryAbsorb(date pos.Date, lines ...string) error {
	x.tb.Helper()
	path := filepath.Join(x.dir, x.bank+"-breaks.csv")
	if err := os.WriteFile(path, []byte(breaksHeader+strings.Join(lines, "")), 0o600); err != nil {
		x.tb.Fatal(err)
	}
	misses, err := match.Misses(x.ctx, path, nil, nil, string(date))
	if err != nil {
		x.tb.Fatal(err)
	}
	return x.desk.Absorb(x.ctx, breaks.Day{
		Date: date, Files: map[string]string{x.bank: "file-" + string(date)}, Rules: x.rules, Breaks: path, Misses: misses,
	})
}

func (x *site) missTheirs(id string, fen int) string {
	return fmt.Sprintf("missing_theirs,%s,%s,M1,%d,,S,,2,,,,\n", id, x.bank, fen)
}

func (x *site) missOurs(id string, fen int) string {
	return fmt.Sprintf("missing_ours,%s,%s,M1,,%d,,S,,2,,,\n", id, x.bank, fen)
}

func (x *site) cases() []pos.BreakCase {
	x.tb.Helper()
	all, err := x.store.Breaks().Cases(x.ctx, pos.BreakFilter{Bank: x.bank, Limit: 1000})
	if err != nil {
		x.tb.Fatal(err)
	}
	return all
}

func (x *site) of(txn string, date pos.Date) pos.BreakCase {
	x.tb.Helper()
	for _, c := range x.cases() {
		if c.Txn == txn && c.Date == date {
			return c
		}
	}
	x.tb.Fatalf("no case of %s on %s", txn, date)
	return pos.BreakCase{}
}

func (x *site) balance(account string) pos.Money {
	x.tb.Helper()
	b, err := x.store.Ledger().Balance(x.ctx, account)
	if err != nil {
		x.tb.Fatal(err)
	}
	return b.Amount
}

// sound checks what must hold at every moment.
func (x *site) sound() {
	x.tb.Helper()
	trial, err := x.store.Ledger().Trial(x.ctx, "")
	if err != nil || !trial.Balanced() {
		x.tb.Fatalf("the ledger: %v, sum %s, wrong %v", err, trial.Sum, trial.Wrong)
	}
	held := map[string]pos.Money{}
	for _, c := range x.cases() {
		account := ledger.SuspenseBreaks(c.Bank, c.Date)
		held[account] += c.Outstanding()
		if c.State.Final() && c.Outstanding() != 0 {
			x.tb.Fatalf("%s is %s with %s in suspense", c.Txn, c.State, c.Outstanding())
		}
		_, remedies, events, _, err := x.store.Breaks().Case(x.ctx, c.ID)
		if err != nil || len(events) == 0 {
			x.tb.Fatal(err, "no history")
		}
		live := 0
		for _, r := range remedies {
			x.eyes(&r)
			if r.State.Live() {
				live++
			}
			if id, err := pos.ParsePaymentID(c.Txn); err == nil && r.State == pos.RemedyExecuting &&
				x.wallets.done[breaks.RefundID(r.ID, id)] == pos.RefundRefunded {
				held[account] -= r.Amount // given back, and not written down yet
			}
		}
		if live > 1 {
			x.tb.Fatalf("%d live remedies of %s", live, c.Txn)
		}
	}
	for account, want := range held {
		if got := x.balance(account); got != want {
			x.tb.Fatalf("%s holds %s, its cases %s", account, got, want)
		}
	}
}

// eyes checks that above the limit two people have agreed.
func (x *site) eyes(r *pos.Remedy) {
	x.tb.Helper()
	moved := r.State == pos.RemedyDone || r.State == pos.RemedyExecuting || r.State == pos.RemedyReversed || r.State == pos.RemedyFailed
	if moved && max(r.Amount, -r.Amount) > fourEyes && (r.DecidedBy == "" || r.DecidedBy == r.ProposedBy || !strings.HasPrefix(r.DecidedBy, "approver")) {
		x.tb.Fatalf("%s of %s was proposed by %q and decided by %q", r.Kind, r.Amount, r.ProposedBy, r.DecidedBy)
	}
}

func addMerchant(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		return tx.PutMerchant(t.Context(), fleet.Merchant{ID: "M1", Name: pos.Text{ZH: "商户", EN: "merchant"}})
	}); err != nil {
		t.Fatal(err)
	}
}

func person(name string) breaks.Person {
	return breaks.Person{Name: name, Approves: strings.HasPrefix(name, "approver")}
}

func (x *site) explain(c pos.BreakCase) {
	x.tb.Helper()
	if _, err := x.desk.Assign(x.ctx, c.ID, "wang", person("wang")); err != nil {
		x.tb.Fatal(err)
	}
	if _, err := x.desk.Explain(x.ctx, c.ID, pos.CauseTheirs, "they say so", person("wang")); err != nil {
		x.tb.Fatal(err)
	}
}

func TestALateArrivalClosesItsBreak(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		x := newSite(t.Context(), t, s, t.TempDir())
		x.absorb("2026-11-21", x.missTheirs("a", 500), x.missTheirs("b", 700))
		a := x.of("a", "2026-11-21")
		if a.State != pos.BreakCarried || a.Rule != "standard/2 carry" || x.balance(ledger.SuspenseBreaks(x.bank, "2026-11-21")) != 1200 {
			t.Fatalf("%+v", a)
		}
		x.sound()
		x.absorb("2026-11-22", x.missOurs("a", 500))
		a, late := x.of("a", "2026-11-21"), x.of("a", "2026-11-22")
		if a.State != pos.BreakResolved || late.State != pos.BreakResolved || a.File != "file-2026-11-22" || a.Party != late.Party || a.Party == "" {
			t.Fatalf("%+v\n%+v", a, late)
		}
		x.sound()
		// The institution corrects its second day: the line stands there no longer.
		x.absorb("2026-11-22")
		if a = x.of("a", "2026-11-21"); a.State != pos.BreakCarried || a.Outstanding() != 500 || a.Party != "" {
			t.Fatalf("%+v", a)
		}
		x.sound()
		x.absorb("2026-11-21", x.missTheirs("b", 700)) // and its first: it stands here now
		if a = x.of("a", "2026-11-21"); a.State != pos.BreakResolved || a.Outcome != pos.OutcomeGone {
			t.Fatalf("%+v", a)
		}
		x.absorb("2026-11-23") // b's time is over
		if b := x.of("b", "2026-11-21"); b.State != pos.BreakOpen || b.Outstanding() != 700 {
			t.Fatalf("%+v", b)
		}
		x.sound()
	})
}

func TestEveryRemedyMovesTheMoney(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		x := newSite(t.Context(), t, s, t.TempDir())
		addMerchant(t, s)
		merchant := x.balance("merchant:M1")
		id := pos.NewPaymentID(x.now, [10]byte{1}).String()
		x.absorb("2026-11-21", x.missOurs("complete", 10), x.missOurs(id, 20), x.missTheirs("claim", 30), x.missTheirs("adjust", 40),
			x.missTheirs("write", 50), fmt.Sprintf("field_mismatch,fee,%s,M1,60,60,S,S,3,3,merchant_id;fee_fen,M1;1,M2;9\n", x.bank))
		for _, c := range []struct {
			txn     string
			kind    pos.RemedyKind
			state   pos.BreakState
			account string
			fen     pos.Money
		}{
			{"complete", pos.RemedyComplete, pos.BreakAdjusted, "merchant:M1", merchant - 10},
			{id, pos.RemedyRefund, pos.BreakAdjusted, "merchant:M1", merchant - 10},
			{"claim", pos.RemedyClaim, pos.BreakAdjusted, ledger.Claim(x.bank), 30},
			{"adjust", pos.RemedyAdjust, pos.BreakAdjusted, "merchant:M1", merchant + 30},
			{"write", pos.RemedyWriteOff, pos.BreakWrittenOff, ledger.WriteOff(x.bank), 50},
			{"fee", pos.RemedyClaim, pos.BreakAdjusted, ledger.Claim(x.bank), 38},
		} {
			w := x.of(c.txn, "2026-11-21")
			if _, err := x.desk.Propose(x.ctx, w.ID, c.kind, "because", person("wang")); pos.CodeOf(err) != pos.ErrIllegalMove {
				t.Errorf("%s before it is explained: %v", c.kind, err)
			}
			x.explain(w)
			for range 2 { // the second time changes nothing
				r, err := x.desk.Propose(x.ctx, w.ID, c.kind, "because", person("wang"))
				if err != nil || r.ID != w.ID+"-1" || r.State != pos.RemedyDone {
					t.Errorf("%s: %+v %v", c.kind, r, err)
				}
			}
			other := pos.RemedyWriteOff
			if c.kind == other {
				other = pos.RemedyClaim
			}
			if _, err := x.desk.Propose(x.ctx, w.ID, other, "because", person("wang")); pos.CodeOf(err) != pos.ErrIllegalMove {
				t.Errorf("%s after %s: %v", other, c.kind, err)
			}
			w = x.of(c.txn, "2026-11-21")
			if got := x.balance(c.account); w.State != c.state || got != c.fen {
				t.Errorf("%s: %s, %s holds %s, want %s", c.kind, w.State, c.account, got, c.fen)
			}
			x.sound()
		}
		if got := x.balance(ledger.SuspenseBreaks(x.bank, "2026-11-21")); got != 0 {
			t.Errorf("%s is left in suspense", got)
		}
		// The claimed line comes after all: the claim is met.
		x.absorb("2026-11-24", x.missOurs("claim", 30))
		if got := x.balance(ledger.Claim(x.bank)); got != 8 {
			t.Errorf("%s is still claimed, want the fee only", got)
		}
		x.sound()
	})
}

// TestALineIsSettledWhenItsMoneyCame: the net credit of the date has arrived, but one line's money is only claimed,
// and another's written off.
func TestALineIsSettledWhenItsMoneyCame(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		const date = pos.Date("2026-11-21")
		x := newSite(t.Context(), t, s, t.TempDir())
		ids := map[string]string{}
		for i, name := range []string{"plain", "claimed", "written off", "dearer"} {
			id := pos.NewPaymentID(x.now, [10]byte{byte(x.number), 0x77, byte(i)})
			ids[name] = id.String()
			if err := s.Payments().PaymentTx(x.ctx, func(tx payment.Tx) error {
				return tx.PutPayment(x.ctx, payment.Record{
					ID: id, Terminal: "T1", Merchant: "M1", Mode: pos.BScanC, Amount: 30, Institution: x.bank, State: pos.Paid, Txn: id.String(), SettlementDate: date,
				})
			}); err != nil {
				t.Fatal(err)
			}
		}
		settled := func() map[string]pos.SettlementState {
			t.Helper()
			all := map[string]pos.SettlementState{}
			for name, text := range ids {
				id, err := pos.ParsePaymentID(text)
				if err != nil {
					t.Fatal(err)
				}
				d, found, err := s.Console().Payment(x.ctx, id)
				if err != nil || !found {
					t.Fatal(found, err)
				}
				all[name] = d.Settled
			}
			return all
		}
		x.absorb(date, fmt.Sprintf("amount_mismatch,%s,%s,M1,30,31,S,S,3,3,amount_fen,30,31\n", ids["dearer"], x.bank),
			x.missTheirs(ids["claimed"], 30), x.missTheirs(ids["written off"], 30))
		if _, err := x.desk.Settle(x.ctx, x.leg(date, 1000)); err != nil {
			t.Fatal(err)
		}
		want := map[string]pos.SettlementState{"plain": pos.SettlementSettled, "claimed": "", "written off": "", "dearer": ""}
		if diff := cmp.Diff(want, settled()); diff != "" {
			t.Error("while nobody has ended the breaks:", diff)
		}
		for name, kind := range map[string]pos.RemedyKind{"claimed": pos.RemedyClaim, "written off": pos.RemedyWriteOff, "dearer": pos.RemedyClaim} {
			c := x.of(ids[name], date)
			x.explain(c)
			if _, err := x.desk.Propose(x.ctx, c.ID, kind, "because", person("wang")); err != nil {
				t.Fatal(err)
			}
		}
		want["dearer"] = pos.SettlementSettled
		if diff := cmp.Diff(want, settled()); diff != "" {
			t.Error("with the remedies:", diff)
		}
	})
}

func TestAboveTheLimitASecondPersonDecides(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		x := newSite(t.Context(), t, s, t.TempDir())
		x.absorb("2026-11-21", x.missTheirs("big", 100_01))
		c := x.of("big", "2026-11-21")
		x.explain(c)
		r, err := x.desk.Propose(x.ctx, c.ID, pos.RemedyWriteOff, "gone", person("approver1"))
		if err != nil || r.State != pos.RemedyProposed {
			t.Fatal(r, err)
		}
		for name, try := range map[string]func() error{
			"who proposed": func() error {
				_, err := x.desk.Decide(x.ctx, r.ID, true, "ok", person("approver1"))
				return err
			},
			"who may not": func() error { _, err := x.desk.Decide(x.ctx, r.ID, true, "ok", person("wang")); return err },
		} {
			if err := try(); pos.CodeOf(err) != pos.ErrForbidden {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := x.desk.Propose(x.ctx, c.ID, pos.RemedyClaim, "gone", person("wang")); pos.CodeOf(err) != pos.ErrIllegalMove {
			t.Errorf("another remedy beside: %v", err)
		}
		if got := x.balance(ledger.WriteOff(x.bank)); got != 0 {
			t.Errorf("%s was written off", got)
		}
		for range 2 {
			if r, err = x.desk.Decide(x.ctx, r.ID, true, "ok", person("approver2")); err != nil || r.State != pos.RemedyDone {
				t.Fatal(r, err)
			}
		}
		if got := x.balance(ledger.WriteOff(x.bank)); got != 100_01 {
			t.Errorf("%s was written off", got)
		}
		x.sound()
	})
}

func TestTheNetCreditIsTheSecondLeg(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		x := newSite(t.Context(), t, s, t.TempDir())
		leg := breaks.Leg{Bank: x.bank, Date: "2026-11-21", Matched: 900, Gross: 1000, Fees: 10, Rule: "standard/2 net-credit"}
		step := func(change func(), want pos.SettlementState, credited, suspense pos.Money) {
			t.Helper()
			change()
			for range 2 {
				got, err := x.desk.Settle(x.ctx, leg)
				if err != nil || got.State != want {
					t.Fatalf("%+v %v, want %s", got, err, want)
				}
			}
			if a, b := x.balance(ledger.Settlement(x.bank)), x.balance(ledger.SuspenseBreaks(x.bank, "2026-11-21")); a != credited || b != suspense {
				t.Errorf("credited %s, in suspense %s", a, b)
			}
			x.sound()
		}
		step(func() {}, pos.SettlementWaiting, 0, 0)
		step(func() { leg.Arrived, leg.Credit = true, 983 }, pos.SettlementDiffers, 983, 7)
		step(func() { leg.Credit = 990 }, pos.SettlementSettled, 990, 0)
		step(func() { leg.Gross, leg.Credit = 1100, 1089 }, pos.SettlementDiffers, 1089, 1)
		c := x.of("credit:"+x.bank, "2026-11-21")
		x.explain(c)
		if _, err := x.desk.Propose(x.ctx, c.ID, pos.RemedyClaim, "one fen", person("wang")); err != nil {
			t.Fatal(err)
		}
		step(func() {}, pos.SettlementSettled, 1089, 0)
	})
}

// TestWorkOnBreaks plays random days, corrections, people and a payment room that fails.
func TestWorkOnBreaks(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		addMerchant(t, s)
		dir := t.TempDir()
		testprop.Short(t, map[Engine]int{SQLite: 40, Postgres: 15}[s.engine])
		rapid.Check(t, func(rt *rapid.T) { playBreaks(t.Context(), rt, s, dir) })
	})
}

func playBreaks(ctx context.Context, rt *rapid.T, s *Store, dir string) {
	x := newSite(ctx, rt, s, dir)
	x.wallets.word = func() (pos.RefundState, error) {
		switch rapid.IntRange(0, 3).Draw(rt, "refund") {
		case 0:
			return pos.RefundDeclined, nil
		case 1:
			return pos.RefundUnknown, nil
		case 2:
			return "", errors.New("killed")
		}
		return pos.RefundRefunded, nil
	}
	days := []pos.Date{"2026-11-21", "2026-11-22", "2026-11-23"}
	last := map[pos.Date][]string{}
	for range rapid.IntRange(4, 14).Draw(rt, "steps") {
		switch rapid.IntRange(0, 9).Draw(rt, "step") {
		case 0, 1, 2:
			date := rapid.SampledFrom(days).Draw(rt, "day")
			last[date] = x.someBreaks(rt)
			x.absorb(date, last[date]...)
			before := x.cases()
			x.absorb(date, last[date]...)
			if diff := cmp.Diff(before, x.cases()); diff != "" {
				rt.Fatalf("the same day again:\n%s", diff)
			}
		case 3:
			off := rapid.SampledFrom([]pos.Money{0, 1, -1, 99_99, -99_99, 100_00, 100_01 + 99_99, 5000_00}).Draw(rt, "credit")
			if _, err := x.desk.Settle(ctx, x.leg(days[0], 1000+off)); err != nil {
				rt.Fatal(err)
			}
		case 4:
			_ = x.desk.Resume(ctx) // a refund may fail again
		default:
			x.somebody(rt)
		}
		x.sound()
	}
}

func (x *site) someBreaks(rt *rapid.T) []string {
	var out []string
	for n := range byte(4) {
		id := pos.PaymentID{9, n, byte(x.number >> 16), byte(x.number >> 8), byte(x.number)}.String() //nolint:gosec // its bytes
		fen := rapid.SampledFrom([]int{1, 99_99, 100_00, 100_01, 5000_00}).Draw(rt, "fen")
		switch rapid.IntRange(0, 7).Draw(rt, "break") {
		case 0, 1:
			out = append(out, x.missTheirs(id, fen))
		case 2, 3:
			out = append(out, x.missOurs(id, fen))
		case 4:
			out = append(out, fmt.Sprintf("amount_mismatch,%s,%s,M1,100,%d,S,S,3,3,,,\n", id, x.bank, fen))
		case 5:
			out = append(out, fmt.Sprintf("duplicate_theirs,%s,%s,M1,,%d,,S,,5,,,\n", id, x.bank, fen))
		}
	}
	slices.Sort(out) // as breaks.csv is
	return out
}

// somebody does something, which may be refused.
func (x *site) somebody(rt *rapid.T) {
	all := x.cases()
	if len(all) == 0 {
		return
	}
	c := rapid.SampledFrom(all).Draw(rt, "case")
	who := person(rapid.SampledFrom([]string{"wang", "zhao", "approver1", "approver2"}).Draw(rt, "who"))
	var err error
	switch rapid.IntRange(0, 5).Draw(rt, "what") {
	case 0:
		_, err = x.desk.Assign(x.ctx, c.ID, who.Name, who)
	case 1:
		_, err = x.desk.Explain(x.ctx, c.ID, rapid.SampledFrom(pos.BreakCauses()).Draw(rt, "cause"), "why", who)
	case 2:
		_, err = x.desk.CarryOver(x.ctx, c.ID, "2026-11-28", who)
	case 3, 4:
		if !c.State.Final() { // straight to the point, so that money moves often
			x.explainAs(c, who)
		}
		_, err = x.desk.Propose(x.ctx, c.ID, rapid.SampledFrom(pos.RemedyKinds()).Draw(rt, "remedy"), "why", who)
	case 5:
		_, remedies, _, _, readErr := x.store.Breaks().Case(x.ctx, c.ID)
		if readErr != nil || len(remedies) == 0 {
			return
		}
		_, err = x.desk.Decide(x.ctx, remedies[len(remedies)-1].ID, rapid.Bool().Draw(rt, "approve"), "why", who)
	}
	code := pos.CodeOf(err)
	if err != nil && code != pos.ErrIllegalMove && code != pos.ErrForbidden && err.Error() != "killed" {
		rt.Fatal(err)
	}
}

func (x *site) explainAs(c pos.BreakCase, who breaks.Person) {
	_, _ = x.desk.Assign(x.ctx, c.ID, who.Name, who)
	_, _ = x.desk.Explain(x.ctx, c.ID, pos.CauseOther, "why", who)
}

// TestACreditThatShowsTheStatementToBeWrong: the statement leaves out, changes or doubles lines, the
// credit does not. Exactly one combination of its breaks fits, or nothing is closed.
func TestACreditThatShowsTheStatementToBeWrong(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		const date = pos.Date("2026-11-21")
		for name, c := range map[string]struct {
			breaks  func(x *site) []string
			credit  pos.Money // of 1000 expected
			state   pos.SettlementState
			outcome pos.MatchOutcome
			closed  int // breaks, beside the credit's
		}{
			"a line that the statement left out": {
				func(x *site) []string { return []string{x.missTheirs(x.bank+"a", 199)} }, 1199, pos.SettlementSettled, match.Matched, 1,
			},
			"two of three": {
				func(x *site) []string {
					return []string{x.missOurs(x.bank+"c", 30), x.missTheirs(x.bank+"a", 199), x.missTheirs(x.bank+"b", 7)}
				}, 1000 + 199 - 30, pos.SettlementSettled, match.Matched, 2,
			},
			"a line that it has twice": {
				func(x *site) []string {
					return []string{fmt.Sprintf("duplicate_theirs,%[1]sd,%[1]s,M1,,50,,S,,5,,,\n", x.bank)}
				}, 950, pos.SettlementSettled, match.Matched, 1,
			},
			"two lines of one amount": {
				func(x *site) []string { return []string{x.missTheirs(x.bank+"a", 199), x.missTheirs(x.bank+"b", 199)} }, 1199, pos.SettlementDiffers, match.Ambiguous, 0,
			},
			"one line, or two of one sum": {
				func(x *site) []string {
					return []string{x.missTheirs(x.bank+"a", 199), x.missTheirs(x.bank+"b", 99), x.missTheirs(x.bank+"c", 100)}
				}, 1199, pos.SettlementDiffers, match.Ambiguous, 0,
			},
			"another amount": {
				func(x *site) []string { return []string{x.missTheirs(x.bank+"a", 199)} }, 1198, pos.SettlementDiffers, match.Broken, 0,
			},
			"the same sum on the other side": {
				func(x *site) []string { return []string{x.missTheirs(x.bank+"a", 199)} }, 801, pos.SettlementDiffers, match.Broken, 0,
			},
		} {
			t.Run(name, func(t *testing.T) {
				x := newSite(t.Context(), t, s, t.TempDir())
				x.absorb(date, c.breaks(x)...)
				leg := x.leg(date, c.credit)
				for range 2 {
					got, err := x.desk.Settle(x.ctx, leg)
					if err != nil || got.State != c.state {
						t.Fatalf("%+v %v", got, err)
					}
				}
				credit, closed := x.of("credit:"+x.bank, date), 0
				for _, b := range x.cases() {
					if b.State == pos.BreakResolved && b.Kind != pos.CreditMismatch {
						closed++
						if b.Rule != leg.Rule || b.Party != credit.Party || b.Outstanding() != 0 || b.File != "account" {
							t.Errorf("%+v", b)
						}
					}
				}
				if credit.Outcome != c.outcome || credit.Rule != leg.Rule || closed != c.closed || credit.State.Final() != (c.closed > 0) {
					t.Errorf("%d closed: %+v", closed, credit)
				}
				x.sound()
			})
		}
	})
}

// TestACreditIsTakenBack: what was closed with a credit is open again when credit or statement change, and
// waits while somebody works on it.
func TestACreditIsTakenBack(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		const date = pos.Date("2026-11-21")
		x := newSite(t.Context(), t, s, t.TempDir())
		settle := func(gross, credit pos.Money, want pos.SettlementState) {
			t.Helper()
			leg := x.leg(date, credit)
			leg.Gross = gross
			if got, err := x.desk.Settle(x.ctx, leg); err != nil || got.State != want {
				t.Fatalf("%+v %v, want %s", got, err, want)
			}
			x.sound()
		}
		x.absorb(date, x.missTheirs("a", 199))
		settle(1000, 1199, pos.SettlementSettled)
		settle(1000, 1000, pos.SettlementSettled) // the credit was corrected: the line did not come after all
		if a := x.of("a", date); a.State != pos.BreakOpen || a.Outstanding() != 199 {
			t.Errorf("%+v", a)
		}
		settle(1000, 1199, pos.SettlementSettled)
		x.absorb(date) // a corrected statement lists the line
		settle(1199, 1199, pos.SettlementSettled)
		for _, c := range x.cases() {
			if !c.State.Final() || c.Outstanding() != 0 || c.Matched != 0 {
				t.Errorf("%+v", c)
			}
		}
		x.absorb(date, x.missTheirs("b", 500_00))
		b := x.of("b", date)
		x.explain(b)
		r, err := x.desk.Propose(x.ctx, b.ID, pos.RemedyWriteOff, "why", person("wang"))
		if err != nil || r.State != pos.RemedyProposed {
			t.Fatal(r, err)
		}
		settle(1199, 1199+500_00, pos.SettlementDiffers)
		if _, err := x.desk.Decide(x.ctx, r.ID, false, "it was credited", person("approver1")); err != nil {
			t.Fatal(err)
		}
		settle(1199, 1199+500_00, pos.SettlementSettled)
	})
}

// leg is a settlement of 1000 by the rules that ship.
func (x *site) leg(date pos.Date, credit pos.Money) breaks.Leg {
	x.tb.Helper()
	rule, ok := x.rules.Credit()
	if !ok {
		x.tb.Fatal("no rule for credits")
	}
	return breaks.Leg{
		Bank: x.bank, Date: date, Matched: 900, Gross: 1000, Arrived: true, Credit: credit, File: "account",
		Rule: x.rules.Name(rule.ID), MostLines: rule.MostLines, Resolve: rule.Resolve,
	}
}
