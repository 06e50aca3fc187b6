package devices

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/agent/devices/sysfs"
	"dcpos/drivers"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// station is one device: where it hangs, the goroutine that keeps it working (run), and
// what outlives a driver that is opened anew.
type station struct {
	kind   profiles.Kind
	name   string
	pinned bool
	set    *Set
	open   func(context.Context, drivers.DeviceConfig) (drivers.Device, error)
	log    *slog.Logger

	turn   chan struct{} // holds one token while an owner has the device
	kick   chan struct{} // holds one token: look how it stands
	broken chan error    // holds one error: why the open device cannot go on
	calls  atomic.Int32  // calls into drivers that have not returned

	shown []string // what the open display shows; of the goroutine

	keeping sync.Mutex // one change of what is remembered at a time; taken before mu

	mu      sync.Mutex
	config  drivers.DeviceConfig
	key     string         // of the presence; empty: not bound to a USB device
	usb     *sysfs.Device  // as it was last seen
	seen    bool           // by the last look
	fresh   bool           // it came since the last try: try at once
	device  drivers.Device // nil: not open
	info    drivers.DeviceInfo
	state   State
	why     trouble
	since   time.Time
	lost    time.Time // since when it has not answered; zero: it does, or was never open
	silent  bool      // it is lost because it answers nothing, though its port is there
	owner   string
	suspect bool                  // somebody found it silent
	advice  trouble               // what a scanner told about how it is set
	left    bool                  // the kernel's list has given it up since it was opened
	divert  chan drivers.ScanData // takes the next code instead of the checkout; nil: nobody does
	opened  time.Time
	powered time.Duration
	past    map[drivers.StatisticName]int64
	healing Healing
	framing *learnedFraming // of a scanner; nil: nothing is learned
}

// Healing counts what was done to keep a device working.
type Healing struct {
	Opened  int64 `json:"opened"`  // how often it was opened
	Lost    int64 `json:"lost"`    // how often its port went away
	Hung    int64 `json:"hung"`    // calls that did not return
	Resets  int64 `json:"resets"`  // resets of the device or its USB port
	Stuck   int64 `json:"stuck"`   // calls that have not returned even now
	Refused int64 `json:"refused"` // tries to open it that failed
}

func newStation(s *Set, kind profiles.Kind, name string, c drivers.DeviceConfig, pinned bool) *station {
	c.Name = name
	open := s.open.of(kind)
	if kind == profiles.KindDisplay && c.Transport.Kind == drivers.TransportPrinter && s.open.DisplayBehind != nil {
		open = s.openBehind
	}
	return &station{
		kind: kind, name: name, pinned: pinned, set: s, open: open, config: c,
		log:  s.o.Log.With("device", name),
		turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), broken: make(chan error, 1),
		state: StateAbsent, past: map[drivers.StatisticName]int64{}, since: time.Now(),
	}
}

// gone is why a device that the kernel no longer lists cannot go on.
func (st *station) gone() error {
	if st.behind() {
		return noPrinterBefore(st.name)
	}
	return drivers.Trouble(category(st.kind), "use "+st.name, drivers.ErrNoHardware, nil)
}

func (st *station) poke() {
	select {
	case st.kick <- struct{}{}:
	default:
	}
}

// become changes the state and tells it. An equal one tells nothing.
func (st *station) become(state State, why trouble) {
	st.becomeIf(func() bool { return true }, state, why)
}

// becomeIf is become where a condition holds, which is asked with mu held.
func (st *station) becomeIf(holds func() bool, state State, why trouble) {
	st.set.telling.Lock()
	defer st.set.telling.Unlock()
	st.mu.Lock()
	if st.state == state && st.why.reason == why.reason || !holds() {
		st.mu.Unlock()
		return
	}
	st.state, st.why, st.since = state, why, time.Now()
	st.mu.Unlock()
	s := st.status()
	st.log.InfoContext(context.Background(), "device state", "state", s.State, "reason", s.Reason)
	st.set.o.Changed(s)
}

// run keeps the device working until ctx ends.
func (st *station) run(ctx context.Context) {
	defer st.become(StateReleased, trouble{})
	var l ladder
	for {
		d := st.bringUp(ctx, &l)
		if d == nil {
			return
		}
		began := time.Now()
		err := st.live(ctx, d)
		if time.Since(began) > healthy {
			l = ladder{}
		}
		st.putDown(ctx, d, err, &l)
		if ctx.Err() != nil {
			return
		}
	}
}

// ladder is how far healing has gone: close and open, then reset as well, with growing pauses.
type ladder struct {
	failures int
	pause    time.Duration
}

// resets says whether a reset goes before the next try: not for a first failure, and
// then ever more rarely, because a reset also disturbs what shares the port.
func (l ladder) resets() bool {
	return l.failures == 2 || l.failures == 4 || l.failures%16 == 0 && l.failures > 0
}

// wait is how long to wait before the next try. Only who has been told may wait for ever.
func (l *ladder) wait(untold, rings bool) time.Duration {
	if untold {
		return pauseFlap
	}
	l.pause = min(max(2*l.pause, pauseFirst), pauseLast)
	if rings {
		return 1 << 62
	}
	return l.pause
}

// resettable reports whether a failure is of the kind that a reset may help.
func resettable(err error) bool {
	return errors.Is(err, errHung) || errors.Is(err, drivers.ErrTimeout) || errors.Is(err, drivers.ErrFailure) ||
		errors.Is(err, drivers.ErrOffline) && !errors.Is(err, drivers.ErrNoHardware)
}

// bringUp opens the device and hears from it, as often as it takes; nil when ctx has
// ended. A line that opens is not yet a device that answers.
func (st *station) bringUp(ctx context.Context, l *ladder) drivers.Device {
	for ctx.Err() == nil {
		if !st.mayOpen() {
			st.pause(ctx, l, st.refused(ctx, st.gone()), true)
			continue
		}
		if n := st.calls.Load(); n >= maxStuck {
			st.become(StateError, hung(int(n)))
			st.pause(ctx, l, false, false)
			continue
		}
		d, err := st.openDevice(ctx)
		if err == nil {
			if err = st.greet(ctx, d); err == nil {
				return d
			}
			st.putDown(ctx, d, err, l)
		} else {
			st.notOpened(ctx, err, l)
		}
		if ctx.Err() == nil {
			st.pause(ctx, l, st.refused(ctx, err), false)
		}
	}
	return nil
}

// notOpened counts a try that failed, and resets the port when trying alone was not enough.
func (st *station) notOpened(ctx context.Context, err error, l *ladder) {
	if ctx.Err() != nil {
		return
	}
	st.count(func(h *Healing) { h.Refused++ })
	if resettable(err) {
		l.failures++
		if l.resets() {
			st.resetPort(ctx)
		}
	}
}

// mayOpen is false where the kernel would tell, and has not told, that the device is there.
func (st *station) mayOpen() bool {
	if st.behind() {
		_, ok := st.set.openPrinter()
		return ok
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	t := st.config.Transport
	if st.seen || !st.set.hears() {
		return true
	}
	if st.key != "" { // its path may be another device's by now
		return false
	}
	switch t.Kind {
	case drivers.TransportUSB:
		return false
	case drivers.TransportHID, drivers.TransportEvdev:
		return t.Path != "" && st.set.o.Tree.Exists(t.Path)
	case drivers.TransportSerial:
		return !plugged(t.Path) || st.set.o.Tree.Exists(t.Path)
	case drivers.TransportTCP, drivers.TransportPCSC, drivers.TransportPrinter:
	}
	return true
}

// plugged reports whether a tty is one that the kernel tells about when it comes.
func plugged(path string) bool {
	for _, p := range []string{"/dev/ttyUSB", "/dev/ttyACM", "/dev/serial/", "/dev/pos/"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// flapping reports whether the device stopped working so lately that nobody is told yet.
func (st *station) flapping() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.lost.IsZero() && time.Since(st.lost) < flap && st.state != StateEnabled
}

// standing is how a device stands that does not work for a reason.
func (st *station) standing(why error) (State, trouble) {
	switch {
	case errors.Is(why, errHung):
		return StateError, hung(int(st.calls.Load()))
	case errors.Is(why, transport.ErrAccess):
		return StateError, noPermission()
	case errors.Is(why, drivers.ErrNoHardware):
		return StateAbsent, troubleOf(why)
	}
	return StateError, troubleOf(why)
}

// refused tells why the device does not work, or reports that nobody was told yet,
// because it may be back at once. That is looked at once: if it were asked again for the
// pause that follows, a device could be waited for that nobody was told of.
func (st *station) refused(ctx context.Context, err error) (untold bool) {
	if untold = st.flapping() && !errors.Is(err, errHung); !untold {
		st.become(st.standing(err))
	}
	st.log.DebugContext(ctx, "device is not open", "err", err, "untold", untold)
	return untold
}

// overdue tells why a device was lost when it has not answered within a flap: whatever
// call its goroutine is in by then, nobody is to take it for working.
func (st *station) overdue(lost time.Time, why error) {
	state, t := st.standing(why)
	st.becomeIf(func() bool { return st.lost.Equal(lost) && st.state.Works() }, state, t)
}

// pause waits before the next try: briefly while nobody has been told, else longer each
// time; only for a ring where the kernel tells (rings).
func (st *station) pause(ctx context.Context, l *ladder, untold, rings bool) {
	timer := time.NewTimer(l.wait(untold, rings))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-st.kick:
		}
		st.mu.Lock()
		fresh := st.fresh
		st.fresh = false
		st.mu.Unlock()
		if fresh { // a device that came is a new chance; a ring about another one is none
			l.pause = 0
			return
		}
		if rings == st.mayOpen() {
			return // its file came though no USB device did, as by Bluetooth; or it went
		}
	}
}

// openDevice opens the driver within openLimit. A driver that comes up later is closed.
func (st *station) openDevice(ctx context.Context) (drivers.Device, error) {
	st.recall(ctx)
	st.mu.Lock()
	if st.config.Learned = nil; st.framing != nil {
		st.config.Learned = &st.framing.LearnedFraming
	}
	config, first := st.config, st.state == StatePresent || st.healing == Healing{}
	st.fresh, st.left = false, false
	st.mu.Unlock()
	if first {
		st.become(StateClaimed, trouble{})
	}
	var mu sync.Mutex
	var d drivers.Device
	abandoned := false
	err := st.guard(ctx, openLimit, func(ctx context.Context) error {
		got, err := st.open(ctx, config)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && abandoned {
			return got.Close()
		}
		d = got
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		abandoned = true
		if d != nil && errors.Is(err, errHung) { // it came up between the two
			err = errors.Join(err, d.Close())
		}
		return nil, err
	}
	select {
	case late := <-st.broken: // of the device before
		st.log.DebugContext(ctx, "late news of a closed device", "err", late)
	default:
	}
	st.mu.Lock()
	st.device, st.info, st.opened, st.suspect, st.advice = d, d.Info(), time.Now(), false, trouble{}
	if learner, ok := d.(drivers.FramingLearner); ok && config.Learned != nil && st.framing == nil {
		learner.Forget() // it was to forget while it was being opened
	}
	st.healing.Opened++
	untold := !st.lost.IsZero() && (st.state.Works() || st.silent && st.state == StateError)
	st.mu.Unlock()
	if !untold {
		st.become(StateEnabled, trouble{})
	}
	if st.kind == profiles.KindPrinter {
		st.set.follow(nil)
	}
	return d, nil
}

// putDown closes a device that cannot go on, and resets it when closing was not enough
// the last time.
func (st *station) putDown(ctx context.Context, d drivers.Device, why error, l *ladder) {
	st.keep(ctx, d)
	if st.kind == profiles.KindPrinter {
		st.set.follow(why)
	}
	st.mu.Lock()
	for name, n := range d.Statistics() {
		st.past[name] += n
	}
	st.device = nil
	st.silent = errors.Is(why, drivers.ErrOffline) && !errors.Is(why, drivers.ErrNoHardware)
	if st.lost.IsZero() { // else it did not answer since
		lost := time.Now()
		st.lost = lost
		time.AfterFunc(flap, func() {
			if ctx.Err() == nil {
				st.overdue(lost, why)
			}
		})
	}
	st.powered += time.Since(st.opened)
	if ctx.Err() == nil {
		st.past[drivers.CommunicationErrorCount]++
		if errors.Is(why, drivers.ErrNoHardware) {
			st.healing.Lost++
		}
	}
	st.mu.Unlock()
	reset := false
	if ctx.Err() == nil && resettable(why) {
		l.failures++
		reset = l.resets()
	}
	r, own := d.(drivers.Resetter)
	if reset && own { // the driver closes the port, resets, and is closed for good below
		st.resetBy(ctx, r.Reset)
	}
	err := st.guard(context.WithoutCancel(ctx), closeLimit, func(context.Context) error { return d.Close() })
	if ctx.Err() != nil {
		return
	}
	st.log.WarnContext(ctx, "device closed", "err", why)
	if hangs := errors.Join(why, err); errors.Is(hangs, errHung) {
		st.become(st.standing(hangs))
	}
	if reset && !own {
		st.resetPort(ctx)
	}
}

// resetPort has the kernel reset the device's USB port.
func (st *station) resetPort(ctx context.Context) {
	st.mu.Lock()
	node := ""
	switch st.config.Transport.Kind {
	case drivers.TransportUSB, drivers.TransportHID, drivers.TransportPCSC:
		if st.usb != nil && st.seen {
			node = st.usb.Node
		}
	case drivers.TransportSerial, drivers.TransportEvdev, drivers.TransportTCP, drivers.TransportPrinter: // a bridge's reset does not reach what hangs on it
	}
	st.mu.Unlock()
	if node != "" && st.set.o.Tree.Exists(node) { // else it broke because it went
		st.resetBy(ctx, func(ctx context.Context) error { return st.set.o.ResetUSB(ctx, node) })
	}
}

func (st *station) resetBy(ctx context.Context, how func(context.Context) error) {
	err := st.guard(ctx, resetLimit, how)
	if errors.Is(err, drivers.ErrIllegal) {
		return // a port that knows no reset
	}
	st.count(func(h *Healing) { h.Resets++ })
	if err != nil {
		st.log.WarnContext(ctx, "device was not reset", "err", err)
	}
}

func (st *station) count(f func(*Healing)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f(&st.healing)
}

// status is how the device stands.
func (st *station) status() Status {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := Status{
		Name: st.name, Role: role(st.kind), Category: category(st.kind), Profile: st.config.Profile, Pinned: st.pinned,
		Bound: st.bound(), Maker: st.info.Maker, Model: st.info.Model, Firmware: st.info.Firmware,
		State: st.state, StateText: st.state.Text(), UPOS: drivers.StateClosed.String(), Reason: st.why.reason,
		SinceMS: milli(st.since), Owner: st.owner, Framing: st.framed(),
	}
	if st.usb != nil {
		s.USB = st.usb.ID()
		if st.config.Transport.Kind != drivers.TransportSerial || presentsAs(*st.usb) != profiles.AsBridge { // else it names the cable
			s.Maker, s.Model = cmp.Or(s.Maker, st.usb.Maker), cmp.Or(s.Model, st.usb.Product)
		}
	}
	if st.why.reason != "" {
		text, hint := st.why.text, st.why.hint
		s.Text, s.Hint = &text, &hint
	}
	if st.device == nil {
		return s
	}
	s.Port, s.UPOS = st.info.Port, st.device.State().String()
	if p, ok := st.printer(st.device); ok {
		snapshot := p.Snapshot()
		s.Printer = &snapshot
	}
	return s
}

// bound says by what the device is known again.
func (st *station) bound() string {
	t := st.config.Transport
	switch {
	case st.key != "":
		return st.key
	case t.Kind == drivers.TransportPrinter:
		return "printer"
	case t.Address != "":
		return "address " + t.Address
	case t.Path != "":
		return "path " + t.Path
	case t.Serial != "":
		return fmt.Sprintf("serial %s %s:%s", t.Serial, t.VID, t.PID)
	case t.Port != "":
		return fmt.Sprintf("port %s %s:%s", t.Port, t.VID, t.PID)
	case t.VID != "":
		return "id " + t.VID + ":" + t.PID
	case t.Reader != "":
		return "reader " + t.Reader
	}
	return "profile " + st.config.Profile
}

// statistics are the counters since the agent began, over all openings.
func (st *station) statistics() (map[drivers.StatisticName]int64, Healing) {
	st.mu.Lock()
	defer st.mu.Unlock()
	all, on := maps.Clone(st.past), st.powered
	if st.device != nil {
		for name, n := range st.device.Statistics() {
			all[name] += n
		}
		on += time.Since(st.opened)
	}
	all[drivers.HoursPoweredCount] = int64(on / time.Hour)
	all[drivers.CommunicationErrorCount] += 0 // always told
	h := st.healing
	if n := int64(st.calls.Load()); n > 0 && st.owner == "" {
		h.Stuck = n
	}
	return all, h
}

// rebind takes what the latest look says about the device's USB side.
func (st *station) rebind(d *sysfs.Device, key string, seen bool, config *drivers.DeviceConfig) {
	st.mu.Lock()
	came := seen && !st.seen
	moved := config != nil && config.Transport != st.config.Transport
	if d != nil {
		copied := *d
		copied.Interface = slices.Clone(d.Interface)
		st.usb = &copied
	}
	st.key, st.seen = cmp.Or(key, st.key), seen
	if config != nil {
		st.config.Transport = config.Transport
	}
	// Permissions come after the device: a file that may be opened now is news as well.
	if came || moved || seen && st.device == nil && st.why.reason == ReasonPermission {
		st.fresh = true
	}
	closed, state := st.device == nil, st.state
	st.mu.Unlock()
	if came && closed && state == StateAbsent && !st.flapping() {
		st.become(StatePresent, trouble{})
	}
	st.poke()
}

// forget says that the presence has given the device up.
func (st *station) forget() {
	st.mu.Lock()
	was := st.usb != nil && !st.left
	st.seen, st.left = false, true
	st.mu.Unlock()
	if was {
		st.poke()
	}
}
