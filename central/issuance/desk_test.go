package issuance_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	draws "dcpos/central/campaign/draw"
	"dcpos/central/institution"
	"dcpos/central/issuance"
	"dcpos/central/ledger"
	"dcpos/central/store"
	"dcpos/pos"
)

var (
	from  = time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai())
	until = time.Date(2021, 2, 18, 0, 0, 0, 0, pos.Shanghai())
)

// bank gives out envelopes by books of its own, and misbehaves when told to.
type bank struct {
	institution.Adapter
	mu     sync.Mutex
	orders map[string]institution.EnvelopeOrder
	held   map[string]pos.Money // by envelope, once claimed
	claims []institution.EnvelopeClaim
	gone   map[string]bool
	fail   int // so many calls are done and answered by an error
	refuse int // so many orders of a batch are refused
}

func newBank() *bank {
	return &bank{orders: map[string]institution.EnvelopeOrder{}, held: map[string]pos.Money{}, gone: map[string]bool{}}
}

func (b *bank) lost() error {
	if b.fail > 0 {
		b.fail--
		return errors.New("the answer was lost")
	}
	return nil
}

func (b *bank) EnvelopeRules(context.Context, institution.EnvelopeRules) error { return nil }

func (b *bank) OrderEnvelopes(_ context.Context, orders []institution.EnvelopeOrder) (words []institution.EnvelopeWord, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range orders {
		w := institution.EnvelopeWord{Envelope: o.Envelope, Status: institution.Success}
		if b.refuse > 0 {
			b.refuse--
			w.Status, w.Reason = institution.Failed, "busy"
		} else {
			b.orders[o.Envelope] = o
		}
		words = append(words, w)
	}
	return words, b.lost()
}

func (b *bank) RecallEnvelopes(_ context.Context, ids []string, unclaimed bool) (words []institution.EnvelopeWord, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		left, claimed := b.held[id]
		w := institution.EnvelopeWord{Envelope: id, Status: institution.Success, Claimed: claimed, Left: left}
		if claimed && unclaimed {
			w.Status = institution.Failed
		} else {
			b.gone[id] = true
		}
		words = append(words, w)
	}
	return words, b.lost()
}

func (b *bank) RestoreEnvelope(_ context.Context, id string, _ pos.PaymentID, amount pos.Money) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[id] = amount
	return b.lost()
}

func (b *bank) EnvelopeClaims(_ context.Context, after int64, limit int) ([]institution.EnvelopeClaim, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.claims[after:min(len(b.claims), int(after)+limit)]), b.lost()
}

// claim is a customer who opens her wallet.
func (b *bank) claim(id string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[id] = b.orders[id].Amount
	b.claims = append(b.claims, institution.EnvelopeClaim{N: int64(len(b.claims)) + 1, Envelope: id, Wallet: "wallet-" + id[:4], AtMS: at.UnixMilli()})
}

// draw is the result of a draw, phones and messages.
type draw struct {
	mu       sync.Mutex
	winners  []issuance.Winner
	waiting  []issuance.Winner
	messages map[string]int
	mute     int
	hidden   int // so many times the log cannot be made public
	public   int // times that it was
}

func (d *draw) Announce(context.Context, string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hidden > 0 {
		d.hidden--
		return errors.New("no witness")
	}
	d.public++
	return nil
}

func (d *draw) Winners(_ context.Context, _ string, after int64, limit int) ([]issuance.Winner, error) {
	return d.winners[after:min(len(d.winners), int(after)+limit)], nil
}

func (d *draw) Waiting(_ context.Context, _, _ string, after int64, limit int) ([]issuance.Winner, error) {
	return d.waiting[after:min(len(d.waiting), int(after)+limit)], nil
}

func (d *draw) Phones(_ context.Context, _ string, tickets [][32]byte) (map[[32]byte]string, error) {
	all := map[[32]byte]string{}
	for _, t := range tickets {
		all[t] = string(t[:3])
	}
	return all, nil
}

func (d *draw) Send(_ context.Context, phone string, _ pos.Text) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mute > 0 {
		d.mute--
		return errors.New("no operator")
	}
	d.messages[phone]++
	return nil
}

// house is a desk over a database.
type house struct {
	*testing.T
	db    *store.Store
	bank  *bank
	draw  *draw
	desk  *issuance.Desk
	clock atomic.Int64
	plan  issuance.Plan
}

func newHouse(t *testing.T, winners, waiting int) *house {
	t.Helper()
	h := &house{T: t, bank: newBank(), draw: &draw{messages: map[string]int{}}}
	h.clock.Store(from.Add(-time.Hour).UnixMilli())
	var err error
	h.db, err = store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), Env: pos.Lab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.db.Close() })
	for i := range winners + waiting {
		w := issuance.Winner{Rank: int64(i) + 1, Ticket: [32]byte{byte(i), byte(i >> 8), 7}, Institution: "ICBC"}
		if i < winners {
			h.draw.winners = append(h.draw.winners, w)
		} else {
			w.Rank -= int64(winners)
			h.draw.waiting = append(h.draw.waiting, w)
		}
	}
	h.plan = issuance.Plan{
		Campaign: "c", Hash: "00", Title: pos.Text{ZH: "活动", EN: "campaign"}, Provider: "P", Budget: pos.Money(winners) * 200_00,
		FromMS: from.UnixMilli(), UntilMS: until.UnixMilli(), ClaimUntilMS: until.UnixMilli(), GraceMS: 1000, Tiers: []issuance.Tier{{Amount: 200_00}},
		Channels: []string{"in_store"}, Merchants: []string{"M"}, Stores: []string{"*"}, Categories: []string{"*"},
		Institutions: []string{"ICBC"}, Waiting: waiting > 0,
	}
	for _, tr := range []ledger.Transaction{
		ledger.Deposited("P", "ICBC", "r", h.plan.Budget, "2021-02-01"), ledger.Reserved("c", "P", h.plan.Budget, "2021-02-01"),
	} {
		if _, err := h.db.Ledger().Post(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
	}
	record, err := draws.Record{Kind: draws.RecordResult, SHA256: strings.Repeat("0", 64)}.Line()
	if err == nil {
		err = h.db.Office().Append(t.Context(), "c", 1, record, "op")
	}
	if err != nil {
		t.Fatal(err)
	}
	h.again()
	return h
}

// again is the desk of a process that was started anew.
func (h *house) again() {
	h.Helper()
	d := institution.Description{Code: "ICBC", Env: pos.Lab}
	set, err := institution.Join(pos.Lab, institution.Member{Description: d, Adapter: h.bank})
	if err == nil {
		h.desk, err = issuance.New(issuance.Config{
			Store: h.db.Issuances(), Institutions: set, Source: h.draw, People: h.draw, SMS: h.draw,
			Now: func() time.Time { return time.UnixMilli(h.clock.Load()) },
		})
	}
	if err != nil {
		h.Fatal(err)
	}
}

// settle does rounds, each by a new process, time passing between them, until the
// condition holds.
func (h *house) settle(what string, holds func(issuance.Issuance, issuance.Progress) bool) {
	h.Helper()
	for range 100 {
		_, _ = h.desk.Round(h.Context()) // what failed is tried again
		is, p, err := h.desk.Progress(h.Context(), "c")
		if err != nil {
			h.Fatal(err)
		}
		if holds(is, p) {
			return
		}
		h.clock.Add(2000)
		h.again()
	}
	h.Fatalf("not in 100 rounds: %s", what)
}

func (h *house) begin() {
	h.Helper()
	if err := h.desk.Begin(h.Context(), h.plan, "op"); err != nil {
		h.Fatal(err)
	}
}

func (h *house) balance(account string) pos.Money {
	h.Helper()
	b, err := h.db.Ledger().Balance(h.Context(), account)
	if err != nil {
		h.Fatal(err)
	}
	return -b.Amount
}

func (h *house) want(what string, got, want pos.Money) {
	h.Helper()
	if got != want {
		h.Errorf("%s: %s, want %s", what, got, want)
	}
}

func (h *house) id(i int) string { return issuance.ID("c", h.draw.winners[i].Ticket) }

func (h *house) write(fn func(tx issuance.Tx) error) {
	h.Helper()
	if err := h.db.Issuances().Write(h.Context(), fn); err != nil {
		h.Fatal(err)
	}
}

func (h *house) use(n byte, envelope string, amount, price pos.Money) issuance.Use {
	ms := h.clock.Load()
	return issuance.Use{
		Payment: pos.PaymentID{n}, Institution: "ICBC", Merchant: "M", Store: "S", Price: price, FromMS: ms, UntilMS: ms, AtMS: ms,
		WalletMS: ms, Date: "2021-02-11", Shares: []institution.Share{{Envelope: envelope, Amount: amount}},
	}
}

// Lost answers, refused orders, operators that are away and processes that die: each winner
// has one envelope in the end, and the fund every fen that was not spent.
func TestFromTheDrawToTheFund(t *testing.T) {
	h := newHouse(t, 12, 0)
	h.bank.fail, h.bank.refuse, h.draw.mute = 2, 3, 4
	h.begin()
	h.begin() // a repeat
	other := h.plan
	other.Budget++
	if err := h.desk.Begin(t.Context(), other, "op"); pos.CodeOf(err) != pos.ErrKeyConflict {
		t.Errorf("another plan: %v", err)
	}
	h.settle("all are told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 12 })
	if len(h.bank.orders) != 12 || len(h.draw.messages) != 12 {
		t.Errorf("%d orders, messages to %d", len(h.bank.orders), len(h.draw.messages))
	}
	h.want("budget before claims", h.balance("budget:c"), 2400_00)

	for i := range 10 {
		h.bank.claim(h.id(i), from)
	}
	h.bank.fail = 1
	h.settle("claims are read", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 10 })
	h.want("budget", h.balance("budget:c"), 400_00)
	h.want("envelopes", h.balance("envelopes:c:0"), 2000_00)

	h.clock.Store(from.Add(time.Hour).UnixMilli())
	h.write(func(tx issuance.Tx) error {
		u := h.use(1, h.id(0), 200_00, 300_00)
		return errors.Join(issuance.Book(t.Context(), tx, u), issuance.Book(t.Context(), tx, u)) // a repeat
	})
	h.bank.held[h.id(0)] = 0
	h.want("owed", h.balance("owed:ICBC"), 200_00)
	back := issuance.Back{Refund: pos.RefundID{1}, Payment: pos.PaymentID{1}, Institution: "ICBC", Amount: 150_00, AtMS: h.clock.Load(), Date: "2021-02-11"}
	h.write(func(tx issuance.Tx) error {
		first, err := issuance.GiveBack(t.Context(), tx, back)
		again, err2 := issuance.GiveBack(t.Context(), tx, back)
		if first.Envelope == 0 || again != (issuance.Given{}) {
			t.Errorf("gave %+v, then %+v", first, again)
		}
		return errors.Join(err, err2)
	})
	h.want("owed after 100 own and 50 of the envelope came back", h.balance("owed:ICBC"), 150_00)
	h.bank.held[h.id(0)] = 50_00

	h.bank.held[h.id(1)] = 199_00 // the books do not agree
	h.clock.Store(until.UnixMilli())
	h.settle("the rest is back", func(_ issuance.Issuance, p issuance.Progress) bool {
		return p.Counts[issuance.Recalled] == 11 && p.Differs == 1
	})
	h.bank.held[h.id(1)] = 200_00
	h.settle("everything is back", func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed })
	h.want("fund", h.balance("fund:P"), 2400_00-150_00)
	h.want("envelopes at the end", h.balance("envelopes:c:0"), 0)
	h.want("budget at the end", h.balance("budget:c"), 0)

	back.Refund, back.Amount, back.Before = pos.RefundID{2}, 150_00, 150_00
	h.write(func(tx issuance.Tx) error {
		given, err := issuance.GiveBack(t.Context(), tx, back)
		if given.Recalled != given.Envelope || given.Envelope == 0 {
			t.Errorf("after the recall: %+v", given)
		}
		return err
	})
	h.want("fund after a refund that came after the recall", h.balance("fund:P"), 2400_00)
	h.want("owed after it", h.balance("owed:ICBC"), 0)
	trial, err := h.db.Ledger().Trial(t.Context(), "")
	if err != nil || !trial.Balanced() {
		t.Errorf("the ledger does not balance: %+v, %v", trial, err)
	}
}

func TestTheCentreOwesOnlyWhatTheRulesAllow(t *testing.T) {
	h := newHouse(t, 2, 0)
	h.begin()
	h.settle("told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 2 })
	h.bank.claim(h.id(0), from)
	h.settle("claimed", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 1 })
	h.clock.Store(from.Add(time.Hour).UnixMilli())
	for n, c := range []struct {
		want string
		lie  func(u *issuance.Use)
	}{
		{"merchant", func(u *issuance.Use) { u.Merchant = "elsewhere" }},
		{"channel", func(u *issuance.Use) { u.Channel = pos.ChannelOnline }},
		{"institution", func(u *issuance.Use) { u.Institution = "BOC" }},
		{"wallet", func(u *issuance.Use) { u.Wallet = "*zzzz" }},
		{"unknown", func(u *issuance.Use) { u.Shares[0].Envelope = "nobody's" }},
		{"window", func(u *issuance.Use) { u.FromMS, u.UntilMS = until.UnixMilli(), until.UnixMilli() }},
		{"window", func(u *issuance.Use) { u.FromMS, u.UntilMS = 0, from.UnixMilli()-1 }},
		{"category", func(u *issuance.Use) { u.Price = 1 }},
		{"left", func(u *issuance.Use) { u.Shares[0].Amount, u.Price = 200_01, 300_00 }},
	} {
		u := h.use(byte(n+1), h.id(0), 10_00, 10_00)
		c.lie(&u)
		h.write(func(tx issuance.Tx) error {
			if err := issuance.Book(t.Context(), tx, u); err != nil {
				return err
			}
			spends, err := tx.SpendsOf(t.Context(), u.Payment)
			if err != nil || len(spends) != 1 || spends[0].Reason != c.want {
				t.Errorf("%d: %+v, %v: want %s", n, spends, err, c.want)
			}
			return nil
		})
	}
	h.want("owed", h.balance("owed:ICBC"), 0)
	h.want("envelopes", h.balance("envelopes:c:0"), 200_00)
}

// Offline, every clock must say that it was in the window.
func TestAForgedTimeIsRefusedAndAnHonestOneIsNot(t *testing.T) {
	h := newHouse(t, 1, 0)
	h.begin()
	h.settle("told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 1 })
	h.bank.claim(h.id(0), from)
	h.settle("claimed", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 1 })
	h.clock.Store(until.Add(72 * time.Hour).UnixMilli()) // it comes three days later
	last := until.Add(-time.Minute).UnixMilli()
	for name, c := range map[string]struct {
		lie func(u *issuance.Use)
		ok  bool
	}{
		"honest, at 23:59":                         {func(*issuance.Use) {}, true},
		"the centre had signed a later time":       {func(u *issuance.Use) { u.FromMS = until.Add(time.Hour).UnixMilli() }, false},
		"the till cannot exclude that it was over": {func(u *issuance.Use) { u.UntilMS = until.UnixMilli() }, false},
		"the wallet says that it was over":         {func(u *issuance.Use) { u.WalletMS = until.Add(3 * time.Minute).UnixMilli() }, false},
		"before it began":                          {func(u *issuance.Use) { u.FromMS = from.UnixMilli() - 1 }, false},
	} {
		u := h.use(9, h.id(0), 10_00, 10_00)
		u.FromMS, u.UntilMS, u.WalletMS = last, last, last
		c.lie(&u)
		h.write(func(tx issuance.Tx) error {
			held, err := issuance.Judge(t.Context(), tx, u)
			if (err == nil) != c.ok || held || (err != nil && pos.CodeOf(err) != pos.ErrEnvelopeWindow) {
				t.Errorf("%s: held %v, %v", name, held, err)
			}
			return nil
		})
	}
	u := h.use(9, h.id(0), 10_00, 10_00)
	u.FromMS, u.UntilMS, u.WalletMS = last, last, last
	h.write(func(tx issuance.Tx) error { return issuance.Book(t.Context(), tx, u) })
	h.want("owed for the honest one", h.balance("owed:ICBC"), 10_00)

	h.bank.held[h.id(0)] = 190_00
	h.settle("recalled", func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed })
	u.Payment = pos.PaymentID{10}
	h.write(func(tx issuance.Tx) error {
		held, err := issuance.Judge(t.Context(), tx, u)
		if !held || err != nil {
			t.Errorf("after the recall: held %v, %v", held, err)
		}
		return tx.PutLate(t.Context(), issuance.Late{Payment: u.Payment, Terminal: "t", Campaign: "c", Shares: u.Shares, AtMS: 1})
	})
	h.decide(issuance.Honour, u.Payment)
	h.write(func(tx issuance.Tx) error { return issuance.Book(t.Context(), tx, u) })
	h.want("owed for the one that two people honoured", h.balance("owed:ICBC"), 20_00)
	h.bank.held[h.id(0)] = 0
	h.clock.Add(time.Hour.Milliseconds())
	h.settle("recalled again", func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed })
	h.want("fund", h.balance("fund:P"), 180_00)
	h.want("envelopes", h.balance("envelopes:c:0"), 0)
}

// decide has one person propose, and checks that she cannot confirm it herself.
func (h *house) decide(what issuance.Action, id pos.PaymentID) {
	h.Helper()
	ctx := h.Context()
	if err := h.desk.Propose(ctx, what, "c", id, "an", "because"); err != nil {
		h.Fatal(err)
	}
	_, open, err := h.desk.Waiting(ctx)
	if err != nil || len(open) != 1 {
		h.Fatalf("%+v, %v", open, err)
	}
	if err := h.desk.Decide(ctx, open[0].Number, "an", true); pos.CodeOf(err) != pos.ErrForbidden {
		h.Errorf("her own proposal: %v", err)
	}
	if err := h.desk.Decide(ctx, open[0].Number, "bo", true); err != nil {
		h.Fatal(err)
	}
}

func TestTheWaitingListFollowsWhoDoesNotClaim(t *testing.T) {
	h := newHouse(t, 3, 2)
	h.plan.ClaimUntilMS = from.Add(24 * time.Hour).UnixMilli()
	h.begin()
	h.settle("told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 3 })
	h.bank.claim(h.id(0), from)
	h.clock.Store(h.plan.ClaimUntilMS)
	h.draw.hidden = 5
	h.settle("withdrawn", func(_ issuance.Issuance, p issuance.Progress) bool {
		return p.Claimed == 1 && p.Counts[issuance.Recalled] >= 2
	})
	if len(h.bank.orders) != 3 || h.draw.public > 0 {
		t.Errorf("%d orders, announced %d times: who moves up is offered before the log is public", len(h.bank.orders), h.draw.public)
	}
	h.settle("told after the log is public", func(_ issuance.Issuance, p issuance.Progress) bool {
		return p.Counts[issuance.Offered] == 2 && h.draw.public > 0
	})
	h.write(func(tx issuance.Tx) error {
		for _, w := range h.draw.waiting {
			if e, found, err := tx.Envelope(t.Context(), issuance.ID("c", w.Ticket)); !found || err != nil || e.Face != 200_00 {
				t.Errorf("place %d got %+v, %v", w.Rank, e, err)
			}
		}
		return nil
	})
}

func TestSuspendedAndCancelled(t *testing.T) {
	h := newHouse(t, 4, 0)
	h.begin()
	if err := h.desk.Suspend(t.Context(), "c", "an"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.desk.Round(t.Context()); err != nil || len(h.bank.orders) > 0 {
		t.Errorf("suspended, and %d orders went out: %v", len(h.bank.orders), err)
	}
	if err := h.desk.Resume(t.Context(), "c", "an"); err != nil {
		t.Fatal(err)
	}
	h.settle("told", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Counts[issuance.Offered] == 4 })
	h.bank.claim(h.id(0), from)
	h.settle("claimed", func(_ issuance.Issuance, p issuance.Progress) bool { return p.Claimed == 1 })
	h.decide(issuance.Cancel, pos.PaymentID{})
	h.settle("withdrawn", func(is issuance.Issuance, p issuance.Progress) bool {
		return is.Standing == issuance.Cancelled && p.Counts[issuance.Recalled] == 3 && p.Counts[issuance.Claimed] == 1
	})
	h.clock.Store(until.UnixMilli())
	h.settle("back", func(is issuance.Issuance, _ issuance.Progress) bool { return is.Standing == issuance.Reclaimed })
	h.want("fund", h.balance("fund:P"), 800_00)
}
