package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/clock"
	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// counter is a till in this process, with its journal on the disk that is measured, a reader
// whose radio takes no time, and no network.
type counter struct {
	*book
	*device.Card
	till   *checkout.Till
	cards  chan drivers.Card
	wallet *wallet.Wallet
	stop   func() error
}

// away is a centre that cannot be reached.
type away struct{ checkout.Host }

func (away) Connected() bool { return false }

// memory is the till's journal as the checkout wants it.
type memory struct{ *offline.Store }

func (m memory) Payments(ctx context.Context, q checkout.Query) ([]pos.Payment, error) {
	return m.Store.Payments(ctx, offline.Query(q))
}

// lend gives the cards that are held to the reader.
type lend struct {
	drivers.NFCReader // of which only two methods are asked for
	cards             chan drivers.Card
}

func (l lend) HasReader() bool { return true }

func (l lend) WithReader(ctx context.Context, _ string, f func(context.Context, drivers.NFCReader) error) error {
	return f(ctx, l)
}

func (l lend) Signal(context.Context, drivers.Signal) error { return nil }

func (l lend) WaitCard(ctx context.Context) (drivers.Card, error) {
	select {
	case c := <-l.cards:
		return c, nil
	case <-ctx.Done():
		return nil, drivers.ErrTimeout
	}
}

// field is a card in the reader's field.
type field struct{ card *device.Card }

func (f field) Info() drivers.CardInfo            { return drivers.CardInfo{} }
func (f field) WaitRemoved(context.Context) error { return nil }
func (f field) Close() error                      { return nil }

func (f field) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return apdu.Exchange(ctx, func(_ context.Context, c []byte) ([]byte, error) {
		response, torn := f.card.Transmit(c)
		if torn {
			return nil, drivers.ErrTorn
		}
		return response, nil
	}, command, false)
}

// papers are a root, an institution and one wallet of it.
func papers(suite dcep.Suite) (dcep.Trust, *wallet.Wallet, error) {
	var keys [3]dcep.Signer
	var der [3][]byte
	for i, t := range []dcep.Template{
		{Name: "root", Authority: true}, {Name: "ICBC", Institution: "ICBC", Authority: true}, {Name: "wallet", Institution: "ICBC"},
	} {
		t.Env, t.From, t.Until = pos.Lab, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		var err error
		if keys[i], err = suite.Generate(); err != nil {
			return dcep.Trust{}, nil, err
		}
		by, issuer := keys[max(0, i-1)], der[max(0, i-1)]
		if der[i], err = dcep.Certify(t, keys[i].Public(), by, issuer); err != nil {
			return dcep.Trust{}, nil, err
		}
	}
	trust := dcep.Trust{Env: pos.Lab, Roots: der[:1], Institutions: der[1:2], IssuedMS: time.Now().UnixMilli()}
	return trust, wallet.Of(keys[2], der[2]), nil
}

func openCounter(ctx context.Context, r *run, name string) (*counter, error) {
	suite, err := dcep.SuiteByName(name)
	if err != nil {
		return nil, err
	}
	trust, w, err := papers(suite)
	if err != nil {
		return nil, err
	}
	c := &counter{cards: make(chan drivers.Card), wallet: w}
	c.Card = device.NewCard(device.CardOptions{Applications: []device.Application{{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: w.Card(time.Now)}}})
	if c.book, err = newBook(ctx, r.root, name); err != nil {
		return nil, err
	}
	clk, err := clock.New(clock.Options{}, 0)
	if err != nil {
		return nil, err
	}
	clk.Heard(time.Now().UnixMilli())
	limits := pos.DefaultLimits()
	limits.StoredCount, limits.WalletCount = 1<<30, 1<<30
	limits.StoredTotal, limits.WalletTotal = 1<<50, 1<<50
	c.till, err = checkout.New(ctx, checkout.Config{
		Env: pos.Lab, Terminal: "BENCH", Merchant: merchant, Store: "B01", Suite: suite, CodeKey: make([]byte, 16),
		Journal: memory{c.Store}, Host: away{}, Reader: lend{cards: c.cards}, Clock: clk, Log: slog.New(slog.DiscardHandler),
		Kernel: &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust { return trust }}}, Limits: func() pos.Limits { return limits },
	})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.till.Run(running) }()
	c.stop = func() error {
		cancel()
		return errors.Join(<-done, c.Close())
	}
	<-c.till.Ready()
	return c, nil
}

// tap is one sale by card; what is timed is from the card in the field to accepted.
func (c *counter) tap(ctx context.Context, n int, took *samples) error {
	key := fmt.Sprintf("tap-%d", n)
	p, err := c.till.Start(ctx, checkout.Request{Caller: "bench", Key: key, OrderID: key, OrderAmount: 1, Amount: 1, Mode: pos.Evidence})
	if err != nil {
		return err
	}
	if _, err := c.till.Challenge(ctx, p.ID); err != nil {
		return err
	}
	events, end := c.till.Events("")
	defer end()
	c.Activate()
	return took.time(func() error {
		select {
		case c.cards <- field{c.Card}:
		case <-ctx.Done():
			return ctx.Err()
		}
		for {
			select {
			case e := <-events:
				switch {
				case e.Tap != nil && e.Tap.Code != "":
					return fmt.Errorf("the card is refused: %s", e.Tap.Code)
				case e.Payment != nil && e.Payment.ID == p.ID && e.Payment.State == pos.AcceptedEvidence:
					return nil
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// chainVerifications is how many signatures stand between a promise and a trusted root: the
// root's under the institution, the institution's under the wallet, the wallet's.
const chainVerifications = 3

// taps measures a card at the reader of a till without a network.
func taps(ctx context.Context, r *run) error {
	disk, err := newFloor(r.path("floor"))
	if err != nil {
		return err
	}
	defer func() { _ = disk.close() }() // the folder is removed anyway
	for _, name := range suites() {
		if err := tapsOf(ctx, r, disk, name); err != nil {
			return err
		}
	}
	return nil
}

// tapsOf measures the taps of one suite beside their floor.
func tapsOf(ctx context.Context, r *run, disk *floor, name string) error {
	c, err := openCounter(ctx, r, name)
	if err != nil {
		return err
	}
	two, err := signAndVerify(name, make([]byte, dcep.HashSize))
	if err != nil {
		return err
	}
	if err := two[0](); err != nil {
		return err
	}
	disk.samples = nil
	var took, base samples
	for n := range r.Sizes.Offline {
		if err := c.tap(ctx, n, &took); err != nil {
			return errors.Join(err, c.stop())
		}
		if err := base.time(func() error {
			for range chainVerifications {
				if err := two[1](); err != nil {
					return err
				}
			}
			return disk.sync()
		}); err != nil {
			return err
		}
	}
	if err := c.stop(); err != nil {
		return err
	}
	for _, p := range []int{50, 99} {
		r.report(Figure{
			Name: fmt.Sprintf("%s.tap.p%d", name, p), Value: took.at(p), Unit: "ms", Count: len(took),
			Means: pos.Text{ZH: "卡片入场 → 已受理(含卡片自身签名,不含射频时间)", EN: "card in the field → accepted, with the card's own signature and without the radio's time"},
			Peer:  &Peer{Name: fmt.Sprintf("three verifications and write+fdatasync of 4 KiB, p%d", p), Value: base.at(p)},
		})
	}
	return nil
}
