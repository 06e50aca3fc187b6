package kills_test

import (
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/pos"
)

// clerk is a person at the centre's console.
type clerk struct {
	*shop
	*drill.Clerk
}

// clerk signs in with an account of this role.
func (s *shop) clerk(role string) *clerk {
	s.t.Helper()
	c, err := s.SignIn(s.t.Context(), role)
	s.must(err)
	return &clerk{s, c}
}

var field = regexp.MustCompile(`name="(csrf|institution|wallet)" value="([^"]*)"`)

// form fills in what a page's last form on a wallet holds.
func (c *clerk) form(more ...string) url.Values {
	c.t.Helper()
	page, err := c.Page(c.t.Context(), "wallets?lang=en")
	c.must(err)
	v := url.Values{}
	for _, f := range field.FindAllStringSubmatch(page, -1) {
		v.Set(f[1], html.UnescapeString(f[2]))
	}
	if v.Get("wallet") == "" {
		c.t.Fatalf("no wallet can be worked on:\n%s", page)
	}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// dies kills the centre after a moment, and starts it anew.
func (s *shop) dies(after time.Duration) {
	s.t.Helper()
	time.Sleep(after) // the moment of the blow is the point
	s.must(s.Centre.Kill())
	s.must(s.StartCentre(s.t.Context()))
}

// linked waits until every till sees the link as it is.
func (s *shop) linked(on bool) {
	s.t.Helper()
	if on {
		s.must(s.Link.Restore())
	} else {
		s.must(s.Link.Cut())
	}
	for _, till := range s.Tills {
		s.eventually("link", func() error {
			st, err := till.Status(s.t.Context())
			if err == nil && (st.Connected != on || st.Outbox.Receipted == 0) {
				err = fmt.Errorf("connected %t, outbox %+v", st.Connected, st.Outbox)
			}
			return err
		})
	}
}

// promise takes an offline payment at a till by what sign makes of its challenge.
func (s *shop) promise(till *drill.Till, fen pos.Money, sign func(string, time.Time) (string, error)) (pos.Payment, error) {
	s.t.Helper()
	s.sales++
	key := fmt.Sprintf("promise-%d", s.sales)
	p, err := till.Pay(s.t.Context(), drill.Start{Key: key, OrderID: key, Amount: fen, Mode: pos.Evidence})
	if err != nil {
		return p, err
	}
	text, err := till.Challenge(s.t.Context(), p.ID)
	if err != nil {
		return p, err
	}
	answer, err := sign(text, time.Now())
	s.must(err)
	return till.Do(s.t.Context(), p.ID, "evidence", map[string]string{"evidence": answer})
}

// A wallet spends one counter at two tills without a network, and more than its class allows at both together. The
// centre, killed at every step, finds both; the till that took the second is told; two people revoke the wallet
// at the console, and a till that is online refuses it within seconds. Everything comes true once.
func TestOneCounterAtTwoTillsUntilTheWalletIsRevoked(t *testing.T) {
	s := openWith(t, 2)
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 41))
	moment := func() time.Duration { return time.Duration(random.IntN(600)) * time.Millisecond }
	file := filepath.Join(t.TempDir(), "limits.yaml")
	s.must(os.WriteFile(file, []byte("tiers: [{class: 4, single_fen: 200000, day_fen: 2500}]\n"), 0o600))
	if out, code, err := s.Central(t.Context(), "policy", "publish", file); err != nil || code != 0 {
		t.Fatalf("publish: %d %v\n%s", code, err, out)
	}
	for _, till := range s.Tills {
		s.eventually("policy", func() error {
			st, err := till.Status(t.Context())
			if err == nil && st.Rules.Version != 2 {
				err = fmt.Errorf("version %d", st.Rules.Version)
			}
			return err
		})
	}
	s.linked(true)
	s.linked(false)
	var both []pos.Payment
	for i, sign := range []func(string, time.Time) (string, error){s.wallet.Answer, s.wallet.DoubleSpend} {
		p, err := s.promise(s.Tills[i], []pos.Money{10_00, 20_00}[i], sign)
		s.must(err)
		if p.State != pos.AcceptedEvidence {
			t.Fatalf("payment is %s", p.State)
		}
		both = append(both, p)
	}
	s.must(s.Link.Restore())
	s.dies(moment())
	s.dies(moment())
	conflict, credited := s.ends(both)
	s.eventually("the till is told", func() error {
		for _, till := range s.Tills {
			st, err := till.Status(t.Context())
			if err != nil {
				return err
			}
			for _, n := range st.Notices {
				if n.Payment == conflict.ID && strings.Contains(n.Text.EN, "conflict") && strings.Contains(n.Text.ZH, "凭证冲突") {
					return nil
				}
			}
		}
		return errors.New("no notice of the conflict")
	})
	s.dies(0)

	operator, approver := s.clerk("operator"), s.clerk("approver")
	page, err := operator.Page(operator.t.Context(), "wallets?lang=en")
	s.must(err)
	for word, times := range map[string]int{"in suspense: a person decides": 1, "credited to the merchant": 1, "24 hours": 1, "25.00": 1, "30.00": 1} {
		if strings.Count(page, word) != times {
			t.Errorf("the page has %q %d times, want %d:\n%s", word, strings.Count(page, word), times, page)
		}
	}
	proposal := operator.form("reason", "one counter, two tills")
	s.must(operator.Post(s.t.Context(), "wallets/propose", proposal))
	s.dies(0)
	proposal.Set("answer", "confirm")
	if err := operator.Post(s.t.Context(), "wallets/decide", proposal); err == nil {
		t.Error("one person alone has revoked it")
	}
	confirm := approver.form("answer", "confirm")
	s.must(approver.Post(s.t.Context(), "wallets/decide", confirm))
	began := time.Now()
	s.dies(0)
	taken := s.refusedSoon()
	t.Logf("a till that is online refuses the wallet %s after the second person's yes, with the centre killed in between", time.Since(began).Round(time.Millisecond))
	if err := approver.Post(s.t.Context(), "wallets/decide", confirm); err == nil {
		t.Error("it was confirmed twice")
	}

	s.linked(true)
	s.receipted()
	s.eventually("the books", func() error {
		l, err := s.Ledger(t.Context())
		if err != nil {
			return err
		}
		_, twice := l.ByKey()
		owed, held := l.Balance("merchant:M100"), l.Balance("suspense:conflict:"+conflict.Terminal)
		if !l.Balanced || len(twice) > 0 || owed != -credited.Amount-taken || held != -conflict.Amount {
			return fmt.Errorf("balanced %t, twice %v, merchant %s (want %s), in suspense %s", l.Balanced, twice, owed, credited.Amount+taken, held)
		}
		return nil
	})
}

// ends waits until one of the payments is credited and the other in conflict.
func (s *shop) ends(both []pos.Payment) (conflict, credited pos.Payment) {
	s.t.Helper()
	s.eventually("ends", func() error {
		for i, p := range both {
			now, err := s.Tills[i].Payment(s.t.Context(), p.ID)
			switch {
			case err != nil:
				return err
			case now.State == pos.Conflict:
				conflict = now
			case now.State == pos.Credited:
				credited = now
			default:
				return fmt.Errorf("payment is %s", now.State)
			}
		}
		if conflict.ID == credited.ID || conflict.ID.IsZero() || credited.ID.IsZero() {
			s.t.Fatalf("credited %s, in conflict %s", credited.ID, conflict.ID)
		}
		return nil
	})
	return conflict, credited
}

// refusedSoon offers the wallet's signature to the first till, which is online in between, until it is refused as
// revoked; it gives what was taken before.
func (s *shop) refusedSoon() (taken pos.Money) {
	s.t.Helper()
	for n := range 8 { // a till takes ten promises of one wallet
		time.Sleep(200 * time.Millisecond << n) // news comes on the road
		s.linked(false)
		p, err := s.promise(s.Tills[0], 1, s.wallet.Answer)
		s.linked(true)
		switch {
		case err == nil && p.State == pos.AcceptedEvidence:
			taken++
		case drill.CodeOf(err) == pos.ErrWalletRevoked:
			return taken
		default:
			s.t.Fatalf("payment is %s: %v", p.State, err)
		}
	}
	s.t.Fatal("the revocation does not come")
	return taken
}
