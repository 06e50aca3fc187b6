package attacks_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// storing lets the till store codes of ICBC's lab-pass: 20 yuan each, 30 yuan and 3 of them together.
func (c *counter) storing() {
	c.allow(func(l *pos.Limits) {
		l.Forward = pos.Forward{PerPayment: 20_00, StoredTotal: 30_00, StoredCount: 3, OldestStop: 12 * time.Hour}
	})
	c.catalogue = pos.Catalogue{IssuedMS: time.Now().UnixMilli(), Instruments: []pos.Instrument{
		{Institution: "ICBC", Name: "lab-pass", ValidMS: (24 * time.Hour).Milliseconds()},
	}}
	c.start()
}

func pass() string { return dcep.NewForward("ICBC", "lab-pass").String() }

// stores shows a code for a sale of its own; nil when the till stores it.
func (c *counter) stores(fen pos.Money, code string) (pos.Payment, error) {
	c.t.Helper()
	p, err := c.saleOf(fen, pos.BScanC)
	if err != nil {
		return p, err
	}
	p, err = c.till.SubmitCode(c.t.Context(), p.ID, code)
	if err == nil && p.State != pos.Stored {
		err = found(p.State)
	}
	return p, err
}

// honest is a code that is stored rightly.
func (c *counter) honest(fen pos.Money, code string) pos.Payment {
	c.t.Helper()
	return must[pos.Payment](c.t)(c.stores(fen, code))
}

// storedCodes are attacks on codes that a till stores without a network, to be charged later.
func storedCodes(sites func() *site) []attack {
	at := func(threat, name string, want pos.Code, try func(c *counter) error) attack {
		return till(threat, name, want, 0, func(c *counter) error {
			c.storing()
			return try(c)
		})
	}
	again := func(threat, name string, between func(c *counter, p pos.Payment)) attack {
		return at(threat, name, pos.ErrCodeUsed, func(c *counter) error {
			code := pass()
			between(c, c.honest(10_00, code))
			_, err := c.stores(1_00, code)
			return err
		})
	}
	over := func(name string, want pos.Code, pays ...pos.Money) attack {
		return at("T9", name, want, func(c *counter) error {
			for _, fen := range pays[:len(pays)-1] {
				c.honest(fen, pass())
			}
			_, err := c.stores(pays[len(pays)-1], pass())
			return err
		})
	}
	refused := func(threat, name string, want pos.Code, prepare func(c *counter) string) attack {
		return at(threat, name, want, func(c *counter) error {
			_, err := c.stores(1_00, prepare(c))
			return err
		})
	}
	return []attack{
		again("T2", "a stored code for another sale", func(*counter, pos.Payment) {}),
		again("T2", "a stored code after the till was switched off and on", func(c *counter, _ pos.Payment) { c.start() }),
		again("T2", "a stored code that has been charged since", func(c *counter, p pos.Payment) { c.charged(p) }),
		over("a stored code, one fen over the limit of a payment", pos.ErrLimitPayment, 20_01),
		over("a stored code, one fen over the stored total", pos.ErrLimitTotal, 20_00, 10_00, 1),
		over("a stored code, one over the stored count", pos.ErrLimitCount, 1, 1, 1, 1),
		refused("T5", "a stored code with the clock set back a day", pos.ErrClock, func(c *counter) string { c.shift.Store(-int64(24 * time.Hour)); return pass() }),
		refused("T5", "a stored code with the clock set forward a year", pos.ErrClock, func(c *counter) string { c.shift.Store(int64(365 * 24 * time.Hour)); return pass() }),
		refused("T10", "a stored code by an old catalogue, which a bank has taken back", pos.ErrForwardUnknown, func(c *counter) string {
			c.catalogue.IssuedMS -= (73 * time.Hour).Milliseconds()
			c.start()
			return pass()
		}),
		refused("T10", "a stored code by the policy that ships", pos.ErrForwardOff, func(c *counter) string {
			c.allow(func(l *pos.Limits) { l.Forward = pos.DefaultLimits().Forward })
			return pass()
		}),
		refused("T9", "a code of an instrument that nobody has marked", pos.ErrForwardUnknown, func(*counter) string { return dcep.NewForward("ICBC", "card").String() }),
		refused("T4", "a stored code with a letter more", pos.ErrBadCode, func(*counter) string { return pass() + "A" }),
		{"T9", "one code stored at two tills without a network", string(pos.ErrCodeUsed), func(t *testing.T) error { t.Helper(); return sites().oneCodeTwice(t) }},
	}
}

// charged lets the centre come back until a stored payment is paid, and go away again.
func (c *counter) charged(p pos.Payment) {
	c.t.Helper()
	c.host.Connect(true)
	wait(c.t, "the stored code is charged", func() error {
		now, err := c.till.Payment(c.t.Context(), p.ID)
		if err == nil && now.State != pos.Paid {
			err = fmt.Errorf("it is %s", now.State)
		}
		return err
	})
	if n := c.host.Pays(p.ID); n != 1 {
		c.t.Errorf("it was charged %d times", n)
	}
	c.host.Connect(false)
}

// storesCodes publishes a policy under which codes are stored, and waits until both tills have it.
func (s *site) storesCodes(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "limits.yaml")
	ok(t, os.WriteFile(file, []byte("forward: {per_payment_fen: 10000, stored_total_fen: 50000, stored_count: 20, oldest_stop: 12h}\n"), 0o600))
	if out, code, err := s.Central(t.Context(), "policy", "publish", file); err != nil || code != 0 {
		t.Fatalf("publish: %d %v\n%s", code, err, out)
	}
	for _, till := range s.Tills {
		wait(t, "the policy is there", func() error {
			st, err := till.Status(t.Context())
			if err == nil && st.Room.ForwardMost != 100_00 {
				err = fmt.Errorf("%+v", st.Room)
			}
			return err
		})
	}
}

// oneCodeTwice shows one code to two tills without a network: one sale is charged, the other is told as the shop's loss.
func (s *site) oneCodeTwice(t *testing.T) error {
	t.Helper()
	s.online(t, true)
	s.storesCodes(t)
	w := must[*wallet.Wallet](t)(s.Wallet(t.Context(), "ICBC", 100_00))
	code := must[string](t)(w.Pass(t.Context()))
	before := must[pos.Money](t)(s.owed(t.Context()))
	s.online(t, false)
	var both []pos.Payment
	for _, till := range s.Tills {
		s.sales++
		key := fmt.Sprintf("attack-%d", s.sales)
		p := must[pos.Payment](t)(till.Pay(t.Context(), drill.Start{Key: key, OrderID: key, Amount: 10_00, Mode: pos.BScanC}))
		p = must[pos.Payment](t)(till.Do(t.Context(), p.ID, "code", map[string]string{"code": code}))
		if p.State != pos.Stored {
			t.Fatalf("payment is %s", p.State)
		}
		both = append(both, p)
	}
	s.online(t, true)
	var paid, lost []pos.Payment
	wait(t, "both have an end", func() error {
		paid, lost = nil, nil
		for i, p := range both {
			now, err := s.Tills[i].Payment(t.Context(), p.ID)
			switch {
			case err != nil:
				return err
			case now.State == pos.Paid:
				paid = append(paid, now)
			case now.Lost():
				lost = append(lost, now)
			default:
				return fmt.Errorf("payment is %s", now.State)
			}
		}
		return nil
	})
	if len(paid) != 1 || len(lost) != 1 {
		t.Errorf("%d are paid, %d lost", len(paid), len(lost))
		return nil
	}
	s.toldOf(t, lost[0])
	wait(t, "the books have it once", func() error {
		now, err := s.owed(t.Context())
		if err == nil && now-before != 10_00 {
			err = fmt.Errorf("the merchant is owed %s more", now-before)
		}
		return err
	})
	return found(lost[0].Reason)
}

// owed is what the merchant is to get.
func (s *site) owed(ctx context.Context) (pos.Money, error) {
	l, err := s.Ledger(ctx)
	return -l.Balance("merchant:M100"), err
}
