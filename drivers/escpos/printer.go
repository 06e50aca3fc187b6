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
	"dcpos/drivers/receipt/draw"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// Options are what a printer needs besides its profile and port.
type Options struct {
	// Name is the device's name in this till. Default: the profile's name.
	Name string
	// Font draws what the printer's own font lacks, and stays open. Default: one of FontFile
	// (see draw.NewFont), which Close closes.
	Font     *draw.Font
	FontFile string
	// Now stamps readings and results. Default: time.Now.
	Now func() time.Time
	// FirstMark is the process id of the first job (GS ( H). Default: random, so that an
	// answer to a job of an earlier run is never taken for one of this run.
	FirstMark uint32
}

// Printer is an ESC/POS printer. It also drives the drawer that hangs on it, and its buzzer.
type Printer struct {
	name    string
	profile profiles.Printer
	dial    transport.Dial
	font    *draw.Font
	ownFont bool
	now     func() time.Time

	life     drivers.Lifecycle
	counters drivers.Counters
	turn     chan struct{} // holds one token while a call talks to the printer
	changed  chan struct{} // holds one token after a change of status

	mu     sync.Mutex
	link   *link
	info   drivers.DeviceInfo
	status drivers.PrinterStatus
	told   string // the encoding of its font as the printer says; empty when it does not
	mark   uint32
	slip   uint32 // number of the last test slip
}

var (
	_ drivers.POSPrinter    = (*Printer)(nil)
	_ drivers.CashDrawer    = (*Printer)(nil)
	_ drivers.ToneIndicator = (*Printer)(nil)
	_ drivers.Reporter      = (*Printer)(nil)
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
	own := o.Font == nil
	if own {
		o.Font = draw.NewFont(o.FontFile)
	}
	return &Printer{
		name:    o.Name,
		profile: p,
		dial:    dial,
		font:    o.Font,
		ownFont: own,
		now:     o.Now,
		turn:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		info:    drivers.DeviceInfo{Category: drivers.CategoryPOSPrinter, Name: o.Name, Profile: p.Name},
		mark:    o.FirstMark,
		slip:    o.FirstMark % 10_000,
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
	for _, c := range []struct {
		was, is drivers.Reading
		name    drivers.StatisticName
	}{
		{before.CoverOpen, after.CoverOpen, drivers.ReceiptCoverOpenCount},
		{before.CutterError, after.CutterError, drivers.FailedPaperCutCount},
		{before.HeadHot, after.HeadHot, drivers.MaximumTempReachedCount},
		{before.Fault, after.Fault, drivers.PrinterFaultCount},
		{before.Online, after.Online, drivers.OnlineTransitionCount},
	} {
		if c.was.Value != drivers.Yes && c.is.Value == drivers.Yes {
			p.counters.Add(c.name, 1)
		}
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
		if language := p.otherLanguage(ctx, l, err); language != "" {
			return p.foreign(language)
		}
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
	if p.ownFont {
		err = errors.Join(err, p.font.Close())
	}
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
	if err := p.atOnce(ctx, "open drawer of", bytes); err != nil {
		p.counters.Add(drivers.DrawerFailedOpenCount, 1)
		return err
	}
	p.counters.Add(drivers.DrawerGoodOpenCount, 1)
	return nil
}

// atOnce sends a command that is of use only now; the turn is held.
func (p *Printer) atOnce(ctx context.Context, operation string, command []byte) error {
	reason, err := p.ready(ctx)
	if reason == "" && err == nil {
		var l *link
		if l, err = p.connected(); err == nil {
			err = l.write(ctx, command, p.profile.Timing.Write())
		}
	}
	if reason != "" || err != nil {
		return p.stopped(operation, reason, err)
	}
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

// Sound implements drivers.ToneIndicator, with buzzer and lamp, whichever the profile has.
// As with the drawer, a printer that is off-line gets nothing: it would sound later.
func (p *Printer) Sound(ctx context.Context, t drivers.Tone) error {
	if err := p.life.NeedEnabled(); err != nil {
		return p.lifecycle("sound", err)
	}
	bytes := alarm(p.profile, t)
	if bytes == nil {
		return p.trouble("sound", drivers.ErrIllegal, nil)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("sound", drivers.ErrBusy, err)
	}
	defer p.give()
	if err := p.atOnce(ctx, "sound", bytes); err != nil {
		return err
	}
	p.counters.Add(drivers.ToneSoundedCount, 1)
	return nil
}
