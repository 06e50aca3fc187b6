package payment_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/payment"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var (
	counterSeeds = flag.Int("counter-seeds", 4, "histories of wallets that spend twice, a seed each, on SQLite; a quarter of them on PostgreSQL")
	counterSeed  = flag.Uint64("counter-seed", 1, "the first seed")
)

// island is the branch of a salvage file that connects with nothing.
const island = 1000

// promise is a wallet's statement on its way to the centre.
type promise struct {
	till    string
	id      pos.PaymentID
	wallet  int
	counter uint64
	amount  pos.Money
	atMS    int64
	file    bool // a salvage file brings it
	journal bool // its till's journal does
	moved   pos.PaymentMoved
}

// wallets are signatories of one root.
func newWallets(t *testing.T, now time.Time, n int) (dcep.Trust, []signatory) {
	t.Helper()
	first := newSignatory(t, now)
	all := []signatory{first}
	for range n - 1 {
		all = append(all, first.sibling(t, now, 0))
	}
	return first.trust, all
}

// sign lets the wallet promise the amount to a till, a part of it from envelopes.
func (h *house) sign(w signatory, till string, counter uint64, amount pos.Money, uses ...pos.EnvelopeUse) promise {
	h.t.Helper()
	return h.signAt(w, till, counter, amount, h.clock.Load(), uses...)
}

func (h *house) signAt(w signatory, till string, counter uint64, amount pos.Money, atMS int64, uses ...pos.EnvelopeUse) promise {
	h.t.Helper()
	p := promise{till: till, id: h.id(), counter: counter, amount: amount, atMS: atMS}
	c := dcep.Challenge{
		Env: pos.Lab, Terminal: till, Merchant: shop, Payment: p.id, Amount: amount, Nonce: make([]byte, dcep.NonceSize),
		AtMS: atMS, ExpiresMS: atMS + 60_000,
	}
	if len(uses) > 0 {
		c.Category = "general"
	}
	e, err := dcep.SignEvidence(w.key, w.der, c, counter, time.UnixMilli(atMS), uses...)
	if err != nil {
		h.t.Fatal(err)
	}
	whole, err := dcep.Marshal(e)
	if err != nil {
		h.t.Fatal(err)
	}
	p.moved = pos.PaymentMoved{
		From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC", Evidence: whole, Wallet: "w", Counter: counter,
	}
	return p
}

func (h *house) arrive(p promise, branch int) {
	h.t.Helper()
	h.journalAt(p.till, branch, p.id, created(p.amount, pos.Evidence), p.moved)
}

// mortal is a store whose process is killed at commits: what was committed stays, what was not is gone.
type mortal struct {
	payment.Store
	kill func() int // 0: live, 1: before the commit, 2: after it
}

var errKilled = errors.New("killed")

func (m mortal) PaymentTx(ctx context.Context, fn func(payment.Tx) error) error {
	return m.within(ctx, m.Store.PaymentTx, fn)
}

func (m mortal) SharedTx(ctx context.Context, fn func(payment.Tx) error) error {
	return m.within(ctx, m.Store.SharedTx, fn)
}

func (m mortal) within(ctx context.Context, do func(context.Context, func(payment.Tx) error) error, fn func(payment.Tx) error) error {
	kill := m.kill()
	err := do(ctx, func(tx payment.Tx) error {
		if err := fn(tx); err != nil || kill != 1 {
			return err
		}
		return errKilled
	})
	if err == nil && kill == 2 {
		return errKilled
	}
	return err
}

// plan draws what wallets promise: some counters once, some twice or thrice, at several tills, some
// of it brought by salvage files, some by both ways.
func plan(h *house, rng *rand.Rand, wallets []signatory) (all []promise) {
	for w := range wallets {
		for counter := range uint64(3) {
			amount := pos.Money(1000 + rng.IntN(9)*100)
			for range 1 + rng.IntN(3) {
				p := h.sign(wallets[w], []string{till, "S1-002"}[rng.IntN(2)], counter+1, amount)
				p.wallet = w
				p.file = rng.IntN(4) == 0
				p.journal = !p.file || rng.IntN(2) == 0
				all = append(all, p)
			}
		}
	}
	return all
}

// live lets everything arrive in a random order, with rounds, deaths and an institution that fails in
// between, and then lets it become quiet.
func live(h *house, rng *rand.Rand, all []promise) {
	type arrival struct {
		promise
		branch int
	}
	var arrivals []arrival
	for _, p := range all {
		if p.file {
			arrivals = append(arrivals, arrival{p, island})
		}
		if p.journal {
			arrivals = append(arrivals, arrival{p, 0})
		}
	}
	rng.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
	dying := true
	var deaths sync.Mutex // of rng: answers come beside one another
	h.change = func(c *payment.Config) {
		before := h.trust
		c.Trust = func() dcep.Trust { return before }
		c.Store = mortal{c.Store, func() int {
			deaths.Lock()
			defer deaths.Unlock()
			if !dying {
				return 0
			}
			return max(0, rng.IntN(9)-6)
		}}
	}
	h.desk = h.newDesk(h.store)
	there := map[pos.PaymentID]bool{}
	for _, a := range arrivals {
		if a.branch == island && there[a.id] {
			continue // the centre has it from the journal: the file brings nothing new
		}
		there[a.id] = true
		h.arrive(a.promise, a.branch)
		if rng.IntN(3) == 0 {
			h.bank.fail("evidence", []string{"unavailable", "cut", "lost"}[rng.IntN(3)])
		}
		if rng.IntN(2) == 0 {
			h.clock.Add(int64(rng.IntN(90_000)))
			if err := h.desk.Round(h.t.Context()); err != nil && !errors.Is(err, errKilled) {
				h.t.Fatal(err)
			}
			h.desk = h.newDesk(h.store) // dead, and started anew
		}
	}
	dying = false
	h.bank.mu.Lock()
	clear(h.bank.fault)
	h.bank.mu.Unlock()
	h.desk = h.newDesk(h.store)
	for range 4 {
		h.clock.Add(61_000)
		if err := h.desk.Round(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// books sums the ledger by kind of account.
func (h *house) books() map[string]pos.Money {
	h.t.Helper()
	out := map[string]pos.Money{}
	for account, amount := range h.balances() {
		name := account[:strings.LastIndexByte(account, ':')]
		out[name] += amount
	}
	return out
}

func grown(before, after map[string]pos.Money) map[string]pos.Money {
	out := maps.Clone(after)
	for account, amount := range before {
		out[account] -= amount
	}
	maps.DeleteFunc(out, func(_ string, m pos.Money) bool { return m == 0 })
	return out
}

// expect is what the books must have grown by, whatever the order.
func expect(all []promise) (books map[string]pos.Money, doubled int) {
	books = map[string]pos.Money{}
	type counter struct {
		wallet int
		number uint64
	}
	journaled, signed := map[counter]int{}, map[counter]int{}
	for _, p := range all {
		c := counter{p.wallet, p.counter}
		signed[c]++
		switch {
		case !p.journal:
			books["suspense:fork"] -= p.amount
			books["in_transit"] += p.amount
		case journaled[c] > 0:
			books["suspense:conflict"] -= p.amount
			books["disputed"] += p.amount
			journaled[c]++
		default:
			books["merchant"] -= p.amount
			books["receivable"] += p.amount
			journaled[c]++
		}
	}
	for _, n := range signed {
		if n > 1 {
			doubled++
		}
	}
	maps.DeleteFunc(books, func(_ string, m pos.Money) bool { return m == 0 })
	return books, doubled
}

// Whatever order promises arrive in, by journal or by salvage file, days apart, and wherever the
// centre is killed: each counter pays once, and the books are the same.
func TestAWalletThatSpendsTwiceIsPaidOnce(t *testing.T) {
	for engine, c := range map[string]struct {
		url   string
		seeds int
	}{"sqlite": {"", *counterSeeds}, "postgres": {testpg.Start(t), max(1, *counterSeeds/4)}} {
		t.Run(engine, func(t *testing.T) {
			h := newHouse(t)
			if c.url != "" {
				h = newHouseAt(t, c.url)
			}
			for n := range c.seeds {
				seed := *counterSeed + uint64(n) //nolint:gosec // not negative
				h.history(t, seed)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func (h *house) history(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 26)) //nolint:gosec // a test's
	var wallets []signatory
	h.trust, wallets = newWallets(t, time.UnixMilli(h.clock.Load()), 2)
	all := plan(h, rng, wallets)
	before, found := h.books(), len(h.doubles())
	told := map[string]int{till: len(h.verdictsOf(till)), "S1-002": len(h.verdictsOf("S1-002"))}
	live(h, rng, all)
	want, doubled := expect(all)
	if diff := cmp.Diff(want, grown(before, h.books())); diff != "" {
		t.Error(diff)
	}
	if got := len(h.doubles()) - found; got != doubled {
		t.Errorf("%d double spendings were found, %d made", got, doubled)
	}
	verdicts := map[pos.PaymentID]int{}
	for terminal, from := range told {
		for _, v := range h.verdictsOf(terminal)[from:] {
			verdicts[v.Payment]++
			h.journalAt(terminal, 0, v.Payment, *v.Moved)
		}
	}
	for _, p := range all {
		if p.journal != (verdicts[p.id] == 1) {
			t.Errorf("%d verdicts on %s", verdicts[p.id], p.id)
		}
	}
	if diff := cmp.Diff(want, grown(before, h.books())); diff != "" {
		t.Error("after the tills have written the verdicts down", diff)
	}
}

func (h *house) verdictsOf(terminal string) []pos.Verdict {
	h.t.Helper()
	v, err := h.store.VerdictsOf(h.t.Context(), terminal, 0, 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// doubles are the centre's findings.
func (h *house) doubles() []string {
	h.t.Helper()
	all, err := h.store.Console().DoubleSpends(h.t.Context(), 0, 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, d := range all {
		out = append(out, fmt.Sprintf("%s/%d", d.Wallet, d.Counter))
	}
	slices.Sort(out)
	return out
}
