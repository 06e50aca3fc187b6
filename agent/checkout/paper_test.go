package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var labFont = sync.OnceValues(func() (*device.Font, error) { return device.OpenFont("") })

var errDead = errors.New("the machine is off")

// drill is a till on the real journal, the real driver and a modelled printer, which
// loses power at a chosen step, again and again. Journal, paper and centre stay.
type drill struct {
	*testing.T
	*checkouttest.Shop
	rng     *rand.Rand
	config  offline.Config
	store   *offline.Store
	model   *device.Printer
	profile profiles.Printer
	kiosk   bool // nobody is there to ask
	deaf    bool // nothing tells that the printer is ready

	till   *checkout.Till
	halt   func()
	ready  chan struct{}
	dead   atomic.Bool
	writes atomic.Int64 // the journal dies when it has counted down
	after  atomic.Bool  // and then after the commit, not before it
	codes  int
	bytes  atomic.Int64 // the line dies when it has counted down

	mu     sync.Mutex
	driver *escpos.Printer
	line   io.Closer
	served sync.WaitGroup
}

func (d *drill) die() {
	d.dead.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.line != nil {
		_ = d.line.Close()
	}
}

// mortal is the journal of a machine that loses power.
type mortal struct {
	onDisk
	d *drill
}

func (m mortal) Update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error) {
	n := m.d.writes.Add(-1)
	if n == 0 {
		m.d.die()
	}
	if m.d.dead.Load() {
		return nil, errDead
	}
	entries, err := m.onDisk.Update(ctx, decide)
	if n == 1 && m.d.after.Load() { // after the commit, before anybody hears of it
		m.d.die()
		return nil, errDead
	}
	return entries, err
}

func (m mortal) SetMeta(ctx context.Context, key, value string) error {
	if m.d.dead.Load() {
		return errDead
	}
	return m.onDisk.SetMeta(ctx, key, value)
}

// mortalLine stops in the middle of a write.
type mortalLine struct {
	io.ReadWriteCloser
	d *drill
}

func (l mortalLine) Write(b []byte) (int, error) {
	if l.d.dead.Load() {
		return 0, errDead
	}
	left := l.d.bytes.Add(-int64(len(b)))
	if left >= 0 || left < -int64(len(b)) {
		return l.ReadWriteCloser.Write(b)
	}
	n, _ := l.ReadWriteCloser.Write(b[:int64(len(b))+left])
	l.d.die()
	return n, errDead
}

// Print opens the printer where it is not open, as agent/devices does.
func (d *drill) Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	if d.dead.Load() {
		<-ctx.Done()
		return drivers.PrintResult{State: drivers.PrintCancelled}, ctx.Err()
	}
	d.mu.Lock()
	p := d.driver
	d.mu.Unlock()
	r, err := p.Print(ctx, job)
	if d.dead.Load() { // nobody is there to hear it
		<-ctx.Done()
	}
	return r, err
}

// plug opens the printer anew.
func (d *drill) plug() {
	d.mu.Lock()
	old := d.driver
	d.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	p := escpos.New(d.profile, func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		d.mu.Lock()
		d.line = dev
		d.mu.Unlock()
		d.served.Go(func() { _ = d.model.Serve(context.Background(), dev) })
		return transport.NewStream("memory", mortalLine{host, d}), nil
	}, escpos.Options{})
	ctx := context.Background()
	for _, step := range []func(context.Context) error{p.Open, p.Claim, p.Enable} {
		_ = step(ctx) // a printer that does not answer yet pauses its jobs
	}
	d.mu.Lock()
	d.driver = p
	d.mu.Unlock()
}

func (d *drill) power() {
	var err error
	if d.store, err = offline.Open(context.Background(), d.config); err != nil {
		d.Fatal(err)
	}
	d.dead.Store(false)
	d.writes.Store(1 << 40)
	d.bytes.Store(1 << 40)
	d.plug()
	d.ready = make(chan struct{}, 1)
	d.till, d.halt = d.Start(d.T, func(c *checkout.Config) {
		c.Journal, c.Printer, c.Receipt = mortal{onDisk{d.store}, d}, d, checkout.PrintAlways
		if c.PrinterReady = d.ready; d.deaf {
			c.PrinterReady = nil
		}
		if d.kiosk {
			c.Reprint = checkout.ReprintAuto
		}
	})
}

func (d *drill) off() {
	d.die()
	d.halt()
	d.mu.Lock()
	p := d.driver
	d.driver = nil
	d.mu.Unlock()
	_ = p.Close()
	if err := d.store.Close(); err != nil {
		d.Fatal(err)
	}
}

// spoil does something to the printer; mend takes it all back.
func (d *drill) spoil() {
	switch d.rng.IntN(6) {
	case 0, 1:
		d.model.SetPaperLeft(1 + d.rng.IntN(900))
	case 5:
		d.model.SetCover(true)
	case 2:
		d.model.SetStalled(true)
	case 3:
		d.model.SetSilent(true)
	case 4:
		d.mu.Lock()
		_ = d.line.Close()
		d.mu.Unlock()
	}
}

func (d *drill) mend() {
	d.model.SetPaper(true)
	d.model.SetCover(false)
	d.model.SetStalled(false)
	d.model.SetSilent(false)
	d.plug()
	select {
	case d.ready <- struct{}{}:
	default:
	}
}

// slips are the receipts on the strips of paper so far, also broken ones; a strip that was
// not cut holds several.
func (d *drill) slips() []string {
	var list []string
	for _, r := range d.model.Receipts() {
		slip, headed := "", false
		for _, line := range r.Lines {
			text := strings.Join(strings.Fields(line), " ") // big characters stand apart
			head := text == "测试 TEST"
			if slip != "" && (text == "补打 DUPLICATE" || head && headed) {
				list = append(list, slip)
				slip, headed = "", false
			}
			headed = headed || head
			slip += text + "\n"
		}
		list = append(list, slip)
	}
	return list
}

func (d *drill) of(p pos.Payment, state string) (whole, unmarked int) {
	for _, s := range d.slips() {
		if !strings.Contains(s, p.ID.Short()+"\n") || (state != "" && !strings.Contains(s, state)) {
			continue
		}
		if strings.Contains(s, "无任何价值") {
			whole++
		}
		if !strings.Contains(s, "补打 DUPLICATE") {
			unmarked++
		}
	}
	return whole, unmarked
}

// cashier looks at the paper and answers what is asked, truthfully.
func (d *drill) cashier() {
	list, err := d.till.PrintJobs(context.Background(), true, 0)
	if err != nil {
		d.Fatal(err)
	}
	if slices.ContainsFunc(list, func(j checkout.Print) bool { return j.State == pos.PrintSending }) {
		return // no hand at the paper while it moves
	}
	d.model.Tear()
	for _, j := range list {
		if !j.Ask {
			continue
		}
		p, err := d.till.Payment(context.Background(), j.Payment)
		if err != nil {
			d.Fatal(err)
		}
		whole, _ := d.of(p, j.Shows.Text().ZH)
		_, _ = d.till.AnswerPrint(context.Background(), "screen", j.ID, whole > 0) // a crash may take it
	}
}

// day sells and crashes, and afterwards looks at every paper.
func (d *drill) day(sales int) {
	var paid []pos.PaymentID
	for n := range sales {
		if d.rng.IntN(2) == 0 {
			d.after.Store(d.rng.IntN(2) == 0)
			d.writes.Store(int64(1 + d.rng.IntN(8)))
		}
		if d.rng.IntN(3) == 0 {
			d.bytes.Store(int64(d.rng.IntN(2500)))
		}
		if d.rng.IntN(3) > 0 {
			d.spoil()
		}
		order := fmt.Sprintf("o%d", n)
		p, err := d.till.Start(context.Background(), checkout.Request{
			Caller: "screen", Key: order, OrderID: order, OrderAmount: 1000, Amount: 1000, Mode: pos.BScanC, Operator: "7",
		})
		if err == nil {
			p, err = d.till.SubmitCode(context.Background(), p.ID, checkouttest.Code(n))
		}
		if err == nil && p.State == pos.Paid && !d.dead.Load() {
			paid = append(paid, p.ID)
		}
		time.Sleep(time.Duration(d.rng.IntN(20_000)) * time.Millisecond)
		if d.rng.IntN(2) == 0 {
			d.mend()
			time.Sleep(time.Duration(d.rng.IntN(5_000)) * time.Millisecond)
			d.cashier()
		}
		if d.dead.Load() {
			d.off()
			d.power()
		}
	}
	if !d.dead.Load() {
		d.die()
	}
	d.off()
	d.power()
	d.settle()
	d.check(paid)
}

// settle lets everything that is owed come out.
func (d *drill) settle() {
	for range 50 {
		d.mend()
		time.Sleep(10 * time.Second)
		d.cashier()
		time.Sleep(10 * time.Second)
		list, err := d.till.PrintJobs(context.Background(), true, 0)
		if err != nil {
			d.Fatal(err)
		}
		if len(list) == 0 {
			d.model.Tear()
			return
		}
	}
	list, _ := d.till.PrintJobs(context.Background(), true, 0)
	d.Fatalf("still owed: %+v", list)
}

func (d *drill) check(paid []pos.PaymentID) {
	jobs, err := d.till.PrintJobs(context.Background(), false, 1000)
	if err != nil {
		d.Fatal(err)
	}
	owed := map[pos.PaymentID]int{}
	for _, j := range jobs {
		owed[j.Payment]++
		if j.State != pos.PrintConfirmed && (j.State != pos.PrintUnknown || !d.kiosk) {
			d.Errorf("print job of %s is %s %s %s", j.Payment.Short(), j.State, j.Reason, j.Detail)
		}
		p, err := d.till.Payment(context.Background(), j.Payment)
		if err != nil {
			d.Fatal(err)
		}
		if whole, _ := d.of(p, j.Shows.Text().ZH); whole == 0 && j.State == pos.PrintConfirmed {
			d.Errorf("no whole receipt of %s as %s, which is %s:\n%s", p.ID.Short(), j.Shows, j.State, strings.Join(d.slips(), "=====\n"))
		}
		// A slip that broke off before its state counts too: all of them showed the same.
		if _, unmarked := d.of(p, ""); unmarked > 1 && j.Shows == pos.Paid {
			d.Errorf("%d receipts of %s are not marked:\n%s", unmarked, p.ID.Short(), strings.Join(d.slips(), "=====\n"))
		}
	}
	for _, id := range paid {
		if owed[id] == 0 {
			d.Errorf("payment %s owes no receipt", id.Short())
		}
	}
	if d.Failed() {
		entries, _ := d.store.Unsent(context.Background(), 0, 0, 1000, 1<<20)
		for _, e := range entries {
			if b, _ := dcep.Body(e); e.Kind == pos.KindPrint {
				d.Logf("%d %d %s %+v", e.Seq, e.At.WallMS, e.Payment.Short(), b)
			}
		}
	}
}

// inDrill runs a test in a bubble of its own time.
func inDrill(t *testing.T, seed uint64, change func(*drill), test func(d *drill)) {
	t.Helper()
	font, err := labFont() // outside: the bubble's clock must not wait for a disk
	if err != nil {
		t.Fatal(err)
	}
	profile, err := profiles.FindPrinter("epson-tm-t70ii-ch")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := &drill{T: t, Shop: checkouttest.NewShop(t), rng: rand.New(rand.NewPCG(seed, 1)), profile: profile} //nolint:gosec // repeatable
		if d.model, err = device.NewPrinter(device.PrinterOptions{Font: font, StartsWithoutChinese: true}); err != nil {
			t.Fatal(err)
		}
		change(d)
		var store *offline.Store
		d.config, store = openDisk(t, d.Shop)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		d.power()
		test(d)
		d.off()
		d.served.Wait()
		if r, err := offline.Verify(context.Background(), d.config.Path, offline.VerifyOptions{}); err != nil || !r.Projections {
			d.Errorf("journal: %+v %v", r, err)
		}
	})
}

func TestPowerGoesAtAnyStepOfAPrint(t *testing.T) {
	for seed := range uint64(12) { // each combination of these once
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inDrill(t, seed, func(d *drill) {
				d.kiosk, d.deaf, d.profile.Status.Resume = seed%4 == 1, seed%3 == 2, seed%2 == 0
			}, func(d *drill) { d.day(6) })
		})
	}
}

func (d *drill) sell(order string) pos.Payment {
	d.Helper()
	p, err := d.till.Start(context.Background(), checkout.Request{
		Caller: "screen", Key: order, OrderID: order, OrderAmount: 1000, Amount: 1000, Mode: pos.BScanC, Operator: "7",
	})
	if err == nil {
		d.codes++
		p, err = d.till.SubmitCode(context.Background(), p.ID, checkouttest.Code(d.codes))
	}
	if err != nil || p.State != pos.Paid {
		d.Fatalf("%s %v", p.State, err)
	}
	return p
}

func (d *drill) open() []checkout.Print {
	d.Helper()
	list, err := d.till.PrintJobs(context.Background(), true, 0)
	if err != nil {
		d.Fatal(err)
	}
	return list
}

// ask wants one job that waits for a person.
func (d *drill) asked(state pos.PrintState, reason string) checkout.Print {
	d.Helper()
	for _, j := range d.open() {
		if j.Ask {
			if j.State != state || j.Reason != reason || j.Hint.ZH == "" || j.Hint.EN == "" {
				d.Fatalf("%+v", j)
			}
			return j
		}
	}
	d.Fatalf("nothing is asked: %+v", d.open())
	return checkout.Print{}
}

// A printer that keeps the rest of a receipt goes on with it: nobody is asked.
func TestAReceiptGoesOnAfterANewRoll(t *testing.T) {
	inDrill(t, 1, func(*drill) {}, func(d *drill) {
		d.model.SetPaperLeft(600)
		first := d.sell("o1")
		time.Sleep(time.Second)
		second := d.sell("o2")
		time.Sleep(time.Second)
		list := d.open()
		if len(list) != 2 || list[0].State != pos.PrintSending || !strings.Contains(list[0].Text.ZH, "纸") || !strings.Contains(list[0].Hint.EN, "goes on") {
			d.Fatalf("%+v", list)
		}
		d.model.SetPaper(true)
		time.Sleep(20 * time.Second)
		for _, p := range []pos.Payment{first, second} {
			if whole, unmarked := d.of(p, "已支付"); whole != 1 || unmarked != 1 {
				d.Fatalf("%d whole, %d unmarked\n%s", whole, unmarked, strings.Join(d.slips(), "====\n"))
			}
		}
		if owed := d.open(); len(owed) != 0 {
			d.Fatalf("papers are owed: %+v", owed)
		}
	})
}

// One that does not keep it has begun a paper that is lost.
func TestPaperEndsInTheMiddle(t *testing.T) {
	for _, kiosk := range []bool{false, true} {
		t.Run(fmt.Sprintf("kiosk=%t", kiosk), func(t *testing.T) {
			inDrill(t, 1, func(d *drill) { d.kiosk, d.profile.Status.Resume = kiosk, false }, func(d *drill) {
				d.model.SetPaperLeft(600)
				first := d.sell("o1")
				time.Sleep(time.Second)
				second := d.sell("o2")
				time.Sleep(time.Second)
				if n := len(d.open()); n != 2 {
					d.Fatalf("%d papers are owed", n)
				}
				d.mend()
				time.Sleep(20 * time.Second)
				if !kiosk {
					j := d.asked(pos.PrintPaused, "paper")
					if whole, unmarked := d.of(first, ""); whole != 0 || unmarked != 1 {
						d.Fatalf("%d %d: printed before anybody was asked", whole, unmarked)
					}
					if whole, unmarked := d.of(second, "已支付"); whole != 1 || unmarked != 1 {
						d.Fatalf("%d %d: the next receipt waits for the answer to this one", whole, unmarked)
					}
					for range 2 { // the same word twice is one
						if j, err := d.till.AnswerPrint(context.Background(), "screen", j.ID, false); err != nil || j.State.Final() {
							d.Fatalf("%+v %v", j, err)
						}
					}
					time.Sleep(20 * time.Second)
				}
				for _, p := range []pos.Payment{first, second} {
					if whole, unmarked := d.of(p, ""); whole != 1 || unmarked != 1 {
						d.Fatalf("%d whole, %d unmarked\n%s", whole, unmarked, strings.Join(d.slips(), "====\n"))
					}
				}
				if n := len(d.open()); n != 0 {
					d.Fatalf("%d papers are owed", n)
				}
			})
		})
	}
}

func TestPowerGoesBeforeAnythingIsSent(t *testing.T) {
	inDrill(t, 1, func(*drill) {}, func(d *drill) {
		d.model.SetCover(true)
		p := d.sell("o1")
		time.Sleep(time.Second)
		d.off()
		d.power()
		if list := d.open(); len(list) != 1 || list[0].Ask || list[0].Reason != "cover" {
			d.Fatalf("%+v", list)
		}
		d.mend()
		time.Sleep(20 * time.Second)
		if whole, unmarked := d.of(p, "已支付"); whole != 1 || unmarked != 1 {
			d.Fatalf("%d whole, %d unmarked", whole, unmarked)
		}
	})
}

func TestPowerGoesWhileItPrints(t *testing.T) {
	for _, kiosk := range []bool{false, true} {
		t.Run(fmt.Sprintf("kiosk=%t", kiosk), func(t *testing.T) {
			inDrill(t, 1, func(d *drill) { d.kiosk = kiosk }, func(d *drill) {
				d.bytes.Store(700)
				p := d.sell("o1")
				time.Sleep(time.Second)
				if !d.dead.Load() {
					d.Fatal("the power is still there")
				}
				d.off()
				d.power()
				time.Sleep(20 * time.Second)
				if !kiosk {
					j := d.asked(pos.PrintUnknown, "")
					d.off() // the question outlives another stop
					d.power()
					if j, err := d.till.AnswerPrint(context.Background(), "screen", j.ID, false); err != nil || j.State == pos.PrintConfirmed {
						d.Fatalf("%+v %v", j, err)
					}
					time.Sleep(20 * time.Second)
				}
				if whole, unmarked := d.of(p, ""); whole != 1 || unmarked != 0 && unmarked != 1 {
					d.Fatalf("%d whole, %d unmarked", whole, unmarked)
				}
				if last := d.slips()[len(d.slips())-1]; !strings.Contains(last, "补打 DUPLICATE") || len(d.open()) != 0 {
					d.Fatalf("%s\n%+v", last, d.open())
				}
			})
		})
	}
}
