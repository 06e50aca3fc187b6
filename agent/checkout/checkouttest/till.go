package checkouttest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/clock"
	"dcpos/agent/kernel"
	"dcpos/agent/operator"
	"dcpos/drivers"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Terminal and Merchant are those of every till of a Shop.
const (
	Terminal = "T1"
	Merchant = "M1"
)

// Shop is what outlives a till: its journal, its centre, its devices, its clock.
type Shop struct {
	Journal *Journal
	Host    *Host
	Printer *Printer
	Staff   *Staff
	Clock   *clock.Clock
	Trust   dcep.Trust
	Kernel  *kernel.NFC
	Suite   dcep.Suite

	shift            atomic.Int64
	root, bank       dcep.Signer
	rootDER, bankDER []byte
}

// NewShop makes a shop of the lab. In a synctest bubble its clock is the bubble's.
func NewShop(tb testing.TB) *Shop {
	tb.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	must(tb, err)
	s := &Shop{Journal: NewJournal(Terminal), Host: NewHost(), Printer: &Printer{}, Staff: &Staff{}, Suite: suite}
	began := time.Now()
	s.Clock, err = clock.New(clock.Options{
		Wall:   func() time.Time { return time.Now().Add(time.Duration(s.shift.Load())) },
		Mono:   func() time.Duration { return time.Hour + time.Since(began) },
		BootID: "00000000-0000-4000-8000-000000000000",
	}, 0)
	must(tb, err)
	s.Clock.Heard(time.Now().UnixMilli())
	s.root, s.bank = s.key(tb), s.key(tb)
	s.rootDER = s.certify(tb, dcep.Template{Name: "root", Authority: true}, s.root.Public(), s.root, nil)
	s.bankDER = s.certify(tb, dcep.Template{Name: "ICBC", Institution: "ICBC", Authority: true}, s.bank.Public(), s.root, s.rootDER)
	s.Trust = dcep.Trust{Env: pos.Lab, Roots: [][]byte{s.rootDER}, Institutions: [][]byte{s.bankDER}, IssuedMS: time.Now().UnixMilli()}
	s.Kernel = &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust { return s.Trust }}}
	return s
}

// SetClock moves the wall clock against the monotonic one, by d from where it would be.
func (s *Shop) SetClock(d time.Duration) { s.shift.Store(int64(d)) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (s *Shop) key(tb testing.TB) dcep.Signer {
	tb.Helper()
	k, err := s.Suite.Generate()
	must(tb, err)
	return k
}

func (s *Shop) certify(tb testing.TB, t dcep.Template, public []byte, issuer dcep.Signer, issuerDER []byte) []byte {
	tb.Helper()
	t.Env, t.From, t.Until = pos.Lab, time.Now().Add(-time.Hour), time.Now().Add(10*365*24*time.Hour)
	der, err := dcep.Certify(t, public, issuer, issuerDER)
	must(tb, err)
	return der
}

// Wallet signs challenges, as a customer's phone does.
type Wallet struct {
	Serial  string
	Counter uint64
	// Envelopes pay a part where the challenge offers it.
	Envelopes []pos.EnvelopeUse

	signer dcep.Signer
	der    []byte
}

// NewWallet makes a wallet of the shop's institution that tells no class.
func (s *Shop) NewWallet(tb testing.TB) *Wallet {
	tb.Helper()
	return s.NewWalletOf(tb, 0)
}

// NewWalletOf makes a wallet of a class.
func (s *Shop) NewWalletOf(tb testing.TB, class int) *Wallet {
	tb.Helper()
	w := &Wallet{signer: s.key(tb)}
	w.der = s.certify(tb, dcep.Template{Name: "wallet", Institution: "ICBC", Tier: class}, w.signer.Public(), s.bank, s.bankDER)
	c, err := s.Trust.VerifyWallet(w.der, time.Now())
	must(tb, err)
	w.Serial = c.Serial
	return w
}

// Papers are the wallet's key and certificate, for a model of its own.
func (w *Wallet) Papers() (key dcep.Signer, certificate []byte) { return w.signer, w.der }

// Sign answers the text of a challenge.
func (w *Wallet) Sign(challenge string) (string, error) {
	c, err := dcep.DecodeChallenge(challenge)
	if err != nil {
		return "", err
	}
	w.Counter++
	var uses []pos.EnvelopeUse
	if c.Category != "" {
		uses = w.Envelopes
	}
	e, err := dcep.SignEvidence(w.signer, w.der, c, w.Counter, time.Now(), uses...)
	if err != nil {
		return "", err
	}
	return dcep.EncodeEvidence(e)
}

// Config is the configuration of the shop's till.
func (s *Shop) Config() checkout.Config {
	return checkout.Config{
		Env: pos.Lab, Terminal: Terminal, Merchant: Merchant, Store: "S1",
		StoreName: pos.Text{ZH: "王府井书店", EN: "Wangfujing Books"},
		Suite:     s.Suite, CodeKey: []byte("0123456789abcdef"), Journal: s.Journal, Host: s.Host, Operators: s.Staff,
		Kernel: s.Kernel, Printer: s.Printer, Drawer: s.Printer, Clock: s.Clock,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Start runs a till until the test ends or stop is called.
func (s *Shop) Start(tb testing.TB, change ...func(*checkout.Config)) (till *checkout.Till, stop func()) {
	tb.Helper()
	c := s.Config()
	for _, f := range change {
		f(&c)
	}
	till, err := checkout.New(context.Background(), c)
	must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- till.Run(ctx) }()
	<-till.Ready()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				tb.Errorf("till: %v", err)
			}
		})
	}
	tb.Cleanup(stop)
	return till, stop
}

// Code is the nth payment code of a digital-yuan wallet of ICBC.
func Code(n int) string { return fmt.Sprintf("01001%014d", n) }

// Staff is a checkout.Operators in memory.
type Staff struct {
	mu   sync.Mutex
	list map[string]operator.Operator
}

// Hire adds an operator.
func (s *Staff) Hire(tb testing.TB, number string, role operator.Role, pin string) {
	tb.Helper()
	phc, err := operator.Hash(pin)
	must(tb, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[string]operator.Operator{}
	}
	s.list[number] = operator.Operator{Number: number, Name: "N" + number, Role: role, PINHash: phc, Active: true}
}

// Operator implements checkout.Operators.
func (s *Staff) Operator(_ context.Context, number string) (operator.Operator, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.list[number]
	return o, ok, nil
}

// RecordSignInFailure implements checkout.Operators.
func (s *Staff) RecordSignInFailure(_ context.Context, number string, lockedUntilMS int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.list[number]
	o.Failures++
	o.LockedUntilMS = max(o.LockedUntilMS, lockedUntilMS)
	s.list[number] = o
	return o.Failures, nil
}

// ClearSignInFailures implements checkout.Operators.
func (s *Staff) ClearSignInFailures(_ context.Context, number string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.list[number]
	o.Failures, o.LockedUntilMS = 0, 0
	s.list[number] = o
	return nil
}

// Printer keeps what it was told to print, and kicks no drawer.
type Printer struct {
	mu      sync.Mutex
	jobs    []drivers.PrintJob
	err     error
	refusal error
	mute    bool
	held    chan struct{}
	kicks   int
}

// Refuse makes every receipt one that can never be printed; nil takes it back.
func (p *Printer) Refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal = err
}

// Mute makes the printer print without saying that it has.
func (p *Printer) Mute(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = on
}

// Hold makes the printer hang until release is called.
func (p *Printer) Hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return func() { close(held) }
}

// Jam makes printing fail with the error before anything is on paper; nil mends it.
func (p *Printer) Jam(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// Jobs is what was printed.
func (p *Printer) Jobs() []drivers.PrintJob {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]drivers.PrintJob(nil), p.jobs...)
}

// Kicks counts the openings of the drawer.
func (p *Printer) Kicks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kicks
}

// Print implements checkout.Printer.
func (p *Printer) Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return drivers.PrintResult{JobID: job.ID, State: drivers.PrintCancelled}, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusal != nil {
		return drivers.PrintResult{JobID: job.ID, State: drivers.PrintCancelled}, p.refusal
	}
	if p.err != nil {
		return drivers.PrintResult{JobID: job.ID, State: drivers.PrintPaused, Reason: drivers.PausedPaper}, p.err
	}
	p.jobs = append(p.jobs, job)
	if p.mute {
		return drivers.PrintResult{JobID: job.ID, State: drivers.PrintUnknown, BytesSent: 1, BytesTotal: 1}, nil
	}
	return drivers.PrintResult{JobID: job.ID, State: drivers.PrintConfirmed, BytesSent: 1, BytesTotal: 1}, nil
}

// OpenDrawer implements checkout.Drawer.
func (p *Printer) OpenDrawer(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kicks++
	return p.err
}
