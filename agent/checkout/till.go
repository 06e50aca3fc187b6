package checkout

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"dcpos/agent/clock"
	"dcpos/agent/health"
	"dcpos/agent/kernel"
	"dcpos/agent/operator"
	"dcpos/drivers/receipt"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Policy says when receipts print.
type Policy string

// The policies.
const (
	PrintAlways Policy = "always" // by itself, and again on request
	PrintAsk    Policy = "ask"    // on request
	PrintNever  Policy = "never"  // on request only too; the screens do not offer it
)

// Reprint says who decides about a second paper when some of the first may be out.
type Reprint string

// The ways to decide. Either way the second paper is marked 补打 DUPLICATE.
const (
	ReprintAsk  Reprint = "ask"  // a person is asked once whether it came out
	ReprintAuto Reprint = "auto" // nobody is there to ask: it prints again
)

// Timing is how long things wait. A zero field takes its default.
type Timing struct {
	Expiry  time.Duration   // of a question: the centre starts none later. Default 15 s
	Answer  time.Duration   // the answer is awaited so long. Default 20 s
	Query   time.Duration   // between two queries at first. Default 3 s
	Fast    time.Duration   // so long; then the result is unknown. Default 45 s
	Slow    []time.Duration // between later queries, the last for ever. Default 1, 5, 15, 60 min
	QRValid time.Duration   // how long a QR is shown. Default 3 min
	Prompt  time.Duration   // how long a wallet may answer a challenge. Default 2 min
	Idle    time.Duration   // a payment of which nobody was asked is cancelled then. Default 15 min
	Print   time.Duration   // a receipt may take so long. Default 60 s
	// PrintAge is how long a receipt prints by itself; after that a person is asked
	// whether it is still wanted. Default 10 min
	PrintAge time.Duration
}

func (t Timing) withDefaults() Timing {
	or := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	or(&t.Expiry, 15*time.Second)
	or(&t.Answer, 20*time.Second)
	or(&t.Query, 3*time.Second)
	or(&t.Fast, 45*time.Second)
	or(&t.QRValid, 3*time.Minute)
	or(&t.Prompt, 2*time.Minute)
	or(&t.Idle, 15*time.Minute)
	or(&t.Print, time.Minute)
	or(&t.PrintAge, 10*time.Minute)
	if len(t.Slow) == 0 {
		t.Slow = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	}
	return t
}

// Config is what a Till is made of. Fields without a default are required.
type Config struct {
	Env       pos.Environment
	Terminal  string
	Merchant  string
	Store     string
	StoreName pos.Text

	// Suite hashes codes and requests; CodeKey is this terminal's secret for codes, 16 bytes or more.
	Suite   dcep.Suite
	CodeKey []byte

	Journal   Journal
	Host      Host
	Operators Operators       // nil: nobody can sign in
	Kernel    kernel.Kernel   // nil: no offline evidence is taken
	Printer   Printer         // nil: no printer
	Drawer    Drawer          // nil: no drawer
	Reader    Reader          // nil: no contactless reader; used where the Kernel is a kernel.Tapper
	Display   Display         // nil: no customer display
	Tone      Tone            // nil: no buzzer
	Clock     *clock.Clock    // the till's only clock
	Health    *health.Tracker // nil: one of its own
	Log       *slog.Logger    // nil: slog.Default

	// Policies tells what may be accepted offline. Nil takes Limits, always in force; where
	// that is nil too, pos.DefaultLimits.
	Policies Policies
	Limits   func() pos.Limits
	// Catalogue is what is known of envelopes' scopes; nil is none. Category is that of the
	// goods sold here; empty: "general".
	Catalogue func() pos.Catalogue
	Category  string
	// Trust is whom the Kernel believes, for telling when its list of revoked wallets grows
	// old; nil tells nothing.
	Trust func() dcep.Trust
	// Forward lets the till store forwardable codes at the merchant's risk while the centre
	// cannot be asked, as far as the policy says. The class decides; a kiosk does not.
	Forward bool
	// Fare makes the till a gate: every tap pays this. The zero value: it is none.
	Fare Fare
	// SignIn demands an operator for every command. Without it entries name the operator
	// that the caller tells, else DefaultOperator, else the caller.
	SignIn          bool
	DefaultOperator string
	// CashierRefunds lets cashiers refund; else it takes a supervisor. Where nobody signs
	// in, the callers' own rights decide.
	CashierRefunds bool
	// Receipt says when receipts print. Default: ask.
	Receipt Policy
	// CampaignHost is the host of the campaign pages: links to it are told from any others
	// when they are scanned. Empty: there are none.
	CampaignHost string
	// Reprint is for what may be on paper already. Default: ask.
	Reprint Reprint
	// Proof gives the signed proof that a receipt's QR carries beside the payment's id (dcep.Slip.Text); "" for
	// none. Called while the journal is being written to. Nil: none.
	Proof func(ctx context.Context, id pos.PaymentID) (string, error)
	// SelfTest lays out the self-test ticket; nil: there is none.
	SelfTest func() receipt.Receipt
	// PrinterReady gives a value whenever the printer can print (again): opened, paper put
	// in, cover closed. It keeps at least one value for a reader who is busy, and is never
	// closed. Nil: a job that did not print is tried again after a while.
	PrinterReady <-chan struct{}
	// Columns are those of the printer's paper, by which receipts that callers lay out are
	// checked; 0 while they are not known. Nil: never known, 48 is taken.
	Columns func() int
	// HasPrinter reports that a printer stands here, well or not: printers may be found by
	// themselves. Without one nothing is owed on paper. Nil: Printer alone says.
	HasPrinter func() bool
	// Unconfirmed reports that the printer cannot tell that it has printed. UNKNOWN is then
	// how every print ends, and nobody is asked about it. Nil: it can.
	Unconfirmed func() bool
	// Cutover is when a business day ends, since midnight in Shanghai; 0 is midnight.
	Cutover time.Duration
	Timing  Timing
}

func (c Config) check() error {
	switch {
	case !c.Env.Valid():
		return fmt.Errorf("env %q: want live or lab", c.Env)
	case c.Terminal == "" || c.Merchant == "":
		return errors.New("terminal and merchant are required")
	case c.Suite == nil || len(c.CodeKey) < 16:
		return errors.New("suite and a code key of 16 bytes or more are required")
	case c.Journal == nil || c.Host == nil || c.Clock == nil:
		return errors.New("journal, host and clock are required")
	}
	return nil
}

// sale is what this process knows of a payment beside the journal.
type sale struct {
	institution string
	prompt      kernel.Prompt
	qr          string
	validUntil  int64
	started     time.Time
	plain       bool // the wallet's envelopes were refused: no more are asked for
	fare        bool // of the gate
}

// Till is one point of sale. Its methods are safe for concurrent use.
type Till struct {
	c      Config
	clock  *clock.Clock
	health *health.Tracker
	log    *slog.Logger
	timing Timing
	hub    *hub
	press  *press
	ready  chan struct{} // closed when Run has taken up what was left

	starting sync.Mutex // Start looks up a key and writes in one step
	verdicts sync.Mutex // verdicts are applied one after the other
	signing  sync.Mutex // one PIN is tried at a time; guards wrong
	wrong    map[string]int
	refunds  sync.Mutex // the list of open refunds has one writer
	qrs      sync.Mutex // and so has that of shown QRs

	mu         sync.Mutex
	base       context.Context //nolint:containedctx // the life of Run, to which every goroutine belongs
	group      sync.WaitGroup
	sales      map[pos.PaymentID]*sale
	current    pos.PaymentID // the payment that a scanned code is for
	armed      *armed        // the payment that a card in the reader's field is for
	watching   map[pos.PaymentID]bool
	linked     bool
	wake       chan struct{} // closed and replaced when the centre comes back
	operator   *operator.Operator
	verdict    uint64
	centreKept int64
}

// The keys of what is kept beside the journal.
const (
	metaCentre  = "checkout.centre_ms" // of versions before metaClock
	metaClock   = "checkout.clock"
	metaVerdict = "checkout.verdict"
	metaQRs     = "checkout.qrs"
	metaKey     = "checkout.key."
	metaRefunds = "checkout.refunds"
)

// New makes a till and reads what it has kept. Nothing happens before Run.
func New(ctx context.Context, c Config) (*Till, error) {
	if err := c.check(); err != nil {
		return nil, pos.NewError(pos.ErrConfig, err)
	}
	var boot [6]byte
	if _, err := rand.Read(boot[:]); err != nil {
		return nil, fmt.Errorf("draw boot name: %w", err)
	}
	t := &Till{
		c: c, clock: c.Clock, health: c.Health, log: c.Log, timing: c.Timing.withDefaults(),
		hub: newHub(fmt.Sprintf("%x", boot)), sales: map[pos.PaymentID]*sale{}, watching: map[pos.PaymentID]bool{},
		wrong: map[string]int{},
		wake:  make(chan struct{}), ready: make(chan struct{}), press: newPress(),
	}
	if t.c.Reprint == "" {
		t.c.Reprint = ReprintAsk
	}
	if t.health == nil {
		t.health = health.New(c.Clock.Now)
	}
	if t.log == nil {
		t.log = slog.Default()
	}
	if t.c.Limits == nil {
		t.c.Limits = pos.DefaultLimits
	}
	if t.c.Policies == nil {
		t.c.Policies = fixed(t.c.Limits)
	}
	if err := t.restoreClock(ctx); err != nil {
		return nil, err
	}
	var err error
	t.verdict, err = t.number(ctx, metaVerdict)
	return t, err
}

func (t *Till) number(ctx context.Context, key string) (uint64, error) {
	b, ok, err := t.c.Journal.Meta(ctx, key)
	if err != nil || !ok {
		return 0, err
	}
	n, err := strconv.ParseUint(b, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return n, nil
}

var errNotRunning = errors.New("the till is not running")

// spawn runs f in a goroutine that Run owns; false when the till is not running.
func (t *Till) spawn(f func(ctx context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base == nil {
		return false
	}
	ctx := t.base
	t.group.Go(func() { f(ctx) })
	return true
}

// do runs f like spawn and waits for it, or until ctx ends: f goes on then.
func (t *Till) do(ctx context.Context, f func(ctx context.Context)) error {
	done := make(chan struct{})
	if !t.spawn(func(ctx context.Context) { defer close(done); f(ctx) }) {
		return pos.NewError(pos.ErrInternal, errNotRunning)
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}

// startWait is how long a command waits for Run to take up what was left.
const startWait = 5 * time.Second

func (t *Till) running(ctx context.Context) error {
	timer := time.NewTimer(startWait)
	defer timer.Stop()
	select {
	case <-t.ready:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base == nil {
		return pos.NewError(pos.ErrInternal, errNotRunning)
	}
	return nil
}

// saving is a context for writing down what has happened: neither the end of a
// caller nor that of the till may lose it.
func saving(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// update writes what decide wants and tells the subscribers.
func (t *Till) update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error) {
	entries, err := t.c.Journal.Update(ctx, decide)
	if err != nil {
		if pos.CodeOf(err) == pos.ErrStorage {
			t.health.Set(health.StorageCondition(), err.Error())
		}
		return nil, err
	}
	if len(entries) > 0 {
		t.health.Clear(health.StorageCondition())
	}
	var told pos.PaymentID
	for _, e := range slices.Backward(entries) { // of several entries of a payment, one event
		if e.Kind.Money() && !e.Payment.IsZero() && e.Payment != told {
			told = e.Payment
			t.tellPayment(ctx, e.Payment)
		}
	}
	for _, e := range entries {
		if e.Kind == pos.KindPrint {
			t.tellPrint(ctx, e)
		}
	}
	return entries, nil
}

// tellPayment tells that a payment changed. It is journaled; who misses the event reads it.
func (t *Till) tellPayment(ctx context.Context, id pos.PaymentID) {
	p, err := t.Payment(context.WithoutCancel(ctx), id)
	if err != nil {
		return
	}
	t.mu.Lock()
	if t.current == p.ID && (!p.State.Open() || p.State == pos.Stored) {
		t.current = pos.PaymentID{}
	}
	t.mu.Unlock()
	t.publish(Event{Kind: EventPayment, Payment: &p})
	if p.State != pos.Created {
		t.decided(p.ID)
	}
}

// tellPrint tells that a print job changed, to subscribers and to the press.
func (t *Till) tellPrint(ctx context.Context, e pos.Entry) {
	body, err := dcep.Body(e)
	b, ok := body.(*pos.Printed)
	if err != nil || !ok {
		return
	}
	if p, err := t.PrintJob(context.WithoutCancel(ctx), b.Job); err == nil {
		t.publish(Event{Kind: EventPrint, Print: &p})
	}
	t.press.tell()
	if pos.PrintState(b.Result) == pos.PrintQueued {
		t.press.wake()
	}
}

// draft is an entry of this moment.
func (t *Till) draft(kind pos.Kind, id pos.PaymentID, who string, body any) pos.Draft {
	at := t.clock.Instant()
	return pos.Draft{
		Kind: kind, Payment: id, Operator: who, At: at,
		BusinessDate: pos.DateOf(time.UnixMilli(at.WallMS), t.c.Cutover), Body: body,
	}
}

func find(v pos.JournalView, id pos.PaymentID) (pos.Payment, error) {
	p, ok, err := v.Payment(id)
	if err != nil {
		return p, fmt.Errorf("read payment %s: %w", id, err)
	}
	if !ok {
		return p, pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("no payment %s", id))
	}
	return p, nil
}

// Payment is one payment as it is now, with its QR while that is shown.
func (t *Till) Payment(ctx context.Context, id pos.PaymentID) (pos.Payment, error) {
	var p pos.Payment
	err := t.c.Journal.View(ctx, func(v pos.JournalView) (err error) {
		p, err = find(v, id)
		return err
	})
	return t.dress(p), err
}

// Payments lists payments, newest first.
func (t *Till) Payments(ctx context.Context, q Query) ([]pos.Payment, error) {
	list, err := t.c.Journal.Payments(ctx, q)
	for i := range list {
		list[i] = t.dress(list[i])
	}
	return list, err
}

func (t *Till) dress(p pos.Payment) pos.Payment {
	if p.State != pos.Asking || p.Mode != pos.CScanB || p.QR != "" {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sales[p.ID]; s != nil {
		p.QR = s.qr
	}
	return p
}

// sale gives what is known of a payment beside the journal; t.mu is held.
func (t *Till) sale(id pos.PaymentID) *sale {
	s := t.sales[id]
	if s == nil {
		s = &sale{started: t.clock.Now()}
		t.sales[id] = s
	}
	return s
}

func (t *Till) with(id pos.PaymentID, f func(*sale)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.sale(id))
}

// keptQR is what is kept of a shown QR, so that a restart can show it again.
type keptQR struct {
	QR         string `json:"qr"`
	ValidUntil int64  `json:"valid_until_ms"`
}

func (t *Till) keepQR(ctx context.Context, id pos.PaymentID, a pos.Answer) {
	t.with(id, func(s *sale) { s.qr, s.validUntil = a.QR, a.ValidUntilMS })
	t.qrs.Lock()
	defer t.qrs.Unlock()
	kept, err := t.keptQRs(ctx)
	if err == nil {
		maps.DeleteFunc(kept, func(_ string, k keptQR) bool {
			return t.clock.Centre().Sub(time.UnixMilli(k.ValidUntil)) > time.Hour
		})
		kept[id.String()] = keptQR{QR: a.QR, ValidUntil: a.ValidUntilMS}
		var b []byte
		if b, err = json.Marshal(kept); err == nil {
			err = t.c.Journal.SetMeta(ctx, metaQRs, string(b))
		}
	}
	if err != nil {
		t.log.WarnContext(ctx, "qr is not kept", "payment", id.String(), "err", err)
	}
}

// keptQRs are the QRs that were shown of late, by payment.
func (t *Till) keptQRs(ctx context.Context) (map[string]keptQR, error) {
	kept := map[string]keptQR{}
	b, ok, err := t.c.Journal.Meta(ctx, metaQRs)
	if err != nil || !ok {
		return kept, err
	}
	if err := json.Unmarshal([]byte(b), &kept); err != nil {
		return kept, fmt.Errorf("read kept QRs: %w", err)
	}
	return kept, nil
}
