package attacks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// site is a shop of two tills, in Beijing and in Shenzhen, with their centre and the institutions, all programs.
type site struct {
	*drill.Site
	sales int
}

// openSite builds one shop for all attacks on whole programs, when it is needed.
func openSite(t *testing.T) func() *site {
	t.Helper()
	return sync.OnceValue(func() *site {
		s := must[*drill.Site](t)(drill.Open(context.WithoutCancel(t.Context()), drill.SiteOptions{
			Bin: testbin.Dir(t), Dir: t.TempDir(), Tills: 2, Places: [][2]float64{{39.9145, 116.4104}, {22.5484, 114.1315}},
		}))
		t.Cleanup(func() { ok(t, s.Close()) })
		return &site{Site: s}
	})
}

// sites are attacks on whole programs.
func sites(open func() *site) []attack {
	return []attack{
		{"T1", "one counter spent at two tills without a network", "conflict", func(t *testing.T) error { t.Helper(); return open().twoTills(t) }},
		{"T11", "a wallet relayed to another city within minutes, which no till can know: paid, and told to people", "journey", func(t *testing.T) error { t.Helper(); return open().relayed(t) }},
		{"T9", "a wallet that was revoked a moment ago, at a till that was online", string(pos.ErrWalletRevoked), func(t *testing.T) error { t.Helper(); return open().revoked(t, true) }},
		{"T9", "a wallet that was revoked while the till was away, at its next contact", string(pos.ErrWalletRevoked), func(t *testing.T) error { t.Helper(); return open().revoked(t, false) }},
	}
}

// online cuts the link or restores it, and waits until both tills have seen it.
func (s *site) online(t *testing.T, on bool) {
	t.Helper()
	if on {
		ok(t, s.Link.Restore())
	} else {
		s.receipted(t)
		ok(t, s.Link.Cut())
	}
	for _, till := range s.Tills {
		wait(t, "the link is seen", func() error {
			st, err := till.Status(t.Context())
			if err == nil && st.Connected != on {
				err = fmt.Errorf("connected %t", st.Connected)
			}
			return err
		})
	}
}

// receipted waits until the centre has spoken to every till: a till that was never told the
// time takes nothing without it.
func (s *site) receipted(t *testing.T) {
	t.Helper()
	for _, till := range s.Tills {
		wait(t, "everything is receipted", func() error {
			st, err := till.Status(t.Context())
			if err == nil && (st.Outbox.Unsent > 0 || st.Outbox.Receipted == 0) && st.Connected {
				err = fmt.Errorf("outbox %+v", st.Outbox)
			}
			return err
		})
	}
}

// wait waits until f has no complaint.
func wait(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = f(); last == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, last)
}

// offer starts an offline payment and shows the wallet's answer.
func (s *site) offer(t *testing.T, till *drill.Till, fen pos.Money, sign func(string, time.Time) (string, error)) (pos.Payment, error) {
	t.Helper()
	s.sales++
	key := fmt.Sprintf("attack-%d", s.sales)
	p, err := till.Pay(t.Context(), drill.Start{Key: key, OrderID: key, Amount: fen, Mode: pos.Evidence})
	ok(t, err)
	text, err := till.Challenge(t.Context(), p.ID)
	if err != nil {
		return p, err
	}
	answer, err := sign(text, time.Now())
	ok(t, err)
	return till.Do(t.Context(), p.ID, "evidence", map[string]string{"evidence": answer})
}

// relayed has one wallet pay, in Beijing and in Shenzhen, within minutes, each payment honestly signed. No till can know:
// both are paid, and people are told of it. Of a wallet that stayed in Beijing nobody is told.
func (s *site) relayed(t *testing.T) error {
	t.Helper()
	relayed := must[*wallet.Wallet](t)(s.Wallet(t.Context(), "ICBC", 1000_00))
	stays := must[*wallet.Wallet](t)(s.Wallet(t.Context(), "ICBC", 1000_00))
	s.online(t, false)
	type sale struct {
		till *drill.Till
		pos.Payment
	}
	var sales []sale
	for n, w := range []*wallet.Wallet{stays, relayed, stays, relayed} {
		till := s.Tills[n/3] // the last one in Shenzhen
		sales = append(sales, sale{till, must[pos.Payment](t)(s.offer(t, till, 10_00, w.Answer))})
	}
	s.online(t, true)
	for _, sold := range sales {
		wait(t, "the money is credited", func() error {
			now, err := sold.till.Payment(t.Context(), sold.ID)
			if err == nil && now.State != pos.Credited {
				err = fmt.Errorf("payment is %s", now.State)
			}
			return err
		})
	}
	clerk := must[*drill.Clerk](t)(s.SignIn(t.Context(), "viewer"))
	for lang, heading := range map[string]string{"zh": "行程不可能的钱包", "en": "Wallets at two places at once"} {
		page := must[string](t)(clerk.Page(t.Context(), "wallets?lang="+lang))
		_, told, _ := strings.Cut(page, heading)
		if !strings.Contains(told, s.serialOf(t, relayed)) || !strings.Contains(told, "<b>1942 km</b>") || strings.Contains(told, s.serialOf(t, stays)) {
			t.Errorf("people are told:\n%s", page)
			return nil
		}
	}
	return found("journey")
}

func (s *site) twoTills(t *testing.T) error {
	t.Helper()
	w := must[*wallet.Wallet](t)(s.Wallet(t.Context(), "ICBC", 1000_00))
	s.online(t, false)
	first, err := s.offer(t, s.Tills[0], 10_00, w.Answer)
	ok(t, err)
	second, err := s.offer(t, s.Tills[1], 20_00, w.DoubleSpend)
	ok(t, err)
	s.online(t, true)
	states := map[pos.State]int{}
	var credited, conflict pos.Payment
	wait(t, "both are decided", func() error {
		clear(states)
		for i, p := range []pos.Payment{first, second} {
			now, err := s.Tills[i].Payment(t.Context(), p.ID)
			if err != nil {
				return err
			}
			states[now.State]++
			if now.State == pos.Credited {
				credited = now
			} else {
				conflict = now
			}
		}
		if states[pos.AcceptedEvidence] > 0 {
			return fmt.Errorf("%v", states)
		}
		return nil
	})
	if states[pos.Credited] != 1 || states[pos.Conflict] != 1 {
		t.Errorf("%v: want one credited, one in conflict", states)
		return nil
	}
	s.toldOf(t, conflict)
	l := must[drill.Ledger](t)(s.Ledger(t.Context()))
	if got := l.Balance("merchant:M100"); !l.Balanced || got != -credited.Amount {
		t.Errorf("the merchant is owed %d, credited is %d", -got, credited.Amount)
	}
	return found(conflict.State)
}

// toldOf waits until the till that took a payment shows what became of it, in two languages.
func (s *site) toldOf(t *testing.T, p pos.Payment) {
	t.Helper()
	wait(t, "the till tells of payment "+p.ID.String(), func() error {
		var notices []any
		for _, till := range s.Tills {
			st, err := till.Status(t.Context())
			if err != nil {
				return err
			}
			for _, n := range st.Notices {
				if n.Payment == p.ID && n.Text.ZH != "" && n.Text.EN != "" {
					return nil
				}
				notices = append(notices, n)
			}
		}
		return fmt.Errorf("notices %+v", notices)
	})
}

// revoked revokes a wallet while the tills are online or away, and offers its signature to
// a till without a network once the till can know.
func (s *site) revoked(t *testing.T, online bool) error {
	t.Helper()
	w := must[*wallet.Wallet](t)(s.Wallet(t.Context(), "ICBC", 1000_00))
	s.online(t, online)
	ok(t, s.Revoke(t.Context(), w))
	began := time.Now()
	// The list is no part of what a till shows: it is tried, nine times at the most, for a
	// till takes ten promises of one wallet.
	refusal := errors.New("never offered")
	for n := range 9 {
		s.online(t, true)
		pause(t, 250*time.Millisecond<<n) // news comes on the road
		s.online(t, false)
		var p pos.Payment
		if p, refusal = s.offer(t, s.Tills[0], 1, w.Answer); refusal != nil {
			break
		}
		if p.State != pos.AcceptedEvidence {
			t.Fatalf("payment is %s", p.State)
		}
	}
	t.Logf("known at the till %v after the revocation", time.Since(began).Round(time.Millisecond))
	s.online(t, true)
	if refusal == nil {
		return nil
	}
	return found(drill.CodeOf(refusal))
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
