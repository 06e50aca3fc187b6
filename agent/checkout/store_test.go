package checkout_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/offline"
	"dcpos/pos"
)

// onDisk is the real journal as the checkout wants it.
type onDisk struct{ *offline.Store }

func (d onDisk) Payments(ctx context.Context, q checkout.Query) ([]pos.Payment, error) {
	return d.Store.Payments(ctx, offline.Query(q))
}

// openDisk makes a real journal of the shop's terminal.
func openDisk(tb testing.TB, shop *checkouttest.Shop) (offline.Config, *offline.Store) {
	tb.Helper()
	key, err := shop.Suite.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	config := offline.Config{
		Path: filepath.Join(tb.TempDir(), "journal.db"), Signer: key, Env: pos.Lab, Terminal: checkouttest.Terminal,
	}
	at := shop.Clock.Instant()
	store, err := offline.Create(tb.Context(), config, pos.EpochOpened{
		Reason: pos.EpochEnrolled, Suite: shop.Suite.Name(), PublicKey: key.Public(), Merchant: checkouttest.Merchant, Store: "S1",
	}, 1, at, pos.DateOf(time.UnixMilli(at.WallMS), 0))
	if err != nil {
		tb.Fatal(err)
	}
	return config, store
}

// BenchmarkSale is one sale by payment code on the real journal, the centre answering
// at once: three entries, each on the disk before the next step; with receipt=always a
// fourth in the last one's transaction. What it takes to print is not counted.
func BenchmarkSale(b *testing.B) {
	for _, policy := range []checkout.Policy{checkout.PrintAsk, checkout.PrintAlways} {
		b.Run("receipt="+string(policy), func(b *testing.B) { benchmarkSale(b, policy) })
	}
}

func benchmarkSale(b *testing.B, policy checkout.Policy) {
	b.Helper()
	shop := checkouttest.NewShop(b)
	_, store := openDisk(b, shop)
	till, stop := shop.Start(b, func(c *checkout.Config) { c.Journal, c.Receipt = onDisk{store}, policy })
	defer func() {
		stop()
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	}()
	n := 0
	for b.Loop() {
		n++
		p, err := till.Start(b.Context(), checkout.Request{
			Caller: "c", Key: strconv.Itoa(n), OrderID: strconv.Itoa(n), OrderAmount: 100, Amount: 100, Mode: pos.BScanC,
		})
		if err != nil {
			b.Fatal(err)
		}
		if p, err = till.SubmitCode(b.Context(), p.ID, checkouttest.Code(n)); err != nil || p.State != pos.Paid {
			b.Fatal(p.State, err)
		}
		b.StopTimer() // the next customer comes when the paper is out
		for owed := policy == checkout.PrintAlways; owed; {
			list, err := till.PrintJobs(b.Context(), true, 0)
			if err != nil {
				b.Fatal(err)
			}
			owed = len(list) > 0
		}
		b.StartTimer()
	}
}

func TestOnTheRealJournal(t *testing.T) {
	shop := checkouttest.NewShop(t)
	config, store := openDisk(t, shop)
	var err error
	disk := func(c *checkout.Config) { c.Journal, c.Timing.Query = onDisk{store}, 20*time.Millisecond }
	till, stop := shop.Start(t, disk)
	b := &bench{T: t, Shop: shop, till: till}
	paid := b.paid("o1")
	if _, r, err := till.Refund(t.Context(), refund(paid, "r1", 400)); err != nil || r.State != pos.RefundRefunded {
		t.Fatalf("%s %v", r.State, err)
	}
	again := b.request(pos.BScanC, "o1")
	again.Key = paid.Key
	if p, err := till.Start(t.Context(), again); err != nil || p.ID != paid.ID {
		t.Fatalf("%s %v", p.ID, err)
	}
	shown := b.start(pos.CScanB, "o2")
	if _, err := till.Present(t.Context(), shown.ID); err != nil {
		t.Fatal(err)
	}
	b.Host.SetFates(func(string) checkouttest.Fate { return checkouttest.LostAfter })
	lost := b.start(pos.BScanC, "o3")
	if p, err := till.SubmitCode(t.Context(), lost.ID, checkouttest.Code(1)); err != nil || p.State != pos.Unknown {
		t.Fatalf("%s %v", p.State, err)
	}
	taken := b.offline("o4")
	if p, err := till.SubmitEvidence(t.Context(), taken.ID, b.promise(b.NewWallet(t), taken.ID)); err != nil || p.State != pos.AcceptedEvidence {
		t.Fatalf("%s %v", p.State, err)
	}
	if _, r, err := till.Refund(t.Context(), refund(paid, "r2", 100)); err != nil || r.State != pos.RefundIntent {
		t.Fatalf("%s %v", r.State, err)
	}
	stop()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	b.Host.SetFates(nil)
	if store, err = offline.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	b.till, stop = shop.Start(t, disk)
	defer stop()
	if p := b.want(shown.ID, pos.Asking); p.QR == "" {
		t.Fatal("the QR is lost")
	}
	b.Host.Settle(shown.ID, pos.Paid)
	b.Host.Connect(true)
	for _, id := range []pos.PaymentID{shown.ID, lost.ID} {
		until(t, func() bool { p, err := b.till.Payment(t.Context(), id); return err == nil && p.State == pos.Paid })
	}
	until(t, func() bool { p, _ := b.till.Payment(t.Context(), paid.ID); return p.Refunded() == 500 })
	s, err := b.till.Status(t.Context())
	if err != nil || s.Outbox.Money.Count != 1 || s.Outbox.Money.Total != 1000 {
		t.Fatalf("%+v %v", s.Outbox, err)
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
	}
}

// A payment code is used once: whatever became of it, and after a restart too, it takes
// no money for another payment, and the centre is not even asked.
func TestAUsedCodeStaysUsed(t *testing.T) {
	for _, tc := range []struct {
		name string
		fate checkouttest.Fate
	}{
		{"paid", checkouttest.Answered},
		{"declined", checkouttest.Denied},
		{"the answer was lost", checkouttest.LostAfter},
		{"provably never sent", checkouttest.NotSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shop := checkouttest.NewShop(t)
			config, store := openDisk(t, shop)
			disk := func(c *checkout.Config) { c.Journal = onDisk{store} }
			till, stop := shop.Start(t, disk)
			b := &bench{T: t, Shop: shop, till: till}
			b.Host.SetFates(func(string) checkouttest.Fate { return tc.fate })
			first := b.start(pos.BScanC, "o1")
			if _, err := till.Scan(t.Context(), checkouttest.Code(7), "]Q1"); err != nil {
				t.Fatal(err)
			}
			stop()
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if store, err = offline.Open(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			b.till, stop = shop.Start(t, disk)
			b.Host.SetFates(nil)
			asked := b.Host.Asked("pay")
			second := b.start(pos.BScanC, "o2")
			_, err = b.till.Scan(t.Context(), checkouttest.Code(7), "]Q1")
			code(t, err, pos.ErrCodeUsed)
			b.want(second.ID, pos.Created)
			if n := b.Host.Asked("pay"); n != asked || b.Host.Pays(second.ID) != 0 || b.Host.Pays(first.ID) > 1 {
				t.Errorf("the centre was asked %d times more", n-asked)
			}
			stop()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
