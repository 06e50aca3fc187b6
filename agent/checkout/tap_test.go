package checkout_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/ccid"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

var (
	tearStep = flag.Int("tear-step", 5, "a card is torn off at every so many bytes; 1 for the long form")
	tearFrom = flag.Int("tear-from", rand.IntN(5), "the first of them") //nolint:gosec // a test's
)

// counter is a till with a contactless reader.
type counter struct {
	*bench
	field  *device.CCID
	socket *atomic.Pointer[device.CCIDSocket] // where the reader is plugged in
	events <-chan checkout.Event
}

// replug plugs a reader that was pulled out in again.
func (c *counter) replug() { c.socket.Store(c.field.Socket()) }

// lent is a reader that nobody else wants.
type lent struct{ reader drivers.NFCReader }

func (l lent) HasReader() bool { return true }

func (l lent) WithReader(ctx context.Context, _ string, f func(context.Context, drivers.NFCReader) error) error {
	return f(ctx, l.reader)
}

// atReader runs a test at a till with a modelled reader, offline.
func atReader(t *testing.T, name string, test func(c *counter), change ...func(*checkout.Config)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			model := device.NewCCID(device.CCIDOptions{})
			defer model.Close()
			p := profiles.NFC{Name: "tap", Timing: profiles.NFCTiming{AnswerMS: 300, CardMS: 1000, PollMS: 50}}
			p.Signals.Language = "acr122u"
			var socket atomic.Pointer[device.CCIDSocket]
			socket.Store(model.Socket())
			r := nfc.New(p, ccid.Dial(p, func(ctx context.Context) (transport.Conn, error) { return socket.Load().Dial(ctx) }), nfc.Options{})
			for _, step := range []func(context.Context) error{r.Open, r.Claim, r.Enable} {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b := &bench{T: t, Shop: checkouttest.NewShop(t)}
			b.Host.Connect(false)
			var stop func()
			b.till, stop = b.Start(t, append(change, func(c *checkout.Config) { c.Reader = lent{r} })...)
			events, end := b.till.Events("")
			test(&counter{b, model, &socket, events})
			end()
			stop()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// person holds a card.
type person struct {
	wallet *wallet.Wallet
	applet *wallet.Card
	card   *device.Card
}

func (c *counter) person() person {
	c.Helper()
	return holding(wallet.Of(c.NewWallet(c).Papers()))
}

func holding(w *wallet.Wallet) person {
	a := w.Card(time.Now)
	return person{w, a, card(a)}
}

func card(a device.Applet) *device.Card {
	return device.NewCard(device.CardOptions{
		Applications: []device.Application{{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: a}},
	})
}

// armed starts a payment whose challenge is shown.
func (c *counter) armed(order string) pos.Payment {
	c.Helper()
	p := c.start(pos.Evidence, order)
	if _, err := c.till.Challenge(c.Context(), p.ID); err != nil {
		c.Fatal(err)
	}
	if !c.till.Armed(p.ID) {
		c.Fatal("the reader is not armed")
	}
	return p
}

// hold keeps a card in the field for two seconds.
func (c *counter) hold(p person) {
	c.field.TapTorn(p.card)
	time.Sleep(2 * time.Second)
	c.field.Take(nil)
	time.Sleep(2 * time.Second)
}

// said are the codes that the screens were told since, and the last signal.
func (c *counter) said() (codes []pos.Code, last drivers.Signal) {
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return codes, last // so many that the reader of events was dropped
			}
			if e.Tap == nil {
				continue
			}
			last = e.Tap.Signal
			if e.Tap.Code != "" {
				codes = append(codes, e.Tap.Code)
				if e.Tap.Text.IsZero() || e.Tap.Hint.IsZero() {
					c.Errorf("%s does not tell a person what to do", e.Tap.Code)
				}
			}
		default:
			return codes, last
		}
	}
}

func TestTap(t *testing.T) {
	atReader(t, "a card pays", func(c *counter) {
		who := c.person()
		p := c.armed("o1")
		c.hold(who)
		got := c.want(p.ID, pos.AcceptedEvidence)
		codes, last := c.said()
		if got.Counter != 1 || got.Institution != "ICBC" || len(codes) != 0 || last != drivers.SignalDone || c.till.Armed(p.ID) {
			c.Fatalf("%+v, told %v, then %s", got, codes, last)
		}
		c.hold(who) // nothing is wanted any more
		if who.wallet.Counter() != 1 {
			c.Error("it paid again")
		}
	})
	atReader(t, "a second card finds the payment paid", func(c *counter) {
		p := c.armed("o1")
		c.hold(c.person())
		q := c.armed("o2")
		c.hold(c.person())
		if a, b := c.want(p.ID, pos.AcceptedEvidence), c.want(q.ID, pos.AcceptedEvidence); a.Wallet == b.Wallet {
			c.Error("one wallet for two")
		}
	})
	atReader(t, "the QR answers first, and the reader wants nothing more", func(c *counter) {
		who := c.person()
		p := c.armed("o1")
		w := c.NewWallet(c)
		if _, err := c.till.SubmitEvidence(c.Context(), p.ID, c.promise(w, p.ID)); err != nil {
			c.Fatal(err)
		}
		c.hold(who)
		if got := c.want(p.ID, pos.AcceptedEvidence); got.Wallet != w.Serial || who.wallet.Counter() != 0 || c.till.Armed(p.ID) {
			c.Errorf("%+v, the card's counter is %d", got, who.wallet.Counter())
		}
	})
	atReader(t, "the card answers first, and the QR's answer is void", func(c *counter) {
		p := c.armed("o1")
		w := c.NewWallet(c)
		answer := c.promise(w, p.ID)
		c.hold(c.person())
		got, err := c.till.SubmitEvidence(c.Context(), p.ID, answer)
		if err != nil || got.State != pos.AcceptedEvidence || got.Wallet == w.Serial {
			c.Errorf("%+v %v", got, err)
		}
	})
	atReader(t, "the reader is for the payment whose challenge was shown last", func(c *counter) {
		p, q := c.armed("o1"), c.armed("o2")
		c.hold(c.person())
		c.want(p.ID, pos.Created)
		c.want(q.ID, pos.AcceptedEvidence)
	})
	atReader(t, "a cancelled payment takes no card", func(c *counter) {
		who := c.person()
		p := c.armed("o1")
		if _, err := c.till.Cancel(c.Context(), p.ID); err != nil {
			c.Fatal(err)
		}
		c.hold(who)
		if c.want(p.ID, pos.Cancelled); who.wallet.Counter() != 0 {
			c.Error("it promised")
		}
	})
	atReader(t, "two cards, then one", func(c *counter) {
		one, two := c.person(), c.person()
		p := c.armed("o1")
		c.field.Tap(one.card)
		c.field.Tap(two.card)
		time.Sleep(2 * time.Second)
		if n := one.wallet.Counter() + two.wallet.Counter(); n > 1 {
			c.Errorf("%d promises", n) // this reader takes one of them, as PC/SC readers do
		}
		c.field.Take(nil)
		c.want(p.ID, pos.AcceptedEvidence)
	})
	atReader(t, "a challenge that was renewed while nobody tapped", func(c *counter) {
		p := c.armed("o1")
		time.Sleep(5 * time.Minute)
		c.hold(c.person())
		c.want(p.ID, pos.AcceptedEvidence)
	})
}

// Each refusal is told with its own reason, nothing is taken, and an honest card then pays.
func TestTapRefusals(t *testing.T) {
	for fault, want := range map[wallet.Fault]pos.Code{
		wallet.PaysLess: pos.ErrEvidenceAmount, wallet.ForOther: pos.ErrEvidenceOther, wallet.Replays: pos.ErrEvidenceReplay,
		wallet.Clones: pos.ErrEvidenceForged, wallet.Refuses: pos.ErrTapRefused, wallet.Rewinds: pos.ErrEvidenceSeen,
		wallet.Garbles: pos.ErrEvidence,
	} {
		atReader(t, string(fault), func(c *counter) {
			bad := c.person()
			c.armed("o0")
			c.hold(bad) // its first payment is honest
			c.said()
			bad.applet.Misbehave(fault)
			p := c.armed("o1")
			c.hold(bad)
			if codes, last := c.said(); len(codes) != 1 || codes[0] != want || last != drivers.SignalRefused {
				c.Errorf("told %v and then %s, want %s", codes, last, want)
			}
			c.want(p.ID, pos.Created)
			c.hold(c.person())
			c.want(p.ID, pos.AcceptedEvidence)
		})
	}
	atReader(t, "revoked", func(c *counter) {
		w := c.NewWallet(c)
		c.Trust.Revoked = []string{w.Serial}
		p := c.armed("o1")
		c.hold(holding(wallet.Of(w.Papers())))
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrWalletRevoked {
			c.Errorf("told %v", codes)
		}
		c.want(p.ID, pos.Created)
	})
	atReader(t, "no wallet on the card", func(c *counter) {
		p := c.armed("o1")
		c.hold(person{card: device.NewEchoCard([]byte("\xA0\x00\x00\x03\x33\x01\x01"), device.CardOptions{})})
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrTapNoWallet {
			c.Errorf("told %v", codes)
		}
		c.want(p.ID, pos.Created)
	})
	limits := pos.DefaultLimits()
	limits.WalletTotal, limits.SplitWindow = 1500, 0
	atReader(t, "beyond the wallet's allowance, before it signs", func(c *counter) {
		who := c.person()
		c.armed("o0")
		c.hold(who)
		p := c.armed("o1")
		c.said()
		c.hold(who)
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrLimitWallet || who.wallet.Counter() != 1 {
			c.Errorf("told %v, counter %d", codes, who.wallet.Counter())
		}
		c.want(p.ID, pos.Created)
	}, func(c *checkout.Config) { c.Limits = func() pos.Limits { return limits } })
	atReader(t, "a journal that cannot keep it", func(c *counter) {
		p := c.armed("o1")
		c.Journal.Break(pos.NewError(pos.ErrStorage, nil))
		who := c.person()
		c.hold(who)
		if codes, last := c.said(); len(codes) == 0 || last == drivers.SignalDone {
			c.Errorf("told %v, then %s", codes, last)
		}
		c.Journal.Break(nil)
		c.hold(who)
		if c.want(p.ID, pos.AcceptedEvidence); who.wallet.Counter() != 1 {
			c.Errorf("counter %d", who.wallet.Counter())
		}
	})
}

// The card leaves at every APDU and, in steps, at bytes over the air of the reader's own
// dialogue: one credit for the payment, one step of the wallet's counter, and the next tap
// completes. Also when the challenge has expired in between.
func TestTapTorn(t *testing.T) {
	t.Logf("-tear-step=%d -tear-from=%d", *tearStep, *tearFrom)
	for name, tear := range map[string]struct {
		set  func(*device.Card, int)
		step int
		wait time.Duration
	}{
		"apdu":                       {(*device.Card).TearAfterAPDUs, 1, 0},
		"byte":                       {(*device.Card).TearAfterBytes, *tearStep, 0},
		"apdu, and the expiry":       {(*device.Card).TearAfterAPDUs, 1, 2*time.Minute + time.Second},
		"byte by ten and the expiry": {(*device.Card).TearAfterBytes, 10, 2*time.Minute + time.Second},
	} {
		atReader(t, name, func(c *counter) {
			w := wallet.Of(c.NewWallet(c).Papers())
			first := *tearFrom * min(tear.step-1, 1) // not where each is tried
			for n, whole := first, false; !whole; n += tear.step {
				if n > 3000 {
					c.Fatal("the dialogue does not end")
				}
				who, before := holding(w), w.Counter()
				tear.set(who.card, n)
				p := c.armed("o" + c.request("", "").Key)
				c.hold(who)
				got, err := c.till.Payment(c.Context(), p.ID)
				if err != nil {
					c.Fatal(err)
				}
				if whole = got.State == pos.AcceptedEvidence; !whole {
					tear.set(who.card, -1)
					time.Sleep(tear.wait)
					c.hold(who)
				}
				got = c.want(p.ID, pos.AcceptedEvidence)
				if w.Counter() != before+1 || got.Counter != w.Counter() {
					c.Fatalf("torn at %d: the counter went from %d to %d, the payment has %d", n, before, w.Counter(), got.Counter)
				}
				c.Journal.Acknowledge()
			}
		}, func(c *checkout.Config) {
			l := pos.DefaultLimits()
			l.WalletTotal, l.WalletCount, l.StoredTotal, l.StoredCount, l.SplitTotal, l.Tiers = 1<<40, 1<<30, 1<<40, 1<<30, 1<<40, nil
			c.Limits = func() pos.Limits { return l }
		})
	}
}

// The reader is pulled out when the wallet has signed and nobody has heard it. Plugged in
// again, it hears the same promise, also when the challenge has expired in between.
func TestTapReaderPulledOut(t *testing.T) {
	for name, wait := range map[string]time.Duration{"and plugged in again": 0, "and the expiry": 2*time.Minute + time.Second} {
		atReader(t, name, func(c *counter) {
			w := wallet.Of(c.NewWallet(c).Papers())
			applet := w.Card(time.Now)
			who := person{card: card(device.AppletFunc(func(command []byte) []byte {
				before := w.Counter()
				answer := applet.Process(command)
				if before == 0 && w.Counter() == 1 {
					c.socket.Load().Spoil(func([]byte) [][]byte { return nil }) // nobody hears it
					c.socket.Load().Pull()
				}
				return answer
			}))}
			p := c.armed("o1")
			c.said()
			c.hold(who)
			if codes, _ := c.said(); len(codes) != 1 || codes[0] != drivers.CodeDevice {
				c.Errorf("told %v", codes)
			}
			c.want(p.ID, pos.Created)
			time.Sleep(wait)
			c.replug()
			c.hold(who)
			if got := c.want(p.ID, pos.AcceptedEvidence); w.Counter() != 1 || got.Counter != 1 {
				c.Errorf("the wallet made %d promises, the payment has number %d", w.Counter(), got.Counter)
			}
		})
	}
}

// A kernel without Tap leaves the reader alone.
func TestTapNeedsItsKernel(t *testing.T) {
	atReader(t, "by QR alone", func(c *counter) {
		p := c.start(pos.Evidence, "o1")
		if _, err := c.till.Challenge(c.Context(), p.ID); err != nil || c.till.Armed(p.ID) {
			c.Errorf("armed: %v", err)
		}
	}, func(c *checkout.Config) {
		k, ok := c.Kernel.(*kernel.NFC)
		if !ok {
			t.Fatal("another kernel")
		}
		c.Kernel = &k.QR
	})
}
