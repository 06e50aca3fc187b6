package usb_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/sdk"
)

// online plugs the till's network cable in or pulls it out, and waits until the till knows.
func (s *shop) online(on bool) {
	s.t.Helper()
	for _, c := range s.world.cables {
		if on {
			s.must(c.Restore())
		} else {
			s.must(c.Cut())
		}
	}
	eventually(s.t, fmt.Sprintf("the till says that it is online: %t", on), func() error {
		st, err := s.till.Status(s.t.Context())
		if err == nil && st.Connected != on {
			err = errors.New("not yet")
		}
		return err
	})
}

// holdingBack is a wallet's card that holds back the answer in which it has signed, until
// it is let go; from then on it answers at once. signed is closed when it has signed.
func holdingBack(w *wallet.Wallet) (card *device.Card, signed <-chan struct{}, letGo func()) {
	has, free := make(chan struct{}), make(chan struct{})
	applet, before := w.Card(time.Now), w.Counter()
	hold := sync.OnceFunc(func() { close(has); <-free })
	slow := device.AppletFunc(func(command []byte) []byte {
		answer := applet.Process(command)
		if w.Counter() > before {
			hold()
		}
		return answer
	})
	card = device.NewCard(device.CardOptions{Applications: []device.Application{{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: slow}}})
	return card, has, sync.OnceFunc(func() { close(free) })
}

// tapped waits until the screen is told of the payment's tap what is wanted.
func (s *shop) tapped(p sdk.Payment, wanted func(sdk.Tap) bool) sdk.Tap {
	s.t.Helper()
	var last sdk.Tap
	patient := time.After(patience)
	for {
		select {
		case tap := <-s.taps:
			if tap.Payment == p.ID && wanted(tap) {
				return tap
			}
			last = tap
		case <-patient:
			s.t.Fatalf("the last that the screen was told of a tap is %+v", last)
		}
	}
}

// armed starts a payment offline, for which the reader takes a card.
func (s *shop) armed() sdk.Payment {
	s.t.Helper()
	*s.orders++
	p, err := s.till.Start(s.t.Context(), sdk.StartRequest{
		Key: sdk.NewKey(), OrderID: fmt.Sprintf("usb-%d", *s.orders), Amount: pos.Money(100 + *s.orders), Mode: pos.Evidence,
	})
	s.must(err)
	asks, err := s.till.Challenge(s.t.Context(), p.ID)
	s.must(err)
	if !asks.Tap {
		s.t.Fatal("the till does not ask for a card")
	}
	return p
}

// holds compares where a payment stands, and the number of its wallet's last promise.
func (s *shop) holds(p sdk.Payment, state pos.State, counter uint64) {
	s.t.Helper()
	got, err := s.till.Payment(s.t.Context(), p.ID)
	s.must(err)
	if signed := s.till.wallet.Counter(); got.State != state || signed != counter || state != pos.Created && got.Counter != counter {
		s.t.Fatalf("the payment is %s with promise %d, the wallet has made %d; want %s, %d", got.State, got.Counter, signed, state, counter)
	}
}

// unplugMidPayment pulls the reader out when the wallet has promised and nobody has heard
// it: nothing is taken. The same card on the reader, plugged in again, is heard with the
// same promise, and pays once.
func unplugMidPayment(s *shop) {
	held, err := s.till.wallet.Balance(s.t.Context())
	s.must(err)
	s.plug("04b8:0e15")
	plugged, _ := s.plug("072f:2200")
	s.online(false)
	before := s.till.wallet.Counter()
	card, signed, letGo := holdingBack(s.till.wallet)
	defer letGo()
	p := s.armed()
	s.reader.Tap(card)
	select {
	case <-signed:
	case <-time.After(patience):
		s.t.Fatal("the wallet was not asked to sign")
	}
	time.Sleep(200 * time.Millisecond) // the reader asks for more time
	began, pulled := time.Now(), make(chan error, 1)
	go func() { pulled <- plugged.Unplug() }() // ends when the card has
	eventually(s.t, "the kernel lets the reader go", func() error {
		if _, err := os.Stat(plugged.Sys); err == nil {
			return errors.New("still there")
		}
		return nil
	})
	s.t.Logf("the reader is gone %v after the pull", time.Since(began).Round(time.Millisecond))
	letGo() // nobody hears it
	s.must(<-pulled)
	tap := s.tapped(p, func(t sdk.Tap) bool { return t.Code != "" })
	s.t.Logf("unplugged: told %v after the pull: %s %s, %s; %+v", time.Since(began).Round(time.Millisecond), tap.Signal, tap.Code, tap.Text.EN, tap.Hint)
	if tap.Code != drivers.CodeDevice && tap.Code != pos.ErrTapTorn || tap.Hint == nil {
		s.t.Errorf("a reader that is pulled out is told as %+v", tap)
	}
	s.gone("072f:2200")
	s.holds(p, pos.Created, before+1)

	s.reader.Take(nil)
	s.plug("072f:2200")
	s.reader.Tap(card)
	s.tapped(p, func(t sdk.Tap) bool { return t.Signal == string(drivers.SignalDone) })
	s.holds(p, pos.AcceptedEvidence, before+1)
	s.reader.Take(nil)
	if job := s.settled(p); job.State != pos.PrintConfirmed || job.Duplicate {
		s.t.Errorf("the receipt is %+v", job)
	}
	s.wantReceipts(p, 1, 0)
	s.paidOnce(p, held.Balance, before+1)
}

// paidOnce gives the network back: the centre credits the promise, and the institution
// has taken its amount once of what the wallet held.
func (s *shop) paidOnce(p sdk.Payment, held pos.Money, counter uint64) {
	s.t.Helper()
	s.online(true)
	eventually(s.t, "the promise is credited", func() error {
		got, err := s.till.Payment(s.t.Context(), p.ID)
		if err == nil && got.State != pos.Credited {
			err = fmt.Errorf("it is %s", got.State)
		}
		return err
	})
	s.holds(p, pos.Credited, counter)
	left, err := s.till.wallet.Balance(s.t.Context())
	s.must(err)
	if left.Balance != held-p.Amount {
		s.t.Errorf("the wallet held %v and holds %v after a payment of %v", held, left.Balance, p.Amount)
	}
}
