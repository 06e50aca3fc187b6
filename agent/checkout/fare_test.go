package checkout_test

import (
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/drivers"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

const ticket = pos.Money(200)

func gate(c *checkout.Config) { c.Fare = checkout.Fare{Amount: ticket, Again: 10 * time.Second} }

// rides are the payments that were accepted.
func (c *counter) rides() (list []pos.Payment) {
	for _, p := range c.Journal.All() {
		if p.State == pos.AcceptedEvidence {
			list = append(list, p)
		}
	}
	return list
}

// brush holds a card for half a second, as people at a gate do.
func (c *counter) brush(p person) {
	c.field.TapTorn(p.card)
	time.Sleep(500 * time.Millisecond)
	c.field.Take(nil)
	time.Sleep(200 * time.Millisecond)
}

func TestFare(t *testing.T) {
	for name, connected := range map[string]bool{"without a network": false, "with one: evidence first": true} {
		atReader(t, name, func(c *counter) {
			c.Host.Connect(connected)
			for n := range 5 { // one passenger after the other
				c.brush(c.person())
				if got := c.rides(); len(got) != n+1 {
					c.Fatalf("%d rides after %d taps", len(got), n+1)
				}
			}
			codes, _ := c.said()
			for _, p := range c.rides() {
				if p.Amount != ticket || p.Caller != "fare" || p.Counter != 1 {
					c.Errorf("%+v", p)
				}
			}
			if len(codes) != 0 || c.Host.Asked("pay") != 0 || len(c.Printer.Jobs()) != 0 {
				c.Errorf("told %v, asked %d, printed %d", codes, c.Host.Asked("pay"), len(c.Printer.Jobs()))
			}
		}, gate)
	}
	atReader(t, "passed back", func(c *counter) {
		who := c.person()
		c.brush(who)
		before := len(c.Journal.Entries())
		c.brush(who)
		if codes, last := c.said(); len(codes) != 1 || codes[0] != pos.ErrFareAgain || last != drivers.SignalRefused {
			c.Errorf("told %v, then %s", codes, last)
		}
		if who.wallet.Counter() != 1 || len(c.Journal.Entries()) != before {
			c.Error("it signed, or the journal was written")
		}
		c.brush(c.person()) // the next passenger is not held up
		time.Sleep(10 * time.Second)
		c.brush(who)
		if n := len(c.rides()); n != 3 || who.wallet.Counter() != 2 {
			c.Errorf("%d rides, counter %d", n, who.wallet.Counter())
		}
	}, gate)
	atReader(t, "passed back across a restart's worth of memory", func(c *counter) {
		who := c.person()
		c.brush(who)
		c.Journal.Acknowledge() // receipted: still remembered
		c.brush(who)
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrFareAgain {
			c.Errorf("told %v", codes)
		}
	}, gate)
	atReader(t, "more than the policy allows a fare", func(c *counter) {
		who := c.person()
		c.brush(who)
		s, err := c.till.Status(c.Context())
		if err != nil || s.Fare == nil || s.Fare.Open || s.Fare.Why == nil || s.Fare.Why.Code != pos.ErrLimitPayment || who.wallet.Counter() != 0 {
			c.Errorf("%+v %v, counter %d", s.Fare, err, who.wallet.Counter())
		}
	}, func(c *checkout.Config) { c.Fare.Amount = 20_01 })
	atReader(t, "a clock that nobody can trust closes it, and it opens again", func(c *counter) {
		c.SetClock(time.Hour)
		time.Sleep(40 * time.Second)
		who := c.person()
		c.brush(who)
		if s, err := c.till.Status(c.Context()); err != nil || s.Fare.Open || s.Fare.Why.Code != pos.ErrClock || who.wallet.Counter() != 0 {
			c.Errorf("%+v %v", s.Fare, err)
		}
		c.SetClock(0)
		time.Sleep(2 * time.Second)
		c.brush(who)
		if len(c.rides()) != 1 {
			c.Error("it stays closed")
		}
	}, gate)
	atReader(t, "a till that is a gate shows its challenge, and the reader stays the gate's", func(c *counter) {
		c.Host.Connect(false)
		p := c.start(pos.Evidence, "o1")
		if _, err := c.till.Challenge(c.Context(), p.ID); err != nil || c.till.Armed(p.ID) {
			c.Errorf("armed: %v", err)
		}
	}, gate)
}

func TestFareRefusals(t *testing.T) {
	for fault, want := range map[wallet.Fault]pos.Code{
		wallet.PaysLess: pos.ErrEvidenceAmount, wallet.Clones: pos.ErrEvidenceForged, wallet.Refuses: pos.ErrTapRefused,
	} {
		atReader(t, string(fault), func(c *counter) {
			bad := c.person()
			bad.applet.Misbehave(fault)
			c.brush(bad)
			if codes, last := c.said(); len(codes) != 1 || codes[0] != want || last != drivers.SignalRefused {
				c.Errorf("told %v and then %s, want %s", codes, last, want)
			}
			c.brush(c.person())
			if len(c.rides()) != 1 {
				c.Error("the next passenger is held up")
			}
			for _, p := range c.Journal.All() {
				if p.State == pos.Created {
					c.Error("a refused ride is left open")
				}
			}
		}, gate)
	}
	atReader(t, "a disk that keeps nothing, then well again: the same promise", func(c *counter) {
		who := c.person()
		c.brush(c.person())
		applet := who.applet
		broken := person{wallet: who.wallet, card: card(device.AppletFunc(func(command []byte) []byte {
			answer := applet.Process(command)
			if who.wallet.Counter() == 1 {
				c.Journal.Break(pos.NewError(pos.ErrStorage, nil)) // it breaks as the wallet has signed
			}
			return answer
		}))}
		c.brush(broken)
		if codes, last := c.said(); len(codes) == 0 || last == drivers.SignalDone {
			c.Errorf("told %v, then %s", codes, last)
		}
		c.Journal.Break(nil)
		c.brush(who)
		if n := len(c.rides()); n != 2 || who.wallet.Counter() != 1 {
			c.Errorf("%d rides, counter %d", n, who.wallet.Counter())
		}
	}, gate)
}

// A card leaves at every APDU, another passenger goes through in between, and the torn one
// comes back: each wallet has signed once and each ride is paid once.
func TestFareTorn(t *testing.T) {
	for name, wait := range map[string]time.Duration{"back at once": 0, "back when the challenge has expired": 2*time.Minute + time.Second} {
		atReader(t, name, func(c *counter) {
			for n, whole := 0, false; !whole; n++ {
				if n > 30 {
					c.Fatal("the dialogue does not end")
				}
				who, rides := c.person(), len(c.rides())
				who.card.TearAfterAPDUs(n)
				c.brush(who)
				if whole = len(c.rides()) == rides+1; !whole {
					c.brush(c.person())
					who.card.TearAfterAPDUs(-1)
					time.Sleep(wait)
					c.brush(who)
					rides++
				}
				if got := len(c.rides()); got != rides+1 || who.wallet.Counter() != 1 {
					c.Fatalf("torn after %d APDUs: %d rides, want %d; the wallet signed %d times", n, got, rides+1, who.wallet.Counter())
				}
				c.Journal.Acknowledge()
			}
			time.Sleep(20 * time.Minute)
			for _, p := range c.Journal.All() {
				if p.State == pos.Created {
					c.Errorf("%s is left open", p.ID)
				}
			}
		}, gate)
	}
}
