package uplink_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/downlink"
	"dcpos/sync/host"
	"dcpos/sync/roadtest"
	"dcpos/sync/uplink"
	"dcpos/sync/wire"
)

func natsServer(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return connect(t, s.ClientURL())
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// centre keeps batches as the real one promises to, and forgets some on the way.
type centre struct {
	t      *testing.T
	nc     *nats.Conn
	signer dcep.Signer
	till   dcep.Verifier
	suite  dcep.Suite
	lose   func() bool

	mu      sync.Mutex
	heads   map[uint32][]byte
	seqs    map[uint32]uint64
	repeats int
	gen     uint64
	lacks   position
}

type position struct {
	epoch uint32
	seq   uint64
}

func (c *centre) listen() {
	c.t.Helper()
	for subject, f := range map[string]nats.MsgHandler{
		wire.JournalSubject("T1"): c.batch,
		wire.MarkSubject("T1"):    func(m *nats.Msg) { _ = m.Respond(c.mark(m.Data)) },
	} {
		if _, err := c.nc.Subscribe(subject, f); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *centre) batch(m *nats.Msg) {
	if c.lose() {
		return
	}
	var b wire.Batch
	if err := dcep.Unmarshal(m.Data, &b); err != nil {
		c.t.Error(err)
		return
	}
	if err := b.Check(c.suite, c.till); err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	switch have := c.seqs[b.Epoch]; {
	case b.Last <= have:
		c.repeats++
	case b.First > have+1:
		c.lacks = position{b.Epoch, have + 1}
	default:
		c.seqs[b.Epoch], c.heads[b.Epoch] = b.Last, b.Head
		c.lacks = position{}
	}
	c.mu.Unlock()
	_ = c.nc.Publish(wire.DownSubject("T1"), c.mark(nil))
}

func (c *centre) mark([]byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := wire.Mark{Env: pos.Lab, Terminal: "T1", ResendEpoch: c.lacks.epoch, ResendFrom: c.lacks.seq, CentreMS: time.Now().UnixMilli()}
	for epoch := uint32(3); epoch > 0; epoch-- {
		if c.seqs[epoch] > 0 {
			r := dcep.Receipt{Env: pos.Lab, Terminal: "T1", Epoch: epoch, Seq: c.seqs[epoch], Head: c.heads[epoch], Generation: c.gen}
			if err := r.Sign(c.signer); err != nil {
				c.t.Error(err)
			}
			m.Receipt = &r
			break
		}
	}
	data, err := wire.SealMark(c.signer, m)
	if err != nil {
		c.t.Error(err)
	}
	return data
}

func (c *centre) kept(epoch uint32) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seqs[epoch]
}

type till struct{}

func (till) Verdicts(context.Context) (uint64, error)            { return 0, nil }
func (till) ApplyVerdict(context.Context, pos.Verdict) error     { return nil }
func (till) TrustIssued() int64                                  { return 1 }
func (till) PolicyVersion() uint64                               { return 1 }
func (till) CatalogueIssued() int64                              { return 0 }
func (till) SetPolicies(context.Context, []dcep.Sealed) error    { return nil }
func (till) SetTrust(context.Context, dcep.Trust) error          { return nil }
func (till) SetCatalogue(context.Context, dcep.Sealed) error     { return nil }
func (till) SetQuarantine(bool)                                  {}
func (till) SetCentreTime(context.Context, int64, time.Duration) {}

func road(t *testing.T, lose func() bool) (*roadtest.Journal, *centre, *uplink.Uplink) {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	tillKey, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	centreKey, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	tillPublic, err := suite.Verifier(tillKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	centrePublic, err := suite.Verifier(centreKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	nc := natsServer(t)
	j := &roadtest.Journal{Signer: tillKey}
	c := &centre{
		t: t, nc: connect(t, nc.ConnectedUrl()), signer: centreKey, till: tillPublic, suite: suite, lose: lose,
		heads: map[uint32][]byte{}, seqs: map[uint32]uint64{},
	}
	c.listen()
	log := slog.New(slog.DiscardHandler)
	up := uplink.New(uplink.Config{
		Conn: nc, Terminal: "T1", Signer: tillKey, Journal: j, Log: log, Now: time.Now, Stall: 300 * time.Millisecond, Window: 4,
	})
	down := downlink.New(downlink.Config{
		Conn: nc, Env: pos.Lab, Terminal: "T1", Centre: centrePublic, Journal: j, Till: till{}, Log: log, Now: time.Now,
		OnProgress: up.Kick, OnResend: up.ResendFrom, Busy: 50 * time.Millisecond, Idle: 50 * time.Millisecond,
	})
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = up.Run(ctx) })
	done.Go(func() { _ = down.Run(ctx) })
	t.Cleanup(func() { stop(); done.Wait() })
	return j, c, up
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func receipted(j *roadtest.Journal, epoch uint32, seq uint64) func() bool {
	return func() bool {
		e, s, _, err := j.Cursor(context.Background())
		return err == nil && e == epoch && s == seq
	}
}

func TestEverythingArrivesInOrderAcrossEpochs(t *testing.T) {
	j, c, up := road(t, func() bool { return false })
	j.Append(t, 1, 2000)
	j.Append(t, 2, 700)
	up.Kick()
	eventually(t, "both epochs are receipted", receipted(j, 2, 700))
	if c.kept(1) != 2000 || c.kept(2) != 700 {
		t.Errorf("kept %d and %d", c.kept(1), c.kept(2))
	}
}

func TestWhatTheRoadLosesIsSentAgain(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	inARow := 0
	// At most three in a row: each loss of the last batch doubles the wait for the next try.
	j, c, up := road(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		inARow++
		if inARow > 3 || r.IntN(3) != 0 {
			inARow = 0
		}
		return inARow > 0
	})
	j.Append(t, 1, 3000)
	up.Kick()
	eventually(t, "all is receipted", receipted(j, 1, 3000))
	if c.kept(1) != 3000 {
		t.Errorf("kept %d", c.kept(1))
	}
}

func TestARestoredCentreGetsItAgain(t *testing.T) {
	j, c, up := road(t, func() bool { return false })
	j.Append(t, 1, 500)
	up.Kick()
	eventually(t, "all is receipted", receipted(j, 1, 500))
	entries, err := j.Unsent(t.Context(), 1, 0, 500, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.seqs[1], c.heads[1], c.gen = 100, entries[99].Hash, 1
	c.mu.Unlock()
	eventually(t, "the centre has caught up", func() bool { return c.kept(1) == 500 })
	eventually(t, "the cursor is back", receipted(j, 1, 500))
}

func TestNobodyThereIsProvablyNotSent(t *testing.T) {
	nc := natsServer(t)
	h := host.New(nc, "T1", 300*time.Millisecond)
	id := pos.NewPaymentID(time.Now(), [10]byte{1})
	_, err := h.Pay(t.Context(), pos.AskPay{Payment: id})
	if !errors.Is(err, &pos.Error{Code: pos.ErrNotSent}) {
		t.Errorf("no responders: %v", err)
	}
	other := connect(t, nc.ConnectedUrl())
	got := make(chan struct{}, 10)
	if _, err := other.Subscribe(wire.AskFilter, func(*nats.Msg) { got <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err = h.Pay(t.Context(), pos.AskPay{Payment: id}); err == nil || errors.Is(err, &pos.Error{Code: pos.ErrNotSent}) {
		t.Errorf("a question that was heard and not answered: %v", err)
	}
	<-got
	nc.Close()
	if _, err = h.Pay(t.Context(), pos.AskPay{Payment: id}); !errors.Is(err, &pos.Error{Code: pos.ErrNotSent}) {
		t.Errorf("no connection: %v", err)
	}
}

func TestAnAnswerForAnotherPaymentIsNotTaken(t *testing.T) {
	nc := natsServer(t)
	if _, err := nc.Subscribe(wire.AskFilter, func(m *nats.Msg) {
		data, err := dcep.Marshal(pos.Answer{Outcome: pos.OutcomePaid, Payment: pos.PaymentID{9}})
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	h := host.New(nc, "T1", time.Second)
	_, err := h.Query(t.Context(), pos.AskQuery{Payment: pos.PaymentID{1}})
	if err == nil || errors.Is(err, &pos.Error{Code: pos.ErrNotSent}) {
		t.Errorf("got %v", err)
	}
}
