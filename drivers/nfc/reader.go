package nfc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// signalLimit is the longest that lights and sounds take: two long beeps.
const signalLimit = 2 * time.Second

// Options are what a reader needs besides its profile and port.
type Options struct {
	// Name is the device's name in this till. Default: the profile's name.
	Name string
	// Now stamps health reports. Default: time.Now.
	Now func() time.Time
	// Sys is the root of sysfs, to see why a reader cannot be claimed. Default: /sys.
	Sys fs.FS
	// Reset resets the device through its port. Nil: the port knows no reset.
	Reset func(ctx context.Context) error
}

// Reader is a contactless reader.
type Reader struct {
	name    string
	profile profiles.NFC
	dial    Dial
	opt     Options

	life     drivers.Lifecycle
	counters drivers.Counters
	steps    chan struct{} // holds one token while the life cycle changes
	changed  chan struct{} // holds one token after a port was lost

	mu   sync.Mutex
	info drivers.DeviceInfo
	port Port // nil: released, or lost
	id   Identity
	tap  *card // being waited for, or open
	lost error // why the reader does not answer now
}

var (
	_ drivers.NFCReader = (*Reader)(nil)
	_ drivers.Resetter  = (*Reader)(nil)
	_ drivers.Reporter  = (*Reader)(nil)
)

// New makes a closed reader.
func New(p profiles.NFC, dial Dial, o Options) *Reader {
	if o.Name == "" {
		o.Name = p.Name
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sys == nil {
		o.Sys = os.DirFS("/sys")
	}
	return &Reader{
		name: o.Name, profile: p, dial: dial, opt: o,
		steps: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		info: drivers.DeviceInfo{Category: drivers.CategorySmartCardRW, Name: o.Name, Profile: p.Name},
	}
}

func (r *Reader) trouble(ctx context.Context, operation string, err error) error {
	return drivers.Trouble(drivers.CategorySmartCardRW, operation+" "+r.name, codeOf(ctx, err), err)
}

// Info implements drivers.Device.
func (r *Reader) Info() drivers.DeviceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	info := r.info
	info.Maker, info.Model, info.Firmware = r.id.Maker, r.id.Model, r.id.Firmware
	if r.port != nil {
		info.Port = r.port.String()
	}
	return info
}

// State implements drivers.Device.
func (r *Reader) State() drivers.State { return r.life.State() }

// Statistics implements drivers.Device.
func (r *Reader) Statistics() map[drivers.StatisticName]int64 { return r.counters.All() }

// Open implements drivers.Device.
func (r *Reader) Open(context.Context) error {
	r.life.Opened()
	return nil
}

// step waits for its turn to change the life cycle.
func (r *Reader) step(ctx context.Context) (done func(), err error) {
	select {
	case r.steps <- struct{}{}:
		return func() { <-r.steps }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Claim implements drivers.Device. When the kernel's own driver is the reason that it
// fails, the error says so.
func (r *Reader) Claim(ctx context.Context) error {
	done, err := r.step(ctx)
	if err != nil {
		return r.trouble(ctx, "claim", err)
	}
	defer done()
	if err := r.life.NeedOpen(); err != nil {
		return r.trouble(ctx, "claim", err)
	}
	if claimed, _ := r.life.Is(); claimed {
		return nil
	}
	if err := r.connect(ctx); err != nil {
		return r.trouble(ctx, "claim", err)
	}
	if err := r.life.NeedOpen(); err != nil { // closed in the meantime
		return errors.Join(r.trouble(ctx, "claim", err), r.disconnect(ctx))
	}
	r.life.Claimed()
	return nil
}

func (r *Reader) connect(ctx context.Context) error {
	port, err := r.dial(ctx)
	if err != nil {
		if holds := KernelHolds(r.opt.Sys); holds != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", holds, err)
		}
		return err
	}
	if n, ok := port.(Noticing); ok {
		go r.watch(n.Ended())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port, r.lost = port, nil
	return nil
}

// watch leaves a token when a port is lost, or closed.
func (r *Reader) watch(ended <-chan struct{}) {
	<-ended
	select {
	case r.changed <- struct{}{}:
	default: // the last token was not taken yet
	}
}

// Changed implements drivers.Reporter.
func (r *Reader) Changed() <-chan struct{} { return r.changed }

// Reports implements drivers.Reporter: only the loss of the port is told.
func (r *Reader) Reports() bool { return false }

// Enable implements drivers.Device.
func (r *Reader) Enable(ctx context.Context) error {
	done, err := r.step(ctx)
	if err != nil {
		return r.trouble(ctx, "enable", err)
	}
	defer done()
	if err := r.life.NeedClaimed(); err != nil {
		return r.trouble(ctx, "enable", err)
	}
	if _, enabled := r.life.Is(); enabled {
		return nil
	}
	port, err := r.connected(ctx)
	if err == nil {
		err = r.hello(ctx, port)
	}
	if err != nil {
		r.failed(err)
		return r.trouble(ctx, "enable", err)
	}
	r.life.Enabled()
	return nil
}

func (r *Reader) hello(ctx context.Context, port Port) error {
	id, err := port.Hello(ctx)
	if err != nil {
		return err
	}
	r.introduce(ctx, port, &id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id, r.lost = id, nil
	return nil
}

// connected returns the port; one that was lost is opened anew.
func (r *Reader) connected(ctx context.Context) (Port, error) {
	r.mu.Lock()
	port := r.port
	r.mu.Unlock()
	if port != nil {
		return port, nil
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	port = r.port
	r.mu.Unlock()
	if claimed, _ := r.life.Is(); !claimed { // released in the meantime
		r.drop(port)
		return nil, transport.ErrClosed
	}
	if err := r.hello(ctx, port); err != nil {
		r.drop(port)
		return nil, err
	}
	r.counters.Add(drivers.OnlineTransitionCount, 1)
	return port, nil
}

// drop closes a port that is of no further use.
func (r *Reader) drop(port Port) {
	r.mu.Lock()
	if r.port == port {
		r.port = nil
	}
	r.mu.Unlock()
	_ = port.Close() // it is lost anyhow
}

// failed keeps why the reader cannot serve, for CheckHealth.
func (r *Reader) failed(err error) {
	switch {
	case errors.Is(err, drivers.ErrTorn), errors.Is(err, drivers.ErrManyCards), errors.Is(err, transport.ErrClosed):
		return
	}
	r.counters.Add(drivers.CommunicationErrorCount, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = err
}

// WaitCard implements drivers.NFCReader.
func (r *Reader) WaitCard(ctx context.Context) (drivers.Card, error) {
	if err := r.life.NeedEnabled(); err != nil {
		return nil, r.trouble(ctx, "wait for a card at", err)
	}
	c := &card{reader: r}
	r.mu.Lock()
	busy := r.tap != nil
	if !busy {
		r.tap = c
	}
	r.mu.Unlock()
	if busy {
		return nil, r.trouble(ctx, "wait for a card at", drivers.ErrBusy)
	}
	if err := r.activate(ctx, c); err != nil {
		r.forget(c)
		if e := r.life.NeedEnabled(); e != nil { // released while it waited
			err = e
		}
		return nil, r.trouble(ctx, "wait for a card at", err)
	}
	r.counters.Add(drivers.TagReadCount, 1)
	return c, nil
}

func (r *Reader) activate(ctx context.Context, c *card) error {
	port, err := r.connected(ctx)
	if err == nil {
		c.info, err = port.Activate(ctx)
		if dead(err) && ctx.Err() == nil {
			r.drop(port)
			if port, err = r.connected(ctx); err == nil {
				c.info, err = port.Activate(ctx)
			}
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			r.unreadable(port, err)
		}
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.port, c.extended, r.lost = port, r.id.Extended, nil
	return nil
}

// unreadable counts a tap that came to nothing and lets a dead port go.
func (r *Reader) unreadable(port Port, err error) {
	if errors.Is(err, drivers.ErrTorn) {
		r.counters.Add(drivers.UnreadableCardCount, 1)
	}
	r.failed(err)
	if port != nil && dead(err) {
		r.drop(port)
	}
}

func (r *Reader) forget(c *card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tap == c {
		r.tap = nil
	}
}

// Signal implements drivers.NFCReader.
func (r *Reader) Signal(ctx context.Context, s drivers.Signal) error {
	if err := r.life.NeedEnabled(); err != nil {
		return r.trouble(ctx, "signal at", err)
	}
	if err := s.Check(); err != nil {
		return r.trouble(ctx, "signal at", fmt.Errorf("%w: %w", drivers.ErrIllegal, err))
	}
	if r.profile.Signals.Language != languageACR122U {
		return r.trouble(ctx, "signal at", drivers.ErrIllegal)
	}
	r.mu.Lock()
	port := r.port
	r.mu.Unlock()
	if port == nil {
		return r.trouble(ctx, "signal at", transport.ErrGone)
	}
	answer, err := r.control(ctx, port, acr122uSignal(s))
	if err == nil {
		err = accepted(answer)
	}
	if err != nil {
		return r.trouble(ctx, "signal at", err)
	}
	return nil
}

// CheckHealth implements drivers.Device. HealthInternal asks the reader, unless a tap is
// under way; HealthExternal shows and sounds that a tap was taken.
func (r *Reader) CheckHealth(ctx context.Context, level drivers.HealthLevel) (drivers.Health, error) {
	h := drivers.Health{Level: level}
	if err := r.life.NeedEnabled(); err != nil {
		return h, r.trouble(ctx, "check health of", err)
	}
	var err error
	switch level {
	case drivers.HealthInternal:
		err = r.look(ctx)
	case drivers.HealthExternal:
		if err = r.Signal(ctx, drivers.SignalDone); err == nil {
			err = r.Signal(ctx, drivers.SignalOff)
		}
		if errors.Is(err, drivers.ErrIllegal) {
			return h, err
		}
	case drivers.HealthInteractive:
		return h, r.trouble(ctx, "check health of", drivers.ErrIllegal)
	default:
		return h, r.trouble(ctx, "check health of", fmt.Errorf("%w: level %d", drivers.ErrIllegal, level))
	}
	h.At, h.OK = r.opt.Now(), err == nil
	if err != nil {
		h.Code = codeOf(ctx, err)
		h.Text, h.Hint = h.Code.Text(), h.Code.Hint()
		if a, ok := errors.AsType[*drivers.Advice](err); ok {
			h.Text, h.Hint = a.Text, a.Hint
		}
	}
	return h, nil
}

// look asks the reader how it is; while a tap is under way the tap knows better.
func (r *Reader) look(ctx context.Context) error {
	r.mu.Lock()
	port, tap, lost := r.port, r.tap, r.lost
	r.mu.Unlock()
	switch {
	case tap != nil:
		return lost
	case port == nil && lost != nil:
		return lost
	case port == nil:
		return transport.ErrGone
	}
	ctx, cancel := context.WithTimeout(ctx, 2*r.profile.Timing.Answer()+signalLimit)
	defer cancel()
	err := r.hello(ctx, port)
	if err != nil {
		r.failed(err)
	}
	return err
}

// Release implements drivers.Device. It interrupts a tap.
func (r *Reader) Release(ctx context.Context) error {
	if err := r.life.NeedOpen(); err != nil {
		return r.trouble(ctx, "release", err)
	}
	return r.disconnect(ctx)
}

// Close implements drivers.Device.
func (r *Reader) Close() error {
	r.life.Closed() // first, so that a call that is interrupted knows why
	return r.disconnect(context.Background())
}

func (r *Reader) disconnect(ctx context.Context) error {
	r.life.Released()
	r.mu.Lock()
	port := r.port
	r.port, r.tap, r.lost = nil, nil, nil
	r.mu.Unlock()
	if port == nil {
		return nil
	}
	if err := port.Close(); err != nil && !errors.Is(err, transport.ErrGone) {
		return r.trouble(ctx, "release", fmt.Errorf("%w: %w", drivers.ErrFailure, err))
	}
	return nil
}

// Reset implements drivers.Resetter.
func (r *Reader) Reset(ctx context.Context) error {
	if err := r.life.NeedOpen(); err != nil {
		return r.trouble(ctx, "reset", err)
	}
	if r.opt.Reset == nil {
		return r.trouble(ctx, "reset", drivers.ErrIllegal)
	}
	err := r.disconnect(ctx)
	if err == nil {
		err = r.opt.Reset(ctx)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return r.trouble(ctx, "reset", fmt.Errorf("%w: %w", drivers.ErrIllegal, err))
	}
	if err != nil {
		return r.trouble(ctx, "reset", err)
	}
	return nil
}
