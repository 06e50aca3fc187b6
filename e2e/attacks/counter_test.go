package attacks_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/clock"
	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
	"dcpos/lab/device"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// patience bounds every wait for something that must come.
const patience = time.Minute

// memory is the till's journal as the checkout wants it.
type memory struct{ *offline.Store }

func (m memory) Payments(ctx context.Context, q checkout.Query) ([]pos.Payment, error) {
	return m.Store.Payments(ctx, offline.Query(q))
}

// counter is a till with its real journal, kernel and clock, without a network.
type counter struct {
	t      *testing.T
	bank   *bank
	env    pos.Environment
	till   *checkout.Till
	store  *offline.Store
	cfg    offline.Config
	host   *checkouttest.Host
	reader *reader
	events <-chan checkout.Event
	shift  atomic.Int64 // of the wall clock against the monotonic one

	mu        sync.Mutex
	trust     dcep.Trust
	limits    pos.Limits
	catalogue pos.Catalogue // of the next start
	sales     int
	stop      func()
}

func openCounter(t *testing.T, env pos.Environment) *counter {
	t.Helper()
	b := newBank(t, dcep.SM2SM3, env)
	c := &counter{t: t, bank: b, env: env, trust: b.trust(), limits: pos.DefaultLimits(), host: checkouttest.NewHost(), reader: &reader{cards: make(chan drivers.Card)}}
	c.cfg = offline.Config{Path: filepath.Join(t.TempDir(), "journal.db"), Signer: b.key(), Env: env, Terminal: "T1"}
	c.store = must[*offline.Store](t)(offline.Create(t.Context(), c.cfg, pos.EpochOpened{Reason: pos.EpochEnrolled, Merchant: "M1", Store: "S1"}, 1,
		pos.Instant{WallMS: time.Now().UnixMilli()}, pos.DateOf(time.Now(), 0)))
	t.Cleanup(func() { _ = c.store.Close() })
	c.host.Connect(false)
	c.start()
	return c
}

// start runs a till over the journal; a second start is a till that was switched off.
func (c *counter) start() {
	c.t.Helper()
	if c.stop != nil {
		c.stop()
	}
	began, catalogue := time.Now(), c.catalogue
	cl := must[*clock.Clock](c.t)(clock.New(clock.Options{
		Wall: func() time.Time { return time.Now().Add(time.Duration(c.shift.Load())) },
		Mono: func() time.Duration { return time.Hour + time.Since(began) }, BootID: "b",
	}, 0))
	cl.Heard(time.Now().UnixMilli())
	k := &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.trust
	}}}
	c.till = must[*checkout.Till](c.t)(checkout.New(context.Background(), checkout.Config{
		Env: c.env, Terminal: "T1", Merchant: "M1", Store: "S1", Suite: c.bank.suite, CodeKey: []byte("0123456789abcdef"),
		Forward: true, Catalogue: func() pos.Catalogue { return catalogue },
		Journal: memory{c.store}, Host: c.host, Kernel: k, Reader: c.reader, Clock: cl, Log: slog.New(slog.DiscardHandler),
		Limits: func() pos.Limits {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.limits
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.till.Run(ctx) }()
	<-c.till.Ready()
	events, end := c.till.Events("")
	c.events = events
	c.stop = sync.OnceFunc(func() {
		end()
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("till: %v", err)
		}
	})
	c.t.Cleanup(c.stop)
}

// believe changes what the till trusts.
func (c *counter) believe(change func(*dcep.Trust)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.trust)
}

// allow changes the guards.
func (c *counter) allow(change func(*pos.Limits)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.limits)
}

// sale names an offline payment.
func (c *counter) sale(fen pos.Money) (pos.Payment, error) { return c.saleOf(fen, pos.Evidence) }

func (c *counter) saleOf(fen pos.Money, mode pos.Mode) (pos.Payment, error) {
	c.sales++
	name := fmt.Sprintf("sale-%d", c.sales)
	return c.till.Start(c.t.Context(), checkout.Request{
		Caller: "screen", Key: name, OrderID: name, OrderAmount: fen, Amount: fen, Mode: mode,
	})
}

// asked names a payment and gives the challenge that a wallet scans.
func (c *counter) asked(fen pos.Money) (pos.Payment, string, error) {
	p, err := c.sale(fen)
	if err != nil {
		return p, "", err
	}
	prompt, err := c.till.Challenge(c.t.Context(), p.ID)
	return p, prompt.Text, err
}

// challenge is asked where that must succeed.
func (c *counter) challenge(fen pos.Money) (pos.PaymentID, string) {
	c.t.Helper()
	p, text, err := c.asked(fen)
	ok(c.t, err)
	return p.ID, text
}

// shown submits a wallet's answer.
func (c *counter) shown(id pos.PaymentID, answer string) error {
	_, err := c.till.SubmitEvidence(c.t.Context(), id, answer)
	return err
}

// pay is an honest payment.
func (c *counter) pay(p plastic, fen pos.Money) string {
	c.t.Helper()
	id, text := c.challenge(fen)
	answer := must[string](c.t)(p.wallet.Answer(text, time.Now()))
	ok(c.t, c.shown(id, answer))
	return answer
}

// tap names a payment and holds a card to the reader; nil when the till accepts it.
func (c *counter) tap(p plastic, fen pos.Money) error {
	c.t.Helper()
	id, _ := c.challenge(fen)
	return c.hold(id, p.card)
}

// hold holds a card to the reader for a payment that waits for one.
func (c *counter) hold(id pos.PaymentID, card *device.Card) error {
	c.t.Helper()
	return c.holdCard(id, card, &held{card: card})
}

func (c *counter) holdCard(id pos.PaymentID, card *device.Card, as drivers.Card) error {
	c.t.Helper()
	card.Activate()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	select {
	case c.reader.cards <- as:
	case <-ctx.Done():
		c.t.Fatal("nobody waits for a card")
	}
	for {
		select {
		case e := <-c.events:
			if e.Tap != nil && e.Tap.Payment == id && e.Tap.Code != "" {
				return pos.NewError(e.Tap.Code, nil)
			}
			if e.Payment != nil && e.Payment.ID == id && e.Payment.State == pos.AcceptedEvidence {
				return nil
			}
		case <-ctx.Done():
			c.t.Fatal("the till says nothing about the card")
		}
	}
}

// accepted counts what the journal calls accepted.
func (c *counter) accepted() int {
	c.t.Helper()
	return len(must[[]pos.Payment](c.t)(c.store.Payments(c.t.Context(), offline.Query{States: []pos.State{pos.AcceptedEvidence}, Limit: 1000})))
}

// reader lends the cards that the test holds to it.
type reader struct {
	drivers.NFCReader // of which only two methods are asked for here
	cards             chan drivers.Card
}

func (r *reader) HasReader() bool { return true }

func (r *reader) WithReader(ctx context.Context, _ string, f func(context.Context, drivers.NFCReader) error) error {
	return f(ctx, r)
}

func (r *reader) WaitCard(ctx context.Context) (drivers.Card, error) {
	select {
	case c := <-r.cards:
		return c, nil
	case <-ctx.Done():
		return nil, drivers.ErrTimeout
	}
}

func (r *reader) Signal(context.Context, drivers.Signal) error { return nil }

// held is a modelled card in the field.
type held struct {
	card *device.Card
	gone bool
}

func (h *held) Info() drivers.CardInfo            { return drivers.CardInfo{UID: h.card.UID()} }
func (h *held) WaitRemoved(context.Context) error { return nil }
func (h *held) Close() error                      { return nil }

func (h *held) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if h.gone {
		return nil, drivers.ErrTorn
	}
	response, err := apdu.Exchange(ctx, func(_ context.Context, c []byte) ([]byte, error) {
		response, torn := h.card.Transmit(c)
		if torn {
			return nil, drivers.ErrTorn
		}
		return response, nil
	}, command, false)
	if err != nil {
		h.gone = true
		return nil, fmt.Errorf("%w: %w", drivers.ErrTorn, err)
	}
	return response, nil
}

// code shows a payment code for a payment that is asked for online, with the link away.
func (c *counter) code(code string) error {
	p, err := c.till.Start(c.t.Context(), checkout.Request{
		Caller: "screen", Key: "code", OrderID: "code", OrderAmount: 100, Amount: 100, Mode: pos.BScanC,
	})
	if err != nil {
		return err
	}
	_, err = c.till.SubmitCode(c.t.Context(), p.ID, code)
	return err
}
