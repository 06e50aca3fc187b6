package link_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/central/store"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// centre is a whole centre for a test.
type centre struct {
	store  *store.Store
	fleet  *fleet.Fleet
	link   *link.Link
	signer dcep.Signer
	cfg    link.Config

	without *link.Link
}

// engines runs a body with a database of each kind.
func engines(t *testing.T, body func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { body(t, "sqlite:"+filepath.Join(t.TempDir(), "centre.db")) })
	t.Run("postgres", func(t *testing.T) { body(t, testpg.Start(t)) })
}

func must[T any](v T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func generate(tb testing.TB, name string) dcep.Signer {
	tb.Helper()
	suite := must(dcep.SuiteByName(name))(tb)
	return must(suite.Generate())(tb)
}

// newCentre opens a database with one merchant and one store; start adds the conveyor.
func newCentre(tb testing.TB, url string) *centre {
	tb.Helper()
	c := &centre{signer: generate(tb, dcep.SM2SM3)}
	c.store = must(store.Open(tb.Context(), store.Config{URL: url, Env: pos.Lab}))(tb)
	tb.Cleanup(func() { _ = c.store.Close() })
	c.fleet = fleet.New(fleet.Config{Store: c.store.Fleet(), Env: pos.Lab, Signer: c.signer, Changed: func(terminal string) {
		if c.link != nil {
			c.link.Changed(terminal)
		}
	}})
	if err := c.fleet.Begin(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if err := c.fleet.AddMerchant(tb.Context(), fleet.Merchant{ID: "m1"}, "op"); err != nil {
		tb.Fatal(err)
	}
	if err := c.fleet.AddShop(tb.Context(), fleet.Shop{ID: "wfj", Merchant: "m1"}, "op"); err != nil {
		tb.Fatal(err)
	}
	c.cfg = link.Config{
		Store: c.store.Link(), Env: pos.Lab, Signer: c.signer, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Asks: &asks{},
	}
	return c
}

func (c *centre) start(tb testing.TB) *centre {
	tb.Helper()
	c.cfg.Conveyor.Listen, c.cfg.Conveyor.StoreDir = "127.0.0.1:0", tb.TempDir()
	c.cfg.Conveyor.MaxStore = 256 << 20
	c.link = must(link.Start(tb.Context(), c.cfg))(tb)
	tb.Cleanup(func() {
		if err := c.link.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// till is a terminal with a journal in memory.
type till struct {
	id      string
	epoch   uint32
	signer  dcep.Signer
	user    nkeys.KeyPair
	natsKey string
	entries []pos.Entry
	n       byte // payments so far
}

func (c *centre) enrol(tb testing.TB, suite string) *till {
	tb.Helper()
	t := &till{signer: generate(tb, suite), user: must(nkeys.CreateUser())(tb)}
	c.enrolAs(tb, t, fleet.CodeRequest{Shop: "wfj", By: "op"})
	return t
}

// enrolAs enrols the till's present keys by a new code.
func (c *centre) enrolAs(tb testing.TB, t *till, r fleet.CodeRequest) {
	tb.Helper()
	code, _, err := c.fleet.IssueCode(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	t.natsKey = must(t.user.PublicKey())(tb)
	proof := must(t.signer.Sign(wire.DomainEnrol, append([]byte(code+"\x00"), t.signer.Public()...)))(tb)
	a := must(c.fleet.Enrol(tb.Context(), wire.EnrolRequest{
		Code: code, Env: pos.Lab, Class: "counter", Suite: t.signer.Suite().Name(), PublicKey: t.signer.Public(),
		NATSKey: t.natsKey, Proof: proof,
	}))(tb)
	t.id, t.epoch = a.Terminal, a.Epoch
}

func (t *till) head() (seq uint64, hash []byte) {
	if n := len(t.entries); n > 0 && t.entries[n-1].Epoch == t.epoch {
		return t.entries[n-1].Seq, t.entries[n-1].Hash
	}
	return 0, nil
}

// write appends an entry to the till's journal.
func (t *till) write(tb testing.TB, kind pos.Kind, id pos.PaymentID, body any) {
	tb.Helper()
	seq, prev := t.head()
	e := pos.Entry{
		Position: pos.Position{Terminal: t.id, Epoch: t.epoch, Seq: seq + 1}, Env: pos.Lab, Kind: kind, Payment: id,
		Operator: "1001", At: pos.Instant{WallMS: 1_612_900_000_000 + int64(seq), BootID: "b"}, BusinessDate: "2021-02-10",
		Body: must(dcep.Marshal(body))(tb),
	}
	if err := dcep.Seal(t.signer, prev, &e); err != nil {
		tb.Fatal(err)
	}
	t.entries = append(t.entries, e)
}

func (t *till) open(tb testing.TB, reason pos.EpochReason, prev *pos.Entry) {
	tb.Helper()
	body := pos.EpochOpened{Reason: reason, Suite: t.signer.Suite().Name(), PublicKey: t.signer.Public(), Merchant: "m1", Store: "wfj"}
	if prev != nil {
		body.PrevEpoch, body.PrevSeq, body.PrevHead = prev.Epoch, prev.Seq, prev.Hash
	}
	t.write(tb, pos.KindEpochOpened, pos.PaymentID{}, body)
}

func (t *till) newPayment() pos.PaymentID {
	t.n++
	var random [10]byte
	copy(random[:], t.id[max(0, len(t.id)-8):])
	random[9] = t.n
	return pos.NewPaymentID(time.UnixMilli(1_612_900_000_000+int64(t.n)), random)
}

func created(amount pos.Money, mode pos.Mode, key string) pos.PaymentCreated {
	return pos.PaymentCreated{
		OrderID: "o" + key, OrderAmount: amount, Amount: amount, Mode: mode, Caller: "screen", Key: key, BodyHash: "h", Attempt: 1,
	}
}

// payment writes a payment that goes through the states.
func (t *till) payment(tb testing.TB, amount pos.Money, states ...pos.State) pos.PaymentID {
	tb.Helper()
	id := t.newPayment()
	t.write(tb, pos.KindPaymentCreated, id, created(amount, pos.BScanC, id.String()))
	t.move(tb, id, pos.Created, states...)
	return id
}

func (t *till) move(tb testing.TB, id pos.PaymentID, from pos.State, states ...pos.State) {
	tb.Helper()
	for _, to := range states {
		m := pos.PaymentMoved{From: from, To: to, Source: "till"}
		if to == pos.Paid || to == pos.AcceptedEvidence || to == pos.Credited {
			m.Institution, m.SettlementDate = "ICBC", "2021-02-11"
		}
		t.write(tb, pos.KindPaymentMoved, id, m)
		from = to
	}
}

// batches cuts the journal of the open epoch into signed batches.
func (t *till) batches(tb testing.TB, size int) [][]byte {
	tb.Helper()
	return t.batchesOf(tb, t.entries, size)
}

func (t *till) batchesOf(tb testing.TB, entries []pos.Entry, size int) [][]byte {
	tb.Helper()
	var out [][]byte
	for len(entries) > 0 {
		n := 1
		for n < min(size, len(entries)) && entries[n].Epoch == entries[0].Epoch {
			n++
		}
		b := must(wire.NewBatch(t.signer, entries[:n], 1))(tb)
		out = append(out, must(dcep.Marshal(b))(tb))
		entries = entries[n:]
	}
	return out
}

// connect opens the till's own connection.
func (c *centre) connect(tb testing.TB, t *till) *nats.Conn {
	tb.Helper()
	return must(c.dial(tb, t, t.id))(tb)
}

func (c *centre) dial(tb testing.TB, t *till, inbox string, more ...nats.Option) (*nats.Conn, error) {
	tb.Helper()
	nc, err := nats.Connect(c.link.URL(), append([]nats.Option{
		nats.Nkey(must(t.user.PublicKey())(tb), t.user.Sign), nats.CustomInboxPrefix(wire.InboxPrefix(inbox)),
		nats.Timeout(30 * time.Second), nats.NoReconnect(),
	}, more...)...)
	if nc != nil {
		tb.Cleanup(nc.Close)
	}
	return nc, err
}

// take takes messages in without the conveyor, several per transaction.
func (c *centre) take(tb testing.TB, terminal string, batches ...[]byte) {
	tb.Helper()
	l := link.Desk(c.cfg)
	subjects := make([]string, len(batches))
	for i := range subjects {
		subjects[i] = wire.JournalSubject(terminal)
	}
	const round = 16
	for i := 0; i < len(batches); i += round {
		j := min(i+round, len(batches))
		if err := l.Take(tb.Context(), subjects[i:j], batches[i:j]); err != nil {
			tb.Fatal(err)
		}
	}
}

// balances reads the ledger and checks that it holds.
func (c *centre) balances(tb testing.TB) map[string]pos.Money {
	tb.Helper()
	trial := must(c.store.Ledger().Trial(tb.Context(), ""))(tb)
	if !trial.Balanced() {
		tb.Fatalf("ledger does not balance: sum %s, wrong %v", trial.Sum, trial.Wrong)
	}
	out := make(map[string]pos.Money)
	for _, a := range trial.Accounts {
		if a.Amount != 0 {
			out[a.Account] = a.Amount
		}
	}
	return out
}

// kept reads what is kept of an epoch.
func (c *centre) kept(tb testing.TB, terminal string, epoch uint32) []link.Place {
	tb.Helper()
	var places []link.Place
	if err := c.cfg.Store.Read(tb.Context(), func(r link.Reader) (err error) {
		places, err = r.Places(tb.Context(), terminal, epoch, 0, 1<<40)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	return places
}

// asks is a payment room that answers at once.
type asks struct {
	mu    sync.Mutex
	calls []string
	hold  chan struct{} // when set, Pay waits for it
}

func (a *asks) note(verb, terminal string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, fmt.Sprintf("%s %s", verb, terminal))
}

func (a *asks) Pay(_ context.Context, terminal string, q pos.AskPay) pos.Answer {
	a.note("pay", terminal)
	if a.hold != nil {
		<-a.hold
	}
	return pos.Answer{Payment: q.Payment, Outcome: pos.OutcomePaid}
}

func (a *asks) Present(_ context.Context, terminal string, q pos.AskPresent) pos.Answer {
	a.note("present", terminal)
	return pos.Answer{Payment: q.Payment, Outcome: pos.OutcomePending, QR: "qr"}
}

func (a *asks) Query(_ context.Context, terminal string, q pos.AskQuery) pos.Answer {
	a.note("query", terminal)
	return pos.Answer{Payment: q.Payment, Outcome: pos.OutcomeUnknown}
}

func (a *asks) Abandon(_ context.Context, terminal string, q pos.AskAbandon) pos.Answer {
	a.note("abandon", terminal)
	return pos.Answer{Payment: q.Payment, Outcome: pos.OutcomePending}
}

func (a *asks) Refund(_ context.Context, terminal string, q pos.AskRefund) pos.Answer {
	a.note("refund", terminal)
	return pos.Answer{Payment: q.Payment, Refund: q.Refund, Outcome: pos.OutcomeRefunded}
}

var _ ledger.Tx = (*store.Tx)(nil)

// taker keeps one link without conveyor, so that keys are looked up once.
func (c *centre) taker() *link.Link {
	if c.without == nil {
		c.without = link.Desk(c.cfg)
	}
	return c.without
}

func (c *centre) headSeq(tb testing.TB, terminal string) (seq uint64) {
	tb.Helper()
	if err := c.cfg.Store.Read(tb.Context(), func(r link.Reader) error {
		heads, err := r.Heads(tb.Context(), terminal, 1)
		if len(heads) > 0 {
			seq = heads[0].Seq
		}
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	return seq
}
