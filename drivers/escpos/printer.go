package escpos

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// Options are what a printer needs besides its profile and port.
type Options struct {
	// Name is the device's name in this till. Default: the profile's name.
	Name string
	// Now stamps readings and results. Default: time.Now.
	Now func() time.Time
	// FirstMark is the process id of the first job (GS ( H). Default: random, so that an
	// answer to a job of an earlier run is never taken for one of this run.
	FirstMark uint32
}

// Printer is an ESC/POS printer. It also drives the drawer that hangs on it.
type Printer struct {
	name    string
	profile profiles.Printer
	dial    transport.Dial
	now     func() time.Time

	life     drivers.Lifecycle
	counters drivers.Counters
	turn     chan struct{} // holds one token while a call talks to the printer
	changed  chan struct{} // holds one token after a change of status

	mu     sync.Mutex
	link   *link
	info   drivers.DeviceInfo
	status drivers.PrinterStatus
	mark   uint32
}

var (
	_ drivers.POSPrinter = (*Printer)(nil)
	_ drivers.CashDrawer = (*Printer)(nil)
	_ drivers.Reporter   = (*Printer)(nil)
)

// New makes a closed printer.
func New(p profiles.Printer, dial transport.Dial, o Options) *Printer {
	if o.Name == "" {
		o.Name = p.Name
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FirstMark == 0 {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		o.FirstMark = binary.BigEndian.Uint32(b[:])
	}
	return &Printer{
		name:    o.Name,
		profile: p,
		dial:    dial,
		now:     o.Now,
		turn:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		info:    drivers.DeviceInfo{Category: drivers.CategoryPOSPrinter, Name: o.Name, Profile: p.Name},
		mark:    o.FirstMark,
	}
}

func (p *Printer) trouble(operation string, code drivers.ErrorCode, cause error) error {
	return drivers.Trouble(drivers.CategoryPOSPrinter, operation+" "+p.name, code, cause)
}

// lost is the trouble of a printer that cannot be reached: ErrNoHardware when its port
// is gone, so that the caller opens it anew, else ErrOffline. ErrOffline is inside both.
func (p *Printer) lost(operation string, err error) error {
	if errors.Is(err, transport.ErrGone) {
		return p.trouble(operation, drivers.ErrNoHardware, fmt.Errorf("%w: %w", drivers.ErrOffline, err))
	}
	return p.trouble(operation, drivers.ErrOffline, err)
}

// lifecycle wraps the code of a call out of order.
func (p *Printer) lifecycle(operation string, err error) error {
	if code, ok := errors.AsType[drivers.ErrorCode](err); ok {
		return p.trouble(operation, code, nil)
	}
	return err
}

// Info implements drivers.Device.
func (p *Printer) Info() drivers.DeviceInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info
}

// State implements drivers.Device.
func (p *Printer) State() drivers.State { return p.life.State() }

// Statistics implements drivers.Device.
func (p *Printer) Statistics() map[drivers.StatisticName]int64 { return p.counters.All() }

// Columns implements drivers.POSPrinter.
func (p *Printer) Columns() int { return p.profile.Paper.Columns }

// Snapshot implements drivers.POSPrinter.
func (p *Printer) Snapshot() drivers.PrinterStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Printer) update(change func(s *drivers.PrinterStatus, at time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.status
	change(&p.status, p.now())
	after := p.status
	if before.CoverOpen.Value != drivers.Yes && after.CoverOpen.Value == drivers.Yes {
		p.counters.Add(drivers.ReceiptCoverOpenCount, 1)
	}
	if before.Fault.Value != drivers.Yes && after.Fault.Value == drivers.Yes {
		p.counters.Add(drivers.PrinterFaultCount, 1)
	}
	if before.Online.Value != drivers.Yes && after.Online.Value == drivers.Yes {
		p.counters.Add(drivers.OnlineTransitionCount, 1)
	}
	if !before.Same(after) {
		p.tell()
	}
}

// tell leaves a token for who listens to changes.
func (p *Printer) tell() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Changed implements drivers.Reporter.
func (p *Printer) Changed() <-chan struct{} { return p.changed }

// Reports implements drivers.Reporter: with automatic status every change is told.
func (p *Printer) Reports() bool { return p.profile.Status.ASB }

// Open implements drivers.Device.
func (p *Printer) Open(context.Context) error {
	p.life.Opened()
	return nil
}

// Claim implements drivers.Device.
func (p *Printer) Claim(ctx context.Context) error {
	if err := p.life.NeedOpen(); err != nil {
		return p.lifecycle("claim", err)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("claim", drivers.ErrBusy, err)
	}
	defer p.give()
	if claimed, _ := p.life.Is(); claimed {
		return nil
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return p.trouble("claim", dialCode(err), err)
	}
	l := newLink(conn, func(asb []byte) {
		p.update(func(s *drivers.PrinterStatus, at time.Time) { applyASB(s, asb, p.profile.Drawer, at) })
	}, func() {
		p.update(gone)
		p.tell()
	})
	p.mu.Lock()
	p.link, p.info.Port = l, conn.String()
	p.mu.Unlock()
	p.life.Claimed()
	return nil
}

// dialCode names why a port could not be opened.
func dialCode(err error) drivers.ErrorCode {
	switch {
	case errors.Is(err, transport.ErrInUse):
		return drivers.ErrClaimed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return drivers.ErrTimeout
	default:
		return drivers.ErrNoHardware
	}
}

// Enable implements drivers.Device.
func (p *Printer) Enable(ctx context.Context) error {
	if err := p.life.NeedClaimed(); err != nil {
		return p.lifecycle("enable", err)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("enable", drivers.ErrBusy, err)
	}
	defer p.give()
	if _, enabled := p.life.Is(); enabled {
		return nil
	}
	l, err := p.connected()
	if err != nil {
		return p.lost("enable", err)
	}
	if err := p.hello(ctx, l); err != nil {
		return p.lost("enable", err)
	}
	p.identify(ctx, l)
	if p.profile.Status.ASB { // from now on it tells; a job says it again after its ESC @
		if err := l.write(ctx, []byte("\x1da\xff"), p.profile.Timing.Write()); err != nil {
			return p.lost("enable", err)
		}
	}
	p.life.Enabled()
	return nil
}

// identify asks maker, model and firmware where the profile says that they are told. A
// printer that keeps silent about them is none the worse.
func (p *Printer) identify(ctx context.Context, l *link) {
	if !p.profile.Status.GSI {
		return
	}
	text := func(n byte) string {
		a, err := l.ask(ctx, []byte{0x1d, 'I', n}, p.profile.Timing.Answer(), func(a answer) bool {
			return a.kind == answerBlock && a.data[0] == 0x5F
		})
		if err != nil {
			return ""
		}
		return string(a.data[1:])
	}
	maker, model, firmware := text(66), text(67), text(65)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.info.Maker, p.info.Model, p.info.Firmware = maker, model, firmware
}

// Release implements drivers.Device.
func (p *Printer) Release(ctx context.Context) error {
	if err := p.life.NeedOpen(); err != nil {
		return p.lifecycle("release", err)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("release", drivers.ErrBusy, err)
	}
	defer p.give()
	return p.disconnect()
}

// Close implements drivers.Device.
func (p *Printer) Close() error {
	err := p.disconnect() // first, so that a call under way ends
	p.life.Closed()
	return err
}

func (p *Printer) disconnect() error {
	p.life.Released()
	p.mu.Lock()
	l := p.link
	p.link = nil
	p.info.Port = ""
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	if err := l.close(); err != nil {
		return p.trouble("release", drivers.ErrFailure, err)
	}
	return nil
}

// take waits for the printer to be free.
func (p *Printer) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Printer) give() { <-p.turn }

// connected returns the link, or why it is lost.
func (p *Printer) connected() (*link, error) {
	p.mu.Lock()
	l := p.link
	p.mu.Unlock()
	if l == nil {
		return nil, transport.ErrClosed
	}
	if err := l.failure(); err != nil {
		p.update(gone)
		return nil, err
	}
	return l, nil
}

// Status implements drivers.POSPrinter.
func (p *Printer) Status(ctx context.Context) (drivers.PrinterStatus, error) {
	if err := p.life.NeedEnabled(); err != nil {
		return p.Snapshot(), p.lifecycle("ask", err)
	}
	if err := p.take(ctx); err != nil {
		return p.Snapshot(), p.trouble("ask", drivers.ErrBusy, err)
	}
	defer p.give()
	l, err := p.connected()
	if err == nil {
		err = p.askAll(ctx, l)
	}
	if err != nil {
		return p.Snapshot(), p.lost("ask", err)
	}
	return p.Snapshot(), nil
}

// CheckHealth implements drivers.Device. HealthExternal prints a short test slip.
func (p *Printer) CheckHealth(ctx context.Context, level drivers.HealthLevel) (drivers.Health, error) {
	h := drivers.Health{Level: level}
	var err error
	switch level {
	case drivers.HealthInternal:
		_, err = p.Status(ctx)
		if reason := trouble(p.Snapshot()); err == nil && reason != "" {
			err = reason.Code()
		}
	case drivers.HealthExternal:
		_, err = p.Print(ctx, drivers.PrintJob{ID: "health", Receipt: receipt.New(
			receipt.Title("打印测试"), receipt.Centered("printer test"),
			receipt.Pair(p.name, p.now().Format("2006-01-02 15:04:05")), receipt.Cut())})
	case drivers.HealthInteractive:
		return h, p.trouble("check health of", drivers.ErrIllegal, nil)
	default:
		return h, p.trouble("check health of", drivers.ErrIllegal, fmt.Errorf("level %d", level))
	}
	if e := p.life.NeedEnabled(); e != nil {
		return h, p.lifecycle("check health of", e)
	}
	h.At, h.OK = p.now(), err == nil
	if code, ok := errors.AsType[drivers.ErrorCode](err); ok {
		h.Code, h.Text, h.Hint = code, code.Text(), code.Hint()
	}
	return h, nil
}

// OpenDrawer implements drivers.CashDrawer. A printer that is off-line would give the
// pulse later, when nobody expects it: then nothing is sent.
func (p *Printer) OpenDrawer(ctx context.Context) error {
	if err := p.life.NeedEnabled(); err != nil {
		return p.lifecycle("open drawer of", err)
	}
	bytes := pulse(p.profile.Drawer)
	if bytes == nil {
		return p.trouble("open drawer of", drivers.ErrIllegal, nil)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("open drawer of", drivers.ErrBusy, err)
	}
	defer p.give()
	reason, err := p.ready(ctx)
	if reason == "" && err == nil {
		var l *link
		if l, err = p.connected(); err == nil {
			err = l.write(ctx, bytes, p.profile.Timing.Write())
		}
	}
	if reason != "" || err != nil {
		p.counters.Add(drivers.DrawerFailedOpenCount, 1)
		return p.stopped("open drawer of", reason, err)
	}
	p.counters.Add(drivers.DrawerGoodOpenCount, 1)
	return nil
}

// stopped is the trouble of a pause for a reason; empty counts as off-line.
func (p *Printer) stopped(operation string, reason drivers.PauseReason, err error) error {
	if reason == "" || reason == drivers.PausedOffline {
		return p.lost(operation, err)
	}
	return p.trouble(operation, reason.Code(), err)
}

// DrawerOpened implements drivers.CashDrawer.
func (p *Printer) DrawerOpened(ctx context.Context) (drivers.Reading, error) {
	if !p.profile.Drawer.Connector {
		return drivers.Reading{}, p.trouble("ask drawer of", drivers.ErrIllegal, nil)
	}
	s, err := p.Status(ctx)
	return s.DrawerOpen, err
}
