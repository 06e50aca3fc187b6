package power_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/lab/forgetfs"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// counter is a running till on a disk that can be made ill, with a wallet, and no network.
type counter struct {
	t      *testing.T
	site   *drill.Site
	till   *drill.Till
	wallet *wallet.Wallet
	sales  int
}

func openCounter(t *testing.T) *counter {
	t.Helper()
	s, err := drill.Open(t.Context(), drill.SiteOptions{Bin: programs(t), Dir: t.TempDir(), Forgetful: true, Seed: *seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := s.Wallet(t.Context(), "ICBC", 10_000_00)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, site: s, till: s.Tills[0], wallet: w}
	c.eventually("the centre has told the time", func() error {
		st, err := c.till.Status(t.Context())
		if err == nil && (st.Outbox.Unsent > 0 || st.Outbox.Receipted == 0) {
			err = fmt.Errorf("outbox %+v", st.Outbox)
		}
		return err
	})
	ok(t, s.Link.Cut())
	c.eventually("offline", func() error {
		st, err := c.till.Status(t.Context())
		if err == nil && st.Connected {
			err = errors.New("still connected")
		}
		return err
	})
	return c
}

func (c *counter) eventually(what string, f func() error) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sale takes one fen by a wallet's signature.
func (c *counter) sale(ctx context.Context) (p pos.Payment, err error) {
	c.sales++
	key := fmt.Sprintf("sale-%d", c.sales)
	if p, err = c.till.Pay(ctx, drill.Start{Key: key, OrderID: key, Amount: 1, Mode: pos.Evidence}); err != nil {
		return p, err
	}
	text, err := c.till.Challenge(ctx, p.ID)
	if err != nil {
		return p, err
	}
	answer, err := c.wallet.Answer(text, time.Now())
	if err != nil {
		return p, err
	}
	return c.till.Do(ctx, p.ID, "evidence", map[string]string{"evidence": answer})
}

func (c *counter) sell() pos.Payment {
	c.t.Helper()
	p, err := c.sale(c.t.Context())
	if err != nil || p.State != pos.AcceptedEvidence {
		c.t.Fatalf("payment is %q: %v", p.State, err)
	}
	return p
}

// A disk that fails stops sales at once and says so; when it is well the till sells on by
// itself, and what it had accepted is still there after a power cut.
func TestATillHealsByItselfWhenItsDiskIsWell(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	var accepted []pos.Payment
	for name, fault := range map[string]func(forgetfs.Status) forgetfs.Faults{
		"a full disk":      func(forgetfs.Status) forgetfs.Faults { return forgetfs.Faults{Full: true} },
		"a read-only disk": func(forgetfs.Status) forgetfs.Faults { return forgetfs.Faults{ReadOnly: true} },
		"one failed fsync": func(st forgetfs.Status) forgetfs.Faults {
			return forgetfs.Faults{FailSync: st.Syncs + 1, StaleOnSyncError: true}
		},
		"one dropped fsync": func(st forgetfs.Status) forgetfs.Faults {
			return forgetfs.Faults{FailSync: st.Syncs + 1, DropOnSyncError: true}
		},
	} {
		accepted = append(accepted, c.sell())
		st, err := c.till.Disk.Status()
		ok(t, err)
		ill := fault(st)
		ok(t, c.till.Disk.SetFaults(ill))
		if p, err := c.sale(t.Context()); err == nil {
			t.Errorf("%s: payment is %s", name, p.State)
		}
		if ill.FailSync == 0 { // it lasts
			c.eventually(name+" is told", func() error {
				s, err := c.till.Status(t.Context())
				if err == nil && !s.Finding("storage") {
					err = fmt.Errorf("findings %+v", s.Findings)
				}
				return err
			})
		}
		ok(t, c.till.Disk.SetFaults(forgetfs.Faults{}))
		c.eventually(name+" is over", func() error {
			p, err := c.sale(t.Context())
			if err == nil {
				accepted = append(accepted, p)
			}
			return err
		})
		if s, err := c.till.Status(t.Context()); err != nil || s.Finding("storage") {
			t.Errorf("%s is over, and the till says %+v %v", name, s.Findings, err)
		}
	}
	ok(t, c.till.Disk.Cut())
	_ = c.till.Kill() // it may have ended by itself
	ok(t, c.till.Disk.Remount(t.Context()))
	ok(t, c.till.Restart(t.Context()))
	for _, was := range accepted {
		if p, err := c.till.Payment(t.Context(), was.ID); err != nil || p.State != pos.AcceptedEvidence {
			t.Errorf("payment %s was accepted and is %q: %v", was.ID, p.State, err)
		}
	}
	ok(t, c.site.Link.Restore())
	c.eventually("every payment arrives once", func() error { return c.credited(accepted) })
}

// credited tells what of the payments is not in the ledger yet, exactly once.
func (c *counter) credited(payments []pos.Payment) error {
	l, err := c.site.Ledger(c.t.Context())
	if err != nil {
		return err
	}
	all, twice := l.ByKey()
	if len(twice) > 0 {
		c.t.Fatalf("twice in the ledger: %v", twice)
	}
	for _, p := range payments {
		if all["credited:"+p.ID.String()].On("receivable:ICBC") != p.Amount {
			return fmt.Errorf("payment %s is not credited", p.ID)
		}
	}
	return nil
}

// While a commit waits five seconds for its fsync, whoever looks at the till sees it at once.
func TestASlowDiskBlocksNoScreen(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	c.sell()
	ok(t, c.till.Disk.SetFaults(forgetfs.Faults{StallPercent: 100, StallMillis: 5000}))
	sold := make(chan error, 1)
	go func() {
		_, err := c.till.Pay(t.Context(), drill.Start{Key: "slow", OrderID: "slow", Amount: 1, Mode: pos.Evidence})
		sold <- err
	}()
	st, err := c.till.Disk.Status()
	ok(t, err)
	c.eventually("the commit waits", func() error {
		now, err := c.till.Disk.Status()
		if err == nil && now.Syncs == st.Syncs {
			err = errors.New("no fsync yet")
		}
		return err
	})
	for range 20 {
		_, err := c.till.Status(t.Context())
		ok(t, err)
	}
	select {
	case err := <-sold:
		t.Errorf("twenty looks took longer than the commit that stalls for five seconds (%v)", err)
	default:
	}
	ok(t, c.till.Disk.SetFaults(forgetfs.Faults{}))
	ok(t, <-sold)
	c.measure(forgetfs.Faults{SyncMillis: 50, StallPercent: 5, StallMillis: 2000})
}

// measure sells on a slow disk and logs how long looks and sales take meanwhile.
func (c *counter) measure(slow forgetfs.Faults) {
	c.t.Helper()
	ok(c.t, c.till.Disk.SetFaults(slow))
	ctx, stop := context.WithCancel(c.t.Context())
	looks := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := c.till.Status(ctx); err != nil {
				break
			}
			took = append(took, time.Since(began))
		}
		looks <- took
	}()
	var sales []time.Duration
	for range 5 {
		began := time.Now()
		c.sell()
		sales = append(sales, time.Since(began))
	}
	stop()
	took := <-looks
	slices.Sort(took)
	slices.Sort(sales)
	c.t.Logf("fsync 50 ms, one in twenty 2 s: %d looks at the till, median %v, p99 %v, longest %v; a sale takes %v, the slowest %v",
		len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond),
		sales[len(sales)/2].Round(time.Millisecond), sales[len(sales)-1].Round(time.Millisecond))
}
